"""What a training of either bundle leaves, on volumes, slices and 2D image files."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.bundle import ckpt_export, verify_net_in_out
from PIL import Image

from monai_hyperscale.bundle import build_network
from monai_hyperscale.cli.main import main
from monai_hyperscale.data import read_dataset, write_synthetic_dataset
from monai_hyperscale.data.headers import seen_images
from monai_hyperscale.io import read_image
from monai_hyperscale.search import read_frontier
from monai_hyperscale.tasks.registration.pair_files import read_pairs
from monai_hyperscale.tasks.registration.registrar import Registrar
from monai_hyperscale.tasks.segmentation.segmenter import Segmenter
from monai_hyperscale.training import best_weights
from tests.bundle.conftest import Trained
from tests.bundle.workflows import KINDS, SMALL, config, of, run, workflow


def test_training_ends_with_a_table_and_a_picture(trained: Trained) -> None:
    folder, settings, frontier = trained.folder, trained.settings, read_frontier(trained.folder)
    assert trained.missing == []
    assert [row.phi for row in frontier.rows] == [(0.2,), (0.5,)] and frontier.metric["name"] == "Dice"
    assert all(0 <= row.score.mean <= 1 and row.flops > 0 and row.latency.median > 0 for row in frontier.rows)
    assert frontier.rows[0].flops < frontier.rows[1].flops
    assert (folder / "score_phi.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "frontier.csv").read_text().startswith("phi,flops,")
    assert (folder / "report.html").read_text().count("<svg") > 1 and not (folder / "unfinished").exists()
    assert (settings.spatial_dims, settings.slices) == (trained.dims, trained.kind == "slices")
    assert settings.method == frontier.bundle["settings"]["method"] == "sshn"
    assert settings.seen.cases == len(settings.provenance["cases"]["train"])
    assert len(settings.provenance["cases"]["test"]) == 2
    if trained.bundle == "sshn_reg":
        assert all(0 < row.extra["before"].mean <= 1 and 0 <= row.extra["folded"].mean <= 1 for row in frontier.rows)
        assert set(frontier.labels.values()) >= {"structure 1", "structure 3"}
        assert settings.in_channels == 2 and settings.out_channels == settings.spatial_dims
        assert "validation_error_removed" in settings.provenance
        # What a refinement of single pairs needs to know of the training's loss.
        assert settings.loss["similarity"] == "mse"
        return
    assert settings.phi_range == (0.0, 0.5)
    assert list(frontier.data["cases"]) == settings.provenance["cases"]["test"]
    dataset = read_dataset(trained.data)
    assert settings.labels == dataset.labels and settings.channels == dataset.channels
    cases = [case for case in dataset.cases if case["name"] in settings.provenance["cases"]["train"]]
    assert settings.seen == seen_images(cases)


def test_tensorboard_has_a_scalar_per_phi(trained: Trained) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained.folder)).Reload()
    name = "val_dice" if trained.bundle == "sshn_seg" else "val_error_removed"
    assert {name, f"{name}_phi_0.20", f"{name}_phi_0.50", "loss", "train_loss"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars(f"{name}_phi_0.20")] == [1, 2]


def test_the_bundle_specification_is_met(trained: Trained, tmp_path: Path) -> None:
    metadata, models = trained.folder / "configs" / "metadata.json", str(trained.folder / "models")
    known = {"meta_file": str(metadata), "config_file": config(trained.bundle, "inference"), "ckpt_dir": models}
    verify_net_in_out(net_id="network_def", device="cpu", n=9, **known)
    content = json.loads(metadata.read_text())["network_data_format"]
    settings = trained.settings
    assert content["inputs"]["image"]["spatial_shape"] == ["n"] * trained.dims
    assert content["inputs"]["image"]["num_channels"] == settings.in_channels
    assert content["outputs"]["pred"]["num_channels"] == settings.out_channels
    shape, exported = [1, settings.in_channels, 9, 11, 7][: 2 + trained.dims], tmp_path / "model.ts"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing tells that sizes are fixed
        known |= {"filepath": str(exported), "ckpt_file": f"{models}/model.pt", "net_id": "network_def"}
        ckpt_export(use_trace=True, input_shape=shape, device="cpu", phi=0.3, **known)
    image, network = torch.rand(shape), best_weights(build_network(settings), trained.folder / "models")
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.load(exported)(image), network(image, 0.3), atol=1e-4, rtol=0)


def test_evaluation_repeats_the_report(trained: Trained, tmp_path: Path) -> None:
    small = {name: value for name, value in SMALL[trained.bundle].items() if name != "val_phi"}
    options = {"ckpt_dir": str(trained.folder / "models"), "dataset_dir": str(trained.data), "phi": [0.2, 0.5]}
    run(trained.bundle, "train", *KINDS[trained.kind], "evaluate", **small, **options, output_dir=str(tmp_path))
    known, found = read_frontier(trained.folder), read_frontier(tmp_path)
    assert found.data == known.data and found.options["fingerprint"] == known.options["fingerprint"]
    # The weights in the file are float16, and so were those of the report after training.
    for a, b in zip(found.rows, known.rows, strict=True):
        assert (a.cases, a.score, a.labels, a.extra, a.flops) == (b.cases, b.score, b.labels, b.extra, b.flops)


def test_the_report_is_what_pareto_measures(trained: Trained, tmp_path: Path) -> None:
    command = ["pareto", str(trained.folder), "--dataset", str(trained.data), "-o", str(tmp_path), "--phi", "0.2,0.5"]
    options = ["--device", "cpu", "--cases", "test", "--repeats", "0", "--no-memory", "--no-report"]
    assert main([*command, *options]) == 0
    known, found = read_frontier(trained.folder), read_frontier(tmp_path)
    for a, b in zip(found.rows, known.rows, strict=True):
        assert (a.score, a.labels, a.cases) == (b.score, b.labels, b.cases)
    assert found.options["fingerprint"] == known.options["fingerprint"]


def inferred(trained: Trained, folder: Path) -> None:
    flow = workflow(
        trained.bundle,
        "inference",
        kind="infer",
        ckpt_dir=str(trained.folder / "models"),
        dataset_dir=str(trained.data),
        output_dir=str(folder),
        phi=0.3,
        device="cpu",
    )
    flow.initialize()
    assert flow.check_properties() == []
    flow.run()


@of("sshn_seg")
def test_inference_of_segmentation_writes_labels_on_the_inputs_grid(trained: Trained, tmp_path: Path) -> None:
    inferred(trained, tmp_path)
    cases = read_dataset(trained.data).cases
    assert len(list(tmp_path.glob("*.*"))) == len(cases)
    segmenter = Segmenter.from_bundle(trained.folder)
    for case in cases:
        expected = segmenter.segment(read_image(case["image"], trained.settings.in_channels), phi=0.3)
        if trained.kind == "images":
            # PIL has rows first, read_image (x, y).
            np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"{case['name']}.png")).T, expected)
            continue
        output = nib.load(tmp_path / f"{case['name']}.nii.gz")
        np.testing.assert_array_equal(np.asarray(output.dataobj), expected)
        np.testing.assert_allclose(output.affine, nib.load(case["image"]).affine, atol=1e-5)


# A network for single slices registers 2D images, not whole volumes.
@of("sshn_reg", "volumes", "images")
def test_inference_of_registration_writes_fields_that_simpleitk_applies(trained: Trained, tmp_path: Path) -> None:
    inferred(trained, tmp_path)
    pairs = read_pairs(trained.data).pair_list
    assert len(list(tmp_path.glob("*.*"))) == 2 * len(pairs)
    registrar = Registrar.from_bundle(trained.folder)
    volumes = trained.kind == "volumes"
    for pair in pairs[:2]:
        name = f"{pair['moving']['name']}_to_{pair['fixed']['name']}"
        moving, fixed = (read_image(pair[key]["image"]) for key in ("moving", "fixed"))
        expected = registrar.register(moving, fixed, phi=0.3).moved[0].numpy()
        moved = read_image(tmp_path / f"{name}{'.nii.gz' if volumes else '.png'}")[0].numpy()
        np.testing.assert_allclose(moved, expected, atol=1e-3 if volumes else 0.51)
        if volumes:
            assert np.allclose(nib.load(tmp_path / f"{name}.nii.gz").affine, nib.load(pair["fixed"]["image"]).affine)
        vectors = sitk.ReadImage(str(tmp_path / f"{name}_field.nii.gz"), sitk.sitkVectorFloat64)
        transform = sitk.DisplacementFieldTransform(vectors)
        images = [sitk.ReadImage(str(pair[key]["image"]), sitk.sitkFloat32) for key in ("moving", "fixed")]
        resampled = sitk.Resample(*images, transform, sitk.sitkLinear, float(moving.min()))
        np.testing.assert_allclose(sitk.GetArrayFromImage(resampled).T, expected, atol=0.05)


@of("sshn_seg", "slices", "images")
def test_evaluation_on_other_data_takes_all_its_cases_and_the_same_labels_only(
    trained: Trained, tmp_path: Path
) -> None:
    dims = 2 if trained.kind == "images" else 3
    known = {"ckpt_dir": str(trained.folder / "models"), "output_dir": str(tmp_path / "out"), "device": "cpu"}
    files = ["train", *KINDS[trained.kind], "evaluate"]
    other = write_synthetic_dataset(tmp_path / "other", dims, cases=3, size=20, seed=9)
    run("sshn_seg", *files, dataset_dir=str(other), phi=0.3, **known)
    assert len(read_frontier(tmp_path / "out").data["cases"]) == 3
    fewer = write_synthetic_dataset(tmp_path / "fewer", dims, cases=3, size=20, labels=2)
    with pytest.raises(SystemExit, match="was trained for the label values"):
        run("sshn_seg", *files, dataset_dir=str(fewer), phi=0.3, **known)


@of("sshn_reg", "images")
@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"regularization": 0.5}, "was trained for one weight of the regularisation"),
        ({"start": "corner"}, "start must be one of header, centres, affine"),
        ({"instance_steps": -1}, "instance_steps must be a whole number"),
        ({"phi": [0.5, 0.4, 0.3]}, "built for one phi for all levels"),
        ({"dataset_dir": None}, "no image to register"),
    ],
)
def test_mistakes_of_inference_end_in_one_sentence(
    trained: Trained, tmp_path: Path, overrides: dict[str, object], sentence: str
) -> None:
    options = {"ckpt_dir": str(trained.folder / "models"), "output_dir": str(tmp_path / "out"), "device": "cpu"}
    with pytest.raises(SystemExit, match=sentence):
        run("sshn_reg", "inference", kind="infer", **{**options, **overrides})
    assert not (tmp_path / "out").exists()
