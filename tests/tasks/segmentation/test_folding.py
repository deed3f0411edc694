import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import SaveImage

from monai_hyperscale.tasks.segmentation.folding import SegmentationFolding, SegmentationStockBundle
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings


@pytest.mark.parametrize(("largest", "written"), [(2**24, True), (2**24 + 1, False), (312782551, False)])
def test_no_stock_bundle_for_labels_that_monai_rounds(tmp_path, largest, written):
    settings = SegmentationSettings(3, ("MRI",), {1: "a", 2: "b"}, label_values=(0, 5, largest))
    bundle = SegmentationFolding(settings).stock_bundle()
    assert isinstance(bundle, SegmentationStockBundle) == written
    assert written or str(largest) in bundle
    # The reason for it; where this fails, MONAI rounds no longer and the refusal can go.
    label = MetaTensor(torch.full((1, 2, 2, 2), largest), affine=torch.eye(4), meta={"filename_or_obj": "a.nii.gz"})
    save = SaveImage(tmp_path, "", ".nii.gz", output_dtype="uint32", resample=False, separate_folder=False)
    save(label)
    kept = np.asanyarray(nib.load(tmp_path / "a.nii.gz").dataobj)
    assert (kept == largest).all() == written
