"""Which code this is."""

from __future__ import annotations

import hashlib
import importlib.metadata
from functools import cache
from pathlib import Path


@cache
def code_version() -> str:
    """The package's version and a digest of its code, such as `0.1.0+5f0c1a2b`: other code, other version.

    An image does not know from which commit it was built, nor a checkout what was changed since.
    """
    digest, package = hashlib.sha256(), Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return f"{importlib.metadata.version('osteon')}+{digest.hexdigest()[:8]}"


def mismatch(expected: str) -> str:
    """Why this is not the code that a pod must have; empty where it is, or where none is expected."""
    if expected in ("", code_version()):
        return ""
    return f"this is osteon {code_version()}, but Airflow runs {expected}: build the trainer's image again"
