"""A study in a notebook or a script: its object, its tables, its events, the cell while it runs."""
