from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from monai_hyperscale.bundle import bundle_root, default_bundle, running_parser


def test_the_default_bundle_is_complete():
    folder = default_bundle("sshn_seg")
    present = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    expected = {"LICENSE", "docs/README.md", "docs/data_license.txt", "models/model.pt", "models/model.json"}
    names = ("metadata", "train", "evaluate", "inference", "multi_gpu_train", "slices", "images", "hippocampus")
    expected |= {f"configs/{name}.json" for name in names} | {"configs/logging.conf"}
    assert expected <= present


def test_an_unknown_bundle_is_refused():
    with pytest.raises(ValueError, match="no bundle called 'sshn_sleep'"):
        default_bundle("sshn_sleep")


def test_the_running_configuration_has_its_overrides():
    parser = ConfigParser(
        {"imports": ["$import monai_hyperscale"], "a": 1, "b": "$list(monai_hyperscale.bundle.running_parser().config)"}
    )
    parser["c"] = 3
    assert set(parser.get_parsed_content("b")) == {"imports", "a", "b", "c"}
    with pytest.raises(ValueError, match="only inside"):
        running_parser()


def test_without_a_known_reader_the_bundle_is_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parser = ConfigParser({"imports": ["$import monai_hyperscale"], "b": "$monai_hyperscale.bundle.bundle_root()"})
    assert Path(parser.get_parsed_content("b")) == Path(bundle_root()) == tmp_path
