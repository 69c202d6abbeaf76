"""Inception-v3: 5×5 as two 3×3, 7×7 as 1×7 and 7×1.

Szegedy et al. 2015, "Rethinking the Inception architecture", arXiv 1512.00567, in torchvision's form.
"""

from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline
from search_spaces.inception import BN_EPSILON, Branch, Fork, Pooling, Unit, published_stages
from search_spaces.parts import conv_bn_relu


def _a(pooled: int) -> tuple[Branch, ...]:
    """35×35; torchvision and the authors' code keep one 5×5."""
    return (
        (Unit(64),),
        (Unit(48), Unit(64, 5)),
        (Unit(64), Unit(96, 3), Unit(96, 3)),
        (Pooling("avg"), Unit(pooled)),
    )


_REDUCTION_A: tuple[Branch, ...] = (
    (Unit(384, 3, 2),),
    (Unit(64), Unit(96, 3), Unit(96, 3, 2)),
    (Pooling("max", 2),),
)


def _b(inner: int) -> tuple[Branch, ...]:
    """17×17: the factorised 7×7 once and twice."""
    wide, high = (1, 7), (7, 1)
    return (
        (Unit(192),),
        (Unit(inner), Unit(inner, wide), Unit(192, high)),
        (Unit(inner), Unit(inner, high), Unit(inner, wide), Unit(inner, high), Unit(192, wide)),
        (Pooling("avg"), Unit(192)),
    )


_REDUCTION_B: tuple[Branch, ...] = (
    (Unit(192), Unit(320, 3, 2)),
    (Unit(192), Unit(192, (1, 7)), Unit(192, (7, 1)), Unit(192, 3, 2)),
    (Pooling("max", 2),),
)
_FORK = Fork((Unit(384, (1, 3)), Unit(384, (3, 1))))
_C: tuple[Branch, ...] = (
    (Unit(320),),
    (Unit(384), _FORK),
    (Unit(448), Unit(384, 3), _FORK),
    (Pooling("avg"), Unit(192)),
)
_STAGES: tuple[tuple[tuple[Branch, ...], ...], ...] = (
    (_a(32), _a(64), _a(64)),
    (_REDUCTION_A, _b(128), _b(160), _b(160), _b(192)),
    (_REDUCTION_B, _C, _C),
)


def write_stem(net: Tracer, x: Tensor) -> Tensor:
    """299 → 35: five convolutions and two pools, shared with Inception-ResNet-v2."""
    with net.scope("stem"):
        for filters, kernel, stride, padding in ((32, 3, 2, 0), (32, 3, 1, 0), (64, 3, 1, 1)):
            x = conv_bn_relu(
                net, x, filters, kernel=kernel, stride=stride, padding=padding, epsilon=BN_EPSILON
            )
        x = net.max_pool(x, kernel=3, stride=2)
        x = conv_bn_relu(net, x, 80, kernel=1, epsilon=BN_EPSILON)
        x = conv_bn_relu(net, x, 192, kernel=3, padding="valid", epsilon=BN_EPSILON)
        return net.max_pool(x, kernel=3, stride=2)


BASELINES = {
    "inception_v3": Baseline(
        name="inception_v3",
        title="Inception-v3",
        source="Szegedy et al. 2015; as in torchvision, without auxiliary classifier",
        input=(299, 299, 3),
        classes=1000,
        write=lambda net, classes: published_stages(
            net, write_stem(net, net.input), _STAGES, classes, 0.5
        ),
        smallest=75,
    )
}
