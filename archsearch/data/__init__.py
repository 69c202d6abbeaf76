"""Images and labels: from what people have to arrays that training can use. No Keras in here."""

from archsearch.data.augment import NO_AUGMENTATION, Policy, augment, policy_for
from archsearch.data.dataset import SPLITS, Dataset, Split, SplitName, load
from archsearch.data.prepare import prepare

__all__ = [
    "NO_AUGMENTATION",
    "SPLITS",
    "Dataset",
    "Policy",
    "Split",
    "SplitName",
    "augment",
    "load",
    "policy_for",
    "prepare",
]
