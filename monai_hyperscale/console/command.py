"""What all commands have in common, on top of click: help, options, exit codes, how a function gets its arguments.

A command is a function of one :class:`Arguments`, made by :func:`command`; its docstring is its help.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import rich_click as click
from click.core import ParameterSource

from monai_hyperscale.console.messages import logged_messages
from monai_hyperscale.errors import ArgumentError

#: Exit codes of every command.
DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
_EXIT_CODES = """\
Exit codes:
  0    done
  1    some or all images failed; the others were done
  2    wrong arguments, or a bundle that cannot be used; nothing was done
  130  interrupted; files written so far are whole"""

SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "show_default": True,
    "rich_help_config": {"max_width": 100, "commands_before_options": True},
}


class Arguments(SimpleNamespace):
    """What the user named: an attribute per option, those ``given``, ``verbose``, ``debug`` and all ``words``."""


@dataclass
class Session:
    """What concerns one run of the program, whatever the command."""

    words: Sequence[str] = ()
    verbose: bool = False
    debug: bool = False


class Existing(click.Path):
    """A path that must exist, checked when all arguments are read; ``what`` and ``way_out`` are for the message."""

    def __init__(self, what: str, way_out: str = "check the path") -> None:
        super().__init__(path_type=Path)
        self.what, self.way_out = what, way_out

    def check(self, path: Path) -> None:
        """Check that there is something."""
        if not path.exists():
            raise ArgumentError(f"{self.what} {path} does not exist; {self.way_out}.")


class Several(click.RichOption):
    """An option that takes one or more values, up to the next option: ``--image a.nii b.nii``."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings, multiple=True)


class Command(click.RichCommand):
    """A command whose function takes :class:`Arguments`; of each group in ``exclusive`` one option may be given."""

    def __init__(self, *args: Any, exclusive: Sequence[Sequence[str]] = (), **settings: Any) -> None:
        super().__init__(*args, **settings)
        # Named, because those of options with a panel of their own would stand first.
        self.panels = [click.RichOptionPanel("Arguments"), click.RichOptionPanel("Options")]
        self.exclusive = exclusive
        _prepare(self)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words behind the command's name."""
        rest = super().parse_args(ctx, list(self._one_value_each(args)))
        for group in self.exclusive:
            named = [option for param in self._given(ctx) for option in param.opts if option in group]
            if len(named) > 1:
                raise click.UsageError(f"{' and '.join(named)} exclude each other; name one.", ctx)
        return rest

    def _given(self, ctx: click.Context) -> list[click.Parameter]:
        source = ctx.get_parameter_source
        return [param for param in self.params if source(str(param.name)) is ParameterSource.COMMANDLINE]

    def _one_value_each(self, args: Sequence[str]) -> Iterator[str]:
        several = {name for param in self.params if isinstance(param, Several) for name in param.opts}
        option, values = None, 0
        for word in args:
            if word.startswith("-"):
                option, values = word if word in several else None, 0
            elif option is not None:
                values += 1
                if values > 1:
                    yield option
            yield word

    def invoke(self, ctx: click.Context) -> int:
        """Run the command and return its exit code."""
        session = ctx.ensure_object(Session)
        arguments = Arguments(**ctx.params, **vars(session), given={param.name for param in self._given(ctx)})
        assert self.callback is not None
        with warnings.catch_warnings(), logged_messages(session.verbose or session.debug):
            if not session.debug:
                # Notes from one library to another's programmers; what concerns the user is logged.
                warnings.simplefilter("ignore")
            for param in self.params:
                value = ctx.params.get(str(param.name))
                if isinstance(param.type, Existing) and value is not None:
                    for path in value if isinstance(value, tuple) else [value]:
                        param.type.check(path)
            code: int = ctx.invoke(self.callback, arguments)
            return code


class LazyCommands(Mapping[str, click.Command]):
    """Commands by name, each imported from its ``module:attribute`` when it is first asked for."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self.places = places

    def __getitem__(self, name: str) -> click.Command:
        module, _, attribute = self.places[name].partition(":")
        found: click.Command = getattr(import_module(module), attribute)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


class Group(click.RichGroup):
    """Commands under one name, listed in the order of ``commands``."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{"no_args_is_help": False, **settings})
        _prepare(self)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self.commands)


def command(
    name: str, summary: str, exclusive: Sequence[Sequence[str]] = ()
) -> Callable[[Callable[[Arguments], int]], Command]:
    """Make a command of a function of :class:`Arguments`; ``summary`` is for the list of commands."""
    return click.command(name, cls=Command, short_help=summary, exclusive=exclusive)


@contextmanager
def wrong_arguments(kind: type[ValueError] = ValueError, before: str = "") -> Iterator[None]:
    """Turn what a library refuses inside the block into a mistake of the command's arguments."""
    try:
        yield
    except kind as error:
        raise ArgumentError(f"{before}{error}") from error


def _prepare(command: click.Command) -> None:
    """Let the help keep examples as they stand and tell the exit codes, and add the options that all commands have."""
    command.context_settings = SETTINGS
    paragraphs = cleandoc(command.help or "").split("\n\n")
    # Of the indented ones click would join the lines otherwise.
    command.help = "\n\n".join("\b\n" + part if part.startswith("  ") else part for part in paragraphs)
    command.epilog = _EXIT_CODES.replace("\n", "\n\n")
    command.params += [
        _session_flag("-v", "--verbose", help="say more about what is done"),
        _session_flag("--debug", help="show the traceback of an error"),
    ]


def _session_flag(*names: str, help: str) -> click.Option:
    def note(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:  # before or behind the name of a command in a group
            setattr(ctx.ensure_object(Session), str(param.name), True)

    return click.RichOption(names, is_flag=True, expose_value=False, callback=note, help=help)
