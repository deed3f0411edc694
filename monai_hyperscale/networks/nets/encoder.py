"""What the architectures of this package share: their arguments, the stages made of these, and the encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional, Union

import torch
import torch.nn as nn

from monai_hyperscale.networks.blocks.convolutions import ConvolutionStage
from monai_hyperscale.networks.layers.resize import VariableResize, interpolation_mode
from monai_hyperscale.networks.nets.scale_space import ScaleSpaceNetwork


# eq and repr stay those of modules.
@dataclass(eq=False, repr=False)
class EncoderNetwork(ScaleSpaceNetwork):
    """A φ-network around an :class:`Encoder`; its arguments are the fields, to which a subclass adds its own."""

    spatial_dims: int
    in_channels: int
    out_channels: int
    features: Sequence[int] = (32, 32, 32, 32, 32)
    decoder_features: Optional[Union[int, Sequence[int]]] = None
    convolutions: int = 2
    kernel_size: int = 3
    norm: Optional[Union[str, tuple]] = "group"
    act: Union[str, tuple] = "leakyrelu"
    dropout: Optional[Union[float, str, tuple]] = None
    mode: str = "linear"
    rounding: str = "nearest"
    rescale_input: bool = False

    def __post_init__(self) -> None:
        if self.spatial_dims not in (1, 2, 3):
            raise ValueError(f"spatial_dims must be 1, 2 or 3, got {self.spatial_dims!r}.")
        if len(self.features) < 2 or min(self.features) < 1:
            raise ValueError(f"features needs at least two stages of at least one channel, got {tuple(self.features)}.")
        if self.convolutions < 1 or self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ValueError(
                f"convolutions must be at least 1 and kernel_size odd, got {self.convolutions} and {self.kernel_size}."
            )
        super().__init__(self.make_body(), self.rescale_input)

    def make_body(self) -> nn.Module:
        """Return the network that φ goes through."""
        raise NotImplementedError

    def encoder_stage(self, in_channels: int, out_channels: int) -> nn.Module:
        """Return a stage of the encoder."""
        options = (self.convolutions, self.kernel_size, self.norm, self.act, self.dropout)
        return ConvolutionStage(self.spatial_dims, in_channels, out_channels, *options)


class Encoder(nn.Module):
    """The stages of a network, with a :class:`VariableResize` between any two; these alone know the factor."""

    def __init__(self, network: EncoderNetwork, in_channels: int) -> None:
        super().__init__()
        self.mode = interpolation_mode(network.mode, network.spatial_dims)
        channels = (in_channels, *network.features)
        self.encoder = nn.ModuleList(map(network.encoder_stage, channels, network.features))
        self.down = nn.ModuleList(
            VariableResize(network.spatial_dims, level, network.mode, network.rounding)
            for level in range(len(network.features) - 1)
        )

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return what each stage makes of the images (B, C, *sizes): (B, C_l, *sizes_l), finest first."""
        # An inner loop finds the resize layer of a stage, because TorchScript indexes no module list by a variable.
        maps: list[torch.Tensor] = []
        for index, stage in enumerate(self.encoder):
            for level, down in enumerate(self.down):
                if level == index - 1:
                    x = down(x)
            x = stage(x)
            maps.append(x)
        return maps
