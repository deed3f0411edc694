import nibabel as nib
import numpy as np
import pytest
import torch
from monai.inferers import SlidingWindowInferer

from monai_hyperscale.data import read_dataset, write_synthetic_dataset
from monai_hyperscale.errors import DatasetError, ImageError
from monai_hyperscale.io import read_image
from monai_hyperscale.io.labels import read_label
from monai_hyperscale.search.workload import open_workload
from monai_hyperscale.tasks.segmentation.segmenter import Segmenter
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
from tests.conftest import OPTIONS, write_bundle
from tests.itk_overlap import label_dice


def test_scores_are_those_of_the_segmented_files(bundle, dataset):
    workload = open_workload(bundle, dataset)
    assert workload.names == ["case_004", "case_001", "case_002"]
    assert workload.labels == {"1": "structure 1", "2": "structure 2"}
    files = {case["name"]: case for case in read_dataset(dataset).cases}
    segmenter = Segmenter.from_bundle(bundle)
    seen = set()
    for phi in (0.2, 0.5, 0.2):  # twice the same: what is kept in memory stays as it is
        run = workload.run(phi)
        for index, name in enumerate(workload.names):
            label = segmenter.segment(read_image(files[name]["image"], 1), phi)
            wanted = label_dice(label, read_label(files[name]["label"]))
            scores = workload.measure(index, run).scores
            assert scores == {value: pytest.approx(wanted[int(value)]) for value in ("1", "2")}
            reference = read_label(files[name]["label"])
            assert workload.measure(index, run).volumes == {"1": (reference == 1).sum(), "2": (reference == 2).sum()}
            seen.add(tuple(scores.values()))
    assert len(seen) == 6  # every case and phi differs


@pytest.mark.parametrize("max_voxels", [2**24, 1])
@pytest.mark.parametrize("spacing", [None, (1.0, 1.0, 1.5)])
@pytest.mark.parametrize("slices", [False, True])
def test_scores_of_scans_are_those_of_the_segmented_files(tmp_path, slices, spacing, max_voxels):
    settings = SegmentationSettings(
        2 if slices else 3,
        ("MRI",),
        {1: "structure 1", 2: "structure 2"},
        spacing=spacing,
        roi_size=(16, 12) if slices else (16, 12, 9),
        slices=slices,
        **OPTIONS,
    )
    folder = write_bundle(tmp_path / "bundle", settings)
    data = write_synthetic_dataset(tmp_path / "shapes", spatial_dims=3, cases=6, size=20, labels=2)
    cases = {case["name"]: case for case in read_dataset(data).cases}
    turned = np.array([[0, -1.2, 0.1, 9], [0.9, 0, 0, -4], [0, 0.1, 2.1, 30], [0, 0, 0, 1]])
    for file in (cases["case_004"]["image"], cases["case_004"]["label"]):  # other axes, anisotropic, oblique
        nib.save(nib.Nifti1Image(np.asanyarray(nib.load(file).dataobj), turned), file)
    workload = open_workload(folder, data, max_voxels=max_voxels)
    segmenter = Segmenter.from_bundle(folder, max_voxels=max_voxels)
    run = workload.run(0.4)
    for index, name in enumerate(workload.names):
        label = segmenter.segment(read_image(cases[name]["image"], 1), 0.4)
        assert np.array_equal(workload._label_map(workload._case(index)["image"], run)[0].numpy(), label)
        wanted = label_dice(label, read_label(cases[name]["label"]))
        scores = workload.measure(index, run).scores
        assert scores == {value: pytest.approx(wanted[int(value)]) for value in ("1", "2")}


def test_a_case_is_prepared_once(bundle, dataset, monkeypatch):
    workload = open_workload(bundle, dataset, limit=2)
    calls = []
    prepare = workload._preprocessing
    monkeypatch.setattr(workload, "_preprocessing", lambda case: calls.append(case["name"]) or prepare(case))
    for phi in (0.1, 0.5):
        for index in range(2):
            workload.measure(index, workload.run(phi))
    assert calls == workload.names == ["case_004", "case_001"]
    # What does not fit into the memory set aside is prepared anew, to the same result.
    monkeypatch.setattr("monai_hyperscale.tasks.segmentation.workload._KEPT", 0)
    other = open_workload(bundle, dataset, limit=2)
    assert other.measure(0, other.run(0.5)) == workload.measure(0, workload.run(0.5)) and not other._prepared


def test_large_images_go_through_in_windows(bundle, dataset):
    whole = open_workload(bundle, dataset, limit=1)
    windows = open_workload(bundle, dataset, limit=1, max_voxels=1)
    image = torch.rand(1, 1, 160, 100)
    network = whole.run(0.5).network
    assert windows.run(0.5)(image).shape == whole.run(0.5)(image).shape == (1, 160, 100)
    assert torch.equal(whole.run(0.5)(image), network(image).argmax(1).to(torch.uint8))
    expected = SlidingWindowInferer(windows.segmenter.inferer.roi_size, 1, 0.25, mode="gaussian")(image, network)
    assert torch.equal(windows.run(0.5)(image), expected.argmax(1).to(torch.uint8))


def test_the_image_that_is_timed(bundle, dataset):
    workload = open_workload(bundle, dataset, limit=1)
    case = read_dataset(dataset).cases[4]
    assert workload.image().shape[2:] == read_image(case["image"], 1).shape[1:]
    assert workload.image((17, 33)).shape == (1, 1, 17, 33)
    with pytest.raises(DatasetError, match="a size of 2 numbers"):
        workload.image((1, 2, 3))


def test_stages_from_file_to_file(bundle, dataset):
    workload = open_workload(bundle, dataset, limit=1)
    stages = workload.stages(0.3)
    assert list(stages) == ["reading", "preprocessing", "network", "argmax", "resampling", "writing", "other"]
    assert all(seconds > 0 for name, seconds in stages.items() if name != "other")
    # One more stage where an image goes through in windows.
    assert "merging" in open_workload(bundle, dataset, limit=1, max_voxels=1).stages(0.3)


def test_an_example_shows_what_the_network_makes(bundle, dataset):
    workload = open_workload(bundle, dataset, limit=1)
    images, maps = workload.example(0, {(0.5,): workload.run(0.5)})
    case = read_dataset(dataset).cases[4]
    assert np.array_equal(images["label"], read_label(case["label"]))
    assert np.array_equal(maps[(0.5,)], Segmenter.from_bundle(bundle).segment(read_image(case["image"], 1), 0.5))


def test_other_data_is_told(bundle, dataset, tmp_path):
    volumes = write_synthetic_dataset(tmp_path / "volumes", spatial_dims=3, cases=3, size=12)
    with pytest.raises(DatasetError, match="takes 2D images"):
        open_workload(bundle, volumes)
    labels = write_synthetic_dataset(tmp_path / "labels", spatial_dims=2, cases=3, size=24, labels=3)
    with pytest.raises(DatasetError, match=r"label values \[0, 1, 2\]"):
        open_workload(bundle, labels)


def test_a_damaged_case_is_told_in_one_sentence(bundle, tmp_path):
    folder = write_synthetic_dataset(tmp_path / "d", spatial_dims=2, cases=3, size=24, labels=2)
    workload = open_workload(bundle, folder)
    path = next(path for path in folder.rglob("*case_001*") if "label" in str(path.parent))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises((DatasetError, ImageError), match="case_001") as caught:
        workload.measure(1, workload.run(0.5))
    assert "\n" not in str(caught.value)
