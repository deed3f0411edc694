"""What the commands tell the user on standard error, one line each, in peace with progress bars."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from monai_hyperscale.errors import first_line


def say(message: str) -> None:
    """Write one line to standard error, above a progress bar if there is one."""
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        print(message, file=sys.stderr, flush=True)
    else:
        tqdm.tqdm.write(message, file=sys.stderr)


@contextmanager
def progress(total: int, unit: str, shown: bool = True) -> Iterator[Callable[..., object]]:
    """Show a bar on standard error inside the block; what it gives is called at every step."""
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, file=sys.stderr, disable=not shown) as bar:
        yield bar.update


def unexpected(error: BaseException, debug: bool) -> str:
    """Return one line for an error that no one foresaw; with ``debug`` its traceback has been shown already."""
    first = first_line(error, "no message")
    return f"unexpected {type(error).__name__}: {first}" + ("" if debug else "; run with --debug for the traceback")


class _SayHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        prefix = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        say(prefix + record.getMessage())


@contextmanager
def logged_messages(verbose: bool) -> Iterator[None]:
    """Show the package's own log as messages inside the block: warnings, and with ``verbose`` all, nibabel's too."""
    ours, nibabel = logging.getLogger("monai_hyperscale"), logging.getLogger("nibabel.global")
    handler = _SayHandler()
    before = ours.level, ours.propagate, nibabel.disabled
    ours.addHandler(handler)
    ours.setLevel(logging.INFO if verbose else logging.WARNING)
    ours.propagate = False
    nibabel.disabled = not verbose
    try:
        yield
    finally:
        ours.removeHandler(handler)
        ours.setLevel(before[0])
        ours.propagate, nibabel.disabled = before[1:]
