"""Copies of one picture that were published with different labels."""

from __future__ import annotations

import pandas as pd

from osteon.curation.review import HUMAN
from osteon.labels import LabelMap


def conflicts(catalog: pd.DataFrame, labels: LabelMap) -> pd.Series:
    """For each image what its copies are labelled as, where that differs: `hand/fractured, hand/non-fractured`.

    Copies are the other publications of the same bytes and the other members of the leakage group. A label that says
    nothing about a state contradicts nothing. What a curator labelled counts as labelled so; what is left out does not
    count.
    """
    members: dict[str, set[tuple[str, bool | None]]] = {}
    names = catalog["group"].fillna(catalog["sha256"])
    for name, row in zip(names, catalog.itertuples(index=False), strict=True):
        if pd.notna(row.reason):
            continue
        if pd.notna(row.label_origin) and row.label_origin == HUMAN:
            if pd.notna(row.body_part):
                state = None if pd.isna(row.fractured) else bool(row.fractured)
                members.setdefault(name, set()).add((row.body_part, state))
            continue
        for item in row.published:
            meaning = labels.resolve(item["raw_label"])
            if meaning.body_part is not None:
                members.setdefault(name, set()).add((meaning.body_part, meaning.fractured))
    texts: dict[str, str] = {}
    for group, meanings in members.items():
        states = {state for _, state in meanings if state is not None}
        if len({part for part, _ in meanings}) > 1 or len(states) > 1:
            texts[group] = ", ".join(sorted(f"{part}/{_state(state)}" for part, state in meanings))
    return names.map(texts)


def _state(state: bool | None) -> str:
    return "unknown" if state is None else "fractured" if state else "non-fractured"
