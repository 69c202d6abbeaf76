import pytest

from archsearch.report.board import Board, JobLine


@pytest.mark.parametrize("width", [1, 10, 20, 39, 60, 80, 200])
def test_no_line_is_wider_than_the_window(width: int):
    jobs = {
        "a": JobLine(
            "resnext 3-4-6-3 G32", 10, 3, "loss 1.234  val 75.0%  150 images/s", "val 75.0%"
        ),
        "b": JobLine("vgg " + "1-" * 40, 10, note="20.0M FLOPs, 134k parameters"),
    }
    board = Board("search", 3, 8, "best 90.7%, about 12 min 37 s left", jobs)
    lines = board.lines(width)
    assert len(lines) == 3
    assert all(len(line) <= width for line in lines)


def test_what_matters_stays_where_there_is_little_room():
    job = JobLine("resnext 3-4-6-3 G32", 10, 3, "loss 1.234  val 75.0%  150 images/s", "val 75.0%")
    board = Board("search", 3, 8, "best 90.7%", {"a": job})
    assert board.lines(80)[0].startswith("search ━━")
    assert board.lines(80)[1].endswith("3/10  loss 1.234  val 75.0%  150 images/s")
    stage, network = board.lines(39)
    assert stage.endswith("3/8  best 90.7%")
    assert network.startswith("  resnext 3-4-6-3")
    assert network.endswith("3/10  val 75.0%")
    assert Board().lines(80) == []


def test_a_stage_of_unknown_length_shows_that_time_passes():
    board = Board()
    board.begin("plan", 0)
    board.began -= 12
    assert board.lines(80) == [f"plan {'─' * 28} 12 s"]
