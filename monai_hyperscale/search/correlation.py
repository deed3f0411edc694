"""How alike two images are: one correlation for training, results and reports."""

from __future__ import annotations

from typing import Optional

import torch

__all__ = ["correlation"]


def correlation(first: torch.Tensor, second: torch.Tensor) -> Optional[float]:
    """Return Pearson's correlation of two images: that of every channel, averaged over channels.

    Not that of all channels' voxels together: channels have units and means of their own, and the step from one
    channel's mean to the next one's, which any two images of a kind share, would count as likeness. Two images of
    noise, one channel about 0 and the other about 100, would correlate by nearly 1.

    Args:
        first: (C, *sizes).
        second: of the same shape.

    Returns:
        a number in [-1, 1], of the channels that vary in both images; ``None`` where none does.

    Example:
        >>> ramp = torch.arange(12.0).reshape(1, 3, 4)
        >>> round(correlation(torch.cat([ramp, ramp]), torch.cat([2 * ramp, 5 - ramp])), 12)
        0.0
    """
    a, b = (image.detach().double().flatten(1) for image in (first, second))
    a, b = (channels - channels.mean(1, keepdim=True) for channels in (a, b))
    spread = a.norm(dim=1) * b.norm(dim=1)
    # A channel of one value is left with what rounding makes of its mean.
    varies = torch.stack([image.flatten(1).amin(1) < image.flatten(1).amax(1) for image in (first, second)]).all(0)
    if not bool(varies.any()):
        return None
    return float(((a * b).sum(1)[varies] / spread[varies]).clamp(-1, 1).mean())
