"""From files to tensors in MONAI's transforms, and cases kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Union

import numpy as np
from monai.config import KeysCollection
from monai.data import CacheDataset, MetaTensor
from monai.transforms import MapTransform
from monai.utils import ensure_tuple

from monai_hyperscale.io.images import check_same_grid, image_of, load_voxels
from monai_hyperscale.io.labels import torch_integers, whole_numbers


class Each(MapTransform):
    """A transform of the image under each of some keys: ``transform``, or :meth:`each` of a subclass."""

    def __init__(self, keys: KeysCollection, transform: Callable[[Any], Any] | None = None) -> None:
        super().__init__(keys)
        self.transform = transform

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        return {**data, **{key: self.each(data[key]) for key in self.key_iterator(dict(data))}}

    def each(self, image: Any) -> Any:
        """Return what becomes of an image."""
        assert self.transform is not None
        return self.transform(image)


class ReadImaged(Each):
    """Read NIfTI and 2D image files as :func:`monai_hyperscale.io.read_image` and ``read_label`` do.

    Unlike MONAI's ``LoadImaged``: in millimetres whatever the unit of the file, label maps as whole numbers of their
    own size, and pictures of every kind (palette, alpha, 1 bit, TIFF), (width, height). Keys are of a file, or of one
    per channel. ``channels`` is what an image must have; grey pictures become red = green = blue where it is 3. 0 is
    for label maps.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (4, 3)).save(f"{folder}/a.png")
        ...     ReadImaged("image", channels=3)({"image": f"{folder}/a.png"})["image"].shape
        torch.Size([3, 4, 3])
    """

    def __init__(self, keys: KeysCollection, channels: int) -> None:
        super().__init__(keys)
        self.channels = channels

    def each(self, image: Union[str, Path, Sequence[Union[str, Path]]]) -> MetaTensor:
        """Return float32 (C, *sizes), or a label map (1, *sizes)."""
        files = [Path(path) for path in ensure_tuple(image)]
        labels, channels = self.channels == 0, self.channels if len(files) == 1 else 1
        read = [load_voxels(path, channels, labels=labels, quiet=True) for path in files]
        check_same_grid([source for _, source, _ in read])
        if labels:
            read = [(torch_integers(whole_numbers(v, str(s.path)), str(s.path)), s, mode) for v, s, mode in read]
        voxels, first, mode = read[0]
        result = image_of(voxels if len(read) == 1 else np.concatenate([each[0] for each in read]), first, mode)
        del result.meta["image_source"]  # which no DataLoader can put into a batch
        return result


class CachedCases(CacheDataset):
    """MONAI's ``CacheDataset``, but where a case cannot be read, the threads that read others end before that is told.

    MONAI leaves them behind. A program that then ends finds them within torch, and the C++ runtime aborts it (signal 6,
    "terminate called without an active exception") in place of its exit code. The error is MONAI's ``RuntimeError``,
    caused by the :class:`ImageError` that says which file cannot be read.

    Example:
        >>> CachedCases([1, 2, 3], lambda case: 10 * case)[2]
        30
    """

    def __init__(self, data: Sequence[Any], transform: Any, cache_rate: float = 1.0, num_workers: int = 2) -> None:
        super().__init__(data, transform, cache_rate=cache_rate, num_workers=num_workers, progress=False)

    def _fill_cache(self, indices: Sequence[int] | None = None) -> list:
        indices = range(self.cache_num) if indices is None else indices
        with ThreadPoolExecutor(self.num_workers) as pool:
            # The first error cancels what has not begun; leaving the block waits for the rest.
            return list(pool.map(self._load_cache_item, indices))
