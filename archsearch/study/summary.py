"""A study's data and result as the storage and the tracker keep them."""

from typing import Any, Final

from archsearch.archive.leaderboard import StudyResult
from archsearch.data.dataset import SPLITS, Dataset
from archsearch.tracking.records import DatasetRecord
from archsearch.units import format_count, ms_text

HEADER: Final = ("design", "FLOPs", "params", "ms", "val", "test", "n")


def note_rows(result: StudyResult) -> list[list[str]]:
    """Return the leaderboard's cells under HEADER, for the description of the tracker's run."""
    rows = []
    for row in result.rows:
        if row.rank is None:
            continue
        val = row.final_val.mean if row.final_val else row.val_accuracy
        test = row.test
        sd = f" ± {100 * test.sd:.1f}" if test and test.sd is not None else ""
        rows.append(
            [
                f"{row.label} ({row.origin})" if row.role == "baseline" else row.label,
                format_count(row.flops),
                format_count(row.params),
                ms_text(row.latency_ms),
                f"{100 * val:.1f} %" if val is not None else "",
                f"{100 * test.mean:.1f}{sd} %" if test else "",
                str(test.n) if test else "",
            ]
        )
    return rows


def study_metrics(result: StudyResult) -> dict[str, float]:
    """Return the figures of the whole study."""
    found = {"trials": float(len(result.rows)), "train_s": result.train_s, "wall_s": result.wall_s}
    winner = result.winner
    if winner is not None and winner.final_val is not None:
        found["best_val_accuracy"] = winner.final_val.mean
        if winner.test is not None:
            found["best_test_accuracy"] = winner.test.mean
        if winner.latency_ms is not None:
            found["best_latency_ms"] = winner.latency_ms
    return found


def dataset_facts(dataset: Dataset) -> dict[str, Any]:
    """Return what the storage keeps of the data."""
    return {
        "name": dataset.name,
        "source": dataset.source,
        "digest": dataset.digest,
        "input": list(dataset.input),
        "classes": list(dataset.classes)[:1000],
        "splits": {n: len(dataset.split(n)) for n in SPLITS},
    }


def dataset_record(dataset: Dataset) -> DatasetRecord:
    """Return what the tracker keeps of the data."""
    return DatasetRecord(
        name=dataset.name,
        source=dataset.source,
        digest=dataset.digest,
        input=dataset.input,
        classes=len(dataset.classes),
        splits={n: len(dataset.split(n)) for n in SPLITS},
    )
