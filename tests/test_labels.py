from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from osteon.errors import ConfigurationError
from osteon.labels import REQUIRED_PARTS, Label, LabelMap, load_labels
from osteon.settings import load_settings


@pytest.fixture
def labels() -> LabelMap:
    return load_labels(load_settings().labels_file)


def changed(labels: LabelMap, **parts: object) -> LabelMap:
    raw = labels.model_dump()
    for name, entry in parts.items():
        if entry is None:
            del raw["parts"][name]
        else:
            raw["parts"][name] = entry
    return LabelMap.model_validate(raw)


def test_the_map_that_ships_is_complete_and_has_20_codes_without_gaps(labels: LabelMap) -> None:
    assert labels.problems() == []
    codes = [labels.code(part, state) for part in REQUIRED_PARTS for state in (False, True)]
    assert codes == list(range(20))


def test_a_missing_part_is_named_with_both_its_classes(labels: LabelMap) -> None:
    problems = " ".join(changed(labels, wrist=None).problems())
    assert "wrist/fractured" in problems and "wrist/non-fractured" in problems


def test_what_contradicts_itself_is_found(labels: LabelMap) -> None:
    problems = " ".join(changed(labels, knee={"code": 5, "aliases": ["pelvis", "other"]}).problems())
    assert "the code of `knee` is 7, not 5" in problems
    assert "`pelvis` is claimed by both `hip` and `knee`" in problems
    assert "`other` is claimed by both `ambiguous` and `knee`" in problems
    assert "`skull` is no part that Osteon knows" in " ".join(changed(labels, skull={"code": 10}).problems())
    displaced = labels.model_dump() | {"states": labels.model_dump()["states"] | {"displaced": {"code": 2}}}
    assert "`displaced` is no state" in " ".join(LabelMap.model_validate(displaced).problems())


def test_a_key_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text("parts:\n  hip: {code: 5}\n  hip: {code: 6}\nstates: {}\n")
    with pytest.raises(ConfigurationError, match=r"(?s)'hip' stands twice.*line 3"):
        load_labels(path)


@pytest.mark.parametrize(
    ("raw", "meaning"),
    [
        ("Finger|Fractured", Label("hand", True, ("hand",))),
        ("XR_WRIST|normal", Label("wrist", False, ("wrist",))),
        ("feet|", Label("leg", None, ("leg",))),
        ("hand+shoulder|fractured", Label(None, True, ("hand", "shoulder"))),
        ("hand+fingers|fractured", Label("hand", True, ("hand",))),
        ("hand+mixed|fractured", Label(None, True, ("hand",))),
        ("mandible|fractured", Label(None, True, unknown=("mandible",))),
        ("hand|perhaps", Label(None, None, ("hand",), ("perhaps",))),
        (None, Label(None, None)),
    ],
)
def test_raw_labels_mean_one_part_or_none_and_unknown_words_are_never_guessed(
    labels: LabelMap, raw: str | None, meaning: Label
) -> None:
    assert labels.resolve(raw) == meaning


def test_an_unreadable_map_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    with pytest.raises(ConfigurationError, match=r"labels\.yaml.*OSTEON_LABELS_FILE"):
        load_labels(path)
    path.write_text(yaml.safe_dump({"parts": {"hand": {"code": -1}}, "states": {}}))
    with pytest.raises(ConfigurationError, match="code"):
        load_labels(path)
