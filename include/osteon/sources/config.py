"""The sources file: which data sets there are, of which kind, under which licence, labelled by which rules."""

from __future__ import annotations

from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from osteon.errors import ConfigurationError
from osteon.settings import SourceSettings
from osteon.sources.base import Source, SourceConfig
from osteon.sources.registry import registered
from osteon.strict_yaml import read_yaml


class SourcesFile(BaseModel):
    """What a sources file says. `read_sources_file` makes each entry an instance of its publisher's class."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: list[SourceConfig] = Field(min_length=1)
    model: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name in the registry of what these sources train; OSTEON_MODEL_NAME where it is missing."""


def read_sources_file(path: Path) -> SourcesFile:
    """Parse a sources file.

    Raises `ConfigurationError` that names every mistake, and `ExtensionError` where a publisher of another package
    cannot be loaded.
    """
    model = _model()
    try:
        parsed = model.model_validate(read_yaml(path))
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no sources file {path}: set OSTEON_SOURCES_FILE or give --sources"
        ) from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is no YAML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigurationError(f"{path} cannot be used: {problems}") from error
    names = [entry.name for entry in parsed.sources]
    double = {name for name in names if names.count(name) > 1}
    if double:
        raise ConfigurationError(f"{path} names {', '.join(sorted(double))} twice: give every source its own name")
    return parsed


def open_source(path: Path, settings: SourceSettings, name: str) -> Source:
    """The source that a file names.

    Raises `ConfigurationError` for a bad file or an unknown name, `SourceError` for an archive that is not there or
    credentials that are missing.
    """
    entries = {entry.name: entry for entry in read_sources_file(path).sources}
    if name not in entries:
        raise ConfigurationError(f"{path} has no source {name}; it has {', '.join(entries)}")
    return entries[name].open(settings, path.resolve().parent)


def _model() -> type[SourcesFile]:
    """The model of a sources file whose entries may be of any publisher, by their `kind`."""
    entry: Any = Annotated[reduce(or_, registered().values()), Field(discriminator="kind")]
    return create_model("SourcesFile", __base__=SourcesFile, sources=(list[entry], Field(min_length=1)))
