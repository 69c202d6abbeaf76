"""What a network sees: maps of what speaks for a class, patterns that drive its units, its first filters."""
