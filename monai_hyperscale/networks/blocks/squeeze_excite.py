"""The stage of the squeeze-and-excitation U-Net."""

from __future__ import annotations

from typing import Any, Union

from monai.networks.blocks import ChannelSELayer

from monai_hyperscale.networks.blocks.convolutions import ConvolutionStage

__all__ = ["SqueezeExciteStage"]


class SqueezeExciteStage(ConvolutionStage):
    """A :class:`ConvolutionStage` whose channels are reweighed at the end, by MONAI's squeeze-and-excitation layer.

    The layer averages each channel over the map, and two fully connected layers turn the averages into a weight
    between 0 and 1 for each. They are no convolutions: the default selection of a hypernetwork leaves them as they
    are, learned for all φ alike.

    Args:
        act: activation, by MONAI's names; of the squeezed layer too.
        reduction: how many times fewer channels the squeezed layer has.
        options: as the channels, the arguments of :class:`ConvolutionStage`.

    Raises:
        ValueError: if ``reduction`` leaves no channel.

    Example:
        >>> import torch
        >>> SqueezeExciteStage(2, 1, 8)(torch.zeros(1, 1, 5, 7)).shape
        torch.Size([1, 8, 5, 7])
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        act: Union[str, tuple] = "leakyrelu",
        reduction: int = 2,
        **options: Any,
    ) -> None:
        super().__init__(spatial_dims, in_channels, out_channels, act=act, **options)
        if not 1 <= reduction <= out_channels:
            raise ValueError(
                f"reduction must be between 1 and the {out_channels} channels of the narrowest stage, got {reduction}."
            )
        self.add_module("squeeze_excite", ChannelSELayer(spatial_dims, out_channels, reduction, acti_type_1=act))
