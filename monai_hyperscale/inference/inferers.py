"""MONAI inferers that carry the context, φ above all, to the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Optional, Union

import torch
from monai.inferers import Inferer, SimpleInferer, SliceInferer, SlidingWindowInferer

from monai_hyperscale.context import Context
from monai_hyperscale.networks.layers.cpu_convolutions import CPUConvolutions
from monai_hyperscale.networks.layers.factor import Phi

PRECISIONS = ("fp32", "bf16", "fp16")


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """Return images in the channels-last layout where it is faster: on a CPU, 1.5 to 2 times, and under autocast."""
    if x.device.type != "cpu" and not torch.is_autocast_enabled(x.device.type):
        return x
    layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.dim())
    return x if layout is None else x.contiguous(memory_format=layout)


class PhiInferer(SimpleInferer):
    """Pass whole batches through the network at one :attr:`context`, as training does.

    Args:
        context: what the network takes by name; φ alone, one or one per level, will do. It may be set anew between
            calls, as a :class:`Context`.
        precision: ``fp32``, ``bf16`` or ``fp16``, the autocast type of the network; another is a ValueError. Generated
            weights and logits stay float32.
    """

    def __init__(self, context: Union[Context, Phi] = 0.5, precision: str = "fp32") -> None:
        super().__init__()
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.")
        self.context = Context.of(context)
        self.precision = precision

    def __call__(self, inputs: torch.Tensor, network: Callable, *args: Any, **kwargs: Any) -> Any:
        """Return the logits (B, labels, *sizes) in float32; a list of them where the network returns several."""
        with self.autocast(inputs), CPUConvolutions():
            logits = super().__call__(channels_last(inputs), network, *args, **{**self.context, **kwargs})
        if isinstance(logits, (list, tuple)):
            return [output.float() for output in logits]
        return logits.float()

    def autocast(self, inputs: torch.Tensor) -> AbstractContextManager:
        """Return the context of the network's precision for these inputs."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(inputs.device.type, torch.bfloat16 if self.precision == "bf16" else torch.float16)


class PhiPartsInferer(PhiInferer):
    """Pass equal parts of a batch through the network, each at one of :attr:`contexts`, which may be set anew.

    A batch that the parts do not divide is a ValueError.

    Example:
        >>> inferer = PhiPartsInferer([0.2, 0.5])
        >>> inferer(torch.ones(4, 1, 8, 8), lambda x, phi: phi * x)[:, 0, 0, 0]
        tensor([0.2000, 0.2000, 0.5000, 0.5000])
    """

    def __init__(self, contexts: Sequence[Union[Context, Phi]] = (0.5,), precision: str = "fp32") -> None:
        super().__init__(precision=precision)
        self.contexts = [Context.of(context) for context in contexts]

    def __call__(self, inputs: torch.Tensor, network: Callable, *args: Any, **kwargs: Any) -> Any:
        if len(inputs) % len(self.contexts):
            raise ValueError(f"a batch of {len(inputs)} cannot be divided among {len(self.contexts)} phi.")
        parts = inputs.chunk(len(self.contexts))
        outputs = [
            super(PhiPartsInferer, self).__call__(part, network, *args, **{**context, **kwargs})
            for part, context in zip(parts, self.contexts, strict=True)
        ]
        if isinstance(outputs[0], list):
            return [torch.cat(same) for same in zip(*outputs, strict=True)]
        return torch.cat(outputs)


class PhiWholeImageInferer(PhiInferer):
    """Pass images through whole where they fit, in windows where they do not, and by slices for a 2D network.

    Args:
        context: see :class:`PhiInferer`, as for ``precision``.
        roi_size: window for larger images; ``None`` for 128 along every axis.
        spatial_dims: of the network. A 2D network runs over the slices of a volume's (B, C, H, W, D) last axis.
        max_voxels: most voxels of an image that goes through whole.
        overlap: of neighbouring windows, in [0, 1).
        sw_batch_size: windows or slices per forward pass.
        precision: of the network.
    """

    def __init__(
        self,
        context: Union[Context, Phi] = 0.5,
        roi_size: Optional[tuple[int, ...]] = None,
        spatial_dims: int = 3,
        max_voxels: int = 2**24,
        overlap: float = 0.25,
        sw_batch_size: int = 1,
        precision: str = "fp32",
    ) -> None:
        super().__init__(context, precision)
        self.spatial_dims = spatial_dims
        self.roi_size = tuple(roi_size) if roi_size is not None else (128,) * spatial_dims
        self.max_voxels = max_voxels
        self.overlap = overlap
        self.sw_batch_size = sw_batch_size

    def __call__(self, inputs: torch.Tensor, network: Callable, *args: Any, **kwargs: Any) -> Any:
        sizes = inputs.shape[2:]
        inferer: Inferer
        if self.spatial_dims == 2 and len(sizes) == 3:
            # SliceInferer takes the slice's own size as its window, so that every slice goes through whole.
            slices = max(8, self.sw_batch_size)
            inferer = SliceInferer(roi_size=tuple(sizes[:2]), spatial_dim=2, sw_batch_size=slices, progress=False)
        elif sizes.numel() > self.max_voxels:
            inferer = SlidingWindowInferer(self.roi_size, self.sw_batch_size, self.overlap, mode="gaussian")
        else:
            return super().__call__(inputs, network, *args, **kwargs)

        # Bound here, because MONAI's SliceInferer drops further arguments.
        kwargs = {**self.context, **kwargs}

        def run(window: torch.Tensor) -> torch.Tensor:
            return network(channels_last(window), *args, **kwargs).float()

        with self.autocast(inputs), CPUConvolutions():
            return inferer(inputs, run)
