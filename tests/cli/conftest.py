from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from monai_hyperscale.cli.main import main
from monai_hyperscale.data import write_synthetic_dataset
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
from tests.cli.commands import Run, Said, Write
from tests.saved import save_network

SMALL: dict[str, Any] = {
    "channels": ("MRI",),
    "labels": {1: "Anterior", 2: "Posterior"},
    "network": {"features": (4, 4, 4)},
    "generator": {"hidden": (6, 4)},
    "provenance": {"data": "random numbers"},
}


def _write_bundle(folder: Path, spatial_dims: int = 3, **settings: Any) -> Path:
    save_network(folder / "models", SegmentationSettings(spatial_dims, **{**SMALL, **settings}), bias=0)
    return folder


def _write_registration_bundle(folder: Path, spatial_dims: int = 3, **settings: Any) -> Path:
    own = {"head_features": 4, "loss": {"smoothness": "gradient", "weight": 0.05}}
    described = RegistrationSettings(spatial_dims, **{**SMALL, **own, **settings})
    # A shift that differs along the axes, and a little more that differs everywhere.
    save_network(folder / "models", described, push=0.02, bias=(0.6, -0.4, 0.3)[:spatial_dims])
    return folder


@pytest.fixture(scope="session")
def registration_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trained registration bundle, but small and with random weights."""
    return _write_registration_bundle(tmp_path_factory.mktemp("registration"))


@pytest.fixture
def write_registration_bundle() -> Write:
    """Return the function that writes such a bundle with other settings."""
    return _write_registration_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trained bundle as a training leaves it, but small and with random weights."""
    return _write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def write_bundle() -> Write:
    """Return the function that writes such a bundle with other settings."""
    return _write_bundle


@pytest.fixture
def scan(tmp_path: Path) -> Write:
    """Return a function that writes a small oblique scan."""

    def write(name: str = "scan.nii.gz", shape: tuple[int, ...] = (9, 8, 7)) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        affine = np.array([[-1.9, 0.1, 0, 9], [0.1, 2, 0.2, -3], [0, -0.2, 3, 1.5], [0, 0, 0, 1]])
        voxels = np.random.default_rng(len(name)).integers(0, 900, shape).astype(np.int16)
        nib.save(nib.Nifti1Image(voxels, affine), path)
        return path

    return write


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command, compares its exit code, and returns what it has printed."""

    def call(*words: object, code: int = 0) -> Said:
        capsys.readouterr()
        found, said = main([str(word) for word in words]), Said(*capsys.readouterr())
        assert found == code, said.err
        assert "--debug" in words or "Traceback" not in said.err
        return said

    return call


@pytest.fixture
def segment(run: Run, bundle: Path) -> Run:
    """Return a function that runs segment with the bundle, or with another one that is named."""
    return lambda *words, **code: run("segment", *words, *(() if "--bundle" in words else ("--bundle", bundle)), **code)


@pytest.fixture
def register(run: Run, registration_bundle: Path) -> Run:
    """Return a function that runs register with the bundle, or with another one that is named."""
    usual = ("--bundle", registration_bundle)
    return lambda *words, **code: run("register", *words, *(() if "--bundle" in words else usual), **code)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return three labelled 2D images."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    return Path(write_synthetic_dataset(folder, spatial_dims=2, cases=3, size=24, labels=2))


@pytest.fixture
def network(write_bundle: Write, tmp_path: Path) -> Path:
    """Return a bundle for such images."""
    return write_bundle(tmp_path / "net", 2, channels=("grey",))
