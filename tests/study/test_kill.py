"""A driver killed for real, at moments of no one's choosing, leaves a study that goes on."""

import subprocess
import sys
from pathlib import Path

import pytest

from archsearch.errors import UserError
from archsearch.study import catalogue as studies
from tests.bench import table
from tests.study import toy_driver
from tests.world import STUDY

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]


def drive(home: Path, what: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.study.toy_driver", str(home), what]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def kill_after(driver: "subprocess.Popen[str]", events: int) -> None:
    with driver:
        for _ in range(events):
            assert driver.stdout.readline()
        driver.kill()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    home = tmp_path_factory.mktemp("calm")
    toy_driver.main(str(home), "run")
    return table(studies.load_result(STUDY, home=home))


def test_killed_once(tmp_path: Path, undisturbed: list[object]):
    assert resumed(tmp_path, (22,)) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("moments", [*((n,) for n in range(1, 60, 6)), (3, 6), (24, 9, 9)])
def test_killed_at_any_moment(tmp_path: Path, moments: tuple[int, ...], undisturbed: list[object]):
    assert resumed(tmp_path, moments) == undisturbed


def test_killed_before_the_first_trial(tmp_path: Path, undisturbed: list[object]):
    """There is no study yet, but `resume` and `delete` know of it."""
    kill_after(drive(tmp_path, "measure"), 2)
    [summary] = studies.list_studies(home=tmp_path)
    assert (summary.name, summary.status, summary.trials_done) == (STUDY, "interrupted", 0)
    with pytest.raises(UserError, match=f"no trial yet; `archsearch resume {STUDY} "):
        studies.load_result(STUDY, home=tmp_path)
    assert studies.count_networks(STUDY, home=tmp_path) == 0
    studies.delete_study(STUDY, home=tmp_path)
    assert studies.list_studies(home=tmp_path) == []
    kill_after(drive(tmp_path, "measure"), 2)
    assert resumed(tmp_path, ()) == undisturbed


def resumed(home: Path, moments: tuple[int, ...]) -> list[object]:
    """Kill a driver, and each that takes up its study, after so many events; then take it up here."""
    if moments:
        kill_after(drive(home, "run"), moments[0])
    for moment in moments[1:]:
        [summary] = studies.list_studies(home=home)
        assert (summary.status, summary.pid) == ("interrupted", None)
        kill_after(drive(home, "resume"), moment)
    toy_driver.main(str(home), "resume")
    result = studies.load_result(STUDY, home=home)
    assert result.status == "complete"
    return table(result)
