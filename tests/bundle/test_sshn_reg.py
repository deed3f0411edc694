"""The registration bundle, run as MONAI runs it, on small synthetic pairs."""

import json
import os
import subprocess
import sys
import warnings

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow, ckpt_export, verify_net_in_out

from monai_hyperscale.bundle import build_network, default_bundle, read_settings
from monai_hyperscale.data import write_synthetic_dataset
from monai_hyperscale.io import read_image
from monai_hyperscale.search import read_frontier
from monai_hyperscale.tasks.registration.pair_files import read_pairs
from monai_hyperscale.tasks.registration.registrar import Registrar
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from monai_hyperscale.tasks.registration.synthetic_pairs import write_synthetic_pairs
from monai_hyperscale.training import best_weights

BUNDLE = default_bundle("sshn_reg")
CONFIGS = BUNDLE / "configs"
TRAIN = str(CONFIGS / "train.json")
SMALL = {
    "max_epochs": 2,
    "iterations_per_epoch": 2,
    "val_interval": 1,
    "val_phi": [0.2, 0.5],
    "network::features": [4, 4],
    "head_features": 4,
    "batch_size": 2,
    "num_workers": 0,
    "device": "cpu",
    "synthetic": {"pairs": 5, "size": 16},
    "split": [0.6, 0.2, 0.2],
}
KINDS = {"volumes": [], "slices": ["slices.json"], "images": ["images.json"]}


def workflow(files, workflow_type="train", **overrides):
    return ConfigWorkflow(
        config_file=files, workflow_type=workflow_type, logging_file=str(CONFIGS / "logging.conf"), **overrides
    )


def run(files, **overrides):
    flow = workflow(files, **overrides)
    flow.initialize()
    flow.run()
    flow.finalize()


def report(folder):
    return read_frontier(folder)


@pytest.fixture(scope="module", params=KINDS)
def trained(request, tmp_path_factory):
    """A training of each kind, finished: its output folder and its workflow."""
    folder = tmp_path_factory.mktemp(request.param)
    files = [TRAIN, *(str(CONFIGS / name) for name in KINDS[request.param])]
    options = {**SMALL, "output_dir": str(folder)}
    if request.param == "slices":  # what a 2D network makes of volumes
        made = {**SMALL["synthetic"], "displacement": 0.1, "in_plane": True}
        options["dataset_dir"] = str(write_synthetic_pairs(folder / "synthetic_pairs", 3, **made))
    flow = workflow(files, **options)
    flow.initialize()
    missing = flow.check_properties()
    flow.run()
    flow.finalize()
    return request.param, folder, missing


def settings_of(folder):
    return read_settings(folder / "models" / "model.json", RegistrationSettings)


def test_training_ends_with_a_table_and_a_picture(trained):
    kind, folder, missing = trained
    assert missing == []
    content = report(folder)
    assert content.metric["name"] == "Dice" and content.bundle["settings"]["method"] == "sshn"
    assert [row.phi for row in content.rows] == [(0.2,), (0.5,)]
    assert set(content.labels.values()) >= {"structure 1", "structure 3"}
    for row in content.rows:
        assert 0 < row.extra["before"].mean <= 1 and 0 < row.score.mean <= 1 and 0 <= row.extra["folded"].mean <= 1
        assert row.latency.median > 0
    assert content.rows[0].flops < content.rows[1].flops
    assert (folder / "score_phi.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "frontier.csv").read_text().startswith("phi,flops,") and (folder / "report.html").exists()
    settings = settings_of(folder)
    assert settings.spatial_dims == (3 if kind == "volumes" else 2) and settings.slices == (kind == "slices")
    assert settings.seen.cases == len(settings.provenance["cases"]["train"])
    assert settings.in_channels == 2 and settings.out_channels == settings.spatial_dims
    assert len(settings.provenance["cases"]["test"]) == 2 and "validation_error_removed" in settings.provenance
    # What a refinement of single pairs needs to know of the training's loss.
    assert settings.loss["similarity"] == "mse"


def test_tensorboard_has_a_scalar_per_phi(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, folder, _ = trained
    events = EventAccumulator(str(folder)).Reload()
    scalars = {"val_error_removed", "val_error_removed_phi_0.20", "val_error_removed_phi_0.50", "loss"}
    assert scalars <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("val_error_removed_phi_0.20")] == [1, 2]


def test_the_bundle_specification_is_met(trained):
    kind, folder, _ = trained
    metadata = folder / "configs" / "metadata.json"
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(metadata),
        config_file=str(CONFIGS / "inference.json"),
        device="cpu",
        n=9,
        ckpt_dir=str(folder / "models"),
    )
    data_format = json.loads(metadata.read_text())["network_data_format"]
    dims = 3 if kind == "volumes" else 2
    assert len(data_format["inputs"]["image"]["spatial_shape"]) == dims
    assert data_format["inputs"]["image"]["num_channels"] == 2
    assert data_format["outputs"]["pred"]["num_channels"] == dims


def test_evaluation_repeats_the_report(trained, tmp_path):
    kind, folder, _ = trained
    files = [TRAIN, *(str(CONFIGS / name) for name in KINDS[kind]), str(CONFIGS / "evaluate.json")]
    run(
        files,
        **{name: value for name, value in SMALL.items() if name != "val_phi"},
        phi=[0.2, 0.5],
        ckpt_dir=str(folder / "models"),
        dataset_dir=str(folder / "synthetic_pairs"),
        output_dir=str(tmp_path),
    )
    known, found = report(folder), report(tmp_path)
    assert found.data == known.data
    # The weights in the file are float16, and so were those of the report after training.
    for a, b in zip(found.rows, known.rows, strict=True):
        assert (a.cases, a.score, a.extra, a.flops) == (b.cases, b.score, b.extra, b.flops)


def test_inference_writes_moved_images_and_fields_that_simpleitk_applies(trained, tmp_path):
    kind, folder, _ = trained
    if kind == "slices":
        pytest.skip("a network for single slices registers 2D images, not whole volumes")
    flow = workflow(
        str(CONFIGS / "inference.json"),
        "infer",
        ckpt_dir=str(folder / "models"),
        dataset_dir=str(folder / "synthetic_pairs"),
        output_dir=str(tmp_path),
        phi=0.3,
        device="cpu",
    )
    flow.initialize()
    assert flow.check_properties() == []
    flow.run()
    pairs = read_pairs(folder / "synthetic_pairs").pair_list
    assert len(list(tmp_path.glob("*.*"))) == 2 * len(pairs)
    registrar = Registrar.from_bundle(folder)
    suffix = ".nii.gz" if kind == "volumes" else ".png"
    for pair in pairs[:2]:
        name = f"{pair['moving']['name']}_to_{pair['fixed']['name']}"
        moving, fixed = (read_image(pair[key]["image"]) for key in ("moving", "fixed"))
        expected = registrar.register(moving, fixed, phi=0.3).moved[0].numpy()
        moved = read_image(tmp_path / f"{name}{suffix}")[0].numpy()
        np.testing.assert_allclose(moved, expected, atol=1e-3 if kind == "volumes" else 0.51)
        if kind == "volumes":
            assert np.allclose(nib.load(tmp_path / f"{name}.nii.gz").affine, nib.load(pair["fixed"]["image"]).affine)
        vectors = sitk.ReadImage(str(tmp_path / f"{name}_field.nii.gz"), sitk.sitkVectorFloat64)
        transform = sitk.DisplacementFieldTransform(vectors)
        images = (sitk.ReadImage(str(pair[key]["image"]), sitk.sitkFloat32) for key in ("moving", "fixed"))
        moving_itk, fixed_itk = images
        resampled = sitk.Resample(moving_itk, fixed_itk, transform, sitk.sitkLinear, float(moving.min()))
        np.testing.assert_allclose(sitk.GetArrayFromImage(resampled).T, expected, atol=0.05)


def test_monais_export_commands_work(trained, tmp_path):
    kind, folder, _ = trained
    sizes = [9, 11, 7] if kind == "volumes" else [9, 11]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing tells that sizes are fixed
        ckpt_export(
            filepath=str(tmp_path / "model.ts"),
            use_trace=True,
            input_shape=[1, 2, *sizes],
            net_id="network_def",
            ckpt_file=str(folder / "models" / "model.pt"),
            meta_file=str(folder / "configs" / "metadata.json"),
            config_file=str(CONFIGS / "inference.json"),
            ckpt_dir=str(folder / "models"),
            device="cpu",
            phi=0.3,
        )
        exported = torch.jit.load(tmp_path / "model.ts")
    images = torch.rand(1, 2, *sizes)
    network = best_weights(build_network(settings_of(folder)), folder / "models")
    with torch.no_grad():
        torch.testing.assert_close(exported(images), network(images, 0.3), atol=1e-5, rtol=0)


def test_pairs_of_a_labelled_folder_to_an_atlas(tmp_path):
    dataset = write_synthetic_dataset(tmp_path / "set", 3, cases=7, size=16)
    options = {**SMALL, "dataset_dir": str(dataset), "atlas": "case_003", "dice_weight": 0.5}
    run(TRAIN, **{**options, "max_epochs": 1, "output_dir": str(tmp_path / "out"), "smoothness": "gradient"})
    content = report(tmp_path / "out")
    assert content.metric["name"] == "Dice"
    settings = settings_of(tmp_path / "out")
    # The atlas is what is registered to, and no case.
    assert all("case_003" not in names for names in settings.provenance["cases"].values())
    assert settings.provenance["atlas"]["name"] == "case_003"
    tested = settings.provenance["cases"]["test"]
    assert sorted(content.data["cases"]) == sorted(f"{name} to case_003" for name in tested)
    assert sorted(sum(settings.provenance["cases"].values(), ["case_003"])) == [f"case_00{n}" for n in range(7)]
    assert settings.provenance["validation_dice"] > 0 and settings.loss["dice_weight"] == 0.5
    assert settings.labels == {1: "structure 1", 2: "structure 2", 3: "structure 3"}


def test_velocity_at_half_size(tmp_path):
    options = {"integration_steps": 3, "field_scale": 0.5, "similarity": "lncc", "window": 5}
    run(TRAIN, **{**SMALL, "max_epochs": 1, "output_dir": str(tmp_path), **options})
    settings = settings_of(tmp_path)
    assert (settings.integration_steps, settings.field_scale) == (3, 0.5)
    assert all(row.extra["folded"].mean == 0 for row in report(tmp_path).rows)


def test_one_network_for_every_weight_of_the_regularisation(tmp_path):
    options = {"regularization": [0.0, 1.0], "val_regularization": [0.1, 0.9], "val_phi": 0.3}
    run(TRAIN, **{**SMALL, "max_epochs": 1, "output_dir": str(tmp_path), **options})
    for weight in (0.1, 0.9):
        content = report(tmp_path / f"regularization_{weight}")
        assert [row.phi for row in content.rows] == [(0.3,)] and content.options["regularization"] == weight
    settings = settings_of(tmp_path)
    assert settings.regularization == (0.0, 1.0) and settings.loss["balance"] is True
    network = best_weights(build_network(settings), tmp_path / "models")
    assert network.context.names == ("phi", "regularization")
    x = torch.rand(1, 2, 9, 8, 7)
    with torch.no_grad():
        assert not torch.equal(network(x, phi=0.3, regularization=0.1), network(x, phi=0.3, regularization=0.9))
    files = [TRAIN, str(CONFIGS / "evaluate.json")]
    known = {"ckpt_dir": str(tmp_path / "models"), "dataset_dir": str(tmp_path / "synthetic_pairs")}
    run(files, device="cpu", phi=0.3, num_workers=0, output_dir=str(tmp_path / "eval"), **known)
    content = report(tmp_path / "eval")
    assert [row.phi for row in content.rows] == [(0.3,)] and content.options["regularization"] == 0.5


def test_one_factor_per_level_with_a_weight(tmp_path):
    options = {"regularization": [0.2, 0.8], "per_level": True, "network::features": [4, 4, 4], "val_phi": [[0.5, 0.3]]}
    run(TRAIN, **{**SMALL, "max_epochs": 1, "output_dir": str(tmp_path), **options})
    content = report(tmp_path)
    assert [row.phi for row in content.rows] == [(0.5, 0.3)] and content.options["regularization"] == 0.5


@pytest.mark.parametrize("method", ["fixed", "stochastic", "film"])
def test_the_baselines_train_alike(tmp_path, method):
    run(TRAIN, **{**SMALL, "max_epochs": 1, "output_dir": str(tmp_path), "method": method, "val_phi": None, "phi": 0.3})
    content = report(tmp_path)
    assert content.bundle["settings"]["method"] == method and [row.phi for row in content.rows] == [(0.3,)]
    assert settings_of(tmp_path).phi_range == (0.3, 0.3)


def test_a_training_goes_on_to_the_same_numbers(tmp_path):
    options = {**SMALL, "max_epochs": 3, "val_interval": 3, "augmentation": {"flip": [0], "rotate": 0.1}}
    run(TRAIN, **{**options, "output_dir": str(tmp_path / "whole")})

    class Stop(Exception):
        pass

    flow = workflow(TRAIN, **{**options, "output_dir": str(tmp_path / "half")})
    flow.initialize()
    trainer = flow.parser.get_parsed_content("train#trainer")

    @trainer.on(Events.EPOCH_STARTED(once=3))
    def stop():
        raise Stop

    with pytest.raises(Stop):
        trainer.run()
    run(TRAIN, **{**options, "output_dir": str(tmp_path / "half"), "resume": True})
    ends = [torch.load(tmp_path / name / "models" / "last.pt", weights_only=True) for name in ("whole", "half")]
    assert ends[0]["progress"] == ends[1]["progress"]
    for name, value in ends[0]["network"].items():
        torch.testing.assert_close(ends[1]["network"][name], value, atol=0, rtol=0)
    with pytest.raises(SystemExit, match=r"another similarity"):
        run(TRAIN, **{**options, "output_dir": str(tmp_path / "half"), "resume": True, "similarity": "mi"})


def test_two_processes_train_one_network(tmp_path):
    options = {**SMALL, "iterations_per_epoch": 4, "max_epochs": 1}
    pairs = [f"--{name.replace('::', '#')}={value}" for name, value in options.items()]
    files = f"['{TRAIN}','{CONFIGS / 'multi_gpu_train.json'}']"
    process = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "monai.bundle"]
        + ["run", f"--config_file={files}", f"--output_dir={tmp_path}", *pairs],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    # Each process does its share of an epoch's iterations.
    assert torch.load(tmp_path / "models" / "last.pt", weights_only=True)["progress"]["iteration"] == 2
    assert [row.phi for row in report(tmp_path).rows] == [(0.2,), (0.5,)]


@pytest.mark.parametrize(
    ("config", "overrides", "sentence"),
    [
        ("train.json", {"phii": 0.3}, "unknown option --phii; did you mean --phi"),
        ("train.json", {"phi": 1.3}, "phi: phi must be a number between 0 and 1, got 1.3"),
        ("train.json", {"val_phi": [[0.5, 0.4]]}, "built for one phi for all levels, got 2 factors"),
        ("train.json", {"similarity": "ssim"}, "similarity must be one of mse, lncc, mi, got 'ssim'"),
        ("train.json", {"smoothness": "l1"}, "smoothness must be one of tv, gradient, bending, got 'l1'"),
        ("train.json", {"similarity": "lncc", "window": 4}, "must be an odd number of voxels, got 4"),
        ("train.json", {"smoothness_weight": -1}, "smoothness_weight must be a number from 0"),
        ("train.json", {"dice_weight": "much"}, "dice_weight must be a number from 0"),
        ("train.json", {"integration_steps": 2.5}, "integration_steps must be a whole number of at least 0"),
        ("train.json", {"field_scale": 2}, "field_scale must be a number above 0 and up to 1"),
        ("train.json", {"regularization": 0.5}, r"regularization must be \[least, greatest\]"),
        ("train.json", {"regularization": [0, 2]}, r"regularization must be \[least, greatest\], both from 0 to 1"),
        ("train.json", {"val_regularization": 0.5}, "val_regularization needs a range to train for"),
        ("train.json", {"sizes": [16, 16]}, "sizes must be 3 numbers above 0"),
        ("train.json", {"spacing": 2}, "spacing must be 3 numbers above 0"),
        ("train.json", {"atlas": "case_001"}, "pairs and atlas are of a data set"),
        ("train.json", {"dataset_dir": ".", "pairs": "no/such.json"}, "pairs must be a file"),
        ("train.json", {"augmentation": {"rotat": 1}}, "rotat"),
        ("train.json", {"synthetic": {"cases": 8}}, "cases"),
        ("train.json", {"head_features": 0}, "head_features must be a whole number of at least 1"),
        ("train.json", {"network": {"name": "NNUNet"}}, "name must be one of ScaleSpaceUNet"),
        ("train.json", {"output_dir": str(BUNDLE)}, "is a bundle, whose trained weights would be replaced"),
        ("inference.json", {"ckpt_dir": "no/such/folder"}, "no description of a trained network"),
        ("inference.json", {"ckpt_dir": str(BUNDLE.parent / "sshn_seg" / "models")}, "for segmentation, expected one"),
        ("inference.json", {"max_epochs": 3}, "unknown option --max_epochs"),
    ],
)
def test_mistakes_end_in_one_sentence(tmp_path, config, overrides, sentence):
    output = tmp_path / "out"
    with pytest.raises(SystemExit, match=sentence) as caught:
        workflow(str(CONFIGS / config), **{"output_dir": str(output), **overrides}).initialize()
    assert "\n" not in str(caught.value)
    assert not output.exists()


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
def test_mistakes_of_inference_end_in_one_sentence(trained, tmp_path, overrides, sentence):
    _, folder, _ = trained
    options = {"ckpt_dir": str(folder / "models"), "output_dir": str(tmp_path / "out"), "device": "cpu"}
    with pytest.raises(SystemExit, match=sentence):
        flow = workflow(str(CONFIGS / "inference.json"), "infer", **{**options, **overrides})
        flow.initialize()
        flow.run()
    assert not (tmp_path / "out").exists()


def test_a_folder_of_2d_images_is_told_to_use_another_file(tmp_path):
    dataset = write_synthetic_dataset(tmp_path / "set", 2, cases=6, size=16)
    flow = workflow(TRAIN, **{**SMALL, "dataset_dir": str(dataset), "output_dir": str(tmp_path / "out")})
    flow.initialize()
    with pytest.raises(SystemExit, match=r"error: .* holds 2D images, the network is for volumes: use images.json"):
        flow.run()


def test_a_damaged_scan_ends_in_one_sentence(tmp_path):
    folder = write_synthetic_dataset(tmp_path / "set", 2, cases=6, size=16)
    for image in (folder / "imagesTr").iterdir():
        image.write_bytes(image.read_bytes()[:-30])
    options = {**SMALL, "dataset_dir": str(folder), "output_dir": str(tmp_path / "out")}
    flow = workflow([TRAIN, str(CONFIGS / "images.json")], **options)
    flow.initialize()
    with pytest.raises(SystemExit, match="error: .*png"):
        flow.run()
