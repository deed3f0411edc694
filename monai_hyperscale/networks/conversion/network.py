"""From a fixed-factor network to a φ-network."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union

import torch
import torch.nn as nn
from monai.networks.utils import copy_model_state

from monai_hyperscale.errors import CheckpointError, ConversionError
from monai_hyperscale.io.files import load_weights
from monai_hyperscale.networks.conversion.conversion import Conversion
from monai_hyperscale.networks.conversion.place import Place
from monai_hyperscale.networks.conversion.report import ConversionReport, TensorReport
from monai_hyperscale.networks.conversion.trial import refuse_sizes
from monai_hyperscale.networks.layers.resize import VariableResize
from monai_hyperscale.networks.nets.scale_space import ScaleSpaceNetwork

#: A state dict, the file of one, or a network.
Weights = Union[str, Path, Mapping[str, Any], nn.Module]

_NORMS = ("refuse", "group", "instance")
# What checkpoints put the state dict under.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net")


class RescalableNetwork(ScaleSpaceNetwork):
    """A network converted by :func:`rescalable`: ``body`` keeps the parameters' names, ``report`` says what changed."""

    def __init__(self, body: nn.Module, report: ConversionReport, spatial_dims: int, **options: Any) -> None:
        super().__init__(body, **options)
        self.report = report
        self.spatial_dims = spatial_dims
        # What became of the tensors in the conversion itself, which later sources of weights do not change.
        self._converted = report.tensors

    def load_weights_from(self, weights: Weights) -> TensorReport:
        """Take over the tensors that fit by name and shape, and return which those were, as ``report.tensors`` does.

        Do this before the network becomes the primary of a ``HyperNetwork``: they are then its θ₀.

        Args:
            weights: a state dict, the file of one (or of a checkpoint that has one), or a network: of the network
                that was converted, or of another rescalable one. A :class:`CheckpointError` if no tensor fits, or it
                cannot be read.

        Example:
            >>> from monai.networks.nets import BasicUNet
            >>> trained, other = (BasicUNet(2, features=(4, 4, 4, 4, 4, 4), out_channels=n) for n in (2, 3))
            >>> len(rescalable(other).load_weights_from(trained.state_dict()).fresh)
            2
        """
        source, given = _state_dict(weights)
        body = self.body.state_dict()
        given = _without_prefix(given, body)
        state, reused, _ = copy_model_state(body, given, inplace=False)
        if not reused:
            has = f"it has {next(iter(given))}, …" if given else "it has no tensors"
            raise CheckpointError(
                f"no tensor of {source} fits {self.report.network} by name and shape ({has}; wanted is "
                f"{next(iter(body))}, …); give the weights of a network that was built with the same options."
            )
        self.body.load_state_dict(state)
        before = self._converted
        fits = set(reused)
        tensors = TensorReport(source)
        tensors.reused = [name for name in body if name in fits and name not in before.adapted]
        tensors.adapted = {name: why for name, why in before.adapted.items() if name in fits}
        for name in body:
            if name not in fits:
                tensors.fresh[name] = _mismatch(given[name], body[name]) if name in given else "not in the source"
        for name in given:
            if name not in fits:
                known = _mismatch(given[name], body[name]) if name in body else "no such tensor in the network"
                tensors.unused[name] = before.unused.get(name, known)
        self.report.tensors = tensors
        return tensors


def rescalable(
    network: nn.Module,
    *,
    norm: str = "refuse",
    weights: Weights | None = None,
    mode: str = "linear",
    rounding: str = "nearest",
    rescale_input: bool = False,
) -> RescalableNetwork:
    """Return an equivalent of a MONAI network whose down- and up-sampling go by φ.

    At φ = 0.5, on sizes that the network's strides divide, it computes what the given network does, with the same
    parameters under the same names and at the same cost; other φ and other sizes work too. Layers of stride s are given
    maps resized to ``s·m`` voxels where φ asks for m, so φ = 1 works on maps twice as fine before every strided layer:
    φ ≤ 0.5 is for use. Everything that goes up ends at the size of its skip connection.

    Args:
        network: one of MONAI's that this package knows, or of a type registered with ``converts``; it is left as it is.
        norm: what becomes of normalisation with running statistics, which mix over φ and are wrong for each: ``refuse``
            with an error, or replace by ``group`` or ``instance`` normalisation, which keep scale and shift.
        weights: to start from, see :meth:`RescalableNetwork.load_weights_from`; those of ``network`` by default.
        mode: interpolation in front of strided layers, ``linear`` or ``nearest``.
        rounding: of sizes, see :func:`~monai_hyperscale.networks.layers.rescaled_size`.
        rescale_input: see :class:`~monai_hyperscale.networks.nets.ScaleSpaceNetwork`.

    Raises:
        ConversionError: if a part cannot be converted or does not run at every φ; it names the module and the reason.
        ValueError: for an unknown option.
        CheckpointError: if ``weights`` cannot be read or do not fit.

    Example:
        >>> from monai.networks.nets import BasicUNet
        >>> network = rescalable(BasicUNet(spatial_dims=2, features=(4, 4, 4, 4, 4, 4)))
        >>> network(torch.rand(1, 1, 31, 17), phi=0.3).shape
        torch.Size([1, 2, 31, 17])
    """
    if not isinstance(network, nn.Module):
        raise ConversionError(f"expected a network, an instance of torch.nn.Module, got {network!r}.")
    if norm not in _NORMS:
        raise ValueError(f"norm must be one of {', '.join(_NORMS)}, got {norm!r}.")
    if any(isinstance(module, VariableResize) for module in network.modules()):
        raise ConversionError(f"{type(network).__name__} goes by phi already; use it as it is.")
    conversion = Conversion(network, norm, mode, rounding)
    conversion.refuse_altered_modules()
    body = Place(conversion, copy.deepcopy(network)).converted()
    conversion.refuse_leftovers(body)
    if not any(isinstance(module, VariableResize) for module in body.modules()):
        raise ConversionError(f"{type(network).__name__} cannot be made rescalable: it has no strided layer.")
    if conversion.returns_features and rescale_input:
        raise ConversionError(
            f"{type(network).__name__} returns features of several sizes, and rescale_input would bring them all to "
            "that of the image; use it with a network that returns logits."
        )
    refuse_sizes(body, conversion)
    tensors = conversion.report.tensors
    before = network.state_dict()
    tensors.reused = [name for name in body.state_dict() if name in before and name not in tensors.adapted]
    tensors.fresh = {name: "new" for name in body.state_dict() if name not in before}
    converted = RescalableNetwork(body, conversion.report, conversion.spatial_dims, rescale_input=rescale_input)
    converted.train(network.training)
    if weights is not None:
        converted.load_weights_from(weights)
    return converted


def _state_dict(weights: Weights) -> tuple[str, dict[str, torch.Tensor]]:
    # Where the weights come from, and the tensors under the names that the network itself would give them.
    if isinstance(weights, RescalableNetwork):
        return f"the {weights.report.network} given", weights.body.state_dict()
    if isinstance(weights, nn.Module):
        return f"the {type(weights).__name__} given", weights.state_dict()
    if not isinstance(weights, (Mapping, str, os.PathLike)):
        raise CheckpointError(f"weights must be a state dict, its file or a network, got {weights!r}.")
    if isinstance(weights, Mapping):
        source, content = "the state dict given", dict(weights)
    else:
        source, content = str(weights), load_weights(weights)
    for key in _WRAPPERS:
        if isinstance(content.get(key), Mapping):
            content = dict(content[key])
            break
    return source, {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}


def _without_prefix(given: dict[str, torch.Tensor], body: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    # Without what wrappers put before every name (``module.``, ``net.``), if they fit so.
    names = given
    while names and not body.keys() & names.keys():
        if len({name.partition(".")[0] for name in names}) > 1 or not all("." in name for name in names):
            return given
        names = {name.partition(".")[2]: value for name, value in names.items()}
    return names


def _mismatch(given: torch.Tensor, wanted: torch.Tensor) -> str:
    return f"its shape is {tuple(given.shape)} in the source and {tuple(wanted.shape)} in the network"
