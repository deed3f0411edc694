"""The bundle trained with each method, with other networks and one factor per level; as small as it goes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from monai_hyperscale.bundle import build_network, default_bundle, read_settings
from monai_hyperscale.cli.main import main
from monai_hyperscale.data import read_dataset, write_synthetic_dataset
from monai_hyperscale.inference import PhiPartsInferer
from monai_hyperscale.io import read_image
from monai_hyperscale.search import read_frontier
from monai_hyperscale.tasks.segmentation.segmenter import Segmenter

CONFIGS = default_bundle("sshn_seg") / "configs"
SMALL = {
    "max_epochs": 1,
    "iterations_per_epoch": 2,
    "batch_size": 2,
    "num_workers": 0,
    "device": "cpu",
    "spatial_dims": 2,
    "network": {"features": [4, 4, 4]},
    "ema_momentum": 0.9,
}
LEVELS = [0.5, 0.4, 0.3]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_synthetic_dataset(tmp_path_factory.mktemp("data"), 2, cases=5, size=16)


@pytest.fixture
def train(dataset, tmp_path):
    """Return a function that trains, into ``tmp_path``, and gives the settings and the report."""

    def run(*overrides, **options):
        options = {"dataset_dir": str(dataset), "output_dir": str(tmp_path), **SMALL, **options}
        report = run_workflow("train.json", *overrides, **options)
        return read_settings(Path(options["output_dir"], "models", "model.json")), report

    return run


def trained(settings, folder):
    network = build_network(settings)
    network.load_state_dict(torch.load(folder / "models" / "model.pt", weights_only=True))
    return network.eval()


def run_workflow(*names, output_dir, **options):
    flow = ConfigWorkflow(
        config_file=[str(CONFIGS / name) for name in names],
        workflow_type="train",
        logging_file=str(CONFIGS / "logging.conf"),
        output_dir=output_dir,
        **options,
    )
    flow.initialize()
    flow.run()
    flow.finalize()
    return read_frontier(output_dir)


@pytest.mark.parametrize(
    ("method", "options", "phis"),
    [
        ({"generator": "spline"}, {"val_phi": [0.2, 0.5], "weight_penalty": 1e-4}, [0.2, 0.5]),
        ("fixed", {}, [0.5]),
        ("fixed", {"phi": 0.3}, [0.3]),
        ("stochastic", {"val_phi": [0.2, 0.5]}, [0.2, 0.5]),
        ("film", {"val_phi": [0.2, 0.5]}, [0.2, 0.5]),
    ],
)
def test_every_method_trains_and_segments(train, tmp_path, dataset, method, options, phis):
    settings, report = train(method=method, **options)
    method = method if isinstance(method, str) else "sshn"
    assert (settings.method, report.bundle["settings"]["method"]) == (method, method)
    assert [row.phi for row in report.rows] == [(phi,) for phi in phis]
    assert settings.phi_range == ((phis[0], phis[0]) if method == "fixed" else (0.0, 0.5))
    network = trained(settings, tmp_path)
    low, high = network.generate(0.0), network.generate(0.5)
    assert all(torch.equal(low[name], high[name]) for name in low) == (method in ("fixed", "stochastic"))
    segmenter = Segmenter.from_bundle(tmp_path)
    image = read_image(read_dataset(dataset).cases[0]["image"])
    assert segmenter.segment(image, phis[0]).shape == image.shape[1:]


def test_one_factor_per_level_from_training_to_label_maps(train, tmp_path, dataset, capsys):
    options = {"per_level": True, "rescale_input": True, "val_phi": [0.5, LEVELS]}
    settings, report = train(**options)
    assert settings.per_level and settings.rescale_input and settings.phi_range == (0.0, 0.5)
    assert [row.phi for row in report.rows] == [(0.5,), tuple(LEVELS)]
    assert report.rows[1].flops < report.rows[0].flops
    assert '"0.5,0.4,0.3"' in (tmp_path / "frontier.csv").read_text()

    again = {"dataset_dir": str(dataset), "ckpt_dir": str(tmp_path / "models"), "output_dir": str(tmp_path / "again")}
    repeated = run_workflow("train.json", "evaluate.json", phi=[LEVELS, 0.5], device="cpu", num_workers=0, **again)
    assert [(row.phi, row.cases) for row in repeated.rows] == [(row.phi, row.cases) for row in report.rows[::-1]]

    source = read_dataset(dataset).cases[0]["image"]
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


def test_fixed_takes_one_factor_per_level(train):
    settings, report = train(method="fixed", per_level=True, phi=[0.5, 0.25])
    assert settings.phi_range == (0.25, 0.5)
    assert [row.phi for row in report.rows] == [(0.5, 0.25)]


def test_a_network_of_monais_with_deep_supervision_trains(train, tmp_path):
    network = {"name": "DynUNet", "filters": [4, 4, 4, 4], "deep_supervision": True, "deep_supr_num": 2}
    settings, report = train(network=network, val_phi=[0.3])
    assert settings.network["name"] == "DynUNet"
    assert len(report.rows) == 1
    assert Segmenter.from_bundle(tmp_path).fold(0.3)(torch.rand(1, 1, 9, 8)).shape[2:] == (9, 8)


@pytest.mark.parametrize("method", ["fixed", "sshn"])
def test_an_earlier_network_stays_as_it_is_at_one_phi(train, tmp_path, dataset, method):
    first, _ = train(method=method, output_dir=str(tmp_path / "first"))
    # The folder of a training stands for its models.
    source = tmp_path / "first" if method == "fixed" else tmp_path / "first" / "models"
    second, report = train(warm_start=str(source), keep_phi=0.5, val_phi=[0.2, 0.5])
    assert second.generator["reference"] == 0.5
    networks = [trained(first, tmp_path / "first"), trained(second, tmp_path)]
    image = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        same, other = ([network(image, phi=phi) for network in networks] for phi in (0.5, 0.2))
    # Generated weights are rounded to half precision once more in the second network's file.
    torch.testing.assert_close(same[0], same[1], atol=0 if method == "fixed" else 5e-3, rtol=0)
    assert (other[0] - other[1]).abs().max() > 1e-4
    assert [row.phi for row in report.rows] == [(0.2,), (0.5,)]


def test_the_second_stage_begins_with_a_fixed_network(train, tmp_path, monkeypatch):
    first, _ = train(method="fixed", output_dir=str(tmp_path / "first"))
    steps, call = [], PhiPartsInferer.__call__

    def noted(self, inputs, network, *args, **kwargs):
        steps.append((len(inputs), [context["phi"] for context in self.contexts]))
        return call(self, inputs, network, *args, **kwargs)

    monkeypatch.setattr(PhiPartsInferer, "__call__", noted)
    options = {
        "warm_start": str(tmp_path / "first" / "models"),
        "keep_phi": 0.5,
        "method": {"generator": "spline"},
        "phi_range": [0.04, 0.5],
        "batch_size": 4,
        "phis_per_step": 4,
        "val_phi": [0.04, 0.5],
    }
    second, _ = train(**options)
    assert second.phi_range == (0.04, 0.5) and second.generator["reference"] == 0.5
    assert steps and all(size == 4 and len(phis) == 4 and phis == sorted(phis) for size, phis in steps)
    assert all(0.04 <= phi <= 0.5 for _, phis in steps for phi in phis)
    networks = [trained(first, tmp_path / "first"), trained(second, tmp_path)]
    image = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(networks[0](image, phi=0.5), networks[1](image, phi=0.5), atol=0, rtol=0)
        assert (networks[0](image, phi=0.1) - networks[1](image, phi=0.1)).abs().max() > 1e-4


def test_a_network_that_keeps_its_weights_goes_on_as_it_was_made(train, tmp_path):
    train(method="fixed", output_dir=str(tmp_path / "first"))
    train(warm_start=str(tmp_path / "first"), keep_phi=0.5, val_phi=[0.5], output_dir=str(tmp_path / "second"))
    with pytest.raises(SystemExit, match="keeps its weights at phi = 0.5; go on with"):
        train(warm_start=str(tmp_path / "second"))
    settings, _ = train(warm_start=str(tmp_path / "second"), keep_phi=0.5, val_phi=[0.5])
    assert settings.generator["reference"] == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep_phi": 0.5}, "warm_start names"),
        ({"method": {"reference": 0.5}}, "nothing to keep at phi = 0.5"),
        ({"keep_phi": 0.5, "warm_start": "HERE", "per_level": True, "rescale_input": True}, "not with both"),
        ({"keep_phi": 2, "warm_start": "HERE"}, "keep_phi: phi must be a number between 0 and 1"),
        ({"keep_phi": 0.5, "warm_start": "HERE", "method": "film"}, "keep_phi needs method sshn"),
        ({"keep_phi": 0.5, "warm_start": "HERE", "method": {"init": "paper"}}, "residual form"),
    ],
)
def test_keep_phi_where_it_cannot_be(train, tmp_path, options, message, capsys):
    (tmp_path / "model.pt").touch()
    with pytest.raises(SystemExit) as end:
        train(**{name: str(tmp_path) if value == "HERE" else value for name, value in options.items()})
    assert message in f"{end.value}{capsys.readouterr().err}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher": "nowhere"}, "nowhere does not exist"),
        ({"teacher": ".", "teacher_phi": [1.5]}, "teacher_phi"),
    ],
)
def test_a_teacher_that_cannot_be_is_told_before_anything_is_made(train, tmp_path, options, message, capsys):
    with pytest.raises(SystemExit) as end:
        train(**options)
    assert message in f"{end.value}{capsys.readouterr().err}"
    assert not list(tmp_path.rglob("synthetic_data*"))
