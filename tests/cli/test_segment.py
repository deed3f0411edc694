from __future__ import annotations

import csv
import json
import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_hyperscale.io import Placement, labels, read_image
from monai_hyperscale.tasks.segmentation.segmenter import Segmenter
from tests.cli.commands import Run, Write, files, full_disk


def test_one_image(tmp_path: Path, bundle: Path, scan: Write, segment: Run) -> None:
    image, output = scan(), tmp_path / "out" / "label.nii.gz"
    assert segment(image, "-o", output, "--phi", 0.3).err == f"wrote {output}\n"
    expected = Segmenter.from_bundle(bundle).segment(read_image(image), 0.3)
    written = nib.load(output)
    assert np.array_equal(np.asarray(written.dataobj), expected)
    assert np.array_equal(written.affine, nib.load(image).affine)
    assert len(np.unique(expected)) > 1
    assert files(tmp_path / "out") == ["label.nii.gz"]


def test_folder_with_a_bad_image_goes_on(tmp_path: Path, scan: Write, segment: Run) -> None:
    scan("in/a.nii.gz"), scan("in/c.nii")
    (tmp_path / "in" / "b.nii.gz").write_bytes(scan("whole.nii.gz").read_bytes()[:-40])
    text = segment(tmp_path / "in", "-o", tmp_path / "out", code=1).err
    assert files(tmp_path / "out") == ["a.nii.gz", "c.nii"]
    assert text.count("error: ") == 1 and "b.nii.gz is truncated or damaged" in text
    assert f"2 of 3 images segmented, 1 failed; outputs in {tmp_path / 'out'}" in text
    assert "3/3" in text  # the progress bar


def test_existing_outputs(tmp_path: Path, scan: Write, segment: Run) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.nii.gz").write_text("earlier")
    words = [scan("a.nii.gz"), scan("b.nii.gz"), "-o", out]
    assert "exists already" in segment(*words, code=2).error and files(out) == ["b.nii.gz"]
    assert "1 of 2 images segmented, 1 skipped" in segment(*words, "--skip-existing").err
    assert (out / "b.nii.gz").read_text() == "earlier"
    segment(*words, "--overwrite")
    assert nib.load(out / "b.nii.gz").shape == (9, 8, 7)


def test_label_maps_of_others_get_no_names(tmp_path: Path, scan: Write, segment: Run) -> None:
    image, there, volumes = scan("a.nii.gz"), tmp_path / "there.nii.gz", tmp_path / "v.json"
    aseg = np.random.default_rng(0).choice([0, 2, 41], (9, 8, 7)).astype(np.uint8)
    nib.save(nib.Nifti1Image(aseg, nib.load(image).affine), there)
    said = segment(image, "-o", there, "--skip-existing", "--volumes", volumes, code=1).err
    assert "there.nii.gz holds the label 41, which this network does not draw" in said
    assert not volumes.exists()


def test_volumes_and_their_table(tmp_path: Path, scan: Write, segment: Run) -> None:
    images, out = [str(scan("a.nii.gz")), str(scan("b.nii.gz"))], tmp_path / "out"
    report, table = tmp_path / "reports" / "v.json", tmp_path / "tables" / "v.CSV"
    words = [*images, "-o", out, "--volumes"]
    assert segment(*words, table).err.splitlines()[-1] == f"wrote {table}"
    others = f"{out / 'a.nii.gz'} and 2 more exist already; add --overwrite or --skip-existing."
    assert segment(*words, table, code=2).error == f"error: {others}"
    segment(*words, report, "--overwrite")
    content = json.loads(report.read_text())
    with open(table, newline="") as file:
        rows = iter(list(csv.DictReader(file)))
    for entry, image in zip(content["images"], images, strict=True):
        assert (entry["image"], entry["phi"]) == (image, 0.5)
        written = np.asarray(nib.load(entry["output"]).dataobj)
        voxel = abs(np.linalg.det(nib.load(image).affine))
        for label, name, measured in zip((1, 2), ("Anterior", "Posterior"), entry["labels"], strict=True):
            count, row = int((written == label).sum()), next(rows)
            assert (measured["label"], measured["name"], measured["voxels"]) == (label, name, count)
            assert measured["volume"] == pytest.approx(count * voxel)
            assert (row["image"], row["output"], row["phi"]) == (image, entry["output"], "0.5")
            assert (row["label"], row["name"], row["voxels"]) == (str(label), name, str(count))
            assert float(row["volume_mm3"]) == pytest.approx(count * voxel)
    segment(*words, report, "--skip-existing")
    again = json.loads(report.read_text())
    assert [entry["labels"] for entry in again["images"]] == [entry["labels"] for entry in content["images"]]
    assert [entry["phi"] for entry in again["images"]] == [None, None]


def test_preview(tmp_path: Path, scan: Write, segment: Run) -> None:
    out = tmp_path / "out"
    said = segment(scan(), "-o", out, "--preview", "--suffix", "_seg").err
    assert said == f"wrote {out / 'scan_seg.nii.gz'}, {out / 'scan_seg_preview.png'}\n"
    assert files(out) == ["scan_seg.nii.gz", "scan_seg_preview.png"]
    with Image.open(out / "scan_seg_preview.png") as picture:
        assert picture.format == "PNG"


def test_pictures_for_a_network_of_pictures(tmp_path: Path, write_bundle: Write, segment: Run) -> None:
    folder = write_bundle(tmp_path / "b", 2, channels=("red", "green", "blue"), label_values=(0, 128, 255))
    pixels = np.random.default_rng(0).integers(0, 255, (11, 17, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cell.png")
    report, words = tmp_path / "v.json", [tmp_path / "cell.png", "-o", tmp_path / "out", "--bundle", folder]
    segment(*words, "--preview", "--volumes", report)
    with Image.open(tmp_path / "out" / "cell.png") as label:
        assert label.size == (17, 11)
        values = np.asarray(label)
    assert set(np.unique(values)) <= {0, 128, 255} and len(np.unique(values)) > 1
    measured = json.loads(report.read_text())["images"][0]["labels"]
    assert [entry["label"] for entry in measured] == [128, 255]
    assert [entry["voxels"] for entry in measured] == [(values == 128).sum(), (values == 255).sum()]
    assert all(entry["volume"] is None for entry in measured)


def test_phi_and_devices_that_are_not_as_wished_are_told(tmp_path: Path, scan: Write, segment: Run) -> None:
    words = [scan(), "-o", tmp_path / "a.nii.gz", "--overwrite"]
    told = "warning: the network was trained for phi from 0 to 0.5, not for 0.9."
    assert told in segment(*words, "--phi", 0.9).err and "warning" not in segment(*words, "--phi", 0.5).err
    assert "warning: device cuda:63 is not on this machine" in segment(*words, "--device", "cuda:63").err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "gpu"], "device must be auto, cpu, cuda"),
        (["--volumes", "v.txt"], "--volumes is a file that ends in .json or .csv, got v.txt."),
        (["--bundle", "none"], "bundle none does not exist; name the folder of a trained bundle."),
        (["--bundle", "."], "no description of a trained network"),
        (["scann.nii.gz"], "error: image scann.nii.gz does not exist; check the path."),
        (["--phi", "0.5,0.4,0.3"], "got 3"),
        (["--phi", "0.5,,0.5"], "phi must be a number between 0 and 1"),
        (["-o", "file/a.nii.gz"], "cannot be made"),
        (["--orientation", "up"], "--orientation is three letters"),
        (["--report", "r.txt"], "--report is a file that ends in .json, got r.txt."),
        (["--report", "x.json", "--volumes", "x.json"], "--volumes and --report are the same file x.json; name two."),
        (["--report", "there.json"], "there.json exists already; add --overwrite or --skip-existing."),
    ],
)
def test_usage_errors_leave_nothing(
    tmp_path: Path, scan: Write, segment: Run, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("file", "there.json"):
        Path(name).write_text("earlier")
    where = [] if "-o" in arguments else ["-o", "out"]
    assert message in segment(scan(), *where, *arguments, code=2).error
    assert files(tmp_path) == ["file", "scan.nii.gz", "there.json"] and Path("there.json").read_text() == "earlier"


def test_full_disk_is_one_sentence(tmp_path: Path, scan: Write, segment: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    image = scan()
    monkeypatch.setattr(labels.nib, "save", full_disk)
    assert "No space left on device" in segment(image, "-o", tmp_path / "out", code=1).error
    assert files(tmp_path / "out") == []


def test_interruption_leaves_no_partial_file(
    tmp_path: Path, scan: Write, segment: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, save = [scan("a.nii.gz"), scan("b.nii.gz")], labels.nib.save

    def interrupted(image: nib.Nifti1Image, path: Path) -> None:
        save(image, path)
        if any(file.name == "a.nii.gz" for file in (tmp_path / "out").iterdir()):
            raise KeyboardInterrupt

    monkeypatch.setattr(labels.nib, "save", interrupted)
    segment(*images, "-o", tmp_path / "out", code=130)
    assert files(tmp_path / "out") == ["a.nii.gz"]


def test_unexpected_error_of_one_image(
    tmp_path: Path, scan: Write, segment: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Segmenter.segment

    def sometimes(self: Segmenter, image: object, phi: object) -> np.ndarray:
        if "a.nii" in image.meta["filename_or_obj"]:  # type: ignore[attr-defined]
            raise RuntimeError("cuDNN error\nand its story")
        return made(self, image, phi)  # type: ignore[arg-type]

    monkeypatch.setattr(Segmenter, "segment", sometimes)
    words = [scan("a.nii.gz"), scan("b.nii.gz"), "-o", tmp_path / "out"]
    told = "a.nii.gz: unexpected RuntimeError: cuDNN error; run with --debug for the traceback"
    assert segment(*words, code=1).error.endswith(told)
    assert files(tmp_path / "out") == ["b.nii.gz"]
    assert "Traceback" in segment(*words, "--debug", "--overwrite", code=1).err


def test_warnings_of_reading_are_shown_and_logging_is_left_alone(tmp_path: Path, segment: Run) -> None:
    voxels = np.random.default_rng(0).random((6, 5, 4))
    voxels[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / "a.nii.gz")
    before = logging.getLogger("monai_hyperscale").handlers[:]
    text = segment(tmp_path / "a.nii.gz", "-o", tmp_path / "out").err
    assert "warning: " in text and "1 voxels that are NaN or infinite" in text
    assert logging.getLogger("monai_hyperscale").handlers == before


def test_windows_by_max_voxels(tmp_path: Path, write_bundle: Write, scan: Write, segment: Run) -> None:
    folder, image = write_bundle(tmp_path / "b", roi_size=(8, 8, 8)), scan(shape=(20, 9, 8))
    for name, extra in (("whole", []), ("windows", ["--max-voxels", 100])):
        segment(image, "-o", tmp_path / f"{name}.nii.gz", "--bundle", folder, *extra)
    expected = Segmenter.from_bundle(folder, max_voxels=100).segment(read_image(image), 0.5)
    assert np.array_equal(np.asarray(nib.load(tmp_path / "windows.nii.gz").dataobj), expected)
    assert not np.array_equal(np.asarray(nib.load(tmp_path / "whole.nii.gz").dataobj), expected)


def test_channels_in_files_of_their_own(tmp_path: Path, write_bundle: Write, scan: Write, segment: Run) -> None:
    folder, out, report = write_bundle(tmp_path / "b", channels=("FLAIR", "T1w")), tmp_path / "out", tmp_path / "v.json"
    paths = [scan("in/a_0000.nii.gz"), scan("in/a_0001.nii.gz")]
    scan("in/b_0000.nii.gz"), scan("in/b_0001.nii.gz", (9, 8, 6))
    words = [tmp_path / "in", "-o", out, "--bundle", folder]
    said = segment(*words, "--volumes", report, "--preview", code=1)
    assert "b_0001.nii.gz has 9x8x6 voxels" in said.error
    assert files(out) == ["a.nii.gz", "a_preview.png"]
    expected = Segmenter.from_bundle(folder).segment(read_image(paths, 2), 0.5)
    assert np.array_equal(np.asarray(nib.load(out / "a.nii.gz").dataobj), expected)
    assert json.loads(report.read_text())["images"][0]["image"] == [str(path) for path in paths]
    (tmp_path / "in" / "b_0001.nii.gz").unlink()
    said = segment(*words, "--overwrite", code=2)
    assert "b has the channel files 0000, but the network takes 2 channels" in said.error


@pytest.mark.parametrize(("unit", "factor"), [("micron", 1e-9), ("mm", 1), ("meter", 1e9), ("unknown", 1)])
def test_volumes_are_in_cubic_millimetres_whatever_the_unit(
    tmp_path: Path, scan: Write, segment: Run, unit: str, factor: float
) -> None:
    image = nib.load(scan())
    image.header.set_xyzt_units(unit, "sec")
    nib.save(image, tmp_path / "in.nii.gz")
    segment(tmp_path / "in.nii.gz", "-o", tmp_path / "out.nii.gz", "--volumes", tmp_path / "v.json")
    written = nib.load(tmp_path / "out.nii.gz")
    assert written.header.get_xyzt_units() == (unit, "sec")
    assert np.array_equal(written.affine, image.affine)
    counts = np.bincount(np.asanyarray(written.dataobj).ravel(), minlength=3)
    measured = json.loads((tmp_path / "v.json").read_text())["images"][0]["labels"]
    voxel = abs(np.linalg.det(image.affine[:3, :3])) * factor
    assert counts[1:].sum() > 0
    assert np.allclose([label["volume"] for label in measured], counts[1:] * voxel, rtol=1e-6)


def test_a_header_that_leaves_a_choice(tmp_path: Path, bundle: Path, scan: Write, segment: Run) -> None:
    voxels = np.asarray(nib.load(scan()).dataobj)
    image = nib.Nifti1Image(voxels, None)
    image.header.set_qform(np.diag([-1.0, 1, -1, 1]), 1)
    image.header.set_sform(np.array([[0, 0, 1.0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]), 2)
    nib.save(nib.Nifti1Image(voxels, None, image.header), tmp_path / "two.nii")
    image.header["qform_code"] = image.header["sform_code"] = 0
    nib.save(nib.Nifti1Image(voxels, None, image.header), tmp_path / "none.nii")
    segmenter, written = Segmenter.from_bundle(bundle), []
    for name, options, place, told in (
        ("two", [], Placement(), "lies in two places"),
        ("two", ["--header", "qform"], Placement(header="qform"), ""),
        ("none", [], Placement(), "has no orientation"),
        ("none", ["--orientation", "psr"], Placement(orientation="PSR"), ""),
    ):
        output = tmp_path / f"out{len(written)}.nii"
        said = segment(tmp_path / f"{name}.nii", "-o", output, *options).err
        assert (f"{name}.nii {told}" in said) if told else "warning" not in said
        expected = segmenter.segment(read_image(tmp_path / f"{name}.nii", placement=place))
        written.append(np.asarray(nib.load(output).dataobj))
        assert np.array_equal(written[-1], expected)
    assert not np.array_equal(written[0], written[1]) and not np.array_equal(written[2], written[3])
