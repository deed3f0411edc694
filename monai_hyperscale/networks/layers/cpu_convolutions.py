"""3D convolutions on a CPU where torch takes a slow path, or a wrong one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

import torch
from torch.overrides import TorchFunctionMode


class CPUConvolutions(TorchFunctionMode):
    """While it is entered, 3D convolutions on a CPU run by oneDNN where that is faster, and not where it is wrong.

    - Without it a single float32 image goes by torch's own loops unless its maps are large; networks of small maps, as
      of a small φ, take twice as long. Inference only: a gradient is computed by the same choice again.
    - In bfloat16 oneDNN's gradient of weights, of some maps no larger than the kernel along an axis, uses memory that
      is not its own: 1e33, NaN and crashes were seen (torch 2.13, oneDNN 3.12, AVX-512). These are computed in float32.

    Not for tracing or export, which would record what it replaces.

    Example:
        >>> conv, x = torch.nn.Conv3d(2, 4, 3, padding=1), torch.rand(1, 2, 5, 6, 7)
        >>> with torch.inference_mode(), CPUConvolutions():
        ...     conv(x).shape
        torch.Size([1, 4, 5, 6, 7])
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Optional[Mapping[str, Any]] = None,
    ) -> Any:
        """Call ``func``, or what takes its place."""
        kwargs = kwargs or {}
        # Modules pass all of it by position; images are plain tensors inside a network.
        if func not in _CONVOLUTIONS or len(args) < 7 or type(args[0]) is not torch.Tensor:
            return func(*args, **kwargs)
        image, weight, bias, *options = args
        if image.dim() != 5 or image.device.type != "cpu":
            return func(*args, **kwargs)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else image.dtype
        if dtype == torch.bfloat16 and torch.is_grad_enabled():
            if any(n <= kernel for n, kernel in zip(image.shape[2:], weight.shape[2:], strict=True)):
                with torch.autocast("cpu", enabled=False):
                    wide = None if bias is None else bias.float()
                    return func(image.float(), weight.float(), wide, *options).to(dtype)
        if func is torch.conv3d and dtype == torch.float32 and not torch.is_grad_enabled():
            stride, padding, dilation, groups = options
            if _onednn_is_faster(image, weight) and all(isinstance(o, tuple) for o in (stride, padding, dilation)):
                return torch.mkldnn_convolution(image, weight, bias, padding, stride, dilation, groups)
        return func(*args, **kwargs)


_CONVOLUTIONS = (torch.conv3d, torch.conv_transpose3d)


def _onednn_is_faster(image: torch.Tensor, weight: torch.Tensor) -> bool:
    if not torch.backends.mkldnn.is_available():
        return False
    return weight[0, 0].numel() > 1 or image.is_contiguous(memory_format=torch.channels_last_3d)
