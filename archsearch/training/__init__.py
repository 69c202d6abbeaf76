"""Trains a job, inside worker processes: lowerings and backends here import frameworks.

`job` and `recipe` are plain values that the driver uses too; nothing is imported from here, so that
importing them stays free of Keras.
"""
