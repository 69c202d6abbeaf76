"""Forward + backward of grouped convolutions on TensorFlow CPU: archsearch's layer against Keras's.

Keras's Conv2D(groups=…) has a gradient on a CPU only through XLA, so its step is compiled with
jit_compile=True; archsearch's is a plain tf.function, timed beside a dense convolution of the same
channels. Compilation and warm-up are outside the clock.

    python benchmarks/grouped_conv.py [--runs 5] [--json]
"""

import argparse
import json
import os
import statistics

from measure import machine, seconds, versions

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# batch, side, channels, groups: inner 3×3 convolutions of ResNeXt candidates at 32×32 and 224×224,
# and a depthwise one
SHAPES = (
    (64, 32, 32, 8),
    (64, 32, 64, 32),
    (64, 16, 128, 8),
    (64, 16, 128, 32),
    (64, 8, 256, 32),
    (64, 8, 128, 4),
    (16, 28, 256, 32),
    (64, 16, 192, 192),
)


def step_of(layer, x, *, jit):
    """One forward and backward pass, gradients of the input and the kernel."""
    import tensorflow as tf

    layer.build(x.shape)

    @tf.function(jit_compile=jit)
    def step():
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.square(layer(x, training=True)))
        return tape.gradient(loss, [x, *layer.trainable_weights])

    return lambda: [gradient.numpy() for gradient in step()]


def compare(shape, runs):
    """Time the three convolutions of a shape; return its row."""
    import keras
    import tensorflow as tf

    from archsearch.training.lowering.grouped_conv import GroupedConv2D

    batch, side, channels, groups = shape
    x = tf.random.normal((batch, side, side, channels))
    common = {"kernel_size": 3, "padding": "same", "use_bias": False}
    layers = {
        "archsearch": (GroupedConv2D(channels, groups=groups, **common), False),
        "dense": (keras.layers.Conv2D(channels, **common), False),
        "keras_xla": (keras.layers.Conv2D(channels, groups=groups, **common), True),
    }
    times = {
        name: seconds(step_of(layer, x, jit=jit), runs=runs)
        for name, (layer, jit) in layers.items()
    }
    return {
        "input": [batch, side, side, channels],
        "groups": groups,
        **{
            f"{name}_ms": {
                "median": 1e3 * statistics.median(times[name]),
                "min": 1e3 * min(times[name]),
                "max": 1e3 * max(times[name]),
            }
            for name in ("archsearch", "keras_xla", "dense")
        },
        "ratio": statistics.median(times["keras_xla"]) / statistics.median(times["archsearch"]),
    }


def show(row):
    """Print a shape's line."""
    told = {
        key: "{median:8.1f} [{min:.1f}–{max:.1f}]".format(**row[key])
        for key in ("archsearch_ms", "keras_xla_ms", "dense_ms")
    }
    print(
        f"{'×'.join(map(str, row['input']))} groups={row['groups']}: "
        f"archsearch {told['archsearch_ms']} ms, Keras (XLA) {told['keras_xla_ms']} ms, "
        f"ungrouped {told['dense_ms']} ms, ratio {row['ratio']:.1f}×",
        flush=True,
    )


def main():
    """Print one row a shape, and the smallest ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for shape in SHAPES:
        rows.append(compare(shape, arguments.runs))
        if not arguments.json:
            show(rows[-1])
    facts = {
        "machine": machine(),
        "versions": versions(["tensorflow", "keras"]),
        "n": arguments.runs,
        "smallest_ratio": min(row["ratio"] for row in rows),
    }
    if arguments.json:
        print(json.dumps({**facts, "rows": rows}))
    else:
        print(
            f"{facts['machine']}; {facts['versions']}; n = {facts['n']} runs, median [min–max]; "
            f"smallest ratio {facts['smallest_ratio']:.1f}×"
        )


if __name__ == "__main__":
    main()
