from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from typing import Literal

import pytest

from archsearch.errors import UserError
from archsearch.fields import as_shown, kind_of, setting, settings_of


@dataclass
class Asked:
    count: int | None = field(default=None, metadata=setting("How many.", least=2, most=9))
    share: float = field(
        default=0.5, metadata=setting("How much: {default}.", within=(0, 2), after="last")
    )
    names: str = field(default="a", metadata=setting("Which.", form="names", flag="which"))
    last: bool = field(default=False, metadata=setting("Whether."))
    first_of_all: str = field(metadata=setting("Needed."), kw_only=True)


FOUND = settings_of(Asked)


def test_a_field_says_all_there_is_of_a_setting():
    assert [s.kind for s in FOUND.values()] == [int, float, str, bool, str]
    assert [s.flag for s in FOUND.values()] == [
        "--count", "--share", "--which", "--last", "--first-of-all"
    ]  # fmt: skip
    assert [s.optional for s in FOUND.values()] == [True, False, False, False, False]
    assert [s.default for s in FOUND.values()] == [None, 0.5, "a", False, None]


def test_help_tells_the_default_that_the_field_has():
    assert FOUND["share"].help == "How much: 0.5."
    assert FOUND["count"].help == "How many."


def test_a_field_that_says_nothing_is_refused():
    silent = make_dataclass("Silent", [("a", int, field(default=1))])
    with pytest.raises(TypeError, match=r"Silent\.a declares no setting; write field\(metadata="):
        settings_of(silent)
    other = make_dataclass("Other", [("a", int, field(default=1, metadata={"help": "x"}))])
    with pytest.raises(TypeError, match="declares no setting"):
        settings_of(other)


def test_help_shows_settings_in_order_but_for_those_that_stand_behind_another():
    assert [s.name for s in as_shown(FOUND.values())] == [
        "count", "names", "last", "share", "first_of_all"
    ]  # fmt: skip
    with pytest.raises(ValueError, match="behind what is share to stand"):
        as_shown([FOUND["share"], FOUND["count"]])


def test_ranges_are_the_fields_own():
    for value in (1, 10, 2**31):
        with pytest.raises(UserError, match="count is "):
            FOUND["count"].check(value)
    FOUND["count"].check(9)
    with pytest.raises(UserError, match=r"share is 2\.0; it must lie between 0 and 2"):
        FOUND["share"].check(2.0)
    FOUND["count"].check(None)  # not given


def test_values_are_taken_as_the_fields_type():
    assert FOUND["names"].take(["b", "a"]) == "b,a"
    assert FOUND["names"].take({"b", "a"}) == "a,b"
    assert type(FOUND["share"].take(1)) is float
    with pytest.raises(UserError, match=r"file: count is 2\.0; it must be a whole number"):
        FOUND["count"].take(2.0, where="file: ")


@pytest.mark.parametrize(
    ("hint", "kind"),
    [
        (int, int), (float | None, float), (Literal["a", "b"], str), (tuple[float, ...], tuple),
        (Mapping[str, int], Mapping),
    ],
)  # fmt: skip
def test_kind_of_an_annotation(hint, kind):
    assert kind_of(hint).__name__ == kind.__name__
