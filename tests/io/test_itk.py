from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from monai_hyperscale.errors import ImageError
from monai_hyperscale.io import read_image

# A rotation about an oblique axis: no row or column is a coordinate axis.
ROTATION = Rotation.from_rotvec([0.4 / 3, 0.8 / 3, 0.8 / 3]).as_matrix()


def save(path: Path, dtype: type = np.int16, compress: bool = False, size: tuple[int, ...] = (7, 6, 5)) -> np.ndarray:
    voxels = np.random.default_rng(0).integers(0, 100, size).astype(dtype)
    image = sitk.GetImageFromArray(voxels.transpose())
    n = len(size)
    image.SetSpacing([0.7, 1.3, 4.0][:n])
    image.SetOrigin([-12.0, 30.5, 7.0][:n])
    if n == 3:
        image.SetDirection(ROTATION.flatten().tolist())
    sitk.WriteImage(image, str(path), compress)
    return voxels


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd"])
def test_physical_points_are_those_of_itk(tmp_path: Path, name: str, compress: bool) -> None:
    voxels = save(tmp_path / name, compress=compress)
    image = read_image(tmp_path / name)
    assert np.array_equal(image.numpy()[0], voxels)
    reference = sitk.ReadImage(str(tmp_path / name))
    for index in ((0, 0, 0), (6, 0, 0), (2, 5, 1), (6, 5, 4)):
        x, y, z = reference.TransformIndexToPhysicalPoint(index)  # LPS
        assert np.allclose(image.affine.numpy() @ [*index, 1], [-x, -y, z, 1], atol=1e-9)


def test_two_dimensions(tmp_path: Path) -> None:
    voxels, image = save(tmp_path / "a.mha", size=(7, 6)), read_image(tmp_path / "a.mha")
    assert np.array_equal(image.numpy()[0], voxels)
    assert np.allclose(image.affine.numpy(), [[-0.7, 0, 0, 12], [0, -1.3, 0, -30.5], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.uint64, np.float32, np.float64])
def test_every_voxel_type(tmp_path: Path, dtype: type) -> None:
    voxels = save(tmp_path / "a.mha", dtype=dtype)
    assert np.array_equal(read_image(tmp_path / "a.mha").numpy()[0], voxels)


def test_four_dimensions(tmp_path: Path) -> None:
    voxels = np.arange(48, dtype=np.float32).reshape(4, 3, 2, 2)
    path = str(tmp_path / "a.nrrd")
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(voxels[..., t].T.copy()) for t in range(2)]), path)
    assert np.array_equal(read_image(path, channels=2).numpy(), np.moveaxis(voxels, 3, 0))
    with pytest.raises(ImageError, match="is 4D, of shape 4x3x2x2"):
        read_image(path)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_vectors_are_channels_only_where_asked_for(tmp_path: Path, spatial_dims: int) -> None:
    size = (4, 5, 6)[:spatial_dims]
    parts = [np.random.default_rng(seed).integers(0, 255, size).astype(np.uint8) for seed in range(3)]
    image = sitk.Compose([sitk.GetImageFromArray(part.T.copy()) for part in parts])
    sitk.WriteImage(image, str(tmp_path / "rgb.mha"))
    stacked = np.stack(parts).reshape(3, *size, *([1] * (3 - spatial_dims)))
    assert np.array_equal(read_image(tmp_path / "rgb.mha", channels=3).numpy(), stacked)
    with pytest.raises(ImageError, match="colour or vectors"):
        read_image(tmp_path / "rgb.mha")


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
def test_truncated(tmp_path: Path, name: str, compress: bool, capfd: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / name, compress=compress, size=(20, 20, 20))
    whole = (tmp_path / name).read_bytes()
    for kept in range(10):
        (tmp_path / name).write_bytes(whole[: len(whole) * kept // 10])
        with pytest.raises(ImageError) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # ITK itself writes to standard error


def test_damaged_compressed_metaimage(tmp_path: Path) -> None:
    # SimpleITK gives wrong voxels for this file, and no error.
    path = tmp_path / "a.mha"
    save(path, compress=True, size=(20, 20, 20))
    content = bytearray(path.read_bytes())
    content[-2000:-1000] = bytes(1000)
    path.write_bytes(content)
    with pytest.raises(ImageError, match="damaged"):
        read_image(path)


@pytest.mark.parametrize("name", ["../secret.raw", "/etc/hostname", "LIST", "slice%03d.raw 1 3 1", "gone.raw"])
def test_voxels_come_from_the_same_folder_only(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    save(folder / "a.mhd")
    (tmp_path / "secret.raw").write_bytes((folder / "a.raw").read_bytes())
    header = (folder / "a.mhd").read_text().replace("ElementDataFile = a.raw", f"ElementDataFile = {name}")
    (folder / "a.mhd").write_text(header)
    nrrd = "NRRD0004\ntype: short\ndimension: 3\nsizes: 7 6 5\nencoding: raw\nendian: little\n"
    (folder / "a.nrrd").write_text(f"{nrrd}data file: {name}\n\n")
    for file in ("a.mhd", "a.nrrd"):
        with pytest.raises(ImageError, match="takes its voxels from"):
            read_image(folder / file)
