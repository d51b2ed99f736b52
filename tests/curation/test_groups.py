from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from osteon import catalog as catalogs
from osteon.curation.groups import (
    compare,
    every_group,
    group,
    leakage_groups,
    named_copies,
    original_stem,
    polar_spectra,
    rotated_correlations,
)
from osteon.images.inspect import MEASUREMENTS
from osteon.images.measure import measure, thumbnail
from osteon.lake import Lake
from tests.pictures import encode, radiograph


def frame(*images: tuple[str, bytes]) -> pd.DataFrame:
    found = [measure(f"{i:03d}", data, 10**8) for i, (_, data) in enumerate(images)]
    rows = [
        (one.sha256, one.thumb, one.height, one.width, [("s", path)])
        for one, (path, _) in zip(found, images, strict=True)
    ]
    return pd.DataFrame(rows, columns=["sha256", "thumb", "height", "width", "names"])


NOTHING = pd.DataFrame(columns=["sha256", "same"])


def groups_of(images: pd.DataFrame) -> pd.Series:
    compared = compare(NOTHING, images["sha256"], images.set_index("sha256")["thumb"])
    return images["sha256"].map(leakage_groups(pd.concat([compared, named_copies(images)])))


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("train/64-rotated2-rotated1.jpg", ("64", True)),
        ("11_jpg.rf.a47b01eb09d7890b.jpg", ("11", True)),
        ("11_webp.rf.a47b01eb09d7890b.jpg", ("11", True)),
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
    groups = groups_of(frame(("a.jpg", encode(original)), ("b.jpg", encode(change(original), quality=60))))  # type: ignore[operator]
    assert groups.nunique() == 1


def test_a_copy_rotated_by_any_angle_joins_when_its_name_says_so_and_its_pixels_agree() -> None:
    image = Image.fromarray(radiograph(6, "knee"))
    rotated, other = encode(image.rotate(17)), encode(radiograph(7, "elbow"))
    groups = groups_of(frame(("64.jpg", encode(image)), ("64-rotated1.jpg", rotated), ("64-rotated2.jpg", other)))
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
    groups = groups_of(frame(("9_jpg.rf.aaaaaaaa1.jpg", encode(film)), ("9_jpg.rf.bbbbbbbb2.jpg", encode(stretched))))
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
    groups = groups_of(frame(*images))
    assert [len(members) for members in groups.groupby(groups).groups.values()] == [18, 18, 18]


def test_different_exposures_of_one_part_stay_apart() -> None:
    images = [
        (f"{seed}.jpg", encode(radiograph(seed, part))) for seed in range(12) for part in ("hand", "leg", "spine")
    ]
    assert groups_of(frame(*images)).nunique() == len(images)


def test_no_image_gives_no_group() -> None:
    assert groups_of(frame()).empty
    assert np.array_equal(groups_of(frame(("a.jpg", encode(radiograph(1))))).to_numpy(), ["000"])


def test_images_that_come_in_any_order_and_through_any_catalog_get_the_groups_of_one_comparison() -> None:
    films = [Image.fromarray(radiograph(seed, "hand", size=(90, 110))) for seed in range(4)]
    images = frame(
        *((f"{n}.jpg", encode(film)) for n, film in enumerate(films)),
        *((f"copy-{n}.jpg", encode(film.rotate(90, expand=True), quality=60)) for n, film in enumerate(films)),
    )
    thumbs = images.set_index("sha256")["thumb"]
    expected = groups_of(images)
    assert expected.nunique() == len(films)
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(len(images))
        compared = NOTHING
        for week in np.array_split(order, 3):  # what another catalog brought is compared with this one's, too
            compared = compare(compared, images["sha256"].iloc[week], thumbs)
        assert images["sha256"].map(leakage_groups(compared)).equals(expected)
        assert compare(compared, images["sha256"], thumbs).equals(compared)


def test_an_image_whose_measurement_is_gone_is_compared_anew_when_it_returns() -> None:
    film = Image.fromarray(radiograph(1, "hand", size=(90, 110)))
    images = frame(*((f"{n}.jpg", encode(film, quality=quality)) for n, quality in enumerate((90, 70, 50))))
    thumbs = images.set_index("sha256")["thumb"]
    compared = compare(NOTHING, images["sha256"], thumbs)
    without = compare(compared, images["sha256"].iloc[:1], thumbs.iloc[:1])
    assert set(without["sha256"]) == {"000"}
    assert leakage_groups(compare(without, images["sha256"], thumbs)).nunique() == 1


def test_what_no_catalog_holds_any_more_still_joins_its_copies() -> None:
    """Two films that were never compared with each other, and a third, gone since, that both are copies of."""
    compared = pd.DataFrame([("a", None), ("b", "a"), ("c", "b"), ("d", None)], columns=["sha256", "same"])
    assert leakage_groups(compared).to_dict() == {"a": "a", "b": "a", "c": "a", "d": "d"}


def test_a_new_version_of_rotated_copies_joins_those_that_are_gone(lake: Lake) -> None:
    """Other names, other angles, other bytes: only the stem is what it was."""
    films = [Image.fromarray(radiograph(seed, "hand", size=(90, 110))) for seed in range(3)]
    versions = [
        frame(*((f"{n}_jpg.rf.{mark * 8}.jpg", encode(film.rotate(angle))) for n, film in enumerate(films)))
        for mark, angle in (("a", 5), ("b", -9))
    ]
    versions[1]["sha256"] = ["100", "101", "102"]
    thumbs = pd.concat(versions)[["sha256", "thumb"]]
    lake.put_table(MEASUREMENTS, thumbs)
    for week, images in enumerate(versions):
        published = [[{"source": source, "path": path} for source, path in names] for names in images["names"]]
        rows = images[["sha256", "height", "width"]].assign(source="s", published=published, quarantined=False)
        group(lake, catalogs.write(lake, f"week/{week}.parquet", catalogs.conform(rows)))
    groups = every_group(lake)
    assert groups.nunique() == 3 and all(groups[f"00{n}"] == groups[f"10{n}"] for n in range(3))
