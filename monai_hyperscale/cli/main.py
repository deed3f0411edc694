"""Entry point of the command line: finds the command, and turns every failure into one sentence and an exit code.

Commands import what is heavy when they run, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import NoReturn, Optional

from monai_hyperscale import __version__
from monai_hyperscale.allocator import keep_freed_memory
from monai_hyperscale.cli import analyze, choose, fold, info, pareto, report
from monai_hyperscale.console.exit_codes import EXIT_CODES, FAILED, INTERRUPTED, USAGE
from monai_hyperscale.console.messages import logged_messages, say, unexpected
from monai_hyperscale.errors import CheckpointError, ConfigError, HyperscaleError, PhiError
from monai_hyperscale.tasks.registration import apply_field as apply_field
from monai_hyperscale.tasks.registration import register
from monai_hyperscale.tasks.segmentation import segment

__all__ = ["build_parser", "main"]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; default: the program's own.

    Returns:
        the exit code, see ``monai-hyperscale --help``.
    """
    args = build_parser().parse_args(argv)
    args.words = list(sys.argv[1:] if argv is None else argv)  # for results, which tell how they came about
    if argv is None:  # a process of its own, not part of another program
        keep_freed_memory()
    try:
        with _terminated_as_interrupted(), warnings.catch_warnings(), logged_messages(args.verbose or args.debug):
            if not args.debug:
                # Notes from one library to another's programmers; what concerns the user is logged.
                warnings.simplefilter("ignore")
            return args.run(args)
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, as with `| head`; Python would complain once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (argparse.ArgumentTypeError, CheckpointError, ConfigError, PhiError) as error:
        return _failed(args, str(error), USAGE)
    except HyperscaleError as error:
        return _failed(args, str(error), FAILED)
    except MemoryError:
        return _failed(args, "too little memory; try a smaller --max-voxels, or smaller images.", FAILED)
    except Exception as error:  # the last resort: a user is owed a sentence, a developer --debug
        return _failed(args, unexpected(error, args.debug), FAILED)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="monai-hyperscale",
        description="Run networks whose cost is chosen at inference by the rescaling factor phi.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # a script's "--ph" would mean another option once there are two
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (segment, register, apply_field, pareto, choose, report, analyze, info, fold):
        name = module.__name__.rpartition(".")[2].replace("_", "-")
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=module.DESCRIPTION,
            epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(command)
        command.add_argument("-v", "--verbose", action="store_true", help="say more about what is done")
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(run=module.run)
    return parser


def _failed(args: argparse.Namespace, message: str, code: int) -> int:
    if args.debug:
        traceback.print_exc()
    say(f"error: {message}")
    return code


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let ``kill`` end the program as Ctrl-C does, so that temporary files are removed."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
