"""What curators decided about images and pairs of images: kept in the lake, one object a decision, never changed."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from osteon import history
from osteon.errors import ConfigurationError
from osteon.ingest import manifests_of
from osteon.labels import STATES, UNKNOWN, LabelMap
from osteon.lake import Lake
from osteon.takeover import take_over

FOLDER = "decisions/"
STATE_OF: dict[str, bool | None] = {name: state for state, name in STATES.items()} | {UNKNOWN: None}
"""The fracture state of each name that a decision may give."""
ONE = r"^(.+:.+|[0-9a-f]{8,64})$"
"""How an image is named: `source:path`, or 8 digits at least of its SHA-256."""
PAIRS = {"copies": True, "no copies": False}
"""Actions about a pair, and whether it then shows one film."""


class Decision(BaseModel):
    """One decision. Later ones win; none is ever changed or deleted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: str = Field(pattern=ONE)
    """`source:path`, as mails name an image, or 8 digits at least of an image's SHA-256, or of its group's name."""
    image: str | None = None
    """SHA-256 of what a `source:path` named when it was decided; None where the lake held no such file."""
    whole_group: bool = False
    """Whether all copies of the original are meant."""
    action: Literal["keep", "drop", "label", "copies", "no copies"]
    """Use the image as it is labelled, leave it out, or set its label. Or: two images show one film, or do not."""
    label: str | None = None
    """`part/state` for `label`."""
    other: str | None = Field(default=None, pattern=ONE)
    """The second image of a pair, named as `target` is."""
    other_image: str | None = None
    """SHA-256 of `other`. Of a pair, `image` and this are always set."""
    who: str = Field(min_length=1)
    why: str = Field(min_length=1)
    when: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def of_pair(self) -> bool:
        """Whether the decision is about two images."""
        return self.action in PAIRS


def decide(lake: Lake, labels: LabelMap, decision: Decision) -> str:
    """Keep a decision; returns its key.

    It is about the image that a `source:path` names now, by the newest manifest. If a publisher gives the name to
    another image later, the decision stays with the first. Raises `ConfigurationError` for a label that the map does
    not hold, and for a pair of which the lake does not know both images.
    """
    if decision.action == "label":
        meaning(decision, labels)
    elif decision.label is not None:
        raise ConfigurationError(f"a label goes with the action `label`, not with `{decision.action}`")
    if decision.of_pair:
        decision = _of_pair(lake, decision)
    elif decision.other is not None:
        raise ConfigurationError(f"a second image goes with {' and '.join(PAIRS)}, not with `{decision.action}`")
    else:
        decision = decision.model_copy(update={"image": _published(lake, decision.target)})
    text = decision.model_dump_json()
    key = f"{FOLDER}{decision.when:%Y%m%dT%H%M%S.%f}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
    lake.put_json(key, json.loads(text))
    return key


def decisions(lake: Lake) -> list[Decision]:
    """All decisions, the oldest first."""
    return [Decision.model_validate_json(data) for data in lake.get_all(sorted(lake.keys(FOLDER)))]


def decided_pairs(made: list[Decision]) -> pd.DataFrame:
    """`first, second, copies` of each pair that was decided, `first` < `second`: the later decision wins."""
    pairs: dict[tuple[str, ...], bool] = {}
    for decision in made:
        if decision.of_pair:
            pairs[tuple(sorted((str(decision.image), str(decision.other_image))))] = PAIRS[decision.action]
    rows = [(*pair, copies) for pair, copies in sorted(pairs.items())]
    return pd.DataFrame(rows, columns=["first", "second", "copies"])


def meaning(decision: Decision, labels: LabelMap) -> tuple[str, bool | None]:
    """Body part and fracture state of a decision's label. Raises `ConfigurationError` where it is none."""
    part, _, state = (decision.label or "").partition("/")
    if part not in labels.parts or state not in STATE_OF:
        parts, states = ", ".join(labels.parts), ", ".join(STATE_OF)
        raise ConfigurationError(
            f"{decision.label!r} is no label: give a part of {parts}, a slash, and one of {states}"
        )
    return part, STATE_OF[state]


def _of_pair(lake: Lake, decision: Decision) -> Decision:
    if decision.other is None or decision.whole_group:
        raise ConfigurationError(f"`{decision.action}` is about two images: name the other one, and no group")
    take_over(lake)
    seen = history.digests_ever_seen(lake)
    images = [_digest(lake, name, seen) for name in (decision.target, decision.other)]
    if images[0] == images[1]:
        raise ConfigurationError(f"{decision.target} and {decision.other} are one image: name two")
    return decision.model_copy(update={"image": images[0], "other_image": images[1]})


def _digest(lake: Lake, name: str, seen: pd.Index) -> str:
    found = [_published(lake, name)] if ":" in name else seen[seen.str.startswith(name)].tolist()
    if len(found) != 1 or found[0] is None:
        problem = "several images" if len(found) > 1 else "no image that the lake knows"
        raise ConfigurationError(f"{name} names {problem}: give source:path of a current file, or more of its SHA-256")
    return str(found[0])


def _published(lake: Lake, name: str) -> str | None:
    """SHA-256 of what `source:path` names in the newest manifest; None where there is no such file."""
    source, _, path = name.partition(":")
    manifests: list[Any] = lake.newest(manifests_of(source), ".parquet") if path else []
    if not manifests:
        return None
    files = lake.get_table(manifests[0], columns=["path", "sha256"]).dropna().set_index("path")["sha256"]
    digest = files.get(path)
    return None if digest is None else str(digest)
