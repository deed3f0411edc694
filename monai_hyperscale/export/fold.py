"""A bundle's network at one φ, on disk: every format checked against the network before the folder appears."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional, Union

from monai.data import MetaTensor

from monai_hyperscale.errors import ExportError, first_line
from monai_hyperscale.export.check_bundle import check_bundle
from monai_hyperscale.export.documents import copy_licences, fold_metadata, model_card, write_logging
from monai_hyperscale.export.formats import FORMATS, OPSET, Format, missing_packages
from monai_hyperscale.export.manifest import MANIFEST, file_entries, is_fold, versions
from monai_hyperscale.export.real_input import RealInput
from monai_hyperscale.export.source import FoldSource, Inputs
from monai_hyperscale.export.verify import TOLERANCE, Agreement, compare
from monai_hyperscale.io.atomic import PARTIAL
from monai_hyperscale.networks.layers.factor import Phi
from monai_hyperscale.search.cost import count_flops

__all__ = ["BUNDLE", "CHOICES", "check_output", "fold_bundle", "write_fold"]

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
    """Fold a trained bundle for one φ and write the plain network, checked against the bundle's own.

    Args:
        bundle: a bundle, a training's output folder, or a folder with ``model.json`` and ``model.pt`` itself.
        phi: rescaling factor in [0, 1], or one per level.
        output: folder to make. It appears when everything in it is done.
        formats: some of :data:`CHOICES`; default: all that the installed packages can write.
        images: to compare on, as :func:`monai_hyperscale.io.read_image` gives them: as many as the network takes at
            once; none for synthetic anatomy, or for ``dataset_dir``.
        size: voxels per axis of the files that are for one size, and of synthetic anatomy.
        regularization: λ, for registration networks trained for several.
        overwrite: replace a folder that an earlier fold wrote.
        dataset_dir: of a data set, on whose first test case the files are compared, see :class:`RealInput`.

    Returns:
        the content of ``manifest.json``.

    Raises:
        CheckpointError: if the bundle cannot be read.
        DatasetError: if ``dataset_dir`` has no case for the network.
        ExportError: if a file computes something else than the network, cannot be made, or ``output`` cannot be.
        ValueError: if ``phi`` is not valid for the network, or an argument is not.
    """
    check_output(output, bundle, overwrite)
    if images and dataset_dir is not None:
        raise ExportError("images and dataset_dir both say what to compare on; leave one out.")
    source = FoldSource.from_bundle(bundle, phi, regularization=regularization)
    if dataset_dir is None:
        return write_fold(source, output, formats, images, size, overwrite)
    found = RealInput.from_dataset(dataset_dir, source.settings, source.bundle)
    return write_fold(source, output, formats, found.images, size, overwrite, data=found.data)


def check_output(output: Union[str, Path], bundle: Union[str, Path], overwrite: bool = False) -> None:
    """Check that a folder can be made.

    Raises:
        ExportError: if it is a file, lies in the bundle or around it, or exists and may not be replaced.
    """
    out, source = Path(output), Path(bundle).resolve()
    place = out.resolve()
    if place == source or source in place.parents or place in source.parents:
        raise ExportError(f"{output} lies in the bundle {bundle} or around it; name another folder.")
    if out.exists() and not out.is_dir():
        raise ExportError(f"{output} is a file; name a folder.")
    if out.is_dir() and any(out.iterdir()):
        if not overwrite:
            raise ExportError(f"{output} exists already; add --overwrite, or name another folder.")
        if not is_fold(out):
            raise ExportError(f"{output} is not a folder that fold wrote, so it is not replaced; name another.")
    for parent in out.absolute().parents:
        if parent.exists():
            if not parent.is_dir():
                raise ExportError(f"folder {output} cannot be made ({parent} is a file).")
            break


def write_fold(
    source: FoldSource,
    output: Union[str, Path],
    formats: Optional[Sequence[str]] = None,
    images: Sequence[MetaTensor] = (),
    size: Optional[Sequence[int]] = None,
    overwrite: bool = False,
    tell: Callable[[str], None] = logger.info,
    data: Optional[Mapping[str, Any]] = None,
) -> dict[str, Any]:
    """Write a folded network; see :func:`fold_bundle`.

    Args:
        source: the network and its φ.
        output: folder to make.
        formats: some of :data:`CHOICES`.
        images: to compare on.
        size: voxels per axis.
        overwrite: replace a folder that an earlier fold wrote.
        tell: called with one sentence for every file, and for every one left out.
        data: where the images are from, for the manifest; see :class:`RealInput`.
    """
    unknown = [name for name in formats or () if name not in CHOICES]
    if unknown or formats is not None and not formats:
        raise ExportError(f"formats must be some of {', '.join(CHOICES)}, got {', '.join(unknown) or 'none'}.")
    check_output(output, source.bundle, overwrite)
    inputs = Inputs(source, images, size)
    verified_on = {
        "input": inputs.described,
        "synthetic": not images,
        **({"data": dict(data)} if data else {}),
        "tolerance": TOLERANCE,
    }
    with _new_folder(Path(output)) as folder:
        manifest = _Fold(source, inputs, folder, tell, verified_on).make(formats, images)
        content = json.dumps(manifest, indent=2) + "\n"
        (folder / MANIFEST).write_text(content, encoding="utf-8")
    return manifest


class _Fold:
    """One fold in the making."""

    def __init__(
        self,
        source: FoldSource,
        inputs: Inputs,
        folder: Path,
        tell: Callable[[str], None],
        verified_on: Mapping[str, Any],
    ) -> None:
        self.source = source
        self.verified_on = verified_on
        self.inputs = inputs
        self.folder = folder
        self.tell = tell
        self.known: dict[str, dict[str, Any]] = {}
        self.left_out: dict[str, str] = {}

    def make(self, formats: Optional[Sequence[str]], images: Sequence[MetaTensor]) -> dict[str, Any]:
        """Write all files but the manifest, and return what that says."""
        wanted = set(CHOICES if formats is None else formats)
        for name, form in FORMATS.items():
            if name in wanted or name == "torchscript" and BUNDLE in wanted:
                self._make_file(form, explicit=formats is not None)
        source, settings = self.source, self.source.settings
        example = self.inputs.example()
        manifest: dict[str, Any] = {
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
                "flops": count_flops(source.plain, example),
                "parameters": sum(parameter.numel() for parameter in source.plain.parameters()),
                "size": list(self.inputs.size),
            },
            "verified_on": self.verified_on,
            "versions": versions(),
            "left_out": self.left_out,
        }
        if BUNDLE in wanted:
            self._make_bundle(manifest, images, explicit=formats is not None)
        manifest["files"] = file_entries(self.folder, self.known)
        return manifest

    def _make_file(self, form: Format, explicit: bool) -> None:
        absent = missing_packages(form)
        if absent:
            reason = f"{form.title} needs {', '.join(absent)}: pip install 'monai-hyperscale[export]'"
            if explicit:
                raise ExportError(f"{reason}.")
            self._leave_out(form.name, reason)
            return
        path = self.folder / form.path
        path.parent.mkdir(parents=True, exist_ok=True)
        agreement: Optional[Agreement] = None
        reason = ""
        # For any size if it can be, else for one.
        for dynamic in (True, False) if form.fixed else (True,):
            path.unlink(missing_ok=True)
            try:
                agreement, reason = self._written(form, path, dynamic), ""
            except (OSError, MemoryError):
                raise
            except Exception as error:  # exporters have no common class; the reason is told, and the next way tried
                self._check_space()
                logger.info("%s for %s: %s", form.title, "any size" if dynamic else "one size", first_line(error))
                agreement, reason = None, first_line(error)
                continue
            if agreement.holds:
                break
        if agreement is None:
            path.unlink(missing_ok=True)
            if explicit or form.name == "torchscript":
                raise ExportError(f"{form.title} cannot hold this network ({reason}); choose another --format.")
            self._leave_out(form.name, f"{form.title} cannot hold this network ({reason})")
            return
        if not agreement.holds:
            raise ExportError(
                f"{form.title} gives something else than the network: they differ by {agreement.difference:.1e} of the "
                f"largest value, at most {TOLERANCE:g} is allowed; nothing was written."
            )
        fixed = [1, self.source.settings.in_channels, *self.inputs.size]
        self.known[form.path] = {
            "format": form.name,
            "sizes": "any" if dynamic else " x ".join(map(str, fixed)),
            "largest_difference": agreement.difference,
            "label_agreement": agreement.labels,
            "verified_shapes": [list(shape) for shape in agreement.shapes],
            **({"opset": OPSET} if form.name == "onnx" else {}),
        }
        sizes = "images of any size" if dynamic else f"one size only, {' x '.join(map(str, fixed))}"
        same = "" if agreement.labels is None else f", {agreement.labels:.2%} of the labels the same"
        self.tell(f"{form.path}: {form.title}, {sizes}, differs by {agreement.difference:.1e}{same}")

    def _written(self, form: Format, path: Path, dynamic: bool) -> Agreement:
        example = self.inputs.tracing() if dynamic else self.inputs.example()
        run = form.write(self.source, path, example, dynamic)
        images = self.inputs.several() if dynamic else [self.inputs.example()]
        return compare(self.source, run, images, self.inputs.folding.output_is_classes)

    def _make_bundle(self, manifest: dict[str, Any], images: Sequence[MetaTensor], explicit: bool) -> None:
        stock = self.inputs.folding.stock_bundle()
        if isinstance(stock, str):
            if explicit:
                raise ExportError(f"there can be no MONAI bundle of this network: {stock}.")
            self._leave_out(BUNDLE, f"no MONAI bundle: {stock}")
            return
        configs = self.folder / "configs"
        configs.mkdir(exist_ok=True)
        for name, content in (("inference", stock.config()), ("metadata", fold_metadata(self.source))):
            (configs / f"{name}.json").write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
        write_logging(self.source, configs / "logging.conf")
        copy_licences(self.source, self.folder)
        manifest["bundle"] = check_bundle(self.folder, stock, self.source, images, self.inputs.size)
        card = {**manifest, "files": file_entries(self.folder, self.known)}
        docs = self.folder / "docs"
        docs.mkdir(exist_ok=True)
        (docs / "README.md").write_text(model_card(self.source, stock, card), encoding="utf-8")
        told = ", ".join(f"{name.replace('_', ' ')} {_number(value)}" for name, value in manifest["bundle"].items())
        self.tell(f"configs/inference.json: MONAI bundle, {told}")

    def _leave_out(self, name: str, reason: str) -> None:
        self.left_out[name] = reason
        self.tell(f"left out: {reason}")

    def _check_space(self) -> None:
        if shutil.disk_usage(self.folder).free < _NO_SPACE:
            raise ExportError(f"there is no space left in {self.folder.parent}; nothing was written.")


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
        try:
            output.absolute().parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=output.absolute().parent))
            yield folder
            _usual_permissions(folder)
            _into_place(folder, output)
        except OSError as error:
            raise ExportError(f"{output} cannot be written ({error.strerror or error}); nothing was.") from error
    except BaseException:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        raise


def _usual_permissions(folder: Path) -> None:
    """Give what open() and mkdir() would: temporary folders, and the files of some writers, are private."""
    mask = os.umask(0)
    os.umask(mask)
    for path in (folder, *folder.rglob("*")):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


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
