"""The lecture's design rules: statement, source, equation."""
