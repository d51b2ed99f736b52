"""Work on a large catalog in parts that do not depend on each other: images by the first digit of their SHA-256."""

from __future__ import annotations

import math
from collections.abc import Iterable

DIGITS = "0123456789abcdef"


def parts(images: int, size: int) -> list[str]:
    """Digits of each part, so that it has about `size` images or is one of sixteen; no part where one process does."""
    count = min(len(DIGITS), math.ceil(images / size))
    return [DIGITS[number::count] for number in range(count)] if count > 1 else []


def of_part(digests: Iterable[str], part: str) -> list[str]:
    """Those of a part, in order."""
    return sorted(digest for digest in digests if digest[0] in part)
