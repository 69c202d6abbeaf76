"""SqueezeNet: fire modules, a 1×1 squeeze before 1×1 and 3×3 expansions side by side.

Iandola et al. 2016, arXiv 1602.07360: AlexNet's accuracy with 1/50 of its parameters.
"""

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline
from search_spaces.parts import conv_relu


def fire(net: Tracer, x: Tensor, *, squeeze: Width, expand1: Width, expand3: Width) -> Tensor:
    """Squeeze to few channels, expand by 1×1 and by 3×3, concatenate."""
    x = conv_relu(net, x, squeeze, kernel=1, name="squeeze")
    narrow = conv_relu(net, x, expand1, kernel=1, name="expand1x1")
    wide = conv_relu(net, x, expand3, kernel=3, name="expand3x3")
    return net.concat([narrow, wide])


_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))


def _published(
    version: str, stem: tuple[int, int], pools_before: tuple[int, int], smallest: int
) -> Baseline:
    """`stem` is (filters, kernel); a pool stands before the first fire and before those of these indices."""

    def write(net: Tracer, classes: int) -> Tensor:
        with net.scope("stem"):
            x = conv_relu(net, net.input, stem[0], kernel=stem[1], stride=2, padding="valid")
            x = net.max_pool(x, kernel=3, stride=2, ceil=True)
        for i, (squeeze, expand) in enumerate(_FIRES):
            if i in pools_before:
                x = net.max_pool(x, kernel=3, stride=2, ceil=True, name=f"pool{i + 2}")
            x = net.block(f"fire{i + 2}", fire, x, squeeze=squeeze, expand1=expand, expand3=expand)
        with net.scope("head"):
            x = conv_relu(net, net.dropout(x, 0.5), classes, kernel=1)
            return net.global_avg_pool(x)

    return Baseline(
        name=f"squeezenet{version.replace('.', '_')}",
        title=f"SqueezeNet {version}",
        source=("Iandola et al. 2016, table 1" if version == "1.0" else "the authors' version 1.1")
        + "; as in torchvision",
        input=(224, 224, 3),
        classes=1000,
        write=write,
        smallest=smallest,
    )


BASELINES = {
    b.name: b
    for b in (
        _published("1.0", (96, 7), (3, 7), smallest=21),
        _published("1.1", (64, 3), (2, 4), smallest=17),
    )
}
