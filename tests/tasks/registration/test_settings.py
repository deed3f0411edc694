import json
from dataclasses import replace

import pytest
import torch

from monai_hyperscale.bundle import (
    NetworkSettings,
    build_network,
    default_bundle,
    read_settings,
    write_metadata,
    write_settings,
)
from monai_hyperscale.errors import CheckpointError, PhiError
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings

SETTINGS = RegistrationSettings(
    2,
    ("T1", "T2"),
    sizes=(16, 24),
    head_features=3,
    integration_steps=2,
    field_scale=0.5,
    loss={"similarity": "lncc", "weight": 0.5},
    regularization=(0.2, 0.6),
    labels={1: "core"},
    phi_range=(0.1, 0.4),
    network={"features": (4, 8, 4)},
    generator={"hidden": (6, 3)},
    provenance={"data": "unit test", "validation_dice": 0.7},
)


def test_round_trip(tmp_path):
    write_settings(SETTINGS, tmp_path / "model.json")
    read = read_settings(tmp_path / "model.json", RegistrationSettings)
    assert replace(read, network={}, generator={}) == replace(SETTINGS, network={}, generator={})
    assert build_network(read).state_dict().keys() == build_network(SETTINGS).state_dict().keys()
    assert read_settings(tmp_path / "model.json", NetworkSettings) == read


def test_the_network_is_the_one_described():
    network = build_network(SETTINGS)
    assert network.context.names == ("phi", "regularization") and network.context.width == 2
    assert network.primary.levels == 2
    head = network.primary.head
    assert (head.integration_steps, head.field_scale) == (2, 0.5) and head.flow.in_channels == 3
    x = torch.rand(1, 4, 11, 9)
    with torch.no_grad():
        field = network(x, phi=0.3)
        torch.testing.assert_close(network.fold(phi=0.3, regularization=0.4)(x), field, atol=1e-6, rtol=0)
    assert field.shape == (1, 2, 11, 9) and field.abs().max() < 1e-2


def test_context():
    # Where none is given, λ is in the middle of what the network was trained for.
    assert SETTINGS.context(phi=0.3) == {"phi": 0.3, "regularization": 0.4}
    levels = replace(SETTINGS, per_level=True).context
    assert levels(phi=[0.3, 0.2], regularization=0.9) == {"phi": (0.3, 0.2), "regularization": 0.9}
    assert levels["regularization"].trained(0.6) and not levels["regularization"].trained(0.7)
    plain = replace(SETTINGS, regularization=None)
    assert plain.context(phi=0.3) == {"phi": 0.3}
    with pytest.raises(PhiError, match="takes phi, not regularization; leave it out"):
        plain.context(phi=0.3, regularization=0.5)
    with pytest.raises(PhiError, match="regularization must be a number between 0 and 1"):
        SETTINGS.context(phi=0.3, regularization=2)


def test_one_task_is_not_the_other(tmp_path):
    write_settings(SETTINGS, tmp_path / "model.json")
    with pytest.raises(CheckpointError, match="a network for registration, expected one for segmentation"):
        read_settings(tmp_path / "model.json", SegmentationSettings)
    write_settings(SegmentationSettings(2, ("MRI",), {1: "a"}), tmp_path / "model.json")
    with pytest.raises(CheckpointError, match="a network for segmentation, expected one for registration"):
        read_settings(tmp_path / "model.json", RegistrationSettings)


@pytest.mark.parametrize(
    "change",
    [
        {"task": "synthesis"},
        {"regularization": [0.6, 0.2]},
        {"regularization": [0, 2]},
        {"regularization": 0.5},
        {"sizes": 3},
    ],
)
def test_bad_content_is_refused_in_one_sentence(tmp_path, change):
    path = tmp_path / "model.json"
    write_settings(SETTINGS, path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CheckpointError, match=r"model\.json") as caught:
        read_settings(path, RegistrationSettings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [{"field_scale": 0.0}, {"integration_steps": -1}])
def test_settings_that_make_no_network_are_refused(change):
    with pytest.raises(CheckpointError, match="do not make a network"):
        build_network(replace(SETTINGS, **change))


def test_metadata_describes_the_network(tmp_path):
    write_metadata(SETTINGS, default_bundle("sshn_reg") / "configs" / "metadata.json", tmp_path / "metadata.json")
    content = json.loads((tmp_path / "metadata.json").read_text())
    image = content["network_data_format"]["inputs"]["image"]
    assert image["num_channels"] == 4 and image["spatial_shape"] == ["n", "n"]
    assert list(image["channel_def"].values()) == ["moving T1", "moving T2", "fixed T1", "fixed T2"]
    assert content["network_data_format"]["outputs"]["pred"]["num_channels"] == 2
    assert content["eval_metrics"] == {"dice": 0.7}
