"""Outputs of networks, one map or several, compared; and copies and threads that must not change them."""

from __future__ import annotations

import copy
import io
import math
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import torch


def tensors(output: Any) -> list[torch.Tensor]:
    """Return what a network returned, one map or several, as a list."""
    return [output] if isinstance(output, torch.Tensor) else list(output)


def joined(output: Any) -> torch.Tensor:
    """Return all values of what a network returned: the map itself, or those of a list in one row."""
    return output if isinstance(output, torch.Tensor) else torch.cat([maps.flatten() for maps in output])


def assert_same(output: Any, expected: Any, tolerance: float) -> None:
    """Check that two outputs have as many maps, of the same shapes, and values that agree to ``tolerance``."""
    for maps, reference in zip(tensors(output), tensors(expected), strict=True):
        torch.testing.assert_close(maps, reference, atol=tolerance, rtol=0)


def difference(output: Any, other: Any) -> float:
    """Return the largest absolute difference between two outputs; infinity for features of different sizes."""
    values, others = joined(output), joined(other)
    return float((values - others).abs().max()) if values.shape == others.shape else math.inf


def relative_error(value: torch.Tensor, exact: torch.Tensor) -> float:
    """Return the Euclidean norm of the difference over that of ``exact``."""
    return float((value.float() - exact).detach().norm() / exact.detach().norm())


def copy_of(module: Any, how: str) -> Any:
    """Return a copy made by ``deepcopy``, ``pickle`` or ``torch.save``."""
    if how == "deepcopy":
        return copy.deepcopy(module)
    if how == "pickle":
        return pickle.loads(pickle.dumps(module))
    stream = io.BytesIO()
    torch.save(module, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=False)


def assert_threads_agree(call: Any, phis: list[float], rounds: int) -> None:
    """Check that ``call(phi)`` in one thread per φ, many times over, gives what it gives when called alone."""
    with torch.no_grad():
        alone = {phi: call(phi) for phi in phis}
    for phi, other in pairwise(phis):
        assert difference(alone[phi], alone[other]) > 1e-2  # else a mix-up would not show

    def work(phi: float) -> float:
        with torch.no_grad():
            return max(float((call(phi) - alone[phi]).abs().max()) for _ in range(rounds))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(len(phis)) as pool:
            errors = list(pool.map(work, phis))
    finally:
        sys.setswitchinterval(interval)
    assert max(errors) < 1e-5, errors
