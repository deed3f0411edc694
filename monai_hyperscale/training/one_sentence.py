"""The entry of a bundle: where errors become a sentence and an exit code."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, Optional

from monai_hyperscale.bundle.locate import running_parser
from monai_hyperscale.errors import HyperscaleError

__all__ = ["ends_with_one_sentence", "run_steps"]

# As the shell tells a program that Ctrl-C ended, and as the commands end.
_INTERRUPTED = 130
# A worker process of a data loader hands its error over as text.
_TOLD = re.compile(r"^monai_hyperscale\.errors\.\w+: (.+)$", re.MULTILINE)


def ends_with_one_sentence(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make ``function`` end the program with one sentence where an error of this package lies behind what it raises.

    For what a bundle's configuration calls: MONAI wraps every ``Exception`` raised in a configuration into a
    traceback of its own, and only ``SystemExit`` passes. Errors of other kinds are bugs and keep their traceback.

    Example:
        >>> from monai_hyperscale.networks.layers import check_factor
        >>> ends_with_one_sentence(check_factor)(2.0)
        Traceback (most recent call last):
        ...
        SystemExit: error: phi must be a number between 0 and 1, got 2.0.
    """

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt:
            print("interrupted; a training goes on from its last epoch with --resume True", file=sys.stderr, flush=True)
            raise SystemExit(_INTERRUPTED) from None
        except Exception as error:
            sentence = _sentence(error)
            if sentence is None:
                raise
            raise SystemExit(f"error: {sentence}") from None

    return run


@ends_with_one_sentence
def run_steps(entry: str = "steps") -> None:
    """Carry out a list of expressions of the running configuration, and what they need, one after another."""
    parser = running_parser()
    for index in range(len(parser[entry])):
        step = f"{entry}#{index}"
        parser.get_parsed_content(step)
        parser.ref_resolver.remove_resolved_content(step)  # as MONAI does, so that a workflow may run again


def _sentence(error: Optional[BaseException]) -> Optional[str]:
    while error is not None:
        if isinstance(error, HyperscaleError):
            return str(error)
        told = _TOLD.findall(str(error))
        if told:
            return told[-1]
        error = error.__cause__ or error.__context__
    return None
