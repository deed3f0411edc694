"""Train once, dial cost at inference: hypernetworks over continuously rescaled MONAI networks."""

import lazy_loader

__version__ = "0.1.0"

# Loaded when first named, so that the command line starts at once and a bundle's configuration, which can only say
# `import monai_hyperscale`, reaches all of them.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submodules={
        "allocator",
        "analysis",
        "bundle",
        "cli",
        "console",
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
        "tasks",
        "training",
    },
)
