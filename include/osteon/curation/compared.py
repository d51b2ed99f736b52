"""Which images were compared with each other: a cache, without which all are compared anew and no pair is lost.

Two runs at once may each compare their images with what was known, but not with each other's. So an addition says
what it followed, and only what stands on one chain counts as compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from osteon.lake import Lake


@dataclass(frozen=True)
class Addition:
    """All of `new` were compared with each other, and with what `after` and the additions before it cover."""

    after: str
    """Id of the addition before; empty for the first."""
    new: tuple[str, ...]


@dataclass(frozen=True)
class Tip:
    """The end of the chain that covers most."""

    id: str = ""
    cover: frozenset[str] = frozenset()


def tip(additions: Mapping[str, Addition]) -> Tip:
    """The tip of additions by id; of two that cover as many images the one with the smaller id."""
    best = Tip()
    for end in sorted(additions.keys() - {addition.after for addition in additions.values()}):
        cover: set[str] = set()
        at = end
        while at in additions:
            cover.update(additions[at].new)
            at = additions[at].after
        if at == "" and len(cover) > len(best.cover):
            best = Tip(end, frozenset(cover))
    return best


def read_tip(lake: Lake, version: int) -> Tip:
    """What the comparison of this version covers."""
    folder = _folder(version)
    keys = list(lake.keys(folder))
    additions = [json.loads(data) for data in lake.get_all(keys)]
    ids = [key.removeprefix(folder).removesuffix(".json") for key in keys]
    return tip({id: Addition(one["after"], tuple(one["new"])) for id, one in zip(ids, additions, strict=True)})


def add(lake: Lake, version: int, after: Tip, new: Iterable[str]) -> None:
    """Say that `new` were compared with each other and with what `after` covers; nothing where there are none."""
    digests = sorted(new)
    if digests:
        data = json.dumps({"after": after.id, "new": digests}).encode()
        lake.put_missing(f"{_folder(version)}{hashlib.sha256(data).hexdigest()[:20]}.json", data)


def _folder(version: int) -> str:
    return f"copies/compared-v{version}/"
