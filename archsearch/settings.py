"""What a user asks of a search or a full training: values from flags, files, the environment, checked."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from archsearch.checks import (
    check_baselines,
    check_budget,
    check_data,
    check_folds,
    check_network,
    check_resize,
    check_space,
    check_study_name,
    check_train_on,
)
from archsearch.errors import UserError
from archsearch.fields import Setting, Value, plain, setting, settings_of
from archsearch.units import (
    parse_bytes,
    parse_duration,
    parse_flops,
    parse_input,
    parse_latency,
    parse_slices,
    split_names,
    training_flops,
)

DEFAULT_EPOCHS: Final = 4
FULL_EPOCHS: Final = 60
"""Epochs of a full training where nothing is said: fifteen times a trial's. Papers train 160 to 200 on
CIFAR with a rate that falls in steps; one that falls to nothing over any length, as the default recipe's
does, gains little beyond a third of that."""
DEFAULT_TRIALS: Final = 6
DEFAULT_SEEDS: Final = 2
"""Of a finalist; a full training has one where nothing is said."""
BOUNDED_TRIALS: Final = 1000
"""Trials of a search that is bounded by time or FLOPs, where no number is given: what fits."""
FEW_IMAGES: Final = 2000
"""Validation images below which finalists are validated on several splits: of these a network that is right
95 % of the time has a standard error of half a point."""
PART: Final = "recipe."
"""Begins the key of a recipe's part, `recipe.base_lr`."""
_RUN: Final = ("run",)
_TRAIN: Final = ("train",)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """Everything `archsearch run`, or `archsearch train`, needs to know.

    A search has a `space` and `flops`, a full training a `network`. A field is all there is of a setting:
    flag, environment variable, conversion, range and help follow from it. Paths, and names in lists, are
    kept as the texts that a file holds.

    Raises:
        UserError: a value is of the wrong type or does not work; the message says which, and what would.
    """

    space: str | None = field(
        default=None,
        metadata=setting(
            "The design space (archsearch spaces lists them), or several, separated by commas.",
            metavar="NAME",
            check=check_space,
            commands=_RUN,
        ),
    )
    flops: str | None = field(
        default=None,
        metadata=setting(
            "4G: a cap to fill; 3.8G:4.2G: a range; 100M,200M: several.",
            metavar="BUDGET",
            check=check_budget,
        ),
    )
    """Of a full training: of the classic of the space that `network` names, its matched baseline."""
    slices: int | None = field(
        default=None,
        metadata=setting(
            "Budgets between the ends of a range, for the best network of each.",
            metavar="N",
            least=2,
            most=64,
            commands=_RUN,
        ),
    )
    """None: a range is one budget."""
    network: str | None = field(
        default=None,
        metadata=setting(
            "What is trained in full.",
            metavar="NETWORK",
            form="path",
            check=check_network,
            variable=False,
            commands=(),
        ),
    )
    """A study, for its winner; a baseline's name; a Graph JSON, `.keras` file or export."""
    place: int | None = field(
        default=None,
        metadata=setting(
            "Which of the study's table: 1 is its winner.",
            metavar="N",
            least=1,
            excludes="trial",
            reason="a network has one place",
            variable=False,
            commands=_TRAIN,
        ),
    )
    trial: int | None = field(
        default=None,
        metadata=setting(
            "The study's trial of that number.",
            metavar="N",
            least=0,
            variable=False,
            commands=_TRAIN,
        ),
    )
    train_on: str = field(
        default="train",
        metadata=setting(
            "{default} (default), or train+val: then only the test images judge.",
            metavar="SPLITS",
            flag="on",
            check=check_train_on,
            variable=False,
            commands=_TRAIN,
        ),
    )
    data: str = field(
        default="digits",
        metadata=setting(
            "{default} (default), a folder, an .npz, cifar10, …",
            metavar="DATA",
            form="path",
            check=check_data,
        ),
    )
    input: str | None = field(
        default=None,
        metadata=setting(
            "Image size, or 64; default: what the data suggests.",
            metavar="HxWxC",
            check=parse_input,
        ),
    )
    """`32` alone: with the data's channels."""
    resize: str | None = field(
        default=None,
        metadata=setting(
            "crop (default) or squash images of other shapes.", metavar="HOW", check=check_resize
        ),
    )
    """`crop`: scaled to cover the size, the edges cut off; `squash`: each side by itself; None: `crop`."""
    relax: str | None = field(
        default=None,
        metadata=setting(
            "Free a design rule of the space: it becomes a knob; repeatable.",
            metavar="RULE",
            form="names",
            repeatable=True,
            commands=_RUN,
        ),
    )
    """Names separated by commas."""
    mirror: bool | None = field(
        default=None,
        metadata=setting("Mirror images in training, or never.", after="class_weights"),
    )
    """None: what the data suggests."""
    strict: bool = field(
        default=False,
        metadata=setting("Refuse data with a single bad image.", after="mirror"),
    )
    """Otherwise a few are skipped."""
    class_weights: bool = field(
        default=False,
        metadata=setting("Count all classes alike.", after="baselines", part="class_weights"),
    )
    """In the loss, whatever their size."""
    trials: int = field(
        default=None,  # type: ignore[assignment]  # is a number once made
        metadata=setting("Networks to try, baseline included.", least=1, commands=_RUN),
    )
    """Not given: `DEFAULT_TRIALS` for each budget, or what fits under `max_time` or `search_flops`."""
    epochs: int | None = field(
        default=None,
        metadata=setting(
            "Passes over the training images of a training.",
            least=1,
            excludes="train_flops",
            reason="a trial's length is one or the other",
        ),
    )
    """None: `train_flops` decides, or `DEFAULT_EPOCHS`."""
    train_flops: str | None = field(
        default=None,
        metadata=setting(
            "Training FLOPs of a trial, in place of --epochs.",
            metavar="F",
            check=parse_flops,
            commands=_RUN,
        ),
    )
    """As `archsearch.units.training_flops` counts them."""
    max_time: str | None = field(
        default=None,
        metadata=setting(
            "Bound of the whole run: 90s, 30min, 2h, 1d.", metavar="T", check=parse_duration
        ),
    )
    """Wall-clock time of everything; None: no bound."""
    search_flops: str | None = field(
        default=None,
        metadata=setting(
            "Bound of all training FLOPs together: 1P.",
            metavar="F",
            check=parse_flops,
            commands=_RUN,
        ),
    )
    """Of all trials and finals; None: no bound."""
    max_latency: str | None = field(
        default=None,
        metadata=setting(
            "What a call of any network may take: 5ms, 0.8ms.",
            metavar="T",
            check=parse_latency,
            commands=_RUN,
        ),
    )
    """A call of one image, exported, on this machine; None: no bound."""
    recipe: str = field(
        default="default",
        metadata=setting(
            "default, long, or a paper's: resnet2015, … (docs/recipes.md).", metavar="NAME"
        ),
    )
    recipe_parts: Mapping[str, Value] = field(
        default_factory=dict,
        hash=False,
        metadata=setting(
            "Change a part of the recipe: recipe.base_lr=0.4; repeatable.",
            metavar="recipe.PART=VALUE",
            flag="set",
            repeatable=True,
            variable=False,
        ),
    )
    """Values of an archsearch.recipes.recipe.Recipe by the names of its fields; `none` for None, numbers
    of a list separated by commas. In a file: the table `[recipe]`, beside the recipe's `name`."""
    batch_size: int | None = field(
        default=None, metadata=setting("Images a step.", least=1, part="batch")
    )
    """None: the recipe's own."""
    val_every: int | None = field(
        default=None, metadata=setting("Epochs from one validation to the next.", least=1)
    )
    """None: every epoch in short trainings, every second or third in longer ones, where evaluating would
    take a good part of the time."""
    seed: int = field(
        default=0, metadata=setting("Of everything random.", least=0, after="test_fraction")
    )
    seeds: int = field(
        default=None,  # type: ignore[assignment]  # is a number once made
        metadata=setting(
            "Seeds to train NETWORK with, or finalists, all in all.", least=1, after="finalists"
        ),
    )
    """Of a full training: its trainings. Not given: `DEFAULT_SEEDS`, or one."""
    finalists: int = field(
        default=1,
        metadata=setting(
            "Candidates to retrain from scratch, times --seeds; 0: none.",
            least=0,
            after="val_every",
            commands=_RUN,
        ),
    )
    folds: str = field(
        default="auto",
        metadata=setting(
            "Splits to validate finalists on: {default} (default), none, 5.",
            metavar="N",
            check=check_folds,
            after="seeds",
            commands=_RUN,
        ),
    )
    """Each seed has a split of the training and validation images of its own, as many different ones as this
    says. `auto`: as many as seeds, where fewer than `FEW_IMAGES` validate; `none`: always the search's."""
    baselines: str = field(
        default="matched",
        metadata=setting(
            "{default} (default), published, all, none or names.",
            metavar="B",
            form="names",
            check=check_baselines,
            after="seeds",
            commands=_RUN,
        ),
    )
    """Names of published networks, separated by commas; `matched` may be among them."""
    train_winner: int | None = field(
        default=None,
        metadata=setting(
            "Then train the best network in full, for so many epochs.",
            metavar="EPOCHS",
            least=1,
            after="baselines",
            commands=_RUN,
        ),
    )
    """As a study of its own, beyond `max_time`."""
    workers: int | None = field(
        default=None, metadata=setting("Trainings at the same time.", least=1, most=1024)
    )
    """None: what suits the machine. Each one is a process."""
    workers_per_gpu: int | None = field(
        default=None, metadata=setting("Trials that share a GPU.", least=1, most=64, commands=_RUN)
    )
    """None: what suits the trials."""
    devices: int | None = field(
        default=None,
        metadata=setting(
            "Spread a training over so many GPUs, or processes of the CPU.",
            least=1,
            most=64,
            commands=_TRAIN,
        ),
    )
    """Each has its share of every batch. None: the GPUs there are, one without any."""
    memory: str | None = field(
        default=None,
        metadata=setting("Memory for each training: 6GB.", metavar="BYTES", check=parse_bytes),
    )
    """Of its GPU, or of main memory, for each process; a batch that takes more is taken in parts. None: an
    equal share of what there is."""
    backend: str = field(
        default="auto",
        metadata=setting("{default} (default), tensorflow, jax or torch.", metavar="B"),
    )
    """What trains; `auto`: the fastest installed."""
    precision: str = field(
        default="auto", metadata=setting("{default} (default), float32 or bfloat16.", metavar="P")
    )
    """`auto`: bfloat16 where the hardware has it and it pays; weights and statistics stay float32."""
    compile: bool | None = field(default=None, metadata=setting("Fuse training steps, or don't."))
    """By a compiler (XLA, Inductor); None: on GPUs where it was measured to pay for the time it takes.
    JAX always compiles."""
    ema: float | None = field(
        default=None,
        metadata=setting(
            "Keep averaged weights: 0.99.", metavar="DECAY", within=(0, 1), part="ema"
        ),
    )
    """Averaged weights are evaluated and kept in place of the last ones; None: the recipe's own decay."""
    name: str | None = field(
        default=None,
        metadata=setting(
            "Name of the study.", metavar="STUDY", check=check_study_name, variable=False
        ),
    )
    """None: made from space, budget and data."""
    storage: str | None = field(
        default=None,
        metadata=setting("Optuna storage; default: a file in the home.", metavar="URL"),
    )
    tracking_uri: str | None = field(
        default=None,
        metadata=setting("MLflow server; default: a file in the home.", metavar="URL"),
    )
    home: str = field(
        default="mlruns",
        metadata=setting("Where runs are kept; default: {default}.", metavar="DIR", form="path"),
    )
    export: bool = field(
        default=True, metadata=setting("Export the best model at the end.", after="fidelity")
    )
    val_fraction: float = field(
        default=0.15,
        metadata=setting(
            "Share of the images to validate with: {default}, where the data has no such split.",
            metavar="SHARE",
            within=(0, 1),
            after="strict",
        ),
    )
    test_fraction: float = field(
        default=0.15,
        metadata=setting(
            "Share of the images to test with: {default}, where the data has no such split.",
            metavar="SHARE",
            within=(0, 1),
            after="val_fraction",
        ),
    )
    prune: bool = field(
        default=True, metadata=setting("Stop hopeless trials early.", after="ema", commands=_RUN)
    )
    sampler: str = field(
        default="gp",
        metadata=setting(
            "What proposes networks: {default} (default), tpe, evolution, local, random.",
            metavar="NAME",
            after="prune",
            commands=_RUN,
        ),
    )
    prior: bool = field(
        default=True,
        metadata=setting(
            "Learn from earlier studies of the space, or don't.", after="sampler", commands=_RUN
        ),
    )
    """Of those in the home, as far as it bears out; of the sampler `gp`."""
    margin: float = field(
        default=0.5,
        metadata=setting(
            "An ablation's effect of so many points counts as none: {default} (default).",
            metavar="POINTS",
            within=(0, 100),
            after="prior",
            commands=_RUN,
        ),
    )
    """Of the sampler `pairs`, which ends where the effect is surely within it, or surely not 0."""
    fidelity: str = field(
        default="auto",
        metadata=setting(
            "How long trials train: {default} (default), rungs, median, none.",
            metavar="NAME",
            after="margin",
            commands=_RUN,
        ),
    )
    """`rungs`: short trainings first, the best then in full; `median`: all in full, hopeless ones stopped;
    `auto`: rungs where a training has more than eight epochs."""
    engine: str = field(
        default="local",
        metadata=setting(
            "What runs the trainings: {default} (default), shared (`archsearch worker`, anywhere), ray.",
            metavar="NAME",
            after="workers_per_gpu",
        ),
    )
    address: str | None = field(
        default=None,
        metadata=setting(
            "Of the Ray cluster: auto (default), local or HOST:PORT.",
            metavar="ADDRESS",
            after="engine",
        ),
    )

    def __post_init__(self) -> None:
        for name, known in SETTINGS.items():
            value = getattr(self, name)
            if isinstance(value, Mapping) and known.kind is Mapping:
                parts = {part: take(f"{PART}{part}", v) for part, v in value.items()}
                object.__setattr__(self, name, parts)
            elif value is not None or not known.optional:
                object.__setattr__(self, name, known.take(value))
        for name in ("flops", "slices"):  # how many trials are usual follows from these
            SETTINGS[name].check(getattr(self, name))
        self._check_kind()
        if self.trials is None:
            object.__setattr__(self, "trials", self._usual_trials())
        if self.seeds is None:
            object.__setattr__(self, "seeds", DEFAULT_SEEDS if self.network is None else 1)
        self._check_rivals()
        self._check_budgets()
        for name, known in SETTINGS.items():
            known.check(getattr(self, name))
        if self.val_fraction + self.test_fraction >= 1:
            raise UserError(
                f"val_fraction {self.val_fraction} and test_fraction {self.test_fraction} leave "
                "nothing to train on; their sum must be below 1"
            )

    def _usual_trials(self) -> int:
        if self.network is not None:
            return 1
        bounded = self.max_time is not None or self.search_flops is not None
        return BOUNDED_TRIALS if bounded else DEFAULT_TRIALS * max(1, len(self.budgets()))

    def _check_kind(self) -> None:
        """Refuse what is neither a search nor a full training, or something of both."""
        for key in ("space", "flops") if self.network is None else ():
            if getattr(self, key) is None:
                raise UserError(f"{key} is missing; give --{key} or set it in a file")
        usual = {"trials": self._usual_trials()}
        for name, known in SETTINGS.items():
            value = getattr(self, name)
            expected = (None, usual.get(name, known.default))
            if not known.belongs_to(self.command) and value not in expected:
                other = "train" if self.command == "run" else "run"
                raise UserError(
                    f"{name} {value} is for archsearch {other}, not for {self.command}; leave it out"
                )

    def _check_budgets(self) -> None:
        """Refuse what goes with one budget only."""
        if self.budgets() and self.max_latency is not None:
            raise UserError(
                f"max_latency {self.max_latency} and several budgets, {self.flops}, are both given; "
                "what is made quick enough has another budget's FLOPs; give one budget"
            )

    def _check_rivals(self) -> None:
        values = self.to_dict()
        for one, other, reason in RIVALS:
            if other in values and values.get(one) not in (None, SETTINGS[one].default):
                raise UserError(
                    f"{one} {values[one]} and {other} {values[other]} are both given; {reason}"
                )

    @property
    def command(self) -> str:
        """What they are for: `run`, a search, or `train`, a full training."""
        return "run" if self.network is None else "train"

    @property
    def usual_epochs(self) -> int:
        """Epochs of a training, unless `train_flops` decides."""
        usual = DEFAULT_EPOCHS if self.network is None else FULL_EPOCHS
        return usual if self.epochs is None else self.epochs

    def fold(self, seed: int | None, *, val_images: int) -> int:
        """Return on which split a finalist's training with the seed of that number, from 1, is validated.

        0 is the search's own, and that of every training that is no finalist's.
        """
        if seed is None or self.network is not None or self.folds == "none":
            return 0
        if self.folds == "auto":
            return seed if 0 < val_images < FEW_IMAGES else 0
        return 1 + (seed - 1) % int(self.folds)

    def budgets(self) -> tuple[int, ...]:
        """Return the FLOPs of each of several budgets, the smallest first; none where there is one."""
        if self.network is not None or self.flops is None:
            return ()
        return parse_slices(self.flops, self.slices)

    def relaxed(self) -> frozenset[str]:
        """Split `relax` at its commas."""
        return frozenset(split_names(self.relax or ""))

    def baseline_names(self) -> tuple[str, ...]:
        """Split `baselines` at its commas, each name once."""
        return split_names(self.baselines)

    def parts(self) -> dict[str, Value]:
        """Return what is set of the recipe, by the names of its fields."""
        return parts_of(self.to_dict())

    @property
    def image_size(self) -> tuple[int, int, int | None] | None:
        """The image size asked for, (height, width, channels); channels None: the data's."""
        return None if self.input is None else parse_input(self.input)

    def images(self, *, flops: int, train_images: int) -> int:
        """Count the images a network of that many forward FLOPs sees in training."""
        if self.train_flops is not None:
            return max(1, parse_flops(self.train_flops) // training_flops(flops, 1))
        return self.usual_epochs * train_images

    def to_dict(self) -> dict[str, Value]:
        """Return the values that are set, in order, as JSON holds them: a recipe's parts as `recipe.PART`."""
        own = (s.name for s in SETTINGS.values() if s.belongs_to(self.command))
        values = flat({name: getattr(self, name) for name in own})
        return {key: take(key, value) for key, value in values.items() if value is not None}

    def to_tables(self) -> dict[str, Value | dict[str, Value]]:
        """Return what `to_dict` does, as a TOML file has it: a recipe with parts is a table of its own."""
        values = {key: v for key, v in self.to_dict().items() if not key.startswith(PART)}
        if not self.recipe_parts:
            return {**values}
        return {**values, "recipe": {"name": self.recipe, **self.recipe_parts}}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "RunSettings":
        """Read what `to_dict` or `to_tables` gave, or a TOML file's table; None means not given.

        Raises:
            UserError: an unknown name (the nearest one is named), a value of the wrong type or
                out of range; `space` or `flops` missing where there is no `network`.
        """
        given: dict[str, object] = {}
        parts: dict[str, object] = {}
        for key, value in flat(values).items():
            if key.startswith(PART):
                parts[key.removeprefix(PART)] = value
            elif value is not None:
                given[key] = take(key, value)
        if parts:
            given["recipe_parts"] = parts
        return cls(**given)  # type: ignore[arg-type]  # __post_init__ checks each by its field


SETTINGS: Final[Mapping[str, Setting]] = settings_of(RunSettings)
"""By name, in the order in which they are written."""

RIVALS: Final = [
    (s.name, other, s.declared.reason)
    for s in SETTINGS.values()
    for other in (s.declared.excludes, s.declared.part and f"{PART}{s.declared.part}")
    if other
]
"""What excludes each other: the one, the other, and why."""


def default_study_name(settings: RunSettings) -> str:
    """Make a study's name from space, budget and data: `resnext-20M-digits`; or `resnet20-digits`."""
    data = Path(settings.data.rstrip("/\\")).name.removesuffix(".npz")
    freed = (f"free-{rule}" for rule in sorted(settings.relaxed()))
    what = settings.space if settings.network is None else Path(settings.network).stem
    parts = tuple(filter(None, (what, settings.flops, data, *freed)))
    safe = (re.sub(r"[^A-Za-z0-9._]+", "_", part).strip("._-") or "data" for part in parts)
    return re.sub(r"\.{2,}", ".", "-".join(safe))[:70]


def nearest(name: str, known: "Mapping[str, object] | tuple[str, ...]") -> str:
    """Say what a misspelt name may have meant, for the end of a message."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(known))}"


def parts_of(values: Mapping[str, Value]) -> dict[str, Value]:
    """Return what settings, as `to_dict` gives them, set of the recipe, by the names of its fields."""
    own = {
        s.declared.part: values[s.name]
        for s in SETTINGS.values()
        if s.declared.part is not None and values.get(s.name, s.default) != s.default
    }
    return own | {key.removeprefix(PART): v for key, v in values.items() if key.startswith(PART)}


def take(key: str, value: object, *, where: str = "") -> Value:
    """Return what was given for a setting, or for a recipe's part, as the plain value it holds.

    Args:
        key: a setting's name, or `recipe.PART`; what parts there are is not known here.
        value: what was given.
        where: begins the message: `environment: `.

    Raises:
        UserError: there is no such setting, or the value is of the wrong type.
    """
    if key.startswith(PART):
        return _take_part(key, value, where=where)
    if key not in SETTINGS:
        raise UserError(f"{where}unknown setting {key!r}; {nearest(key, SETTINGS)}")
    return SETTINGS[key].take(value, where=where)


def _take_part(key: str, value: object, *, where: str) -> Value:
    part = key.removeprefix(PART)
    if not part.isidentifier():
        raise UserError(f"{where}a recipe has no part {part!r}; its parts are names like base_lr")
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    found = plain(value)
    if not isinstance(found, str | int | float | bool):
        raise UserError(f"{where}{key} is {value!r}; it must be a text, a number, true or false")
    return found


def flat(values: Mapping[str, object]) -> dict[str, object]:
    """Write a recipe's parts in one way, as `recipe.PART`, however they were given."""
    found: dict[str, object] = {}
    for key, value in values.items():
        if key not in ("recipe", "recipe_parts") or not isinstance(value, Mapping):
            found[key] = value
            continue
        table = dict(value)
        if key == "recipe" and "name" in table:
            found[key] = table.pop("name")
        found |= {f"{PART}{part}": v for part, v in table.items()}
    return found
