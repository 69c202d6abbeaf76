"""MobileNet: a depthwise 3×3 for space, a 1×1 for channels, in place of a full convolution.

Howard et al. 2017, arXiv 1704.04861: 1/C + 1/9 of the FLOPs of a 3×3 to C channels.
"""

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline
from search_spaces.parts import conv_bn_relu, pooled_head


def separable(net: Tracer, x: Tensor, *, filters: Width, stride: int) -> Tensor:
    """Depthwise 3×3, BN, ReLU; 1×1, BN, ReLU."""
    x = conv_bn_relu(net, x, x.channels, kernel=3, stride=stride, groups=x.channels)
    return conv_bn_relu(net, x, filters, kernel=1)


def _write_v1(net: Tracer, classes: int) -> Tensor:
    with net.scope("stem"):
        x = conv_bn_relu(net, net.input, 32, kernel=3, stride=2)
    layers = ((64,), (128, 128), (256, 256), (512,) * 6, (1024, 1024))
    for s, stage in enumerate(layers):
        for b, filters in enumerate(stage):
            stride = 2 if s and not b else 1
            x = net.block(
                f"stage{s + 1}.block{b + 1}", separable, x, filters=filters, stride=stride
            )
    return pooled_head(net, x, classes)


BASELINES = {
    "mobilenet_v1": Baseline(
        name="mobilenet_v1",
        title="MobileNet 1.0",
        source="Howard et al. 2017, table 1; as timm's mobilenetv1_100, but ReLU as in the paper",
        input=(224, 224, 3),
        classes=1000,
        write=_write_v1,
    )
}
