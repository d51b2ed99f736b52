"""The quality file: how bad each check's failure is. What it leaves out has the check's defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from osteon.errors import ConfigurationError
from osteon.extensions import nearest
from osteon.quality.check import BOUND, Check, Threshold, registered
from osteon.strict_yaml import read_yaml


def load_thresholds(path: Path) -> dict[str, Threshold]:
    """Read the quality file.

    A check that the file leaves out has its default threshold. An entry that leaves out `severity` or the bound of its
    check has those of the default; one without `max_share` or `critical_share` has none.

    Args:
        path: The file; it may be empty.

    Returns:
        The threshold of every check: those of the file in its order, then the others in the order of their names.

    Raises:
        ConfigurationError: There is no such file, it is no YAML, or an entry is wrong. For a check that is not known,
            the message names the nearest that is.
        ExtensionError: A check of another package cannot be loaded.
    """
    checks = registered()
    try:
        raw = read_yaml(path) or {}
    except FileNotFoundError:
        raise ConfigurationError(f"there is no quality file at {path}: set OSTEON_QUALITY_FILE") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"the quality file {path} cannot be read: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigurationError(f"the quality file {path} cannot be read: it must map names of checks to thresholds")
    for name in raw:
        if name not in checks:
            raise ConfigurationError(
                f"{path} has a check `{name}`, which does not exist: did you mean `{nearest(str(name), checks)}`? "
                "If another package brings it, install that package"
            )
    try:
        given = {name: _threshold(checks[name], value) for name, value in raw.items()}
    except ValidationError as error:
        raise ConfigurationError(f"the quality file {path} cannot be read: {error}") from error
    return given | {name: check.default for name, check in checks.items() if name not in given}


def _threshold(check: Check, value: Any) -> Threshold:
    if not isinstance(value, dict):
        return Threshold.model_validate(value)
    defaults: dict[str, object] = {"severity": check.default.severity}
    if bound := BOUND.get(check.rule):
        defaults[bound] = getattr(check.default, bound)
    given = {key: setting for key, setting in value.items() if key not in defaults or setting is not None}
    return Threshold.model_validate({**defaults, **given})
