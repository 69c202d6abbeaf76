"""Count every published network with PyTorch, from other libraries' models or straight from the papers.

    pip install torch torchvision timm && python tests/search_spaces/count_golden.py

writes golden_costs.json beside it. Not a test and not needed to run the tests: it is where their numbers come
from. Nothing of this project is imported here or in paper_networks.py; multiply-adds of convolution and dense
layers are counted by forward hooks, trainable parameters by PyTorch.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import paper_networks as papers
import timm
import torch
import torchvision.models as tv
from torch import nn

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


LARGE, SMALL, V3 = (224, 224, 3), (32, 32, 3), (299, 299, 3)
REGNETS = ("002", "004", "006", "008", "016", "032", "040", "064", "080")
SIDES = (224, 240, 260, 300, 380, 456, 528, 600)
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
        ("lenet5", (32, 32, 1), "LeCun et al. 1998, full C3", papers.lenet5),
        ("lenet5_lecture", (28, 28, 1), "the lecture: 20/50/500/10", papers.lenet5_lecture),
        ("alexnet_2012", (227, 227, 3), "Krizhevsky et al. 2012", papers.alexnet_2012),
        ("zfnet", LARGE, "Zeiler & Fergus 2013, figure 3", lambda: papers.zfnet(384, 384, 256)),
        ("zfnet_lecture", LARGE, "the lecture: 512/1024/512", lambda: papers.zfnet(512, 1024, 512)),
        ("nin", LARGE, "Lin et al. 2014, the authors' ImageNet model", papers.nin),
        ("nin_cifar", SMALL, "Lin et al. 2014, the authors' CIFAR-10 model", papers.nin_cifar),
        ("googlenet", LARGE, "Szegedy et al. 2014, table 1", papers.googlenet),
        ("googlenet_aux", LARGE, "Szegedy et al. 2014, table 1, in use: no heads", papers.googlenet),
        *((f"resnet{6 * n + 2}_cifar", SMALL, "He et al. 2015, section 4.2, option A",
           lambda n=n: papers.resnet_cifar(n)) for n in (3, 5, 7, 9, 18)),
        ("resnet110_stochastic_depth", SMALL, "Huang et al. 2016, all blocks present",
         lambda: papers.resnet_cifar(18)),
        ("preact_resnet110_cifar", SMALL, "He et al. 2016, option A", lambda: papers.preact_basic_cifar(18)),
        *((f"preact_resnet{9 * n + 2}_cifar", SMALL, "He et al. 2016, resnet-pre-act.lua",
           lambda n=n: papers.preact_bottleneck_cifar(n)) for n in (18, 111)),
        *((f"wrn_{d}_{k}", SMALL, "Zagoruyko & Komodakis 2016", lambda d=d, k=k: papers.wrn(d, k))
          for d, k in ((16, 8), (22, 8), (28, 10), (40, 4), (40, 8))),
        *((f"resnext29_{g}x64d", SMALL, "Xie et al. 2016, section 5.3",
           lambda g=g: papers.resnext29(g, 64)) for g in (8, 16)),
        ("densenet40_12", SMALL, "Huang et al. 2017", lambda: papers.densenet_cifar(40, 12, False)),
        ("densenet_bc_100_12", SMALL, "Huang et al. 2017", lambda: papers.densenet_cifar(100, 12, True)),
        ("densenet_bc_190_40", SMALL, "Huang et al. 2017", lambda: papers.densenet_cifar(190, 40, True)),
        ("fractalnet20", SMALL, "Larsson et al. 2017, 3 columns, 64-128-256-512-512",
         lambda: papers.fractalnet(3, (64, 128, 256, 512, 512))),
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
        *(from_timm(f"regnet{v}_{n}") for v in "xy" for n in REGNETS),
        from_timm("convnext_tiny"),
        *(from_timm(f"efficientnet_b{n}", shape=(side, side, 3)) for n, side in enumerate(SIDES)),
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
