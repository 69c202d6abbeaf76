"""Quantities as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsearch.errors import UserError
from archsearch.units import (
    counted,
    format_count,
    format_ms,
    parse_flops,
    parse_image_size,
    parse_input,
    parse_latency,
    printable,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [("20M", 20_000_000), ("4G", 4 * 10**9), ("3.8g", 3_800_000_000), ("1500", 1500)],
)
def test_flops(text, value):
    assert parse_flops(text) == value


@pytest.mark.parametrize("text", ["", "G", "4 GG", "0", "-1M", "four", "4G\n5", "٤G", "1e3"])
def test_no_flops(text):
    with pytest.raises(UserError, match="write one like 20M"):
        parse_flops(text)


@pytest.mark.parametrize("text", ["9" * 400, "9" * 400 + "P", "1000000001P"])
def test_more_flops_than_there_are(text):
    with pytest.raises(UserError, match=r"at most; write one like 4G$") as error:
        parse_flops(text)
    assert len(str(error.value)) < 120


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4089184256, "4.09G"),
        (999_999, "1.00M"),
        (20_000_000, "20.0M"),
        (853_018, "853k"),
        (12, "12"),
        (0, "0"),
    ],
)
def test_counts(value, text):
    assert format_count(value) == text


@pytest.mark.parametrize(
    ("text", "value"), [("5ms", 5), (" .8 MS", 0.8), ("300us", 0.3), ("250µs", 0.25), ("1s", 1000)]
)
def test_latencies(text, value):
    assert parse_latency(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "5", "0ms", "-1ms", "5min", "5 m s", "5ms\n1", "٥ms", "1e9s"])
def test_no_latencies(text):
    with pytest.raises(UserError, match="write one like 5ms"):
        parse_latency(text)


def test_milliseconds():
    values = (0.0384, 0.9994, 0.9996, 9.994, 9.996, 99.94, 99.96, 1234.5)
    texts = ["0.038", "0.999", "1.00", "9.99", "10.0", "99.9", "100", "1234"]
    assert [format_ms(value) for value in values] == texts


@given(st.integers(1000, 10**15))
def test_a_written_count_reads_back_within_half_a_percent(value):
    assert parse_flops(format_count(value)) == pytest.approx(value, rel=0.006)


@pytest.mark.parametrize(("text", "size"), [("224x224x3", (224, 224, 3)), ("32X32", (32, 32, 3))])
def test_image_sizes(text, size):
    assert parse_image_size(text) == size


@pytest.mark.parametrize(
    ("text", "size"),
    [("64", (64, 64, None)), (" 64x48 ", (64, 48, 3)), ("64×48×1", (64, 48, 1))],
)
def test_a_square_alone_leaves_the_channels_to_the_data(text, size):
    assert parse_input(text) == size
    assert parse_image_size(text) == (*size[:2], size[2] or 3)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\u202eexe.gpj", "\\u202eexe.gpj"),
        ("\udcff", "\\xff"),
        ("[bold]🐜 é[/bold]", "[bold]🐜 é[/bold]"),
    ],
)
def test_names_become_one_line_that_a_terminal_can_show(name, line):
    assert printable(name) == line


@pytest.mark.parametrize("text", ["", "0", "0x32x3", "32x32x0", "axb", "32x32x3x1", "999999x1"])
def test_no_image_sizes(text):
    with pytest.raises(UserError):
        parse_image_size(text)


def test_counts_agree_with_their_noun():
    texts = [counted(number, "trial") for number in (0, 1, 2, 12_000)]
    assert texts == ["0 trials", "1 trial", "2 trials", "12,000 trials"]
