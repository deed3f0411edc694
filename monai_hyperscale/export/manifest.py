"""``manifest.json``: what a fold is, how it was checked, and its files with sizes and hashes."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import monai_hyperscale
from monai_hyperscale.errors import ExportError, first_mistake
from monai_hyperscale.io.files import sha256

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
