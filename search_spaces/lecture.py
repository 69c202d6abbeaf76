"""The lecture's families in one space (see `archsearch.space.union`)."""

from archsearch.space.union import UnionSpace, bounds_of
from search_spaces.densenet import DENSENET
from search_spaces.fractal import FRACTAL
from search_spaces.inception import INCEPTION
from search_spaces.inception_resnet import INCEPTION_RESNET
from search_spaces.lenet import LENET
from search_spaces.mobilenet import MOBILENET
from search_spaces.mobilenet_v2 import MOBILENET_V2
from search_spaces.nin import NIN
from search_spaces.preact import PREACT
from search_spaces.resnet import RESNET
from search_spaces.resnext import RESNEXT
from search_spaces.se import SE
from search_spaces.squeezenet import SQUEEZENET
from search_spaces.stochastic_depth import STOCHASTIC_DEPTH
from search_spaces.vgg import VGG
from search_spaces.wrn import WRN

_FAMILIES = (
    LENET, VGG, NIN, INCEPTION, RESNET, PREACT, WRN, RESNEXT, STOCHASTIC_DEPTH, FRACTAL, DENSENET,
    SQUEEZENET, SE, MOBILENET, MOBILENET_V2, INCEPTION_RESNET,
)  # fmt: skip
_BOUNDS = bounds_of(_FAMILIES)


class LectureSpace(UnionSpace):
    """All of them; the classic is a ResNet of middling depth."""

    name = "lecture"
    title = "all families of the lecture, the family itself a knob"
    usual = "resnet"
    least_base = _BOUNDS["least_base"]
    most_base = _BOUNDS["most_base"]


LECTURE = LectureSpace(_FAMILIES)
