"""Inception-ResNet: cheap Inception branches whose scaled sum joins a shortcut.

Szegedy, Ioffe, Vanhoucke & Alemi 2016, arXiv 1602.07261. A linear 1×1 brings the concatenated branches back
to the shortcut's width; scaling it by 0.1 to 0.2 keeps wide networks from blowing up.
"""

from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline
from search_spaces.inception import BN_EPSILON, Branch, Pooling, Unit, inception
from search_spaces.inception_v3 import write_stem
from search_spaces.parts import conv_bn_relu


def inception_residual(
    net: Tracer,
    x: Tensor,
    *,
    branches: tuple[Branch, ...],
    scale: float,
    relu: bool = True,
) -> Tensor:
    """X + scale · (1×1 of the concatenated branches), ReLU."""
    y = net.conv(inception(net, x, branches=branches), x.channels, kernel=1, bias=True)
    x = net.add(x, net.scale(y, scale))
    return net.relu(x) if relu else x


_WIDE, _HIGH = (1, 7), (7, 1)
_FIRST: tuple[Branch, ...] = (
    (Unit(96),),
    (Unit(48), Unit(64, 5)),
    (Unit(64), Unit(96, 3), Unit(96, 3)),
    (Pooling("avg"), Unit(64)),
)
_A: tuple[Branch, ...] = (
    (Unit(32),),
    (Unit(32), Unit(32, 3)),
    (Unit(32), Unit(48, 3), Unit(64, 3)),
)
_REDUCTION_A: tuple[Branch, ...] = (
    (Unit(384, 3, 2),),
    (Unit(256), Unit(256, 3), Unit(384, 3, 2)),
    (Pooling("max", 2),),
)
_B: tuple[Branch, ...] = ((Unit(192),), (Unit(128), Unit(160, _WIDE), Unit(192, _HIGH)))
_REDUCTION_B: tuple[Branch, ...] = (
    (Unit(256), Unit(384, 3, 2)),
    (Unit(256), Unit(288, 3, 2)),
    (Unit(256), Unit(288, 3), Unit(320, 3, 2)),
    (Pooling("max", 2),),
)
_C: tuple[Branch, ...] = ((Unit(192),), (Unit(192), Unit(224, (1, 3)), Unit(256, (3, 1))))
_STAGES = ((_FIRST, _A, 10, 0.17), (_REDUCTION_A, _B, 20, 0.1), (_REDUCTION_B, _C, 10, 0.2))


def _write(net: Tracer, classes: int) -> Tensor:
    """The released network (TensorFlow's slim, as in timm), larger than the paper's figures.

    Its last module is neither scaled nor rectified.
    """
    x = write_stem(net, net.input)
    for s, (first, branches, depth, scale) in enumerate(_STAGES, start=1):
        x = net.block(f"stage{s}.module0", inception, x, branches=first)
        for b in range(1, depth + 1):
            last = s == 3 and b == depth
            x = net.block(
                f"stage{s}.module{b}",
                inception_residual,
                x,
                branches=branches,
                scale=1.0 if last else scale,
                relu=not last,
            )
    with net.scope("head"):
        x = conv_bn_relu(net, x, 1536, kernel=1, epsilon=BN_EPSILON)
        return net.dense(net.dropout(net.global_avg_pool(x), 0.2), classes)


BASELINES = {
    "inception_resnet_v2": Baseline(
        name="inception_resnet_v2",
        title="Inception-ResNet-v2",
        source="Szegedy et al. 2016, the released network; as in timm",
        input=(299, 299, 3),
        classes=1000,
        write=_write,
        smallest=75,
    )
}
