from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

from osteon.images.decode import decode
from osteon.images.measure import thumbnail
from osteon.settings import load_settings
from osteon.sources.base import PublishedFile
from osteon.sources.phantom import PARTS, Defects, PhantomConfig, PhantomSource

EVERY = Defects(**dict.fromkeys(Defects.model_fields, 2))


def source(**values: object) -> PhantomSource:
    config = {"name": "p", "kind": "phantom", "licence": "CC0-1.0", "longer_side": (64, 90), **values}
    return PhantomConfig.model_validate(config).open(load_settings(), Path())


def files(opened: PhantomSource) -> list[PublishedFile]:
    return list(opened.fetch(opened.latest_version()))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    first, again = (files(source(images=40, seed=1, defects=EVERY)) for _ in range(2))
    assert first == again
    assert first != files(source(images=40, seed=2, defects=EVERY))


def test_all_ten_parts_come_with_and_without_fracture() -> None:
    labels = {file.raw_label for file in files(source(images=100))}
    assert labels == {f"{part}|{state}" for part in PARTS for state in ("fractured", "non-fractured")}


def test_every_defect_is_injected_as_often_as_asked_and_told() -> None:
    opened = source(images=40, defects=EVERY)
    found = Counter(item.defect for item in opened.truth())
    assert found == dict.fromkeys(Defects.model_fields, 2)
    paths = [file.path for file in files(opened)]
    assert len(paths) == len(set(paths)) == 40 + 2 * 5
    assert {item.path for item in opened.truth()} <= set(paths)


def test_truncated_files_are_truncated_and_no_other_is() -> None:
    opened = source(images=30, defects=Defects(truncated=3))
    cut = {item.path for item in opened.truth()}
    assert {file.path for file in files(opened) if decode(file.data or b"", 10**7).truncated} == cut


def test_more_defects_than_images_are_refused() -> None:
    with pytest.raises(ValueError, match="more defects than images"):
        files(source(images=2, defects=EVERY))


def test_body_parts_can_be_learnt_from_a_few_pixels() -> None:
    images = files(source(images=300, seed=3))
    pixels = [thumbnail(decode(file.data or b"", 10**7).grey)[::4, ::4].ravel() / 255 for file in images]
    parts = [str(file.raw_label).split("|")[0] for file in images]
    model = LogisticRegression(max_iter=300).fit(pixels[:200], parts[:200])
    assert model.score(pixels[200:], parts[200:]) > 0.6
