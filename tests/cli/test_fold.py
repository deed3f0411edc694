from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from monai_hyperscale.cli import fold
from monai_hyperscale.cli.main import main
from monai_hyperscale.data import read_dataset, write_synthetic_dataset
from monai_hyperscale.export import CHOICES
from monai_hyperscale.io import read_image

pytest.importorskip("safetensors", reason="needs the export extra")

LIGHT = ["--format", "torchscript,safetensors"]


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_formats_are_those_of_the_package() -> None:
    assert set(fold.FORMATS) == set(CHOICES)


def test_files_and_what_is_said(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "out"
    assert main(["fold", str(bundle), "--phi", "0.3", "-o", str(out), *LIGHT, "--size", "14,10,12"]) == 0
    lines = said(capsys)
    assert [line.partition(":")[0] for line in lines[:2]] == ["models/model.ts", "models/model.safetensors"]
    assert lines[-1].startswith(f"wrote {out}: ") and "at phi 0.3" in lines[-1]
    way_out = "for a real one add --dataset DIR or --image FILE"
    assert lines[-2] == f"compared with the network on synthetic anatomy, no real image; {way_out}"
    manifest = json.loads((out / "manifest.json").read_text())
    assert f", {manifest['cost']['flops'] / 1e9:.3g} GFLOPs for 14 x 10 x 12 voxels, " in lines[-1]
    assert manifest["verified_on"] == {"input": "synthetic anatomy", "synthetic": True, "tolerance": 1e-4}
    assert manifest["phi"] == [0.3] and manifest["cost"]["size"] == [14, 10, 12]
    assert sorted(path.name for path in (out / "models").iterdir()) == ["model.safetensors", "model.ts"]


def test_compared_on_an_image(
    bundle: Path, tmp_path: Path, scan: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    image, out = scan(shape=(14, 12, 11)), tmp_path / "out"
    assert main(["fold", str(bundle), "--phi", "0.3", "-o", str(out), "--format", "bundle", "--image", str(image)]) == 0
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["verified_on"]["input"] == "scan.nii.gz" and manifest["bundle"] == {"label_agreement": 1.0}
    assert manifest["cost"]["size"] == [14, 12, 11]
    lines = said(capsys)
    assert any("MONAI bundle" in line and "100.0000%" in line for line in lines)
    assert lines[-2] == "compared with the network on scan.nii.gz"
    assert "measured on scan.nii.gz. Hashes" in (out / "docs" / "README.md").read_text()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shapes"
    return Path(write_synthetic_dataset(folder, spatial_dims=2, cases=4, size=24, labels=2))


def test_compared_on_a_test_case(
    write_bundle: Callable[..., Path], dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = {"data": "shapes", "cases": {"test": ["case_002", "case_001"]}}
    bundle, out = write_bundle(tmp_path / "net", 2, channels=("grey",), provenance=facts), tmp_path / "out"
    assert main(["fold", str(bundle), "--phi", "0.3", "-o", str(out), *LIGHT, "--dataset", str(dataset)]) == 0
    manifest = json.loads((out / "manifest.json").read_text())
    (image,) = (Path(case["image"]) for case in read_dataset(dataset).cases if case["name"] == "case_002")
    data = {"name": "shapes", "part": "test", "case": "case_002"}
    verified = {"input": image.name, "synthetic": False, "data": data, "tolerance": 1e-4}
    assert manifest["verified_on"] == verified
    assert manifest["cost"]["size"] == list(read_image(image).shape[1:])
    lines = said(capsys)
    assert lines[-2] == f"compared with the network on {image.name} (test case case_002 of shapes)"
    assert str(tmp_path) not in (out / "manifest.json").read_text()


def test_compared_on_a_pair_of_test_cases(
    write_registration_bundle: Callable[..., Path], dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = {"data": "shapes", "cases": {"test": ["case_003", "case_001"]}}
    bundle = write_registration_bundle(tmp_path / "net", 2, channels=("grey",), sizes=(32, 32), provenance=facts)
    out = tmp_path / "out"
    assert main(["fold", str(bundle), "--phi", "0.3", "-o", str(out), *LIGHT, "--dataset", str(dataset)]) == 0
    verified = json.loads((out / "manifest.json").read_text())["verified_on"]
    assert verified["data"]["case"] in ("case_003 to case_001", "case_001 to case_003")
    moving, fixed = verified["data"]["case"].split(" to ")
    assert [name.partition(".")[0] for name in verified["input"].split(", ")] == [moving, fixed]


def test_a_data_set_of_other_images_is_told(
    bundle: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["fold", str(bundle), "--phi", "0.3", "-o", str(out), *LIGHT, "--dataset"]
    assert main([*arguments, str(dataset)]) == 1
    (line,) = said(capsys)
    assert line.startswith("error: the network takes 3D images of 1 channels (MRI), those of ") and "are 2D" in line
    assert main([*arguments, str(tmp_path)]) == 1 and len(said(capsys)) == 1
    assert main([*arguments, str(tmp_path / "none")]) == 2 and "none does not exist" in said(capsys)[0]
    assert main([*arguments, str(dataset), "--image", "a.nii.gz"]) == 2
    assert "--dataset and --image exclude each other" in said(capsys)[-1] and not out.exists()


def test_a_pair(
    registration_bundle: Path, tmp_path: Path, scan: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    pair = [str(scan("a.nii.gz")), str(scan("fixed.nii.gz"))]
    out = tmp_path / "out"
    arguments = ["fold", str(registration_bundle), "--phi", "0.3", "-o", str(out), *LIGHT, "--image"]
    assert main([*arguments, *pair]) == 0
    assert json.loads((out / "manifest.json").read_text())["verified_on"]["input"] == "a.nii.gz, fixed.nii.gz"
    assert main([*arguments, pair[0], "--overwrite"]) == 2
    assert (
        said(capsys)[-1]
        == "error: --image: a network for registration is compared on the moving and the fixed image, got 1."
    )


def test_a_factor_per_level(
    write_bundle: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = write_bundle(tmp_path / "bundle", per_level=True), tmp_path / "out"
    light = ["-o", str(out), "--format", "torchscript", "--size", "9,9,9"]
    assert main(["fold", str(folder), "--phi", "0.5,0.2", *light]) == 0
    assert "at phi 0.5,0.2" in said(capsys)[-1]
    assert json.loads((out / "manifest.json").read_text())["phi"] == [0.5, 0.2]
    assert main(["fold", str(folder), "--phi", "0.5,0.2,0.1,0.1", *light, "--overwrite"]) == 2
    assert "phi must be one number or 2, one per level; got 4" in said(capsys)[-1]


def test_phi_outside_the_trained_range_is_warned_of(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fold", str(bundle), "--phi", "0.8", "-o", str(tmp_path / "out"), *LIGHT, "--size", "9,9,9"]) == 0
    assert said(capsys)[0] == "warning: the network was trained for phi from 0 to 0.5, not for 0.8."
    assert not json.loads((tmp_path / "out/manifest.json").read_text())["source"]["trained_for_phi"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--phi", "1.5"], "phi must be a number between 0 and 1"),
        (["--phi", "0.3", "--format", "bundle,tflite"], "formats are bundle, torchscript, torch-export, onnx, saf"),
        (["--phi", "0.3", "--size", "8,x"], "a size is two or three whole numbers with commas"),
        (["--phi", "0.3", "--size", "8"], "a size is two or three whole numbers with commas"),
        ([], "--phi"),
    ],
)
def test_arguments_that_make_no_sense(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert main(["fold", str(bundle), "-o", str(tmp_path / "out"), *arguments]) == 2
    assert told in said(capsys)[-1]
    assert not (tmp_path / "out").exists()


def _corrupt_weights(bundle: Path) -> None:
    path = bundle / "models" / "model.pt"
    path.write_bytes(path.read_bytes()[:1000])


def _nothing(bundle: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("spoil", "arguments", "code", "told"),
    [
        (lambda bundle: (bundle / "models" / "model.json").unlink(), [], 2, "no description of a trained network"),
        (_corrupt_weights, [], 2, "damaged"),
        (_nothing, ["--size", "8,8"], 1, "the size has 3 numbers, one per axis, got [8, 8]"),
        (_nothing, ["--regularization", "0.5"], 2, "takes phi, not regularization"),
        (_nothing, ["--image", "missing.nii.gz"], 2, "missing.nii.gz does not exist"),
        (_nothing, ["-o", "{bundle}/folded"], 2, "lies in the bundle"),
        (_nothing, ["-o", "{tmp}/full"], 2, "exists already; add --overwrite"),
        (_nothing, ["-o", "{tmp}/full", "--overwrite"], 2, "not a folder that fold wrote"),
        (_nothing, ["-o", "{tmp}/full/file/out"], 2, "cannot be made"),
    ],
)
def test_one_sentence_and_nothing_written(
    write_bundle: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], None],
    arguments: list[str],
    code: int,
    told: str,
) -> None:
    folder = write_bundle(tmp_path / "bundle")
    spoil(folder)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    filled = [part.format(bundle=folder, tmp=tmp_path) for part in arguments]
    assert main(["fold", str(folder), "--phi", "0.3", "-o", str(tmp_path / "out"), *LIGHT, *filled]) == code
    lines = said(capsys)
    assert len(lines) == 1 and lines[0].startswith("error: ") and told in lines[0]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="there is no folder in which none can be made")
def test_a_folder_that_is_gone(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As on a disk that is read only: no folder can be made there."""
    assert main(["fold", str(bundle), "--phi", "0.3", "-o", "/proc/nowhere/out", *LIGHT]) == 1
    (line,) = said(capsys)
    assert line.startswith("error: /proc/nowhere/out cannot be written (")
