"""What a training registered to what: written down by name and contents, and found again by whatever measures it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_hyperscale.data.headers import image_files
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.io.files import sha256
from monai_hyperscale.search.cases import cases_of_part, check_kind
from monai_hyperscale.tasks.registration.pair_files import PathLike, read_images, read_pairs
from monai_hyperscale.tasks.registration.pairs import PairList, RegistrationImages
from monai_hyperscale.tasks.registration.settings import RegistrationSettings

_LOGGER = logging.getLogger(__name__)


def pairing_facts(
    images: RegistrationImages, pairs: PathLike | None = None, atlas: PathLike | None = None
) -> dict[str, Any]:
    """Return what ``provenance`` says of the list or the atlas that a training was given: file names and SHA-256."""
    if pairs is not None:
        return {"pairs": {"list": _described(Path(pairs).expanduser())}}
    if atlas is None or images.atlas is None:
        return {}
    case = images.cases[images.atlas]
    label = {"label": _described(Path(case["label"]))} if "label" in case else {}
    return {"atlas": {"name": case["name"], "image": _described(Path(image_files(case)[0])), **label}}


def measured_pairs(
    settings: RegistrationSettings,
    dataset_dir: PathLike,
    part: str = "test",
    folders: Sequence[PathLike] = (),
    **given: Any,
) -> tuple[RegistrationImages, PairList]:
    """Return the images of a data set and the pairs among its cases of a part, see :func:`cases_of_part`."""
    images = read_trained_pairs(dataset_dir, settings.provenance, folders, **given)
    check_kind(settings, images, dataset_dir)
    title = Path(dataset_dir).expanduser().resolve().name
    return images, images.pairs_among(cases_of_part(images.subjects, settings.provenance, title, part))


def read_trained_pairs(
    dataset_dir: PathLike,
    provenance: Mapping[str, Any],
    folders: Sequence[PathLike] = (),
    pairs: PathLike | None = None,
    atlas: PathLike | None = None,
    atlas_label: PathLike | None = None,
) -> RegistrationImages:
    """Read a folder's images and pairs as a network registers them: to the atlas, or by the list, of its training.

    ``folders`` are where these may lie beside the data set, such as that of the weights. ``pairs``, ``atlas`` and
    ``atlas_label`` take their place, see :func:`read_pairs`.
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
        file = Path(image_files(images.cases[images.atlas])[0])
        if file.is_file() and not _same(file, known["image"]):
            _LOGGER.warning(
                "%s is another atlas than that of the training, %s: its contents differ.", file, known["image"]["file"]
            )
    return images


def _atlas_of_training(
    dataset_dir: PathLike, known: Mapping[str, Any], folders: Sequence[PathLike]
) -> tuple[PathLike, PathLike | None]:
    """Return a case's name, or the file of the image and that of its label map."""
    for case in read_images(dataset_dir).cases:
        if case["name"] == known["name"] and _same(Path(image_files(case)[0]), known["image"]):
            return known["name"], None
    image = _found(known, ("image", "label") if "label" in known else ("image",), [dataset_dir, *folders])
    if image is None:
        label = f" and its label map {known['label']['file']}" if "label" in known else ""
        raise DatasetError(
            f"the network was trained to register to the atlas {known['image']['file']}{label}, which is neither a "
            f"case of {dataset_dir} nor lies there or beside the weights; copy it there, or name it with --atlas"
            f"{' and --atlas-label' * bool(label)} where the command has that option."
        )
    return image, image.with_name(known["label"]["file"]) if "label" in known else None


def _found(known: Mapping[str, Any], kinds: Sequence[str], folders: Sequence[PathLike]) -> Path | None:
    """Return the first of some files in the first folder that has all of them, with the contents of the training."""
    for folder in map(Path, folders):
        files = [folder.expanduser() / known[kind]["file"] for kind in kinds]
        if all(_same(file, known[kind]) for kind, file in zip(kinds, files, strict=True)):
            return files[0]
    return None


def _described(file: Path) -> dict[str, str]:
    # Not its folder, which is of one machine.
    return {"file": file.name, "sha256": sha256(file)}


def _same(file: Path, described: Mapping[str, str]) -> bool:
    return file.is_file() and sha256(file) == described["sha256"]
