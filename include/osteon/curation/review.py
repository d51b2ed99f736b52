"""What curators decided: kept in the lake, one object a decision, and applied on every later run."""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import UTC, datetime
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from osteon import catalog as catalogs
from osteon.curation.groups import every_group
from osteon.errors import ConfigurationError
from osteon.ingest import manifests_of
from osteon.labels import LabelMap
from osteon.lake import Lake, derived_key
from osteon.training.classes import state_names

VERSION = 3
FOLDER = "decisions/"
HUMAN = "human"
LEAVE_OUT = "leave out"
"""An answer instead of a body part, and the one that stands for none."""
STATES = {"fractured": True, "non-fractured": False, "unknown": None}
log = logging.getLogger(__name__)


class Decision(BaseModel):
    """One decision. Later ones win; none is ever changed or deleted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: str = Field(pattern=r"^(.+:.+|[0-9a-f]{8,64})$")
    """`source:path`, as mails name an image, or 8 digits at least of an image's SHA-256, or of its group's name."""
    image: str | None = None
    """SHA-256 of what a `source:path` named when it was decided; None where the lake held no such file."""
    whole_group: bool = False
    """Whether all copies of the original are meant."""
    action: Literal["keep", "drop", "label"]
    """Use the image as it is labelled, leave it out, or set its label."""
    label: str | None = None
    """`part/state` for `label`."""
    who: str = Field(min_length=1)
    why: str = Field(min_length=1)
    when: datetime = Field(default_factory=lambda: datetime.now(UTC))


def decide(lake: Lake, labels: LabelMap, decision: Decision) -> str:
    """Keep a decision; returns its key. Raises `ConfigurationError` for a label that the map does not hold.

    It is about the image that a `source:path` names now, by the newest manifest: a publisher who gives the name to
    another image later does not hand the decision on.
    """
    if decision.action == "label":
        _label(decision, labels)
    elif decision.label is not None:
        raise ConfigurationError(f"a label goes with the action `label`, not with `{decision.action}`")
    source, _, path = decision.target.partition(":")
    if path and (manifests := lake.newest(manifests_of(source), ".parquet")):
        files = lake.get_table(manifests[0], columns=["path", "sha256"]).dropna().set_index("path")["sha256"]
        decision = decision.model_copy(update={"image": files.get(path)})
    text = decision.model_dump_json()
    key = f"{FOLDER}{decision.when:%Y%m%dT%H%M%S.%f}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
    lake.put_json(key, json.loads(text))
    return key


def decisions(lake: Lake) -> list[Decision]:
    """All decisions, the oldest first."""
    return [Decision.model_validate(lake.get_json(key)) for key in sorted(lake.keys(FOLDER))]


def meant(catalog: pd.DataFrame, made: list[Decision], groups: pd.Series | None = None) -> list[pd.Index]:
    """For each decision the rows of the catalog that it is about: none where its source is off this week.

    A decision about an image follows its bytes, under any name; with `groups`, the group of every image that the lake
    ever compared by `sha256`, also a copy that stands under its name now. What could not be decoded is never meant:
    nothing can be decided about it.
    """
    names: dict[str, set[int]] = {}
    for row, items in zip(catalog.index, catalog["published"], strict=True):
        for item in items:
            names.setdefault(f"{item['source']}:{item['path']}", set()).add(row)
    result = []
    for decision in made:
        rows = pd.Index(sorted(names.get(decision.target, set())), dtype=catalog.index.dtype)
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


def kept(catalog: pd.DataFrame, made: list[Decision]) -> pd.Series:
    """Whether a curator wants an image used that would be quarantined."""
    result = pd.Series(False, index=catalog.index)
    for decision, rows in zip(made, meant(catalog, made), strict=True):
        result.loc[rows] = decision.action != "drop"
    return result


def apply(
    catalog: pd.DataFrame, made: list[Decision], labels: LabelMap, groups: pd.Series | None = None
) -> tuple[pd.DataFrame, list[Decision]]:
    """The catalog with decisions applied, and those that match no image of it.

    `drop` sets the `reason`; `keep` and `label` take it away, and set `label_origin` to `human`. Images that are still
    quarantined stay so: `repair` has let those in that a curator wants.
    """
    result, idle = catalog.copy(), []
    for decision, rows in zip(made, meant(catalog, made, groups), strict=True):
        if decision.action != "drop":
            rows = rows[catalogs.usable(catalog.loc[rows]).to_numpy()]
        if rows.empty:
            idle.append(decision)
        elif decision.action == "drop":
            result.loc[rows, "reason"] = f"dropped by {decision.who}: {decision.why}"
        else:
            result.loc[rows, "reason"] = pd.NA
            result.loc[rows, "label_origin"] = HUMAN
            if decision.action == "label":
                part, fractured = _label(decision, labels)
                result.loc[rows, "body_part"] = part
                result.loc[rows, "fractured"] = pd.NA if fractured is None else fractured
    return result, idle


def record(lake: Lake, labels: LabelMap, catalog: pd.DataFrame, answers: list[dict[str, Any]]) -> int:
    """Keep what curators answered (`about, answer, by`: image, part) as decisions; returns how many are new.

    Who did not answer has decided nothing. The fracture state stays as it was published.
    """
    known = {(made.target, made.action, made.label) for made in decisions(lake)}
    states = dict(zip(catalog["sha256"], state_names(catalog), strict=True))
    new = 0
    for answer in answers:
        if answer["by"] is None:
            continue
        image, part = answer["about"], answer["answer"]
        what: dict[str, Any] = {"action": "drop"}
        if part != LEAVE_OUT:
            what = {"action": "label", "label": f"{part}/{states[image]}"}
        made = Decision(target=image, who=answer["by"], why="answered in Airflow", **what)
        if (made.target, made.action, made.label) not in known:
            decide(lake, labels, made)
            new += 1
    return new


def review(lake: Lake, labels: LabelMap, catalog_key: str) -> tuple[str, dict[str, int]]:
    """Apply every decision to a catalog. Returns its key and counts (`decisions, idle, human, dropped`)."""
    made = decisions(lake)
    key = derived_key("review", VERSION, catalog_key, [item.model_dump_json() for item in made], labels.model_dump())
    before = catalogs.read(lake, catalog_key)
    gone = {decision.image for decision in made if decision.image} - set(before["sha256"])
    catalog, idle = apply(before, made, labels, every_group(lake) if gone else None)
    for decision in idle:
        log.warning("the decision of %s about %s fits no image of this run", decision.who, decision.target)
    if not lake.exists(key):
        catalogs.write(lake, key, catalog)
    dropped = int(catalog["reason"].fillna("").str.startswith("dropped by ").sum())
    human = int((catalog["label_origin"] == HUMAN).sum())
    return key, {"decisions": len(made), "idle": len(idle), "human": human, "dropped": dropped}


def _label(decision: Decision, labels: LabelMap) -> tuple[str, bool | None]:
    part, _, state = (decision.label or "").partition("/")
    if part not in labels.parts or state not in STATES:
        parts, states = ", ".join(labels.parts), ", ".join(STATES)
        raise ConfigurationError(
            f"{decision.label!r} is no label: give a part of {parts}, a slash, and one of {states}"
        )
    return part, STATES[state]
