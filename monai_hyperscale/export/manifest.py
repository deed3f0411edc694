"""What lies beside the network in a fold: ``manifest.json``, and its bundle's metadata, model card and licences."""

from __future__ import annotations

import json
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import monai_hyperscale
from monai_hyperscale.errors import ExportError, first_mistake
from monai_hyperscale.export.folding import StockBundle
from monai_hyperscale.export.source import FoldSource
from monai_hyperscale.io.files import sha256, write_text
from monai_hyperscale.tasks import task_named

#: The file's name.
MANIFEST = "manifest.json"

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    # What a later version adds to the format is kept.
    model_config = ConfigDict(extra="allow")


class FoldedFile(_Part):
    """A file of a fold; those with the network say for which ``sizes``, and how far from the source they compute."""

    path: str
    bytes: Count
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    format: Optional[str] = None
    sizes: Optional[str] = None
    largest_difference: Optional[Annotated[float, Field(ge=0)]] = None
    label_agreement: Optional[Share] = None
    verified_shapes: Optional[list[list[Count]]] = None
    opset: Optional[int] = None


class _Source(_Part):
    bundle: str
    weights_sha256: str
    phi_range: list[Share]
    trained_for_phi: bool
    provenance: dict[str, Any]


class _Input(_Part):
    channels: Count
    spatial_dims: Literal[2, 3]


class _Cost(_Part):
    flops: Count
    parameters: Count
    size: list[Count]


class _Case(_Part):
    name: str
    part: str
    case: str


class VerifiedOn(_Part):
    """What the files of a fold were compared on; as text ``synthetic anatomy, no real image``."""

    input: str
    synthetic: bool
    tolerance: float
    data: Optional[_Case] = None

    def __str__(self) -> str:
        if self.data is None:
            return self.input + ", no real image" * self.synthetic
        return f"{self.input} ({self.data.part} case {self.data.case} of {self.data.name})"


class Manifest(_Part):
    """The content of ``manifest.json``; ``left_out`` says why a format is not there, ``bundle`` how well it agrees."""

    format: Literal[1]
    kind: Literal["fold"]
    task: str
    phi: list[Share]
    regularization: Optional[list[float]] = None
    source: _Source
    input: _Input
    cost: _Cost
    verified_on: VerifiedOn
    versions: dict[str, str]
    left_out: dict[str, str]
    bundle: Optional[dict[str, Any]] = None
    files: list[FoldedFile]

    def as_dict(self) -> dict[str, Any]:
        """Return the content as JSON has it."""
        return self.model_dump(mode="json", exclude_unset=True)


def versions() -> dict[str, str]:
    """Return the versions of what made the files; of what is installed."""
    found = {"python": platform.python_version(), "monai_hyperscale": monai_hyperscale.__version__}
    found["torch"] = torch.__version__
    for name in ("monai", "numpy", "onnx", "onnxscript", "onnxruntime", "safetensors"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def files_of(folder: Path, known: dict[str, dict[str, Any]]) -> list[FoldedFile]:
    """Return every file in a folder but the manifest, with what else is ``known`` by its path in the folder."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST:
            size = path.stat().st_size
            found.append(FoldedFile(path=name, bytes=size, sha256=sha256(path), **known.get(name, {})))
    return found


def read_manifest(folder: Union[str, Path]) -> dict[str, Any]:
    """Read a fold's manifest, checked by :class:`Manifest`; an ExportError if there is none of this version."""
    path = Path(folder) / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("kind") != "fold":
        raise ExportError(f"{folder} holds no fold: there is no {MANIFEST} that tells of one.")
    try:
        return Manifest.model_validate(content).as_dict()
    except ValidationError as error:
        mistake = first_mistake(error)
        raise ExportError(
            f"{path} is not a manifest that this version reads: {mistake}; fold the bundle anew."
        ) from error


def write_configs(source: FoldSource, stock: StockBundle, folder: Path) -> None:
    """Write a bundle's configurations and metadata, its task's ``logging.conf`` and the source's licences."""
    for name, content in (("inference", stock.config()), ("metadata", fold_metadata(source))):
        write_text(folder / "configs" / f"{name}.json", json.dumps(content, indent=4) + "\n")
    shutil.copyfile(task_named(source.settings.task).bundle / "configs/logging.conf", folder / "configs/logging.conf")
    for name in ("LICENSE", "docs/data_license.txt"):
        if (source.files / name).is_file():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source.files / name, folder / name)


def fold_metadata(source: FoldSource) -> dict[str, Any]:
    """Return ``metadata.json`` of a fold: the source bundle's, where it has one, with what folding changes."""
    settings, name = source.settings, f"{source.name}, {source.phi_text}"
    try:
        content = settings.metadata(json.loads((source.files / "configs/metadata.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # A training's folder need not have one, and what a user wrote need not be one.
        shipped = task_named(settings.task).bundle / "configs" / "metadata.json"
        content = settings.metadata(json.loads(shipped.read_text(encoding="utf-8")))
    data = settings.provenance.get("data", "a user's data")
    return {
        **content,
        "version": "0.1.0",
        "changelog": {"0.1.0": f"folded from {source.name} at {source.phi_text}"},
        "monai_version": version("monai"),
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": version("numpy"),
        # Of a bundle that runs with MONAI alone.
        "required_packages_version": {name: version(name) for name in ("pytorch-ignite", "nibabel")},
        "name": name,
        "task": settings.task.capitalize(),
        "description": f"A plain network for {source.phi_text}, folded from the scale-space hypernetwork "
        f"{source.name}, which was trained on {data}.",
        # Those of the source are not of this φ.
        "eval_metrics": {},
    }


def model_card(source: FoldSource, stock: StockBundle, manifest: Manifest) -> str:
    """Return ``docs/README.md``."""
    environment = Environment(
        loader=PackageLoader("monai_hyperscale.export"),
        autoescape=False,  # Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    card = environment.get_template("card.md.j2")
    return card.render(source=source, phi=source.phi_text, settings=source.settings, stock=stock, manifest=manifest)
