"""Networks on disk, as a training leaves them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from monai_hyperscale.bundle import NetworkSettings, build_network, write_settings


def save_network(
    folder: Path, settings: NetworkSettings, push: float = 0, bias: float | Sequence[float] | None = None, seed: int = 0
) -> Any:
    """Write a network with random weights into a folder, and return it.

    ``push`` is by how much its generator's parameters are moved at random, so that phi makes a difference; ``bias``
    is that of its last layer at every phi: of logits 0, so that no label wins everywhere, of a field a shift.
    """
    torch.manual_seed(seed)
    network = build_network(settings)
    with torch.no_grad():
        if push:
            for parameter in network.generator.parameters():
                parameter.add_(push * torch.randn_like(parameter))
        if bias is not None:
            if hasattr(network.generator, "heads"):
                network.generator.heads[:, -settings.out_channels :] = 0
            network.generator.base[-settings.out_channels :] = torch.as_tensor(bias, dtype=torch.float32)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), folder / "model.pt")
    write_settings(settings, folder / "model.json")
    return network
