"""What a person reads: analysis as data first, then tables and pictures."""
