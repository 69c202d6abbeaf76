"""Several finalists of a study as one model that averages their probabilities."""
