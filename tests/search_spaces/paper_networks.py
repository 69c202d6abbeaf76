"""Published networks written down in PyTorch straight from their papers: see count_golden.py.

Nothing of this project is imported here, and nothing here is run by its tests.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import pad


def conv(i, o, k, s=1, p=0, g=1):
    """Convolution with bias, ReLU: before batch normalisation."""
    return nn.Sequential(nn.Conv2d(i, o, k, s, p, groups=g), nn.ReLU())


def cbr(i, o, k, s=1, p=0, g=1):
    return nn.Sequential(
        nn.Conv2d(i, o, k, s, p, groups=g, bias=False), nn.BatchNorm2d(o), nn.ReLU()
    )


def brc(i, o, k, s=1, p=0):
    return nn.Sequential(nn.BatchNorm2d(i), nn.ReLU(), nn.Conv2d(i, o, k, s, p, bias=False))


def fc(*sizes):
    return [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())][:-1]


def gap():
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]


def lenet5():
    return nn.Sequential(
        conv(1, 6, 5), nn.AvgPool2d(2), conv(6, 16, 5), nn.AvgPool2d(2), nn.Flatten(),
        *fc(400, 120, 84, 10),
    )  # fmt: skip


def lenet5_lecture():
    return nn.Sequential(
        conv(1, 20, 5, p=2), nn.MaxPool2d(2), conv(20, 50, 5, p=2), nn.MaxPool2d(2), nn.Flatten(),
        *fc(2450, 500, 10),
    )  # fmt: skip


def alexnet_2012():
    pool = nn.MaxPool2d(3, 2)
    return nn.Sequential(
        conv(3, 96, 11, 4), pool, conv(96, 256, 5, p=2, g=2), pool, conv(256, 384, 3, p=1),
        conv(384, 384, 3, p=1, g=2), conv(384, 256, 3, p=1, g=2), pool, nn.Flatten(),
        *fc(9216, 4096, 4096, 1000),
    )  # fmt: skip


def zfnet(a, b, c):
    """Paper's figure 3: 224 → 110 → 55 → 26 → 13 → 6."""
    pool = nn.MaxPool2d(3, 2, 1)
    return nn.Sequential(
        conv(3, 96, 7, 2, 1), pool, conv(96, 256, 5, 2), pool, conv(256, a, 3, p=1),
        conv(a, b, 3, p=1), conv(b, c, 3, p=1), nn.MaxPool2d(3, 2), nn.Flatten(),
        *fc(c * 36, 4096, 4096, 1000),
    )  # fmt: skip


def nin():
    """The authors' Caffe model for ImageNet; its pools round up."""
    pool = nn.MaxPool2d(3, 2, ceil_mode=True)
    return nn.Sequential(
        conv(3, 96, 11, 4), conv(96, 96, 1), conv(96, 96, 1), pool,
        conv(96, 256, 5, p=2), conv(256, 256, 1), conv(256, 256, 1), pool,
        conv(256, 384, 3, p=1), conv(384, 384, 1), conv(384, 384, 1), pool,
        conv(384, 1024, 3, p=1), conv(1024, 1024, 1), conv(1024, 1000, 1), *gap(),
    )  # fmt: skip


def nin_cifar():
    return nn.Sequential(
        conv(3, 192, 5, p=2), conv(192, 160, 1), conv(160, 96, 1),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        conv(96, 192, 5, p=2), conv(192, 192, 1), conv(192, 192, 1),
        nn.AvgPool2d(3, 2, ceil_mode=True),
        conv(192, 192, 3, p=1), conv(192, 192, 1), conv(192, 10, 1), *gap(),
    )  # fmt: skip


class Inception(nn.Module):
    def __init__(self, i, a, b1, b3, c1, c5, d):
        super().__init__()
        self.branches = nn.ModuleList([
            conv(i, a, 1), nn.Sequential(conv(i, b1, 1), conv(b1, b3, 3, p=1)),
            nn.Sequential(conv(i, c1, 1), conv(c1, c5, 5, p=2)),
            nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(i, d, 1)),
        ])  # fmt: skip

    def forward(self, x):
        return torch.cat([b(x) for b in self.branches], 1)


def googlenet():
    """Table 1 of the paper."""
    pool = nn.MaxPool2d(3, 2, ceil_mode=True)
    return nn.Sequential(
        conv(3, 64, 7, 2, 3), pool, conv(64, 64, 1), conv(64, 192, 3, p=1), pool,
        Inception(192, 64, 96, 128, 16, 32, 32), Inception(256, 128, 128, 192, 32, 96, 64), pool,
        Inception(480, 192, 96, 208, 16, 48, 64), Inception(512, 160, 112, 224, 24, 64, 64),
        Inception(512, 128, 128, 256, 24, 64, 64), Inception(512, 112, 144, 288, 32, 64, 64),
        Inception(528, 256, 160, 320, 32, 128, 128), pool,
        Inception(832, 256, 160, 320, 32, 128, 128), Inception(832, 384, 192, 384, 48, 128, 128),
        *gap(), *fc(1024, 1000),
    )  # fmt: skip


class Residual(nn.Module):
    """x → after(body(x) + shortcut(x)); `shared` runs before both."""

    def __init__(self, body, shortcut=None, after=None, shared=None):
        super().__init__()
        none = nn.Identity()
        self.body, self.shortcut = body, shortcut or none
        self.after, self.shared = after or none, shared or none

    def forward(self, x):
        x = self.shared(x)
        return self.after(self.body(x) + self.shortcut(x))


class OptionA(nn.Module):
    """Subsample, then pad with zero channels."""

    def __init__(self, i, o, s):
        super().__init__()
        self.s, self.more = s, o - i

    def forward(self, x):
        return pad(
            x[:, :, :: self.s, :: self.s],
            (0, 0, 0, 0, self.more // 2, self.more - self.more // 2),
        )


def stages(block, i, outs, n):
    blocks = []
    for s, o in enumerate(outs):
        for b in range(n):
            blocks.append(block(i, o, 2 if s and not b else 1))
            i = o
    return blocks


def resnet_cifar(n):
    def block(i, o, s):
        body = nn.Sequential(
            cbr(i, o, 3, s, 1), nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        )
        return Residual(body, OptionA(i, o, s), nn.ReLU())

    return nn.Sequential(
        cbr(3, 16, 3, 1, 1), *stages(block, 16, (16, 32, 64), n), *gap(), *fc(64, 10)
    )


def preact_basic_cifar(n):
    def block(i, o, s):
        return Residual(nn.Sequential(brc(i, o, 3, s, 1), brc(o, o, 3, 1, 1)), OptionA(i, o, s))

    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False), *stages(block, 16, (16, 32, 64), n),
        nn.BatchNorm2d(64), nn.ReLU(), *gap(), *fc(64, 10),
    )  # fmt: skip


def preact_bottleneck_cifar(n):
    """resnet-pre-act.lua: stride in the first 1×1; where widths change, one BN-ReLU before both paths."""

    def block(i, o, s):
        c = o // 4
        tail = (brc(c, c, 3, 1, 1), brc(c, o, 1))
        if i == o:
            return Residual(nn.Sequential(brc(i, c, 1), *tail))
        return Residual(
            nn.Sequential(nn.Conv2d(i, c, 1, s, bias=False), *tail),
            nn.Conv2d(i, o, 1, s, bias=False),
            shared=nn.Sequential(nn.BatchNorm2d(i), nn.ReLU()),
        )

    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False), *stages(block, 16, (64, 128, 256), n),
        nn.BatchNorm2d(256), nn.ReLU(), *gap(), *fc(256, 10),
    )  # fmt: skip


def wrn(depth, k):
    def block(i, o, s):
        tail = brc(o, o, 3, 1, 1)
        if i == o:
            return Residual(nn.Sequential(brc(i, o, 3, s, 1), tail))
        return Residual(
            nn.Sequential(nn.Conv2d(i, o, 3, s, 1, bias=False), tail),
            nn.Conv2d(i, o, 1, s, bias=False),
            shared=nn.Sequential(nn.BatchNorm2d(i), nn.ReLU()),
        )

    outs = (16 * k, 32 * k, 64 * k)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False), *stages(block, 16, outs, (depth - 4) // 6),
        nn.BatchNorm2d(64 * k), nn.ReLU(), *gap(), *fc(64 * k, 10),
    )  # fmt: skip


def resnext29(g, d):
    def block(i, o, s):
        c = g * d * o // 256
        body = nn.Sequential(
            cbr(i, c, 1), cbr(c, c, 3, s, 1, g), nn.Conv2d(c, o, 1, bias=False), nn.BatchNorm2d(o)
        )
        project = nn.Sequential(nn.Conv2d(i, o, 1, s, bias=False), nn.BatchNorm2d(o))
        return Residual(body, project if i != o else None, nn.ReLU())

    return nn.Sequential(
        cbr(3, 64, 3, 1, 1), *stages(block, 64, (256, 512, 1024), 3), *gap(), *fc(1024, 10)
    )


class Dense(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return torch.cat([x, self.body(x)], 1)


def densenet_cifar(depth, growth, bottleneck):
    """Huang et al., section 4: 16 channels first, in BC form twice the growth rate; θ = 0.5 with BC."""
    width = 2 * growth if bottleneck else 16
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1, bias=False)]
    for stage in range(3):
        for _ in range((depth - 4) // (6 if bottleneck else 3)):
            body = (
                nn.Sequential(brc(width, 4 * growth, 1), brc(4 * growth, growth, 3, 1, 1))
                if bottleneck
                else brc(width, growth, 3, 1, 1)
            )
            layers.append(Dense(body))
            width += growth
        if stage < 2:
            after = width // 2 if bottleneck else width
            layers += [brc(width, after, 1), nn.AvgPool2d(2)]
            width = after
    return nn.Sequential(*layers, nn.BatchNorm2d(width), nn.ReLU(), *gap(), *fc(width, 10))


class Fractal(nn.Module):
    """f₁ is a convolution; f₍C+1₎(z) = mean of conv(z) and f_C(f_C(z)), joined once for all columns."""

    def __init__(self, i, o, columns):
        super().__init__()
        self.short = cbr(i, o, 3, 1, 1)
        self.long = (
            nn.ModuleList([Fractal(i, o, columns - 1), Fractal(o, o, columns - 1)])
            if columns > 1
            else None
        )

    def parts(self, x):
        """Outputs that meet in one join."""
        if self.long is None:
            return [self.short(x)]
        first, second = self.long
        return [self.short(x), *second.parts(first(x))]

    def forward(self, x):
        return torch.stack(self.parts(x)).mean(0)


def fractalnet(columns, outs):
    layers, i = [], 3
    for o in outs:
        layers += [Fractal(i, o, columns), nn.MaxPool2d(2)]
        i = o
    return nn.Sequential(*layers, nn.Flatten(), *fc(i, 10))
