from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader
from monai.data.utils import set_rnd
from monai.transforms import Compose, Transform
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from torch.utils.data import RandomSampler

from monai_hyperscale.data import write_synthetic_dataset
from monai_hyperscale.errors import ConfigError, DatasetError, ImageError
from monai_hyperscale.io.fields import read_field, write_field
from monai_hyperscale.registration import warp
from monai_hyperscale.tasks.registration.pair_files import read_pairs
from monai_hyperscale.tasks.registration.pair_transforms import PairSlice, registration_preprocessing
from monai_hyperscale.tasks.registration.pairs import PairList
from monai_hyperscale.tasks.registration.synthetic_pairs import write_synthetic_pairs
from monai_hyperscale.tasks.registration.training_data import PairDataset, load_registration_data


def _dataset(images, sizes, pair_transform=None, **options):
    dims = images.spatial_dims
    preprocessing = registration_preprocessing(
        images.channels, dims, sizes, label_values=images.label_values, **options
    )
    return PairDataset(images.pair_list, preprocessing, pair_transform)


@pytest.mark.parametrize("dims", [2, 3])
def test_known_fields_warp_moving_onto_fixed(tmp_path, dims):
    images = read_pairs(write_synthetic_pairs(tmp_path / "a", dims, pairs=2, size=21, seed=3))
    sizes = (24, 24, 16)[:dims]  # padded and cropped
    data = _dataset(images, sizes)
    assert len(data) == 2
    for sample in data:
        assert [sample[key].dtype for key in ("moving", "fixed_label", "field")] == [
            torch.float32,
            torch.uint8,
            torch.float32,
        ]
        assert tuple(sample["field"].shape) == (dims, *sizes)
        inner = (slice(None), *(slice(3, -3) for _ in range(dims)))
        moved = warp(sample["moving"][None], sample["field"][None])[0]
        before, after = (((image - sample["fixed"])[inner] ** 2).mean() for image in (sample["moving"], moved))
        assert after < 0.15 * before
        label = warp(sample["moving_label"][None], sample["field"][None], mode="nearest")[0]
        assert (label == sample["fixed_label"])[inner].float().mean() > 0.97


@pytest.mark.parametrize("codes", ["LAS", "PSR", "SRA"])
def test_known_fields_turn_with_their_images(tmp_path, codes):
    folder = write_synthetic_pairs(tmp_path / "a", 3, pairs=1, size=16, labels=1)
    expected = _dataset(read_pairs(folder), (16, 18, 14))[0]
    pair = json.loads((folder / "pairs.json").read_text())["pairs"][0]
    field = read_field(folder / pair["field"])
    target = axcodes2ornt(codes)
    for key in ("moving", "fixed", "moving_label", "fixed_label"):
        image = nib.load(folder / pair[key])
        change = ornt_transform(io_orientation(image.affine), target)
        turned = image.as_reoriented(change)
        nib.save(nib.Nifti1Image(np.asarray(turned.dataobj), turned.affine), folder / pair[key])
    # The same displacements of physical points, on the turned grid: by points, not by turning axes.
    index = np.stack(np.meshgrid(*map(np.arange, turned.shape), indexing="ij"), axis=-1)
    to_old = np.linalg.inv(field.affine.numpy()) @ turned.affine
    old = np.rint(nib.affines.apply_affine(to_old, index)).astype(int)
    vectors = field.numpy()[:, old[..., 0], old[..., 1], old[..., 2]]
    moved = nib.affines.apply_affine(np.linalg.inv(to_old), old + np.moveaxis(vectors, 0, -1))
    write_field(torch.from_numpy(np.moveaxis(moved - index, -1, 0).copy()), folder / pair["field"], turned.affine)
    found = _dataset(read_pairs(folder), (16, 18, 14))[0]
    for key in ("moving", "fixed", "fixed_label"):
        assert torch.equal(found[key], expected[key])
    torch.testing.assert_close(found["field"], expected["field"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("key", ["moving", "fixed"])
@pytest.mark.parametrize("change", ["size", "place"])
def test_known_field_on_another_grid(tmp_path, key, change):
    folder = write_synthetic_pairs(tmp_path / "a", 3, pairs=1, size=16, labels=1)
    pair = json.loads((folder / "pairs.json").read_text())["pairs"][0]
    image = nib.load(folder / pair[key])
    part = image.slicer[:, 2:] if change == "size" else nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
    if change == "place":
        part.affine[0, 3] += 1
    nib.save(nib.Nifti1Image(np.asarray(part.dataobj), part.affine), folder / pair[key])
    label = nib.load(folder / pair[f"{key}_label"])
    label = label.slicer[:, 2:] if change == "size" else label
    nib.save(nib.Nifti1Image(np.asarray(label.dataobj), part.affine), folder / pair[f"{key}_label"])
    with pytest.raises(DatasetError, match=rf"on another grid than .*{key}\.nii\.gz; resample both"):
        _dataset(read_pairs(folder), (16, 18, 14))[0]


def test_all_pairs_of_unlabelled_images(tmp_path, write):
    rng = np.random.default_rng(0)
    arrays = {name: rng.random((4, 5, 6)).astype(np.float32) for name in "abc"}
    for name, array in arrays.items():
        write(tmp_path / f"{name}.nii.gz", array)
    data = _dataset(read_pairs(tmp_path), (4, 5, 6))
    samples = {sample["name"]: sample for sample in (data[index] for index in range(len(data)))}
    assert len(samples) == 6 and samples["a to c"].keys() == {"moving", "fixed", "name"}
    for name in ("a to c", "c to b"):
        for key, case in zip(("moving", "fixed"), name.split(" to "), strict=True):
            correlation = np.corrcoef(samples[name][key].numpy().ravel(), arrays[case].ravel())[0, 1]
            assert correlation > 0.999
    with pytest.raises(IndexError):
        data[6]


def test_images_are_read_once(tmp_path, write):
    for name in "abcd":
        write(tmp_path / f"{name}.png", np.zeros((6, 5), np.uint8))
    read = []
    images = read_pairs(tmp_path)

    class Load(Transform):
        def __call__(self, case):
            read.append(case["name"])
            return {"image": torch.rand(1, 5, 6)}

    data = PairDataset(images.pair_list, Load(), num_workers=0)
    assert [len(sample) for sample in data] == [3] * 12
    assert len(read) == 4


def test_images_of_two_sizes_need_a_common_one(tmp_path, write):
    write(tmp_path / "a.png", np.zeros((6, 5), np.uint8))
    write(tmp_path / "b.png", np.zeros((6, 7), np.uint8))
    with pytest.raises(DatasetError, match=r"a to b have sizes \[5, 6\] and \[7, 6\]; give sizes"):
        _dataset(read_pairs(tmp_path), None)[0]


def test_resampled_images_have_no_known_field(tmp_path):
    images = read_pairs(write_synthetic_pairs(tmp_path / "a", 3, pairs=1, size=12, labels=1))
    assert "field" in _dataset(images, (16, 16, 16))[0]
    assert "field" not in _dataset(images, (16, 16, 16), spacing=(1, 1, 2))[0]


def _epoch(data, seed, num_workers):
    """Return the names and images of an epoch, seeded as the training's handler does it."""
    torch.manual_seed(seed)
    set_rnd(data, seed=seed)
    sampler = RandomSampler(data, num_samples=6)
    batches = list(DataLoader(data, batch_size=2, sampler=sampler, num_workers=num_workers))
    return [name for batch in batches for name in batch["name"]], torch.cat([batch["moving"] for batch in batches])


def test_pairs_of_an_epoch_depend_on_its_seed_alone(tmp_path, write):
    rng = np.random.default_rng(0)
    for name in "abcde":
        write(tmp_path / f"{name}.nii.gz", rng.random((6, 5, 9)).astype(np.float32))
    data = _dataset(read_pairs(tmp_path), (6, 5, 9), PairSlice(random=True))
    first, images = _epoch(data, 1, 0)
    again, same = _epoch(data, 1, 0)
    assert first == again and torch.equal(images, same) and images.shape == (6, 1, 6, 5)
    assert len(set(first)) == 6
    assert _epoch(data, 2, 0)[0] != first
    # Worker processes draw slices in their own order, but of the same pairs.
    names, workers = _epoch(data, 1, 2)
    assert names == first
    assert torch.equal(_epoch(data, 1, 2)[1], workers)


def test_hippocampus_before_registration(shared_data):
    images = read_pairs(shared_data / "Task04_Hippocampus")
    pairs = PairList(images.cases).sample(30, seed=0)
    preprocessing = registration_preprocessing(images.channels, 3, (48, 64, 48), label_values=images.label_values)
    data = PairDataset(pairs, preprocessing)
    dice = []
    for index in range(len(data)):
        moving, fixed = data[index]["moving_label"], data[index]["fixed_label"]
        for label in images.labels:
            both = ((moving == label) & (fixed == label)).sum()
            dice.append(float(2 * both / ((moving == label).sum() + (fixed == label).sum())))
    # 0.54 over all pairs; thirty of them vary by 0.025.
    assert 0.46 < np.mean(dice) < 0.62


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
    assert data.labels and data.sizes == (24, 24)
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
    assert data.slices and data.sizes == (16, 24, 32)
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


def test_a_damaged_file_is_told_in_a_sentence(tmp_path):
    class Damaged(Transform):
        def __call__(self, case):
            raise ImageError("a.png is damaged.")

    images = read_pairs(write_synthetic_pairs(tmp_path / "set", 2, pairs=5, size=16))
    with pytest.raises(RuntimeError) as raised:
        PairDataset(images.pair_list, Compose([Damaged()]))
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
