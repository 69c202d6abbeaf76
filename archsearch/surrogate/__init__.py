"""A model of accuracy from a few trials, and what to try by it: knows numbers, not networks or studies."""
