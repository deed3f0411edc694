"""The primary networks that a bundle may name: a fixed list, so that a file of settings never imports anything."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional, Union

import torch
import torch.nn as nn
from monai.networks import nets as monai_nets

from monai_hyperscale.errors import CheckpointError, ConfigError, ConversionError
from monai_hyperscale.networks import ScaleSpaceNetwork, nets, rescalable

_PHI_NETWORKS = ("ScaleSpaceUNet", "ScaleSpaceResidualUNet", "ScaleSpaceSEUNet", "ScaleSpaceFPN", "ScaleSpacePSPNet")
_CHANNELS = (16, 32, 64, 128)
_GIVEN_ELSEWHERE = ("spatial_dims", "in_channels", "out_channels", "rescale_input")


def _strides(options: dict[str, Any]) -> dict[str, Any]:
    options = {"channels": _CHANNELS, **options}
    return {"strides": (2,) * (len(options["channels"]) - 1), **options}


def _dynunet(options: dict[str, Any]) -> dict[str, Any]:
    # Halving at every level but the first, as nnU-Net plans.
    levels = len(options.get("strides", options.get("filters", _CHANNELS)))
    options = {"kernel_size": (3,) * levels, "strides": (1,) + (2,) * (levels - 1), **options}
    return {"upsample_kernel_size": tuple(options["strides"][1:]), **options}


# What each of MONAI's networks needs beyond dimensions and channels, given what the settings name.
_MONAI_NETWORKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "AttentionUnet": _strides,
    "BasicUNet": dict,
    "BasicUNetPlusPlus": dict,
    "DynUNet": _dynunet,
    "FlexibleUNet": lambda options: {"backbone": "efficientnet-b0", **options},
    "SegResNet": dict,
    "UNet": _strides,
    "VNet": dict,
}

#: Names of all networks, ours first and the default first of all.
ARCHITECTURES = (*_PHI_NETWORKS, *_MONAI_NETWORKS)


def build_primary(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    network: Mapping[str, Any],
    rescale_input: bool = False,
    weights: Optional[Union[str, Path]] = None,
) -> ScaleSpaceNetwork:
    """Build the φ-network that settings describe: one of this package, or one of MONAI's made rescalable.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the images.
        out_channels: channels of the logits.
        network: its ``name``, by default ``ScaleSpaceUNet``, and its own arguments. For MONAI's networks
            ``replace_norm``, ``group`` or ``instance``, replaces batch norm with running statistics, else refused.
        rescale_input: whether the input itself is rescaled first, see :class:`ScaleSpaceNetwork`.
        weights: a file of weights to start from, of a MONAI network; ``report.tensors`` tells which were taken over.

    Raises:
        ConfigError: for another name, or an option that the network does not have.
        CheckpointError: if ``weights`` cannot be read or do not fit.
        ValueError: if the arguments do not make a network; ``TypeError`` for one of another kind.

    Example:
        >>> build_primary(2, 1, 3, {"name": "BasicUNet", "features": (4, 4, 8, 8, 8, 4)}).levels
        4
    """
    options = dict(network)
    name = options.pop("name", ARCHITECTURES[0])
    if name not in ARCHITECTURES:
        raise ConfigError(f"the network's name must be one of {', '.join(ARCHITECTURES)}, got {name!r}.")
    build = getattr(nets if name in _PHI_NETWORKS else monai_nets, name)
    known = [option for option in inspect.signature(build).parameters if option not in _GIVEN_ELSEWHERE]
    known += ["replace_norm"] if name in _MONAI_NETWORKS else []
    unknown = [option for option in options if option not in known]
    if unknown:
        told = ", ".join(map(repr, unknown))
        raise ConfigError(f"the network {name!r} has no option {told}; its options are {', '.join(known)}.")
    if options.get("pretrained"):
        raise ConfigError("pretrained weights are not downloaded from a bundle; start from weights with warm_start.")
    if name == "BasicUNetPlusPlus" and options.get("deep_supervision"):
        raise ConfigError("the bundle trains BasicUNetPlusPlus on its last output; leave deep_supervision out.")
    if name in _PHI_NETWORKS:
        if weights is not None:
            raise CheckpointError(
                f"a file of weights such as {weights} starts a network of MONAI's only; for {name} name the folder of "
                "an earlier training's models."
            )
        return build(spatial_dims, in_channels, out_channels, rescale_input=rescale_input, **options)
    replace_norm = options.pop("replace_norm", "refuse")
    channels = {"spatial_dims": spatial_dims, "in_channels": in_channels, "out_channels": out_channels}
    original = build(**channels, **_MONAI_NETWORKS[name](options))
    try:
        primary = rescalable(original, norm=replace_norm, weights=weights, rescale_input=rescale_input)
    except ConversionError as error:
        # There, the option is called norm, which here is the network's own.
        there, here = "pass norm='group' or norm='instance'", "give the network 'replace_norm': 'group' or 'instance'"
        raise ConversionError(str(error).replace(there, here)) from error
    if name == "BasicUNetPlusPlus":
        primary.body = _LastOutput(primary.body)
    return primary


class _LastOutput(nn.Module):
    """The last of the logits that BasicUNetPlusPlus returns, which all of its decoder leads to."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)[-1]
