from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_hyperscale.cli.main import main
from monai_hyperscale.io import Placement, labels, read_image
from monai_hyperscale.tasks.segmentation.segmenter import Segmenter

Scan = Callable[..., Path]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file()) if folder.exists() else []


def last_error(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert "Traceback" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
    return line


def test_one_image(tmp_path: Path, bundle: Path, scan: Scan, capsys: pytest.CaptureFixture[str]) -> None:
    image, output = scan(), tmp_path / "out" / "label.nii.gz"
    assert main(["segment", str(image), "-o", str(output), "--bundle", str(bundle), "--phi", "0.3"]) == 0
    expected = Segmenter.from_bundle(bundle).segment(read_image(image), 0.3)
    written = nib.load(output)
    assert np.array_equal(np.asarray(written.dataobj), expected)
    assert np.array_equal(written.affine, nib.load(image).affine)
    assert len(np.unique(expected)) > 1
    assert capsys.readouterr().err == f"wrote {output}\n"
    assert files(tmp_path / "out") == ["label.nii.gz"]


def test_folder_with_a_bad_image_goes_on(
    tmp_path: Path, bundle: Path, scan: Scan, capsys: pytest.CaptureFixture[str]
) -> None:
    scan("in/a.nii.gz"), scan("in/c.nii")
    (tmp_path / "in" / "b.nii.gz").write_bytes(scan("whole.nii.gz").read_bytes()[:-40])
    assert main(["segment", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--bundle", str(bundle)]) == 1
    assert files(tmp_path / "out") == ["a.nii.gz", "c.nii"]
    text = capsys.readouterr().err
    assert text.count("error: ") == 1 and "b.nii.gz is truncated or damaged" in text
    assert f"2 of 3 images segmented, 1 failed; outputs in {tmp_path / 'out'}" in text
    assert "3/3" in text  # the progress bar


def test_existing_outputs(tmp_path: Path, bundle: Path, scan: Scan, capsys: pytest.CaptureFixture[str]) -> None:
    images = [str(scan("a.nii.gz")), str(scan("b.nii.gz"))]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.nii.gz").write_text("earlier")
    command = ["segment", *images, "-o", str(tmp_path / "out"), "--bundle", str(bundle)]
    assert main(command) == 2
    assert "exists already" in last_error(capsys) and files(tmp_path / "out") == ["b.nii.gz"]
    assert main([*command, "--skip-existing"]) == 0
    assert "1 of 2 images segmented, 1 skipped" in capsys.readouterr().err
    assert (tmp_path / "out" / "b.nii.gz").read_text() == "earlier"
    assert main([*command, "--overwrite"]) == 0
    assert nib.load(tmp_path / "out" / "b.nii.gz").shape == (9, 8, 7)


def test_label_maps_of_others_get_no_names(
    tmp_path: Path, bundle: Path, scan: Scan, capsys: pytest.CaptureFixture[str]
) -> None:
    image = scan("a.nii.gz")
    aseg = np.random.default_rng(0).choice([0, 2, 41], (9, 8, 7)).astype(np.uint8)
    nib.save(nib.Nifti1Image(aseg, nib.load(image).affine), tmp_path / "there.nii.gz")
    command = ["segment", str(image), "-o", str(tmp_path / "there.nii.gz"), "--bundle", str(bundle)]
    assert main([*command, "--skip-existing", "--volumes", str(tmp_path / "v.json")]) == 1
    assert "there.nii.gz holds the label 41, which this network does not draw" in capsys.readouterr().err
    assert not (tmp_path / "v.json").exists()


def test_volumes_and_their_table(tmp_path: Path, bundle: Path, scan: Scan, capsys: pytest.CaptureFixture[str]) -> None:
    images, out = [str(scan("a.nii.gz")), str(scan("b.nii.gz"))], tmp_path / "out"
    report, table = tmp_path / "reports" / "v.json", tmp_path / "tables" / "v.CSV"
    command = ["segment", *images, "-o", str(out), "--bundle", str(bundle)]
    assert main([*command, "--volumes", str(table)]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"wrote {table}"
    assert main([*command, "--volumes", str(table)]) == 2
    others = f"{out / 'a.nii.gz'} and 2 more exist already; add --overwrite or --skip-existing."
    assert last_error(capsys) == f"error: {others}"
    assert main([*command, "--volumes", str(report), "--overwrite"]) == 0
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
    assert main([*command, "--volumes", str(report), "--skip-existing"]) == 0
    again = json.loads(report.read_text())
    assert [entry["labels"] for entry in again["images"]] == [entry["labels"] for entry in content["images"]]
    assert [entry["phi"] for entry in again["images"]] == [None, None]


def test_preview(tmp_path: Path, bundle: Path, scan: Scan, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["segment", str(scan()), "-o", str(tmp_path / "out"), "--bundle", str(bundle), "--preview"]
    assert main([*command, "--suffix", "_seg"]) == 0
    out = tmp_path / "out"
    assert capsys.readouterr().err == f"wrote {out / 'scan_seg.nii.gz'}, {out / 'scan_seg_preview.png'}\n"
    assert files(tmp_path / "out") == ["scan_seg.nii.gz", "scan_seg_preview.png"]
    with Image.open(tmp_path / "out" / "scan_seg_preview.png") as picture:
        assert picture.format == "PNG"


def test_pictures_for_a_network_of_pictures(tmp_path: Path, write_bundle: Callable[..., Path]) -> None:
    folder = write_bundle(tmp_path / "b", 2, channels=("red", "green", "blue"), label_values=(0, 128, 255))
    pixels = np.random.default_rng(0).integers(0, 255, (11, 17, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cell.png")
    report = tmp_path / "v.json"
    command = ["segment", str(tmp_path / "cell.png"), "-o", str(tmp_path / "out"), "--bundle", str(folder)]
    assert main([*command, "--preview", "--volumes", str(report)]) == 0
    with Image.open(tmp_path / "out" / "cell.png") as label:
        assert label.size == (17, 11)
        values = np.asarray(label)
    assert set(np.unique(values)) <= {0, 128, 255} and len(np.unique(values)) > 1
    measured = json.loads(report.read_text())["images"][0]["labels"]
    assert [entry["label"] for entry in measured] == [128, 255]
    assert [entry["voxels"] for entry in measured] == [(values == 128).sum(), (values == 255).sum()]
    assert all(entry["volume"] is None for entry in measured)


def test_phi_out_of_the_trained_range_is_told(
    tmp_path: Path, bundle: Path, scan: Scan, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["segment", str(scan()), "-o", str(tmp_path / "a.nii.gz"), "--bundle", str(bundle), "--overwrite"]
    assert main([*command, "--phi", "0.9"]) == 0
    assert "warning: the network was trained for phi from 0 to 0.5, not for 0.9." in capsys.readouterr().err
    assert main([*command, "--phi", "0.5"]) == 0
    assert "warning" not in capsys.readouterr().err


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
    ],
)
def test_usage_errors_leave_nothing(
    tmp_path: Path,
    bundle: Path,
    scan: Scan,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    usual = {"-o": str(tmp_path / "out"), "--bundle": str(bundle)}
    given = [word for name, value in usual.items() if name not in arguments for word in (name, value)]
    assert main(["segment", str(scan()), *given, *arguments]) == 2
    assert message in last_error(capsys)
    assert not (tmp_path / "out").exists()


def test_missing_device_falls_back_aloud(
    tmp_path: Path, bundle: Path, scan: Scan, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "a.nii.gz"
    assert main(["segment", str(scan()), "-o", str(output), "--bundle", str(bundle), "--device", "cuda:63"]) == 0
    assert "warning: device cuda:63 is not on this machine" in capsys.readouterr().err
    assert output.exists()


def test_full_disk_is_one_sentence(
    tmp_path: Path, bundle: Path, scan: Scan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    image = scan()
    monkeypatch.setattr(labels.nib, "save", full)
    assert main(["segment", str(image), "-o", str(tmp_path / "out"), "--bundle", str(bundle)]) == 1
    assert "No space left on device" in last_error(capsys)
    assert files(tmp_path / "out") == []


def test_interruption_leaves_no_partial_file(
    tmp_path: Path, bundle: Path, scan: Scan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [str(scan("a.nii.gz")), str(scan("b.nii.gz"))]
    save = labels.nib.save

    def interrupted(image: nib.Nifti1Image, path: Path) -> None:
        save(image, path)
        if any(file.name == "a.nii.gz" for file in (tmp_path / "out").iterdir()):
            raise KeyboardInterrupt

    monkeypatch.setattr(labels.nib, "save", interrupted)
    assert main(["segment", *images, "-o", str(tmp_path / "out"), "--bundle", str(bundle)]) == 130
    assert files(tmp_path / "out") == ["a.nii.gz"]
    assert "Traceback" not in capsys.readouterr().err


def test_unexpected_error_of_one_image(
    tmp_path: Path, bundle: Path, scan: Scan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    segment = Segmenter.segment

    def sometimes(self: Segmenter, image: object, phi: object) -> np.ndarray:
        if "a.nii" in image.meta["filename_or_obj"]:  # type: ignore[attr-defined]
            raise RuntimeError("cuDNN error\nand its story")
        return segment(self, image, phi)  # type: ignore[arg-type]

    monkeypatch.setattr(Segmenter, "segment", sometimes)
    images = [str(scan("a.nii.gz")), str(scan("b.nii.gz"))]
    command = ["segment", *images, "-o", str(tmp_path / "out"), "--bundle", str(bundle)]
    assert main(command) == 1
    line = last_error(capsys)
    assert line.endswith("a.nii.gz: unexpected RuntimeError: cuDNN error; run with --debug for the traceback")
    assert files(tmp_path / "out") == ["b.nii.gz"]
    assert main([*command, "--debug", "--overwrite"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_warnings_of_reading_are_shown_and_logging_is_left_alone(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voxels = np.random.default_rng(0).random((6, 5, 4))
    voxels[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / "a.nii.gz")
    before = logging.getLogger("monai_hyperscale").handlers[:]
    assert main(["segment", str(tmp_path / "a.nii.gz"), "-o", str(tmp_path / "out"), "--bundle", str(bundle)]) == 0
    assert "warning: " in (text := capsys.readouterr().err) and "1 voxels that are NaN or infinite" in text
    assert logging.getLogger("monai_hyperscale").handlers == before


def test_windows_by_max_voxels(tmp_path: Path, write_bundle: Callable[..., Path], scan: Scan) -> None:
    folder = write_bundle(tmp_path / "b", roi_size=(8, 8, 8))
    image = scan(shape=(20, 9, 8))
    for name, extra in (("whole", []), ("windows", ["--max-voxels", "100"])):
        output = tmp_path / f"{name}.nii.gz"
        assert main(["segment", str(image), "-o", str(output), "--bundle", str(folder), *extra]) == 0
    segmenter = Segmenter.from_bundle(folder, max_voxels=100)
    expected = segmenter.segment(read_image(image), 0.5)
    assert np.array_equal(np.asarray(nib.load(tmp_path / "windows.nii.gz").dataobj), expected)
    assert not np.array_equal(np.asarray(nib.load(tmp_path / "whole.nii.gz").dataobj), expected)


def test_channels_in_files_of_their_own(
    tmp_path: Path, write_bundle: Callable[..., Path], scan: Scan, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_bundle(tmp_path / "b", channels=("FLAIR", "T1w"))
    paths = [scan("in/a_0000.nii.gz"), scan("in/a_0001.nii.gz")]
    scan("in/b_0000.nii.gz"), scan("in/b_0001.nii.gz", (9, 8, 6))
    report = tmp_path / "v.json"
    command = ["segment", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--bundle", str(folder)]
    assert main([*command, "--volumes", str(report), "--preview"]) == 1
    assert "b_0001.nii.gz has 9x8x6 voxels" in last_error(capsys)
    assert files(tmp_path / "out") == ["a.nii.gz", "a_preview.png"]
    expected = Segmenter.from_bundle(folder).segment(read_image(paths, 2), 0.5)
    assert np.array_equal(np.asarray(nib.load(tmp_path / "out" / "a.nii.gz").dataobj), expected)
    assert json.loads(report.read_text())["images"][0]["image"] == [str(path) for path in paths]
    (tmp_path / "in" / "b_0001.nii.gz").unlink()
    assert main([*command, "--overwrite"]) == 2
    assert "b has the channel files 0000, but the network takes 2 channels" in last_error(capsys)


@pytest.mark.parametrize(("unit", "factor"), [("micron", 1e-9), ("mm", 1), ("meter", 1e9), ("unknown", 1)])
def test_volumes_are_in_cubic_millimetres_whatever_the_unit(
    tmp_path: Path, bundle: Path, scan: Scan, unit: str, factor: float
) -> None:
    image = nib.load(scan())
    image.header.set_xyzt_units(unit, "sec")
    nib.save(image, tmp_path / "in.nii.gz")
    command = ["segment", f"{tmp_path}/in.nii.gz", "-o", f"{tmp_path}/out.nii.gz", "--bundle", str(bundle)]
    assert main([*command, "--volumes", f"{tmp_path}/v.json"]) == 0
    written = nib.load(tmp_path / "out.nii.gz")
    assert written.header.get_xyzt_units() == (unit, "sec")
    assert np.array_equal(written.affine, image.affine)
    counts = np.bincount(np.asanyarray(written.dataobj).ravel(), minlength=3)
    labels = json.loads((tmp_path / "v.json").read_text())["images"][0]["labels"]
    voxel = abs(np.linalg.det(image.affine[:3, :3])) * factor
    assert counts[1:].sum() > 0
    assert np.allclose([label["volume"] for label in labels], counts[1:] * voxel, rtol=1e-6)


def test_a_header_that_leaves_a_choice(
    tmp_path: Path, bundle: Path, scan: Scan, capsys: pytest.CaptureFixture[str]
) -> None:
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
        command = ["segment", f"{tmp_path}/{name}.nii", "-o", str(output), "--bundle", str(bundle)]
        assert main([*command, *options]) == 0
        said = capsys.readouterr().err
        assert (f"{name}.nii {told}" in said) if told else "warning" not in said
        expected = segmenter.segment(read_image(tmp_path / f"{name}.nii", placement=place))
        written.append(np.asarray(nib.load(output).dataobj))
        assert np.array_equal(written[-1], expected)
    assert not np.array_equal(written[0], written[1]) and not np.array_equal(written[2], written[3])
    assert main(["segment", f"{tmp_path}/two.nii", "-o", f"{tmp_path}/x.nii", "--orientation", "up"]) == 2
    assert "--orientation is three letters" in last_error(capsys)
