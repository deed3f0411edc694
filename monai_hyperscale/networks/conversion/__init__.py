"""MONAI's networks as φ-networks: the conversion, and the converters of each family of networks.

:mod:`encoders`, :mod:`unets` and :mod:`skip_unets` register converters for the walk over a network in :mod:`place`.
"""

from monai_hyperscale.networks.conversion import encoders, skip_unets, unets  # noqa: F401 (they register converters)
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
