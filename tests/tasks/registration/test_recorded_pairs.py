from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from monai_hyperscale.cli.main import main
from monai_hyperscale.data import write_synthetic_dataset
from monai_hyperscale.errors import DatasetError, FrontierError
from monai_hyperscale.search import open_workload, read_frontier
from monai_hyperscale.tasks.registration.folding import RegistrationFolding
from monai_hyperscale.tasks.registration.pairs import Pair, RegistrationImages
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from monai_hyperscale.tasks.registration.training_data import RegistrationData, load_registration_data
from tests.conftest import write_bundle


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shapes"
    return Path(write_synthetic_dataset(folder, spatial_dims=2, cases=8, size=24, labels=2))


@pytest.fixture
def atlas(images: Path, tmp_path: Path) -> dict[str, Path]:
    """Return the files of an atlas that is no case of the images."""
    made = Path(write_synthetic_dataset(tmp_path / "made", spatial_dims=2, cases=1, size=24, labels=2, seed=5))
    (tmp_path / "templates").mkdir()
    found = {}
    for option, kind, name in (("atlas", "imagesTr", "mean.png"), ("atlas_label", "labelsTr", "mean_label.png")):
        (source,) = (made / kind).iterdir()
        found[option] = Path(shutil.copy(source, tmp_path / "templates" / name))
    return found


def trained(images: Path, **options: Any) -> RegistrationData:
    return load_registration_data(images, "", spatial_dims=2, fractions=(0.5, 0.25, 0.25), **options)


def network(folder: Path, data: RegistrationData) -> Path:
    settings = RegistrationSettings(
        2,
        data.channels,
        sizes=(32, 32),
        head_features=4,
        network={"features": (4, 4)},
        labels=data.labels,
        provenance=json.loads(json.dumps(data.provenance)),
    )
    return write_bundle(folder, settings)


def test_pairs_are_those_to_the_atlas_of_the_training(images: Path, tmp_path: Path) -> None:
    data = trained(images, atlas="case_003")
    parts = data.provenance["cases"]
    assert sorted(sum(parts.values(), [])) == sorted(f"case_00{n}" for n in range(8) if n != 3)
    assert [pair["name"] for pair in data.test] == [f"{name} to case_003" for name in sorted(parts["test"])]
    bundle = network(tmp_path / "net", data)
    for part in ("test", "validation"):
        found = open_workload(bundle, images, part=part).names
        assert sorted(found) == sorted(f"{name} to case_003" for name in parts[part])
    assert len(open_workload(bundle, images, part="all").names) == 7
    _, data = RegistrationFolding(open_workload(bundle, images, "test").settings).read_test_case(images, bundle)
    assert data["case"] in found + [f"{name} to case_003" for name in parts["test"]]


def test_an_atlas_that_is_no_case_is_looked_for(
    images: Path, atlas: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = trained(images, **atlas)
    facts = data.provenance["atlas"]
    assert (facts["image"]["file"], facts["label"]["file"]) == ("mean.png", "mean_label.png")
    assert str(tmp_path) not in json.dumps(data.provenance)
    bundle = network(tmp_path / "net", data)
    wanted = sorted(f"{name} to mean" for name in data.provenance["cases"]["test"])
    way_out = r"the atlas mean.png and its label map mean_label.png, .* name it with --atlas and --atlas-label"
    with pytest.raises(DatasetError, match=way_out):
        open_workload(bundle, images, "test")
    assert sorted(open_workload(bundle, images, "test", **atlas).names) == wanted
    for file in atlas.values():
        shutil.copy(file, bundle)
    found = open_workload(bundle, images, "test")
    assert sorted(found.names) == wanted and set(found.labels.values()) == {"structure 1", "structure 2"}
    # Other contents under the same name are another atlas.
    other = next((images / "imagesTr").iterdir())
    shutil.copy(other, bundle / "mean.png")
    with pytest.raises(DatasetError, match=way_out):
        open_workload(bundle, images, "test")
    assert "another atlas" not in caplog.text
    open_workload(bundle, images, "test", **{**atlas, "atlas": bundle / "mean.png"})
    assert "another atlas than that of the training" in caplog.text


def test_the_list_of_a_training_is_looked_for(images: Path, tmp_path: Path) -> None:
    listing = tmp_path / "mine.json"
    entries = [[f"case_00{a}", f"case_00{b}"] for a, b in ((0, 1), (2, 3), (4, 5), (6, 7))]
    listing.write_text(json.dumps(entries))
    data = trained(images, pairs=listing)
    bundle = network(tmp_path / "net", data)
    with pytest.raises(DatasetError, match="the pairs of the list mine.json, which is neither in .* with --pairs"):
        open_workload(bundle, images, "test")
    wanted = [pair["name"] for pair in data.test]
    assert len(wanted) == 1 and open_workload(bundle, images, "test", pairs=listing).names == wanted
    shutil.copy(listing, bundle / "models")
    assert open_workload(bundle, images, "test").names == wanted


def test_pareto_takes_an_atlas(images: Path, atlas: dict[str, Path], tmp_path: Path, bundle: Path) -> None:
    net = network(tmp_path / "net", trained(images, **atlas))
    named = ["--atlas", str(atlas["atlas"]), "--atlas-label", str(atlas["atlas_label"])]
    command = ["--dataset", str(images), "-o", str(tmp_path / "out"), "--phi", "0.3", "--device", "cpu"]
    light = ["--repeats", "0", "--no-memory", "--no-report"]
    assert main(["pareto", str(net), *command, *light]) == 1
    assert main(["pareto", str(net), *command, *light, *named]) == 0
    assert all(name.endswith(" to mean") for name in read_frontier(tmp_path / "out").data["cases"])
    with pytest.raises(FrontierError, match="atlas is for registration networks"):
        open_workload(bundle, images, "test", atlas="case_001")


def test_the_case_of_every_listed_pair_is_an_atlas() -> None:
    cases = [{"name": name} for name in "abc"]
    assert RegistrationImages(cases, ("MRI",), {}, 3, pairs=(Pair(0, 2), Pair(2, 1))).common == 2
    assert RegistrationImages(cases, ("MRI",), {}, 3, pairs=(Pair(0, 2), Pair(0, 1), Pair(1, 2))).common is None
    # Of one pair there is no telling which, unless it was named.
    assert RegistrationImages(cases[:2], ("MRI",), {}, 3, pairs=(Pair(0, 1),)).common is None
    named = RegistrationImages(cases[:2], ("MRI",), {}, 3, pairs=(Pair(0, 1),), atlas=1)
    assert named.subjects == cases[:1]
