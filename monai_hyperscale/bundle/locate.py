"""Where a bundle lies, and the configuration that is running."""

from __future__ import annotations

import sys
from pathlib import Path
from traceback import walk_stack
from types import FrameType

from monai.bundle import ConfigParser, ConfigWorkflow

import monai_hyperscale
from monai_hyperscale.errors import ConfigError


def default_bundle(name: str = "sshn_seg") -> Path:
    """Return the folder of a bundle of the checkout, else of the wheel; a :class:`ConfigError` if there is none."""
    package = Path(monai_hyperscale.__file__).resolve().parent
    for folder in (package.parent / "bundles" / name, package / "_bundles" / name):
        if (folder / "configs").is_dir():
            return folder
    raise ConfigError(f"no bundle called {name!r} comes with this package; name a bundle's folder.")


def bundle_root() -> str:
    """Return the folder of the bundle whose configuration is being evaluated, as an absolute path.

    A bundle's own ``"bundle_root": "."`` would be the current folder, and MONAI tells a configuration nothing of where
    it was read from. So this looks among the callers for the workflow, or the ``config_file`` of one of MONAI's
    commands; of any other it is the current folder, MONAI's own convention.
    """
    for frame in _callers():
        workflow = frame.f_locals.get("self")
        if isinstance(workflow, ConfigWorkflow):
            return _root_of(Path(workflow.config_root_path))
        if frame.f_globals.get("__name__") == "monai.bundle.scripts":
            file = frame.f_locals.get("config_file_")
            if file:
                return _root_of(Path(file[0] if isinstance(file, (list, tuple)) else file).parent)
    return str(Path.cwd())


def running_parser() -> ConfigParser:
    """Return the parser of the configuration that is being evaluated, overrides included; ``ValueError`` if none is."""
    for frame in _callers():
        parser = frame.f_locals.get("self")
        if isinstance(parser, ConfigParser):
            return parser
    raise ValueError("running_parser() has a meaning only inside a bundle's configuration.")


def _root_of(configs: Path) -> str:
    folder = configs.resolve()
    return str(folder.parent if folder.name == "configs" else folder)


def _callers() -> list[FrameType]:
    return [frame for frame, _ in walk_stack(sys._getframe(2))]
