"""FractalNet: depth without residuals, columns of one, two, four … convolutions that meet in their mean.

Larsson, Maire & Shakhnarovich 2017, arXiv 1605.07648: f₁ is a convolution, f₍C+1₎ = mean(conv, f_C ∘ f_C); in
training, drop-path leaves columns out at the joins.
"""

from collections.abc import Sequence

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline
from search_spaces.parts import conv_bn_relu

DROP_PATH = 0.15  # the paper's, section 4.1


def fractal(net: Tracer, x: Tensor, *, filters: Width, columns: int, drop: float) -> Tensor:
    """`columns` columns, the last 2^(columns − 1) convolutions deep; columns that end together join once."""
    ends = _columns(net, x, filters, columns, drop)
    return _join(net, ends, drop)


def _columns(net: Tracer, x: Tensor, filters: Width, columns: int, drop: float) -> list[Tensor]:
    """Return the ends of all columns, side by side and not yet joined."""
    ends = [conv_bn_relu(net, x, filters, kernel=3)]
    if columns > 1:
        middle = _join(net, _columns(net, x, filters, columns - 1, drop), drop)
        ends += _columns(net, middle, filters, columns - 1, drop)
    return ends


def _join(net: Tracer, ends: Sequence[Tensor], drop: float) -> Tensor:
    return net.mean(*ends, drop=drop) if len(ends) > 1 else ends[0]


def _write(net: Tracer, classes: int) -> Tensor:
    """Five blocks of 3 columns, each followed by a pool: 32 → 1.

    The paper prints 38.6 M parameters; the recipe it states gives 33.7 M.
    """
    x = net.input
    # Dropout by block, of section 4.1.
    for i, (filters, rate) in enumerate(
        ((64, 0.0), (128, 0.1), (256, 0.2), (512, 0.3), (512, 0.4)), start=1
    ):
        x = net.block(f"stage{i}", fractal, x, filters=filters, columns=3, drop=DROP_PATH)
        x = net.max_pool(x, kernel=2, name=f"pool{i}")
        if rate:
            x = net.dropout(x, rate, name=f"drop{i}")
    with net.scope("head"):
        return net.dense(net.flatten(x), classes)


BASELINES = {
    "fractalnet20": Baseline(
        name="fractalnet20",
        title="FractalNet-20, 3 columns, for CIFAR",
        source="Larsson et al. 2017, section 4.1",
        input=(32, 32, 3),
        classes=10,
        write=_write,
        smallest=32,
    )
}
