from archsearch.tracking.run_names import one_line, run_name, study_note


def test_runs_say_their_role_and_size() -> None:
    assert run_name("resnext 3-4-6-3 G8", flops=19_832_832) == "resnext 3-4-6-3 G8 · 19.8M"
    assert run_name("vgg16", flops=15_470_264_320, role="baseline") == "baseline vgg16 · 15.5G"
    assert (
        run_name("wrn k8", flops=10**9, role="finalist", seed=2) == "final wrn k8 · 1.00G · seed 2"
    )


def test_names_are_one_line() -> None:
    assert one_line("a\n\tb  c") == "a b c"
    assert one_line("x" * 200) == "x" * 119 + "…"


def test_a_note_is_a_line_and_a_table() -> None:
    note = study_note(
        facts={"space": "resnext", "data": "a|b\nc"},
        header=("design", "FLOPs"),
        rows=[("resnext G8", "19.8M"), ("odd|name", "1")],
    )
    assert note.splitlines() == [
        "**space** resnext · **data** a\\|b c",
        "",
        "| design | FLOPs |",
        "| --- | ---: |",
        "| resnext G8 | 19.8M |",
        "| odd\\|name | 1 |",
    ]
