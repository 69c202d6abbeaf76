"""Exported models at work: what they answer, how well, and what they see."""
