"""Forward + backward of batch normalization and ReLU on TensorFlow CPU: wide rows against the fused kernel.

The fused kernel is quick where channels are a multiple of 4; archsearch's layer takes it there, and
normalize_by_products for other numbers of channels, which solved widths often are.

    python benchmarks/batch_norm.py [--runs 5] [--threads 1] [--json]
"""

import argparse
import importlib
import json
import os
import statistics

from measure import machine, seconds, spread, versions

# batch, side, channels
SHAPES = (
    (32, 32, 6),
    (32, 32, 10),
    (32, 32, 30),
    (32, 16, 14),
    (32, 16, 33),
    (32, 16, 110),
    (32, 8, 27),
    (32, 8, 131),
    (32, 4, 150),
    (32, 56, 30),
    (32, 32, 20),
    (32, 16, 36),
    (32, 8, 100),
)


def fused(x, gamma, beta):
    """Normalize by TensorFlow's kernel."""
    import tensorflow as tf

    nothing = tf.constant((), tf.float32)
    return tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=gamma,
        offset=beta,
        mean=nothing,
        variance=nothing,
        epsilon=1e-5,
        is_training=True,
    )[0]


def by_products(x, gamma, beta):
    """Normalize as archsearch does where the kernel is slow."""
    from archsearch.training.lowering.layers import normalize_by_products

    return normalize_by_products(x, gamma, beta, epsilon=1e-5)[0]


def step_of(normalize, shape):
    """One forward and backward pass, gradients of the input and both factors."""
    import tensorflow as tf

    inputs = [tf.random.normal(shape), *(tf.random.normal(shape[-1:]) for _ in range(2))]
    arriving = tf.random.normal(shape)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = tf.nn.relu(normalize(*inputs))
        return tape.gradient(y, inputs, output_gradients=arriving)

    return lambda: [gradient.numpy() for gradient in step()]


def main():
    """Print one row a shape."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    from archsearch.training.setup import WorkerSetup

    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    WorkerSetup(threads=arguments.threads).apply()
    importlib.import_module("archsearch.training.backends.tensorflow")  # graphs as in training

    rows = []
    for batch, side, channels in SHAPES:
        shape = (batch, side, side, channels)
        times = {
            name: seconds(step_of(normalize, shape), runs=arguments.runs)
            for name, normalize in (("fused", fused), ("by_products", by_products))
        }
        ratio = statistics.median(times["fused"]) / statistics.median(times["by_products"])
        rows.append({"input": shape, "ratio": ratio, **{f"{k}_s": v for k, v in times.items()}})
        if not arguments.json:
            kernel, ours = (spread([1e3 * t for t in v], digits=2) for v in times.values())
            print(
                f"{'×'.join(map(str, shape))}: fused {kernel} ms, by products {ours} ms, {ratio:.1f}×"
            )
    facts = {
        "machine": machine(),
        "versions": versions(["tensorflow"]),
        "threads": arguments.threads,
        "n": arguments.runs,
    }
    print(json.dumps({**facts, "rows": rows}) if arguments.json else facts)


if __name__ == "__main__":
    main()
