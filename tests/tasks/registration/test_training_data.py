import pytest
import torch
from monai.transforms import Compose, Transform

from monai_hyperscale.data import write_synthetic_dataset
from monai_hyperscale.errors import ConfigError, DatasetError, ImageError
from monai_hyperscale.tasks.registration.synthetic_pairs import write_synthetic_pairs
from monai_hyperscale.tasks.registration.training_data import PairDataset, evaluation_pairs, load_registration_data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten labelled images."""
    return write_synthetic_dataset(tmp_path_factory.mktemp("set"), 2, cases=10, size=16)


def names(pairs):
    return {case["name"] for case in pairs.cases}


def load(folder, **options):
    return load_registration_data(folder, "", spatial_dims=2, **options)


def test_parts_share_no_case(folder):
    data = load(folder, fractions=(0.4, 0.3, 0.3), seed=1)
    parts = [names(part) for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in parts] == [4, 3, 3] and len(set.union(*parts)) == 10
    assert [set(found) for found in data.provenance["cases"].values()] == parts
    assert data.labels and data.sizes == (24, 24) and data.title == folder.name
    assert data.fingerprint == load(folder, fractions=(0.4, 0.3, 0.3), seed=1).fingerprint
    assert data.fingerprint != load(folder, fractions=(0.4, 0.3, 0.3), seed=2).fingerprint


def test_so_many_pairs_are_drawn(tmp_path):
    folder = write_synthetic_dataset(tmp_path / "set", 2, cases=16, size=16)
    data = load(folder, fractions=(0.2, 0.38, 0.42))
    # Of the 30 and 42 pairs that 6 and 7 cases make.
    assert (len(data.train), len(data.validation), len(data.test)) == (6, 20, 40)
    assert len(set(pair["name"] for pair in data.test)) == 40


def test_a_2d_network_sees_the_slices_of_volumes(tmp_path, folder):
    volumes = write_synthetic_dataset(tmp_path / "set", 3, cases=6, size=16)
    data = load(volumes, sizes=[16, 24, 32])
    assert data.slices and data.spatial_dims == 3 and data.sizes == (16, 24, 32)
    assert not load(folder).slices
    with pytest.raises(
        ConfigError, match=r"sizes must be 3 numbers above 0, one per axis of the images, got \[16, 24\]"
    ):
        load(volumes, sizes=[16, 24])


def test_listed_pairs_keep_their_fields(tmp_path):
    folder = write_synthetic_pairs(tmp_path / "set", 2, pairs=5, size=16)
    trained = load(folder, fractions=(0.6, 0.2, 0.2))
    assert [len(part) for part in (trained.train, trained.validation, trained.test)] == [3, 1, 1]
    assert trained.test.has_fields and len(trained.test.cases) == 2


def test_known_fields_go_where_they_no_longer_hold():
    volumes = {"moving": torch.rand(1, 5, 4, 3), "fixed": torch.rand(1, 5, 4, 3), "field": torch.zeros(3, 5, 4, 3)}
    assert set(evaluation_pairs(spacing=(1, 1, 2))(volumes)) == {"moving", "fixed"}
    assert evaluation_pairs(slices=True)(volumes)["field"].shape == (2, 5, 4)
    assert set(evaluation_pairs()(volumes)) == set(volumes)


def test_a_damaged_file_is_told_in_a_sentence(tmp_path):
    folder = write_synthetic_pairs(tmp_path / "set", 2, pairs=5, size=16)
    data = load(folder, fractions=(0.6, 0.2, 0.2))

    class Damaged(Transform):
        def __call__(self, case):
            raise ImageError("a.png is damaged.")

    with pytest.raises(RuntimeError) as raised:
        PairDataset(data.train, Compose([Damaged()]))
    assert isinstance(raised.value.__cause__, ImageError)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"spatial_dims": 3}, "holds 2D images, the network is for volumes: use images.json"),
        ({"spatial_dims": 2, "atlas": "nobody"}, "'nobody' is neither a case of the folder"),
        ({"spatial_dims": 2, "pairs": "no/such.json"}, "cannot be read"),
    ],
)
def test_what_cannot_be_is_one_sentence(folder, options, sentence):
    with pytest.raises(DatasetError, match=sentence) as caught:
        load_registration_data(folder, "", **options)
    assert "\n" not in str(caught.value)
