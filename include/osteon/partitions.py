"""Partitions of a large catalog that do not depend on each other: images by the first digit of their SHA-256."""

from __future__ import annotations

import math
from collections.abc import Iterable

HEX_DIGITS = "0123456789abcdef"


def partitions(images: int, size: int) -> list[str]:
    """Divide a catalog.

    Args:
        images: Number of images.
        size: Images that one process had better work on.

    Returns:
        The digits of each partition, 16 partitions at most; none where one process does.
    """
    count = min(len(HEX_DIGITS), math.ceil(images / size))
    return [HEX_DIGITS[number::count] for number in range(count)] if count > 1 else []


def select_partition(digests: Iterable[str], partition: str) -> list[str]:
    """The SHA-256 digests that are of a partition, in order."""
    return sorted(digest for digest in digests if digest[0] in partition)
