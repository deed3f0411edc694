"""Trainings of the bundles: their methods, networks, starts, interruptions and mistakes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from PIL import Image

from monai_hyperscale.bundle import build_network, read_settings
from monai_hyperscale.cli.main import main
from monai_hyperscale.data import read_dataset, write_synthetic_dataset
from monai_hyperscale.inference import PhiPartsInferer
from monai_hyperscale.io import read_image
from monai_hyperscale.search import Frontier, read_frontier
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from monai_hyperscale.tasks.segmentation.segmenter import Segmenter
from monai_hyperscale.training import best_weights
from tests.bundle.workflows import BUNDLES, SMALL, config, finished, kill, process, run, train, workflow

LEVELS = [0.5, 0.4, 0.3]
KEPT = {"keep_phi": 0.5, "warm_start": str(BUNDLES["sshn_seg"])}
IMAGES = {"spatial_dims": 2, "network::features": [4, 4, 4], "max_epochs": 1, "ema_momentum": 0.9, "val_phi": None}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(write_synthetic_dataset(tmp_path_factory.mktemp("data"), 2, cases=5, size=16))


@pytest.fixture
def segmenting(images: Path, tmp_path: Path) -> Callable[..., tuple[Any, Frontier]]:
    """Return a function that trains on 2D images, into ``tmp_path``, and gives the settings and the report."""

    def run(folder: Path = tmp_path, **options: Any) -> tuple[Any, Frontier]:
        train("sshn_seg", folder, **{**IMAGES, "dataset_dir": str(images), **options})
        return read_settings(folder / "models" / "model.json"), read_frontier(folder)

    return run


def test_validation_scores_what_the_network_finds(images: Path, tmp_path: Path) -> None:
    options = {**SMALL["sshn_seg"], **IMAGES, "dataset_dir": str(images), "output_dir": str(tmp_path)}
    flow = workflow("sshn_seg", **options)
    flow.initialize()
    evaluator = flow.parser.get_parsed_content("validate#evaluator")
    (case,) = evaluator.data_loader.dataset
    known = case["label"].long()
    for missed, score in ((None, 1.0), (2, 2 / 3)):
        label = torch.where(known == missed, 0, known) if missed else known
        evaluator.inferer = lambda *_, label=label: torch.eye(4)[label].movedim(-1, 1)
        evaluator.run()
        assert evaluator.state.metrics["val_mean_dice"] == pytest.approx(score)


def registering(folder: Path, **options: Any) -> tuple[RegistrationSettings, Frontier]:
    train("sshn_reg", folder, **{"max_epochs": 1, **options})
    settings = read_settings(folder / "models" / "model.json", RegistrationSettings)
    return settings, read_frontier(folder)


def logits(folder: Path, phi: float) -> torch.Tensor:
    network = best_weights(build_network(read_settings(folder / "models" / "model.json")), folder / "models").eval()
    torch.manual_seed(0)
    with torch.no_grad():
        return network(torch.rand(1, 1, 16, 16), phi=phi)


@pytest.mark.parametrize(
    ("method", "options", "phis"),
    [
        ({"generator": "spline"}, {"val_phi": [0.2, 0.5], "weight_penalty": 1e-4}, [0.2, 0.5]),
        ("fixed", {}, [0.5]),
        ("stochastic", {"val_phi": [0.2, 0.5]}, [0.2, 0.5]),
        ("film", {"val_phi": [0.2, 0.5]}, [0.2, 0.5]),
    ],
)
def test_every_method_trains_and_segments(
    segmenting: Any, tmp_path: Path, images: Path, method: Any, options: dict[str, Any], phis: list[float]
) -> None:
    settings, report = segmenting(method=method, **options)
    method = method if isinstance(method, str) else "sshn"
    assert (settings.method, report.bundle["settings"]["method"]) == (method, method)
    assert [row.phi for row in report.rows] == [(phi,) for phi in phis]
    assert settings.phi_range == ((0.5, 0.5) if method == "fixed" else (0.0, 0.5))
    network = best_weights(build_network(settings), tmp_path / "models")
    low, high = network.generate(0.0), network.generate(0.5)
    assert all(torch.equal(low[name], high[name]) for name in low) == (method in ("fixed", "stochastic"))
    image = read_image(read_dataset(images).cases[0]["image"])
    assert Segmenter.from_bundle(tmp_path).segment(image, phis[0]).shape == image.shape[1:]


@pytest.mark.parametrize("method", ["fixed", "stochastic", "film"])
def test_the_baselines_register_alike(tmp_path: Path, method: str) -> None:
    settings, report = registering(tmp_path, method=method, val_phi=None, phi=0.3)
    assert report.bundle["settings"]["method"] == method and [row.phi for row in report.rows] == [(0.3,)]
    assert settings.phi_range == (0.3, 0.3)


def test_one_factor_per_level_from_training_to_label_maps(
    segmenting: Any, tmp_path: Path, images: Path, capsys: Any
) -> None:
    settings, report = segmenting(per_level=True, rescale_input=True, val_phi=[0.5, LEVELS])
    assert settings.per_level and settings.rescale_input and settings.phi_range == (0.0, 0.5)
    assert [row.phi for row in report.rows] == [(0.5,), tuple(LEVELS)]
    assert report.rows[1].flops < report.rows[0].flops
    assert '"0.5,0.4,0.3"' in (tmp_path / "frontier.csv").read_text()

    again = {"dataset_dir": str(images), "ckpt_dir": str(tmp_path / "models"), "output_dir": str(tmp_path / "again")}
    run("sshn_seg", "train", "evaluate", phi=[LEVELS, 0.5], device="cpu", num_workers=0, **again)
    repeated = read_frontier(tmp_path / "again")
    assert [(row.phi, row.cases) for row in repeated.rows] == [(row.phi, row.cases) for row in report.rows[::-1]]

    source = read_dataset(images).cases[0]["image"]
    assert main(["info", str(tmp_path)]) == 0
    assert "one phi per level, the first level is the input" in capsys.readouterr().out
    command = ["segment", str(source), "-o", str(tmp_path / "label.png"), "--bundle", str(tmp_path), "--phi"]
    assert main([*command, "0.5,0.4,0.3"]) == 0
    assert "warning" not in capsys.readouterr().err
    expected = Segmenter.from_bundle(tmp_path).segment(read_image(source), LEVELS)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "label.png")).T, expected)
    assert main([*command, "0.5,0.4", "--overwrite"]) == 2
    assert main([*command, "0.5,0.9,0.3", "--overwrite"]) == 0
    assert "not for 0.5,0.9,0.3" in capsys.readouterr().err


def test_fixed_takes_one_factor_per_level(segmenting: Any) -> None:
    settings, report = segmenting(method="fixed", per_level=True, phi=[0.5, 0.25])
    assert settings.phi_range == (0.25, 0.5) and [row.phi for row in report.rows] == [(0.5, 0.25)]


def test_a_network_of_monais_with_deep_supervision_trains(segmenting: Any, tmp_path: Path) -> None:
    network = {"name": "DynUNet", "filters": [4, 4, 4, 4], "deep_supervision": True, "deep_supr_num": 2}
    settings, report = segmenting(**{"network::features": None, "network": network, "val_phi": [0.3]})
    assert settings.network["name"] == "DynUNet" and len(report.rows) == 1
    assert Segmenter.from_bundle(tmp_path).fold(0.3)(torch.rand(1, 1, 9, 8)).shape[2:] == (9, 8)


def test_an_earlier_network_stays_as_it_is_at_one_phi(segmenting: Any, tmp_path: Path, monkeypatch: Any) -> None:
    segmenting(tmp_path / "first", method="fixed")
    steps, call = [], PhiPartsInferer.__call__

    def noted(self: Any, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        steps.append((len(inputs), [context["phi"] for context in self.contexts]))
        return call(self, inputs, network, *args, **kwargs)

    monkeypatch.setattr(PhiPartsInferer, "__call__", noted)
    # The folder of a training stands for its models.
    start = {"warm_start": str(tmp_path / "first"), "method": {"generator": "spline"}, "phi_range": [0.04, 0.5]}
    second, report = segmenting(
        tmp_path / "second", **start, keep_phi=0.5, batch_size=4, phis_per_step=4, val_phi=[0.04, 0.5]
    )
    assert second.generator["reference"] == 0.5 and second.phi_range == (0.04, 0.5)
    assert [row.phi for row in report.rows] == [(0.04,), (0.5,)]
    assert steps and all(size == 4 and len(phis) == 4 and phis == sorted(phis) for size, phis in steps)
    assert all(0.04 <= phi <= 0.5 for _, phis in steps for phi in phis)
    assert torch.equal(logits(tmp_path / "first", 0.5), logits(tmp_path / "second", 0.5))
    assert (logits(tmp_path / "first", 0.1) - logits(tmp_path / "second", 0.1)).abs().max() > 1e-4
    # A network that keeps its weights goes on as it was made.
    start["warm_start"] = str(tmp_path / "second" / "models")
    with pytest.raises(SystemExit, match="keeps its weights at phi = 0.5; go on with"):
        segmenting(tmp_path / "third", **start)
    third, _ = segmenting(tmp_path / "third", **start, keep_phi=0.5, val_phi=[0.5])
    assert third.generator["reference"] == 0.5


def test_weights_of_a_generating_network_are_kept_too(segmenting: Any, tmp_path: Path) -> None:
    segmenting(tmp_path / "first", val_phi=[0.5])
    segmenting(tmp_path / "second", warm_start=str(tmp_path / "first" / "models"), keep_phi=0.5, val_phi=[0.5])
    # Generated weights are rounded to half precision once more in the second network's file.
    first, second = (logits(tmp_path / name, 0.5) for name in ("first", "second"))
    torch.testing.assert_close(first, second, atol=5e-3, rtol=0)
    assert (logits(tmp_path / "first", 0.2) - logits(tmp_path / "second", 0.2)).abs().max() > 1e-4


def test_pairs_of_a_labelled_folder_to_an_atlas(tmp_path: Path) -> None:
    dataset = write_synthetic_dataset(tmp_path / "set", 3, cases=7, size=16)
    options = {"dataset_dir": str(dataset), "atlas": "case_003", "dice_weight": 0.5, "smoothness": "gradient"}
    settings, report = registering(tmp_path / "out", **options)
    assert report.metric["name"] == "Dice"
    # The atlas is what is registered to, and no case.
    assert all("case_003" not in names for names in settings.provenance["cases"].values())
    assert settings.provenance["atlas"]["name"] == "case_003"
    tested = settings.provenance["cases"]["test"]
    assert sorted(report.data["cases"]) == sorted(f"{name} to case_003" for name in tested)
    assert sorted(sum(settings.provenance["cases"].values(), ["case_003"])) == [f"case_00{n}" for n in range(7)]
    assert settings.provenance["validation_dice"] > 0 and settings.loss["dice_weight"] == 0.5
    assert settings.labels == {1: "structure 1", 2: "structure 2", 3: "structure 3"}


def test_velocity_at_half_size(tmp_path: Path) -> None:
    options = {"integration_steps": 3, "field_scale": 0.5, "similarity": "lncc", "window": 5}
    settings, report = registering(tmp_path, **options)
    assert (settings.integration_steps, settings.field_scale) == (3, 0.5)
    assert all(row.extra["folded"].mean == 0 for row in report.rows)


def test_one_network_for_every_weight_of_the_regularisation(tmp_path: Path) -> None:
    train("sshn_reg", tmp_path, max_epochs=1, regularization=[0.0, 1.0], val_regularization=[0.1, 0.9], val_phi=0.3)
    for weight in (0.1, 0.9):
        content = read_frontier(tmp_path / f"regularization_{weight}")
        assert [row.phi for row in content.rows] == [(0.3,)] and content.options["regularization"] == weight
    settings = read_settings(tmp_path / "models" / "model.json", RegistrationSettings)
    assert settings.regularization == (0.0, 1.0) and settings.loss["balance"] is True
    network = best_weights(build_network(settings), tmp_path / "models")
    assert network.context.names == ("phi", "regularization")
    x = torch.rand(1, 2, 9, 8, 7)
    with torch.no_grad():
        assert not torch.equal(network(x, phi=0.3, regularization=0.1), network(x, phi=0.3, regularization=0.9))
    known = {"ckpt_dir": str(tmp_path / "models"), "dataset_dir": str(tmp_path / "synthetic_pairs")}
    run("sshn_reg", "train", "evaluate", device="cpu", phi=0.3, num_workers=0, output_dir=f"{tmp_path}/eval", **known)
    content = read_frontier(tmp_path / "eval")
    assert [row.phi for row in content.rows] == [(0.3,)] and content.options["regularization"] == 0.5


def test_one_factor_per_level_with_a_weight(tmp_path: Path) -> None:
    options = {"regularization": [0.2, 0.8], "per_level": True, "network::features": [4, 4, 4], "val_phi": [[0.5, 0.3]]}
    _, report = registering(tmp_path, **options)
    assert [row.phi for row in report.rows] == [(0.5, 0.3)] and report.options["regularization"] == 0.5


def ends(tmp_path: Path, *names: str) -> list[dict[str, Any]]:
    return [torch.load(tmp_path / name / "models" / "last.pt", weights_only=True) for name in names]


def same_ends(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first["progress"] == second["progress"]
    for part in ("network", "averaged"):
        for name, value in first.get(part, {}).items():
            torch.testing.assert_close(second[part][name], value, atol=0, rtol=0)


def test_a_registration_training_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    options = {"max_epochs": 3, "val_interval": 3, "val_phi": [0.3]}
    train("sshn_reg", tmp_path / "whole", **options)

    class Stop(Exception):
        pass

    flow = workflow("sshn_reg", **{**SMALL["sshn_reg"], **options, "output_dir": str(tmp_path / "half")})
    flow.initialize()
    trainer = flow.parser.get_parsed_content("train#trainer")

    @trainer.on(Events.EPOCH_STARTED(once=3))
    def stop() -> None:
        raise Stop

    with pytest.raises(Stop):
        trainer.run()
    train("sshn_reg", tmp_path / "half", **options, resume=True)
    same_ends(*ends(tmp_path, "whole", "half"))
    with pytest.raises(SystemExit, match="another similarity"):
        train("sshn_reg", tmp_path / "half", **options, resume=True, similarity="mi")


def test_a_killed_training_resumes_to_the_same_numbers(tmp_path: Path) -> None:
    options = {"max_epochs": 4, "iterations_per_epoch": 3, "num_workers": 1, "val_phi": [0.2]}
    whole = process("sshn_seg", tmp_path / "whole", **options)
    killed = process("sshn_seg", tmp_path / "killed", **options)
    last = tmp_path / "killed" / "models" / "last.pt"
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and killed.poll() is None:
        if last.exists() and torch.load(last, weights_only=True)["progress"]["epoch"] >= 2:
            break
        time.sleep(0.02)
    kill(killed)
    before = torch.load(last, weights_only=True)["progress"]
    assert 2 <= before["epoch"] < 4, "the training ended before it could be killed"
    output = finished(process("sshn_seg", tmp_path / "killed", **options, resume=True))
    assert f"Resumed after epoch {before['epoch']}" in output
    finished(whole)
    same_ends(*ends(tmp_path, "whole", "killed"))


@pytest.mark.parametrize("bundle", BUNDLES)
def test_two_processes_train_one_network(tmp_path: Path, bundle: str) -> None:
    options = {"iterations_per_epoch": 4, "max_epochs": 1, "processes": 2}
    finished(process(bundle, tmp_path, "multi_gpu_train", **options))
    # Each process does its share of an epoch's iterations.
    assert ends(tmp_path, ".")[0]["progress"]["iteration"] == 2
    assert [row.phi for row in read_frontier(tmp_path).rows] == [(0.2,), (0.5,)]


@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_damaged_scan_ends_in_one_sentence(tmp_path: Path, bundle: str) -> None:
    folder = write_synthetic_dataset(tmp_path / "set", 2, cases=6, size=16)
    for image in (folder / "imagesTr").iterdir():
        image.write_bytes(image.read_bytes()[:-30])
    with pytest.raises(SystemExit, match="error: .*png"):
        train(bundle, tmp_path / "out", "images", dataset_dir=str(folder))


def test_a_folder_that_is_no_data_set_of_the_kind_ends_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="error: .*") as caught:
        train("sshn_seg", tmp_path / "out", dataset_dir=str(tmp_path))
    assert "\n" not in str(caught.value)
    images = write_synthetic_dataset(tmp_path / "set", 2, cases=6, size=16)
    with pytest.raises(SystemExit, match=r"error: .* holds 2D images, the network is for volumes: use images.json"):
        train("sshn_reg", tmp_path / "out", dataset_dir=str(images))


def test_a_mistake_on_the_command_line_has_no_traceback(tmp_path: Path) -> None:
    started = process("sshn_seg", tmp_path / "out", phii=0.3)
    output = started.communicate(timeout=120)[0]
    assert started.returncode == 1
    assert "unknown option --phii" in output and "Traceback" not in output


def test_outputs_land_in_the_bundle_wherever_it_is_started_from(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    bundle, file = BUNDLES["sshn_seg"], config("sshn_seg")
    for given in (file, os.path.relpath(file, tmp_path)):
        flow = ConfigWorkflow(config_file=given, workflow_type="train", logging_file=False)
        flow.parser.parse(reset=True)
        flow._is_initialized = True  # without `initialize`, which would set the models of an earlier run aside
        assert flow.bundle_root == str(bundle)
        flow.add_property("output_dir", required="True", config_id="output_dir")
        assert flow.output_dir == str(bundle / "output")


SENTENCES = [
    ("sshn_seg", "train", {"phii": 0.3}, "unknown option --phii; did you mean --phi"),
    ("sshn_seg", "train", {"train::inferer::phii": 1}, "unknown option --train#inferer#phii"),
    ("sshn_seg", "train", {"phi": "half"}, "phi must be a number between 0 and 1, got 'half'"),
    ("sshn_seg", "train", {"warm_start": str(BUNDLES["sshn_seg"] / "configs")}, "no trained weights in .*configs"),
    ("sshn_seg", "train", {"warm_start": 3}, "warm_start must be the folder of an earlier training, got 3"),
    ("sshn_seg", "train", {"method": "fixed", "phi": [0.1, 0.3]}, "phi: method fixed trains one network for one phi"),
    ("sshn_seg", "train", {"val_phi": [[0.5, 0.4, 0.3]]}, "built for one phi for all levels, got 3 factors.*per_level"),
    ("sshn_seg", "train", {"per_level": True, "val_phi": [[0.5, 0.4]]}, "val_phi: phi must be one number or 3"),
    ("sshn_seg", "train", {"network": {"name": "NNUNet"}}, "name must be one of ScaleSpaceUNet, .* got 'NNUNet'"),
    ("sshn_seg", "train", {"network": {"name": "AttentionUnet"}}, "give the network .replace_norm"),
    ("sshn_seg", "train", {"method": {"generator": "gan"}}, "generator must be one of mlp"),
    ("sshn_seg", "train", {"method": {"name": "film", "ranks": 3}}, "'film' has no option 'ranks'"),
    ("sshn_seg", "train", {"method": {"name": "fixed", "hidden": [3]}}, "'constant' has no option 'hidden'"),
    ("sshn_seg", "train", {"select": "transformers"}, "matches no parameter"),
    ("sshn_seg", "train", {"network": {"features": [4]}}, "features needs at least two stages"),
    ("sshn_seg", "train", {"network::featurs": [4, 4]}, "no option 'featurs'; its options are features, decoder_f"),
    ("sshn_seg", "train", {"augmentation": {"rotat": 1}}, "rotat"),
    ("sshn_seg", "train", {"output_dir": str(BUNDLES["sshn_seg"])}, "is a bundle, whose trained weights would be repl"),
    ("sshn_seg", "train", {"device": "cuda:63"}, "must be on this machine, which has . CUDA devices, got cuda:63"),
    ("sshn_seg", "train", {"device": "gpu"}, "device must be one such as cpu"),
    ("sshn_seg", "train", {"method": {"reference": 0.5}}, "nothing to keep at phi = 0.5"),
    ("sshn_seg", "train", {**KEPT, "per_level": True, "rescale_input": True}, "not with both"),
    ("sshn_seg", "train", {**KEPT, "keep_phi": 2}, "keep_phi: phi must be a number between 0 and 1"),
    ("sshn_seg", "train", {**KEPT, "method": "film"}, "keep_phi needs method sshn"),
    ("sshn_seg", "train", {**KEPT, "method": {"init": "paper"}}, "residual form"),
    ("sshn_seg", "train", {"teacher": "nowhere"}, "nowhere does not exist"),
    ("sshn_seg", "train", {"teacher": ".", "teacher_phi": [1.5]}, "teacher_phi"),
    ("sshn_seg", "inference", {"ckpt_dir": "no/such/folder"}, "no description of a trained network"),
    ("sshn_seg", "inference", {"phi": [0.5, 0.4, 0.3]}, "built for one phi for all levels"),
    ("sshn_seg", "inference", {"dataset_dir": "no/such/folder"}, "dataset_dir must be an existing folder"),
    ("sshn_reg", "train", {"val_phi": [[0.5, 0.4]]}, "built for one phi for all levels, got 2 factors"),
    ("sshn_reg", "train", {"similarity": "ssim"}, "similarity must be one of mse, lncc, mi, got 'ssim'"),
    ("sshn_reg", "train", {"smoothness": "l1"}, "smoothness must be one of tv, gradient, bending, got 'l1'"),
    ("sshn_reg", "train", {"similarity": "lncc", "window": 4}, "must be an odd number of voxels, got 4"),
    ("sshn_reg", "train", {"smoothness_weight": -1}, "smoothness_weight must be a number from 0"),
    ("sshn_reg", "train", {"integration_steps": 2.5}, "integration_steps must be a whole number of at least 0"),
    ("sshn_reg", "train", {"field_scale": 2}, "field_scale must be a number above 0 and up to 1"),
    ("sshn_reg", "train", {"regularization": [0, 2]}, r"regularization must be \[least, greatest\], both from 0 to 1"),
    ("sshn_reg", "train", {"sizes": [16, 16]}, "sizes must be 3 numbers above 0"),
    ("sshn_reg", "train", {"atlas": "case_001"}, "pairs and atlas are of a data set"),
    ("sshn_reg", "train", {"dataset_dir": ".", "pairs": "no/such.json"}, "pairs must be a file"),
    ("sshn_reg", "train", {"synthetic": {"cases": 8}}, "cases"),
    ("sshn_reg", "train", {"head_features": 0}, "head_features must be a whole number of at least 1"),
    ("sshn_reg", "inference", {"ckpt_dir": str(BUNDLES["sshn_seg"] / "models")}, "for segmentation, expected one"),
]


@pytest.mark.parametrize(("bundle", "file", "overrides", "sentence"), SENTENCES)
def test_mistakes_end_in_one_sentence(
    tmp_path: Path, bundle: str, file: str, overrides: dict[str, Any], sentence: str
) -> None:
    output = tmp_path / "out"
    with pytest.raises(SystemExit, match=sentence) as caught:
        workflow(bundle, file, **{"output_dir": str(output), **overrides}).initialize()
    assert "\n" not in str(caught.value)
    assert not output.exists() and not list(tmp_path.iterdir())
