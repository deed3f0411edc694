"""The page's templates: Jinja2 with autoescape, so that what comes from files is escaped in one place."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["render"]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("monai_hyperscale.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Of the filter tojson, whose output nothing can break out of either.
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def render(template: str, **values: Any) -> str:
    """Return a template of the folder ``templates``, filled in.

    Args:
        template: name of its file.
        values: what it names; a name that is missing is an error.

    Example:
        >>> told = {"groups": {}, "commands": {"A < B": "x"}, "texts": {}}
        >>> "A &lt; B" in render("provenance.html.j2", provenance=told)
        True
    """
    return _environment().get_template(template).render(values)
