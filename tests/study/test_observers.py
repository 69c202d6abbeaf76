"""What a tracker is told of a training."""

from archsearch.archive.design import Design
from archsearch.archive.keys import JobKey
from archsearch.archive.orders import Length, Order
from archsearch.archive.study_folder import StudyFolder
from archsearch.ir.codec import content_hash, to_json
from archsearch.study.events import EpochDone, JobEnded, JobStarted
from archsearch.study.observers import TrackingObserver
from archsearch.testing.memory_tracker import MemoryTracker
from archsearch.tracking.records import StudyRecord
from archsearch.training.job import EpochReport, Outcome
from tests.networks import vgg_like


def test_an_ending_says_nothing_twice_of_the_last_epoch(tmp_path):
    """MLflow draws a metric by its steps: a mean over the training is no figure of its last epoch."""
    folder = StudyFolder(tmp_path, "s")
    graph = vgg_like()
    folder.write_graph(content_hash(graph), to_json(graph))
    design = Design(
        name="trial-0000", label="vgg", origin="search", graph=content_hash(graph), flops=10,
        params=10, activation_bytes=10, fill=1.0,
    )  # fmt: skip
    order = Order(key=JobKey("search", "trial-0000"), design=design, length=Length(64, 2), seed=0)
    key = str(order.key)
    tracker = MemoryTracker()
    tracker.start_study(StudyRecord(name="s", space="vgg", budget="5M"))
    tell = TrackingObserver(tracker, folder=folder, tags={})
    tell(JobStarted(order=order))
    for epoch, pace in ((1, 50.0), (2, 150.0)):
        report = EpochReport(
            key=key, epoch=epoch, loss=1.0, accuracy=0.5, val_loss=1.0, val_accuracy=0.5,
            images_per_s=pace, learning_rate=0.1, wall_s=1.0,
        )  # fmt: skip
        tell(EpochDone(order=order, report=report))
    outcome = Outcome(
        key=key, status="complete", epochs=2, val_accuracy=0.5, val_loss=1.0, images_per_s=75.0,
        train_s=1.0, total_s=2.0,
    )  # fmt: skip
    tell(JobEnded(order=order, outcome=outcome))
    run = tracker.trials[key]
    assert run.history["images_per_s"] == {1: 50.0, 2: 150.0}
    assert run.metrics["mean_images_per_s"] == 75.0
    for name, points in run.history.items():
        assert run.metrics.get(name, points[2]) == points[2], name
