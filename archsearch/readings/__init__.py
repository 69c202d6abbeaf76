"""What can be read from a Graph: cost, receptive field, the layer table, a picture."""
