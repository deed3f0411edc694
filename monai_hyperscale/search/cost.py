"""The cost of a folded network: operations, parameters, seconds and bytes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from typing import Any, Optional

import torch
import torch.nn as nn
from torch.autograd.profiler import profile
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from monai_hyperscale.search.results import Latency
from monai_hyperscale.search.timing import interleaved_rounds, spread

# Bytes of folded networks that are held at a time; all of these are timed in turn.
_HELD = 2**31
#: What the figure of memory is of, said where it is shown.
WORKING_MEMORY = "working memory is the peak of one inference, beside the weights, the image and the process"


def _onednn_flops(x: Any, weight: Any, *options: Any, out_shape: Any = None, **others: Any) -> int:
    return conv_flop_count(list(x), list(weight), list(out_shape or ()))


def _interpolation_flops(*args: Any, out_shape: Sequence[int], **others: Any) -> int:
    """Return one product and one sum for each of a value's neighbours, two along every axis."""
    return 2 * 2 ** (len(out_shape) - 2) * math.prod(out_shape)


_INTERPOLATIONS = (
    torch.ops.aten.upsample_linear1d,
    torch.ops.aten.upsample_bilinear2d,
    torch.ops.aten.upsample_trilinear3d,
    torch.ops.aten.grid_sampler_2d,
    torch.ops.aten.grid_sampler_3d,
)
# What the counter does not know by itself: see CPUConvolutions, and resizing. The overloads as well: what it does not
# find it takes apart, and in inference mode it then misses the parts.
_COUNTED_TOO = {
    torch.ops.aten.mkldnn_convolution: _onednn_flops,
    **{
        name: _interpolation_flops
        for op in _INTERPOLATIONS
        for name in (op, *(getattr(op, overload) for overload in op.overloads()))
    },
}


def count_flops(network: nn.Module, image: torch.Tensor) -> int:
    """Return the floating-point operations of one forward pass of an image (B, C, *sizes), by torch's own counter.

    A multiplication and an addition count as two. Fold the network first: generating weights is no part of the cost of
    using them. Counted are convolutions, matrix products, and linear interpolation: resizing by φ, and warping. Maps of
    one voxel grow by being repeated, which costs no operation.

    Example:
        >>> count_flops(nn.Conv2d(1, 2, 3, padding=1, bias=False), torch.zeros(1, 1, 8, 8))
        2304
    """
    with FlopCounterMode(display=False, custom_mapping=_COUNTED_TOO) as counter, torch.no_grad():
        network(image)
    return counter.get_total_flops()


@torch.inference_mode()
def peak_memory(run: nn.Module, image: torch.Tensor) -> Optional[int]:
    """Return the most bytes that torch's allocator holds in one call of a network on an image, beside these two."""
    run(image)  # loads code, and reorders what is kept
    if image.device.type == "cuda":
        torch.cuda.synchronize(image.device)
        torch.cuda.reset_peak_memory_stats(image.device)
        before = torch.cuda.memory_allocated(image.device)
        run(image)
        torch.cuda.synchronize(image.device)
        return torch.cuda.max_memory_allocated(image.device) - before
    if image.device.type != "cpu":
        return None
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # what the profiler prints for its own programmers
    with profile(profile_memory=True) as recorded:
        run(image)
    events = [event for event in recorded.kineto_results.events() if event.name() == "[memory]"]
    return max(accumulate((event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())), initial=0))


@dataclass(frozen=True)
class InferenceCost:
    """Operations, parameters, peak bytes beside weights and image, seconds of every round, and of a case's stages."""

    flops: int
    parameters: int
    memory: Optional[int] = None
    seconds: tuple[float, ...] = ()
    stages: Mapping[str, float] = field(default_factory=dict)

    @property
    def latency(self) -> Optional[Latency]:
        """Median and quartiles of the seconds."""
        return spread(self.seconds) if self.seconds else None


def measure_costs(
    runs: Sequence[Callable[[], nn.Module]],
    image: torch.Tensor,
    rounds: int = 9,
    memory: bool = True,
    progress: Optional[Callable[[], object]] = None,
    known: Sequence[InferenceCost] = (),
    save: Optional[Callable[[Sequence[InferenceCost]], object]] = None,
) -> list[InferenceCost]:
    """Measure folded networks on one image.

    The times of all are taken in turn, round by round, so that what else the machine does meets all of them alike.

    Args:
        runs: each makes a network without φ on the image's device, such as :class:`FoldedInference`.
        image: (B, C, *sizes), on the device.
        rounds: times taken of each; 0 for none.
        memory: whether peak memory is measured.
        progress: called after each of ``len(runs) * (2 + rounds)`` steps.
        known: costs of the first networks that an interrupted measurement saved: it goes on there.
        save: called with the costs of the first networks after each of them, and after every round.

    Example:
        >>> conv = partial(nn.Conv2d, 1, 2, 3, padding=1, bias=False)
        >>> cost = measure_costs([conv], torch.zeros(1, 1, 8, 8), rounds=3, memory=False)[0]
        >>> cost.flops, cost.parameters, cost.latency.runs
        (2304, 18, 3)
    """
    done = progress or (lambda: None)
    keep = save or (lambda costs: None)
    costs = list(known)
    if len(costs) == len(runs) and all(len(cost.seconds) >= rounds for cost in costs):
        for _ in range(len(runs) * (2 + rounds)):
            done()
        runs = []
    held: dict[int, nn.Module] = {}
    for place, make in enumerate(runs):
        run = make().eval()
        flops = None if place < len(costs) else count_flops(run, image)
        done()
        if flops is not None:
            parameters = sum(parameter.numel() for parameter in run.parameters())
            costs.append(InferenceCost(flops, parameters, peak_memory(run, image) if memory else None))
            keep(costs)
        done()
        if rounds:
            held[place] = run
        size = sum(parameter.numel() * parameter.element_size() for parameter in run.parameters())
        if held and (place == len(runs) - 1 or len(held) * size > _HELD):
            _take_times(held, costs, image, rounds, done, keep)
            held = {}
    return costs


def _take_times(
    held: Mapping[int, nn.Module],
    costs: list[InferenceCost],
    image: torch.Tensor,
    rounds: int,
    done: Callable[[], object],
    keep: Callable[[Sequence[InferenceCost]], object],
) -> None:
    first = min(rounds, *(len(costs[place].seconds) for place in held))
    for place in held:
        costs[place] = replace(costs[place], seconds=costs[place].seconds[:first])
    for _ in range(first * len(held)):
        done()
    if first == rounds:
        return
    with torch.inference_mode():
        programs = {place: partial(run, image) for place, run in held.items()}
        for seconds in interleaved_rounds(programs, rounds, image.device, progress=done, first=first):
            for place, value in seconds.items():
                costs[place] = replace(costs[place], seconds=(*costs[place].seconds, value))
            keep(costs)
