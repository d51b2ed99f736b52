"""Apply what curators decided about images, on every later run."""

from __future__ import annotations

import logging
from typing import Literal

import pandas as pd

from osteon import catalog as catalogs
from osteon.curation.decisions import Decision, decide, decisions, meaning
from osteon.curation.eligibility import with_eligibility
from osteon.curation.grouping import recall
from osteon.curation.publications import names_of
from osteon.labels import LabelMap
from osteon.lake import Lake, derived_key
from osteon.records import Answer
from osteon.schemas import Grouped, Reviewed
from osteon.settings import TrainingSettings

VERSION = 4
LEAVE_OUT = "leave out"
"""An answer instead of a body part, and the one that stands for none."""
log = logging.getLogger(__name__)


def meant(
    catalog: pd.DataFrame, publications: pd.DataFrame, made: list[Decision], groups: pd.Series | None = None
) -> list[pd.Index]:
    """For each decision the rows of the catalog that it is about: none where its source is off this week.

    A decision about an image follows its bytes, under any name. `groups` is the group of every image that the lake ever
    compared, by `sha256`. With it, a copy that stands under the image's name now is meant as well. What could not be
    decoded is never meant: nothing can be decided about it. Decisions about pairs are for `groups`, and mean no row
    here.
    """
    names = names_of(publications)
    named_ones = names.isin([decision.target for decision in made])
    names, digests = names[named_ones], publications.loc[named_ones, "sha256"]
    result = []
    for decision in made:
        if decision.of_pair:
            result.append(catalog.index[:0])
            continue
        rows = catalog.index[catalog["sha256"].isin(digests[names == decision.target])]
        if decision.image is not None:
            group = None if groups is None else groups.get(decision.image)
            rows = rows[(catalog.loc[rows, "sha256"].map(groups) == group).to_numpy(bool)] if group else rows[:0]
            rows = rows.union(catalog.index[catalog["sha256"] == decision.image])
        elif rows.empty:
            named = catalog["sha256"].str.startswith(decision.target)
            if decision.whole_group:
                named |= catalog["group"].str.startswith(decision.target).fillna(False)
            rows = catalog.index[named]
        if decision.whole_group:
            rows = rows.union(catalog.index[catalog["group"].isin(catalog.loc[rows, "group"].dropna())])
        result.append(rows[catalog.loc[rows, "width"].notna().to_numpy(bool)])
    return result


def kept(catalog: pd.DataFrame, publications: pd.DataFrame, made: list[Decision]) -> pd.Series:
    """Whether a curator wants an image used that would be quarantined. It is in no group, so no copy of it is meant."""
    alone = catalog.assign(group=pd.Series(pd.NA, catalog.index, "string"))
    result = pd.Series(False, index=catalog.index)
    for decision, rows in zip(made, meant(alone, publications, made), strict=True):
        result.loc[rows] = decision.action != "drop"
    return result


def apply(
    catalog: pd.DataFrame,
    publications: pd.DataFrame,
    made: list[Decision],
    labels: LabelMap,
    groups: pd.Series | None = None,
) -> tuple[pd.DataFrame, list[Decision]]:
    """The catalog with decisions applied, and those that match no image of it.

    `drop` sets the `reason`; `keep` and `label` take it away, and set `label_origin` to `human`. Images that are still
    quarantined stay so: `repair` has let those in that a curator wants.
    """
    result, idle = catalog.copy(), []
    made = [decision for decision in made if not decision.of_pair]
    for decision, rows in zip(made, meant(catalog, publications, made, groups), strict=True):
        if decision.action != "drop":
            rows = rows[catalogs.usable(catalog.loc[rows]).to_numpy()]
        if rows.empty:
            idle.append(decision)
        elif decision.action == "drop":
            result.loc[rows, "reason"] = f"dropped by {decision.who}: {decision.why}"
        else:
            result.loc[rows, "reason"] = pd.NA
            result.loc[rows, "label_origin"] = catalogs.HUMAN
            if decision.action == "label":
                part, fractured = meaning(decision, labels)
                result.loc[rows, "body_part"] = part
                result.loc[rows, "fractured"] = pd.NA if fractured is None else fractured
    return result, idle


def record(lake: Lake, labels: LabelMap, catalog: pd.DataFrame, answers: list[Answer]) -> int:
    """Keep what curators answered as decisions; returns how many are new.

    Who did not answer has decided nothing. The fracture state stays as it was published.
    """
    known = {(made.target, made.action, made.label) for made in decisions(lake)}
    states = dict(zip(catalog["sha256"], catalogs.state_names(catalog), strict=True))
    new = 0
    for answer in answers:
        if answer.by is None:
            continue
        label = None if answer.answer == LEAVE_OUT else f"{answer.answer}/{states[answer.about]}"
        action: Literal["drop", "label"] = "drop" if label is None else "label"
        made = Decision(target=answer.about, action=action, label=label, who=answer.by, why="answered in Airflow")
        if (made.target, made.action, made.label) not in known:
            decide(lake, labels, made)
            new += 1
    return new


def review(settings: TrainingSettings, lake: Lake, labels: LabelMap, catalog_key: str) -> tuple[str, dict[str, int]]:
    """Apply every decision to a catalog, and work out which of its images take part in training.

    Returns:
        The key of the reviewed catalog, and counts: `decisions, idle, human, dropped`.
    """
    made = [decision for decision in decisions(lake) if not decision.of_pair]
    inputs = [catalog_key, [item.model_dump_json() for item in made], labels.model_dump(), settings.unknown_fracture]
    key = derived_key("review", VERSION, *inputs)
    before = catalogs.read(lake, catalog_key, Grouped)
    publications = catalogs.read_publications(lake, before)
    gone = {decision.image for decision in made if decision.image} - set(before["sha256"])
    catalog, idle = apply(before, publications, made, labels, recall(lake).group if gone else None)
    for decision in idle:
        log.warning("the decision of %s about %s fits no image of this run", decision.who, decision.target)
    if not lake.exists(key):
        judged = with_eligibility(catalog, publications, settings.unknown_fracture)
        catalogs.write(lake, key, judged, Reviewed)
    dropped = int(catalog["reason"].fillna("").str.startswith("dropped by ").sum())
    human = int((catalog["label_origin"] == catalogs.HUMAN).sum())
    return key, {"decisions": len(made), "idle": len(idle), "human": human, "dropped": dropped}
