"""The segmentation bundle's own weights, and the recipe that made them."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import verify_net_in_out

from monai_hyperscale.bundle import build_network, read_settings
from monai_hyperscale.data import read_dataset
from monai_hyperscale.io import read_image
from monai_hyperscale.tasks.segmentation.segmenter import Segmenter
from tests.bundle.workflows import BUNDLES, SMALL, run

BUNDLE = BUNDLES["sshn_seg"]
CONFIGS = BUNDLE / "configs"


def test_the_recipe_runs(tmp_path):
    small = {name: SMALL["sshn_seg"][name] for name in ("batch_size", "num_workers", "device", "synthetic")}
    options = {**small, "max_epochs": 1, "iterations_per_epoch": 2, "roi_size": [20, 20, 20], "val_phi": [0.5]}
    first, second, third, fourth = (str(tmp_path / name) for name in ("first", "second", "third", "fourth"))
    steps: list[tuple[list[str], dict]] = [
        (["hippocampus"], {"output_dir": first}),
        (["hippocampus"], {"output_dir": second, "warm_start": first}),
        (["hippocampus", "hippocampus_finetune"], {"output_dir": third, "warm_start": second, "teacher": second}),
        (["hippocampus"], {"output_dir": fourth, "warm_start": third, "teacher": third}),
    ]
    for names, own in steps:
        run("sshn_seg", "train", *names, **{**options, **own})
    trained, shipped = (read_settings(folder / "models" / "model.json") for folder in (tmp_path / "fourth", BUNDLE))
    assert trained.network == shipped.network and trained.generator == shipped.generator
    assert (trained.select, trained.method) == (shipped.select, shipped.method)


@pytest.fixture(scope="module")
def scans(shared_data):
    """Return the network, and images and label maps that it has not seen."""
    segmenter = Segmenter.from_bundle(BUNDLE)
    unseen = segmenter.settings.provenance["cases"]["test"]
    cases = [case for case in read_dataset(shared_data / "Task04_Hippocampus").cases if case["name"] in unseen]
    assert len(cases) == len(unseen) == 40
    return segmenter, [(read_image(case["image"]), np.asarray(nib.load(case["label"]).dataobj)) for case in cases]


@pytest.mark.parametrize(("phi", "least"), [(0.5, 0.890), (0.3, 0.887), (0.2, 0.879)])
def test_shipped_weights_segment_unseen_scans(scans, phi, least):
    segmenter, cases = scans
    scores = []
    for image, label in cases:
        found = segmenter.segment(image, phi)
        scores += [2 * ((found == n) & (label == n)).sum() / ((found == n).sum() + (label == n).sum()) for n in (1, 2)]
    assert np.mean(scores) >= least


def test_shipped_weights_are_small_and_fit_their_description():
    folder = BUNDLE / "models"
    settings = read_settings(folder / "model.json")
    assert (folder / "model.pt").stat().st_size <= 10 * 2**20
    network = build_network(settings)
    network.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
    metadata = json.loads((CONFIGS / "metadata.json").read_text())
    assert settings.out_channels == metadata["network_data_format"]["outputs"]["pred"]["num_channels"]
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(CONFIGS / "metadata.json"),
        config_file=str(CONFIGS / "inference.json"),
        device="cpu",
        n=9,
    )
