"""Bundles: where they lie, and what their trained network is."""

from monai_hyperscale.bundle.locate import bundle_root, default_bundle, running_config
from monai_hyperscale.bundle.settings import ModelSettings, build_network, read_settings, write_metadata, write_settings

__all__ = [
    "ModelSettings",
    "build_network",
    "bundle_root",
    "default_bundle",
    "read_settings",
    "running_config",
    "write_metadata",
    "write_settings",
]
