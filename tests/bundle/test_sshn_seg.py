"""The segmentation bundle, run as MONAI runs it, on small synthetic anatomy."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow, ckpt_export, verify_net_in_out
from PIL import Image

from monai_hyperscale.bundle import build_network, default_bundle, read_settings
from monai_hyperscale.cli.main import main
from monai_hyperscale.data import read_dataset, write_synthetic_dataset
from monai_hyperscale.data.headers import seen_images
from monai_hyperscale.io import read_image
from monai_hyperscale.search import read_frontier
from monai_hyperscale.tasks.segmentation.segmenter import Segmenter
from monai_hyperscale.training import best_weights

BUNDLE = default_bundle("sshn_seg")
CONFIGS = BUNDLE / "configs"
TRAIN = str(CONFIGS / "train.json")
SMALL = {
    "max_epochs": 2,
    "iterations_per_epoch": 2,
    "val_interval": 1,
    "val_phi": [0.2, 0.5],
    "network::features": [4, 4],
    "batch_size": 2,
    "num_workers": 0,
    "device": "cpu",
    "synthetic": {"cases": 8, "size": 20},
}
KINDS = {"volumes": [], "slices": ["slices.json"], "images": ["images.json"]}


def workflow(files, workflow_type="train", **overrides):
    return ConfigWorkflow(
        config_file=files, workflow_type=workflow_type, logging_file=str(CONFIGS / "logging.conf"), **overrides
    )


@pytest.fixture(scope="module", params=KINDS)
def trained(request, tmp_path_factory):
    """A training of each kind, finished: its output folder and its workflow."""
    folder = tmp_path_factory.mktemp(request.param)
    files = [TRAIN, *(str(CONFIGS / name) for name in KINDS[request.param])]
    options = {**SMALL, "output_dir": str(folder)}
    if request.param == "slices":  # what a 2D network makes of volumes
        options["dataset_dir"] = str(write_synthetic_dataset(folder / "synthetic_data", 3, cases=8, size=20))
    flow = workflow(files, **options)
    flow.initialize()
    missing = flow.check_properties()
    flow.run()
    flow.finalize()
    return request.param, folder, missing


def test_training_ends_with_a_table_and_a_picture(trained):
    kind, folder, missing = trained
    assert missing == []
    frontier = read_frontier(folder)
    rows = frontier.rows
    assert [row.phi for row in rows] == [(0.2,), (0.5,)] and frontier.metric["name"] == "Dice"
    assert all(0 <= row.score.mean <= 1 and row.flops > 0 and row.latency.median > 0 for row in rows)
    assert rows[0].flops < rows[1].flops
    assert (folder / "score_phi.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "frontier.csv").read_text().startswith("phi,flops,")
    assert (folder / "report.html").read_text().count("<svg") > 1 and not (folder / "unfinished").exists()
    assert any(path.name.startswith("events.out.tfevents") for path in folder.iterdir())
    settings = read_settings(folder / "models" / "model.json")
    assert settings.spatial_dims == (3 if kind == "volumes" else 2)
    assert settings.slices == (kind == "slices")
    assert settings.phi_range == (0.0, 0.5)
    assert list(frontier.data["cases"]) == settings.provenance["cases"]["test"] and len(frontier.data["cases"]) == 2
    dataset = read_dataset(folder / "synthetic_data")
    assert settings.labels == dataset.labels and settings.channels == dataset.channels
    cases = [case for case in dataset.cases if case["name"] in settings.provenance["cases"]["train"]]
    assert settings.seen == seen_images(cases) and settings.seen.cases == len(cases)


def test_tensorboard_has_a_scalar_per_phi(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, folder, _ = trained
    events = EventAccumulator(str(folder)).Reload()
    assert {"val_dice", "val_dice_phi_0.20", "val_dice_phi_0.50"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("val_dice_phi_0.20")] == [1, 2]


def test_inference_writes_labels_on_the_inputs_grid(trained, tmp_path):
    kind, folder, _ = trained
    flow = workflow(
        str(CONFIGS / "inference.json"),
        "infer",
        ckpt_dir=str(folder / "models"),
        dataset_dir=str(folder / "synthetic_data"),
        output_dir=str(tmp_path),
        phi=0.3,
        device="cpu",
    )
    flow.initialize()
    assert flow.check_properties() == []
    flow.run()
    settings = read_settings(folder / "models" / "model.json")
    cases = read_dataset(folder / "synthetic_data").cases
    assert len(list(tmp_path.glob("*.*"))) == len(cases)
    segmenter = Segmenter.from_bundle(folder)
    for case in cases:
        image = read_image(case["image"], settings.in_channels)
        expected = segmenter.segment(image, phi=0.3)
        if kind == "images":
            # PIL has rows first, read_image (x, y).
            np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"{case['name']}.png")).T, expected)
            continue
        output = nib.load(tmp_path / f"{case['name']}.nii.gz")
        np.testing.assert_array_equal(np.asarray(output.dataobj), expected)
        np.testing.assert_allclose(output.affine, nib.load(case["image"]).affine, atol=1e-5)


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
    shape = json.loads(metadata.read_text())["network_data_format"]["inputs"]["image"]["spatial_shape"]
    assert len(shape) == (3 if kind == "volumes" else 2)


def test_evaluation_repeats_the_report(trained, tmp_path):
    kind, folder, _ = trained
    files = [TRAIN, *(str(CONFIGS / name) for name in KINDS[kind]), str(CONFIGS / "evaluate.json")]
    flow = workflow(
        files,
        **{name: value for name, value in SMALL.items() if name != "val_phi"},
        phi=[0.2, 0.5],
        ckpt_dir=str(folder / "models"),
        dataset_dir=str(folder / "synthetic_data"),
        output_dir=str(tmp_path),
    )
    flow.initialize()
    flow.run()
    trained, found = read_frontier(folder), read_frontier(tmp_path)
    # The weights in the file are float16, and so were those of the report after training.
    assert [row.cases for row in found.rows] == [row.cases for row in trained.rows]
    assert [row.flops for row in found.rows] == [row.flops for row in trained.rows]
    assert found.options["fingerprint"] == trained.options["fingerprint"]


def test_the_report_is_what_pareto_measures(trained, tmp_path):
    _, folder, _ = trained
    data = str(folder / "synthetic_data")
    command = ["pareto", str(folder), "--dataset", data, "-o", str(tmp_path), "--phi", "0.2,0.5", "--device", "cpu"]
    assert main([*command, "--cases", "test", "--repeats", "0", "--no-memory", "--no-report"]) == 0
    known, found = read_frontier(folder), read_frontier(tmp_path)
    assert [(row.score, row.labels, row.cases) for row in found.rows] == [
        (row.score, row.labels, row.cases) for row in known.rows
    ]
    assert found.options["fingerprint"] == known.options["fingerprint"]


def test_monais_export_commands_work(trained, tmp_path):
    kind, folder, _ = trained
    sizes = [9, 11, 7] if kind == "volumes" else [9, 11]
    options = {
        "net_id": "network_def",
        "ckpt_file": str(folder / "models" / "model.pt"),
        "meta_file": str(folder / "configs" / "metadata.json"),
        "config_file": str(CONFIGS / "inference.json"),
        "ckpt_dir": str(folder / "models"),
        "device": "cpu",
        "phi": 0.3,
    }
    settings = read_settings(folder / "models" / "model.json")
    shape = [1, settings.in_channels, *sizes]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing tells that sizes are fixed
        ckpt_export(filepath=str(tmp_path / "model.ts"), use_trace=True, input_shape=shape, **options)
        exported = torch.jit.load(tmp_path / "model.ts")
    image = torch.rand(shape)
    network = best_weights(build_network(settings), folder / "models")
    with torch.no_grad():
        torch.testing.assert_close(exported(image), network(image, 0.3), atol=1e-4, rtol=0)


def test_two_processes_train_one_network(tmp_path):
    options = {**SMALL, "iterations_per_epoch": 4}
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
    assert torch.load(tmp_path / "models" / "last.pt", weights_only=True)["progress"]["iteration"] == 2 * 2
    assert [row.phi for row in read_frontier(tmp_path).rows] == [(0.2,), (0.5,)]


def test_one_phi_is_validated_and_reported_alone(tmp_path):
    options = {name: value for name, value in SMALL.items() if name != "val_phi"}
    flow = workflow(TRAIN, **{**options, "max_epochs": 1, "phi": 0.3, "output_dir": str(tmp_path)})
    flow.initialize()
    flow.run()
    assert [row.phi for row in read_frontier(tmp_path).rows] == [(0.3,)]
    assert read_settings(tmp_path / "models" / "model.json").phi_range == (0.3, 0.3)


def test_evaluation_on_other_data_takes_all_its_cases_and_the_same_labels_only(trained, tmp_path, caplog):
    kind, folder, _ = trained
    other = write_synthetic_dataset(tmp_path / "other", 2 if kind == "images" else 3, cases=3, size=20, seed=9)
    files = [TRAIN, *(str(CONFIGS / name) for name in KINDS[kind]), str(CONFIGS / "evaluate.json")]
    options = {"ckpt_dir": str(folder / "models"), "output_dir": str(tmp_path / "out"), "device": "cpu", "phi": 0.3}
    flow = workflow(files, dataset_dir=str(other), **options)
    flow.initialize()
    flow.run()
    assert len(read_frontier(tmp_path / "out").data["cases"]) == 3
    fewer = write_synthetic_dataset(tmp_path / "fewer", 2 if kind == "images" else 3, cases=3, size=20, labels=2)
    flow = workflow(files, dataset_dir=str(fewer), **options)
    flow.initialize()
    with pytest.raises(SystemExit, match="was trained for the label values"):
        flow.run()


def test_a_damaged_scan_ends_in_one_sentence(tmp_path):
    folder = write_synthetic_dataset(tmp_path / "set", 2, cases=6, size=20)
    for image in (folder / "imagesTr").iterdir():
        image.write_bytes(image.read_bytes()[:-30])
    options = {**SMALL, "dataset_dir": str(folder), "output_dir": str(tmp_path / "out")}
    flow = workflow([TRAIN, str(CONFIGS / "images.json")], **options)
    flow.initialize()
    with pytest.raises(SystemExit, match="error: .*png"):
        flow.run()


def command(*arguments, cwd=None):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "monai.bundle", "run", *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def small_command(folder, *arguments):
    options = {**SMALL, "max_epochs": 4, "iterations_per_epoch": 3, "num_workers": 1}
    pairs = [f"--{name.replace('::', '#')}={value}" for name, value in options.items()]
    return command(f"--config_file={TRAIN}", f"--output_dir={folder}", *pairs, *arguments)


def test_a_killed_training_resumes_to_the_same_numbers(tmp_path):
    whole = small_command(tmp_path / "whole")
    assert whole.communicate(timeout=300)[0] and whole.returncode == 0
    killed = small_command(tmp_path / "killed")
    last = tmp_path / "killed" / "models" / "last.pt"
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and killed.poll() is None:
        if last.exists() and torch.load(last, weights_only=True)["progress"]["epoch"] >= 2:
            break
        time.sleep(0.02)
    # Its worker with it: one that was just forked would never notice, and hold the pipe open forever.
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=60)
    before = torch.load(last, weights_only=True)["progress"]
    assert 2 <= before["epoch"] < 4, "the training ended before it could be killed"
    resumed = small_command(tmp_path / "killed", "--resume=True")
    output = resumed.communicate(timeout=300)[0]
    assert resumed.returncode == 0, output
    assert f"Resumed after epoch {before['epoch']}" in output
    ends = [torch.load(tmp_path / name / "models" / "last.pt", weights_only=True) for name in ("whole", "killed")]
    assert ends[0]["progress"] == ends[1]["progress"]
    for part in ("network", "averaged"):
        for name, value in ends[0][part].items():
            torch.testing.assert_close(ends[1][part][name], value, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("config", "overrides", "sentence"),
    [
        ("train.json", {"phii": 0.3}, "unknown option --phii; did you mean --phi"),
        ("train.json", {"phi": 1.3}, "phi: phi must be a number between 0 and 1, got 1.3"),
        ("train.json", {"phi": "half"}, "phi: phi must be a number between 0 and 1, got 'half'"),
        ("train.json", {"val_phi": [0.1, 2]}, "val_phi: phi must be a number between 0 and 1, got 2"),
        ("train.json", {"phi_range": [0.5, 0.1]}, "phi_range must be"),
        ("train.json", {"phi_range": 0.3}, "phi_range must be"),
        ("train.json", {"spacing": 2}, "spacing must be 3 numbers"),
        ("train.json", {"split": [0.8, 0.2, 0]}, "split must be three shares above 0"),
        ("train.json", {"learning_rate": "abc"}, "learning_rate must be a number"),
        ("train.json", {"warm_start": "no/such/folder"}, "no/such/folder does not exist"),
        ("train.json", {"warm_start": str(CONFIGS)}, "there are no trained weights in .*configs"),
        ("train.json", {"warm_start": 3}, "warm_start must be the folder of an earlier training, got 3"),
        ("train.json", {"learning_rat": 0.3}, "unknown option --learning_rat; did you mean --learning_rate"),
        ("train.json", {"method": "san"}, "method must be one of sshn, fixed, stochastic, film, got 'san'"),
        ("train.json", {"method": "fixed", "phi": [0.1, 0.3]}, "phi: method fixed trains one network for one phi"),
        ("train.json", {"val_phi": [[0.5, 0.4, 0.3]]}, "built for one phi for all levels, got 3 factors.*per_level"),
        ("train.json", {"per_level": True, "val_phi": [[0.5, 0.4]]}, "val_phi: phi must be one number or 3"),
        ("train.json", {"per_level": 1.5}, "per_level must be True or False"),
        ("train.json", {"weight_penalty": -1}, "weight_penalty must be a number from 0"),
        ("train.json", {"network": {"name": "NNUNet"}}, "name must be one of ScaleSpaceUNet, .* got 'NNUNet'"),
        ("train.json", {"network": {"name": "AttentionUnet"}}, "give the network .replace_norm"),
        ("train.json", {"method": {"generator": "gan"}}, "generator must be one of mlp"),
        ("train.json", {"method": {"generator": "film"}}, "generator of sshn is mlp, linear or spline, got 'film'"),
        ("train.json", {"method": {"name": "film", "ranks": 3}}, "'film' has no option 'ranks'"),
        ("train.json", {"method": {"name": "fixed", "hidden": [3]}}, "'constant' has no option 'hidden'"),
        ("train.json", {"select": "transformers"}, "matches no parameter"),
        ("train.json", {"network": {"features": [4]}}, "features needs at least two stages"),
        ("train.json", {"network::featurs": [4, 4]}, "no option 'featurs'; its options are features, decoder_f"),
        (
            "train.json",
            {"network": {"name": "DynUNet", "filter": [4, 8]}},
            "'DynUNet' has no option 'filter'; its options are .*filters, .*replace_norm",
        ),
        ("train.json", {"augmentation": {"rotat": 1}}, "rotat"),
        ("train.json", {"train::inferer::phii": 1}, "unknown option --train#inferer#phii"),
        ("train.json", {"evaluator": 3}, "unknown option --evaluator"),
        ("train.json", {"output_dir": str(BUNDLE)}, "is a bundle, whose trained weights would be replaced"),
        ("train.json", {"dataset_dir": "no/such/folder"}, "dataset_dir must be an existing folder"),
        (
            "train.json",
            {"phis_per_step": 3},
            "phis_per_step must divide the batch_size 2, got 3",
        ),
        ("train.json", {"phis_per_step": None}, "phis_per_step must be a whole number of at least 1"),
        ("train.json", {"phis_per_step": 0}, "phis_per_step must be a whole number of at least 1"),
        ("train.json", {"max_epochs": 0}, "max_epochs must be a whole number of at least 1"),
        ("train.json", {"device": "cuda:63"}, "device must be on this machine, which has . CUDA devices, got cuda:63"),
        ("train.json", {"device": "gpu"}, "device must be one such as cpu"),
        ("train.json", {"precision": "fp8"}, "precision must be one of"),
        ("train.json", {"resume": "maybe"}, "resume must be True or False"),
        ("inference.json", {"ckpt_dir": "no/such/folder"}, "no description of a trained network"),
        ("inference.json", {"max_epochs": 3}, "unknown option --max_epochs"),
        ("inference.json", {"phi": -0.1}, "phi: phi must be a number between 0 and 1"),
        ("inference.json", {"phi": [0.5, 0.4, 0.3]}, "built for one phi for all levels"),
        ("inference.json", {"dataset_dir": "no/such/folder"}, "dataset_dir must be an existing folder"),
    ],
)
def test_mistakes_end_in_one_sentence(tmp_path, config, overrides, sentence):
    output = tmp_path / "out"
    with pytest.raises(SystemExit, match=sentence) as caught:
        workflow(str(CONFIGS / config), **{"output_dir": str(output), **overrides}).initialize()
    assert "\n" not in str(caught.value)
    assert not output.exists()


def test_a_folder_that_is_no_data_set_ends_in_one_sentence(tmp_path):
    flow = workflow(TRAIN, output_dir=str(tmp_path / "out"), dataset_dir=str(tmp_path))
    flow.initialize()
    with pytest.raises(SystemExit, match="error: .*") as caught:
        flow.run()
    assert "\n" not in str(caught.value)


def test_a_mistake_on_the_command_line_has_no_traceback(tmp_path):
    process = command(f"--config_file={TRAIN}", f"--output_dir={tmp_path / 'out'}", "--phii=0.3")
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 1
    assert "unknown option --phii" in output and "Traceback" not in output


def test_outputs_land_in_the_bundle_wherever_it_is_started_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for config in (TRAIN, os.path.relpath(TRAIN, tmp_path)):
        flow = workflow(config)
        flow.parser.parse(reset=True)
        flow._is_initialized = True  # without `initialize`, which would set the models of an earlier run aside
        assert flow.bundle_root == str(BUNDLE)
        flow.add_property("output_dir", required="True", config_id="output_dir")
        assert flow.output_dir == str(BUNDLE / "output")
