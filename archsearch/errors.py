"""What can go wrong, and whose turn it is to act."""


class ArchsearchError(Exception):
    """Something failed that the user's input did not cause (exit status 1)."""


class UserError(ArchsearchError):
    """The user's input is wrong: what was given, what was wanted, what to try (exit status 2)."""


class GraphError(UserError):
    """A network that cannot exist: a shape, an argument or a group count does not fit."""


class BudgetError(UserError):
    """A budget no member of a space can meet."""


class DataError(UserError):
    """Images or labels that cannot be used."""
