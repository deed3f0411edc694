"""MONAI's networks as φ-networks: the conversion, and one file of converters per family of networks.

The core is :mod:`place` (the walk and its register), :mod:`conversion` (what one conversion remembers), :mod:`layers`
(what takes a strided layer's place), :mod:`norms`, :mod:`refusals`, :mod:`trial`, :mod:`report` and :mod:`network`;
every other file registers the converters of one family.
"""

# Imported for the converters that they register.
from monai_hyperscale.networks.conversion import (  # noqa: F401
    attention_unet,
    basic_unet,
    dynunet,
    efficientnet,
    flexible_unet,
    residual,
    resnet,
    segresnet,
    unet,
    vnet,
    voxelmorph,
)
from monai_hyperscale.networks.conversion.conversion import Conversion
from monai_hyperscale.networks.conversion.network import RescalableNetwork, rescalable
from monai_hyperscale.networks.conversion.place import Place, converts, keeps, staged
from monai_hyperscale.networks.conversion.report import ConversionReport, Replacement, TensorReport

__all__ = [
    "Conversion",
    "ConversionReport",
    "Place",
    "Replacement",
    "RescalableNetwork",
    "TensorReport",
    "converts",
    "keeps",
    "rescalable",
    "staged",
]
