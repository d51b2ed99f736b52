"""A walk through the Huffman codes of a JPEG scan: where each MCU begins, and where the codes stop making sense.

No coefficient is kept. It is run where the fast check of `osteon.images.streams.jpeg` found something.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Ending = Literal["whole", "short", "senseless"]
_SLACK = 4096
"""Bytes of zeros behind the data: more than the longest MCU has."""
_END_OF_BLOCK, _SENSELESS = 64, 127
_MOST_AC, _MOST_DC = 10, 11
"""Bits of a coefficient of 8-bit samples, at most."""


@dataclass(frozen=True)
class Walk:
    """What a walk through one restart interval found."""

    starts: list[int]
    """Bit at which each MCU begins; the last one may be damaged."""
    ending: Ending
    """`short`: the data end before the last MCU. `senseless`: no encoder writes what comes."""
    left: int
    """Bits left behind the last MCU."""
    is_filled: bool
    """Whether what is left are equal bytes, which hold no MCU."""


@dataclass(frozen=True)
class Block:
    """How one block of an MCU is coded."""

    component: int
    dc: Sequence[int]
    ac: Sequence[int] | None
    """None in a scan of DC coefficients only."""
    most: int
    """Bound of the DC coefficient's magnitude."""


def walk(data: bytes, blocks: Sequence[Block], count: int) -> Walk:
    """Read the MCUs of one restart interval.

    Args:
        data: Its bytes, as they stand in the file, with stuffed zeros and without markers.
        blocks: The blocks of one MCU in their order.
        count: MCUs that the interval has.
    """
    plain = data.replace(b"\xff\x00", b"\xff")
    bits, size = _windows(plain), 8 * len(plain)
    starts: list[int] = []
    at, levels = 0, [0, 0, 0, 0]
    for _ in range(count):
        starts.append(at)
        after = _mcu(bits, at, blocks, levels)
        if abs(after) > size:
            return Walk(starts, "short", 0, False)
        if after < 0:
            return Walk(starts, "senseless", size + after, False)
        at = after
    left = size - at
    return Walk(starts, "whole", left, len(set(plain[len(plain) - left // 8 :])) <= 1)


def _mcu(bits: Sequence[int], at: int, blocks: Sequence[Block], levels: list[int]) -> int:
    """The bit behind an MCU; negative where its codes make no sense."""
    for block in blocks:
        code = block.dc[bits[at]]
        size, at = code & 255, at + (code >> 8)
        if size > _MOST_DC:
            return -at
        if size:
            value = bits[at] >> (16 - size)
            levels[block.component] += value if value >> (size - 1) else value - (1 << size) + 1
            at += size
            if abs(levels[block.component]) > block.most:
                return -at
        if block.ac is None:
            continue
        codes, place = block.ac, 1
        while place < 64:
            code = codes[bits[at]]
            at += code >> 8
            place += code & 255
        if place > 64 and code & 255 != _END_OF_BLOCK:
            return -at
    return at


def _windows(plain: bytes) -> Sequence[int]:
    """The 16 bits from each bit on."""
    padded = np.frombuffer(plain + bytes(_SLACK), np.uint8).astype(np.uint32)
    three = (padded[:-2] << 16) | (padded[1:-1] << 8) | padded[2:]
    windows = (three[:, None] >> np.arange(8, 0, -1, dtype=np.uint32)[None]) & 0xFFFF
    return windows.astype(np.uint16).ravel().data


@lru_cache(32)
def dc_codes(table: bytes) -> Sequence[int]:
    """By the next 16 bits: the code's length times 256, plus the bits of the difference."""
    return _lookup(table, lambda length, symbol: length << 8 | min(symbol, _SENSELESS))


@lru_cache(32)
def ac_codes(table: bytes) -> Sequence[int]:
    """By the next 16 bits: the length of code and coefficient times 256, plus the places that it goes on."""
    return _lookup(table, _ac_entry)


def _ac_entry(length: int, symbol: int) -> int:
    run, size = symbol >> 4, symbol & 15
    if size > _MOST_AC or (size == 0 and run not in (0, 15)):
        return length << 8 | _SENSELESS
    if size == 0:
        return length << 8 | (_END_OF_BLOCK if run == 0 else 16)
    return (length + size) << 8 | (run + 1)


def _lookup(table: bytes, entry: Callable[[int, int], int]) -> Sequence[int]:
    found: NDArray[np.uint16] = np.full(1 << 16, 16 << 8 | _SENSELESS, np.uint16)
    code, symbols = 0, iter(table[16:])
    for length in range(1, 17):
        for _ in range(table[length - 1]):
            symbol = next(symbols, None)
            if symbol is None or code >> length:
                return found.data
            found[code << (16 - length) : (code + 1) << (16 - length)] = entry(length, symbol)
            code += 1
        code <<= 1
    return found.data
