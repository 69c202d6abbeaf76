"""Who is in an ensemble, and what it comes to: plain values."""

from dataclasses import asdict, dataclass
from typing import Any

from archsearch.ensembles.single import Single
from archsearch.ensembles.views import PLAIN, View
from archsearch.exchange.checking.agreement import Exported
from archsearch.units import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A finalist, and the training of it that is asked: its own accuracies, on the ensemble's images.

    Attributes:
        key: of the training, such as `final-0007-seed1`.
        label: the design in a few words.
        flops, params: of all its views.
        val, test: of the mean over its views; None where there are no test images.
    """

    key: str
    label: str
    flops: int
    params: int
    val: float
    test: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """Finalists whose probabilities are averaged.

    Attributes:
        members: in the order in which they were chosen.
        flops, params: of all members together, in all views; each view has its own copy of the weights.
        val, test: accuracies of the mean; None where there are no test images.
        val_images, test_images: how many these are.
        candidates: how many finalists could be chosen from.
        without: labels of finalists whose weights an earlier version did not keep.
        exports: what was written, loaded again and compared.
        single: one network of that cost, trained by the same recipe; None: none has been.
        views: how every member looks at an image.
        plain_val: what these members come to on the image as it is; None: it is no view of theirs.
    """

    study: str
    members: tuple[Member, ...]
    flops: int
    params: int
    val: float
    test: float | None
    val_images: int
    test_images: int
    candidates: int
    without: tuple[str, ...] = ()
    exports: tuple[Exported, ...] = ()
    single: Single | None = None
    views: tuple[View, ...] = (PLAIN,)
    plain_val: float | None = None

    @property
    def name(self) -> str:
        """What it is, in a few words: a network alone is no ensemble."""
        many = f" in {counted(len(self.views), 'view')}" if len(self.views) > 1 else ""
        alone = len(self.members) == 1
        whole = self.members[0].label if alone else f"ensemble of {len(self.members)}"
        return whole + many

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        exports = [{**asdict(each), "path": str(each.path)} for each in self.exports]
        return {**asdict(self), "exports": exports}
