"""Folded networks on disk: a MONAI bundle, TorchScript, ``torch.export``, ONNX and safetensors for one φ.

:func:`fold_bundle` writes them and checks each against the network; :func:`load_folded` reads the last back.
"""

from monai_hyperscale.export.fold import CHOICES, fold_bundle
from monai_hyperscale.export.formats import load_folded
from monai_hyperscale.export.manifest import read_manifest
from monai_hyperscale.export.symbolic import exported_program

__all__ = ["CHOICES", "exported_program", "fold_bundle", "load_folded", "read_manifest"]
