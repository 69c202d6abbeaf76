"""Images and labels: from what people have to arrays that training can use. No Keras in here."""

from archsearch.data.augment import NO_AUGMENTATION, Policy, augment, draw_moves, policy_for
from archsearch.data.balance import balanced_accuracy, class_weights, imbalance
from archsearch.data.dataset import SPLITS, Dataset, Split, SplitName, load
from archsearch.data.inspection import Inspection, inspect
from archsearch.data.prepare import prepare
from archsearch.data.sheet import contact_sheet
from archsearch.data.sources.names import open_source

__all__ = [
    "NO_AUGMENTATION",
    "SPLITS",
    "Dataset",
    "Inspection",
    "Policy",
    "Split",
    "SplitName",
    "augment",
    "balanced_accuracy",
    "class_weights",
    "contact_sheet",
    "draw_moves",
    "imbalance",
    "inspect",
    "load",
    "open_source",
    "policy_for",
    "prepare",
]
