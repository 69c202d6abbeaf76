"""What a user asks of a run: checked values from flags, a file, the environment, defaults."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from numbers import Integral, Real
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Final

from archsearch.errors import UserError
from archsearch.units import (
    parse_duration,
    parse_flops,
    parse_input,
    parse_latency,
    split_names,
)

ENVIRONMENT_PREFIX: Final = "ARCHSEARCH_"
BASELINE_WORDS: Final = ("matched", "published", "all", "none")
RESIZES: Final = ("crop", "squash")
DEFAULT_EPOCHS: Final = 4
DEFAULT_TRIALS: Final = 6
BOUNDED_TRIALS: Final = 1000
"""Trials of a search that is bounded by time or FLOPs, where no number is given: what fits."""

Value = str | int | float | bool
"""What TOML and a study's storage can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """Everything `archsearch run` needs to know.

    Paths, and names in lists, are kept as the texts that a file holds.

    Raises:
        UserError: a value is of the wrong type or does not work; the message says which, and what would.
    """

    space: str
    flops: str
    """The budget as written: `20M`, `3.8G:4.2G`."""
    data: str = "digits"
    input: str | None = None
    """Image size, `32x32x3`, or `32` with the data's channels; None: what the data suggests."""
    resize: str | None = None
    """How images of another shape are brought to that size: `crop` (scaled to cover it, the edges cut
    off) or `squash` (each side scaled by itself); None: `crop`."""
    relax: str | None = None
    """Design rules of the space to free, comma-separated: each becomes a knob."""
    mirror: bool | None = None
    """Whether training may mirror images; None: what the data suggests."""
    strict: bool = False
    """Refuse data with a single bad image, instead of skipping a few."""
    class_weights: bool = False
    """Weigh the loss so that all classes count alike, whatever their size."""
    trials: int = None  # type: ignore[assignment]  # is a number once made
    """Networks to try; not given: `DEFAULT_TRIALS`, or what fits under `max_time` or `search_flops`."""
    epochs: int | None = None
    """Passes over the training split; None: `train_flops` decides, or `DEFAULT_EPOCHS`."""
    train_flops: str | None = None
    """Training FLOPs of a trial: 3 × forward FLOPs × images seen."""
    max_time: str | None = None
    """Wall-clock time of everything, `90s`, `30min`, `2h`, `1d`; None: no bound."""
    search_flops: str | None = None
    """Training FLOPs of all trials and finals together; None: no bound."""
    max_latency: str | None = None
    """What a call of one image may take, exported, on this machine: `5ms`; None: no bound."""
    recipe: str = "default"
    batch_size: int | None = None
    """Images a step; None: the recipe's own."""
    val_every: int | None = None
    """Epochs from one evaluation of the validation images to the next; None: every epoch in short
    trainings, every second or third in longer ones, where evaluating would take a good part of the time."""
    seed: int = 0
    seeds: int = 2
    """Seeds each finalist is retrained with."""
    finalists: int = 1
    """Best candidates retrained from scratch."""
    baselines: str = "matched"
    """`matched`, `published`, `all`, `none`, or names of published networks, comma-separated;
    `matched` may be among the names."""
    workers: int | None = None
    """Trials at the same time; None: what suits the machine."""
    workers_per_gpu: int | None = None
    """Trials that share a GPU; None: what suits the trials."""
    backend: str = "auto"
    """What trains: `tensorflow`, `jax`, `torch`, or `auto`, the fastest installed."""
    precision: str = "auto"
    """`float32`, `bfloat16` (weights and statistics stay float32), or `auto`: bfloat16 where the
    hardware has it and it pays."""
    compile: bool | None = None
    """Whether a compiler fuses the training steps (XLA, Inductor); None: on GPUs where it was measured
    to pay for the time it takes. JAX always compiles."""
    ema: float | None = None
    """Decay of averaged weights that are evaluated and kept in place of the last ones; None: the last."""
    name: str | None = None
    """Name of the study; None: made from space, budget and data."""
    storage: str | None = None
    """Optuna storage URL; None: a file in `home`."""
    tracking_uri: str | None = None
    """MLflow server; None: a file in `home`."""
    home: str = "mlruns"
    export: bool = True
    val_fraction: float = 0.15
    test_fraction: float = 0.15
    prune: bool = True

    def __post_init__(self) -> None:
        self._convert_all()
        if not self.space:
            raise UserError("the space has no name; `archsearch spaces` lists what there is")
        _check_budget(self.flops)
        if self.input is not None:
            parse_input(self.input)
        if self.resize is not None and self.resize not in RESIZES:
            raise UserError(f"resize is {self.resize!r}; it must be {' or '.join(RESIZES)}")
        if self.epochs is not None and self.train_flops is not None:
            raise UserError(
                f"epochs {self.epochs} and train_flops {self.train_flops} are both given; "
                "a trial's length is one or the other"
            )
        for text in (self.train_flops, self.search_flops):
            if text is not None:
                parse_flops(text)
        if self.max_time is not None:
            parse_duration(self.max_time)
        if self.max_latency is not None:
            parse_latency(self.max_latency)
        if not self.data:
            raise UserError("data is empty; give digits, a folder of images or an .npz file")
        for key, least in _LEAST.items():
            _check_count(key, getattr(self, key), least)
        _check_fractions(self.val_fraction, self.test_fraction, self.ema)
        _check_baselines(self.baselines, self.baseline_names())
        if self.name is not None:
            check_study_name(self.name)

    def _convert_all(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None or field.default is not None:
                object.__setattr__(self, field.name, _convert(field.name, value, ""))
        if self.trials is None:
            bounded = self.max_time is not None or self.search_flops is not None
            object.__setattr__(self, "trials", BOUNDED_TRIALS if bounded else DEFAULT_TRIALS)

    def relaxed(self) -> frozenset[str]:
        """Split `relax` at its commas."""
        return frozenset(split_names(self.relax or ""))

    def baseline_names(self) -> tuple[str, ...]:
        """Split `baselines` at its commas, each name once."""
        return split_names(self.baselines)

    @property
    def image_size(self) -> tuple[int, int, int | None] | None:
        """The image size asked for, (height, width, channels); channels None: the data's."""
        return None if self.input is None else parse_input(self.input)

    def images(self, *, flops: int, train_images: int) -> int:
        """Count the images a network of that many forward FLOPs sees in training.

        The backward pass costs about twice the forward one, so an image costs 3 × `flops`.
        """
        if self.train_flops is not None:
            return max(1, parse_flops(self.train_flops) // (3 * flops))
        return (DEFAULT_EPOCHS if self.epochs is None else self.epochs) * train_images

    def to_dict(self) -> dict[str, Value]:
        """Return the values that are set, in order, as TOML and JSON hold them."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {key: value for key, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "RunSettings":
        """Read what `to_dict` gave, or a TOML file's table; None means not given.

        Raises:
            UserError: an unknown name (the nearest one is named), a value of the wrong type or
                out of range, or `space` or `flops` missing.
        """
        given = {key: value for key, value in values.items() if value is not None}
        for key in given:
            _kind(key, "")
        for key in ("space", "flops"):
            if key not in given:
                raise UserError(f"{key} is missing; give --{key} or set it in a file")
        return cls(**given)  # type: ignore[arg-type]  # __post_init__ checks each by its field


# The kind of each setting, for files and environment variables.
_KINDS: Final[Mapping[str, type]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("space", "flops", "data", "input", "train_flops", "recipe", "baselines", "name"), str
        ),
        **dict.fromkeys(("relax", "resize", "max_time", "search_flops", "max_latency"), str),
        **dict.fromkeys(("storage", "tracking_uri", "home", "backend", "precision"), str),
        **dict.fromkeys(
            (
                "trials",
                "epochs",
                "batch_size",
                "val_every",
                "seed",
                "seeds",
                "finalists",
                "workers",
                "workers_per_gpu",
            ),
            int,
        ),
        **dict.fromkeys(("val_fraction", "test_fraction", "ema"), float),
        **dict.fromkeys(("export", "prune", "mirror", "strict", "class_weights", "compile"), bool),
    }
)
_LEAST: Final[Mapping[str, int]] = MappingProxyType(
    {
        "trials": 1,
        "epochs": 1,
        "batch_size": 1,
        "val_every": 1,
        "seed": 0,
        "seeds": 1,
        "finalists": 1,
        "workers": 1,
        "workers_per_gpu": 1,
    }
)
_MOST: Final[Mapping[str, int]] = MappingProxyType({"workers": 1024, "workers_per_gpu": 64})
"""Of a machine: each one is a process."""
_LISTS: Final = frozenset({"relax", "baselines"})
"""Names separated by commas; a list of them does as well."""
_PATHS: Final = frozenset({"data", "home"})
_TRUTH: Final[Mapping[str, bool]] = MappingProxyType(
    {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
)
_KIND_NAMES: Final = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def gather(
    flags: Mapping[str, object],
    *,
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> RunSettings:
    """Put settings together: `flags` over the file `config` over `ARCHSEARCH_*` in `environ`.

    A flag that is None was not given. `epochs` and `train_flops` exclude each other, so a stronger
    source's choice removes a weaker one's.

    Raises:
        UserError: a file that cannot be read, or anything `RunSettings.from_dict` refuses.
    """
    sources = [
        (_from_environment(environ or {}), "environment"),
        ({} if config is None else read_toml(config), str(config)),
        ({key: value for key, value in flags.items() if value is not None}, ""),
    ]
    merged: dict[str, object] = {}
    for values, origin in sources:
        checked = {key: _convert(key, value, origin) for key, value in values.items()}
        for one, other in (("epochs", "train_flops"), ("train_flops", "epochs")):
            if one in checked and other not in checked:
                merged.pop(other, None)
        merged |= checked
    return RunSettings.from_dict(merged)


def read_toml(path: Path) -> dict[str, object]:
    """Read a settings file.

    Raises:
        UserError: the file is missing, unreadable or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
    except tomllib.TOMLDecodeError as error:
        text = " ".join(str(error).split())
        raise UserError(f"settings file {str(path)!r} is no TOML: {text}") from None
    except (ValueError, RecursionError):  # a name with a NUL in it; brackets without end
        reason = "it is no settings file"
    raise UserError(f"settings file {str(path)!r} cannot be read: {reason}") from None


def differences(stored: Mapping[str, object], asked: Mapping[str, object]) -> list[str]:
    """List the settings that differ, one text each: `trials: 8 there, 12 here`."""
    return [
        f"{key}: {stored.get(key, 'not set')} there, {asked.get(key, 'not set')} here"
        for key in dict.fromkeys((*stored, *asked))
        if stored.get(key) != asked.get(key)
    ]


def check_study_name(name: str) -> None:
    """Refuse a study name that is no safe file name, or hard to type in a shell.

    Raises:
        UserError: the name is empty, too long, or has characters that do not work.
    """
    bad = sorted({c for c in name if c in "/\\'\"`" or not c.isprintable()})
    if bad:
        fault = f"has {' '.join(map(repr, bad))} in it"
    elif not name.strip() or name != name.strip():
        fault = "is empty or starts or ends with a space"
    elif len(name) > 80 or len(name.encode("utf-8", "surrogatepass")) > 200:
        fault = "is too long"
    elif ".." in name or name.startswith((".", "-")):
        fault = "has '..' in it, or starts with a dot or a dash"
    else:
        return
    raise UserError(
        f"study name {name!r} {fault}; use letters, digits, spaces, '-', '_' and '.', "
        "80 characters at most"
    )


def default_study_name(settings: RunSettings) -> str:
    """Make a study's name from space, budget and data: `resnext-20M-digits`."""
    data = Path(settings.data.rstrip("/\\")).name.removesuffix(".npz")
    parts = (settings.space, settings.flops, data)
    safe = (re.sub(r"[^A-Za-z0-9._]+", "_", part).strip("._-") or "data" for part in parts)
    return re.sub(r"\.{2,}", ".", "-".join(safe))[:70]


def nearest(name: str, known: "Mapping[str, object] | tuple[str, ...]") -> str:
    """Say what a misspelt name may have meant, for the end of a message."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(known))}"


def _check_count(key: str, value: int | None, least: int) -> None:
    if value is not None and not least <= value < 2**31:
        raise UserError(f"{key} is {value}; it must be at least {least}, below 2^31")
    if value is not None and value > _MOST.get(key, value):
        raise UserError(f"{key} is {value:,}; {_MOST[key]:,} at most")


def _check_fractions(val: float, test: float, ema: float | None) -> None:
    for key, value in (("val_fraction", val), ("test_fraction", test), ("ema", ema)):
        if value is not None and not 0 < value < 1:
            raise UserError(f"{key} is {value}; it must lie between 0 and 1")
    if val + test >= 1:
        raise UserError(
            f"val_fraction {val} and test_fraction {test} leave nothing to train on; their sum "
            "must be below 1"
        )


def _check_budget(text: str) -> None:
    low, colon, high = text.partition(":")
    if parse_flops(low) > parse_flops(high if colon else low):
        raise UserError(f"budget {text!r} starts above its end; write {high}:{low}")


def _check_baselines(text: str, names: tuple[str, ...]) -> None:
    if not names:
        raise UserError(f"baselines is empty; give {', '.join(BASELINE_WORDS)} or names")
    mixed = sorted(set(names) & set(BASELINE_WORDS) - {"matched"})
    if mixed and len(names) > 1:
        raise UserError(
            f"baselines {text!r} mixes {mixed[0]!r} with others; "
            f"give one of {', '.join(BASELINE_WORDS)}, or names"
        )


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    """Pick this program's variables; one of no known name belongs to someone else."""
    found = {key: environ.get(ENVIRONMENT_PREFIX + key.upper()) for key in _KINDS if key != "name"}
    return {key: text for key, text in found.items() if text}


def _kind(key: str, origin: str) -> type:
    kind = _KINDS.get(key)
    if kind is None:
        raise UserError(f"{_of(origin)}unknown setting {key!r}; {nearest(key, dict(_KINDS))}")
    return kind


def _convert(key: str, value: object, origin: str) -> Value:
    kind = _kind(key, origin)
    if origin == "environment" and isinstance(value, str):
        value = _from_text(kind, value)
    if key in _LISTS and isinstance(value, list | tuple | set | frozenset):
        names = value if isinstance(value, list | tuple) else sorted(value, key=str)
        value = ",".join(names) if all(isinstance(v, str) for v in names) else value
    if key in _PATHS and isinstance(value, PurePath):
        value = str(value)
    if not isinstance(value, bool):  # for Python, True is a number
        if kind is int and isinstance(value, Integral):
            value = int(value)
        elif kind is float and isinstance(value, Real):
            with suppress(OverflowError):
                value = float(value)
    if type(value) is not kind:
        raise UserError(f"{_of(origin)}{key} is {value!r}; it must be {_KIND_NAMES[kind]}")
    assert isinstance(value, (str, int, float, bool))
    return value


def _from_text(kind: type, text: str) -> object:
    if kind is bool:
        return _TRUTH.get(text.lower(), text)
    try:
        return kind(text)
    except ValueError:
        return text


def _of(origin: str) -> str:
    return f"{origin}: " if origin else ""
