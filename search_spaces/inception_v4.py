"""Inception-v4: a deeper, more uniform Inception with a branching stem.

Szegedy, Ioffe, Vanhoucke & Alemi 2016, arXiv 1602.07261; its sibling with shortcuts is `inception_resnet`.
"""

from archsearch.ir.tracer import Pads, Tensor, Tracer
from archsearch.space.baselines import Baseline
from search_spaces.inception import BN_EPSILON, Branch, Fork, Pooling, Unit, published_stages
from search_spaces.parts import conv_bn_relu

_WIDE, _HIGH = (1, 7), (7, 1)

_A: tuple[Branch, ...] = (
    (Unit(96),),
    (Unit(64), Unit(96, 3)),
    (Unit(64), Unit(96, 3), Unit(96, 3)),
    (Pooling("avg"), Unit(96)),
)
_REDUCTION_A: tuple[Branch, ...] = (
    (Unit(384, 3, 2),),
    (Unit(192), Unit(224, 3), Unit(256, 3, 2)),
    (Pooling("max", 2),),
)
_B: tuple[Branch, ...] = (
    (Unit(384),),
    (Unit(192), Unit(224, _WIDE), Unit(256, _HIGH)),
    (Unit(192), Unit(192, _HIGH), Unit(224, _WIDE), Unit(224, _HIGH), Unit(256, _WIDE)),
    (Pooling("avg"), Unit(128)),
)
_REDUCTION_B: tuple[Branch, ...] = (
    (Unit(192), Unit(192, 3, 2)),
    (Unit(256), Unit(256, _WIDE), Unit(320, _HIGH), Unit(320, 3, 2)),
    (Pooling("max", 2),),
)
_FORK = Fork((Unit(256, (1, 3)), Unit(256, (3, 1))))
_C: tuple[Branch, ...] = (
    (Unit(256),),
    (Unit(384), _FORK),
    (Unit(384), Unit(448, (3, 1)), Unit(512, (1, 3)), _FORK),
    (Pooling("avg"), Unit(256)),
)
_STAGES = ((_A,) * 4, (_REDUCTION_A, *(_B,) * 7), (_REDUCTION_B, *(_C,) * 3))


def _stem(net: Tracer, x: Tensor) -> Tensor:
    """299 → 35 (figure 3): three times, a part is computed twice, differently, and concatenated."""

    def unit(
        x: Tensor, filters: int, kernel: int | tuple[int, int], stride: int = 1, pads: Pads = "same"
    ) -> Tensor:
        return conv_bn_relu(
            net, x, filters, kernel=kernel, stride=stride, padding=pads, epsilon=BN_EPSILON
        )

    with net.scope("stem"):
        x = unit(unit(x, 32, 3, stride=2, pads=0), 32, 3, pads=0)
        x = unit(x, 64, 3)
        x = net.concat([net.max_pool(x, kernel=3, stride=2), unit(x, 96, 3, stride=2, pads=0)])
        plain = unit(unit(x, 64, 1), 96, 3, pads=0)
        factored = unit(unit(unit(x, 64, 1), 64, _WIDE), 64, _HIGH)
        x = net.concat([plain, unit(factored, 96, 3, pads=0)])
        return net.concat([unit(x, 192, 3, stride=2, pads=0), net.max_pool(x, kernel=3, stride=2)])


BASELINES = {
    "inception_v4": Baseline(
        name="inception_v4",
        title="Inception-v4",
        source="Szegedy et al. 2016; as in timm",
        input=(299, 299, 3),
        classes=1000,
        write=lambda net, classes: published_stages(
            net, _stem(net, net.input), _STAGES, classes, 0.2
        ),
        smallest=75,
    )
}
