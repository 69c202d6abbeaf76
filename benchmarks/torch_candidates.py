"""The plain networks of candidates, from their numbers (depths, widths, groups) alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch_nets import (
    BasicBlock,
    Bottleneck,
    densenet,
    mobilenet_v2,
    resnet,
    vgg,
    wide_resnet,
)


@dataclass(frozen=True, slots=True)
class Numbers:
    """A candidate's numbers: all that the plain networks take from this project.

    Attributes:
        knobs, widths: a Candidate's.
        side: of the images, in pixels.
        classes: of the data.
    """

    knobs: Mapping[str, Any]
    widths: Mapping[str, int]
    side: int
    classes: int

    @property
    def depths(self) -> list[int]:
        """The blocks of each stage."""
        return [int(self.knobs[f"depth{i}"]) for i in range(1, 6) if self.knobs.get(f"depth{i}")]

    def each(self, name: str) -> list[int]:
        """Return a width of every stage."""
        return [self.widths[f"{name}{s}"] for s, _ in enumerate(self.depths, 1)]

    def some(self, name: str) -> list[int | None]:
        """Return a width of every stage, None where a stage has none."""
        return [self.widths.get(f"{name}{s}") for s, _ in enumerate(self.depths, 1)]


def _vgg_of(n: Numbers) -> nn.Module:
    hidden = [n.widths["hidden1"], n.widths["hidden2"]] if n.knobs["head"] == "fc" else []
    return vgg(
        depths=n.depths, widths=n.each("stage"), hidden=hidden, side=n.side, classes=n.classes
    )


def _resnet_of(n: Numbers) -> nn.Module:
    return resnet(
        BasicBlock if n.knobs["block"] == "basic" else Bottleneck,
        stem=n.widths.get("stem"),
        depths=n.depths,
        inners=n.each("inner"),
        outers=n.each("stage"),
        classes=n.classes,
    )


def _resnext_of(n: Numbers) -> nn.Module:
    groups = int(n.knobs["cardinality"])
    return resnet(
        Bottleneck,
        stem=n.widths["stem"],
        depths=n.depths,
        inners=[groups * width for width in n.each("path")],
        outers=n.each("stage"),
        groups=groups,
        classes=n.classes,
    )


def _wide_resnet_of(n: Numbers) -> nn.Module:
    return wide_resnet(
        stem=n.widths.get("stem"),
        depth=int(n.knobs["n"]),
        widths=[n.widths[f"inner{s}"] for s in (1, 2, 3)],
        dropout=float(n.knobs["dropout"]),
        classes=n.classes,
    )


def _densenet_of(n: Numbers) -> nn.Module:
    late = [n.widths.get(f"growth{s}_late", 0) for s, _ in enumerate(n.depths, 1)]
    return densenet(
        stem=n.widths["stem"],
        growths=[
            [second if 2 * b >= depth else first for b in range(depth)]
            for depth, first, second in zip(n.depths, n.each("growth"), late, strict=True)
        ],
        bottlenecks=n.some("bottleneck"),
        transitions=[n.widths[f"transition{s}"] for s in range(1, len(n.depths))],
        classes=n.classes,
    )


def _mobilenet_v2_of(n: Numbers) -> nn.Module:
    return mobilenet_v2(
        stem=n.widths["stem"],
        depths=n.depths,
        opens=n.each("open"),
        hiddens=[width or 0 for width in n.some("hidden")],
        outers=n.each("stage"),
        kernel=int(n.knobs["kernel"]),
        head=n.widths["head"],
        classes=n.classes,
    )


_OF = {
    "vgg": _vgg_of,
    "resnet": _resnet_of,
    "resnext": _resnext_of,
    "wrn": _wide_resnet_of,
    "densenet": _densenet_of,
    "mobilenet_v2": _mobilenet_v2_of,
}


def of_candidate(
    space: str, knobs: Mapping[str, Any], widths: Mapping[str, int], *, side: int, classes: int
) -> nn.Module:
    """Return the plain network of a candidate for small images, from its numbers alone.

    Args:
        space: vgg (with batch normalization), resnet (post-activation, with identities), resnext,
            wrn, densenet or mobilenet_v2.
        knobs: a Candidate's.
        widths: a Candidate's.
        side: of the images, in pixels.
        classes: of the data.
    """
    if space not in _OF:
        raise ValueError(f"no plain network for {space!r}")
    return _OF[space](Numbers(knobs, widths, side, classes))
