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


def main():
    """Print one row a shape, and the smallest ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    import keras
    import tensorflow as tf

    from archsearch.training.lowering.grouped_conv import GroupedConv2D

    rows = []
    for batch, side, channels, groups in SHAPES:
        x = tf.random.normal((batch, side, side, channels))
        common = {"kernel_size": 3, "padding": "same", "use_bias": False}
        ours = seconds(
            step_of(GroupedConv2D(channels, groups=groups, **common), x, jit=False),
            runs=arguments.runs,
        )
        dense = seconds(
            step_of(keras.layers.Conv2D(channels, **common), x, jit=False), runs=arguments.runs
        )
        plain = seconds(
            step_of(keras.layers.Conv2D(channels, groups=groups, **common), x, jit=True),
            runs=arguments.runs,
        )
        row = {
            "input": [batch, side, side, channels],
            "groups": groups,
            **{
                f"{name}_ms": {
                    "median": 1e3 * statistics.median(times),
                    "min": 1e3 * min(times),
                    "max": 1e3 * max(times),
                }
                for name, times in (("archsearch", ours), ("keras_xla", plain), ("dense", dense))
            },
            "ratio": statistics.median(plain) / statistics.median(ours),
        }
        rows.append(row)
        if not arguments.json:
            show = {
                key: "{median:8.1f} [{min:.1f}–{max:.1f}]".format(**row[key])
                for key in ("archsearch_ms", "keras_xla_ms", "dense_ms")
            }
            print(
                f"{batch}×{side}×{side}×{channels} groups={groups}: "
                f"archsearch {show['archsearch_ms']} ms, Keras (XLA) {show['keras_xla_ms']} ms, "
                f"ungrouped {show['dense_ms']} ms, ratio {row['ratio']:.1f}×",
                flush=True,
            )
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
