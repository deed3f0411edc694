import json
from dataclasses import replace

import pytest

from monai_hyperscale.bundle import build_network, read_settings, write_metadata, write_settings
from monai_hyperscale.bundle.locate import default_bundle
from monai_hyperscale.errors import CheckpointError
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings

SETTINGS = SegmentationSettings(
    spatial_dims=2,
    channels=("T1", "T2"),
    labels={1: "core", 3: "rim"},
    spacing=(1.0, 1.5),
    roi_size=(64, 64),
    phi_range=(0.1, 0.4),
    network={"features": (4, 8)},
    generator={"hidden": (6, 3)},
    provenance={"data": "unit test"},
)


def test_round_trip(tmp_path):
    more = {"method": "film", "generator": {"name": "film"}, "select": ("*norm*",), "per_level": True}
    for settings in (SETTINGS, replace(SETTINGS, **more, rescale_input=True)):
        write_settings(settings, tmp_path / "models" / "model.json")
        read = read_settings(tmp_path / "models" / "model.json")
        assert replace(read, network={}, generator={}) == replace(settings, network={}, generator={})
        assert build_network(read).state_dict().keys() == build_network(settings).state_dict().keys()


def test_the_network_is_the_one_described():
    network = build_network(SETTINGS, {"phi": 0.3})
    assert (network.primary.in_channels, network.primary.out_channels) == (2, 4)
    assert network.primary.levels == 1
    assert network.generator.hidden == (6, 3)
    assert network.context["phi"].default == 0.3


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"task": "registration"},
        {"labels": {}},
        {"labels": {"0": "background"}},
        {"labels": ["core"]},
        {"phi_range": [0.5, 0.1]},
        {"phi_range": 0.5},
        {"spatial_dims": 5},
        {"channels": []},
        {"method": "san"},
        {"per_level": "yes"},
        {"rescale_input": 2},
    ],
)
def test_bad_content_is_refused_in_one_sentence(tmp_path, change):
    path = tmp_path / "model.json"
    write_settings(SETTINGS, path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CheckpointError, match=r"model\.json") as caught:
        read_settings(path, SegmentationSettings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"text"', "\x00\xff"])
def test_damaged_files_are_refused(tmp_path, content):
    path = tmp_path / "model.json"
    path.write_text(content)
    with pytest.raises(CheckpointError):
        read_settings(path)
    with pytest.raises(CheckpointError, match="no description"):
        read_settings(tmp_path / "missing.json")


def test_settings_that_make_no_network_are_refused():
    with pytest.raises(CheckpointError, match="features"):
        build_network(replace(SETTINGS, network={"features": [4]}))
    with pytest.raises(CheckpointError, match="depth"):
        build_network(replace(SETTINGS, network={"depth": 3}))


def test_metadata_describes_the_network(tmp_path):
    write_metadata(SETTINGS, default_bundle() / "configs" / "metadata.json", tmp_path / "metadata.json")
    content = json.loads((tmp_path / "metadata.json").read_text())
    data_format = content["network_data_format"]
    assert data_format["inputs"]["image"]["num_channels"] == 2
    assert data_format["inputs"]["image"]["spatial_shape"] == ["n", "n"]
    assert data_format["outputs"]["pred"]["channel_def"] == {"0": "background", "1": "core", "2": "unused", "3": "rim"}
