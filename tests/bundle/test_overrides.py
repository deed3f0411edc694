"""The override files of the segmentation bundle: what they say, over train.json and over each other."""

from __future__ import annotations

from typing import Any

import pytest
from monai.bundle import ConfigParser

from monai_hyperscale.bundle import default_bundle

CONFIGS = default_bundle("sshn_seg") / "configs"


def parsed(*names: str, **values: Any) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / f"{name}.json") for name in ("train", *names)])
    parser.update(values)
    return parser


@pytest.mark.parametrize(("batch", "phis"), [(16, 8), (12, 4), (6, 2), (5, 1), (1, 1)])
@pytest.mark.parametrize("more", [(), ("multi_gpu_train",)])
def test_slices_have_up_to_eight_phi_in_a_step(batch: int, phis: int, more: tuple[str, ...]) -> None:
    assert parsed("slices", *more, batch_size=batch).get_parsed_content("phis_per_step") == phis


def test_others_have_one_phi_in_a_step() -> None:
    assert parsed().get_parsed_content("phis_per_step") == parsed("images").get_parsed_content("phis_per_step") == 1


def test_what_the_command_line_says_counts() -> None:
    assert parsed("slices", phis_per_step=2).get_parsed_content("phis_per_step") == 2
