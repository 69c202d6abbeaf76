"""What can go wrong, and whose turn it is to act."""

from typing import ClassVar


class ArchsearchError(Exception):
    """Something failed that the user's input did not cause."""

    status: ClassVar[int] = 1
    """The command line's exit status."""


class MachineError(ArchsearchError):
    """Something failed that every network needs: a disk, a GPU, the images, a database."""


class DamagedError(ArchsearchError):
    """What a study keeps was changed, emptied or cut off by something else."""


class UserError(ArchsearchError):
    """The user's input is wrong: what was given, what was wanted, what to try."""

    status: ClassVar[int] = 2


class GraphError(UserError):
    """A network that cannot exist: a shape, an argument or a group count does not fit."""


class BudgetError(UserError):
    """A budget no member of a space can meet."""


class DataError(UserError):
    """Images or labels that cannot be used."""


def what_failed(error: OSError) -> str:
    """Say in one line what the system could not do, and with which file."""
    what = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {what}" if error.filename else what


def one_line(error: BaseException) -> str:
    """Return the kind of an error and the first line it says, not too long."""
    said = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {said}"[:300]
