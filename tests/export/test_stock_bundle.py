"""Bundles in MONAI's own terms give what this package gives, and run where it cannot be imported."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser, ConfigWorkflow

from monai_hyperscale.cli.main import main
from monai_hyperscale.data.synthetic import synthetic_case
from monai_hyperscale.errors import ExportError
from monai_hyperscale.export import fold_bundle, read_manifest
from monai_hyperscale.export import verify as checking
from monai_hyperscale.io import read_image
from monai_hyperscale.io.seen import SeenImages
from monai_hyperscale.tasks.segmentation.folding import SegmentationStockBundle, segmentation_config
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings

# Runs MONAI's command where neither this package nor what only it needs can be imported, and proves it.
ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("monai_hyperscale", "SimpleITK", "voxelmorph", "neurite"):
            raise ModuleNotFoundError(name + " is refused", name=name)

sys.meta_path.insert(0, Refuse())
try:
    import monai_hyperscale
except ModuleNotFoundError:
    print("alone")
import runpy
sys.argv = ["monai.bundle", "run", *sys.argv[1:]]
sys.path[0] = ""  # as python -m has it
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""
FLIPPED = np.diag([-1.0, -1.0, 1.0, 1.0])
OBLIQUE = np.array([[-1.9, 0.1, 0, 9], [0.1, 2, 0.2, -3], [0, -0.2, 3, 1.5], [0, 0, 0, 1]])
SWAPPED = np.array([[0, 0, 1.5, 0], [1.0, 0, 0, 5], [0, -2.0, 0, 7], [0, 0, 0, 1]])


def write_scans(folder: Path, name: str = "case{}.nii.gz") -> None:
    folder.mkdir()
    for index, affine in enumerate((FLIPPED, OBLIQUE, SWAPPED)):
        voxels = (900 * synthetic_case(index, 3, 18)[0]).astype(np.int16)
        nib.save(nib.Nifti1Image(voxels, affine), folder / name.format(index))


def alone(out: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", ALONE, f"--config_file={out}/configs/inference.json", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=out.parent)


@pytest.mark.slow
def test_segmentation_without_this_package(segmentation, tmp_path):
    bundle = segmentation(3, label_values=(0, 4, 7), spacing=(1.5, 1.5, 2.0))
    fold_bundle(bundle, 0.3, tmp_path / "out", ["bundle"])
    write_scans(tmp_path / "scans")
    done = alone(tmp_path / "out", f"--dataset_dir={tmp_path / 'scans'}", f"--output_dir={tmp_path / 'stock'}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "alone" in done.stdout and "3 label maps are in" in done.stdout
    assert (
        main(["segment", str(tmp_path / "scans"), "-o", str(tmp_path / "own"), "--bundle", str(bundle), "--phi", "0.3"])
        == 0
    )
    names = sorted(path.name for path in (tmp_path / "own").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "stock").iterdir()) and len(names) == 3
    values = set()
    for name in names:
        own, stock = (nib.load(tmp_path / folder / name) for folder in ("own", "stock"))
        np.testing.assert_array_equal(np.asarray(stock.dataobj), np.asarray(own.dataobj))
        np.testing.assert_array_equal(stock.affine, own.affine)
        values |= set(np.unique(own.dataobj).tolist())
    assert values == {0, 4, 7}


@pytest.mark.slow
def test_an_empty_folder(segmentation, tmp_path):
    fold_bundle(segmentation(3), 0.3, tmp_path / "out", ["bundle"])
    (tmp_path / "scans").mkdir()
    done = alone(tmp_path / "out", f"--dataset_dir={tmp_path / 'scans'}")
    assert done.returncode == 1 and done.stderr.strip().endswith("name their folder with --dataset_dir")


@pytest.mark.parametrize(
    ("spatial_dims", "options"),
    [
        (3, {"channels": ("T1", "FLAIR")}),
        (3, {"channels": ("CT [100, 700]",), "spacing": (1.2, 1.0, 1.1)}),
        (3, {"channels": ("CT", "PET", "grey", "red")}),
        (2, {"channels": ("MRI",), "slices": True}),
        (2, {"channels": ("red", "green", "blue"), "label_values": (0, 128, 255)}),
        (2, {"channels": ("grey",)}),
        # The images to compare on are far outside, and of other voxels.
        (3, {"channels": ("MRI",), "seen": SeenImages.of([((300, 300, 300), np.diag([0.7, 0.7, 0.7, 1]))])}),
    ],
)
def test_every_kind_of_image(segmentation, tmp_path, spatial_dims, options):
    manifest = fold_bundle(segmentation(spatial_dims, **options), 0.3, tmp_path / "out", ["bundle"])
    assert manifest["bundle"] == {"label_agreement": 1.0}


def test_windows_and_channel_files(segmentation, tmp_path):
    """Channels in numbered files, and images too large to go through whole, as with ``segment --max-voxels``."""
    bundle = segmentation(3, channels=("T1", "T2"), roi_size=(12, 12, 12))
    fold_bundle(bundle, 0.4, tmp_path / "out", ["bundle"])
    scans = tmp_path / "scans"
    write_scans(scans, "case{}_0000.nii.gz")
    for path in sorted(scans.iterdir()):
        image = nib.load(path)
        second = Path(str(path).replace("_0000", "_0001"))
        nib.save(nib.Nifti1Image((500 - image.get_fdata()[::-1]).astype(np.float32), image.affine), second)
    flow = ConfigWorkflow(
        str(tmp_path / "out/configs/inference.json"),
        workflow_type="infer",
        logging_file=False,
        bundle_root=str(tmp_path / "out"),
        dataset_dir=str(scans),
        output_dir=str(tmp_path / "stock"),
        device="cpu",
        max_voxels=1000,
    )
    flow.initialize()
    assert not flow.check_properties()
    flow.run()
    options = ["--bundle", str(bundle), "--phi", "0.4", "--max-voxels", "1000"]
    assert main(["segment", str(scans), "-o", str(tmp_path / "own"), *options]) == 0
    for name in ("case0.nii.gz", "case1.nii.gz", "case2.nii.gz"):
        own, stock = (read_image(tmp_path / folder / name)[0].numpy() for folder in ("own", "stock"))
        assert (own == stock).mean() > 0.9999
        assert len(np.unique(own)) > 1


def test_voxels_that_are_not_finite(segmentation, tmp_path):
    bundle = segmentation(3)
    fold_bundle(bundle, 0.3, tmp_path / "out", ["bundle"])
    voxels = 900 * synthetic_case(1, 3, (20, 18, 16))[0]
    voxels[2:5, 3, 4], voxels[9, 9, 9], voxels[1, 1, 1] = np.nan, np.inf, 3e38
    image = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(voxels.astype(np.float32), FLIPPED), image)
    source = checking.FoldSource.from_bundle(bundle, 0.3)
    stock = SegmentationStockBundle(source.settings)
    assert checking.check_bundle(tmp_path / "out", stock, source, [], (20, 18, 16)) == {"label_agreement": 1.0}
    (tmp_path / "scans").mkdir()
    image = image.rename(tmp_path / "scans" / image.name)
    folders = {"dataset_dir": str(tmp_path / "scans"), "output_dir": str(tmp_path / "stock"), "device": "cpu"}
    checking._run(tmp_path / "out", folders)
    own = tmp_path / "own.nii.gz"
    assert main(["segment", str(image), "-o", str(own), "--bundle", str(bundle), "--phi", "0.3"]) == 0
    np.testing.assert_array_equal(read_image(tmp_path / "stock/scan.nii.gz"), read_image(own))


def test_a_bundle_that_does_something_else_is_refused(segmentation, tmp_path, monkeypatch):
    right = segmentation_config

    def wrong(settings: SegmentationSettings) -> dict:
        config = right(settings)
        config["preprocessing"]["transforms"].insert(3, {"_target_": "Flipd", "keys": "image", "spatial_axis": 0})
        return config

    monkeypatch.setattr("monai_hyperscale.tasks.segmentation.folding.segmentation_config", wrong)
    # Flipping is undone after the network, so only a network that is not symmetric shows it.
    with pytest.raises(ExportError, match="another label map than segment"):
        fold_bundle(segmentation(3), 0.3, tmp_path / "out", ["bundle"])

    monkeypatch.setattr(
        "monai_hyperscale.tasks.segmentation.folding.segmentation_config", lambda _: {**right(_), "network_def": "$1/0"}
    )
    with pytest.raises(ExportError, match="does not run with MONAI .division by zero"):
        fold_bundle(tmp_path / "bundle", 0.3, tmp_path / "out", ["bundle"])
    assert not (tmp_path / "out").exists()


def test_registration(registration, tmp_path):
    manifest = fold_bundle(registration(passes=2), 0.3, tmp_path / "out", ["bundle"], size=(22, 18, 17))
    assert manifest["bundle"]["field_difference_voxels"]["largest"] < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("passes", [1, 2])
def test_registration_without_this_package(registration, tmp_path, passes):
    bundle = registration(passes=passes)
    manifest = fold_bundle(bundle, 0.3, tmp_path / "out", ["bundle"], size=(22, 18, 17))
    assert manifest["bundle"]["field_difference_voxels"]["largest"] < 1e-3
    write_scans(tmp_path / "scans")
    fixed = tmp_path / "scans" / "case1.nii.gz"
    arguments = [f"--dataset_dir={tmp_path / 'scans'}", f"--output_dir={tmp_path / 'stock'}", f"--fixed={fixed}"]
    done = alone(tmp_path / "out", *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "alone" in done.stdout
    written = sorted(path.name for path in (tmp_path / "stock").iterdir())
    assert written == [f"case{case}_{kind}.nii.gz" for case in (0, 2) for kind in ("field", "moved")]
    expected = nib.load(fixed)
    moved, field = (nib.load(tmp_path / "stock" / f"case0_{kind}.nii.gz") for kind in ("moved", "field"))
    assert moved.shape == expected.shape and field.shape == (*expected.shape, 3)
    np.testing.assert_allclose(moved.affine, expected.affine, atol=1e-5)
    assert np.abs(field.get_fdata()).max() > 0.01


def test_registration_that_monai_has_no_transforms_for(registration, tmp_path):
    bundle = registration(2, channels=("grey",))
    with pytest.raises(ExportError, match="there can be no MONAI bundle of this network: .*2D image files"):
        fold_bundle(bundle, 0.3, tmp_path / "out", ["bundle"])


def test_metadata_and_model_card(segmentation, tmp_path):
    bundle = segmentation(3)
    (bundle / "LICENSE").write_text("mine")
    (bundle / "docs").mkdir()
    (bundle / "docs/data_license.txt").write_text("theirs")
    fold_bundle(bundle, 0.3, tmp_path / "out", ["bundle"])
    out = tmp_path / "out"
    assert (out / "LICENSE").read_text() == "mine" and (out / "docs/data_license.txt").read_text() == "theirs"
    metadata = ConfigParser.load_config_file(out / "configs/metadata.json")
    needed = "version monai_version pytorch_version numpy_version required_packages_version task description authors"
    assert set(needed.split()) | {"copyright", "network_data_format", "schema", "changelog"} <= metadata.keys()
    assert "phi = 0.3" in metadata["name"]
    assert set(metadata["required_packages_version"]) == {"pytorch-ignite", "nibabel"}
    image = metadata["network_data_format"]["inputs"]["image"]
    assert (image["num_channels"], image["channel_def"]) == (1, {"0": "MRI"})
    card = (out / "docs/README.md").read_text()
    assert card.startswith("# bundle at phi = 0.3\n") and "0 background, 1 Anterior, 2 Posterior" in card
    manifest = read_manifest(out)
    (file,) = (entry for entry in manifest["files"] if entry["path"] == "models/model.ts")
    for row in (
        f"| folded from | bundle, weights with SHA-256 {manifest['source']['weights_sha256'][:16]}… |",
        "| trained on | random numbers |",
        f"| parameters | {manifest['cost']['parameters']:,} |",
        f"| cost | {manifest['cost']['flops'] / 1e9:.3g} GFLOPs for 24 × 20 × 16 voxels |",
        "| spacing | the image's own |",
        f"| models/model.ts | {file['bytes']:,} | any | {file['largest_difference']:.1e} |",
    ):
        assert f"\n{row}\n" in card, row
    assert "measured on synthetic anatomy, no real image. Hashes" in card and "{{" not in card
    for path in ("configs/inference.json", "configs/metadata.json"):
        assert "monai_hyperscale" not in (out / path).read_text()
        json.loads((out / path).read_text())
