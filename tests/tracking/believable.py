"""A study that looks like a real one, without training: for the browser test and screenshots."""

import json
import math
import random

from archsearch.tracking.records import DatasetRecord, Ending, StudyRecord, Tracker, TrialRecord
from archsearch.tracking.run_names import run_name, study_note

EPOCHS = 12
IMAGES = 1149


def tell_study(tracker: Tracker, name: str = "resnext-20M", *, candidates: int = 9) -> None:
    """Tell a tracker of a search of ResNeXt at 20 M: candidates, baselines, finalists."""
    rng = random.Random(7)
    facts = {"space": "resnext", "budget": "20M", "data": "digits 32x32x3, 10 classes"}
    tracker.start_study(
        StudyRecord(
            name=name,
            space="resnext",
            budget="20M",
            dataset=DatasetRecord(
                name="digits",
                source="digits",
                digest="5f2c" * 16,
                input=(32, 32, 3),
                classes=10,
                splits={"train": IMAGES, "val": 288, "test": 360},
            ),
            settings={"epochs": EPOCHS, "seed": 0, "recipe": "default", "seeds": 3},
            description=study_note(facts=facts),
        )
    )
    rows: list[tuple[float, list[str]]] = []
    for number in range(candidates):
        cardinality = rng.choice([2, 4, 8, 16, 32])
        depths = {f"depth_{stage}": rng.randint(1, 4) for stage in (1, 2, 3)}
        knobs = {**depths, "cardinality": cardinality}
        status = "pruned" if number in (3, 6) else "failed" if number == 7 else "complete"
        label = _label(knobs)
        rows.append(_tell_trial(tracker, f"trial-{number:04d}", label, knobs, rng, status))
    for name_, flops, params in (("resnet20_cifar", 40_813_184, 272_474), ("vgg-matched", 0, 0)):
        rows.append(
            _tell_trial(
                tracker, f"baseline-{name_}", name_, {}, rng, "complete", flops, params, "baseline"
            )
        )
    for seed in (1, 2):
        knobs = {"depth_1": 3, "depth_2": 2, "depth_3": 2, "cardinality": 8}
        key, label = f"final-0002-seed{seed}", _label(knobs)
        _tell_trial(tracker, key, label, knobs, rng, "complete", role="finalist", seed=seed)
    rows.sort(reverse=True)
    header = ["design", "FLOPs", "params", "val accuracy"]
    tracker.end_study(
        Ending(
            status="complete",
            metrics={"best_val_accuracy": rows[0][0], "trials": len(rows)},
        ),
        description=study_note(facts=facts, header=header, rows=[row for _, row in rows]),
    )


def _label(knobs: dict[str, int]) -> str:
    depths = "-".join(str(knobs[f"depth_{stage}"]) for stage in (1, 2, 3))
    return f"resnext {depths} G{knobs['cardinality']}"


def _tell_trial(
    tracker: Tracker,
    key: str,
    label: str,
    knobs: dict[str, int],
    rng: random.Random,
    status: str,
    flops: int = 0,
    params: int = 0,
    role: str = "candidate",
    seed: int | None = None,
) -> tuple[float, list[str]]:
    flops = flops or rng.randint(19_200_000, 20_000_000)
    params = params or rng.randint(90_000, 420_000)
    top = rng.uniform(0.93, 0.99)
    epochs = EPOCHS if status == "complete" else 4
    tracker.start_trial(
        TrialRecord(
            key=key,
            label=run_name(label, flops=flops, role=role, seed=seed),  # type: ignore[arg-type]
            role=role,  # type: ignore[arg-type]
            knobs=knobs,
            metrics={
                "flops": flops,
                "train_flops": 3 * flops * IMAGES * EPOCHS,
                "params": params,
                "fill": min(1.0, flops / 20e6),
                "activation_bytes": rng.randint(400_000, 900_000),
            },
            tags={"graph_hash": f"{rng.getrandbits(64):016x}"},
            artifacts={"graph.json": json.dumps({"name": label}), "layers.txt": f"{label}\n"},
        )
    )
    accuracy = 0.1
    for epoch in range(1, epochs + 1):
        done = 1 - math.exp(-epoch / 3)
        accuracy = 0.1 + (top - 0.1) * done + rng.uniform(-0.01, 0.01)
        tracker.epoch(
            key,
            epoch,
            {
                "loss": 2.3 * (1 - done) + 0.55,
                "accuracy": min(1.0, accuracy + 0.01),
                "val_loss": 2.3 * (1 - done) + 0.1,
                "val_accuracy": accuracy,
                "images_per_s": rng.uniform(420, 900),
            },
        )
    final = {"train_s": rng.uniform(9, 20)}
    if role == "finalist":
        final["test_accuracy"] = accuracy - 0.01
    tags = {"reason": "worker died: signal 9 (SIGKILL)"} if status == "failed" else {}
    ending = Ending(status=status, metrics=final, tags=tags)  # type: ignore[arg-type]
    tracker.end_trial(key, ending)
    return accuracy, [label, f"{flops:,}", f"{params:,}", f"{accuracy:.3f}"]
