"""ConvNeXt: a ResNet brought up to date; its blocks are a depthwise 7×7 and an inverted bottleneck.

Liu et al. 2022, arXiv 2201.03545.
"""

from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline


def convnext_block(net: Tracer, x: Tensor, *, survival: float = 1.0) -> Tensor:
    """Depthwise 7×7, layer norm, 1×1 to four times the width, GELU, 1×1 back, layer scale; x added."""
    width = int(x.channels)  # type: ignore[arg-type]  # published widths are numbers
    y = net.conv(x, width, kernel=7, groups=width, bias=True)
    y = net.gelu(net.conv(net.layer_norm(y), 4 * width, kernel=1, bias=True))
    y = net.layer_scale(net.conv(y, width, kernel=1, bias=True))
    return net.add(x, y if survival == 1 else net.drop_path(y, survival))


def _write(
    net: Tracer, classes: int, depths: tuple[int, ...], width: int, dropped: float
) -> Tensor:
    """Write the network; in training the last block is dropped with probability `dropped`."""
    with net.scope("stem"):
        x = net.conv(net.input, width, kernel=4, stride=4, padding="valid", bias=True)
        x = net.layer_norm(x)
    index, last = 0, sum(depths) - 1
    for s, depth in enumerate(depths):
        if s:
            with net.scope(f"downsampling{s}"):
                x = net.layer_norm(x)
                x = net.conv(x, width * 2**s, kernel=2, stride=2, padding="valid", bias=True)
        for b in range(depth):
            survival = 1 - dropped * index / last
            x = net.block(f"stage{s + 1}.block{b + 1}", convnext_block, x, survival=survival)
            index += 1
    with net.scope("head"):
        return net.dense(net.layer_norm(net.global_avg_pool(x)), classes)


BASELINES = {
    "convnext_tiny": Baseline(
        name="convnext_tiny",
        title="ConvNeXt-T",
        source="Liu et al. 2022, table 9; as in timm",
        input=(224, 224, 3),
        classes=1000,
        write=lambda net, classes: _write(net, classes, (3, 3, 9, 3), 96, 0.1),
    )
}
