"""What a field says of the setting it holds (type, range, flag, help), and the checks that follow."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, MISSING, dataclass, fields
from numbers import Integral, Real
from pathlib import PurePath
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Final, Literal, ParamSpec, get_args, get_origin, get_type_hints

from archsearch.errors import UserError

Value = str | int | float | bool
"""What TOML and a study's storage can hold."""

Form = Literal["plain", "names", "path"]
"""Of a text: `names` are separated by commas, and a list of them does as well; so does a path."""

_P = ParamSpec("_P")
_KEY: Final = "setting"
_MOST_COUNT: Final = 2**31
_KIND_NAMES: Final[Mapping[type, str]] = MappingProxyType(
    {
        str: "a text",
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        Mapping: "a table",
    }
)
_TRUTH: Final[Mapping[str, bool]] = MappingProxyType(
    {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
)


@dataclass(frozen=True, slots=True)
class Declared:
    """What a field declares beside its name, type and default.

    Attributes:
        help: what `--help` says of the flag; `{default}` stands for the field's default.
        metavar: what `--help` calls the value; None: its type.
        least, most: of a count.
        within: of a number: the ends, both left out.
        check: of a text: raises UserError where it does not work.
        form: what may be given for a text.
        repeatable: the flag may be given several times.
        flag: without its dashes; None: the name.
        after: the setting behind which `--help` shows the flag; None: the field before.
        excludes: a setting that says the same thing in another way.
        reason: the end of the message where both are given.
        part: the part of the recipe (archsearch.recipes.recipe) that this sets.
        variable: whether an environment variable sets it as well.
        commands: that it is a setting of.
    """

    help: str
    _: KW_ONLY
    metavar: str | None = None
    least: int | None = None
    most: int | None = None
    within: tuple[float, float] | None = None
    check: Callable[[str], object] | None = None
    form: Form = "plain"
    repeatable: bool = False
    flag: str | None = None
    after: str | None = None
    excludes: str | None = None
    reason: str = "give one of them"
    part: str | None = None
    variable: bool = True
    commands: tuple[str, ...] = ("run", "train")


@dataclass(frozen=True, slots=True)
class Setting:
    """A field that holds a setting.

    Attributes:
        kind: str, int, float, bool, or Mapping for a table.
        default: None where there is none.
        optional: whether it may be None, which is its default then.
    """

    name: str
    kind: type
    default: object
    optional: bool
    declared: Declared

    @property
    def flag(self) -> str:
        """The command line's: `--val-fraction`."""
        return f"--{self.declared.flag or self.name.replace('_', '-')}"

    @property
    def help(self) -> str:
        """What `--help` says of the flag."""
        return self.declared.help.replace("{default}", str(self.default))

    def belongs_to(self, command: str) -> bool:
        """Whether it is a setting of a command; the argument of `train` has no flag of its own."""
        return command in (self.declared.commands or ("train",))

    def take(self, value: object, *, where: str = "") -> Value:
        """Return what was given as the plain value that the setting holds.

        Args:
            value: of the setting's type, or near it: NumPy's numbers, a path, a list of names.
            where: begins the message: `environment: `.

        Raises:
            UserError: the value is of another type.
        """
        form = self.declared.form
        if form == "names" and isinstance(value, list | tuple | set | frozenset):
            names = value if isinstance(value, list | tuple) else sorted(value, key=str)
            value = ",".join(names) if all(isinstance(v, str) for v in names) else value
        if form == "path" and isinstance(value, PurePath):
            value = str(value)
        return as_kind(self.kind, value, name=f"{where}{self.name}")

    def check(self, value: object) -> None:
        """Refuse a value that is out of range, or a text that cannot be read.

        Raises:
            UserError: it is.
        """
        declared = self.declared
        if isinstance(value, str) and declared.check is not None:
            declared.check(value)
        elif isinstance(value, float) and declared.within is not None:
            low, high = declared.within
            if not low < value < high:
                raise UserError(f"{self.name} is {value}; it must lie between {low:g} and {high:g}")
        elif isinstance(value, int) and declared.least is not None:
            if not declared.least <= value < _MOST_COUNT:
                raise UserError(
                    f"{self.name} is {value}; it must be at least {declared.least}, below 2^31"
                )
            if declared.most is not None and value > declared.most:
                raise UserError(f"{self.name} is {value:,}; {declared.most:,} at most")


def _as_metadata(declare: Callable[_P, Declared]) -> Callable[_P, dict[str, Declared]]:
    def metadata(*given: _P.args, **named: _P.kwargs) -> dict[str, Declared]:
        return {_KEY: declare(*given, **named)}

    return metadata


setting: Final = _as_metadata(Declared)
"""Declare a setting: the `metadata` of its field, from what `Declared` takes."""


def settings_of(owner: type) -> dict[str, Setting]:
    """Return the settings that a dataclass's fields declare, by name, in order.

    Raises:
        TypeError: a field declares none.
    """
    hints = get_type_hints(owner)
    found = {}
    for field in fields(owner):
        declared = field.metadata.get(_KEY)
        if not isinstance(declared, Declared):
            raise TypeError(
                f"{owner.__name__}.{field.name} declares no setting; "
                "write field(metadata=setting(help, …))"
            )
        found[field.name] = Setting(
            name=field.name,
            kind=kind_of(hints[field.name]),
            default=None if field.default is MISSING else field.default,
            optional=field.default is None,
            declared=declared,
        )
    return found


def as_shown(settings: Iterable[Setting]) -> list[Setting]:
    """Return settings in the order of `--help`.

    Raises:
        ValueError: one is to stand behind another that is not there.
    """
    shown: list[Setting] = []
    waiting = list(settings)
    while waiting:
        names = [None, *(s.name for s in shown)]
        ready = [s for s in waiting if s.declared.after in names]
        if not ready:
            raise ValueError(
                f"behind what is {waiting[0].name} to stand? {waiting[0].declared.after}"
            )
        for s in ready:
            after = s.declared.after
            place = len(shown) if after is None else [x.name for x in shown].index(after) + 1
            shown.insert(place, s)
            waiting.remove(s)
    return shown


def kind_of(hint: Any) -> type:
    """Return the type that an annotation asks for, None aside: int for `int | None`."""
    if isinstance(hint, UnionType):
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    origin = get_origin(hint)
    if origin is Literal:
        return type(get_args(hint)[0])
    kind: type = origin or hint
    return kind


def as_kind(kind: type, value: object, *, name: str) -> Value:
    """Return a value as the plain `kind`: a number may be another type's, NumPy's say.

    Raises:
        UserError: it is of another type; the message begins with `name`.
    """
    value = plain(value)
    if kind is float and type(value) is int:
        with suppress(OverflowError):
            value = float(value)
    if type(value) is not kind:
        raise UserError(f"{name} is {value!r}; it must be {_KIND_NAMES[kind]}")
    assert isinstance(value, (str, int, float, bool))
    return value


def plain(value: object) -> object:
    """Return a number of another type, NumPy's say, as Python's; anything else as it is."""
    if isinstance(value, bool):  # for Python, True is a number
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def from_text(kind: type, text: str) -> object:
    """Read an environment variable's text as a value of a kind; the text itself where it is none."""
    if kind is bool:
        return _TRUTH.get(text.lower(), text)
    try:
        return kind(text)
    except ValueError:
        return text
