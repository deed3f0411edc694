"""Trained networks of a bundle: read with care, folded on demand, and kept."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar, Union

import torch
import torch.nn as nn

from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.bundle.settings import build_network, read_settings
from monai_hyperscale.context import Context
from monai_hyperscale.errors import CheckpointError
from monai_hyperscale.hypernet import HyperNetwork
from monai_hyperscale.io.files import load_weights

# Folded networks that are kept; one is as large as a plain U-Net.
_KEPT_NETWORKS = 4


class FoldedNetworks(OrderedDict[Context, nn.Module]):
    """Plain networks by their context, made at the first call and kept while there are few; safe for threads."""

    def __init__(self, network: HyperNetwork, spatial_dims: int, device: Union[str, torch.device] = "cpu") -> None:
        super().__init__()
        self.network = copy.deepcopy(network).cpu().eval().requires_grad_(False)
        self.device = torch.device(device)
        self.spatial_dims = spatial_dims
        self._lock = threading.Lock()

    def at(self, phi: Any = None, **numbers: Any) -> nn.Module:
        """Return the plain network for a context, while it is kept the same one; a PhiError for wrong numbers."""
        context = self.network.context(phi=phi, **numbers)
        with self._lock:
            if context not in self:
                folded = self.network.fold(**context).requires_grad_(False)
                layout = torch.channels_last if self.spatial_dims == 2 else torch.channels_last_3d
                self[context] = folded.to(self.device).to(memory_format=layout)  # type: ignore[call-overload]
            self.move_to_end(context)
            while len(self) > _KEPT_NETWORKS:
                self.popitem(last=False)
            return self[context]


class TrainedNetwork:
    """A trained network, folded for one context at a time; tasks make theirs of it, and threads may share it."""

    kind: ClassVar[type[NetworkSettings]]

    def __init__(self, settings: Any, network: HyperNetwork, device: Union[str, torch.device] = "cpu") -> None:
        self.settings = settings
        self.device = torch.device(device)
        self._folded = FoldedNetworks(network, settings.spatial_dims, self.device)
        self.network = self._folded.network

    @classmethod
    def from_bundle(cls, bundle_dir: Union[str, Path], device: Union[str, torch.device] = "cpu", **options: Any) -> Any:
        """Read the network of a bundle, a training's output, or a folder with it; a CheckpointError if it has none."""
        folder = model_folder(bundle_dir)
        settings = read_settings(folder / "model.json", cls.kind)
        return cls(settings, trained_network(folder, settings), device, **options)

    def fold(self, phi: Any, **numbers: Any) -> nn.Module:
        """Return the plain network for φ and the other numbers of its context, see :meth:`FoldedNetworks.at`."""
        return self._folded.at(phi, **numbers)


def trained_network(folder: Path, settings: NetworkSettings) -> HyperNetwork:
    """Return the network of ``settings`` with the weights in a folder; a CheckpointError if they are others."""
    weights = load_weights(folder / "model.pt")
    network = build_network(settings)
    try:
        network.load_state_dict(weights)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise CheckpointError(
            f"the weights {folder / 'model.pt'} are not of the network that model.json beside them describes; "
            "restore both files from the same training."
        ) from error
    if not all(bool(value.isfinite().all()) for value in network.state_dict().values()):
        raise CheckpointError(f"{folder / 'model.pt'} has weights that are NaN or infinite; train again.")
    return network


def model_folder(bundle_dir: Union[str, Path]) -> Path:
    """Return the folder of ``model.json`` and ``model.pt``: ``models`` in a bundle, or the folder itself."""
    folder = Path(bundle_dir)
    if not folder.is_dir():
        raise CheckpointError(f"bundle {folder} does not exist; name a bundle's folder.")
    return folder if (folder / "model.json").is_file() else folder / "models"
