"""What a model process runs in tests: no TensorFlow, and troubles on demand."""

import os
import signal
import time
from pathlib import Path


def answering(pipe, device, threads, log):
    """Answers by the graph's text: a number of milliseconds, or what is to go wrong."""
    while True:
        try:
            kind, asked = pipe.recv()
        except EOFError:
            return
        graph = asked["graph"]
        if kind == "prepare" and graph != "die":
            continue
        if graph == "die once" and not os.path.exists(f"{log}.died"):
            open(f"{log}.died", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        if graph == "die":
            with open(log, "a") as file:
                file.write("what it said last\n")
            os._exit(3)
        if graph == "hang":
            time.sleep(600)
        if graph == "fail":
            pipe.send(("failed", "no such luck"))
        elif graph == "full":
            pipe.send(("machine", "No space left on device"))
        elif kind == "export":
            same = {"images": 0, "difference": 0.0, "same_top1": 0}
            made = {"path": Path(asked["out"]), "format": asked["format"], "size_bytes": 0}
            pipe.send(("done", made | same))
        elif graph == "refuse":
            pipe.send(("user", f"no device {device!r}"))
        else:
            ms = float(graph)
            values = {"median_ms": ms, "p10_ms": 0.9 * ms, "p90_ms": 2 * ms, "calls": 30}
            more = {"batch": asked["batch"], "device": device or "cpu", "threads": threads}
            pipe.send(("done", values | more))
