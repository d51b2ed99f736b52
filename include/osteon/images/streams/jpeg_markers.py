"""The markers of a JPEG: frame, tables and scans (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from osteon.images.errors import UndecodableError

SOI, EOI, SOS, DHT, DQT, DRI, DNL = b"\xff\xd8", b"\xff\xd9", 0xDA, 0xC4, 0xDB, 0xDD, 0xDC
PROCESSES = {
    0xC3: "lossless JPEG", 0xC5: "hierarchical JPEG", 0xC6: "hierarchical JPEG", 0xC7: "hierarchical JPEG",
    0xC9: "arithmetic-coded JPEG", 0xCA: "arithmetic-coded JPEG", 0xCB: "lossless JPEG", 0xCD: "hierarchical JPEG",
    0xCE: "hierarchical JPEG", 0xCF: "hierarchical JPEG", 0xF7: "JPEG-LS",
}  # fmt: skip
"""Coding processes that are not decoded, by the marker of their frame."""
_FRAMES = {0xC0, 0xC1, 0xC2}
_LENGTHLESS = {0x00, 0x01, *range(0xD0, 0xD9)}
_AFTER_DATA = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]", re.DOTALL)


@dataclass(frozen=True)
class Component:
    """One component of a frame."""

    id: int
    across: int
    """Sampling factors: blocks of an interleaved MCU across and down."""
    down: int
    table: int
    """Its quantisation table."""


@dataclass(frozen=True)
class Scan:
    """One scan: its header, and the data behind it."""

    components: tuple[tuple[int, int, int], ...]
    """Index in the frame, number of the DC table, number of the AC table."""
    first: int
    """First and last coefficient of the band; 0 and 63 for all."""
    last: int
    high: int
    """Bits that earlier scans gave; 0 in the first scan of a band."""
    low: int
    """Bits that later scans give."""
    start: int
    """Where the data begin, in bytes of the file, and where they end."""
    end: int
    interval: int
    """MCUs between restart markers; 0 without."""
    codes: dict[tuple[int, int], bytes]
    """Huffman tables by class (0 DC, 1 AC) and number: 16 counts, then the symbols."""


@dataclass
class Jpeg:
    """What the markers say."""

    width: int = 0
    height: int = 0
    progressive: bool = False
    components: list[Component] = field(default_factory=list)
    steps: dict[int, int] = field(default_factory=dict)
    """Quantisation of the DC coefficient by table."""
    scans: list[Scan] = field(default_factory=list)
    ended: bool = False
    """Whether the end marker stands behind the last scan."""

    @property
    def mcu(self) -> tuple[int, int]:
        """(height, width) of an MCU of all components, in pixels."""
        return 8 * max(part.down for part in self.components), 8 * max(part.across for part in self.components)

    def grid(self, scan: Scan) -> tuple[int, int]:
        """(rows, columns) of the MCUs of a scan."""
        height, width = self.mcu
        if len(scan.components) > 1:
            return -(-self.height // height), -(-self.width // width)
        part = self.components[scan.components[0][0]]
        down, across = height // 8, width // 8
        return -(-self.height * part.down // (down * 8)), -(-self.width * part.across // (across * 8))


def parse(data: bytes) -> Jpeg:
    """Read the markers, as far as they make sense.

    Args:
        data: A file that begins with the start marker.

    Raises:
        UndecodableError: It has no frame, or one that is not decoded. The message names the coding process.
    """
    found, tables, interval = Jpeg(), dict[tuple[int, int], bytes](), 0
    for marker, start, body in _segments(data, found):
        if marker in PROCESSES and not found.components:
            raise UndecodableError(f"{PROCESSES[marker]}: convert it to PNG")
        if marker in _FRAMES and not found.components:
            _frame(found, marker, body)
        elif marker == DHT:
            _codes(tables, body)
        elif marker == DQT:
            _steps(found.steps, body)
        elif marker == DRI and len(body) >= 2:
            interval = int.from_bytes(body[:2], "big")
        elif marker == SOS and found.components:
            _scan(found, body, start, _end_of_data(data, start), interval, tables)
    if not found.components:
        raise UndecodableError("a JPEG without a frame: its header is lost; fetch it again")
    return found


def _segments(data: bytes, found: Jpeg) -> Iterator[tuple[int, int, bytes]]:
    """Each marker with a length, where its body ends, and its body. The data behind a scan's header are passed over."""
    at = 2
    while at >= 0 and at + 4 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF:
            at = data.find(b"\xff", at)
        elif marker == 0xFF:
            at += 1
        elif marker == 0xD9:
            return
        elif marker in _LENGTHLESS:
            at += 2
        else:
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            yield marker, end, data[at + 4 : end]
            at = end
            if marker == SOS:
                at = _end_of_data(data, end)
                found.ended = data[at : at + 2] == EOI


def _end_of_data(data: bytes, start: int) -> int:
    """Where the next marker begins that is no restart marker."""
    match = _AFTER_DATA.search(data, start)
    return match.start() if match else len(data)


def _frame(found: Jpeg, marker: int, body: bytes) -> None:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise UndecodableError("a JPEG whose header is cut: fetch it again")
    if body[0] != 8:
        raise UndecodableError(f"{body[0]}-bit JPEG: convert it to a 16-bit PNG")
    found.progressive = marker == 0xC2
    found.height, found.width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    for number in range(body[5]):
        name, sampling, table = body[6 + 3 * number : 9 + 3 * number]
        found.components.append(Component(name, sampling >> 4, sampling & 15, table))
    if not all(1 <= part.across <= 4 and 1 <= part.down <= 4 for part in found.components) or not found.components:
        raise UndecodableError("a JPEG whose header is damaged: fetch it again")


def _codes(tables: dict[tuple[int, int], bytes], body: bytes) -> None:
    while len(body) >= 17:
        count = sum(body[1:17])
        tables[body[0] >> 4, body[0] & 15] = body[1 : 17 + count]
        body = body[17 + count :]


def _steps(steps: dict[int, int], body: bytes) -> None:
    while body:
        size = 2 if body[0] >> 4 else 1
        values = [int.from_bytes(body[at : at + size], "big") for at in range(1, 1 + 64 * size, size)]
        if 0 in values:
            raise UndecodableError("a JPEG whose quantisation is damaged: fetch it again")
        steps[body[0] & 15] = values[0]
        body = body[1 + 64 * size :]


def _scan(found: Jpeg, body: bytes, start: int, end: int, interval: int, tables: dict[tuple[int, int], bytes]) -> None:
    """Take a scan down, unless its header makes no sense."""
    count = body[0] if body else 0
    if not 1 <= count <= 4 or len(body) < 4 + 2 * count:
        return
    by_id = {part.id: index for index, part in enumerate(found.components)}
    pairs = [(body[1 + 2 * number], body[2 + 2 * number]) for number in range(count)]
    if any(name not in by_id for name, _ in pairs):
        return
    parts = tuple((by_id[name], table >> 4, table & 15) for name, table in pairs)
    first, last, bits = body[1 + 2 * count : 4 + 2 * count]
    found.scans.append(Scan(parts, first, last, bits >> 4, bits & 15, start, end, interval, dict(tables)))
