"""Families of measurements: what is measured of one image, kept under a version of its own.

A family is what one function measures. Its values lie in the lake under `measurements/<name>-v<version>/`, apart from
those of other families. So a new family, or a new version of one, makes nothing else be measured again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from osteon import extensions
from osteon.errors import ExtensionError
from osteon.images.decode import Decoded

Kind = Literal["Float64", "Int64", "string", "boolean", "bytes"]
"""Type of a measured column, as pandas names it; `bytes` are kept as they are."""
KINDS = ("Float64", "Int64", "string", "boolean", "bytes")
NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Family:
    """What one function measures of a decoded image."""

    name: str
    version: int
    """Raise it when the function gives other values: every image is then measured anew, by this family only."""
    columns: Mapping[str, Kind]
    measure: Callable[[Decoded], Mapping[str, object]]
    """Takes the image and gives a value for each of `columns`. Defined at the top of a module: processes import it."""
    in_catalog: bool = True
    """Whether the catalog has the columns as well, for other stages and for people."""

    def __post_init__(self) -> None:
        names = [self.name, *self.columns]
        if wrong := [name for name in names if not NAME.fullmatch(name)]:
            raise ExtensionError(f"measurement `{self.name}`: `{wrong[0]}` must match {NAME.pattern}")
        if not self.columns or not set(self.columns.values()) <= set(KINDS):
            raise ExtensionError(f"measurement `{self.name}`: give at least one column, each one of {', '.join(KINDS)}")
        if self.version < 1:
            raise ExtensionError(f"measurement `{self.name}`: its version is {self.version}, but must be 1 or more")
        if self.in_catalog and "bytes" in self.columns.values():
            raise ExtensionError(f"measurement `{self.name}`: the catalog holds no bytes, set in_catalog=False")

    @property
    def folder(self) -> str:
        """Where the lake keeps this version of the family."""
        return f"measurements/{self.name}-v{self.version}/"

    @property
    def full_names(self) -> dict[str, str]:
        """By column its name in tables and in the catalog, such as `levels.contrast`."""
        return {column: f"{self.name}.{column}" for column in self.columns}


_FAMILIES = extensions.Registry[Family]("measurements", extensions.CHECKS, lambda family: family.measure)


def register(family: Family) -> None:
    """Make a family known. Registering the same one again does nothing.

    Raises:
        ExtensionError: Another family has the name.
    """
    _FAMILIES.add(family.name, family)


def registered() -> tuple[Family, ...]:
    """Families of all checks, in the order of their names.

    Raises:
        ExtensionError: A check of another package cannot be loaded.
    """
    return tuple(_FAMILIES.all().values())
