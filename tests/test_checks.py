import pytest

from archsearch.checks import check_study_name
from archsearch.errors import UserError


@pytest.mark.parametrize(
    "name",
    [
        "",
        " a",
        "a/b",
        "..",
        "a..b",
        "it's",
        'a"b',
        "a\nb",
        "a\0",
        "-n",
        ".x",
        "x" * 81,
        "`a`",
        "\ud800",
    ],
)
def test_bad_study_names(name):
    with pytest.raises(UserError, match="study name"):
        check_study_name(name)


def test_good_study_names():
    for name in ("resnext-20M-digits", "my study 2", "größer_1.5", "日本"):
        check_study_name(name)
