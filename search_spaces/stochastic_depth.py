"""Stochastic depth: whole residual blocks dropped at random in training, all of them used at test time.

Huang, Sun, Liu, Sedra & Weinberger 2016, arXiv 1603.09382: a block's survival falls linearly with its depth.
"""

from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline
from search_spaces.residual import padded_basic
from search_spaces.resnet import padded_network


def survival(index: int, blocks: int, last: float) -> float:
    """Return the survival of the block `index` (from 0): 1 − (l / L)(1 − p_L), equation 4."""
    return round(1 - (index + 1) / blocks * (1 - last), 6)


def _write(net: Tracer, classes: int) -> Tensor:
    return padded_network(
        net, classes, 110, padded_basic, lambda index: {"survival": survival(index, 54, 0.5)}
    )


BASELINES = {
    "resnet110_stochastic_depth": Baseline(
        name="resnet110_stochastic_depth",
        title="ResNet-110 with stochastic depth, for CIFAR",
        source="Huang et al. 2016: ResNet-110 with option A shortcuts, survival 1 to 0.5",
        input=(32, 32, 3),
        classes=10,
        write=_write,
        smallest=8,
    )
}
