"""Decisions of curators, in a real lake and on catalogs made by hand."""

from __future__ import annotations

import pandas as pd
import pytest
from typer.testing import CliRunner

from osteon import catalog as catalogs
from osteon import history
from osteon.cli import app
from osteon.curation.decisions import Decision, decide, decided_pairs, decisions
from osteon.curation.eligibility import with_eligibility
from osteon.curation.review import apply, kept, review
from osteon.errors import ConfigurationError
from osteon.ingest import manifests_of
from osteon.labels import LabelMap, load_labels
from osteon.lake import Lake
from osteon.schemas import Grouped
from osteon.settings import Settings, load_settings
from tests import tables


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
    return tables.catalog(frame)


def judged(catalog: pd.DataFrame) -> pd.DataFrame:
    return with_eligibility(catalog, tables.publications(catalog), "marginal")


def test_a_label_for_the_whole_group_ends_its_conflict(labels: LabelMap) -> None:
    before = catalog(labels)
    assert judged(before)["conflict"].notna().tolist() == [True, True, False, False]
    after, idle = apply(
        before,
        tables.publications(before),
        [made("s:b.jpg", "label", label="hand/fractured", whole_group=True)],
        labels,
    )
    assert idle == [] and judged(after)["conflict"].isna().all()
    assert after["label_origin"].tolist() == ["human", "human", "source", "source"]
    assert after["fractured"].tolist()[:2] == [True, True]
    assert judged(after)["exclusion_reason"].isna().tolist() == [True, True, False, False]


def test_a_decision_follows_its_image_and_not_a_name_that_another_image_has_now(labels: LabelMap, lake: Lake) -> None:
    before = catalog(labels)
    lake.put_table(f"{manifests_of('s')}1.parquet", before[["path", "sha256"]])
    decide(lake, labels, made("s:a.jpg", "drop"))
    (kept_so,) = decisions(lake)
    assert kept_so.image == "a" * 64
    renamed = before.copy()
    for row, path in ((0, "b.jpg"), (1, "a.jpg")):
        renamed.loc[row, "path"] = path
    published = tables.publications(renamed)
    after, idle = apply(renamed.assign(group=renamed["sha256"]), published, [kept_so], labels)
    assert idle == [] and after["reason"].fillna("").str.startswith("dropped").tolist() == [True, False, False, False]
    anew = before.assign(sha256=["e" * 64, *before["sha256"][1:]], group=["a" * 64, *before["sha256"][1:]])
    published = tables.publications(anew)
    assert apply(anew, published, [kept_so], labels)[1] == [kept_so], "other bytes, and nothing known of them"
    after, _ = apply(anew, published, [kept_so], labels, pd.Series({"a" * 64: "0", "e" * 64: "0", "b" * 64: "0"}))
    assert after["reason"].fillna("").str.startswith("dropped").tolist() == [True, False, False, False]


def test_dropping_one_copy_leaves_the_other_in_peace(labels: LabelMap) -> None:
    before = catalog(labels)
    after, _ = apply(before, tables.publications(before), [made("b" * 12, "drop")], labels)
    reasons = judged(after)["exclusion_reason"]
    assert pd.isna(reasons[0]) and reasons[1] == "dropped by ann: seen"


def test_keep_brings_back_what_a_check_kept_out_but_not_what_cannot_be_decoded(labels: LabelMap) -> None:
    before, both = catalog(labels), [made("s:c.jpg", "keep"), made("s:d.jpg", "keep")]
    published = tables.publications(before)
    assert kept(before, published, both).tolist() == [False, False, True, False]
    assert not kept(before, published, [*both, made("s:c.jpg", "drop")]).any(), "the later decision wins"
    after, idle = apply(before.assign(quarantined=[False, False, False, True]), published, both, labels)
    assert pd.isna(after["reason"][2]) and after["label_origin"][2] == "human"
    assert [decision.target for decision in idle] == ["s:d.jpg"]


def test_the_later_decision_wins_and_one_that_fits_nothing_is_told(
    settings: Settings, lake: Lake, labels: LabelMap
) -> None:
    for decision in (
        made("s:a.jpg", "drop"),
        made("s:a.jpg", "label", label="wrist/unknown"),
        made("s:other.jpg", "drop"),
    ):
        decide(lake, labels, decision)
    assert [decision.action for decision in decisions(lake)] == ["drop", "label", "drop"]
    tables.put(lake, "group/c.parquet", catalog(labels), Grouped)
    key, numbers = review(settings, lake, labels, "group/c.parquet")
    assert numbers == {"decisions": 3, "idle": 1, "human": 1, "dropped": 0}
    first = catalogs.read(lake, key).iloc[0]
    assert (first["body_part"], first["label_origin"]) == ("wrist", "human")
    assert pd.isna(first["fractured"]) and pd.isna(first["reason"])
    assert review(settings, lake, labels, "group/c.parquet")[0] == key
    decide(lake, labels, made("s:b.jpg", "drop"))
    assert review(settings, lake, labels, "group/c.parquet")[0] != key


def test_a_label_that_is_none_is_refused_with_those_that_are(lake: Lake, labels: LabelMap) -> None:
    for label in ("wrist", "tail/fractured", "wrist/broken"):
        with pytest.raises(ConfigurationError, match=r"no label: give a part of hand, .*non-fractured"):
            decide(lake, labels, made("s:a.jpg", "label", label=label))
    with pytest.raises(ConfigurationError, match="goes with the action"):
        decide(lake, labels, made("s:a.jpg", "drop", label="wrist/unknown"))
    assert decisions(lake) == []


def test_decisions_about_pairs_are_kept_by_digest_and_the_later_one_wins(
    settings: Settings, lake: Lake, labels: LabelMap
) -> None:
    one, other = "a" * 64, "b" * 64
    frame = catalog(labels)
    lake.put_table(f"{manifests_of('s')}1.parquet", frame[["path", "sha256"]])
    history.append(lake, history.NAMES, pd.DataFrame({"sha256": [one, other], "source": "s", "path": "x"}))
    decide(lake, labels, made("s:b.jpg", "copies", other="a" * 12))
    decide(lake, labels, made("a" * 8, "no copies", other="s:c.jpg"))
    assert decided_pairs(decisions(lake)).to_numpy().tolist() == [[one, other, True], [one, "c" * 64, False]]
    decide(lake, labels, made("a" * 8, "no copies", other="s:b.jpg"))
    assert decided_pairs(decisions(lake)).to_numpy().tolist() == [[one, other, False], [one, "c" * 64, False]]
    published = tables.publications(frame)
    after, idle = apply(frame, published, decisions(lake), labels)
    pd.testing.assert_frame_equal(after, frame)
    assert idle == [] and not kept(frame, published, decisions(lake)).any(), "they are not about images"
    key = tables.put(lake, "group/c.parquet", frame, Grouped)
    assert review(settings, lake, labels, key)[1] == {"decisions": 0, "idle": 0, "human": 0, "dropped": 0}


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (made("s:a.jpg", "copies", other="s:none.jpg"), "s:none.jpg names no image that the lake knows"),
        (made("aaaaaaaa", "copies", other="bbbbbbbb"), "aaaaaaaa names several images"),
        (made("s:a.jpg", "no copies", other="s:a.jpg"), "are one image"),
        (made("s:a.jpg", "copies"), "is about two images"),
        (made("s:a.jpg", "drop", other="s:b.jpg"), "a second image goes with copies and no copies"),
    ],
)
def test_a_pair_of_which_the_lake_does_not_know_both_images_is_refused(
    lake: Lake, labels: LabelMap, decision: Decision, message: str
) -> None:
    lake.put_table(f"{manifests_of('s')}1.parquet", catalog(labels)[["path", "sha256"]])
    digests = ["a" * 63 + "1", "a" * 63 + "2", "b" * 64]
    history.append(lake, history.NAMES, pd.DataFrame({"sha256": digests}))
    with pytest.raises(ConfigurationError, match=message):
        decide(lake, labels, decision)
    assert decisions(lake) == []


def test_the_command_line_decides_about_pairs_and_lists_them(environment: dict[str, str], lake: Lake) -> None:
    history.append(lake, history.NAMES, pd.DataFrame({"sha256": ["a" * 64, "b" * 64]}))
    run = CliRunner().invoke
    said = ["review", "a" * 8, "--no-copies", "b" * 8, "--who", "ann", "--why", "two hands"]
    assert run(app, said).exit_code == 0
    assert f"no copies{' ' * 24}{'a' * 8} and {'b' * 8}  by ann: two hands" in run(app, ["review"]).output
    both = run(app, [*said, "--copies", "b" * 8])
    assert isinstance(both.exception, ConfigurationError) and "--no-copies OTHER" in str(both.exception)
