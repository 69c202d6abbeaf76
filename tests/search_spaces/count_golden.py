"""Count every published network with PyTorch, from other libraries' models or straight from the papers.

    pip install torch torchvision timm && python tests/search_spaces/count_golden.py

writes golden_costs.json beside it. Not a test and not needed to run the tests: it is where their numbers come
from. Nothing of this project is imported here; conv and dense multiply-adds are counted by forward hooks,
trainable parameters by PyTorch.
"""

import json
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import timm
import torch
import torchvision.models as tv
from torch import nn
from torch.nn.functional import pad

Shape = tuple[int, int, int]


def count(model: nn.Module, shape: Shape) -> tuple[int, int]:
    flops = 0

    def of_conv(m: nn.Conv2d, _, out):
        nonlocal flops
        flops += out[0].numel() * (m.in_channels // m.groups) * m.kernel_size[0] * m.kernel_size[1]

    def of_linear(m: nn.Linear, _, out):
        nonlocal flops
        flops += out.numel() * m.in_features

    for m in model.modules():
        if isinstance(m, nn.Conv2d):
            m.register_forward_hook(of_conv)
        elif isinstance(m, nn.Linear):
            m.register_forward_hook(of_linear)
    with torch.no_grad():
        out = model.eval()(torch.zeros(1, shape[2], shape[0], shape[1]))
    assert out.dim() == 2, out.shape
    return flops, sum(p.numel() for p in model.parameters() if p.requires_grad)


# --- the papers' networks, written down plainly ------------------------------------------------


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


# --- the table ---------------------------------------------------------------------------------

LARGE, SMALL, V3 = (224, 224, 3), (32, 32, 3), (299, 299, 3)
Entry = tuple[str, Shape, str, Callable[[], nn.Module]]


def entries() -> list[Entry]:
    def from_torchvision(name, shape=LARGE, **more):
        make = getattr(tv, name)
        return (name, shape, "torchvision", lambda: make(weights=None, **more))

    def from_timm(name, theirs=None, shape=LARGE):
        theirs = theirs or name
        return (name, shape, f"timm {theirs}", lambda: timm.create_model(theirs))

    def from_paper(name, shape, paper, make):
        return (name, shape, f"{paper}, own PyTorch module", make)

    vgg = [f"vgg{n}{bn}" for n in (11, 13, 16, 19) for bn in ("", "_bn")]
    own = [
        ("lenet5", (32, 32, 1), "LeCun et al. 1998, full C3", lenet5),
        ("lenet5_lecture", (28, 28, 1), "the lecture: 20/50/500/10", lenet5_lecture),
        ("alexnet_2012", (227, 227, 3), "Krizhevsky et al. 2012", alexnet_2012),
        ("zfnet", LARGE, "Zeiler & Fergus 2013, figure 3", lambda: zfnet(384, 384, 256)),
        ("zfnet_lecture", LARGE, "the lecture: 512/1024/512", lambda: zfnet(512, 1024, 512)),
        ("nin", LARGE, "Lin et al. 2014, the authors' ImageNet model", nin),
        ("nin_cifar", SMALL, "Lin et al. 2014, the authors' CIFAR-10 model", nin_cifar),
        ("googlenet", LARGE, "Szegedy et al. 2014, table 1", googlenet),
        ("googlenet_aux", LARGE, "Szegedy et al. 2014, table 1, in use: no heads", googlenet),
        *((f"resnet{6 * n + 2}_cifar", SMALL, "He et al. 2015, section 4.2, option A",
           lambda n=n: resnet_cifar(n)) for n in (3, 5, 7, 9, 18)),
        ("resnet110_stochastic_depth", SMALL, "Huang et al. 2016, all blocks present",
         lambda: resnet_cifar(18)),
        ("preact_resnet110_cifar", SMALL, "He et al. 2016, option A", lambda: preact_basic_cifar(18)),
        *((f"preact_resnet{9 * n + 2}_cifar", SMALL, "He et al. 2016, resnet-pre-act.lua",
           lambda n=n: preact_bottleneck_cifar(n)) for n in (18, 111)),
        *((f"wrn_{d}_{k}", SMALL, "Zagoruyko & Komodakis 2016", lambda d=d, k=k: wrn(d, k))
          for d, k in ((16, 8), (22, 8), (28, 10), (40, 4), (40, 8))),
        *((f"resnext29_{g}x64d", SMALL, "Xie et al. 2016, section 5.3",
           lambda g=g: resnext29(g, 64)) for g in (8, 16)),
        ("densenet40_12", SMALL, "Huang et al. 2017", lambda: densenet_cifar(40, 12, False)),
        ("densenet_bc_100_12", SMALL, "Huang et al. 2017", lambda: densenet_cifar(100, 12, True)),
        ("densenet_bc_190_40", SMALL, "Huang et al. 2017", lambda: densenet_cifar(190, 40, True)),
        ("fractalnet20", SMALL, "Larsson et al. 2017, 3 columns, 64-128-256-512-512",
         lambda: fractalnet(3, (64, 128, 256, 512, 512))),
    ]  # fmt: skip
    return [
        *(from_torchvision(n) for n in ("alexnet", *vgg)),
        *(from_torchvision(f"resnet{n}") for n in (18, 34, 50, 101, 152)),
        *(from_torchvision(n) for n in ("wide_resnet50_2", "wide_resnet101_2")),
        *(from_torchvision(f"resnext{n}") for n in ("50_32x4d", "101_32x8d", "101_64x4d")),
        *(from_torchvision(f"densenet{n}") for n in (121, 161, 169, 201)),
        *(from_torchvision(n) for n in ("squeezenet1_0", "squeezenet1_1", "mobilenet_v2")),
        from_torchvision("inception_v3", V3, aux_logits=False, init_weights=False),
        from_timm("inception_v4", shape=V3),
        from_timm("inception_resnet_v2", shape=V3),
        from_timm("resnext101_32x4d"),
        *(from_timm(f"resnet{n}v2", f"resnetv2_{n}") for n in (50, 101, 152)),
        *(from_timm(n) for n in ("seresnet50", "seresnext50_32x4d", "senet154")),
        from_timm("mobilenet_v1", "mobilenetv1_100"),
        *(from_paper(*entry) for entry in own),
    ]


def main() -> None:
    out = {}
    for name, shape, origin, make in entries():
        flops, params = count(make(), shape)
        out[name] = {"input": shape, "flops": flops, "params": params, "origin": origin}
        print(name, flops, params, file=sys.stderr)
    lines = [f" {json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(out.items())]
    versions = f"PyTorch {torch.__version__}, timm {timm.__version__}"
    text = ",\n".join([f' "counted with": {json.dumps(versions)}', *lines])
    Path(__file__).with_name("golden_costs.json").write_text(f"{{\n{text}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
