from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from osteon.curation.groups import leakage_groups, original_stem, polar_spectra, rotated_correlations
from osteon.images.measure import measure, thumbnail
from tests.pictures import encode, radiograph


def frame(*images: tuple[str, bytes]) -> pd.DataFrame:
    found = [measure(f"{i:03d}", data, 10**8) for i, (_, data) in enumerate(images)]
    rows = [
        (one.sha256, one.thumb, one.height, one.width, [("s", path)])
        for one, (path, _) in zip(found, images, strict=True)
    ]
    return pd.DataFrame(rows, columns=["sha256", "thumb", "height", "width", "names"])


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


@pytest.mark.parametrize("size", [(200, 200), (150, 220), (240, 130)])
@pytest.mark.parametrize("angle", [3, 38, 90, 171, 222])
def test_rotation_and_mirroring_leave_the_correlation_of_discs(size: tuple[int, int], angle: float) -> None:
    image = Image.fromarray(radiograph(6, "knee", size=size))
    views = [image, image.rotate(angle), image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).rotate(angle)]
    views.append(Image.fromarray(radiograph(7, "elbow", size=size)))
    thumbs = np.stack([thumbnail(view) for view in views])
    spectra = polar_spectra(thumbs, np.array([view.size[::-1] for view in views], float))
    same, turned, mirrored, other = rotated_correlations(spectra[0], spectra)
    assert same == pytest.approx(1, abs=1e-3) and min(turned, mirrored) > 0.97 > other


def test_a_copy_that_was_stretched_joins_when_its_name_says_so() -> None:
    film = Image.fromarray(radiograph(6, "spine", size=(130, 240)))
    stretched = film.resize((240, 240)).crop((4, 4, 236, 236))
    groups = leakage_groups(
        frame(("9_jpg.rf.aaaaaaaa1.jpg", encode(film)), ("9_jpg.rf.bbbbbbbb2.jpg", encode(stretched)))
    )
    assert groups.nunique() == 1


def test_a_family_of_many_rotated_copies_falls_into_its_originals() -> None:
    images = []
    for original in range(3):
        film = Image.fromarray(radiograph(original, ("hand", "spine", "elbow")[original], size=(120, 140)))
        images += [
            (f"{split}/7-rotated{n}.jpg", encode(film.rotate(30 * n + 7)))
            for split in ("train", "test")
            for n in range(9)
        ]
    groups = leakage_groups(frame(*images))
    assert [len(members) for members in groups.groupby(groups).groups.values()] == [18, 18, 18]


def test_different_exposures_of_one_part_stay_apart() -> None:
    images = [
        (f"{seed}.jpg", encode(radiograph(seed, part))) for seed in range(12) for part in ("hand", "leg", "spine")
    ]
    assert leakage_groups(frame(*images)).nunique() == len(images)


def test_no_image_gives_no_group() -> None:
    assert leakage_groups(frame()).empty
    assert np.array_equal(leakage_groups(frame(("a.jpg", encode(radiograph(1))))).to_numpy(), ["000"])
