from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monai_hyperscale.cli import fold
from monai_hyperscale.data import read_dataset
from monai_hyperscale.export import CHOICES
from monai_hyperscale.io import read_image
from tests.cli.commands import Run, Write

pytest.importorskip("safetensors", reason="needs the export extra")

LIGHT = ["--format", "torchscript,safetensors"]


@pytest.fixture
def folded(run: Run, bundle: Path, tmp_path: Path) -> Callable[..., tuple[list[str], dict[str, Any]]]:
    """Return a function that folds at phi 0.3 into ``out``, and gives what is said and what stands in the manifest."""

    def call(*words: object, source: Path = bundle, code: int = 0) -> tuple[list[str], dict[str, Any]]:
        phi = () if "--phi" in words else ("--phi", 0.3)
        out = () if "-o" in words else ("-o", tmp_path / "out")
        light = () if "--format" in words else LIGHT
        said, manifest = run("fold", source, *phi, *out, *light, *words, code=code), tmp_path / "out" / "manifest.json"
        return said.err.splitlines(), json.loads(manifest.read_text()) if manifest.is_file() else {}

    return call


def test_formats_are_those_of_the_package() -> None:
    assert set(fold.FORMATS) == set(CHOICES)


def test_files_and_what_is_said(folded: Any, tmp_path: Path) -> None:
    lines, manifest = folded("--size", "14,10,12")
    assert [line.partition(":")[0] for line in lines[:2]] == ["models/model.ts", "models/model.safetensors"]
    assert lines[-1].startswith(f"wrote {tmp_path / 'out'}: ") and "at phi 0.3" in lines[-1]
    way_out = "for a real one add --dataset DIR or --image FILE"
    assert lines[-2] == f"compared with the network on synthetic anatomy, no real image; {way_out}"
    assert f", {manifest['cost']['flops'] / 1e9:.3g} GFLOPs for 14 x 10 x 12 voxels, " in lines[-1]
    assert manifest["verified_on"] == {"input": "synthetic anatomy", "synthetic": True, "tolerance": 1e-4}
    assert manifest["phi"] == [0.3] and manifest["cost"]["size"] == [14, 10, 12]
    assert sorted(path.name for path in (tmp_path / "out/models").iterdir()) == ["model.safetensors", "model.ts"]


def test_compared_on_an_image(folded: Any, tmp_path: Path, scan: Write) -> None:
    lines, manifest = folded("--format", "bundle", "--image", scan(shape=(14, 12, 11)))
    assert manifest["verified_on"]["input"] == "scan.nii.gz" and manifest["bundle"] == {"label_agreement": 1.0}
    assert manifest["cost"]["size"] == [14, 12, 11]
    assert any("MONAI bundle" in line and "100.0000%" in line for line in lines)
    assert lines[-2] == "compared with the network on scan.nii.gz"
    assert "measured on scan.nii.gz. Hashes" in (tmp_path / "out/docs/README.md").read_text()


def test_compared_on_a_test_case(folded: Any, write_bundle: Write, dataset: Path, tmp_path: Path) -> None:
    facts = {"data": "shapes", "cases": {"test": ["case_002", "case_001"]}}
    source = write_bundle(tmp_path / "net", 2, channels=("grey",), provenance=facts)
    lines, manifest = folded("--dataset", dataset, source=source)
    (image,) = (Path(case["image"]) for case in read_dataset(dataset).cases if case["name"] == "case_002")
    data = {"name": "shapes", "part": "test", "case": "case_002"}
    verified = {"input": image.name, "synthetic": False, "data": data, "tolerance": 1e-4}
    assert manifest["verified_on"] == verified
    assert manifest["cost"]["size"] == list(read_image(image).shape[1:])
    assert lines[-2] == f"compared with the network on {image.name} (test case case_002 of shapes)"
    assert str(tmp_path) not in json.dumps(manifest)


def test_compared_on_a_pair_of_test_cases(
    folded: Any, write_registration_bundle: Write, dataset: Path, tmp_path: Path
) -> None:
    facts = {"data": "shapes", "cases": {"test": ["case_002", "case_001"]}}
    source = write_registration_bundle(tmp_path / "net", 2, channels=("grey",), sizes=(32, 32), provenance=facts)
    verified = folded("--dataset", dataset, source=source)[1]["verified_on"]
    assert verified["data"]["case"] in ("case_002 to case_001", "case_001 to case_002")
    names = [name.partition(".")[0] for name in verified["input"].split(", ")]
    assert names == verified["data"]["case"].split(" to ")


def test_a_data_set_of_other_images_is_told(folded: Any, dataset: Path, tmp_path: Path) -> None:
    (line,), _ = folded("--dataset", dataset, code=1)
    assert line.startswith("error: the network takes 3D images of 1 channels (MRI), those of ") and "are 2D" in line
    assert len(folded("--dataset", tmp_path, code=1)[0]) == 1
    assert "none does not exist" in folded("--dataset", tmp_path / "none", code=2)[0][0]
    lines, _ = folded("--dataset", dataset, "--image", "a.nii.gz", code=2)
    assert "--dataset and --image exclude each other" in lines[-1] and not (tmp_path / "out").exists()


def test_a_pair(folded: Any, registration_bundle: Path, scan: Write) -> None:
    pair = [scan("a.nii.gz"), scan("fixed.nii.gz")]
    _, manifest = folded("--image", *pair, source=registration_bundle)
    assert manifest["verified_on"]["input"] == "a.nii.gz, fixed.nii.gz"
    lines, _ = folded("--image", pair[0], "--overwrite", source=registration_bundle, code=2)
    told = "a network for registration is compared on the moving and the fixed image, got 1."
    assert lines[-1] == f"error: --image: {told}"


def test_a_factor_per_level(folded: Any, write_bundle: Write, tmp_path: Path) -> None:
    source, light = write_bundle(tmp_path / "bundle", per_level=True), ["--format", "torchscript", "--size", "9,9,9"]
    lines, manifest = folded("--phi", "0.5,0.2", *light, source=source)
    assert "at phi 0.5,0.2" in lines[-1] and manifest["phi"] == [0.5, 0.2]
    lines, _ = folded("--phi", "0.5,0.2,0.1,0.1", *light, "--overwrite", source=source, code=2)
    assert "phi must be one number or 2, one per level; got 4" in lines[-1]


def test_phi_outside_the_trained_range_is_warned_of(folded: Any) -> None:
    lines, manifest = folded("--phi", 0.8, "--size", "9,9,9")
    assert lines[0] == "warning: the network was trained for phi from 0 to 0.5, not for 0.8."
    assert not manifest["source"]["trained_for_phi"]


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
def test_arguments_that_make_no_sense(run: Run, bundle: Path, tmp_path: Path, arguments: list[str], told: str) -> None:
    assert told in run("fold", bundle, "-o", tmp_path / "out", *arguments, code=2).err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def cut_off(bundle: Path) -> None:
    path = bundle / "models" / "model.pt"
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("spoil", "arguments", "code", "told"),
    [
        (lambda bundle: (bundle / "models" / "model.json").unlink(), [], 2, "no description of a trained network"),
        (cut_off, [], 2, "damaged"),
        (None, ["--size", "8,8"], 1, "the size has 3 numbers, one per axis, got [8, 8]"),
        (None, ["--regularization", "0.5"], 2, "takes phi, not regularization"),
        (None, ["--image", "missing.nii.gz"], 2, "missing.nii.gz does not exist"),
        (None, ["-o", "{bundle}/folded"], 2, "lies in the bundle"),
        (None, ["-o", "{tmp}/full"], 2, "exists already; add --overwrite"),
    ],
)
def test_one_sentence_and_nothing_written(
    folded: Any, write_bundle: Write, tmp_path: Path, spoil: Any, arguments: list[str], code: int, told: str
) -> None:
    source = write_bundle(tmp_path / "bundle")
    if spoil:
        spoil(source)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    lines, _ = folded(*(part.format(bundle=source, tmp=tmp_path) for part in arguments), source=source, code=code)
    assert len(lines) == 1 and lines[0].startswith("error: ") and told in lines[0]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="there is no folder in which none can be made")
def test_a_folder_that_is_gone(folded: Any) -> None:
    """As on a disk that is read only: no folder can be made there."""
    (line,), _ = folded("-o", "/proc/nowhere/out", code=1)
    assert line.startswith("error: /proc/nowhere/out cannot be written (")
