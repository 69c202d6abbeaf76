"""A driver that tracks in MLflow and trains nothing: `toy_tracked.py HOME NAME [TRACKING_URI [STORAGE]]`."""

import sys
from pathlib import Path

from archsearch.tracking.mlflow_tracker import MlflowTracker
from tests.small_study import Small


def main(home: str, name: str, uri: str | None = None, storage: str | None = None) -> None:
    small = Small(
        Path(home),
        tracker=lambda settings, warn: MlflowTracker(Path(home), tracking_uri=uri, warn=warn),
    )
    result = small.run(name=name, trials=2, finalists=1, storage=storage)
    print("untold" if result.untold else "told", *small.said, sep="\n", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
