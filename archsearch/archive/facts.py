"""A study's own facts: what was asked for, on what data, how far it is and why it ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from archsearch.archive.design import Design
from archsearch.recipes.recipe import Recipe
from archsearch.settings import RunSettings
from archsearch.statistics.score import Score

StudyStatus: TypeAlias = Literal["running", "interrupted", "complete", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    """The images a study trains on.

    Attributes:
        input: height, width, channels.
        classes: their names, the first thousand of them.
        splits: images per split.
        common_share: share of the most common class among the validation images; None: not known.
    """

    name: str
    source: str = ""
    digest: str = ""
    input: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    splits: Mapping[str, int] = field(default_factory=dict)
    common_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FullTraining:
    """What a full training says of its network: where it is from, and what that came to.

    Attributes:
        study: that the network was found in; empty: it is from none.
        epochs: of its trainings there.
        val, test: accuracy of its retrainings there, or of its trial.
        holds: names of the design rules it was built to hold; None: not known.
    """

    study: str = ""
    epochs: int = 0
    val: Score | None = None
    test: Score | None = None
    holds: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What a study learnt from earlier ones as it began; what becomes of those changes nothing of it.

    Attributes:
        studies: how many networks of each, by its name, the newest first.
        weights: what a unit of each feature is worth, by its name, in standard deviations of accuracy.
    """

    studies: Mapping[str, int]
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What a study trains on, as far as it decides which networks train longer than others.

    Attributes:
        device: name of the GPU, or of the processor where there is none.
        backend, precision, compiled: how that computes.
        threads: of each worker.
    """

    device: str
    backend: str
    precision: str
    compiled: bool
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long networks train beside one another, by earlier studies on the same platform.

    Like what is learnt of accuracies, a study has it as of its beginning.

    Attributes:
        studies: how many networks of each, by its name, the newest first.
        coefficients: what the logarithm of a training's seconds rises by with each figure of its network's
            workload, by the figure's name.
    """

    studies: Mapping[str, int]
    coefficients: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """Bounds that a study was given later, in place of those it began with.

    Attributes:
        max_time: on time; None: there is no such bound.
        wall_s: seconds it had taken before that bound counts.
        trials, search_flops: of the whole study; without trials both stay as they were.
    """

    max_time: str | None
    wall_s: float = 0.0
    trials: int | None = None
    search_flops: str | None = None

    def of(self, settings: RunSettings) -> RunSettings:
        """Return a study's settings with these bounds."""
        if self.trials is None:
            return replace(settings, max_time=self.max_time)
        return replace(
            settings,
            max_time=self.max_time,
            trials=self.trials,
            search_flops=self.search_flops,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFacts:
    """What a study says of itself.

    Attributes:
        settings: as asked for, with the bounds it has now; where results go is not among what is kept.
        created: date and time, ISO 8601.
        recipe: all of it, as it was asked for, whatever its name comes to mean; None: an earlier version
            did not keep it.
        room_bytes: memory for each training as the study began, by which batches are taken in parts; 0:
            nobody knew; None: an earlier version did not keep it.
        training: of a full training, which searches nothing; None: it is a search.
        learnt: from earlier studies; None: nothing.
        platform: that it began on; None: it is not known.
        durations: by earlier studies; None: they say nothing.
        published: networks that are trained as they are: a search's published baselines, the one of a full
            training; None: not known yet.
        status: of the last process that drove it.
        wall_s: seconds it has taken, all processes together.
        measured_flops: training FLOPs by which its pace was measured, likewise.
        ended: why its search ended before all trials, or what its finals did besides; empty: neither.
        full: whether the search ended as no other trial fitted into the bounds.
        left: why finals are left to do; empty: none is.
        extension: bounds it was given later; None: none.
        exports: folder or file by format.
        untold: whether the tracker may lack something of what the storage holds.
        trained: name of the full training of its winner that it is followed by; empty: none has begun.
    """

    settings: RunSettings
    dataset: DatasetFacts
    created: str = ""
    recipe: Recipe | None = None
    room_bytes: int | None = None
    training: FullTraining | None = None
    learnt: Learnt | None = None
    platform: Platform | None = None
    durations: Durations | None = None
    published: tuple[Design, ...] | None = None
    status: StudyStatus = "running"
    wall_s: float = 0.0
    measured_flops: int = 0
    ended: str = ""
    full: bool = False
    left: str = ""
    extension: Extension | None = None
    exports: Mapping[str, str] = field(default_factory=dict)
    untold: bool = False
    trained: str = ""

    @property
    def baselines(self) -> tuple[Design, ...]:
        """The networks that are trained as they are."""
        return self.published or ()

    def complete(self, *, more_time: bool) -> bool:
        """Whether nothing is left to do; what was cut short is, where there is more time."""
        return self.status == "complete" and not (more_time and (self.left or self.may_grow))

    @property
    def may_grow(self) -> bool:
        """Whether a bound has ended its search, and no finals have chosen among its trials since."""
        return self.full and not self.settings.finalists

    def extended(self, by: Extension) -> "StudyFacts":
        """Return these facts with other bounds, under which a search that may grow goes on."""
        found = replace(self, extension=by, settings=by.of(self.settings))
        return replace(found, ended="", full=False) if self.may_grow else found
