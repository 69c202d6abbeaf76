from archsearch.ir.tracer import Tracer
from archsearch.readings.memory import training_memory


def test_memory_counts_a_batch_of_outputs_and_each_parameter_three_times():
    net = Tracer("n", (8, 8, 3))
    x = net.conv(net.input, 4, kernel=3, bias=False)
    x = net.relu(net.batch_norm(x))
    graph = net.finish(net.dense(net.flatten(x), 10))
    memory = training_memory(graph, batch=2)
    params = 3 * 3 * 3 * 4 + 2 * 4 + 8 * 8 * 4 * 10 + 10
    assert memory.weight_bytes == memory.gradient_bytes == memory.momentum_bytes == 4 * params
    # Image, convolution, normalisation, activation and scores; flattening copies nothing.
    assert memory.activation_bytes == 2 * 4 * (192 + 3 * 256 + 10)
    assert memory.total_bytes == memory.activation_bytes + 12 * params
