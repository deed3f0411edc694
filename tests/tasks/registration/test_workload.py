import json
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from monai_hyperscale.errors import DatasetError
from monai_hyperscale.io.seen import SeenImages
from monai_hyperscale.search.workload import open_workload
from monai_hyperscale.tasks.registration.pair_files import read_pairs
from monai_hyperscale.tasks.registration.registrar import Registrar
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from tests.itk_overlap import label_dice
from tests.saved import save_network


def warped(label, field):
    """Move a label map (H, W) by a field (2, H, W), nearest, with torch's own sampling."""
    sizes = torch.tensor(label.shape)
    places = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in sizes], indexing="ij")) + field
    scaled = 2 * places / (sizes[:, None, None] - 1) - 1
    grid = scaled.flip(0).permute(1, 2, 0)[None]
    return F.grid_sample(label[None, None].float(), grid, mode="nearest", align_corners=True)[0, 0]


def test_scores_are_those_of_the_warped_labels(registration_bundle, dataset):
    workload = open_workload(registration_bundle, dataset)
    assert len(workload.names) == 6 and "case_004 to case_001" in workload.names
    registrar = Registrar.from_bundle(registration_bundle)
    for phi in (0.1, 0.5):
        run = workload.run(phi)
        for index in (0, 3):
            pair = workload._pairs[index]
            field = registrar.fold(phi)(torch.cat([pair["moving"], pair["fixed"]])[None])[0].detach()
            moving, fixed = pair["moving_label"][0], pair["fixed_label"][0].numpy()
            result = workload.measure(index, run)
            before, wanted = (
                label_dice(moved.numpy().astype(int), fixed.astype(int)) for moved in (moving, warped(moving, field))
            )
            assert result.scores == {value: pytest.approx(wanted[int(value)], abs=0.01) for value in ("1", "2")}
            assert result.extra["before"] == pytest.approx((before[1] + before[2]) / 2, abs=0.01)
            assert before != wanted and 0 <= result.extra["folded"] < 0.5


def test_pairs_are_of_the_part_and_drawn_by_the_seed(registration_bundle, dataset):
    def names(**options):
        return open_workload(registration_bundle, dataset, **options).names

    kept = {"case_004", "case_001", "case_002"}
    assert all(set(name.split(" to ")) <= kept for name in names())
    assert len(names(part="all", limit=None)) == 30 and len(names(limit=3)) == 3
    assert names(limit=3) == names(limit=3) != names(limit=3, seed=1)


def test_images_without_labels_are_scored_by_their_correlation(registration_bundle, dataset, tmp_path, caplog):
    images = tmp_path / "images"
    images.mkdir()
    for case in read_pairs(dataset).cases[:3]:
        shutil.copy(case["image"], images)
    with pytest.raises(DatasetError, match="use the metric correlation"):
        open_workload(registration_bundle, images, metric="dice")
    assert open_workload(registration_bundle, images).metric_facts["name"] == "correlation"
    assert "has no labels to compare; the score is the correlation" in caplog.text
    workload = open_workload(registration_bundle, images, metric="correlation")
    result = workload.measure(0, workload.run(0.5))
    pair = workload._pairs[0]
    wanted = np.corrcoef(pair["moving"].flatten(), pair["fixed"].flatten())[0, 1]
    assert result.extra["before"] == pytest.approx(wanted, abs=1e-6) and result.scores["0"] != pytest.approx(wanted)
    assert workload.labels == {"0": "whole image"} and workload.metric_facts["name"] == "correlation"


def test_listed_pairs_stay_within_the_part(registration_bundle, dataset, tmp_path):
    folder = tmp_path / "shapes"
    folder.mkdir()
    for path in dataset.iterdir():
        (folder / path.name).symlink_to(path)
    pairs = [["case_001", "case_002"], ["case_001", "case_003"], ["case_004", "case_001"]]
    (folder / "pairs.json").write_text(json.dumps(pairs))
    workload = open_workload(registration_bundle, folder)
    assert workload.names == ["case_001 to case_002", "case_004 to case_001"]


def test_an_example_is_a_field_of_the_images(registration_bundle, dataset):
    workload = open_workload(registration_bundle, dataset, limit=1)
    images, fields = workload.example(0, {(0.5,): workload.run(0.5)})
    assert images["moving"].shape == images["fixed"].shape == (32, 32) and fields[(0.5,)].shape == (2, 32, 32)
    assert workload.image().shape == (1, 2, 32, 32) and workload.image((16, 24)).shape == (1, 2, 16, 24)


def test_volumes_are_brought_to_the_voxels_of_the_training(tmp_path, write, caplog):
    seen = SeenImages.of([((16, 18, 14), np.eye(4))])
    options = {"network": {"features": (4, 4)}, "generator": {"hidden": (4,)}, "head_features": 4, "seen": seen}
    settings = RegistrationSettings(3, ("MRI",), sizes=(24, 24, 24), **options)
    save_network(tmp_path / "net" / "models", settings)
    inputs, volumes = [], []
    for spacing in (1, 2, 9):
        affine, data = np.diag([spacing, spacing, spacing, 1.0]), tmp_path / f"{spacing}mm"
        for case, middle in (("a", 7.0), ("b", 8.0)):
            points = np.stack(np.meshgrid(*[np.arange(0, n, spacing) for n in (16, 18, 14)], indexing="ij"), -1)
            ball = np.exp(-((points - middle) ** 2).sum(-1) / 20).astype(np.float32)
            write(data / "imagesTr" / f"{case}.nii.gz", ball, affine)
            write(data / "labelsTr" / f"{case}.nii.gz", (ball > 0.3).astype(np.uint8), affine)
        workload = open_workload(tmp_path / "net", data)
        inputs.append(workload.network_input(0))
        volumes.append(workload.measure(0, workload.run(0.5)).volumes["1"])
        assert ("has voxels of 9 x 9 x 9 mm, but the network was trained on" in caplog.text) == (spacing == 9)
    # What was sampled every other millimetre looks the same, but for a blur, and has the same size.
    assert inputs[0].shape == inputs[1].shape == (1, 2, 24, 24, 24)
    assert np.corrcoef(inputs[0].flatten(), inputs[1].flatten())[0, 1] > 0.95
    assert volumes[1] == pytest.approx(volumes[0], rel=0.2)
