"""The options that every command has."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.cases import CASES, GENERATORS
from monai_hyperscale.networks.layers import check_factor

__all__ = ["add_common_options", "chosen_device"]


def add_common_options(parser: argparse.ArgumentParser, file_name: str) -> None:
    """Add what to measure, on what, and the JSON file's place."""
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[name for name in CASES if name != "tiny"])
    parser.add_argument("--generators", nargs="+", choices=GENERATORS, help="default: the case's")
    parser.add_argument(
        "--phi", type=_factor, default=0.25, help="default: %(default)s, the mean of the training prior"
    )
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice, one per core)")
    parser.add_argument("--json", type=Path, default=Path("runs", "benchmarks", file_name), help="default: %(default)s")


def _factor(text: str) -> float:
    try:
        return check_factor(float(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def chosen_device(parser: argparse.ArgumentParser, options: argparse.Namespace) -> torch.device:
    """Set the number of threads, and return the device; end with a message where there is none such."""
    if options.threads is not None:
        if options.threads < 1:
            parser.error(f"--threads must be at least 1, got {options.threads}")
        torch.set_num_threads(options.threads)
    name = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.zeros(0, device=name).device
    except (AssertionError, RuntimeError) as error:
        parser.error(f"--device {name} is not usable: {str(error).splitlines()[0]}")
