"""Copies of one picture that were published with different labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from osteon.curation.review import HUMAN
from osteon.labels import STATES, UNKNOWN, LabelMap

MOST_NAMED = 3


@dataclass(frozen=True)
class Statement:
    """What one publication, or a curator, says of an image."""

    row: int
    name: str
    """`source:path`."""
    part: str | None
    fractured: bool | None

    @property
    def label(self) -> str:
        return f"{self.part or 'no single part'}/{UNKNOWN if self.fractured is None else STATES[self.fractured]}"

    def contradicts(self, other: Statement) -> bool:
        """Whether both cannot be true; what one does not say contradicts nothing."""
        pairs = (self.part, other.part), (self.fractured, other.fractured)
        return any(one is not None and two is not None and one != two for one, two in pairs)


def conflicts(catalog: pd.DataFrame, labels: LabelMap) -> pd.Series:
    """For each image of a disputed group who says what, where copies contradict each other; empty for all others.

    `hand/fractured, but s:b.jpg is hand/non-fractured`. Copies are the other publications of the same bytes and the
    other members of the leakage group. What a curator labelled counts as labelled so; what is left out does not count.
    """
    names = catalog["group"].fillna(catalog["sha256"])
    groups: dict[str, list[Statement]] = {}
    for group, row in zip(names, catalog.itertuples(), strict=True):
        if pd.isna(row.reason):
            groups.setdefault(group, []).extend(_statements(row, labels))
    texts: dict[int, str] = {}
    disputed = set()
    for group, said in groups.items():
        for one in said:
            others = [other for other in said if one.contradicts(other)]
            if others:
                disputed.add(group)
                texts.setdefault(one.row, _told(one, others))
    return pd.Series(
        [
            texts.get(row, "its copies contradict each other") if group in disputed else None
            for row, group in zip(catalog.index, names, strict=True)
        ],
        index=catalog.index,
        dtype="object",
    )


def _statements(row: Any, labels: LabelMap) -> list[Statement]:
    if pd.notna(row.label_origin) and row.label_origin == HUMAN:
        state = None if pd.isna(row.fractured) else bool(row.fractured)
        said = [(f"{row.source}:{row.path}", row.body_part, state)]
    else:
        meanings = [(item, labels.resolve(item["raw_label"])) for item in row.published]
        said = [(f"{item['source']}:{item['path']}", m.body_part, m.fractured) for item, m in meanings]
    return [Statement(row.Index, name, None if pd.isna(part) else part, state) for name, part, state in said]


def _told(one: Statement, others: list[Statement]) -> str:
    named = [f"{other.name} is {other.label}" for other in others[:MOST_NAMED]]
    more = [f"{len(others) - MOST_NAMED} more disagree"] if len(others) > MOST_NAMED else []
    return f"{one.label}, but {', '.join([*named, *more])}"
