"""The operations that are measured, as programs without arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F

from benchmarks.cases import Case, hypernetwork, plain_network
from monai_hyperscale.hypernet import HyperNetwork
from monai_hyperscale.inference.inferers import channels_last

__all__ = ["OPERATIONS", "PLAIN", "contestant", "program"]

#: The plain network: what the others are compared with.
PLAIN = "plain"

#: What can be measured.
OPERATIONS = ("training", "generation", "fold", "inference")


def contestant(case: Case, name: str, device: torch.device) -> nn.Module:
    """Return the plain network (``plain``, or any name that starts so), or the hypernetwork with that generator."""
    return plain_network(case, device) if name.startswith(PLAIN) else hypernetwork(case, name, device)


def program(operation: str, network: Any, case: Case, phi: float, device: torch.device) -> Callable[[], object]:
    """Return the program for one of :data:`OPERATIONS`.

    Args:
        operation: ``training``: forward and backward pass, cross-entropy, Adam (fused). ``generation``: all weights
            for a φ other than the last. ``fold``: a plain copy of the network. ``inference``: one image through it.
        network: from :func:`contestant`.
        case: where the images come from.
        phi: rescaling factor.
        device: where the network is.
    """
    if operation == "training":
        return _training_step(network, case, phi, device)
    if operation == "generation":
        return _generation(network, (phi, phi * 0.9, phi * 0.8))
    if operation == "fold":
        return lambda: network.fold(phi)
    return _inference(network, case, phi, device)


def _images(case: Case, batch: int, device: torch.device) -> torch.Tensor:
    return torch.randn(batch, 1, *case.size, generator=torch.Generator().manual_seed(0)).to(device)


def _autocast(case: Case, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=case.precision == "bf16")


def _training_step(network: nn.Module, case: Case, phi: float, device: torch.device) -> Callable[[], object]:
    images = _images(case, case.batch, device)
    labels = torch.randint(case.classes, (case.batch, *case.size), generator=torch.Generator().manual_seed(0)).to(
        device
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.9, 0.99), fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with _autocast(case, device):
            # The layout is that of the bundle's training, for all alike.
            logits = network(channels_last(images), phi=phi)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return step


def _generation(network: HyperNetwork, phis: Sequence[float]) -> Callable[[], object]:
    following = cycle(phis)

    @torch.no_grad()
    def generate() -> None:
        network.generate(next(following))

    return generate


def _inference(network: Any, case: Case, phi: float, device: torch.device) -> Callable[[], object]:
    layout: Any = torch.channels_last if case.spatial_dims == 2 else torch.channels_last_3d
    folded = network.fold(phi).eval().requires_grad_(False).to(memory_format=layout)
    images = _images(case, 1, device)

    @torch.inference_mode()
    def infer() -> None:
        with _autocast(case, device):
            folded(channels_last(images))

    return infer
