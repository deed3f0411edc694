"""Networks by name: ours, and MONAI's made rescalable."""

import pytest
import torch
from monai.networks.nets import BasicUNet, BasicUNetPlusPlus

from monai_hyperscale.bundle import ARCHITECTURES, build_network, build_primary
from monai_hyperscale.errors import CheckpointError, ConfigError, ConversionError
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings

TINY = {
    "AttentionUnet": {"channels": (4, 4), "replace_norm": "group"},
    "BasicUNet": {"features": (4,) * 6},
    "BasicUNetPlusPlus": {"features": (4,) * 6},
    "DynUNet": {"filters": (4, 4, 4)},
    "FlexibleUNet": {"replace_norm": "group", "decoder_channels": (8, 4, 4, 4, 4)},
    "SegResNet": {"init_filters": 4, "norm": ("instance", {"affine": True}), "blocks_down": (1, 1), "blocks_up": (1,)},
    "UNet": {"channels": (4, 4)},
    "VNet": {"replace_norm": "instance"},
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_network_segments_and_folds(name):
    options = {"name": name, **TINY.get(name, {"features": (4, 4, 4)})}
    torch.manual_seed(0)
    # VNet and FlexibleUNet have the widths they have; a generator for all of them would be most of the test.
    generator = {"name": "constant"}
    network = build_network(
        SegmentationSettings(2, ("a", "b"), {1: "c", 2: "d"}, network=options, generator=generator)
    ).eval()
    image = torch.rand(1, 2, 17, 13)
    with torch.no_grad():
        logits = network(image, phi=0.3)
        assert logits.shape == (1, 3, 17, 13)
        torch.testing.assert_close(network.fold(0.3)(image), logits, atol=1e-5, rtol=0)
        assert not torch.equal(network(image, phi=0.5), logits)


def test_the_converted_network_is_monais():
    torch.manual_seed(0)
    primary = build_primary(2, 1, 3, {"name": "BasicUNetPlusPlus", "features": (4,) * 6})
    original = BasicUNetPlusPlus(2, 1, 3, features=(4,) * 6)
    original.load_state_dict({name.removeprefix("body.body."): value for name, value in primary.state_dict().items()})
    image = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(primary.eval()(image, 0.5), original.eval()(image)[-1], atol=1e-5, rtol=0)


def test_strides_and_kernels_follow_the_number_of_stages():
    assert build_primary(2, 1, 2, {"name": "UNet", "channels": (4, 4, 4)}).levels == 2
    assert build_primary(2, 1, 2, {"name": "DynUNet", "filters": (4, 4, 4, 4)}).levels == 3
    strides = {"name": "DynUNet", "strides": (1, 2, (2, 1)), "filters": (4, 4, 4)}
    assert build_primary(2, 1, 2, strides)(torch.rand(1, 1, 9, 8), 0.4).shape == (1, 2, 9, 8)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"name": "os.system"}, ConfigError, "name must be one of ScaleSpaceUNet, .* got 'os.system'"),
        ({"name": "SwinUNETR"}, ConfigError, "got 'SwinUNETR'"),
        ({"name": ["UNet"]}, ConfigError, "name must be one of"),
        ({"name": "FlexibleUNet", "pretrained": True}, ConfigError, "not downloaded"),
        ({"name": "BasicUNetPlusPlus", "deep_supervision": True}, ConfigError, "last output"),
        ({"name": "VNet"}, ConversionError, "BatchNorm.*give the network .replace_norm"),
        (
            {"name": "BasicUNet", "depth": 3},
            ConfigError,
            "no option 'depth'; its options are features, act, .*replace_norm",
        ),
        ({"name": "ScaleSpaceFPN", "bins": 3}, ConfigError, "no option 'bins'"),
        (
            {"name": "ScaleSpaceSEUNet", "bins": 3},
            ConfigError,
            "no option 'bins'; its options are features, decoder_features, .*rounding, patch_size, reduction",
        ),
    ],
)
def test_what_makes_no_network_is_told(options, error, sentence):
    with pytest.raises(error, match=sentence):
        build_primary(2, 1, 2, options)
    with pytest.raises(CheckpointError, match="the settings do not make a network: ") as caught:
        build_network(SegmentationSettings(2, ("a",), {1: "b"}, network=options))
    assert "\n" not in str(caught.value) and ".." not in str(caught.value)


def test_monais_weights_are_the_starting_point(tmp_path):
    torch.manual_seed(0)
    trained = BasicUNet(2, 1, 2, features=(4,) * 6)
    torch.save(trained.state_dict(), tmp_path / "weights.pt")
    settings = SegmentationSettings(
        2, ("a",), {1: "b"}, network={"name": "BasicUNet", "features": (4,) * 6}, generator={"name": "constant"}
    )
    network = build_network(settings, weights=tmp_path / "weights.pt").eval()
    assert len(network.primary.report.tensors.reused) == len(trained.state_dict())
    image = torch.rand(1, 1, 32, 16)
    with torch.no_grad():
        torch.testing.assert_close(network(image, phi=0.5), trained.eval()(image), atol=1e-5, rtol=0)
    with pytest.raises(CheckpointError, match="of MONAI's only; for ScaleSpaceUNet name the folder"):
        build_network(SegmentationSettings(2, ("a",), {1: "b"}), weights=tmp_path / "weights.pt")
