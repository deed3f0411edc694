import errno
import hashlib
import json
import os
from dataclasses import replace

import pytest
import torch

from monai_hyperscale.data import read_dataset, write_synthetic_dataset
from monai_hyperscale.errors import ExportError
from monai_hyperscale.export import fold as folding
from monai_hyperscale.export import fold_bundle, load_folded, read_manifest
from monai_hyperscale.export.formats import FORMATS
from monai_hyperscale.export.source import FoldSource, Inputs
from monai_hyperscale.io import read_image

pytest.importorskip("safetensors", reason="needs the export extra")

LIGHT = ["torchscript", "safetensors"]


def reference(bundle, phi):
    """The hypernetwork itself."""
    source = FoldSource.from_bundle(bundle, phi)
    return lambda x: source.network(x, phi=phi)


def check_files(out, network, shapes):
    """Compare both light files with a network on images of these shapes."""
    files = [torch.jit.load(out / "models/model.ts"), load_folded(out / "models/model.safetensors")]
    with torch.no_grad():
        for shape in shapes:
            x = torch.rand(shape)
            for file in files:
                torch.testing.assert_close(file(x), network(x), atol=1e-5, rtol=0)


def left(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "bundle")


@pytest.fixture
def spoiled(monkeypatch):
    """TorchScript files whose network gives another output."""
    form = FORMATS["torchscript"]

    def write(*arguments):
        run = form.write(*arguments)
        return lambda x: 1.01 * run(x)

    monkeypatch.setitem(FORMATS, "torchscript", replace(form, write=write))


def test_files_compute_what_the_network_does_and_the_manifest_tells_everything(segmentation, tmp_path):
    bundle = segmentation()
    returned = fold_bundle(bundle, 0.3, tmp_path / "out", LIGHT)
    network, other = reference(bundle, 0.3), reference(bundle, 0.5)
    check_files(tmp_path / "out", network, ((1, 1, 24, 20), (3, 1, 31, 9), (1, 1, 2, 1)))
    with torch.no_grad():
        x = torch.rand(1, 1, 24, 20)
        assert (network(x) - other(x)).abs().max() > 1e-4
    manifest = read_manifest(tmp_path / "out")
    assert manifest == json.loads(json.dumps(returned))
    assert manifest["phi"] == [0.3] and manifest["task"] == "segmentation"
    assert manifest["source"]["bundle"] == "bundle"
    weights = (bundle / "models/model.pt").read_bytes()
    assert manifest["source"]["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert manifest["versions"]["torch"] == torch.__version__
    files = {entry["path"]: entry for entry in manifest["files"]}
    assert set(files) == {"models/model.ts", "models/model.safetensors"}
    for name, entry in files.items():
        content = (tmp_path / "out" / name).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert entry["largest_difference"] <= 1e-4 and entry["label_agreement"] == 1.0
        assert entry["sizes"] == "any" and len(entry["verified_shapes"]) == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "frontier"}, "holds no fold"),
        ({"format": 2}, "not a manifest that this version reads: format: input should be 1, got 2; fold"),
        ({"phi": [1.5]}, r"phi\[0\]: input should be less than or equal to 1, got 1.5"),
        ({"files": [{"path": "x", "bytes": 3}]}, r"files\[0\].sha256 is missing"),
    ],
)
def test_manifests_that_this_version_does_not_read(segmentation, tmp_path, change, said):
    bundle = segmentation()
    content = fold_bundle(bundle, 0.3, tmp_path / "out", ["safetensors"])
    (tmp_path / "out" / "manifest.json").write_text(json.dumps({**content, "later": 1}))
    assert read_manifest(tmp_path / "out") == {**content, "later": 1}
    (tmp_path / "out" / "manifest.json").write_text(json.dumps({**content, **change}))
    with pytest.raises(ExportError, match=said):
        read_manifest(tmp_path / "out")
    with pytest.raises(ExportError, match="not a folder that fold wrote"):
        fold_bundle(bundle, 0.3, tmp_path / "out", ["safetensors"], overwrite=True)


def test_compared_on_a_case_of_a_data_set(segmentation, tmp_path):
    dataset = write_synthetic_dataset(tmp_path / "shapes", spatial_dims=2, cases=2, size=24, labels=2)
    image = read_image(read_dataset(dataset).cases[0]["image"])
    bundle = segmentation()
    manifest = fold_bundle(bundle, 0.3, tmp_path / "out", ["safetensors"], dataset_dir=dataset)
    assert manifest["verified_on"]["data"] == {"name": "shapes", "part": "test", "case": "case_000"}
    assert not manifest["verified_on"]["synthetic"] and manifest["cost"]["size"] == list(image.shape[1:])
    with pytest.raises(ExportError, match="both say what to compare on; leave one out"):
        fold_bundle(bundle, 0.3, tmp_path / "other", ["safetensors"], [image], dataset_dir=dataset)
    assert not (tmp_path / "other").exists()


def test_a_registration_network(registration, tmp_path):
    bundle = registration(passes=2)
    manifest = fold_bundle(bundle, 0.25, tmp_path / "out", LIGHT)
    assert all(entry["label_agreement"] is None for entry in manifest["files"])
    check_files(tmp_path / "out", reference(bundle, 0.25), [(1, 2, 9, 8, 7)])
    with torch.no_grad():
        assert reference(bundle, 0.25)(torch.rand(1, 2, 9, 8, 7)).abs().max() > 0.01


@pytest.mark.parametrize("rescale_input", [False, True])
def test_a_factor_per_level(segmentation, tmp_path, rescale_input):
    """With a factor of the input in front where that has one; the files are folds of exactly these factors."""
    bundle = segmentation(per_level=True, rescale_input=rescale_input)
    phi = (0.8, 0.5, 0.2)[not rescale_input :]
    assert fold_bundle(bundle, phi, tmp_path / "out", LIGHT)["phi"] == list(phi)
    check_files(tmp_path / "out", reference(bundle, phi), [(1, 1, 24, 20), (1, 1, 9, 1)])
    with torch.no_grad():
        x = torch.rand(1, 1, 24, 20)
        assert (reference(bundle, phi)(x) - reference(bundle, phi[::-1])(x)).abs().max() > 1e-3


def test_a_weight_of_smoothness(registration, tmp_path):
    bundle = registration(2, regularization=(0.0, 1.0))
    manifest = fold_bundle(bundle, 0.3, tmp_path / "out", LIGHT, regularization=0.8)
    assert (manifest["phi"], manifest["regularization"]) == ([0.3], [0.8])
    source = FoldSource.from_bundle(bundle, 0.3)
    check_files(tmp_path / "out", lambda x: source.network(x, phi=0.3, regularization=0.8), [(1, 2, 9, 8)])


def test_a_file_that_differs_is_refused_and_leaves_what_was_there(segmentation, tmp_path, spoiled):
    bundle = segmentation()
    with pytest.raises(ExportError, match="TorchScript gives something else than the network.*nothing was written"):
        fold_bundle(bundle, 0.3, tmp_path / "new" / "out", LIGHT)
    assert left(tmp_path) == []
    fold_bundle(bundle, 0.3, tmp_path / "out", ["safetensors"])
    before = (tmp_path / "out/manifest.json").read_bytes()
    with pytest.raises(ExportError, match="something else"):
        fold_bundle(bundle, 0.4, tmp_path / "out", LIGHT, overwrite=True)
    assert left(tmp_path) == ["out"] and (tmp_path / "out/manifest.json").read_bytes() == before


def test_a_full_disk(segmentation, tmp_path, monkeypatch):
    def replace_(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    bundle = segmentation()
    monkeypatch.setattr(folding.os, "replace", replace_)
    with pytest.raises(ExportError, match="cannot be written .No space left on device."):
        fold_bundle(bundle, 0.3, tmp_path / "out", ["safetensors"])
    assert left(tmp_path) == []


def test_a_network_that_only_goes_for_one_size(segmentation, tmp_path, monkeypatch):
    """As those whose sizes torch cannot record: the file is for one size, and that is said."""
    form = FORMATS["safetensors"]

    def write(source, path, example, dynamic):
        if dynamic:
            raise RuntimeError("sizes are not known")
        return form.write(source, path, example, dynamic)

    monkeypatch.setitem(FORMATS, "safetensors", replace(form, write=write, fixed=True))
    said = []
    source = FoldSource.from_bundle(segmentation(), 0.3)
    manifest = folding.write_fold(source, tmp_path / "out", ["safetensors"], size=(18, 14), tell=said.append)
    assert manifest.files[0].sizes == "1 x 1 x 18 x 14"
    assert manifest.files[0].verified_shapes == [[1, 1, 18, 14]]
    assert "one size only, 1 x 1 x 18 x 14" in said[0]


def test_what_cannot_be_written_is_left_out_or_refused(segmentation, tmp_path, monkeypatch):
    def write(*_):
        raise RuntimeError("no such operator.\nAnd a long story.")

    for name in ("onnx", "torch-export"):
        monkeypatch.setitem(FORMATS, name, replace(FORMATS[name], write=write, packages=()))
    bundle = segmentation()
    with pytest.raises(ExportError, match="formats must be some of bundle, torchscript.*got tflite"):
        fold_bundle(bundle, 0.3, tmp_path / "out", ["tflite"])
    manifest = fold_bundle(bundle, 0.3, tmp_path / "out")
    assert manifest["left_out"] == {
        "torch-export": "torch.export cannot hold this network (no such operator)",
        "onnx": "ONNX cannot hold this network (no such operator)",
    }
    assert not (tmp_path / "out/models/model.onnx").exists() and (tmp_path / "out/configs/inference.json").is_file()
    with pytest.raises(ExportError, match="ONNX cannot hold this network"):
        fold_bundle(bundle, 0.3, tmp_path / "other", ["onnx"])
    monkeypatch.setitem(FORMATS, "onnx", replace(FORMATS["onnx"], packages=("no_such_package",)))
    with pytest.raises(ExportError, match="ONNX needs no_such_package: pip install"):
        fold_bundle(bundle, 0.3, tmp_path / "other", ["onnx"])
    assert left(tmp_path) == ["out"]


def test_folders_that_may_not_be_made(segmentation, tmp_path):
    bundle = segmentation()
    out = tmp_path / "out"
    for place in (bundle, bundle / "folded", tmp_path):
        with pytest.raises(ExportError, match="lies in the bundle"):
            fold_bundle(bundle, 0.3, place, ["safetensors"])
    out.write_text("a file")
    with pytest.raises(ExportError, match="is a file"):
        fold_bundle(bundle, 0.3, out, ["safetensors"])
    with pytest.raises(ExportError, match="cannot be made"):
        fold_bundle(bundle, 0.3, out / "below", ["safetensors"])
    out.unlink()
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    with pytest.raises(ExportError, match="exists already; add --overwrite"):
        fold_bundle(bundle, 0.3, out, ["safetensors"])
    with pytest.raises(ExportError, match="not a folder that fold wrote"):
        fold_bundle(bundle, 0.3, out, ["safetensors"], overwrite=True)
    assert (out / "thesis.tex").read_text() == "mine"
    (out / "thesis.tex").unlink()
    fold_bundle(bundle, 0.3, out, ["safetensors"])  # an empty folder is as good as none
    fold_bundle(bundle, 0.4, out, ["safetensors"], overwrite=True)
    assert read_manifest(out)["phi"] == [0.4] and left(tmp_path) == ["out"]


def test_safetensors_that_are_damaged_or_of_others(segmentation, tmp_path):
    from safetensors.torch import save

    fold_bundle(segmentation(), 0.3, tmp_path / "out", ["safetensors"])
    path = tmp_path / "out/models/model.safetensors"
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"{}" * 50, save({"weight": torch.zeros(2)})):
        path.write_bytes(content)
        with pytest.raises(ExportError, match="damaged or was not written by fold"):
            load_folded(path)


@pytest.mark.parametrize("size", [None, (17, 30)])
def test_inputs_of_any_size(segmentation, size):
    source = FoldSource.from_bundle(segmentation(), 0.1)
    inputs = Inputs(source, size=size)
    assert inputs.example().shape == (1, 1, *(size or (24, 20)))
    several = inputs.several()
    assert len({tuple(x.shape) for x in several}) == 4 and any(len(x) > 1 for x in several)
    assert all(x.isfinite().all() for x in several) and inputs.example().std() > 0.5
    # No map of what is recorded is a single voxel: two levels of 0.1.
    assert max(inputs.tracing().shape[2:]) * 0.1 * 0.1 >= 2


def test_all_formats(segmentation, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    bundle = segmentation(network={"features": (4, 4), "convolutions": 1})
    manifest = fold_bundle(bundle, 0.3, tmp_path / "out")
    assert manifest["left_out"] == {} and manifest["bundle"] == {"label_agreement": 1.0}
    entries = {entry.get("format"): entry for entry in manifest["files"]}
    assert {name: entries[name]["sizes"] for name in FORMATS} == dict.fromkeys(FORMATS, "any")
    session = onnxruntime.InferenceSession(tmp_path / "out/models/model.onnx")
    assert session.get_inputs()[0].shape == ["batch", 1, "x", "y"] and entries["onnx"]["opset"] == 20
    program = torch.export.load(tmp_path / "out/models/model.pt2").module()
    network = reference(bundle, 0.3)
    # Sizes that were not compared before.
    for shape in ((1, 1, 64, 50), (3, 1, 13, 11), (1, 1, 1, 2)):
        x = torch.rand(shape)
        with torch.no_grad():
            expected = network(x)
            torch.testing.assert_close(program(x), expected, atol=1e-5, rtol=0)
            found = torch.from_numpy(session.run(None, {"image": x.numpy()})[0])
            assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
