"""A study that looks like a real one, without training: for the browser test and screenshots."""

import json
import math
import random
from dataclasses import dataclass, replace

from archsearch.tracking.records import (
    DatasetRecord,
    Ending,
    ModelRecord,
    NetworkRecord,
    Role,
    StudyRecord,
    Tracker,
    TrialRecord,
    TrialStatus,
)
from archsearch.tracking.run_names import run_name, study_note

EPOCHS = 12
IMAGES = 1149
BEST = "final-0002-seed2"
"""Key of the winner's last training."""
DIGITS = DatasetRecord(
    name="digits", source="digits", digest="5f2c" * 16, input=(32, 32, 3), classes=10,
    splits={"train": IMAGES, "val": 288, "test": 360},
)  # fmt: skip


@dataclass
class Network:
    """A made-up network, and what came of it."""

    key: str
    label: str
    knobs: dict[str, int]
    flops: int
    params: int
    role: str = "candidate"
    status: TrialStatus = "complete"
    val: tuple[float, ...] = ()
    test: tuple[float, ...] = ()

    def record(self, *, place: int | None = None) -> NetworkRecord:
        figures: dict[str, float] = {}
        for name, values in (("val_accuracy", self.val), ("test_accuracy", self.test)):
            if values:
                mean = sum(values) / len(values)
                sd = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
                figures |= {name: mean, f"{name}_sd": sd, f"{name}_n": len(values)}
        if place is not None:
            figures |= {"expected_accuracy": figures.get("val_accuracy", 0.0), "place": place}
        figures |= {"flops": self.flops, "params": self.params, "fill": self.flops / 20e6}
        mark = {"winner": "★ ", "published": "published "}.get(self.role, "")
        return NetworkRecord(
            key=self.key,
            label=mark + run_name(self.label, flops=self.flops),
            role=self.role,
            status=self.status,
            knobs=self.knobs,
            metrics=figures if self.val else {},
            tags={"graph": f"{hash(self.key):016x}"},
            artifacts={"graph.json": json.dumps({"name": self.label})},
        )


def tell_study(
    tracker: Tracker,
    name: str = "resnext-20M",
    *,
    candidates: int = 9,
    report: str = "<p>A report",
    model: ModelRecord | None = None,
) -> None:
    """Tell a tracker of a search of ResNeXt at 20 M; the model, if there is one, is of the training BEST."""
    rng = random.Random(7)
    facts = {"space": "resnext", "budget": "20M", "data": "digits 32x32x3, 10 classes"}
    settings = {"epochs": EPOCHS, "seed": 0, "recipe": "default", "seeds": 3}
    tracker.start_study(
        StudyRecord(
            name=name, space="resnext", budget="20M", dataset=DIGITS, settings=settings,
            description=study_note(facts=facts),
        )
    )  # fmt: skip
    networks = [_network(number, rng) for number in range(candidates)]
    networks.append(
        Network("resnet20_cifar", "resnet20_cifar", {}, 40_813_184, 272_474, "published")
    )
    for network in networks:
        _train(tracker, network, network.key, rng)
    best = max((n for n in networks if n.role == "candidate"), key=lambda n: n.val or (0.0,))
    for seed in (1, 2):
        _train(tracker, best, f"final-0002-seed{seed}", rng, role="finalist", seed=seed)
    best.role, best.status = "winner", "complete"
    ranked = sorted(networks, key=lambda n: (n is not best, [-value for value in n.val[:1]]))
    for place, network in enumerate(ranked, start=1):
        tracker.network(network.record(place=place))
    if model is not None:
        tracker.register(model)
    rows = [[n.label, f"{n.flops:,}", f"{n.params:,}"] for n in ranked]
    tracker.end_study(
        Ending(
            status="complete",
            metrics={"best_val_accuracy": best.val[0], "trials": len(networks)},
            artifacts={"report.html": report},
        ),
        description=study_note(facts=facts, header=["design", "FLOPs", "params"], rows=rows),
    )


def _network(number: int, rng: random.Random) -> Network:
    depths = [rng.randint(1, 4) for _ in range(3)]
    cardinality = rng.choice([2, 4, 8, 16, 32])
    status: TrialStatus = "pruned" if number in (3, 6) else "failed" if number == 7 else "complete"
    knobs = {f"depth_{stage}": depth for stage, depth in enumerate(depths, start=1)}
    return Network(
        key=f"trial-{number:04d}",
        label=f"resnext {'-'.join(map(str, depths))} G{cardinality}",
        knobs={**knobs, "cardinality": cardinality},
        flops=rng.randint(19_200_000, 20_000_000),
        params=rng.randint(90_000, 420_000),
        status=status,
    )


def _train(
    tracker: Tracker,
    network: Network,
    key: str,
    rng: random.Random,
    *,
    role: Role | None = None,
    seed: int | None = None,
) -> None:
    """Tell of a training, and add what came of it to its network."""
    role = role or ("baseline" if network.role == "published" else "candidate")
    tracker.network(replace(network.record(), status="running"))
    tracker.start_trial(
        TrialRecord(
            key=key,
            network=network.key,
            label=run_name(network.label, flops=network.flops, role=role, seed=seed),
            role=role,
            knobs=network.knobs,
            metrics={
                "flops": network.flops,
                "train_flops": 3 * network.flops * IMAGES * EPOCHS,
                "params": network.params,
                "fill": min(1.0, network.flops / 20e6),
                "activation_bytes": rng.randint(400_000, 900_000),
            },
            tags={"graph_hash": f"{rng.getrandbits(64):016x}"},
            artifacts={"graph.json": json.dumps({"name": network.label})},
        )
    )
    accuracy, top = 0.1, rng.uniform(0.93, 0.99)
    for epoch in range(1, (EPOCHS if network.status == "complete" else 4) + 1):
        done = 1 - math.exp(-epoch / 3)
        accuracy = 0.1 + (top - 0.1) * done + rng.uniform(-0.01, 0.01)
        figures = {
            "loss": 2.3 * (1 - done) + 0.55,
            "accuracy": min(1.0, accuracy + 0.01),
            "val_loss": 2.3 * (1 - done) + 0.1,
            "val_accuracy": accuracy,
            "images_per_s": rng.uniform(420, 900),
        }
        tracker.epoch(key, epoch, figures)
    network.val += (accuracy,)
    final = {"train_s": rng.uniform(9, 20)}
    if role != "candidate":
        network.test += (accuracy - 0.01,)
        final["test_accuracy"] = accuracy - 0.01
    tags = {"reason": "worker died: signal 9 (SIGKILL)"} if network.status == "failed" else {}
    tracker.end_trial(key, Ending(status=network.status, metrics=final, tags=tags))
    tracker.network(network.record())
