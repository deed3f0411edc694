"""Options as a schema: what bundles give by default, what is refused, and what a resumed run is compared by."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from monai_hyperscale.bundle import build_network, default_bundle
from monai_hyperscale.errors import CheckpointError, ConfigError, DatasetError
from monai_hyperscale.tasks import task_named
from monai_hyperscale.tasks.registration.options import RegistrationOptions
from monai_hyperscale.tasks.segmentation.options import SegmentationOptions
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
from monai_hyperscale.training import TrainingOptions, fingerprint, options_from
from monai_hyperscale.training.checks import compare_keys, merge_keys
from tests.saved import save_network

BUNDLES = {"segmentation": "sshn_seg", "registration": "sshn_reg"}
#: What a configuration has that is no option: components, and what stands between them.
COMPONENTS = set("_meta_ imports bundle_root initialize run steps phis model network_def settings".split())


def written(task: str, file: str = "train") -> dict[str, Any]:
    parser = ConfigParser()
    parser.read_config(default_bundle(BUNDLES[task]) / "configs" / f"{file}.json")
    return dict(parser.config)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", BUNDLES)
def test_every_option_of_a_training_is_in_its_file_and_in_the_schema(task: str) -> None:
    config, fields = written(task), set(task_named(task).training_options.model_fields)
    assert fields <= set(config)
    others = [config[name] for name in set(config) - fields - COMPONENTS]
    assert all("_target_" in json.dumps(each) or str(each).startswith("$") for each in others)


@pytest.mark.parametrize("task", BUNDLES)
@pytest.mark.parametrize("file", ["train", "hippocampus"])
def test_what_the_files_say_is_allowed(task: str, file: str) -> None:
    kind = task_named(task).training_options
    values = {**written(task), **written(task, file)}
    plain = {name: values[name] for name in kind.model_fields if not str(values[name]).startswith("$")}
    options = options_from(kind, plain, {"warm_start"})
    kept = json.loads(options.model_dump_json())  # without what has no part in the numbers
    assert all(value == plain.get(name, value) for name, value in kept.items()) and len(kept) > 15
    assert build_network(options.settings()).primary.levels == len(values["network"]["features"]) - 1


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"max_epochs": 0}, "max_epochs must be a whole number of at least 1, got 0."),
        ({"max_epochs": True}, "max_epochs must be a whole number of at least 1, got True."),
        ({"max_epochs": 2.0}, "max_epochs must be a whole number of at least 1, got 2.0."),
        ({"learning_rate": "0.1"}, "learning_rate must be a number above 0 and up to 10, got '0.1'."),
        ({"learning_rate": float("nan")}, "learning_rate must be a number above 0 and up to 10, got nan."),
        ({"resume": 1}, "resume must be True or False, got 1."),
        ({"phi": []}, "phi must name at least one factor, got an empty list."),
        ({"phi": [0.1, [0.5, 2]]}, "phi must be a number between 0 and 1, got 2.0"),
        ({"phi_range": [0.5, 0.1]}, "phi_range must be [least, greatest], both from 0 to 1, got [0.5, 0.1]."),
        ({"phi_range": [0.1]}, "phi_range must be [least, greatest], both from 0 to 1, got [0.1]."),
        ({"spatial_dims": 4}, "spatial_dims must be 2 or 3, got 4."),
        ({"spacing": [1, 1, 0]}, "spacing must be 3 numbers above 0, got [1, 1, 0]."),
        ({"split": [1, 2]}, "split must be three shares above 0, of training, validation and test cases, got [1, 2]."),
        ({"network": "UNet"}, "network must be a dictionary of arguments, got 'UNet'."),
        ({"select": 3}, "select must be a text or a list of name patterns, got 3."),
        ({"method": "san"}, "method must be one of sshn, fixed, stochastic, film, got 'san'."),
        ({"method": 3}, "method must be a name or a dictionary of it and its arguments, got 3."),
        ({"precision": "fp8"}, "precision must be one of fp32, bf16, fp16, got 'fp8'."),
        ({"precision": "fp16"}, "precision fp16 needs a CUDA device; use bf16 or fp32."),
        ({"keep_phi": 0.5}, "keep_phi keeps the network that warm_start names; name one, or leave keep_phi out."),
        ({"max_epoch": 3}, "unknown option --max_epoch; did you mean --max_epochs?"),
        ({"frobnicate": 3}, "unknown option --frobnicate; the bundle's docs/README.md lists the options."),
    ],
)
def test_what_is_refused_is_told_in_a_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        options_from(TrainingOptions, values)
    assert str(raised.value).startswith(sentence)


def test_errors_keep_their_kind(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="dataset_dir must be an existing folder, got 'nowhere'"):
        options_from(TrainingOptions, {"dataset_dir": "nowhere"})
    with pytest.raises(CheckpointError, match="warm_start: bundle .*nowhere does not exist"):
        options_from(TrainingOptions, {"warm_start": str(tmp_path / "nowhere")})


def test_options_of_tasks_must_fit_together() -> None:
    with pytest.raises(ConfigError, match="phis_per_step must divide the batch_size 2, got 3"):
        options_from(SegmentationOptions, {"phis_per_step": 3})
    with pytest.raises(ConfigError, match=r"roi_size must be 2 numbers above 0, got \[8, 8, 8\]"):
        options_from(SegmentationOptions, {"spatial_dims": 2, "roi_size": [8, 8, 8]})
    with pytest.raises(ConfigError, match="val_regularization needs a range"):
        options_from(RegistrationOptions, {"val_regularization": 0.5})
    options_from(RegistrationOptions, {"val_regularization": 0.5}, later={"regularization"})
    # A 2D network sees volumes slice by slice.
    options_from(RegistrationOptions, {"spatial_dims": 2, "sizes": [8, 8, 8]})
    with pytest.raises(ConfigError, match="an atlas cannot be given too"):
        options_from(RegistrationOptions, {"dataset_dir": ".", "pairs": __file__, "atlas": "a"})


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    settings = SegmentationSettings(2, ("MRI",), {1: "a"}, network={"features": (4, 4)})
    save_network(tmp_path, settings)
    return tmp_path


CHANGES: dict[str, Any] = {
    "seed": 1, "keep_phi": 0.5, "method": "film", "phi": 0.3, "per_level": True, "rescale_input": True,
    "phi_range": [0.1, 0.5], "phi_exponent": 2.0, "val_phi": 0.3, "batch_size": 4, "learning_rate": 0.1,
    "ema_momentum": 0.1, "spatial_dims": 2, "spacing": [1, 1, 2], "split": [0.6, 0.2, 0.2], "select": "norms",
    "network": {"features": [4, 4]}, "weight_penalty": 0.1, "augmentation": {"rotate": 0.1}, "precision": "bf16",
    "synthetic": {"cases": 5}, "phis_per_step": 2, "teacher_phi": [0.5], "channels": ["CT"], "roi_size": 16,
}  # fmt: skip


def test_all_that_changes_the_numbers_is_in_the_fingerprint(weights: Path) -> None:
    known = {"warm_start": str(weights), "teacher": str(weights)}
    base = options_from(SegmentationOptions, known).fingerprint()
    assert {*CHANGES, *known} == set(base)
    for name, value in CHANGES.items():
        changed = options_from(SegmentationOptions, {**known, name: value}).fingerprint()
        assert {other for other in base if changed[other] != base[other]} == {name}
    beside = {"device": "cpu", "num_workers": 3, "max_epochs": 7, "val_interval": 2, "output_dir": "x", "resume": True}
    assert options_from(SegmentationOptions, {**known, **beside}).fingerprint() == base


def test_weights_are_told_by_their_content(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    copied = tmp_path_factory.mktemp("elsewhere") / "models"
    shutil.copytree(weights, copied)
    here, there, parent = (
        options_from(SegmentationOptions, {"warm_start": str(folder), "teacher": [str(folder)]}).fingerprint()
        for folder in (weights, copied, copied.parent)
    )
    assert here == there == parent
    (copied / "model.pt").write_bytes(b"other")
    other = options_from(SegmentationOptions, {"warm_start": str(copied), "teacher": [str(copied)]}).fingerprint()
    assert other["warm_start"] != here["warm_start"] and other["teacher"] != here["teacher"]


def test_a_running_configuration_has_its_fingerprint() -> None:
    config = {
        "imports": ["$import monai_hyperscale"],
        "device": "cpu",
        "batch_size": "$2 + 2",
        "max_epochs": 3,
        "found": "$monai_hyperscale.training.fingerprint('segmentation', cases='abc')",
    }
    found: Any = ConfigParser(config).get_parsed_content("found")
    assert found["batch_size"] == 4 and found["cases"] == "abc" and "max_epochs" not in found
    assert fingerprint.__module__ == "monai_hyperscale.training.checks"


def test_options_of_all_levels_are_known_from_the_files() -> None:
    known: dict[str, Any] = {}
    merge_keys(known, ["train", "inferer"], {"_target_": "A", "precision": "fp32"})
    merge_keys(known, ["train"], {"sampler": {"_target_": "B"}})
    merge_keys(known, ["network"], {"features": [1]})
    compare_keys({"train": {"inferer": {"_target_": "A", "precision": "bf16"}}}, known)
    compare_keys({"network": {"anything": 1}}, known)
    # A component of another kind has arguments of its own.
    compare_keys({"train": {"inferer": {"_target_": "C", "other": 1}}}, known)
    with pytest.raises(
        ValueError, match="unknown option --train#inferer#precison; did you mean --train#inferer#precision"
    ):
        compare_keys({"train": {"inferer": {"_target_": "A", "precison": "bf16"}}}, known)
