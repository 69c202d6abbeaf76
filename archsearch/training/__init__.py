"""Training and export: the only package that imports Keras, and only inside worker processes.

`job` and `recipe` are plain values that the driver uses too; nothing is imported from here, so that
importing them stays free of Keras.
"""
