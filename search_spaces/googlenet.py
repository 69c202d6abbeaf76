"""GoogLeNet: 22 layers of Inception modules, twelve times fewer parameters than AlexNet.

Szegedy et al. 2014, arXiv 1409.4842, table 1.
"""

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline, BaselineBuilder
from search_spaces.inception import Branch, Pooling, Unit, inception
from search_spaces.parts import conv_relu


def module(
    one: Width, reduce3: Width, three: Width, reduce5: Width, five: Width, pooled: Width
) -> tuple[Branch, ...]:
    """Return GoogLeNet's four branches, in the order of the paper's table 1."""
    return (
        (Unit(one),),
        (Unit(reduce3), Unit(three, 3)),
        (Unit(reduce5), Unit(five, 5)),
        (Pooling("max"), Unit(pooled)),
    )


_GOOGLENET = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def _auxiliary_head(net: Tracer, x: Tensor, name: str, classes: int) -> None:
    """Average pool 5×5/3, 1×1 to 128, dense 1024, dropout 70 %, scores: in training only."""
    with net.training_only(name):
        x = conv_relu(net, net.avg_pool(x, kernel=5, stride=3), 128, kernel=1)
        x = net.dropout(net.relu(net.dense(net.flatten(x), 1024)), 0.7)
        net.auxiliary(net.dense(x, classes))


def _googlenet(*, auxiliary: bool) -> BaselineBuilder:
    def write(net: Tracer, classes: int) -> Tensor:
        with net.scope("stem"):
            x = conv_relu(net, net.input, 64, kernel=7, stride=2)
            x = net.local_response_norm(net.max_pool(x, kernel=3, stride=2, ceil=True))
            x = conv_relu(net, conv_relu(net, x, 64, kernel=1), 192, kernel=3)
            x = net.max_pool(net.local_response_norm(x), kernel=3, stride=2, ceil=True)
        for name, widths in _GOOGLENET.items():
            if name in ("4a", "5a"):
                x = net.max_pool(
                    x, kernel=3, stride=2, ceil=True, name=f"stage{int(name[0]) - 1}.pool"
                )
            path = f"stage{name[0]}.module{name[1]}"
            x = net.block(path, inception, x, branches=module(*widths), batch_norm=False)
            if auxiliary and name in ("4a", "4d"):
                _auxiliary_head(net, x, f"auxiliary{name}", classes)
        with net.scope("head"):
            return net.dense(net.dropout(net.global_avg_pool(x), 0.4), classes)

    return write


BASELINES = {
    b.name: b
    for b in (
        Baseline(
            name="googlenet",
            title="GoogLeNet",
            source="Szegedy et al. 2014, table 1: 5×5 branches, no batch normalisation",
            input=(224, 224, 3),
            classes=1000,
            write=_googlenet(auxiliary=False),
        ),
        Baseline(
            name="googlenet_aux",
            title="GoogLeNet with its auxiliary classifiers",
            source="Szegedy et al. 2014, section 5; they are there in training only and cost nothing in use",
            input=(224, 224, 3),
            classes=1000,
            write=_googlenet(auxiliary=True),
            smallest=79,
        ),
    )
}
