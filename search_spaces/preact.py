"""Pre-activation ResNet: BN → ReLU → convolution, so that only additions stand on the shortcut's path.

He, Zhang, Ren & Sun 2016, "Identity mappings in deep residual networks", arXiv 1603.05027.
"""

from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline
from search_spaces.parts import last_bn_relu, pooled_head, preact_stem
from search_spaces.residual import padded_preact_basic, preact_bottleneck
from search_spaces.resnet import padded_network, residual_stages


def _cifar(layers: int) -> Baseline:
    """Bottlenecks as in the authors' Torch code (resnet-pre-act.lua): stride in the first 1×1."""
    depth = (layers - 2) // 9

    def write(net: Tracer, classes: int) -> Tensor:
        x = preact_stem(net, net.input, 16, large=False)
        inners = [16 * 2**s for s in range(3)]
        x = residual_stages(
            net,
            x,
            preact_bottleneck,
            (depth,) * 3,
            inners,
            [4 * inner for inner in inners],
            strided="1x1",
        )
        return pooled_head(net, last_bn_relu(net, x), classes)

    return Baseline(
        name=f"preact_resnet{layers}_cifar",
        title=f"Pre-activation ResNet-{layers} for CIFAR",
        source="He et al. 2016, bottlenecks as in the authors' resnet-pre-act.lua",
        input=(32, 32, 3),
        classes=10,
        write=write,
        smallest=8,
    )


def _imagenet(layers: int, depths: tuple[int, ...]) -> Baseline:
    def write(net: Tracer, classes: int) -> Tensor:
        x = preact_stem(net, net.input, 64, large=True)
        inners = [64 * 2**s for s in range(4)]
        x = residual_stages(
            net, x, preact_bottleneck, depths, inners, [4 * inner for inner in inners]
        )
        return pooled_head(net, last_bn_relu(net, x), classes)

    return Baseline(
        name=f"resnet{layers}v2",
        title=f"ResNet-{layers} v2",
        source=f"He et al. 2016; stride in the 3×3, as timm's resnetv2_{layers}",
        input=(224, 224, 3),
        classes=1000,
        write=write,
    )


BASELINES = {
    b.name: b
    for b in (
        Baseline(
            name="preact_resnet110_cifar",
            title="Pre-activation ResNet-110 for CIFAR",
            source="He et al. 2016, table 2: basic blocks, option A shortcuts",
            input=(32, 32, 3),
            classes=10,
            write=lambda net, classes: padded_network(net, classes, 110, padded_preact_basic),
            smallest=8,
        ),
        _cifar(164),
        _cifar(1001),
        _imagenet(50, (3, 4, 6, 3)),
        _imagenet(101, (3, 4, 23, 3)),
        _imagenet(152, (3, 8, 36, 3)),
    )
}
