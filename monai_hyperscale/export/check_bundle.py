"""Whether a bundle written in MONAI's own terms gives what this package gives, on one image or pair."""

from __future__ import annotations

import io
import logging
import sys
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow
from monai.data import MetaTensor

from monai_hyperscale.errors import ExportError, first_line
from monai_hyperscale.export.folding import StockBundle
from monai_hyperscale.export.source import FoldSource

__all__ = ["check_bundle"]


def check_bundle(
    folder: Path, stock: StockBundle, source: FoldSource, images: Sequence[MetaTensor], size: Sequence[int]
) -> dict[str, Any]:
    """Run a bundle with MONAI alone and compare its outputs with this package's own on the same files.

    Args:
        folder: of the bundle.
        stock: what the bundle is.
        source: the network it was made from.
        images: to run on, see :class:`Inputs`; none for synthetic anatomy.
        size: of synthetic anatomy.

    Returns:
        how well the outputs agree, for the manifest.

    Raises:
        ExportError: if the bundle does not run, or its output is another.
    """
    with tempfile.TemporaryDirectory() as temporary:
        inputs, outputs = Path(temporary) / "in", Path(temporary) / "out"
        inputs.mkdir()
        files, told = stock.write_inputs(inputs, images, size)
        overrides = {"dataset_dir": str(inputs), "output_dir": str(outputs), "device": "cpu", **told}
        try:
            _run(folder, overrides)
        except (Exception, SystemExit) as error:  # whatever MONAI raises: the bundle is not to be had
            raise ExportError(f"the bundle does not run with MONAI ({first_line(_cause(error))}).") from error
        return stock.compare(source, files, outputs, bool(images))


def _cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _run(folder: Path, overrides: dict[str, str]) -> None:
    before, level = list(sys.path), logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            flow = ConfigWorkflow(
                config_file=str(folder / "configs" / "inference.json"),
                meta_file=str(folder / "configs" / "metadata.json"),
                logging_file=False,
                workflow_type="infer",
                **overrides,
            )
            flow.initialize()
            flow.run()
            flow.finalize()
    finally:
        logging.disable(level)
        sys.path[:] = before
