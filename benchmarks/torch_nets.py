"""The networks of throughput.py a second time, by hand, as torchvision and timm write them.

Nothing here comes from archsearch's Graph: only a candidate's numbers (depths, widths, groups). That
parameters and FLOPs agree to the last digit shows that both sides train the same network.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a convolution that keeps the map's size at stride 1, without bias."""
    return nn.Conv2d(
        inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False
    )


class BasicBlock(nn.Module):
    """Two 3×3 convolutions, each followed by batch normalization."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv1 = conv(inputs, inner, 3, stride)
        self.bn1 = nn.BatchNorm2d(inner)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv(inner, outputs, 3)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch to its input."""
        identity = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += identity
        return self.relu(y)


class Bottleneck(nn.Module):
    """1×1, 3×3 (strided, in groups), 1×1."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv1 = conv(inputs, inner, 1)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = conv(inner, inner, 3, stride, groups)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = conv(inner, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch to its input."""
        identity = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y += identity
        return self.relu(y)


class PreActBlock(nn.Module):
    """BN-ReLU-conv twice, as in the wide residual networks."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, dropout: float, project: bool
    ) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv1 = conv(inputs, outputs, 3, stride)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout(dropout) if dropout else None
        self.conv2 = conv(outputs, outputs, 3)
        self.shortcut = conv(inputs, outputs, 1, stride) if project else None

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch to its input, projected after its BN-ReLU where it is projected."""
        ready = self.relu(self.bn1(x))
        y = self.relu(self.bn2(self.conv1(ready)))
        if self.dropout is not None:
            y = self.dropout(y)
        y = self.conv2(y)
        y += x if self.shortcut is None else self.shortcut(ready)
        return y


class DenseLayer(nn.Module):
    """BN-ReLU-(1×1, BN-ReLU-)3×3, appended to its input."""

    def __init__(self, inputs: int, growth: int, bottleneck: int | None) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)]
        if bottleneck is not None:
            layers += [conv(inputs, bottleneck, 1), nn.BatchNorm2d(bottleneck)]
            layers.append(nn.ReLU(inplace=True))
        layers.append(conv(bottleneck or inputs, growth, 3))
        self.new = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate along the channels."""
        return torch.cat([x, self.new(x)], 1)


class InvertedResidual(nn.Module):
    """1×1 up, depthwise, linear 1×1 down."""

    def __init__(
        self, inputs: int, hidden: int, outputs: int, stride: int, kernel: int, add: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            conv(inputs, hidden, 1),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            conv(hidden, hidden, kernel, stride, groups=hidden),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            conv(hidden, outputs, 1),
            nn.BatchNorm2d(outputs),
        )
        self.add = add

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch to its input where it has one to add to."""
        return x + self.conv(x) if self.add else self.conv(x)


def _stem(filters: int, *, large: bool, norm: bool = True) -> list[nn.Module]:
    layers: list[nn.Module] = [conv(3, filters, 7 if large else 3, 2 if large else 1)]
    layers += [nn.BatchNorm2d(filters), nn.ReLU(inplace=True)] if norm else []
    return layers + ([nn.MaxPool2d(3, 2, padding=1)] if large else [])


def _pooled(channels: int, classes: int, dropout: float = 0.0) -> list[nn.Module]:
    drop = [nn.Dropout(dropout)] if dropout else []
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *drop, nn.Linear(channels, classes)]


def resnet(
    block: type[BasicBlock] | type[Bottleneck],
    *,
    stem: int | None,
    depths: Sequence[int],
    inners: Sequence[int],
    outers: Sequence[int],
    groups: int = 1,
    large: bool = False,
    classes: int = 10,
) -> nn.Sequential:
    """ResNet and ResNeXt; every stage's first block projects its shortcut.

    Without a width of its own the stem has the first stage's, whose shortcuts are then identities.
    """
    channels = stem or outers[0]
    layers = _stem(channels, large=large)
    for s, (depth, inner, outer) in enumerate(zip(depths, inners, outers, strict=True)):
        for b in range(depth):
            stride = 2 if s and not b else 1
            unit = block(channels, inner, outer, stride, groups)
            if not b and (s or stem):
                unit.downsample = nn.Sequential(
                    conv(channels, outer, 1, stride), nn.BatchNorm2d(outer)
                )
            layers.append(unit)
            channels = outer
    return nn.Sequential(*layers, *_pooled(channels, classes))


def wide_resnet(
    *, stem: int | None, depth: int, widths: Sequence[int], dropout: float, classes: int = 10
) -> nn.Sequential:
    """WRN for small images: `depth` pre-activation blocks a stage; without a stem's width as `resnet`."""
    channels = stem or widths[0]
    layers = _stem(channels, large=False, norm=False)
    for s, width in enumerate(widths):
        for b in range(depth):
            stride = 2 if s and not b else 1
            layers.append(
                PreActBlock(channels, width, stride, dropout, project=not b and bool(s or stem))
            )
            channels = width
    layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, *_pooled(channels, classes))


def densenet(
    *,
    stem: int,
    growths: Sequence[Sequence[int]],
    bottlenecks: Sequence[int | None],
    transitions: Sequence[int],
    classes: int = 10,
) -> nn.Sequential:
    """DenseNet for small images; `growths` has every layer's, stage by stage."""
    layers, channels = _stem(stem, large=False, norm=False), stem
    for s, (stage, bottleneck) in enumerate(zip(growths, bottlenecks, strict=True)):
        for growth in stage:
            layers.append(DenseLayer(channels, growth, bottleneck))
            channels += growth
        layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        if s < len(transitions):
            layers += [conv(channels, transitions[s], 1), nn.AvgPool2d(2)]
            channels = transitions[s]
    return nn.Sequential(*layers, *_pooled(channels, classes))


def vgg(
    *, depths: Sequence[int], widths: Sequence[int], hidden: Sequence[int], side: int, classes: int
) -> nn.Sequential:
    """VGG with batch normalization; `hidden` dense layers, or a pooled head without any."""
    layers: list[nn.Module] = []
    channels = 3
    for depth, width in zip(depths, widths, strict=True):
        for _ in range(depth):
            layers += [conv(channels, width, 3), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
        if side >= 2:
            layers.append(nn.MaxPool2d(2))
            side //= 2
    if not hidden:
        return nn.Sequential(*layers, *_pooled(channels, classes))
    layers.append(nn.Flatten())
    channels *= side**2
    for units in hidden:
        layers += [nn.Linear(channels, units), nn.ReLU(inplace=True), nn.Dropout(0.5)]
        channels = units
    return nn.Sequential(*layers, nn.Linear(channels, classes))


def mobilenet_v2(
    *,
    stem: int,
    depths: Sequence[int],
    opens: Sequence[int],
    hiddens: Sequence[int],
    outers: Sequence[int],
    kernel: int,
    head: int,
    classes: int = 10,
) -> nn.Sequential:
    """MobileNetV2 for small images; a stage's first block is `opens` wide inside, the rest `hiddens`."""
    layers: list[nn.Module] = [conv(3, stem, 3), nn.BatchNorm2d(stem), nn.ReLU6(inplace=True)]
    channels = stem
    for s, depth in enumerate(depths):
        for b in range(depth):
            layers.append(
                InvertedResidual(
                    channels,
                    hiddens[s] if b else opens[s],
                    outers[s],
                    2 if s and not b else 1,
                    kernel,
                    add=b > 0,
                )
            )
            channels = outers[s]
    layers += [conv(channels, head, 1), nn.BatchNorm2d(head), nn.ReLU6(inplace=True)]
    return nn.Sequential(*layers, *_pooled(head, classes, dropout=0.2))


def resnet50(*, classes: int = 1000) -> nn.Module:
    """ResNet-50, as torchvision's."""
    return _imagenet([64, 128, 256, 512], groups=1, classes=classes)


def resnext50_32x4d(*, classes: int = 1000) -> nn.Module:
    """ResNeXt-50 32×4d, as torchvision's."""
    return _imagenet([128, 256, 512, 1024], groups=32, classes=classes)


def _imagenet(inners: Sequence[int], *, groups: int, classes: int) -> nn.Module:
    return resnet(
        Bottleneck,
        stem=64,
        depths=(3, 4, 6, 3),
        inners=inners,
        outers=[256, 512, 1024, 2048],
        groups=groups,
        large=True,
        classes=classes,
    )


def count(model: nn.Module, size: tuple[int, int, int]) -> tuple[int, int]:
    """Return FLOPs (multiply-adds of convolutions and dense layers) and trainable parameters.

    Args:
        model: images (n, channels, height, width) in.
        size: (height, width, channels) of one image.
    """
    total = 0

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, Tensor)
        total += weight[0].numel() * output.numel()

    hooks = [
        module.register_forward_hook(add)
        for module in model.modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    training = model.training
    model.eval()
    with torch.no_grad():
        model(torch.zeros(1, size[2], size[0], size[1]))
    model.train(training)
    for hook in hooks:
        hook.remove()
    return total, sum(parameter.numel() for parameter in model.parameters())
