"""The registration network: two images in, a displacement field out, around any φ-network (SSHN section 4.1)."""

from __future__ import annotations

import copy
from typing import Any, Optional

import torch
import torch.nn as nn
from monai.networks.layers.factories import Conv
from monai.networks.nets import VoxelMorphUNet

from monai_hyperscale.context import ContextSpec
from monai_hyperscale.errors import PhiError
from monai_hyperscale.networks import ScaleSpaceNetwork
from monai_hyperscale.networks.layers import Phi, VariableResize
from monai_hyperscale.registration.fields import compose, integrate, resize_field
from monai_hyperscale.registration.warping import warp

#: Spread of the flow head's weights at the start (VoxelMorph, and SSHN's set-up after it).
FLOW_STD = 1e-5


class FieldHead(nn.Module):
    """From feature maps to a displacement field: a convolution that starts near zero, and what follows it.

    Args:
        integration_steps: 0 takes what the convolution gives as the displacement; otherwise it is a stationary
            velocity, integrated by scaling and squaring in this many steps.
        field_scale: in (0, 1], size of the grid that the field is predicted and integrated on, relative to the image's.

    Example:
        >>> FieldHead(2, channels=4)(torch.rand(1, 4, 9, 7), torch.zeros(1, 2, 9, 7)).shape
        torch.Size([1, 2, 9, 7])
    """

    def __init__(self, spatial_dims: int, channels: int, integration_steps: int = 0, field_scale: float = 1.0) -> None:
        super().__init__()
        if integration_steps < 0:
            raise ValueError(f"integration_steps must be 0 (no integration) or more, got {integration_steps}.")
        if not 0 < field_scale <= 1:
            raise ValueError(f"field_scale must be above 0 and at most 1, got {field_scale!r}.")
        self.integration_steps = integration_steps
        self.field_scale = field_scale
        # Has no part in φ: its factor is fixed.
        self.shrink = VariableResize(spatial_dims)
        self.shrink.fix(field_scale)
        self.flow = Conv[Conv.CONV, spatial_dims](channels, spatial_dims, kernel_size=3, padding=1)
        nn.init.normal_(self.flow.weight, std=FLOW_STD)
        nn.init.zeros_(self.flow.bias)
        # Generators keep the start of such layers, whatever their own initialisation is.
        self.flow.keep_start = True

    def velocity(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (B, C, *sizes) to (B, D, *field sizes), in voxels of that grid, before any integration.

        At least float32: half precision has no room for voxels of a large image.
        """
        flow = self.flow(self.shrink(features))
        return flow.float() if flow.dtype == torch.float16 or flow.dtype == torch.bfloat16 else flow

    def displacement(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (B, C, *sizes) to the displacement (B, D, *field sizes), in voxels of that grid."""
        field = self.velocity(features)
        return integrate(field, self.integration_steps) if self.integration_steps > 0 else field

    def forward(self, features: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Map features (B, C, *sizes) to the displacement field (B, D, *sizes of the image), in its voxels."""
        return at_size(self.displacement(features), image)


def at_size(field: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Return a field (B, D, *field sizes) on the grid of an image (B, C, *sizes), in its voxels."""
    sizes = list(image.shape[2:])
    return field if list(field.shape[2:]) == sizes else resize_field(field, sizes)


def warp_moving(x: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """Return images (B, 2C, *sizes) with the first C channels, the moving image, warped by a field."""
    channels = x.shape[1] // 2
    return torch.cat([warp(x[:, :channels], field), x[:, channels:]], dim=1)


class PlainRegistration(nn.Module):
    """A registration network for one φ, without generator or context: what :meth:`RegistrationNetwork.fold` returns."""

    def __init__(self, backbone: nn.Module, head: FieldHead, passes: int = 1) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.passes = passes

    @torch.jit.export
    def velocity(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (B, 2C, *sizes) to the field before integration (B, D, *field sizes)."""
        return self.head.velocity(self.backbone(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (B, 2C, *sizes), moving channels first, to the displacement field (B, D, *sizes)."""
        field = self.head.displacement(self.backbone(x))
        for _ in range(self.passes - 1):
            nearer = warp_moving(x, at_size(field, x))
            field = compose(field, self.head.displacement(self.backbone(nearer)))
        return at_size(field, x)


class RegistrationNetwork(nn.Module):
    """Two images in, the displacement field that warps the first onto the second out.

    A φ-network like the others: put it into a ``HyperNetwork``, and fold it for one φ. The paper's network predicts
    displacements at full size (default). It starts near the identity, also when the flow head is generated. Any input
    size; for units and axes see :mod:`monai_hyperscale.registration`. A backbone that is no φ-network, or another
    argument that cannot work, is a ``ValueError``.

    Args:
        backbone: a φ-network such as ``ScaleSpaceUNet`` or ``rescalable(VoxelMorphUNet(...))``, or a hypernetwork of
            one, with the channels of both images as input; its output is the features of the flow head.
        spatial_dims: 2 or 3.
        integration_steps: see :class:`FieldHead`, as ``field_scale``; 7 gives fields that are smooth and invertible.
        features: channels of the backbone's output, for a backbone without ``out_channels``.
        passes: how often the network runs. From the second time on, the moving image is warped by what was found so
            far, and what is found then is composed with it (Zhao et al., Recursive Cascaded Networks, 2019; shared
            weights). Each pass costs as much as the first.

    Example:
        >>> from monai_hyperscale.hypernet import HyperNetwork
        >>> from monai_hyperscale.networks import ScaleSpaceUNet
        >>> unet = ScaleSpaceUNet(2, in_channels=2, out_channels=8, features=(8, 8, 8))
        >>> HyperNetwork(RegistrationNetwork(unet, spatial_dims=2))(torch.rand(1, 2, 31, 17), phi=0.3).shape
        torch.Size([1, 2, 31, 17])
    """

    def __init__(
        self,
        backbone: nn.Module,
        spatial_dims: int,
        integration_steps: int = 0,
        field_scale: float = 1.0,
        features: Optional[int] = None,
        passes: int = 1,
    ) -> None:
        super().__init__()
        network = _phi_network(backbone)
        if network is None:
            raise ValueError(
                f"the backbone must be a network that goes by phi, got {type(backbone).__name__}; "
                "make it one with rescalable(...)."
            )
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims!r}.")
        if passes < 1:
            raise ValueError(f"passes must be at least 1, got {passes}.")
        self.passes = passes
        channels = _output_channels(network) if features is None else features
        self.backbone = backbone
        self.head = FieldHead(spatial_dims, channels, integration_steps, field_scale)
        self.spatial_dims = spatial_dims
        self.levels: int = network.levels

    @property
    def rescale_input(self) -> bool:
        """Whether the first of the levels is the input itself."""
        network: Any = _phi_network(self.backbone)
        return network.rescale_input

    @property
    def context(self) -> ContextSpec:
        """φ as the backbone takes it."""
        backbone: Any = self.backbone
        return backbone.context

    def _features(self, x: torch.Tensor, phi: Optional[Phi]) -> torch.Tensor:
        if phi is None:
            raise PhiError("call the network with phi=..., or fold(phi) it first.")
        return self.backbone(x, phi=phi)

    def forward(self, x: torch.Tensor, phi: Optional[Phi] = None) -> torch.Tensor:
        """Predict the displacement field (B, D, *sizes) in voxels; float32, or float64 if the weights are.

        Takes images (B, 2C, *sizes), the moving one's channels first, of any size, and one rescaling factor in [0, 1]
        or one per level; without, or with another, it raises a :class:`PhiError`.
        """
        field = self.head.displacement(self._features(x, phi))
        for _ in range(self.passes - 1):
            nearer = warp_moving(x, at_size(field, x))
            field = compose(field, self.head.displacement(self._features(nearer, phi)))
        return at_size(field, x)

    def velocity(self, x: torch.Tensor, phi: Optional[Phi] = None) -> torch.Tensor:
        """Return the field before integration, of the first pass, (B, D, *field sizes) in voxels of its own grid."""
        return self.head.velocity(self._features(x, phi))

    def fold(self, phi: Any) -> PlainRegistration:
        """Return a plain copy of the network that always runs at ``phi``, ready for TorchScript and ONNX."""
        backbone: Any = self.backbone
        return PlainRegistration(backbone.fold(phi), copy.deepcopy(self.head), self.passes)


def _phi_network(backbone: Any) -> Any:
    """Return the φ-network that knows the levels: the backbone, or the primary network of hypernetworks around it."""
    network = backbone
    while network is not None and not isinstance(network, ScaleSpaceNetwork):
        network = getattr(network, "primary", None)
    return network


def _output_channels(network: Any) -> int:
    body = getattr(network, "body", None)
    if isinstance(body, VoxelMorphUNet):
        return body.dimensions  # it ends in a convolution to as many channels
    for module in (network, body):
        channels = getattr(module, "out_channels", None)
        if isinstance(channels, int):
            return channels
    raise ValueError(
        f"{type(body or network).__name__} does not say how many channels it returns; name them with features=..."
    )
