"""The table `labels`: what is wrong with labels and films of each source that is new or has changed."""

from __future__ import annotations

import pandas as pd

from osteon.quality.label_rows import sampled
from osteon.quality.label_sets import (
    COLUMN,
    KINDS,
    Reference,
    changed,
    classifier,
    far_rates,
    judge,
    moved_labels,
    references,
)
from osteon.quality.unlike import unlike_films

UNTOLD = "films: foreign pictures cannot be seen among so few films, or films of one body part, without other sources"
COLUMNS_OF_TABLE = {
    "class": "string", "source": "string", "contradicted": "string", "at_chance": "string", "changed": "string",
    "changed_share": "Float64", "rates": "string", "unlike": "Float64", "unlike_films": "string",
}  # fmt: skip


def label_table(
    now: pd.DataFrame,
    earlier: pd.DataFrame,
    same: set[str],
    features: pd.DataFrame,
    champion: Reference | None,
) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Judge the labels of every source that is new or has changed.

    Args:
        now: Labels of all sources, as `label_rows` gives them.
        earlier: The same of the versions that were accepted before.
        same: Sources whose version is the accepted one: they are not judged again.
        features: Of the images by `sha256`; others are left out.
        champion: Its answers for the rows of `now`, in their order; None without one.

    Returns:
        One row for each source and kind of label, and one for its films, as COLUMNS_OF_TABLE says. By source what
        could not be checked.
    """
    rows: list[dict[str, object]] = []
    unchecked: dict[str, list[str]] = {}
    for source in sorted(set(now["source"]) - same):
        found, untold = _of_source(source, now, earlier, features, champion)
        rows += [{"source": source, **row} for row in found]
        if untold:
            unchecked[source] = untold
    table = pd.DataFrame(rows, columns=list(COLUMNS_OF_TABLE)).astype(COLUMNS_OF_TABLE)
    return table, unchecked


def _of_source(
    source: str, now: pd.DataFrame, earlier: pd.DataFrame, features: pd.DataFrame, champion: Reference | None
) -> tuple[list[dict[str, object]], list[str]]:
    every, before = now[now["source"] == source], earlier[earlier["source"] == source]
    others = trusted(now, earlier, source)
    own, *teaching = (part[part["sha256"].isin(features.index)] for part in map(sampled, (every, before, others)))
    moved = {name: labels.loc[own.index].reset_index(drop=True) for name, labels in moved_labels(every).items()}
    place = now.index.get_indexer(own.index)
    own = own.reset_index(drop=True)
    models = references(own, features, *teaching)
    if champion is not None:
        models.insert(0, Reference(champion.name, champion.promised, champion.answers.take(place), len(before) > 0))
    answers = classifier(own, features, own)
    found: list[dict[str, object]] = []
    unchecked: list[str] = []
    for kind in (kind for kind in KINDS if every[COLUMN[kind]].notna().any()):
        judged = judge(kind, own, answers, models, moved)
        number, of = changed(every, before, kind)
        rates = far_rates(every, before, others) if kind == "fracture state" else []
        unchecked += judged.unchecked
        found.append(
            {
                "class": f"{source}: {kind}",
                "contradicted": judged.contradicted,
                "at_chance": judged.at_chance,
                "changed": f"{number} of {of}" if number else None,
                "changed_share": number / of if of else None,
                "rates": "; ".join(rates) or None,
            }
        )
    if any(row["contradicted"] or row["at_chance"] for row in found):  # what fits wrong labels says nothing of films
        return found, unchecked
    unlike = unlike_films(own, features, answers, pd.concat(teaching), known=len(before) > 0)
    if unlike is None:
        return found, [
            *unchecked,
            UNTOLD,
        ]
    return [*found, {"class": f"{source}: films", "unlike": unlike.share, "unlike_films": unlike.text}], unchecked


def trusted(now: pd.DataFrame, earlier: pd.DataFrame, source: str) -> pd.DataFrame:
    """Labels of other sources that may teach: accepted versions, or, where there is none, what came today."""
    others = earlier[earlier["source"] != source]
    return others if len(others) else now[now["source"] != source]
