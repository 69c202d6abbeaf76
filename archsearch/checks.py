"""Texts that a run is asked with, and what may be wrong with them."""

from typing import Final

from archsearch.errors import UserError
from archsearch.units import parse_flops, parse_slices, split_names

RESIZES: Final = ("crop", "squash")
TRAINED_ON: Final = ("train", "train+val")
BASELINE_WORDS: Final = ("matched", "published", "all", "none")


def check_study_name(name: str) -> None:
    """Refuse a study name that is no safe file name, or hard to type in a shell.

    Raises:
        UserError: the name is empty, too long, no text at all, or has characters that do not work.
    """
    if not isinstance(name, str):
        raise UserError(f"{name!r} is no study's name; give a text, such as 'resnext-20M-digits'")
    bad = sorted({c for c in name if c in "/\\'\"`" or not c.isprintable()})
    if bad:
        fault = f"has {' '.join(map(repr, bad))} in it"
    elif not name.strip() or name != name.strip():
        fault = "is empty or starts or ends with a space"
    elif len(name) > 80 or len(name.encode("utf-8", "surrogatepass")) > 200:
        fault = "is too long"
    elif ".." in name or name.startswith((".", "-")):
        fault = "has '..' in it, or starts with a dot or a dash"
    else:
        return
    raise UserError(
        f"study name {name!r} {fault}; use letters, digits, spaces, '-', '_' and '.', "
        "80 characters at most"
    )


def check_space(text: str) -> None:
    """Refuse a space without a name; whether there is one is seen later.

    Raises:
        UserError: the text is empty.
    """
    if not text:
        raise UserError("the space has no name; `archsearch spaces` lists what there is")


def check_budget(text: str) -> None:
    """Refuse what is no budget in FLOPs, `4G` or `3.8G:4.2G`, and no list of them, `100M,200M`.

    Raises:
        UserError: a bound is no number of FLOPs, the lower one is the higher, or two of a list are one.
    """
    if parse_slices(text):
        return
    low, colon, high = text.partition(":")
    if parse_flops(low) > parse_flops(high if colon else low):
        raise UserError(f"budget {text!r} starts above its end; write {high}:{low}")


def check_resize(text: str) -> None:
    """Refuse what is no way to bring images to a size.

    Raises:
        UserError: it is neither of RESIZES.
    """
    if text not in RESIZES:
        raise UserError(f"resize is {text!r}; it must be {' or '.join(RESIZES)}")


def check_data(text: str) -> None:
    """Refuse data without a name.

    Raises:
        UserError: the text is empty.
    """
    if not text:
        raise UserError("data is empty; give digits, a folder of images or an .npz file")


def check_network(text: str) -> None:
    """Refuse a network without a name.

    Raises:
        UserError: the text is empty.
    """
    if not text:
        raise UserError("network is empty; give a study, a baseline's name or a file")


def check_folds(text: str) -> None:
    """Refuse what is no number of splits.

    Raises:
        UserError: it is neither `auto` nor `none` nor a number from 1.
    """
    if text not in ("auto", "none") and not (text.isascii() and text.isdecimal() and int(text)):
        raise UserError(f"folds is {text!r}; it must be auto, none or a number of splits, as 5")


def check_train_on(text: str) -> None:
    """Refuse splits that are not for a full training to train on.

    Raises:
        UserError: it is none of TRAINED_ON.
    """
    if text not in TRAINED_ON:
        raise UserError(
            f"train_on is {text!r}; it must be {' or '.join(TRAINED_ON)}: the test images only judge"
        )


def check_baselines(text: str) -> None:
    """Refuse baselines that are neither one of BASELINE_WORDS nor names; `matched` may be among these.

    Raises:
        UserError: there are none, or a word that stands for several is among others.
    """
    names = split_names(text)
    if not names:
        raise UserError(f"baselines is empty; give {', '.join(BASELINE_WORDS)} or names")
    mixed = sorted(set(names) & set(BASELINE_WORDS) - {"matched"})
    if mixed and len(names) > 1:
        raise UserError(
            f"baselines {text!r} mixes {mixed[0]!r} with others; "
            f"give one of {', '.join(BASELINE_WORDS)}, or names"
        )
