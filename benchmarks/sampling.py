"""On-budget candidates per second: solving for width against drawing until one fits.

Three ways to networks of [95 %, 100 %] of a FLOP budget, in one process, one after the other:

- solve: archsearch.space.solve, Graph included;
- draw and count: pycls's way, every width and depth drawn, FLOPs counted analytically, rejected if off;
- draw and build: Keras Tuner's way, the same draw built as a Keras model, counted, rejected if off.

Rejection draws each stage's width independently as pycls's AnyNet sampling does (multiples of 8,
log-uniform); its counting uses this project's own fast form, so it is faster here than there.

    python benchmarks/sampling.py [--space resnext] [--flops 4G] [--input 224x224x3] [--runs 5] [--seconds 4]

`--space all` solves in every space and rejects in none. Seconds are the processor's: what else runs on the
machine counts little.
"""

import argparse
import math
import os
import random
import statistics
import time

from measure import machine, spread, versions

from archsearch.space.budget import Budget, Request
from archsearch.space.knobs import draw
from archsearch.space.registry import find_space, load_spaces
from archsearch.space.solve import sample
from archsearch.space.widths import keep_real
from archsearch.units import parse_image_size

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def solving(space, request, seed, seconds):
    """Return kept candidates per second, draws kept, and their fills."""
    fills = []
    begin = time.process_time()
    while (spent := time.process_time() - begin) < seconds:
        fills += [c.fill for c in sample(space, request, 20, seed=seed + len(fills))]
    return len(fills) / spent, 1.0, fills


def random_widths(space, knobs, request, rng):
    """Draw every width by itself, a multiple of 8, log-uniform around 1/8 to 8 times a ResNet's."""
    widths = space.widths(knobs, request, 64.0, keep_real)
    return {n: max(8, 8 * round(w * 2 ** rng.uniform(-3, 3) / 8)) for n, w in widths.items()}


def rejecting(space, request, seed, seconds, *, build):
    """Return kept candidates per second, the share of draws kept, and their fills."""
    rng = random.Random(seed)
    all_knobs = space.knobs(request)
    drawn, fills = 0, []
    begin = time.process_time()
    while (spent := time.process_time() - begin) < seconds:
        knobs = draw(all_knobs, rng)
        widths = random_widths(space, knobs, request, rng)
        drawn += 1
        if build:
            flops = keras_flops(space.trace(knobs, widths, request))
        else:
            flops = space.flops_form(knobs, request).value(widths)
        if flops in request.budget:
            if not build:
                space.trace(knobs, widths, request)
            fills.append(flops / request.budget.high)
    return len(fills) / spent, len(fills) / drawn, fills


def keras_flops(graph):
    """Build the Keras model and count its convolution and dense layers, as a tuner's user would."""
    import keras

    from archsearch.training.lowering.keras_model import build_model

    model = build_model(graph, lowering="plain")
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            total += math.prod(layer.kernel.shape)
        elif hasattr(layer, "kernel_size"):
            total += math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3])
    return total


def every_space(request, runs, seconds):
    """Print how many candidates each space solves per second."""
    for name, space in load_spaces().items():
        solving(space, request, 10**6, seconds / 4)  # the first candidates fill caches
        rates = [solving(space, request, 1000 * run, seconds)[0] for run in range(runs)]
        print(f"{name:18}{spread(rates, digits=0)}")


def every_way(a, request):
    """Return what each way found in every run: candidates per second, share kept, fills."""
    space = find_space(a.space)
    ways = {
        "solve": lambda seed: solving(space, request, seed, a.seconds),
        "draw and count": lambda seed: rejecting(space, request, seed, a.seconds, build=False),
    }
    if not a.no_keras:
        ways["draw and build"] = lambda seed: rejecting(space, request, seed, a.seconds, build=True)
    results = {name: [] for name in ways}
    for run in range(a.runs):  # in turns, so that what changes on the machine changes for all
        for name, way in ways.items():
            results[name].append(way(1000 * run))
    return results


def show(results):
    """Print a line a way, and how many times as fast solving is."""
    for name, found in results.items():
        fills = sorted(f for _, _, fs in found for f in fs)
        shown = f"{fills[0]:.2%}, {statistics.median(fills):.2%}" if fills else "none kept"
        kept = statistics.median(k for _, k, _ in found)
        print(f"{name:16}{spread([r for r, _, _ in found], digits=2):44}{kept:>12.2%}{shown:>24}")
    base = statistics.median(r for r, _, _ in results["solve"])
    for name in list(results)[1:]:
        rate = statistics.median(r for r, _, _ in results[name])
        print(f"solve / {name}: {base / rate:,.0f}×" if rate else f"{name} kept nothing")


def parse():
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--space", default="resnext")
    parser.add_argument("--flops", default="4G")
    parser.add_argument("--input", default="224x224x3")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each way in each run")
    parser.add_argument("--no-keras", action="store_true", help="leave the slowest way out")
    return parser.parse_args()


def main():
    """Measure and print."""
    a = parse()
    size = parse_image_size(a.input)
    request = Request(size, a.classes, Budget.parse(a.flops, size))
    print(machine())
    print(versions(["archsearch", "keras", "tensorflow"]))
    print(f"{a.space}, {request.budget} on {a.input}, {a.runs} runs of {a.seconds:g} s each\n")
    if a.space == "all":
        every_space(request, a.runs, a.seconds)
        return
    print(
        f"{'way':16}{'on-budget candidates per second':44}{'draws kept':>12}{'fill: least, median':>24}"
    )
    show(every_way(a, request))


if __name__ == "__main__":
    main()
