"""Graphs as Keras and PyTorch networks."""
