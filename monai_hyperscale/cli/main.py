"""Entry point of the command line: finds the command, and turns every failure into one sentence and an exit code.

Commands are loaded when they are asked for, and import what is heavy when they run, so that ``--help`` answers at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import NoReturn, Optional

import rich_click as click
from click.exceptions import Exit

from monai_hyperscale import __version__
from monai_hyperscale.allocator import keep_freed_memory
from monai_hyperscale.console.command import FAILED, INTERRUPTED, USAGE, Group, LazyCommands, Session
from monai_hyperscale.console.messages import say, unexpected
from monai_hyperscale.errors import ArgumentError, CheckpointError, ConfigError, HyperscaleError, PhiError
from monai_hyperscale.tasks import TASKS, task_named

PROGRAM = "monai-hyperscale"
OWN = {
    name: f"monai_hyperscale.cli.{name}:{name}" for name in ("pareto", "choose", "report", "analyze", "info", "fold")
}


def program() -> Group:
    """Return the command of all commands."""
    of_tasks = {name: place for task in TASKS for name, place in task_named(task).commands.items()}
    group = Group(
        PROGRAM,
        help="Run networks whose cost is chosen at inference by the rescaling factor phi.",
        commands=LazyCommands({**of_tasks, **OWN}),
    )
    return click.version_option(__version__, message="%(prog)s %(version)s")(group)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command, with the program's own arguments by default; return the exit code, see ``--help``."""
    if argv is None:  # a process of its own, not part of another program
        keep_freed_memory()
    words = list(sys.argv[1:] if argv is None else argv)
    session = Session(words)
    commands = program()
    try:
        # Not by click's own main, which words errors and interruptions in its own way.
        with _terminated_as_interrupted(), commands.make_context(PROGRAM, words, obj=session) as context:
            code: int = commands.invoke(context)
            return code
    except Exit as end:  # after --help or --version
        return end.exit_code
    except click.UsageError as error:
        if error.ctx is not None:
            say(error.ctx.get_usage().strip())
        return _failed(session, error.format_message(), USAGE)
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, as with `| head`; Python would complain once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (ArgumentError, CheckpointError, ConfigError, PhiError) as error:
        return _failed(session, str(error), USAGE)
    except HyperscaleError as error:
        return _failed(session, str(error), FAILED)
    except MemoryError:
        way_out = "try smaller images, or a smaller --max-voxels where the command has it"
        return _failed(session, f"too little memory; {way_out}.", FAILED)
    except Exception as error:  # the last resort: a user is owed a sentence, a developer --debug
        return _failed(session, unexpected(error, session.debug), FAILED)


def _failed(session: Session, message: str, code: int) -> int:
    if session.debug:
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
