import pytest

from monai_hyperscale.errors import PhiError
from monai_hyperscale.search import phi_grid
from monai_hyperscale.search.evaluation import default_grid


def test_ranges_have_both_ends_and_plain_numbers():
    grid = phi_grid("0:0.5:0.01")
    assert len(grid) == 51 and grid == [(round(0.01 * index, 2),) for index in range(51)]
    assert phi_grid("0.1:0.35:0.1") == [(0.1,), (0.2,), (0.3,)]
    assert phi_grid(default_grid((0.5, 0.5))) == [(0.5,)] and phi_grid("0.3,0.1,0.3") == [(0.3,), (0.1,)]


def test_factors_per_level():
    assert phi_grid("0.5,0.3,0.1;0.5,0.2,0.1") == [(0.5, 0.3, 0.1), (0.5, 0.2, 0.1)]
    cube = phi_grid("0:0.5:0.05x0:0.5:0.05x0:0.5:0.05")
    assert len(cube) == 11**3 and cube[0] == (0, 0, 0) and cube[-1] == (0.5, 0.5, 0.5) and (0.05, 0.3, 0.15) in cube


@pytest.mark.parametrize(
    "text",
    ["", "a", "0.6:0.5:0.1", "0:1:0", "0:1", "-0.1", "1.2", "nan", "0.1,", "0.1,0.2;0.3", ";", "0:1:0.001x0:1:0.001",
     "0:1:1e-9", "0.1x", "0.1;x"],
)  # fmt: skip
def test_other_text_is_told_in_one_sentence(text):
    with pytest.raises(PhiError) as caught:
        phi_grid(text)
    assert "\n" not in str(caught.value)
