"""Training steps on PyTorch: an eager loop with one flat optimizer update.

Where the plain loop of PyTorch's tutorials updates, clips and clears every weight on its own, here
all of them lie in one vector, and so do their gradients and momenta: a handful of operations a step,
however many layers there are.
"""

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from itertools import accumulate
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812  as everyone writes it
from torch import Tensor

from archsearch.augmentation.policy import Policy
from archsearch.data.dataset import Split
from archsearch.readings.cost import cost
from archsearch.training.backends.base import (
    AUXILIARY_WEIGHT,
    HELD_SHARE,
    Held,
    Images,
    Labels,
    Rates,
    Task,
)
from archsearch.training.backends.torch_images import HeldImages, SentImages
from archsearch.training.backends.torch_loss import Loss, hits
from archsearch.training.backends.torch_recorded import Recorded, Step
from archsearch.training.backends.torch_update import UPDATES
from archsearch.training.initial import Start, initial_weights
from archsearch.training.lowering.torch_network import Network
from archsearch.training.resident import keep_freed_memory
from archsearch.training.teams.torch_team import TorchTeam
from archsearch.training.weights import Weights

keep_freed_memory()

_ALIGNED: Final = 32
"""Numbers: 128 bytes, what a GPU reads at once."""
_BETWEEN_RANKS: Final = 2**32
"""From the seed of one process to the next one's: what they drop out is not the same."""
_LEAST_STEP_S: Final = 0.002
"""A step of hundreds of operations takes a large GPU so long, however small they are."""
_GPU_FLOPS: Final = 1e14
"""That training reaches, per second."""
_LONG_S: Final = 20.0
"""cuDNN's search takes 1 to 4 s a network and makes steps up to a quarter shorter (benchmarks/RESULTS.md)."""


class TorchSteps:
    """A network on PyTorch with its optimizer's state (see base.Steps)."""

    def __init__(self, task: Task) -> None:
        self._team = task.team if isinstance(task.team, TorchTeam) else None
        torch.manual_seed(task.seed + _BETWEEN_RANKS * task.team.rank)
        self._place = _place()
        if self._place.type == "cuda":
            gc.collect()  # the process's last task holds itself, and the memory of its recorded step
        self.device = torch.cuda.get_device_name() if self._place.type == "cuda" else ""
        self._recipe = task.recipe
        # Batches are all of one size, so the fastest algorithms for them can be looked for.
        torch.backends.cudnn.benchmark = self._place.type == "cuda" and _is_long(task)
        self._network = _network(task, self._place, self._team)
        self._low_precision = task.precision == "bfloat16"
        self._mean, self._scale = (
            torch.from_numpy(constants.reshape(-1, 1, 1)).to(self._place)
            for constants in (task.image_mean, task.image_scale)
        )
        self._loss = Loss(task.recipe.label_smoothing, task.class_weights, self._place)
        self._trained = [*self._network.kernels, *self._network.others]
        self._weights = _joined(self._trained, self._place)
        # Behind the gradients come the loss and the hits: what processes add up is one vector.
        self._exchanged = self._weights.new_zeros(len(self._weights) + _ALIGNED)
        self._gradients = self._exchanged[: len(self._weights)]
        self._gradient_of = [
            self._gradients[weight.storage_offset() :][: weight.numel()] for weight in self._trained
        ]
        decaying = sum(_room(kernel) for kernel in self._network.kernels)
        self._update = UPDATES[task.recipe.optimizer](task.recipe, self._weights, decaying)
        self._average = self._weights.clone() if task.recipe.ema is not None else None
        self._moving, self._latest = (
            _joined(statistics, self._place)
            for statistics in (self._network.moving, self._network.latest)
        )
        self._outputs: Callable[[Tensor], list[Tensor]] = self._training_outputs
        self._moved: Callable[[Tensor], None] = self._move
        if task.compiled:
            self._compile()
        self._parts = task.parts
        self._take: Step = self._step if len(self._parts) == 1 else self._cut_step
        if self._place.type == "cuda" and self._team is None:
            self._take = Recorded(self._take, keep=self.state, put_back=self.restore)

    def _compile(self) -> None:
        # PyTorch tells programs apart by their code, which is the same for all networks: it would take a
        # second one for the first with other shapes, and try to compile what fits both.
        torch.compiler.reset()
        self._outputs = torch.compile(self._outputs, dynamic=False)
        self._moved = torch.compile(self._moved, dynamic=False)

    def hold(self, split: Split, policy: Policy) -> Held | None:
        """Put images on a GPU that has room for them, or send it a batch at a time."""
        if self._place.type != "cuda":
            return None
        if 2 * split.images.nbytes <= _free_memory() * HELD_SHARE:
            # Other processes take memory there, too.
            with suppress(torch.cuda.OutOfMemoryError):
                return HeldImages(split, policy, self._place)
        return SentImages(split, policy, self._place)

    def train(self, images: Any, labels: Any, rates: Rates) -> Any:
        """Take a step."""
        batch = (_tensor(images), _tensor(labels), torch.from_numpy(rates.numbers()))
        return self._take(*(tensor.to(self._place, non_blocking=True) for tensor in batch))

    def read(self, results: Sequence[Any]) -> npt.NDArray[np.float64]:
        """Wait for steps."""
        total: npt.NDArray[np.float64] = torch.stack(list(results)).double().sum(0).cpu().numpy()
        return total

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Use the averaged weights while the block runs."""
        if self._average is None:
            yield
            return
        own = self._weights.clone()
        self._weights.copy_(self._average)
        try:
            yield
        finally:
            self._weights.copy_(own)

    def evaluate(self, images: Images, labels: Labels) -> tuple[float, Labels]:
        """Return the summed cross-entropy and the answers."""
        with torch.inference_mode():
            logits = self._answer(images)
            targets = _tensor(labels).to(self._place)
            loss = F.cross_entropy(logits, targets, reduction="sum")
            return float(loss), logits.argmax(1).cpu().numpy()

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Return the probability of every class."""
        with torch.inference_mode():
            found: npt.NDArray[np.float32] = self._answer(images).softmax(1).cpu().numpy()
            return found

    def weights(self) -> Weights:
        """Copy the weights."""
        return dict(self._network.weights())

    def state(self) -> list[npt.NDArray[Any]]:
        """Copy all that changes in training."""
        chance = [torch.get_rng_state()]
        if self._place.type == "cuda":
            chance.append(torch.cuda.get_rng_state())
        if self._team is not None:  # the first process keeps everyone's
            chance = [self._team.gathered(own) for own in chance]
        return [np.array(tensor.detach().cpu().numpy()) for tensor in (*self._kept(), *chance)]

    def restore(self, state: Sequence[npt.NDArray[Any]]) -> None:
        """Put back what `state` returned."""
        tensors = [torch.from_numpy(np.array(array)) for array in state]
        kept = self._kept()
        with torch.no_grad():
            for tensor, value in zip(kept, tensors[: len(kept)], strict=True):
                tensor.copy_(value)
        chance = tensors[len(kept) :]
        if self._team is not None:
            chance = [every[self._team.rank].clone() for every in chance]
        torch.set_rng_state(chance[0])
        if self._place.type == "cuda":
            torch.cuda.set_rng_state(chance[1])

    def _kept(self) -> list[Tensor]:
        average = [] if self._average is None else [self._average]
        return [self._weights, *self._update.kept, *average, self._moving]

    def _step(self, images: Tensor, targets: Tensor, rates: Tensor) -> Tensor:
        """Take a step with what lies on the device; nothing in it waits for the device."""
        gradients, found = self._learnt(images, targets, rates[3])
        with torch.no_grad():
            # One operation for all of them; each added to a zero, as `backward` does, was one of its own.
            torch._foreach_copy_(self._gradient_of, [_flat(one) for one in gradients])
            return self._taken(found, rates)

    def _cut_step(self, images: Tensor, targets: Tensor, rates: Tensor) -> Tensor:
        """Take such a step with one part of the batch after another."""
        self._gradients.zero_()
        statistics, found = torch.zeros_like(self._latest), self._gradients.new_zeros(2)
        for part in self._parts:
            gradients, (loss, correct) = self._learnt(images[part], targets[part], rates[3])
            weight = (part.stop - part.start) / len(images)
            with torch.no_grad():
                torch._foreach_add_(
                    self._gradient_of, [_flat(one) for one in gradients], alpha=weight
                )
                found += torch.stack([weight * loss, correct])
                statistics.add_(self._latest, alpha=weight)
            del gradients  # the next part's forward pass has their memory
        with torch.no_grad():
            self._latest.copy_(statistics)
            return self._taken(found, rates)

    def _learnt(
        self, images: Tensor, targets: Tensor, share: Tensor
    ) -> tuple[Sequence[Tensor], Tensor]:
        """Return the gradients of these images' mean loss; and the loss and the hits, (2,)."""
        with self._computing():
            outputs = self._outputs(images)
        loss = self._loss(outputs[0], targets, share)
        total = loss
        for other in outputs[1:]:
            total = total + AUXILIARY_WEIGHT * self._loss(other, targets, share)
        gradients = torch.autograd.grad(total, self._trained)
        with torch.no_grad():
            return gradients, torch.stack([loss.detach(), hits(outputs[0], targets, share)])

    def _taken(self, found: Tensor, rates: Tensor) -> Tensor:
        """Move the weights by the gradients, and return what came of the batch: everyone's, in a team."""
        if self._team is not None:
            found = self._added(found, self._team)
        self._moved(rates)
        return found

    def _answer(self, images: Images) -> Tensor:
        with self._computing():
            (logits,) = self._network(self._normalised(images), training=False)
        return logits.float()

    def _added(self, found: Tensor, team: TorchTeam) -> Tensor:
        """Take the mean of all processes' gradients and losses, and the sum of their hits."""
        self._exchanged[-2:] = found
        team.add(self._exchanged)
        self._exchanged[:-1] /= team.size
        return self._exchanged[-2:].clone()

    def _normalised(self, images: Any) -> Tensor:
        # (n, channels, height, width) over memory that stays channels last.
        x = _tensor(images).to(self._place, non_blocking=True).permute(0, 3, 1, 2)
        return (x.float() - self._mean) * self._scale

    def _computing(self) -> AbstractContextManager[None]:
        """Have the block compute in the task's precision."""
        if not self._low_precision:
            return nullcontext()
        return torch.autocast(self._place.type, torch.bfloat16)  # type: ignore[no-any-return]

    def _training_outputs(self, images: Tensor) -> list[Tensor]:
        return [logits.float() for logits in self._network(self._normalised(images), training=True)]

    def _move(self, rates: Tensor) -> None:
        """Clip and step; averages follow."""
        learning_rate, statistics, average, _, step = rates
        gradients, clip_norm = self._gradients, self._recipe.clip_norm
        if clip_norm is not None:
            norm = torch.linalg.vector_norm(gradients)
            gradients *= (clip_norm / (norm + 1e-12)).clamp(max=1.0)
        self._update.take(gradients, learning_rate, step)
        self._moving.lerp_(self._latest, statistics)
        if self._average is not None:
            self._average.lerp_(self._weights, average)


def _place() -> torch.device:
    """Return where to train."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _network(task: Task, place: torch.device, team: TorchTeam | None) -> Network:
    """Return the task's network as it starts."""
    weights = initial_weights(task.graph, seed=task.seed, start=Start.of(task.recipe))
    return Network(task.graph, weights, auxiliary=True, device=place, team=team)


def _tensor(values: Any) -> Tensor:
    if isinstance(values, np.ndarray) and not values.flags.writeable:
        values = values.copy()  # a part of a file; PyTorch warns of what it might be written to
    return torch.as_tensor(values)


def _is_long(task: Task) -> bool:
    """Tell whether training takes so long that it is worth seconds to make its steps faster."""
    step_flops = cost(task.graph).training_flops(task.recipe.batch)
    return task.steps * max(_LEAST_STEP_S, step_flops / _GPU_FLOPS) > _LONG_S


def limit_gpu_memory(share: float) -> None:
    """Let this process take no more than a share of its GPU's memory."""
    torch.cuda.set_per_process_memory_fraction(share)


def _free_memory() -> float:
    """Say how many bytes of its GPU this process may still take; what it has freed is its own."""
    free, total = torch.cuda.mem_get_info()
    used = torch.cuda.memory_allocated()
    told = getattr(torch.cuda, "get_per_process_memory_fraction", None)  # not in older versions
    share = told() if told is not None else 1.0
    return float(min(free + torch.cuda.memory_reserved() - used, share * total - used))


def _joined(tensors: Sequence[Tensor], place: torch.device) -> Tensor:
    """Move tensors into one vector, one behind the other; return it."""
    begins = [0, *accumulate(map(_room, tensors))]
    whole = torch.zeros(begins[-1], device=place)
    for tensor, begin in zip(tensors, begins, strict=False):
        part = whole.as_strided(tensor.shape, tensor.stride(), begin)
        with torch.no_grad():
            part.copy_(tensor)
        tensor.data = part
    return whole


def _room(tensor: Tensor) -> int:
    """Say how many numbers a tensor takes of a vector: the next one begins where wide loads may."""
    count: int = tensor.numel()
    return _ALIGNED * math.ceil(count / _ALIGNED)


def _flat(gradient: Tensor) -> Tensor:
    """Give a gradient's numbers in the order in which its weight lies in memory."""
    ordered = gradient.permute(0, 2, 3, 1) if gradient.dim() == 4 else gradient
    return ordered.reshape(-1)
