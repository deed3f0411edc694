"""Labels of images too large for one pass, without the logits of the whole image ever being in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Optional

import torch
import torch.nn.functional as F
from monai.data.utils import compute_importance_map, dense_patch_slices
from monai.utils import fall_back_tuple

from monai_hyperscale.data.labels import index_type
from monai_hyperscale.inference.devices import stage

Run = Callable[[torch.Tensor], torch.Tensor]

# Bytes of logits that are worked on at once: what stays in the cache.
_CACHE = 2**22


def labels_in_windows(
    image: torch.Tensor,
    run: Run,
    roi_size: Optional[Sequence[int]] = None,
    overlap: float = 0.25,
    device: Optional[torch.device] = None,
) -> torch.Tensor:
    """Return the labels that MONAI's ``SlidingWindowInferer(roi_size, 1, overlap, mode="gaussian")`` leads to.

    MONAI keeps logits of the whole image: 8 GB for 25 labels of a CT scan of 512 x 512 x 300; :class:`WindowSums` takes
    0.7 GB. ``run`` leads from windows (1, C, *roi) to logits (1, K, *roi), both on the ``device``; the result (*sizes)
    is on the CPU, of :func:`index_type`. A ``roi_size`` of 0 is the whole of an axis.
    """
    device = image.device if device is None else device
    sizes = tuple(image.shape[1:])
    roi = fall_back_tuple((128,) * len(sizes) if roi_size is None else roi_size, sizes)
    missing = [max(r - n, 0) for r, n in zip(roi, sizes, strict=True)]
    if any(missing):
        image = F.pad(image, [end for n in reversed(missing) for end in (n // 2, n - n // 2)])
    sums = WindowSums(tuple(image.shape[1:]), roi, overlap)
    weights = compute_importance_map(roi, mode="gaussian", sigma_scale=0.125, device=device)
    outer = sums.axes[0]
    label = scratch = None
    for index, window in sums.windows():
        whole = (slice(None), *window)
        logits = run(image[whole][None].to(device))[0]
        if label is None or scratch is None:
            # A few planes at a time stay in the cache, in memory that is used again: new memory takes longer to get
            # than to fill. A GPU has its own ways.
            rows = max(1, _CACHE * roi[outer] // logits.nbytes) if device.type == "cpu" else roi[outer]
            scratch = torch.empty_like(logits.narrow(outer + 1, 0, min(rows, roi[outer])))
            label = torch.empty(image.shape[1:], dtype=index_type(len(logits)))
        for first in range(0, roi[outer], scratch.shape[outer + 1]):
            with stage("merging", device):
                part = logits.narrow(outer + 1, first, min(scratch.shape[outer + 1], roi[outer] - first))
                weight = weights.narrow(outer, first, part.shape[outer + 1])
                scores = torch.mul(part, weight, out=scratch.narrow(outer + 1, 0, part.shape[outer + 1]))
                box, final = sums.add(index, scores, first)
            with stage("argmax", device):
                label[box] = most_likely(final).cpu()
        del logits
    assert label is not None  # there is a window at least
    return label[tuple(slice(n // 2, n // 2 + size) for n, size in zip(missing, sizes, strict=True))]


def labels_by_slices(
    volume: torch.Tensor, run: Run, batch_size: int = 8, device: Optional[torch.device] = None
) -> torch.Tensor:
    """Return the labels (H, W, D) of a volume (C, H, W, D) that a 2D network, ``run``, sees slice by slice."""
    device = volume.device if device is None else device
    parts = []
    for slices in volume.movedim(-1, 0).split(batch_size):
        logits = run(slices.to(device))
        with stage("argmax", device):
            parts += [most_likely(each).cpu() for each in logits]
    return torch.stack(parts).movedim(0, -1)


def most_likely(scores: torch.Tensor) -> torch.Tensor:
    """Return the index of the greatest of the scores (K, *sizes) of every voxel, the first of several."""
    classes, dtype = len(scores), index_type(len(scores))
    if classes > 256 or scores.stride(0) == 1 or scores.device.type != "cpu" or not scores.numel():
        return scores.argmax(0).to(dtype)
    # Five times as fast as torch's argmax where the scores of a voxel lie far apart.
    codes = torch.arange(classes - 1, -1, -1, dtype=dtype).view(-1, *[1] * (scores.dim() - 1))
    label = torch.empty(scores.shape[1:], dtype=dtype)
    rows = max(1, _CACHE // (scores[:, 0].numel() * scores.element_size()))
    for part, chunk in zip(label.split(rows), scores.split(rows, dim=1), strict=True):
        part.copy_(classes - 1 - ((chunk == chunk.amax(0)) * codes).amax(0))
    return label


class WindowSums:
    """Sums of overlapping windows, given out box by box as soon as no later window adds to them.

    Windows come in rows: along the shortest axis first, along the longest last. What later ones reach of a window is
    kept for them: of every axis, one strip as wide as the overlap.
    """

    def __init__(self, sizes: Sequence[int], roi_size: Sequence[int], overlap: float) -> None:
        self.sizes = tuple(sizes)
        self.roi_size = tuple(roi_size)
        self.starts = [_starts(n, r, overlap) for n, r in zip(self.sizes, self.roi_size, strict=True)]
        #: From the outermost to the innermost. Strips are as large as the image along the axes further in.
        self.axes = sorted(range(len(self.sizes)), key=lambda axis: -self.sizes[axis])
        self._strips: dict[int, torch.Tensor] = {}

    def windows(self) -> Iterator[tuple[dict[int, int], tuple[slice, ...]]]:
        """Yield the windows in the order in which :meth:`add` takes them: number along every axis, and place."""
        for numbers in itertools.product(*(range(len(self.starts[axis])) for axis in self.axes)):
            index = dict(zip(self.axes, numbers, strict=True))
            begins = [self.starts[axis][index[axis]] for axis in range(len(self.sizes))]
            yield index, tuple(slice(b, b + r) for b, r in zip(begins, self.roi_size, strict=True))

    def add(
        self, index: dict[int, int], scores: torch.Tensor, first: int = 0
    ) -> tuple[tuple[slice, ...], torch.Tensor]:
        """Add one window, or some of its planes, and return what is complete with it: a box, and its sums.

        ``scores`` (K, *roi) are changed in place, and the sums are a view of them. Of the first of :attr:`axes` there
        may be fewer planes, from ``first`` on, if all those of a window come one after another.
        """
        # Along the axes that are done, the place in the image; along the others that in the window.
        place = [slice(0, r) for r in self.roi_size]
        place[self.axes[0]] = slice(first, first + scores.shape[self.axes[0] + 1])
        for axis in reversed(self.axes):
            number, starts, width = index[axis], self.starts[axis], self.roi_size[axis]
            begin, end = place[axis].start, place[axis].stop
            if number > 0:
                shared = min(end, starts[number - 1] + width - starts[number])
                if shared > begin:
                    strip = self._strip(scores, axis, place, begin, shared)
                    scores.narrow(axis + 1, 0, shared - begin).add_(strip)
            if number + 1 < len(starts):
                done = starts[number + 1] - starts[number]
                kept = max(begin, done)
                if end > kept:
                    strip = self._strip(scores, axis, place, kept - done, end - done)
                    strip.copy_(scores.narrow(axis + 1, kept - begin, end - kept))
                end = min(end, kept)
                scores = scores.narrow(axis + 1, 0, max(0, end - begin))
            place[axis] = slice(starts[number] + begin, starts[number] + max(begin, end))
        return tuple(place), scores

    def _strip(self, like: torch.Tensor, axis: int, place: Sequence[slice], begin: int, end: int) -> torch.Tensor:
        """Return the part of the strip across an axis that belongs to a place, from one plane to another."""
        if axis not in self._strips:
            starts = self.starts[axis]
            shape = list(self.roi_size)
            shape[axis] = max(b + self.roi_size[axis] - e for b, e in itertools.pairwise(starts))
            for done in self.axes[self.axes.index(axis) + 1 :]:
                shape[done] = self.sizes[done]
            self._strips[axis] = _empty_like(like, (len(like), *shape))
        where = [slice(None), *place]
        where[axis + 1] = slice(begin, end)
        return self._strips[axis][tuple(where)]


def _starts(size: int, width: int, overlap: float) -> list[int]:
    """Return where MONAI lets windows begin along an axis."""
    interval = width if width == size else max(1, int(width * (1 - overlap)))
    return [int(window.start) for (window,) in dense_patch_slices((size,), (width,), (interval,))]


def _empty_like(tensor: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Return new memory in the order of the tensor's axes, channels-last or not, so that sums go straight through."""
    order = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    made = tensor.new_empty([shape[axis] for axis in order])
    return made.permute([order.index(axis) for axis in range(tensor.dim())])
