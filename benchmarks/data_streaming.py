"""Images per second from a folder of image files to a prepared dataset, and out of one again.

Without --folder, writes JPEGs of its own (smooth noise, so that they compress as photographs do).
The clock covers listing, hashing, decoding, resizing and writing; files lie in the page cache.

    python benchmarks/data_streaming.py [--images 2000] [--side 500] [--input 224x224x3] [--runs 5]
    python benchmarks/data_streaming.py --folder DIR --input 32x32x3 [--json]
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import machine, versions
from PIL import Image

from archsearch.augmentation.apply import augment
from archsearch.augmentation.policy import policy_for
from archsearch.augmentation.transforms import draw
from archsearch.data import load, prepare
from archsearch.units import parse_image_size

BATCH = 128


def write_folder(root, *, images, side):
    """Write JPEGs of side × side·4/3 pixels into three class folders."""
    rng = np.random.default_rng(0)
    for index in range(images):
        small = rng.integers(0, 256, size=(side // 12, side // 9, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((side * 4 // 3, side), Image.Resampling.BICUBIC)
        folder = root / f"class{index % 3}"
        folder.mkdir(exist_ok=True)
        picture.save(folder / f"{index:06}.jpg", quality=90)


def epoch(data, rng):
    """Read the training split once, in random order, augmented, batch by batch."""
    policy = policy_for(data.input, mirror=data.mirror, mean=data.mean)
    order = rng.permutation(len(data.train))
    for start in range(0, len(order), BATCH):
        some = np.sort(order[start : start + BATCH])
        augment(data.train.images[some], policy, draw(policy, data.input, len(some), rng))
    return len(order)


def measure(folder, *, size, runs, workers):
    """Prepare and read the folder `runs` times; images per second of each."""
    prepared, read = [], []
    for run in range(runs):
        with tempfile.TemporaryDirectory() as home:
            begin = time.perf_counter()
            where = prepare(str(folder), home=Path(home), input=size, seed=run, workers=workers)
            took_s = time.perf_counter() - begin
            data = load(where)
            images = len(data.train) + len(data.val) + len(data.test)
            prepared.append(images / took_s)
            begin = time.perf_counter()
            read.append(epoch(data, np.random.default_rng(run)) / (time.perf_counter() - begin))
    return images, {"prepare": prepared, "epoch": read}


def parse():
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--side", type=int, default=500)
    parser.add_argument("--input", type=parse_image_size, default=(224, 224, 3))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def told(options, images, rates):
    """Return what was measured, of what, and on what."""
    made = f"{images} JPEGs, {options.side} px high"
    return {
        "machine": machine(),
        "versions": versions(["numpy", "pillow"]),
        "source": f"{images} files" if options.folder else made,
        "input": "x".join(map(str, options.input)),
        "workers": options.workers,
        "n": options.runs,
        "images_per_s": {
            name: {"median": statistics.median(r), "low": min(r), "high": max(r)}
            for name, r in rates.items()
        },
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main():
    """Print one line a measurement, or one JSON document."""
    options = parse()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        if options.folder is None:
            write_folder(folder, images=options.images, side=options.side)
        images, rates = measure(
            folder, size=options.input, runs=options.runs, workers=options.workers
        )
    facts = told(options, images, rates)
    if options.json:
        print(json.dumps(facts, indent=1))
        return
    print(f"{facts['machine']}; {facts['versions']}")
    print(f"{facts['source']} → {facts['input']}, {options.workers} threads, n = {options.runs}")
    for name, rate in facts["images_per_s"].items():
        print(
            f"{name:8} {rate['median']:8,.0f} images/s ({rate['low']:,.0f} to {rate['high']:,.0f})"
        )
    print(f"peak memory {facts['peak_rss_mb']:.0f} MB (mapped pages included)")


if __name__ == "__main__":
    main()
