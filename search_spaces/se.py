"""Squeeze-and-excitation: a gate for every channel, computed from a global pool.

Hu, Shen & Sun 2017, arXiv 1709.01507: the last ImageNet winner. About 0.1 % more FLOPs and 10 % more
parameters.
"""

from collections.abc import Mapping
from typing import ClassVar

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, Freedom, Knob, Knobs
from archsearch.space.widths import Pick
from search_spaces.freedoms import BATCH_NORM, NORM_WORDS, growth
from search_spaces.parts import conv_bn_relu, pooled_head, residual_stem
from search_spaces.residual import bottleneck, squeeze_excite
from search_spaces.resnet import residual_stages
from search_spaces.resnext import ResNextSpace
from search_spaces.stages import depths_of

REDUCTION = 16
GATES = "squeeze-excitation"


class SqueezeExcitationSpace(ResNextSpace):
    """ResNeXt's knobs (one path is ResNet's bottleneck) and the gates' reduction."""

    name = "se"
    title = "channel gates on bottlenecks: depth per stage, cardinality, reduction"
    # The convolutions of gates have biases and no normalisation.
    rules = (*(rule for rule in ResNextSpace.rules if rule != BATCH_NORM), GATES)
    words: ClassVar[Mapping[str, str]] = {
        **{word: text for word, text in ResNextSpace.words.items() if word not in NORM_WORDS},
        "r16": "the channels are 16 times as many as a gate's hidden units; r0: no gates",
    }

    def choices(self, request: Request) -> tuple[Knob, ...]:
        """Return the knob besides depth and cardinality."""
        return (ChoiceKnob("reduction", (4, 8, 16, 32)),)

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return ResNeXt's, and gates that are wide or not there."""
        reductions = ChoiceKnob("reduction", (0, 1, 2, 4, 8, 16, 32))
        found = {**super().freedoms(request), GATES: (Freedom(reductions),)}
        return {rule: freedoms for rule, freedoms in found.items() if rule in self.rules}

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return SE-ResNeXt-50, on small images SE-ResNeXt-29."""
        return {**super().classic(knobs, request), "reduction": REDUCTION}

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return ResNeXt's widths and the gates' hidden ones."""
        widths = super().widths(knobs, request, base, pick)
        reduction = int(knobs["reduction"])
        factors = growth(knobs, len(depths_of(knobs))) if reduction else ()
        for s, factor in enumerate(factors, start=1):
            widths[f"squeezed{s}"] = pick(base * factor * 4 / reduction)
        return widths

    def squeezed(self, widths: Mapping[str, Width], stages: int) -> list[Width] | None:
        """Return the hidden widths of each stage's gates."""
        if "squeezed1" not in widths:
            return None
        return [widths[f"squeezed{s + 1}"] for s in range(stages)]

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return e.g. `3-4-6-3 G32 r16`."""
        return f"{super().label(knobs, request)} r{knobs['reduction']}"


def _published(name: str, title: str, groups: int, path: int, source: str) -> Baseline:
    def write(net: Tracer, classes: int) -> Tensor:
        x = residual_stem(net, net.input, 64, large=True)
        filters = [256 * 2**s for s in range(4)]
        x = residual_stages(
            net,
            x,
            bottleneck,
            (3, 4, 6, 3),
            [groups * path * 2**s for s in range(4)],
            filters,
            squeezed=[count // REDUCTION for count in filters],
            groups=groups,
        )
        return pooled_head(net, x, classes)

    return Baseline(
        name=name, title=title, source=source, input=(224, 224, 3), classes=1000, write=write
    )


def _senet_block(net: Tracer, x: Tensor, *, inner: int, stride: int, project: bool) -> Tensor:
    """SENet-154's: 64 groups, first 1×1 half as wide, strided projections by 3×3."""
    y = conv_bn_relu(net, x, inner // 2, kernel=1)
    y = conv_bn_relu(net, y, inner, kernel=3, stride=stride, groups=64)
    y = net.batch_norm(net.conv(y, inner, kernel=1))
    y = squeeze_excite(net, y, inner // REDUCTION)
    if project:
        x = net.conv(x, inner, kernel=1 if stride == 1 else 3, stride=stride, name="shortcut_conv")
        x = net.batch_norm(x, name="shortcut_batch_norm")
    return net.relu(net.add(y, x))


def _write_senet154(net: Tracer, classes: int) -> Tensor:
    with net.scope("stem"):
        x = conv_bn_relu(net, net.input, 64, kernel=3, stride=2)
        x = conv_bn_relu(net, conv_bn_relu(net, x, 64, kernel=3), 128, kernel=3)
        x = net.max_pool(x, kernel=3, stride=2, padding="same")
    for s, depth in enumerate((3, 8, 36, 3)):
        for b in range(depth):
            x = net.block(
                f"stage{s + 1}.block{b + 1}",
                _senet_block,
                x,
                inner=256 * 2**s,
                stride=2 if s and not b else 1,
                project=not b,
            )
    with net.scope("head"):
        return net.dense(net.dropout(net.global_avg_pool(x), 0.2), classes)


SE = SqueezeExcitationSpace()
BASELINES = {
    b.name: b
    for b in (
        _published(
            "seresnet50",
            "SE-ResNet-50",
            1,
            64,
            "Hu et al. 2017, table 1; stride in the 3×3, as in timm",
        ),
        _published(
            "seresnext50_32x4d", "SE-ResNeXt-50 32×4d", 32, 4, "Hu et al. 2017, table 1; as in timm"
        ),
        Baseline(
            name="senet154",
            title="SENet-154",
            source="Hu et al. 2017, appendix; as in timm",
            input=(224, 224, 3),
            classes=1000,
            write=_write_senet154,
        ),
    )
}
