"""A bundle's network at one φ, on disk: every format checked against the network before the folder appears."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional, Union

from monai.data import MetaTensor

from monai_hyperscale.errors import ExportError, first_line
from monai_hyperscale.export.formats import FORMATS, OPSET, Format, missing_packages
from monai_hyperscale.export.manifest import (
    MANIFEST,
    Manifest,
    VerifiedOn,
    files_of,
    model_card,
    read_manifest,
    versions,
    write_configs,
)
from monai_hyperscale.export.source import FoldSource, Inputs
from monai_hyperscale.export.verify import TOLERANCE, Agreement, check_bundle, compare
from monai_hyperscale.io.files import PARTIAL
from monai_hyperscale.networks.layers.factor import Phi
from monai_hyperscale.search.cost import count_flops

logger = logging.getLogger(__name__)

#: The format that is a MONAI bundle; it contains that of ``torchscript``.
BUNDLE = "bundle"
#: What ``formats`` may name.
CHOICES = (BUNDLE, *FORMATS)

# A disk with less room than this is the reason why a file could not be written.
_NO_SPACE = 2**20


def fold_bundle(
    bundle: Union[str, Path],
    phi: Phi,
    output: Union[str, Path],
    formats: Optional[Sequence[str]] = None,
    images: Sequence[MetaTensor] = (),
    size: Optional[Sequence[int]] = None,
    regularization: Optional[float] = None,
    overwrite: bool = False,
    dataset_dir: Optional[Union[str, Path]] = None,
) -> dict[str, Any]:
    """Fold a trained bundle for one φ, write the plain network, and return the content of ``manifest.json``.

    Args:
        bundle: a bundle, a training's output folder, or a folder with ``model.json`` and ``model.pt`` itself.
        phi: rescaling factor in [0, 1], or one per level.
        output: folder to make. It appears when everything in it is done, and checked against the bundle's own.
        formats: some of :data:`CHOICES`; default: all that the installed packages can write.
        images: to compare on, of :func:`monai_hyperscale.io.read_image`; none for ``dataset_dir`` or synthetic anatomy.
        size: voxels per axis of the files that are for one size, and of synthetic anatomy.
        regularization: λ, for registration networks trained for several.
        overwrite: replace a folder that an earlier fold wrote.
        dataset_dir: of a data set, on whose first test case the files are compared.

    Raises:
        CheckpointError: if the bundle cannot be read.
        DatasetError: if ``dataset_dir`` has no case for the network.
        ExportError: if a file computes something else than the network, cannot be made, or ``output`` cannot be.
        ValueError: if ``phi`` is not valid for the network, or an argument is not.
    """
    check_output(output, bundle, overwrite)
    source = FoldSource.from_bundle(bundle, phi, regularization=regularization)
    return write_fold(source, output, formats, images, size, overwrite, dataset_dir).as_dict()


def check_output(output: Union[str, Path], bundle: Union[str, Path], overwrite: bool = False) -> None:
    """Raise ``ExportError`` if a folder cannot be made: a file, in the bundle or around it, or there already."""
    out, source = Path(output), Path(bundle).resolve()
    place = out.resolve()
    if place == source or source in place.parents or place in source.parents:
        raise ExportError(f"{output} lies in the bundle {bundle} or around it; name another folder.")
    if out.exists() and not out.is_dir():
        raise ExportError(f"{output} is a file; name a folder.")
    if out.is_dir() and any(out.iterdir()):
        if not overwrite:
            raise ExportError(f"{output} exists already; add --overwrite, or name another folder.")
        try:
            read_manifest(out)
        except ExportError as error:
            message = f"{output} is not a folder that fold wrote, so it is not replaced; name another."
            raise ExportError(message) from error
    parent = next((parent for parent in out.absolute().parents if parent.exists()), None)
    if parent is not None and not parent.is_dir():
        raise ExportError(f"folder {output} cannot be made ({parent} is a file).")


def write_fold(
    source: FoldSource,
    output: Union[str, Path],
    formats: Optional[Sequence[str]] = None,
    images: Sequence[MetaTensor] = (),
    size: Optional[Sequence[int]] = None,
    overwrite: bool = False,
    dataset_dir: Optional[Union[str, Path]] = None,
    tell: Callable[[str], None] = logger.info,
) -> Manifest:
    """Write a folded network, as :func:`fold_bundle` does; ``tell`` takes a sentence for every file and omission."""
    unknown = [name for name in formats or () if name not in CHOICES]
    if unknown or formats is not None and not formats:
        raise ExportError(f"formats must be some of {', '.join(CHOICES)}, got {', '.join(unknown) or 'none'}.")
    check_output(output, source.bundle, overwrite)
    facts: dict[str, Any] = {"tolerance": TOLERANCE}
    if dataset_dir is not None:
        if images:
            raise ExportError("images and dataset_dir both say what to compare on; leave one out.")
        images, facts["data"] = source.folding.read_test_case(Path(dataset_dir), source.bundle)
    inputs = Inputs(source, images, size)
    verified_on = VerifiedOn(input=inputs.described, synthetic=not images, **facts)
    with _new_folder(Path(output)) as folder:
        manifest = _Fold(source, inputs, folder, tell, explicit=formats is not None).make(
            set(formats or CHOICES), images, verified_on
        )
        (folder / MANIFEST).write_text(json.dumps(manifest.as_dict(), indent=2) + "\n", encoding="utf-8")
    return manifest


class _Fold:
    """One fold in the making; where formats are ``explicit``, one that cannot be had is an error."""

    def __init__(
        self, source: FoldSource, inputs: Inputs, folder: Path, tell: Callable[[str], None], explicit: bool
    ) -> None:
        self.source, self.inputs, self.folder, self.tell, self.explicit = source, inputs, folder, tell, explicit
        self.known: dict[str, dict[str, Any]] = {}
        self.left_out: dict[str, str] = {}

    def make(self, wanted: set[str], images: Sequence[MetaTensor], verified_on: VerifiedOn) -> Manifest:
        """Write all files but the manifest, and return what that says."""
        for name, form in FORMATS.items():
            if name in wanted or name == "torchscript" and BUNDLE in wanted:
                self._make_file(form)
        source, settings = self.source, self.source.settings
        facts: dict[str, Any] = {
            "format": 1,
            "kind": "fold",
            "task": settings.task,
            "phi": list(source.phi),
            "regularization": list(source.context.several("regularization")) or None,
            "source": {
                "bundle": source.name,
                "weights_sha256": source.weights_sha256,
                "phi_range": list(settings.phi_range),
                "trained_for_phi": settings.context["phi"].trained(source.phi),
                "provenance": settings.provenance,
            },
            "input": {"channels": settings.in_channels, "spatial_dims": settings.spatial_dims},
            "cost": {
                "flops": count_flops(source.plain, self.inputs.example()),
                "parameters": sum(parameter.numel() for parameter in source.plain.parameters()),
                "size": list(self.inputs.size),
            },
            "verified_on": verified_on,
            "versions": versions(),
        }
        if BUNDLE in wanted:
            facts |= self._make_bundle(facts, images)
        return self._manifest(facts)

    def _manifest(self, facts: dict[str, Any]) -> Manifest:
        return Manifest(**facts, left_out=self.left_out, files=files_of(self.folder, self.known))

    def _make_file(self, form: Format) -> None:
        absent = missing_packages(form)
        if absent:
            self._leave_out(
                form.name, f"{form.title} needs {', '.join(absent)}: pip install 'monai-hyperscale[export]'"
            )
            return
        path = self.folder / form.path
        path.parent.mkdir(parents=True, exist_ok=True)
        agreement: Optional[Agreement] = None
        # For any size if it can be, else for one.
        for dynamic in (True, False) if form.fixed else (True,):
            path.unlink(missing_ok=True)
            try:
                agreement = self._written(form, path, dynamic)
            except (OSError, MemoryError):
                raise
            except Exception as error:  # exporters have no common class; the reason is told, and the next way tried
                if shutil.disk_usage(self.folder).free < _NO_SPACE:
                    message = f"there is no space left in {self.folder.parent}; nothing was written."
                    raise ExportError(message) from error
                logger.info("%s for %s: %s", form.title, "any size" if dynamic else "one size", first_line(error))
                agreement, reason = None, f"{form.title} cannot hold this network ({first_line(error)})"
                continue
            if agreement.holds:
                break
        if agreement is None:
            path.unlink(missing_ok=True)
            if form.name == "torchscript" and not self.explicit:
                raise ExportError(f"{reason}.")
            self._leave_out(form.name, reason, "; choose another --format")
            return
        if not agreement.holds:
            raise ExportError(
                f"{form.title} gives something else than the network: they differ by {agreement.difference:.1e} of the "
                f"largest value, at most {TOLERANCE:g} is allowed; nothing was written."
            )
        fixed = " x ".join(map(str, (1, self.source.settings.in_channels, *self.inputs.size)))
        self.known[form.path] = {
            "format": form.name,
            "sizes": "any" if dynamic else fixed,
            "largest_difference": agreement.difference,
            "label_agreement": agreement.labels,
            "verified_shapes": [list(shape) for shape in agreement.shapes],
            **({"opset": OPSET} if form.name == "onnx" else {}),
        }
        sizes = "images of any size" if dynamic else f"one size only, {fixed}"
        same = "" if agreement.labels is None else f", {agreement.labels:.2%} of the labels the same"
        self.tell(f"{form.path}: {form.title}, {sizes}, differs by {agreement.difference:.1e}{same}")

    def _written(self, form: Format, path: Path, dynamic: bool) -> Agreement:
        example = self.inputs.tracing() if dynamic else self.inputs.example()
        run = form.write(self.source, path, example, dynamic)
        images = self.inputs.several() if dynamic else [self.inputs.example()]
        return compare(self.source, run, images, self.source.folding.output_is_classes)

    def _make_bundle(self, facts: dict[str, Any], images: Sequence[MetaTensor]) -> dict[str, Any]:
        """Write the bundle in MONAI's own terms, and return how well it agrees, for the manifest."""
        stock = self.source.folding.stock_bundle()
        if isinstance(stock, str):
            self._leave_out(BUNDLE, f"there can be no MONAI bundle of this network: {stock}")
            return {}
        write_configs(self.source, stock, self.folder)
        agreement = check_bundle(self.folder, stock, self.source, images, self.inputs.size)
        docs = self.folder / "docs"
        docs.mkdir(exist_ok=True)
        card = model_card(self.source, stock, self._manifest({**facts, "bundle": agreement}))
        (docs / "README.md").write_text(card, encoding="utf-8")
        told = ", ".join(f"{name.replace('_', ' ')} {_number(value)}" for name, value in agreement.items())
        self.tell(f"configs/inference.json: MONAI bundle, {told}")
        return {"bundle": agreement}

    def _leave_out(self, name: str, reason: str, way_out: str = "") -> None:
        if self.explicit:
            raise ExportError(f"{reason}{way_out}.")
        self.left_out[name] = reason
        self.tell(f"left out: {reason}")


def _number(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number:.2g}" for name, number in value.items())
    return f"{value:.4%}"


@contextmanager
def _new_folder(output: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``output``; put it in its place when the block ends well, else leave nothing."""
    made = [folder for folder in output.absolute().parents if not folder.exists()]
    folder: Optional[Path] = None
    try:
        output.absolute().parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=output.absolute().parent))
        yield folder
        # What open() and mkdir() would give: temporary folders, and the files of some writers, are private.
        mask = os.umask(0)
        os.umask(mask)
        for path in (folder, *folder.rglob("*")):
            path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
        _into_place(folder, output)
    except BaseException as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        if isinstance(error, OSError):
            raise ExportError(f"{output} cannot be written ({error.strerror or error}); nothing was.") from error
        raise


def _into_place(folder: Path, output: Path) -> None:
    previous: Optional[Path] = None
    if output.is_dir() and any(output.iterdir()):
        previous = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=folder.parent)) / output.name
        os.replace(output, previous)
    try:
        os.replace(folder, output)
    except OSError:
        if previous is not None:
            os.replace(previous, output)
        raise
    finally:
        if previous is not None:
            shutil.rmtree(previous.parent, ignore_errors=True)
