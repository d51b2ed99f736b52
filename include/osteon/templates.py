"""Jinja, as every page and mail is made with it."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment(package: str = "osteon.reports", autoescape: bool = True) -> Environment:
    """Jinja with misspelt names an error.

    Args:
        package: The package whose folder `templates` is read.
        autoescape: Whether values are escaped, as in all that is HTML.
    """
    return Environment(
        loader=PackageLoader(package),
        autoescape=autoescape,  # noqa: S701 - off only for plain text and Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
    )
