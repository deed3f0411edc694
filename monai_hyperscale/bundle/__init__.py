"""Bundles: where they lie, what their trained network is, and the methods it was trained by."""

from monai_hyperscale.bundle.architectures import ARCHITECTURES, build_primary
from monai_hyperscale.bundle.locate import bundle_root, default_bundle, running_parser
from monai_hyperscale.bundle.methods import METHODS, method_generator, method_name
from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.bundle.settings import build_network, read_settings, write_metadata, write_settings

__all__ = [
    "ARCHITECTURES",
    "METHODS",
    "NetworkSettings",
    "build_network",
    "build_primary",
    "bundle_root",
    "default_bundle",
    "method_generator",
    "method_name",
    "read_settings",
    "running_parser",
    "write_metadata",
    "write_settings",
]
