"""A folded network as it is run over a whole image, in one module that can be timed, counted and sent elsewhere."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn as nn

from monai_hyperscale.inference.devices import first_that_fits, stage
from monai_hyperscale.inference.inferers import PhiInferer, PhiWholeImageInferer
from monai_hyperscale.inference.windows import labels_by_slices, labels_in_windows, most_likely


class FoldedInference(nn.Module):
    """Pass an image through a plain network by an inferer: in one piece, in windows, or slice by slice."""

    def __init__(self, network: nn.Module, inferer: PhiInferer) -> None:
        super().__init__()
        self.network = network
        self.inferer = inferer

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map an image (B, C, *sizes) to what the network returns for it."""

        def plain(window: torch.Tensor, **context: Any) -> torch.Tensor:
            output: torch.Tensor = self.network(window)
            return output

        with torch.inference_mode():
            return self.inferer(image, plain)


class LabelInference(FoldedInference):
    """Find the most likely class of every voxel, without the logits of a large image in memory, as the inferer says."""

    inferer: PhiWholeImageInferer

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map an image (1, C, *sizes) to class indices (1, *sizes) on the CPU; in windows if memory is too small."""
        device = next(self.network.parameters()).device

        def attempt(way: tuple[torch.device, int]) -> torch.Tensor:
            with torch.inference_mode():
                return self._labels(image[0], *way)[None]

        ways = ((device, self.inferer.max_voxels), (device, 0), (torch.device("cpu"), 0))
        return first_that_fits(attempt, ways, "the image", "in windows")

    def _labels(self, image: torch.Tensor, device: torch.device, max_voxels: int) -> torch.Tensor:
        inferer = self.inferer
        here = next(self.network.parameters()).device.type == device.type
        network = self.network if here else copy.deepcopy(self.network).to(device)
        whole = FoldedInference(network, PhiInferer(precision=inferer.precision))

        def run(part: torch.Tensor) -> torch.Tensor:
            with stage("network", device):
                logits: torch.Tensor = whole(part)
            return logits

        if image.dim() - 1 > inferer.spatial_dims:
            return labels_by_slices(image, run, device=device)
        if image[0].numel() > max_voxels:
            return labels_in_windows(image, run, inferer.roi_size, inferer.overlap, device)
        logits = run(image[None].to(device))[0]
        with stage("argmax", device):
            return most_likely(logits).cpu()
