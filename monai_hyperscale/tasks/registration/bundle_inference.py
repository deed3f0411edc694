"""What a registration bundle's inference runs over, and what it writes of each pair."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

from monai_hyperscale.io import image_source, read_image
from monai_hyperscale.io.labels import write_image
from monai_hyperscale.networks.layers.factor import Phi
from monai_hyperscale.tasks.registration.pair_files import read_pairs
from monai_hyperscale.tasks.registration.registrar import Registrar

__all__ = ["ReadPair", "RegisterPair", "pairs_to_register"]


def pairs_to_register(
    dataset_dir: Optional[Union[str, Path]],
    pairs: Optional[Union[str, Path]] = None,
    atlas: Optional[Union[str, Path]] = None,
) -> list[dict[str, Any]]:
    """Return the pairs that inference runs over, as a MONAI data list.

    Args:
        dataset_dir: folder of the images, see :func:`read_pairs`; ``None`` for none.
        pairs: a list of pairs, see :func:`read_pairs`.
        atlas: the fixed image of every pair, see :func:`read_pairs`.

    Returns:
        ``{"moving": files, "fixed": files, "name": "a_to_b"}`` for every pair.

    Raises:
        DatasetError: if the folder or the list cannot be used.
    """
    if dataset_dir is None:
        return []
    return [
        {
            "moving": pair["moving"]["image"],
            "fixed": pair["fixed"]["image"],
            "name": f"{pair['moving']['name']}_to_{pair['fixed']['name']}",
        }
        for pair in read_pairs(dataset_dir, pairs, atlas).pair_list
    ]


class ReadPair:
    """Read the two images of a pair, each on its own grid, see :func:`monai_hyperscale.io.read_image`.

    Args:
        channels: of an image.
    """

    def __init__(self, channels: int = 1) -> None:
        self.channels = channels

    def __call__(self, pair: Mapping[str, Any]) -> dict[str, Any]:
        """Return the pair with images (C, *sizes) for the files ``moving`` and ``fixed``.

        Raises:
            ImageError: if one cannot be read.
        """
        return {**pair, **{key: read_image(pair[key], self.channels) for key in ("moving", "fixed")}}


class RegisterPair:
    """Register one pair and write the moved image and the displacement field: an iteration of MONAI's evaluator.

    ``a_to_b.nii.gz`` (``.png`` for 2D image files) is image a on the grid of b, and ``a_to_b_field.nii.gz`` the field
    that takes it there, in ITK's convention.

    Args:
        registrar: with trained weights.
        phi: the rescaling factor, one or one per level.
        output_dir: where the files go.
        start: see :meth:`Registrar.register`.
        instance_steps: see :meth:`Registrar.register`.
        regularization: λ, for networks trained for several.
    """

    def __init__(
        self,
        registrar: Registrar,
        phi: Phi,
        output_dir: Union[str, Path],
        start: str = "header",
        instance_steps: int = 0,
        regularization: Optional[float] = None,
    ) -> None:
        self.registrar = registrar
        self.options: dict[str, Any] = {
            "phi": phi,
            "start": start,
            "instance_steps": instance_steps,
            "regularization": regularization,
        }
        self.output_dir = Path(output_dir)

    def __call__(self, engine: Any, pair: Mapping[str, Any]) -> dict[str, Any]:
        """Register a pair as :class:`ReadPair` returns it, without batch axis; return its report."""
        result = self.registrar.register(pair["moving"], pair["fixed"], **self.options)
        source = image_source(pair["fixed"])
        self.output_dir.mkdir(parents=True, exist_ok=True)
        result.write_field(self.output_dir / f"{pair['name']}_field.nii.gz")
        suffix = ".png" if source.is_picture else ".nii.gz"
        write_image(result.moved, self.output_dir / f"{pair['name']}{suffix}", source)
        return {"report": result.report}
