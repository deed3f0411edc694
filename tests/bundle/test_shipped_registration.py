"""The registration bundle's own weights."""

import json

import numpy as np
import pytest
import torch
from monai.bundle import verify_net_in_out

from benchmarks.classical import overlap, unseen_pairs
from monai_hyperscale.bundle import build_network, default_bundle, read_settings
from monai_hyperscale.registration import folded_share, warp
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from monai_hyperscale.training import best_weights

BUNDLE = default_bundle("sshn_reg")
CONFIGS = BUNDLE / "configs"


@pytest.fixture(scope="module")
def pairs(shared_data):
    settings = read_settings(BUNDLE / "models" / "model.json", RegistrationSettings)
    return settings, unseen_pairs(shared_data / "Task04_Hippocampus", settings, count=20, seed=0)


@pytest.mark.parametrize(("phi", "least"), [(0.5, 0.735), (0.25, 0.735)])
def test_shipped_weights_register_unseen_scans(pairs, phi, least):
    settings, found = pairs
    network = best_weights(build_network(settings), BUNDLE / "models").fold(phi)
    before, after, folded = [], [], []
    for pair in found:
        with torch.no_grad():
            field = network(torch.cat([pair["moving"], pair["fixed"]], dim=1))
        before.append(overlap(pair["moving_label"], pair["fixed_label"]))
        after.append(overlap(warp(pair["moving_label"], field, mode="nearest"), pair["fixed_label"]))
        folded.append(folded_share(field).item())
    assert np.mean(before) < 0.57
    assert np.mean(after) >= least
    assert np.mean(folded) <= 0.005


def test_shipped_weights_are_small_and_fit_their_description():
    settings = read_settings(BUNDLE / "models" / "model.json", RegistrationSettings)
    assert (BUNDLE / "models" / "model.pt").stat().st_size <= 10_000_000
    build_network(settings).load_state_dict(torch.load(BUNDLE / "models" / "model.pt", weights_only=True))
    metadata = json.loads((CONFIGS / "metadata.json").read_text())
    assert settings.out_channels == metadata["network_data_format"]["outputs"]["pred"]["num_channels"]
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(CONFIGS / "metadata.json"),
        config_file=str(CONFIGS / "inference.json"),
        device="cpu",
        n=9,
    )
