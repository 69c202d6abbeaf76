from dataclasses import replace

import pytest

from archsearch.engines.engine import Machine
from archsearch.errors import UserError
from archsearch.planning.microbatches import FRAMEWORK_BYTES, plan_step, room_bytes, step_memory
from archsearch.planning.sharing import Sharing, worker_setups
from archsearch.recipes.recipe import Recipe
from archsearch.training.backends.base import cut
from archsearch.units import parse_bytes
from tests.networks import resnext_like

GRAPH = resnext_like(side=32)
RECIPE = Recipe(batch=128)
MB = 10**6


def planned(room, *, recipe=RECIPE, precision="float32", devices=1):
    return plan_step(GRAPH, recipe, precision, devices=devices, room_bytes=room)


def sharing(workers=2, gpus=(), devices=1):
    return Sharing(setups=worker_setups(workers, cores=8, gpus=gpus, devices=devices))


def test_a_batch_that_fits_is_taken_whole_and_so_is_any_where_nobody_knows():
    whole = step_memory(GRAPH, RECIPE, "float32", images=128)
    for room in (0, 10**9):
        found = planned(room)
        assert (found.microbatches, found.images, found.memory) == (1, 128, whole)
        assert found.fits


@pytest.mark.parametrize("room", [20 * MB, 30 * MB, 50 * MB, 80 * MB])
def test_it_is_taken_in_the_fewest_parts_that_fit(room):
    found = planned(room)
    assert found.microbatches > 1
    assert found.fits
    assert found.images == max(part.stop - part.start for part in cut(128, found.microbatches))
    assert found.memory == step_memory(GRAPH, RECIPE, "float32", images=found.images)
    # In one part less there would be too many images: with the sum of gradients beside the step.
    larger = step_memory(GRAPH, RECIPE, "float32", images=-(-128 // (found.microbatches - 1)))
    assert found.memory.total_bytes + found.memory.weight_bytes <= 0.6 * room
    assert larger.total_bytes + larger.weight_bytes > 0.6 * room


def test_what_each_has_to_take_is_what_counts():
    room = 30 * MB
    parts = planned(room).microbatches
    assert planned(room, precision="bfloat16").microbatches < parts
    assert planned(room, devices=4).microbatches < parts
    assert planned(room, devices=4).images <= 32
    # AdamW keeps a second mean of every weight, and averaged weights are kept besides.
    plain = step_memory(GRAPH, RECIPE, "float32", images=8)
    more = step_memory(GRAPH, replace(RECIPE, optimizer="adamw", ema=0.99), "float32", images=8)
    assert more.total_bytes - plain.total_bytes == 2 * plain.weight_bytes


def test_where_not_even_one_image_fits_each_is_a_part():
    found = planned(MB // 10)
    assert (found.microbatches, found.images, found.fits) == (128, 1, False)


def test_main_memory_is_shared_by_all_processes():
    machine = Machine(cores=8, memory_bytes=8_000 * MB)
    assert room_bytes(machine, sharing(2), image_bytes=0) == 4_000 * MB - FRAMEWORK_BYTES
    assert room_bytes(machine, sharing(2, devices=2), image_bytes=0) == 2_000 * MB - FRAMEWORK_BYTES
    small = replace(machine, memory_bytes=800 * MB)
    assert room_bytes(small, sharing(2), image_bytes=0) == 200 * MB
    assert room_bytes(replace(machine, memory_bytes=0), sharing(2), image_bytes=0) == 0


def test_a_gpu_is_shared_by_its_workers_and_holds_images_that_it_has_room_for():
    machine = Machine(cores=8, gpus=("0", "1"), memory_bytes=MB, gpu_memory_bytes=80_000 * MB)
    two_each = sharing(4, gpus=("0", "1"))
    assert room_bytes(machine, two_each, image_bytes=0) == 36_000 * MB
    assert room_bytes(machine, two_each, image_bytes=5_000 * MB) == 31_000 * MB
    assert room_bytes(machine, two_each, image_bytes=6_000 * MB) == 36_000 * MB  # sent by batches
    spread = sharing(1, gpus=("0", "1"), devices=2)
    assert room_bytes(machine, spread, image_bytes=0) == 72_000 * MB
    unknown = replace(machine, gpu_memory_bytes=None)
    assert room_bytes(unknown, two_each, image_bytes=0) == 0


@pytest.mark.parametrize(
    ("text", "count"),
    [("6GB", 6 * 10**9), ("800 mb", 800 * MB), ("1.5G", 1500 * MB), ("250000B", 250_000)],
)
def test_memory_is_written_with_a_unit(text, count):
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "GB", "0GB", "-1GB", "6 GiB", "much", "9999PB"])
def test_what_is_no_memory_is_refused(text):
    with pytest.raises(UserError, match="is no amount of memory; write one like 6GB or 800MB"):
        parse_bytes(text)
