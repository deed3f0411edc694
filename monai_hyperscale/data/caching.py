"""Cases in memory, read by several threads of which none outlives an error."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from monai.data import CacheDataset

__all__ = ["CachedCases"]


class CachedCases(CacheDataset):
    """MONAI's ``CacheDataset``, but where a case cannot be read, the threads that read others end before that is told.

    MONAI leaves them behind. A program that then ends finds them within torch, and the C++ runtime aborts it (signal 6,
    "terminate called without an active exception") in place of its exit code.

    Example:
        >>> from monai.transforms import Lambda
        >>> CachedCases([1, 2, 3], Lambda(lambda case: 10 * case), num_workers=2, progress=False)[2]
        30
    """

    def _fill_cache(self, indices: Sequence[int] | None = None) -> list:
        indices = range(self.cache_num) if indices is None else indices
        with ThreadPoolExecutor(self.num_workers) as pool:
            # The first error cancels what has not begun; leaving the block waits for the rest.
            return list(pool.map(self._load_cache_item, indices))
