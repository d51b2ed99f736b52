"""The sources file: which data sets there are, of which kind, under which licence, labelled by which rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from osteon.errors import ConfigurationError
from osteon.settings import Settings
from osteon.sources.archive import ArchiveConfig
from osteon.sources.base import Source
from osteon.sources.kaggle import KaggleConfig
from osteon.sources.phantom import PhantomConfig
from osteon.sources.roboflow import RoboflowConfig
from osteon.strict_yaml import read_yaml

AnySource = Annotated[ArchiveConfig | KaggleConfig | PhantomConfig | RoboflowConfig, Field(discriminator="kind")]


class SourcesFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: list[AnySource] = Field(min_length=1)
    model: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name in the registry of what these sources train; OSTEON_MODEL_NAME where it is missing."""


def read_sources_file(path: Path) -> SourcesFile:
    """Parse a sources file. Raises `ConfigurationError` that names every mistake."""
    try:
        parsed = SourcesFile.model_validate(read_yaml(path))
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


def open_source(path: Path, settings: Settings, name: str) -> Source:
    """The source that a file names.

    Raises `ConfigurationError` for a bad file or an unknown name, `SourceError` for an archive that is not there or
    credentials that are missing.
    """
    entries = {entry.name: entry for entry in read_sources_file(path).sources}
    if name not in entries:
        raise ConfigurationError(f"{path} has no source {name}; it has {', '.join(entries)}")
    source: Source = entries[name].open(settings, path.resolve().parent)
    return source
