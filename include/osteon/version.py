"""Which code this is."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from osteon.settings import Settings

__version__ = "0.2.0"
"""The one place that names the version: the build reads it here."""


@cache
def code_version() -> str:
    """The package's version and a digest of its code, such as `0.2.0+5f0c1a2b`: other code, other version.

    An image does not know from which commit it was built, nor a checkout what was changed since.
    """
    digest, package = hashlib.sha256(), Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return f"{__version__}+{digest.hexdigest()[:8]}"


def mismatch(settings: Settings) -> str:
    """What a pod has that Airflow has not; empty where code and files are the same, or none are expected."""
    again = "build the trainer's image again"
    if settings.expected_code not in ("", code_version()):
        return f"this is osteon {code_version()}, but Airflow runs {settings.expected_code}: {again}"
    if settings.expected_files not in ("", settings.files_digest()):
        return f"{settings.labels_file} or {settings.relabel_file} is not the one that Airflow has: {again}"
    return ""
