"""What a training registered to what: written down by name and contents, and found again by whatever measures it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from monai_hyperscale.errors import DatasetError
from monai_hyperscale.io.hashing import sha256
from monai_hyperscale.tasks.registration.pair_files import read_images, read_pairs
from monai_hyperscale.tasks.registration.pairs import Pair, PairList, RegistrationImages

__all__ = ["pairing_facts", "pairs_of_part", "read_trained_pairs"]

_LOGGER = logging.getLogger(__name__)

PathLike = Union[str, os.PathLike]


def pairing_facts(
    images: RegistrationImages, pairs: Optional[PathLike] = None, atlas: Optional[PathLike] = None
) -> dict[str, Any]:
    """Return what ``provenance`` says of an atlas or a list that a training was given: file names and SHA-256.

    Args:
        images: what :func:`read_pairs` returned.
        pairs: the list that it was given.
        atlas: the atlas that it was given.
    """
    if pairs is not None:
        return {"pairs": {"list": _described(Path(pairs).expanduser())}}
    if atlas is None or images.atlas is None:
        return {}
    case = images.cases[images.atlas]
    label = {"label": _described(Path(case["label"]))} if "label" in case else {}
    return {"atlas": {"name": case["name"], "image": _described(_image_file(case)), **label}}


def read_trained_pairs(
    dataset_dir: PathLike,
    provenance: Mapping[str, Any],
    folders: Sequence[PathLike] = (),
    pairs: Optional[PathLike] = None,
    atlas: Optional[PathLike] = None,
    atlas_label: Optional[PathLike] = None,
) -> RegistrationImages:
    """Read a folder's images and pairs as a network registers them: to the atlas, or by the list, of its training.

    Args:
        dataset_dir: see :func:`read_pairs`.
        provenance: how the network came about, from its description.
        folders: where an atlas or a list may lie beside the folder, such as that of the weights.
        pairs: see :func:`read_pairs`; ``None`` for that of the training.
        atlas: see :func:`read_pairs`; ``None`` for that of the training.
        atlas_label: label map of an atlas that is a file.

    Raises:
        DatasetError: if the atlas or the list of the training is not found, or the images cannot be used.
    """
    known, listing = provenance.get("atlas"), provenance.get("pairs")
    if pairs is None and atlas is None and listing is not None:
        pairs = _found(listing, ("list",), [dataset_dir, *folders])
        if pairs is None:
            name = listing["list"]["file"]
            raise DatasetError(
                f"the network was trained on the pairs of the list {name}, which is neither in {dataset_dir} nor "
                "beside the weights; copy it there, or name it with --pairs where the command has that option."
            )
    if pairs is None and atlas is None and known is not None:
        atlas, atlas_label = _atlas_of_training(dataset_dir, known, folders)
    images = read_pairs(dataset_dir, pairs, atlas, atlas_label)
    if known is not None and images.atlas is not None:
        file = _image_file(images.cases[images.atlas])
        if file.is_file() and sha256(file) != known["image"]["sha256"]:
            _LOGGER.warning(
                "%s is another atlas than that of the training, %s: its contents differ.", file, known["image"]["file"]
            )
    return images


def pairs_of_part(images: RegistrationImages, cases: Sequence[Mapping[str, Any]]) -> PairList:
    """Return the pairs of images whose both cases are among those of a part; an atlas is in every part.

    Args:
        images: with their pairs.
        cases: of the part.

    Example:
        >>> cases = [{"name": name} for name in "abcd"]
        >>> to_b = RegistrationImages(cases, ("MRI",), {}, 3, pairs=(Pair(0, 1), Pair(2, 1), Pair(3, 1)))
        >>> [pair["name"] for pair in pairs_of_part(to_b, cases[2:])]
        ['c to b', 'd to b']
    """
    if images.pairs is None:
        return PairList([dict(case) for case in cases])
    kept = {case["name"] for case in cases}
    places = [i for i, case in enumerate(images.cases) if case["name"] in kept or i == images.common]
    number = {index: place for place, index in enumerate(places)}
    listed = [pair for pair in images.pairs if {pair.moving, pair.fixed} <= set(places)]
    pairs = tuple(Pair(number[pair.moving], number[pair.fixed], pair.field) for pair in listed)
    return PairList([images.cases[index] for index in places], pairs)


def _atlas_of_training(
    dataset_dir: PathLike, known: Mapping[str, Any], folders: Sequence[PathLike]
) -> tuple[PathLike, Optional[PathLike]]:
    """Return a case's name, or the file of the image and that of its label map."""
    for case in read_images(dataset_dir).cases:
        file = _image_file(case)
        if case["name"] == known["name"] and file.is_file() and sha256(file) == known["image"]["sha256"]:
            return known["name"], None
    kinds = ("image", "label") if "label" in known else ("image",)
    image = _found(known, kinds, [dataset_dir, *folders])
    if image is None:
        label = f" and its label map {known['label']['file']}" if "label" in known else ""
        raise DatasetError(
            f"the network was trained to register to the atlas {known['image']['file']}{label}, which is neither a "
            f"case of {dataset_dir} nor lies there or beside the weights; copy it there, or name it with --atlas"
            f"{' and --atlas-label' * bool(label)} where the command has that option."
        )
    return image, image.with_name(known["label"]["file"]) if "label" in known else None


def _found(known: Mapping[str, Any], kinds: Sequence[str], folders: Sequence[PathLike]) -> Optional[Path]:
    """Return the first of some files in the first folder that has all of them, with the contents of the training."""
    for folder in map(Path, folders):
        files = [folder.expanduser() / known[kind]["file"] for kind in kinds]
        if all(
            file.is_file() and sha256(file) == known[kind]["sha256"] for kind, file in zip(kinds, files, strict=True)
        ):
            return files[0]
    return None


def _image_file(case: Mapping[str, Any]) -> Path:
    image = case["image"]
    return Path(image if isinstance(image, str) else image[0])


def _described(file: Path) -> dict[str, str]:
    # Not its folder, which is of one machine.
    return {"file": file.name, "sha256": sha256(file)}
