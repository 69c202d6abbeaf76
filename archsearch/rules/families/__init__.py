"""The rules each classic network taught, one file a family."""
