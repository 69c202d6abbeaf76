"""What can go wrong, and whose turn it is to act."""

from typing import ClassVar


class ArchsearchError(Exception):
    """Something failed that the user's input did not cause."""

    status: ClassVar[int] = 1
    """The command line's exit status."""


class UserError(ArchsearchError):
    """The user's input is wrong: what was given, what was wanted, what to try."""

    status: ClassVar[int] = 2


class GraphError(UserError):
    """A network that cannot exist: a shape, an argument or a group count does not fit."""


class BudgetError(UserError):
    """A budget no member of a space can meet."""


class DataError(UserError):
    """Images or labels that cannot be used."""
