"""What is measured: primary networks with their images, and the generators put on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

import torch

from monai_hyperscale.hypernet import HyperNetwork
from monai_hyperscale.hypernet.generators import build_generator
from monai_hyperscale.networks import ScaleSpaceNetwork, ScaleSpaceUNet

__all__ = ["CASES", "GENERATORS", "Case", "count_parameters", "hypernetwork", "plain_network"]

#: Names and options of the generators; ``narrow`` takes its widths from the case.
GENERATORS: dict[str, dict[str, Any]] = {
    "narrow": {"name": "mlp"},
    "dense": {"name": "mlp", "hidden": (10, 100)},  # SSHN A.1
    "linear": {"name": "linear"},
    "spline": {"name": "spline"},
    "film": {"name": "film"},
    "constant": {"name": "constant"},
}


@dataclass(frozen=True)
class Case:
    """A primary network, its images, and how it is trained.

    Args:
        spatial_dims: 2 or 3.
        features: channels of the encoder stages.
        size: voxels per axis of the images.
        batch: images per training step; inference is measured with one image.
        options: further arguments of :class:`ScaleSpaceUNet`.
        classes: channels of the logits.
        hidden: widths of the ``narrow`` generator.
        generators: those measured where none are named.
        precision: ``fp32`` or ``bf16``, the autocast type of the network.
        rounds: most rounds of measurement, for networks whose one step takes seconds.
        bars: bounds of the ratio to the plain network, by ``(operation, generator)``, on a CPU.
        cuda_bars: the same on a GPU.
        limits: seconds that an operation may take, by ``(operation, generator)``, on any device.
    """

    spatial_dims: int
    features: tuple[int, ...]
    size: tuple[int, ...]
    batch: int
    options: Mapping[str, Any] = field(default_factory=dict)
    classes: int = 2
    hidden: tuple[int, ...] = (10, 8)
    generators: tuple[str, ...] = ("narrow", "dense")
    precision: str = "fp32"
    rounds: Optional[int] = None
    bars: Mapping[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    cuda_bars: Mapping[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    limits: Mapping[tuple[str, str], float] = field(default_factory=dict)


_FOLDED = {("inference", "narrow"): (0.98, 1.02)}
_BARS: dict[str, Any] = {
    "bars": {("training", "narrow"): (0.0, 1.10), **_FOLDED},
    "cuda_bars": {("training", "narrow"): (0.0, 1.05), **_FOLDED},
}

CASES: dict[str, Case] = {
    "2d-16": Case(2, (16,) * 5, (128, 128), batch=16),
    "2d-32": Case(2, (32,) * 5, (128, 128), batch=16, limits={("generation", "narrow"): 0.005}, **_BARS),
    # Amortized, section 4.
    "2d-amortized": Case(2, (16, 32, 64, 128, 256), (128, 128), batch=16, options={"decoder_features": (32, 16, 8, 4)}),
    "3d-8": Case(3, (8,) * 4, (36, 52, 36), batch=2),
    # The shipped network: configs/hippocampus.json of the sshn_seg bundle.
    "3d-hippocampus": Case(
        3,
        (16, 64, 64, 64, 64),
        (36, 52, 36),
        batch=2,
        classes=3,
        options={"decoder_features": (32, 32, 16, 16)},
        hidden=(16, 3),
        precision="bf16",
        **_BARS,
    ),
    "3d-32": Case(3, (32,) * 4, (36, 52, 36), batch=2),
    # About 30 million parameters, as nnU-Net plans for 3D; the dense generator would have three billion.
    "3d-nnunet": Case(
        3,
        (32, 64, 128, 256, 320, 320),
        (64, 64, 64),
        batch=1,
        hidden=(10, 4),
        generators=("narrow",),
        precision="bf16",
        rounds=5,
    ),
    # For the tests: says nothing about speed.
    "tiny": Case(2, (4, 4), (8, 8), batch=1, hidden=(2, 2), rounds=2),
}


def plain_network(case: Case, device: torch.device) -> ScaleSpaceNetwork:
    """Return the primary network by itself, on ``device``."""
    images = 1
    network = ScaleSpaceUNet(case.spatial_dims, images, case.classes, case.features, **case.options)
    return network.to(device)


def hypernetwork(case: Case, generator: str, device: torch.device) -> HyperNetwork:
    """Return the same network under a generator, one of :data:`GENERATORS`.

    Example:
        >>> net = hypernetwork(CASES["tiny"], "dense", torch.device("cpu"))
        >>> count_parameters(net.generator) > 50 * count_parameters(net.primary)
        True
    """
    options = dict(GENERATORS[generator])
    if generator == "narrow":
        options["hidden"] = case.hidden
    return HyperNetwork(plain_network(case, torch.device("cpu")), build_generator(**options)).to(device)


def count_parameters(network: torch.nn.Module) -> int:
    """Return how many numbers the network learns."""
    return sum(parameter.numel() for parameter in network.parameters())
