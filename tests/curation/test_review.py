"""Decisions of curators, in a real lake and on catalogs made by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from osteon import catalog as catalogs
from osteon.curation.conflicts import conflicts
from osteon.curation.decisions import Decision, decide, decisions
from osteon.curation.review import apply, kept, review
from osteon.curation.split import left_out
from osteon.errors import ConfigurationError
from osteon.ingest import manifests_of
from osteon.labels import LabelMap, load_labels
from osteon.lake import Lake
from osteon.settings import load_settings


@pytest.fixture
def labels() -> LabelMap:
    return load_labels(load_settings().labels_file)


def made(target: str, action: str, **more: object) -> Decision:
    return Decision.model_validate({"target": target, "action": action, "who": "ann", "why": "seen", **more})


def catalog(labels: LabelMap) -> pd.DataFrame:
    """Two copies with opposite labels, a blank image that is quarantined, and one that could not be decoded."""
    rows = [
        ("a" * 64, "a.jpg", "hand|fractured", "a" * 64, False, None, 100),
        ("b" * 64, "b.jpg", "hand|normal", "a" * 64, False, None, 100),
        ("c" * 64, "c.jpg", "knee|normal", None, True, "blank: it shows nothing", 100),
        ("d" * 64, "d.jpg", "knee|normal", None, True, "not an image", None),
    ]
    frame = pd.DataFrame(rows, columns=["sha256", "path", "raw_label", "group", "quarantined", "reason", "width"])
    meanings = [labels.resolve(raw) for raw in frame["raw_label"]]
    frame["body_part"], frame["fractured"] = [m.body_part for m in meanings], [m.fractured for m in meanings]
    frame["source"], frame["label_origin"] = "s", "source"
    pairs = zip(frame["path"], frame["raw_label"], strict=True)
    frame["published"] = [[{"source": "s", "path": path, "raw_label": raw, "raw_split": None}] for path, raw in pairs]
    return catalogs.conform(frame)


def test_a_label_for_the_whole_group_ends_its_conflict(labels: LabelMap) -> None:
    before = catalog(labels)
    assert conflicts(before, labels).notna().tolist() == [True, True, False, False]
    after, idle = apply(before, [made("s:b.jpg", "label", label="hand/fractured", whole_group=True)], labels)
    assert idle == [] and conflicts(after, labels).isna().all()
    assert after["label_origin"].tolist() == ["human", "human", "source", "source"]
    assert after["fractured"].tolist()[:2] == [True, True]
    assert left_out(after, labels, True).isna().tolist() == [True, True, False, False]


def test_a_decision_follows_its_image_and_not_a_name_that_another_image_has_now(labels: LabelMap, lake: Lake) -> None:
    before = catalog(labels)
    lake.put_table(f"{manifests_of('s')}1.parquet", before[["path", "sha256"]])
    decide(lake, labels, made("s:a.jpg", "drop"))
    (kept_so,) = decisions(lake)
    assert kept_so.image == "a" * 64
    renamed = before.copy()
    for row, path in ((0, "b.jpg"), (1, "a.jpg")):
        renamed.loc[row, "path"] = path
        renamed.at[row, "published"] = [{**renamed.at[row, "published"][0], "path": path}]
    after, idle = apply(renamed.assign(group=renamed["sha256"]), [kept_so], labels)
    assert idle == [] and after["reason"].fillna("").str.startswith("dropped").tolist() == [True, False, False, False]
    anew = before.assign(sha256=["e" * 64, *before["sha256"][1:]], group=["a" * 64, *before["sha256"][1:]])
    assert apply(anew, [kept_so], labels)[1] == [kept_so], "other bytes, and nothing known of them"
    after, _ = apply(anew, [kept_so], labels, pd.Series({"a" * 64: "0", "e" * 64: "0", "b" * 64: "0"}))
    assert after["reason"].fillna("").str.startswith("dropped").tolist() == [True, False, False, False]


def test_dropping_one_copy_leaves_the_other_in_peace(labels: LabelMap) -> None:
    after, _ = apply(catalog(labels), [made("b" * 12, "drop")], labels)
    reasons = left_out(after, labels, True)
    assert pd.isna(reasons[0]) and reasons[1] == "dropped by ann: seen"


def test_keep_brings_back_what_a_check_kept_out_but_not_what_cannot_be_decoded(labels: LabelMap) -> None:
    before, both = catalog(labels), [made("s:c.jpg", "keep"), made("s:d.jpg", "keep")]
    assert kept(before, both).tolist() == [False, False, True, False]
    assert not kept(before, [*both, made("s:c.jpg", "drop")]).any(), "the later decision wins"
    after, idle = apply(before.assign(quarantined=[False, False, False, True]), both, labels)
    assert pd.isna(after["reason"][2]) and after["label_origin"][2] == "human"
    assert [decision.target for decision in idle] == ["s:d.jpg"]


def test_the_later_decision_wins_and_one_that_fits_nothing_is_told(lake: Lake, labels: LabelMap) -> None:
    for decision in (
        made("s:a.jpg", "drop"),
        made("s:a.jpg", "label", label="wrist/unknown"),
        made("s:other.jpg", "drop"),
    ):
        decide(lake, labels, decision)
    assert [decision.action for decision in decisions(lake)] == ["drop", "label", "drop"]
    catalogs.write(lake, "group/c.parquet", catalog(labels))
    key, numbers = review(lake, labels, "group/c.parquet")
    assert numbers == {"decisions": 3, "idle": 1, "human": 1, "dropped": 0}
    first = catalogs.read(lake, key).iloc[0]
    assert (first["body_part"], first["label_origin"]) == ("wrist", "human")
    assert pd.isna(first["fractured"]) and pd.isna(first["reason"])
    assert review(lake, labels, "group/c.parquet")[0] == key
    decide(lake, labels, made("s:b.jpg", "drop"))
    assert review(lake, labels, "group/c.parquet")[0] != key


def test_a_label_that_is_none_is_refused_with_those_that_are(lake: Lake, labels: LabelMap) -> None:
    for label in ("wrist", "tail/fractured", "wrist/broken"):
        with pytest.raises(ConfigurationError, match=r"no label: give a part of hand, .*non-fractured"):
            decide(lake, labels, made("s:a.jpg", "label", label=label))
    with pytest.raises(ConfigurationError, match="goes with the action"):
        decide(lake, labels, made("s:a.jpg", "drop", label="wrist/unknown"))
    assert decisions(lake) == []
