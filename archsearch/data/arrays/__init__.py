"""Arrays of numbers as people store them: which is which, on what scale, and what the labels are."""
