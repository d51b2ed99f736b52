"""The registry of publishers: which `kind` of a sources file each configuration class reads.

One file, in `osteon.sources` or in another package, holds a publisher. `docs/add-a-publisher.md` walks through one.
"""

from __future__ import annotations

from typing import Literal, TypeVar, get_args, get_origin

from pydantic.fields import FieldInfo

from osteon import extensions
from osteon.errors import ExtensionError
from osteon.sources.base import Credentials, SourceConfig

_PUBLISHERS = extensions.Registry[type[SourceConfig]]("publishers", extensions.SOURCES, lambda config: config)
Kind = TypeVar("Kind", bound=type[SourceConfig])


def publisher(config: Kind) -> Kind:
    """Make a publisher known. A decorator of its configuration class.

    Raises:
        ExtensionError: It has no `kind`, or another publisher has the same.
    """
    fields: dict[str, FieldInfo] = dict(config.__pydantic_fields__)
    field = fields.get("kind")
    kinds = get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()
    if len(kinds) != 1:
        raise ExtensionError(
            f'publisher {extensions.full_name(config)} needs one field `kind: Literal["its-name"]`, without a default'
        )
    _PUBLISHERS.add(str(kinds[0]), config)
    return config


def registered() -> dict[str, type[SourceConfig]]:
    """Configuration classes of all publishers by kind, in the order of kinds.

    Raises:
        ExtensionError: A publisher of another package cannot be loaded.
    """
    return _PUBLISHERS.all()


def accounts() -> list[Credentials]:
    """Credentials of all publishers, in the order of kinds."""
    return [config.credentials for config in registered().values() if config.credentials is not None]
