"""One scan stored with its axes in any of the 48 orders gives the same result in space."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from monai_hyperscale.io import read_field
from tests.cli.commands import Run, Write

ORDERS = [
    "".join(pair[sign] for pair, sign in zip(pairs, signs, strict=True))
    for pairs in itertools.permutations(("RL", "AP", "SI"))
    for signs in itertools.product((0, 1), repeat=3)
]
# Origins that single precision rounds, as in scanners' headers.
FIXED = np.array([[1.1, 0, 0, -6.3], [0, 0.9, 0, 4.7], [0, 0, 1.3, -100.1], [0, 0, 0, 1]])
MOVING = FIXED + np.array([[0, 0, 0, 40.2]] * 3 + [[0] * 4])


def smooth(sizes: tuple[int, ...], seed: int) -> np.ndarray:
    return gaussian_filter(np.random.default_rng(seed).normal(size=sizes), 1).astype(np.float32)


def stored(path: Path, voxels: np.ndarray, affine: np.ndarray, order: str) -> str:
    """Write voxels in RAS with their axes in another order."""
    to = nib.orientations.axcodes2ornt(order)
    image = nib.Nifti1Image(voxels, affine)
    image = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(affine), to))
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine), path)
    return str(path)


def in_ras(path: Path) -> np.ndarray:
    image = nib.as_closest_canonical(nib.load(path))
    return np.asarray(image.dataobj)


def in_millimetres(path: Path) -> np.ndarray:
    """Return a field's displacements in mm along x, y and z, at voxels in RAS order."""
    field = read_field(path)
    vectors = np.einsum("ij,jxyz->xyzi", field.affine.numpy()[:3, :3], field.numpy())
    return np.asarray(nib.as_closest_canonical(nib.Nifti1Image(vectors, field.affine.numpy())).dataobj)


# With the centres on each other points lie midway between two voxels along two axes, the first and last on the edge.
@pytest.mark.parametrize(("start", "part"), [("--centres", 0), ("--centres", 1), ("--centres", 2), ("--affine", 0)])
def test_register_and_apply_field(tmp_path: Path, run: Run, register: Run, start: str, part: int) -> None:
    images = {"fixed": (smooth((13, 12, 9), 0), FIXED), "moving": (smooth((12, 11, 9), 1), MOVING)}
    labels = np.digitize(smooth((12, 11, 9), 2), (-0.1, 0.1)).astype(np.uint8)
    expected: dict[str, np.ndarray] = {}
    for n, order in enumerate(["RAS", *ORDERS[part :: 3 if start == "--centres" else 13]]):
        orders = {"fixed": order, "moving": ORDERS[(5 * n + 7 * part) % 48] if n else "RAS"}
        files = {kind: stored(tmp_path / f"{kind}.nii", *image, orders[kind]) for kind, image in images.items()}
        label = stored(tmp_path / "label.nii", labels, MOVING, orders["moving"])
        out = {name: tmp_path / f"{name}_out.nii" for name in ("moved", "field", "inverse", "label", "again", "map")}
        words = ["-o", out["moved"], "--phi", 0.3, start, "--overwrite", "--device", "cpu", "--keep", "network"]
        words += ["--field", out["field"], "--inverse-field", out["inverse"]]
        register(files["moving"], files["fixed"], *words, "--labels", label, "--labels-out", out["label"])
        source, name, option = (label, "map", ["--labels"]) if n % 2 else (files["moving"], "again", [])
        run("apply-field", source, out["field"], "-o", out[name], "--overwrite", *option)
        found = {
            name: (in_millimetres if name in ("field", "inverse") else in_ras)(path)
            for name, path in out.items()
            if path.exists()
        }
        expected = {**found, **expected}
        # SimpleITK's optimiser makes more of the rounding of headers.
        tolerance = 1e-5 if start == "--centres" else 1e-3
        for name in {"moved", "again", "field", "inverse"} & found.keys():
            assert np.abs(found[name] - expected[name]).max() < tolerance * np.ptp(expected[name]), (name, orders)
        for name in {"label", "map"} & found.keys():
            assert (found[name] == expected[name]).mean() >= (1 if start == "--centres" else 0.99), (name, orders)
    assert np.ptp(expected["field"] - expected["field"].mean((0, 1, 2))) > 0.05
    assert len(np.unique(expected["label"])) == 3


def test_segment(tmp_path: Path, write_bundle: Write, run: Run) -> None:
    assert len(set(ORDERS)) == 48 and ORDERS[0] == "RAS"
    folder = write_bundle(tmp_path / "bundle", spacing=(1.0, 1.0, 1.0))
    # Half a millimetre: at 1 mm every other voxel's label lies midway between two.
    affine = np.array([[0.5, 0, 0, -6.3], [0, 0.5, 0, 4.7], [0, 0, 1.3, -100.1], [0, 0, 0, 1]])
    voxels, expected = smooth((24, 21, 9), 0), None
    for order in ORDERS:
        scan, out = stored(tmp_path / "scan.nii", voxels, affine, order), tmp_path / "label.nii"
        run("segment", scan, "-o", out, "--bundle", folder, "--overwrite", "--device", "cpu")
        found = in_ras(out)
        expected = found if expected is None else expected
        assert np.array_equal(found, expected), order
    assert len(np.unique(expected)) == 3
