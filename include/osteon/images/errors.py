"""What decoding raises."""

from __future__ import annotations


class UndecodableError(Exception):
    """The bytes give no usable image. The message is the reason that the catalog records."""
