"""Where the time of ``segment`` goes: the table of ``-v``, the file of ``--report``, and what they must not change."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from monai_hyperscale.io import read_image
from monai_hyperscale.tasks.segmentation.segmenter import Segmenter
from tests.cli.commands import Run, Write

WINDOWS = ["reading", "preprocessing", "network", "merging", "argmax", "resampling", "writing"]


@pytest.mark.parametrize("windows", [False, True])
def test_report(tmp_path: Path, bundle: Path, scan: Write, segment: Run, windows: bool) -> None:
    images, report = [scan("a.nii.gz"), scan("b.nii.gz")], tmp_path / "new" / "r.json"
    words = ["--report", report, "--device", "cpu", *(["--max-voxels", 10] if windows else [])]
    segment(*images, "-o", tmp_path / "out", "--phi", 0.3, *words)
    content = json.loads(report.read_text())
    stages = [name for name in WINDOWS if windows or name != "merging"]
    assert [Path(image["image"]) for image in content["images"]] == images
    assert [Path(image["output"]).name for image in content["images"]] == ["a.nii.gz", "b.nii.gz"]
    for image in content["images"]:
        assert list(image["seconds"]) == stages
    seconds = content["seconds"]
    assert list(seconds) == ["preparation", *stages, "other", "total"]
    for name in stages:
        assert seconds[name] == pytest.approx(sum(image["seconds"][name] for image in content["images"]))
    assert seconds["total"] == pytest.approx(sum(value for name, value in seconds.items() if name != "total"))
    assert content["share_outside_network"] == pytest.approx(1 - seconds["network"] / seconds["total"])
    assert content["peak_memory_mib"]["process"] > 100
    assert (content["phi"], content["device"], content["bundle"]) == (0.3, "cpu", str(bundle))
    assert content["threads"] == torch.get_num_threads()


def test_verbose_shows_the_table_last(tmp_path: Path, bundle: Path, scan: Write, segment: Run) -> None:
    said = segment(scan(), "-o", tmp_path / "out", "-v", "--preview", "--volumes", tmp_path / "v.json")
    lines = said.err.splitlines()
    assert f"bundle {bundle}, device " in lines[0]
    start = lines.index("stage              seconds   share")
    names = [line[:19].strip() for line in lines[start + 1 :]]
    stages = ["reading", "preprocessing", "network", "argmax", "resampling", "preview", "writing", "volumes", "other"]
    assert names[:-1] == ["preparation", *stages, "total", "outside the network", "peak memory"]
    shares = [float(line.split()[-2]) for line in lines[start + 1 : start + 1 + len(stages) + 1]]
    assert sum(shares) == pytest.approx(100, abs=0.6)
    assert lines[-2].endswith("MiB") and lines[-1].startswith("wrote ")


def test_report_tells_of_the_images_that_are_done(tmp_path: Path, scan: Write, segment: Run) -> None:
    good, report = scan("in/a.nii.gz"), tmp_path / "r.json"
    (tmp_path / "in" / "b.nii.gz").write_bytes(good.read_bytes()[:-40])
    words = [tmp_path / "in", "-o", tmp_path / "out", "--report", report]
    segment(*words, code=1)
    assert [image["image"] for image in json.loads(report.read_text())["images"]] == [str(good)]
    report.unlink()
    (tmp_path / "out" / "a.nii.gz").rename(tmp_path / "out" / "b.nii.gz")
    good.write_bytes(b"damaged")
    segment(*words, "--skip-existing", code=1)
    assert not report.exists()


@pytest.mark.parametrize("spacing", [None, (1.113, 1.271, 1.337)], ids=["own spacing", "resampled"])
def test_geometry_in_windows_is_that_of_the_file_to_the_bit(
    tmp_path: Path, write_bundle: Write, run: Run, spacing: tuple[float, ...] | None
) -> None:
    folder = write_bundle(tmp_path / "b", channels=("CT",), spacing=spacing, roi_size=(8, 8, 8))
    turned = np.array([[-1.9, 0.1, 0, 9], [0.1, 2, 0.2, -3], [0, -0.2, 3, 1.5], [0, 0, 0, 1]])
    voxels = np.random.default_rng(0).integers(-1000, 900, (19, 13, 10)).astype(np.int16)
    image = nib.Nifti1Image(voxels, turned)
    image.set_qform(np.diag([1.9 + 1e-7, 2.01, 3.02, 1]), code=1)
    image.set_sform(turned, code=2)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, tmp_path / "ct.nii.gz")
    words = ["-o", tmp_path / "label.nii.gz", "--bundle", folder, "--max-voxels", 50]
    run("segment", tmp_path / "ct.nii.gz", *words)
    written, source = nib.load(tmp_path / "label.nii.gz"), nib.load(tmp_path / "ct.nii.gz")
    fields = "sform_code qform_code pixdim xyzt_units quatern_b quatern_c quatern_d srow_x srow_y srow_z dim"
    for field in [*fields.split(), *(f"qoffset_{axis}" for axis in "xyz")]:
        assert written.header[field].tobytes() == source.header[field].tobytes(), field
    assert written.affine.tobytes() == source.affine.tobytes()
    expected = Segmenter.from_bundle(folder, max_voxels=50).segment(read_image(tmp_path / "ct.nii.gz"), 0.5)
    assert np.array_equal(np.asarray(written.dataobj), expected) and len(np.unique(expected)) > 1
