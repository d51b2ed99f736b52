from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from osteon.curation.groups import leakage_groups, original_stem
from osteon.images.inspect import measure
from tests.pictures import encode, radiograph


def frame(*images: tuple[str, bytes]) -> pd.DataFrame:
    rows = [(f"{i:02d}", measure("x", data, 10**8).thumb, [("s", path)]) for i, (path, data) in enumerate(images)]
    return pd.DataFrame(rows, columns=["sha256", "thumb", "names"])


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("train/64-rotated2-rotated1.jpg", ("64", True)),
        ("11_jpg.rf.a47b01eb09d7890b.jpg", ("11", True)),
        ("a/plain.png", ("plain", False)),
    ],
)
def test_publishers_marks_of_a_copy_are_read(path: str, stem: tuple[str, bool]) -> None:
    assert original_stem(path) == stem


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.transpose(Image.Transpose.ROTATE_90),
        lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        lambda image: image.transpose(Image.Transpose.TRANSVERSE),
        lambda image: image.resize((140, 170)),
        lambda image: image.point(lambda value: value * 0.8),
    ],
)
def test_flipped_turned_resized_and_darkened_copies_join_their_original(change: object) -> None:
    original = Image.fromarray(radiograph(5, "hand", size=(180, 220)))
    groups = leakage_groups(frame(("a.jpg", encode(original)), ("b.jpg", encode(change(original), quality=60))))  # type: ignore[operator]
    assert groups.nunique() == 1


def test_a_copy_rotated_by_any_angle_joins_when_its_name_says_so_and_its_pixels_agree() -> None:
    image = Image.fromarray(radiograph(6, "knee"))
    rotated, other = encode(image.rotate(17)), encode(radiograph(7, "elbow"))
    groups = leakage_groups(frame(("64.jpg", encode(image)), ("64-rotated1.jpg", rotated), ("64-rotated2.jpg", other)))
    assert groups[0] == groups[1] != groups[2]


def test_different_exposures_of_one_part_stay_apart() -> None:
    images = [
        (f"{seed}.jpg", encode(radiograph(seed, part))) for seed in range(12) for part in ("hand", "leg", "spine")
    ]
    assert leakage_groups(frame(*images)).nunique() == len(images)


def test_no_image_gives_no_group() -> None:
    assert leakage_groups(frame()).empty
    assert np.array_equal(leakage_groups(frame(("a.jpg", encode(radiograph(1))))).to_numpy(), ["00"])
