"""Fixtures of the whole test suite."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("MPLBACKEND", "Agg")  # before anything imports matplotlib: tests have no display
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    # Before torch is imported: processes that share the cores, and what they start, take turns no more.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

import nibabel as nib
import numpy as np
import pytest
from monai.utils import set_determinism
from PIL import Image

from monai_hyperscale.data import write_synthetic_dataset
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
from tests.saved import save_network

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    """Start every test from the same seeds, whatever ran before it."""
    set_determinism(seed=0)
    yield
    set_determinism(seed=None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real scans beside the repository; skip where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real scans not found: ../shared/data is absent beside the repository")
    return folder


def _write(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith((".nii", ".nii.gz")):
        nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    else:
        Image.fromarray(array).save(path)
    return path


@pytest.fixture
def write() -> Callable[..., Path]:
    """Return a function that writes (path, array[, affine]) as NIfTI, or as a 2D image in PIL's axis order."""
    return _write


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Return a folder with four NIfTI cases of 4×5×6 and labels 0, 1, 2."""
    rng = np.random.default_rng(0)
    for name in "abcd":
        _write(tmp_path / "imagesTr" / f"{name}.nii.gz", rng.normal(size=(4, 5, 6)).astype(np.float32))
        _write(tmp_path / "labelsTr" / f"{name}.nii.gz", rng.integers(0, 3, (4, 5, 6)).astype(np.uint8))
    return tmp_path


def write_bundle(folder: Path, settings: Any) -> Path:
    shift = (2.3, -1.6) if settings.task == "registration" else 0
    save_network(folder / "models", settings, push=0.1, bias=shift)
    return folder


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return six labelled 2D images of different sizes."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    return Path(write_synthetic_dataset(folder, spatial_dims=2, cases=6, size=24, labels=2))


OPTIONS: dict[str, Any] = {
    "network": {"features": (4, 4, 4)},
    "generator": {"hidden": (6, 4)},
    "provenance": {"data": "shapes", "cases": {"test": ["case_004", "case_001", "case_002"]}},
}


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a segmentation bundle with random weights."""
    settings = SegmentationSettings(2, ("grey",), {1: "structure 1", 2: "structure 2"}, **OPTIONS)
    return write_bundle(tmp_path_factory.mktemp("segmentation") / "seg", settings)


@pytest.fixture(scope="session")
def level_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same with one factor per level."""
    settings = SegmentationSettings(2, ("grey",), {1: "structure 1", 2: "structure 2"}, per_level=True, **OPTIONS)
    return write_bundle(tmp_path_factory.mktemp("levels") / "seg", settings)


@pytest.fixture(scope="session")
def registration_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registration bundle with random weights."""
    settings = RegistrationSettings(2, ("grey",), sizes=(32, 32), head_features=4, **OPTIONS)
    return write_bundle(tmp_path_factory.mktemp("registration") / "reg", settings)
