import pytest

from archsearch.archive.keys import JobKey, trial_name


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (JobKey("search", trial_name(7)), "trial-0007"),
        (JobKey("search", trial_name(12345)), "trial-12345"),
        (JobKey("search", trial_name(7), rung=2), "trial-0007-rung2"),
        (JobKey("final", trial_name(7), seed=1), "final-0007-seed1"),
        (JobKey("final", "resnet20_cifar", seed=12), "final-resnet20_cifar-seed12"),
        (JobKey("final", "odd-seed3-name", seed=2), "final-odd-seed3-name-seed2"),
        (JobKey("pace", "pace-1"), "pace-1"),
    ],
)
def test_a_key_is_read_as_it_was_written(key: JobKey, text: str):
    assert str(key) == text
    assert JobKey.parse(text) == key


@pytest.mark.parametrize("text", ["", "final-0007", "net", "pace-x", "final--seed"])
def test_what_is_no_key_is_refused(text: str):
    with pytest.raises(ValueError, match="no key of a training"):
        JobKey.parse(text)
