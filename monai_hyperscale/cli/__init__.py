"""The command line ``monai-hyperscale``, one file per command."""

from monai_hyperscale.cli.main import main

__all__ = ["main"]
