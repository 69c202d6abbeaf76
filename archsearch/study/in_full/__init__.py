"""Full trainings: which network it is, from where, and the one that follows a search."""
