"""Train once, dial cost at inference: hypernetworks over continuously rescaled MONAI networks."""

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

_LOADED_LATER = (
    "allocator",
    "analysis",
    "bundle",
    "cli",
    "data",
    "export",
    "hypernet",
    "inference",
    "io",
    "losses",
    "networks",
    "registration",
    "report",
    "search",
    "training",
)


def __getattr__(name: str) -> ModuleType:
    # Loaded when first named, so that the command line starts at once and a bundle's configuration, which can only
    # say `import monai_hyperscale`, reaches all of them.
    if name in _LOADED_LATER:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
