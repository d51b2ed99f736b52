"""What base models may decide: rules, thresholds and the guard, on catalogs and probabilities made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from osteon import catalog as catalogs
from osteon.curation.decisions import decisions
from osteon.curation.publications import words_of
from osteon.curation.relabel import (
    RelabelRules,
    Verdict,
    changes,
    is_ambiguous,
    judge_images,
    judge_source,
    load_rules,
    read_verdicts,
    relabel,
)
from osteon.curation.review import LEAVE_OUT, apply, record
from osteon.errors import ConfigurationError
from osteon.labels import LabelMap, load_labels
from osteon.lake import Lake
from osteon.records import Answer
from osteon.results import BaseModelResult, SourceCounts
from osteon.schemas import Reviewed
from osteon.settings import Settings, load_settings
from tests import tables


@pytest.fixture
def labels() -> LabelMap:
    return load_labels(load_settings().labels_file)


def rules(**sources: dict[str, Any]) -> RelabelRules:
    models = {
        "hand_base": {"answer": "hand", "parts": ["hand", "wrist"]},
        "leg_base": {"answer": "leg", "parts": ["leg"]},
    }
    return RelabelRules.model_validate({"base_models": models, "default": {}, "sources": sources})


def catalog(*raw_labels: str | None, source: str = "s", first: int = 0) -> pd.DataFrame:
    """One original for each label."""
    rows = []
    for number, raw in enumerate(raw_labels, start=first):
        digest, path = f"{number:064x}", f"{number}.jpg"
        rows.append({"sha256": digest, "source": source, "path": path, "raw_label": raw, "group": digest, "width": 100})
    return tables.reviewed(rows)


def trained(answer: str, *sources: tuple[str, int, int]) -> BaseModelResult:
    """A base model's result that saw (source, other, other_right)."""
    seen = [{"source": s, "answer": 9, "answer_right": 9, "other": n, "other_right": right} for s, n, right in sources]
    return BaseModelResult(
        key=f"models/{answer}",
        model=f"{answer}_base",
        snapshot="x",
        snapshot_key="x",
        budget="smoke",
        seed=0,
        classes=[answer, "other"],
        images={},
        positive_class=answer,
        parts=[answer],
        input="both",
        ablation={},
        metrics={},
        intervals={},
        calibration=[],
        by_source=[SourceCounts.model_validate(counts) for counts in seen],
    )


def chances(images: pd.DataFrame, **answers: float) -> pd.DataFrame:
    return pd.DataFrame({name: [value] * len(images) for name, value in answers.items()}, index=images.index)


def test_what_is_ambiguous_is_what_lacks_nothing_but_its_part() -> None:
    frame = catalog("hand+leg|fractured", "mixed", None, "unsorted|normal", "mandible", "hand", "hand+leg")
    frame.loc[5, "body_part"] = "hand"
    frame.loc[6, "label_origin"] = "human"
    found = is_ambiguous(tables.reviewed(frame), tables.publications(frame))
    assert found.tolist() == [True, True, True, True, False, False, False]


def test_all_publications_of_an_image_say_which_parts_it_may_show() -> None:
    labels = ["hand+leg+mixed|fractured", "hip|", "unsorted|fractured", None]
    files = [{"sha256": "a" if raw else "b", "path": f"{raw}.jpg", "raw_label": raw} for raw in labels]
    assert words_of(tables.publications(files), "named_parts").to_dict() == {"a": "hand, hip, leg"}


@pytest.mark.parametrize(
    ("raw", "hand", "leg", "part", "why"),
    [
        ("hand+leg", 0.95, 0.1, "hand", "hand with 95%"),
        ("hand+leg", 0.2, 0.91, "leg", "leg with 91%"),
        ("mixed", 0.95, 0.1, "hand", "hand with 95%"),
        ("hand+leg", 0.89, 0.1, None, "90% are needed"),
        ("hand+leg", 0.95, 0.6, None, "may be hand and leg"),
        ("hip+leg", 0.95, 0.1, None, "its label names hip, leg"),
        ("hip+leg", 0.02, 0.3, None, "90% are needed"),
    ],
)
def test_an_image_gets_a_part_that_is_likely_alone_and_named(
    raw: str, hand: float, leg: float, part: str | None, why: str
) -> None:
    images = catalog(raw)
    published = tables.publications(images)
    (row,) = judge_images(images, published, chances(images, hand=hand, leg=leg), rules()).to_dict("records")
    assert row["body_part"] == part and why in row["why"]
    assert row["decision"] == ("accepted" if part else "to review")
    (row,) = judge_images(images, published, chances(images, hand=1.0, leg=0.0), rules(s={"may": "nothing"})).to_dict(
        "records"
    )
    assert row["decision"] == "left out" and row["body_part"] is None


MERGE = {"may": "merge", "into": "hand", "originals": 20}


@pytest.mark.parametrize(
    ("rule", "count", "hand", "seen", "merged", "why"),
    [
        ({**MERGE, "like": ["h"]}, 30, 0.9, ("h", 40, 39), True, "100% of 30 originals look like hand"),
        ({**MERGE, "like": ["h"]}, 30, 0.1, ("h", 40, 39), False, "0% of 30 originals look like hand, 95% are needed"),
        ({**MERGE, "like": ["h"]}, 19, 0.9, ("h", 40, 39), False, "19 originals, 20 are needed"),
        ({**MERGE, "like": ["h"]}, 30, 0.9, ("h", 40, 20), False, "called 50% other, 90% are needed"),
        ({**MERGE, "like": ["h"]}, 30, 0.9, ("h", 3, 3), False, "shown 3 held-out images of h"),
        (MERGE, 30, 0.9, ("h", 40, 39), False, "shown 0 held-out images of s"),
        ({"may": "images"}, 30, 0.9, ("s", 40, 39), False, "may: images"),
    ],
)
def test_a_source_is_merged_only_by_its_rule_and_by_a_model_that_can_say_other(
    rule: dict[str, Any], count: int, hand: float, seen: tuple[str, int, int], merged: bool, why: str
) -> None:
    images = catalog(*["unsorted"] * count)
    verdict = judge_source("s", images, chances(images, hand=hand), rules(s=rule), {"hand": trained("hand", seen)})
    assert (verdict.merged, verdict.originals) == (merged, count) and why in verdict.why


def test_copies_of_one_original_have_one_vote() -> None:
    images = catalog(*["unsorted"] * 60)
    images["group"] = images["group"].mask(images.index <= 40, images["group"].iloc[0])
    said = chances(images, hand=0.1)
    said.loc[41:, "hand"] = 0.9
    rule = {**MERGE, "originals": 5, "like": ["h"]}
    verdict = judge_source("s", images, said, rules(s=rule), {"hand": trained("hand", ("h", 40, 40))})
    assert verdict.originals == 20 and verdict.agreement == pytest.approx(19 / 20) and verdict.merged


def test_relabelling_keeps_what_was_published_and_asks_no_model_twice(
    settings: Settings, lake: Lake, labels: LabelMap
) -> None:
    frame = pd.concat(
        [catalog("hand+leg|fractured", "mixed|normal"), catalog(*["unsorted"] * 25, source="w", first=50)]
    )
    tables.put(lake, "review/c.parquet", frame, Reviewed)
    asked = []

    def predict(images: pd.DataFrame) -> pd.DataFrame:
        asked.append(len(images))
        return pd.DataFrame({"hand": [0.5 if path == "1.jpg" else 0.97 for path in images["path"]]}, index=images.index)

    inputs = (labels, rules(w={**MERGE, "like": ["h"]}), "review/c.parquet", {"hand": trained("hand", ("h", 40, 40))})
    key, table = relabel(settings, lake, *inputs, predict)
    assert relabel(settings, lake, *inputs, predict) == (key, table) and asked == [27]
    after = catalogs.read(lake, key).set_index("path")
    assert after["body_part"].value_counts().to_dict() == {"hand": 26}
    assert after.at["0.jpg", "raw_label"] == "hand+leg|fractured" and after.at["0.jpg", "label_origin"] == "base-model"
    assert pd.isna(after["body_part"]["1.jpg"]) and after.at["1.jpg", "label_origin"] == "source"
    decided = lake.get_table(table).set_index("path")
    assert decided["decision"].value_counts().to_dict() == {"merged": 25, "accepted": 1, "to review": 1}
    assert [verdict.merged for verdict in read_verdicts(lake, table)] == [False, True]


def test_without_a_base_model_all_goes_to_review(settings: Settings, lake: Lake, labels: LabelMap) -> None:
    tables.put(lake, "review/c.parquet", catalog("mixed", "hand+leg"), Reviewed)
    key, table = relabel(settings, lake, labels, rules(s=MERGE), "review/c.parquet", {}, pytest.fail)
    assert lake.get_table(table)["decision"].tolist() == ["to review"] * 2
    assert catalogs.read(lake, key)["body_part"].isna().all()
    assert read_verdicts(lake, table)[0].why == "there is no base model that tells hand"


def test_a_merge_that_came_or_went_is_told() -> None:
    now = [
        Verdict("a", 9, 9, "hand", 0.99, merged=True, why="x"),
        Verdict("b", 9, 9, "leg", None, merged=False, why="y"),
    ]
    assert changes({"a": "hand"}, now) == []
    assert changes({"b": "leg"}, now) == ["a is now merged into hand: x", "b is no longer merged into leg: y"]
    assert changes({"a": "leg"}, now) == ["a is now merged into hand, no longer into leg: x"]


def test_answers_become_human_labels_and_silence_decides_nothing(lake: Lake, labels: LabelMap) -> None:
    frame = catalog("mixed|fractured", "mixed|normal", "mixed", "mixed")
    frame["fractured"] = [True, False, None, None]
    digests = frame["sha256"].tolist()
    said = ["wrist", LEAVE_OUT, "hand", LEAVE_OUT]
    by = ["ann", "ann", None, None]
    answers = [Answer(about=i, answer=label, by=who) for i, label, who in zip(digests, said, by, strict=True)]
    assert record(lake, labels, frame, answers) == 2
    assert record(lake, labels, frame, answers) == 0, "a task that is tried again decides nothing twice"
    after, idle = apply(frame, tables.publications(frame), decisions(lake), labels)
    assert idle == [] and after["label_origin"].tolist() == ["human", "source", "source", "source"]
    assert after["body_part"].tolist()[:1] == ["wrist"] and after["fractured"].tolist()[:1] == [True]
    assert after["reason"].notna().tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base_models": {"x": {"answer": "tail", "parts": []}}}, "x names tail"),
        ({"sources": {"s": {"may": "merge", "into": "knee"}}}, "into: knee` is none of hand, leg"),
        ({"threshold": 2}, "threshold"),
    ],
)
def test_a_relabel_file_with_mistakes_names_them(
    change: dict[str, Any], message: str, labels: LabelMap, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="OSTEON_RELABEL_FILE"):
        load_rules(tmp_path / "none.yaml", labels)
    whole = yaml.safe_load(load_settings().relabel_file.read_text())
    (tmp_path / "relabel.yaml").write_text(yaml.safe_dump(whole | change))
    with pytest.raises(ConfigurationError, match=message):
        load_rules(tmp_path / "relabel.yaml", labels)
