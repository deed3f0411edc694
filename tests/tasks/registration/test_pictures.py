from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from monai_hyperscale.errors import RegistrationError
from monai_hyperscale.tasks.registration.pictures import checkerboard, save_registration_preview


@pytest.mark.parametrize("sizes", [(11, 17), (9, 8, 7)])
def test_difference_of_equal_images_is_white(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    affine = torch.diag(torch.tensor([-1.0, 2, 1, 1]))
    fixed, moving = (MetaTensor(torch.rand(1, *sizes), affine=affine) for _ in range(2))
    save_registration_preview(fixed, moving, fixed, tmp_path / "new" / "a.png", "a title")
    with Image.open(tmp_path / "new" / "a.png") as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    colourful = np.ptp(pixels, axis=2) > 60  # red and blue, which only differences are
    width = pixels.shape[1]
    assert colourful[:, 4 * width // 6 : 5 * width // 6].any()
    assert not colourful[:, 5 * width // 6 + 5 :].any() and not colourful[:, : 4 * width // 6 - 5].any()


def test_other_sizes(tmp_path: Path) -> None:
    image = MetaTensor(torch.rand(1, 9, 8), affine=torch.eye(4))
    with pytest.raises(RegistrationError, match="on one grid"):
        save_registration_preview(image, image[:, 1:], image, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_checkerboard_has_half_of_each() -> None:
    board = checkerboard(np.zeros((32, 16)), np.ones((32, 16)), squares=4)
    assert board.mean() == 0.5
    assert (board[:8, :8] == 0).all() and (board[8:16, :8] == 1).all() and (board[:8, 8:] == 1).all()
