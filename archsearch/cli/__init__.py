"""The command line: a thin shell over the Python functions, and the exit statuses."""

from archsearch.cli.app import main

__all__ = ["main"]
