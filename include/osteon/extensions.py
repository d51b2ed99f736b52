"""Checks and publishers that stand in a file of their own, in Osteon or in another package.

A module registers what it defines when it is imported. A `Registry` holds what is registered. It imports the modules
of Osteon, and those that installed packages name as entry points of the groups `osteon.checks` and `osteon.sources`.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from osteon.errors import ExtensionError

CHECKS, SOURCES = "osteon.checks", "osteon.sources"
"""Groups of entry points."""
BUILT_IN = {CHECKS: "osteon.quality.checks", SOURCES: "osteon.sources"}
"""Osteon's own packages of extensions, by group. They are imported by name, because they may lie in a higher layer than
the module that asks for them."""
T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """Extensions of one sort, each under a name of its own."""

    sort: str
    """What they are, in the plural, as messages say it: `checks`."""
    group: str
    """`CHECKS` or `SOURCES`: the entry points whose modules register them."""
    code: Callable[[T], Any]
    """The class or function that an extension is made of; messages name it."""
    _found: dict[str, T] = field(default_factory=dict)

    def add(self, name: str, extension: T) -> None:
        """Make an extension known. Adding the same one again does nothing.

        Raises:
            ExtensionError: Another one has the name.
        """
        other = self._found.setdefault(name, extension)
        if other is not extension:
            places = " and ".join(full_name(self.code(one)) for one in (other, extension))
            raise ExtensionError(f"two {self.sort} are named `{name}`, {places}: rename one of them")

    def all(self) -> dict[str, T]:
        """Extensions by name, in the order of their names.

        Raises:
            ExtensionError: One of another package cannot be loaded.
        """
        load(self.group)
        return {name: self._found[name] for name in sorted(self._found)}


def full_name(code: Any) -> str:
    """Module and name of a class or a function."""
    return f"{code.__module__}.{code.__qualname__}"


@cache
def load(group: str) -> None:
    """Import every module that registers something for a group. A second call does nothing.

    Args:
        group: `CHECKS` or `SOURCES`.

    Raises:
        ExtensionError: An entry point cannot be imported. The message names it and its package.
    """
    package = importlib.import_module(BUILT_IN[group])
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    for point in _points(group):
        try:
            point.load()
        except Exception as error:  # a foreign module may raise anything; the message names its package
            raise ExtensionError(
                f"package {_package(point)} cannot be used: its entry point `{point.name} = {point.value}` of the "
                f"group {group} fails with {type(error).__name__}: {error}. Correct the package, or uninstall it"
            ) from error


def packages(group: str) -> list[str]:
    """Name and version of each other package that adds to a group, such as `osteon-blur 1.0`, in order."""
    return sorted({_package(point) for point in _points(group)})


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that looks most like a mistyped one; empty where nothing is known."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)), "")


def _points(group: str) -> list[EntryPoint]:
    return sorted(entry_points(group=group), key=lambda point: (_package(point), point.name))


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "of an unknown name"
