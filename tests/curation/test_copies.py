"""The comparison of images, on generated radiographs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from osteon import history
from osteon.curation.copies import find_copies, original_stem, polar_spectra, rotated_correlations
from osteon.curation.groups import find_groups
from osteon.images.measure import FORMAT, measure, thumbnail
from osteon.lake import Lake
from osteon.settings import Settings
from tests.pictures import encode, radiograph

NO_PATHS = pd.DataFrame(columns=["first", "second"])
UNDECIDED = pd.DataFrame(columns=["first", "second", "copies"])
Images = tuple[str, bytes]


@pytest.fixture
def groups_of(settings: Settings, lake: Lake):
    """Groups of images that are compared at once, in their order; each is a path and bytes."""

    def groups(*images: Images) -> pd.Series:
        digests = keep(lake, *images)
        found = find_copies(lake, settings, [], digests, NO_PATHS)
        no_names = history.read(lake, history.NAMES)[:0]  # what names alone say is not asked here
        found = find_groups(digests, no_names, history.conform(history.COPIES, found), UNDECIDED)
        return found.group[digests].reset_index(drop=True)

    return groups


def keep(lake: Lake, *images: Images) -> list[str]:
    """Leave names and fingerprints in the history; digests are numbers."""
    digests = [f"{number:03d}" for number in range(len(images))]
    prints = [measure(digest, data, 10**8).fingerprint for digest, (_, data) in zip(digests, images, strict=True)]
    names = pd.DataFrame({"sha256": digests, "source": "s", "path": [path for path, _ in images]})
    history.append(lake, history.NAMES, names)
    prints = pd.DataFrame({"sha256": digests, "format": FORMAT, "data": prints})
    history.append(lake, history.FINGERPRINTS, prints)
    return digests


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
def test_flipped_turned_resized_and_darkened_copies_join_their_original(change: object, groups_of) -> None:
    original = Image.fromarray(radiograph(5, "hand", size=(180, 220)))
    groups = groups_of(("a.jpg", encode(original)), ("b.jpg", encode(change(original), quality=60)))  # type: ignore[operator]
    assert groups.nunique() == 1


def test_a_copy_rotated_by_any_angle_joins_when_its_name_says_so_and_its_pixels_agree(groups_of) -> None:
    image = Image.fromarray(radiograph(6, "knee"))
    rotated, other = encode(image.rotate(17)), encode(radiograph(7, "elbow"))
    groups = groups_of(("64.jpg", encode(image)), ("64-rotated1.jpg", rotated), ("64-rotated2.jpg", other))
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


def test_a_copy_that_was_stretched_joins_when_its_name_says_so(groups_of) -> None:
    film = Image.fromarray(radiograph(6, "spine", size=(130, 240)))
    stretched = film.resize((240, 240)).crop((4, 4, 236, 236))
    groups = groups_of(("9_jpg.rf.aaaaaaaa1.jpg", encode(film)), ("9_jpg.rf.bbbbbbbb2.jpg", encode(stretched)))
    assert groups.nunique() == 1


def test_a_family_of_many_rotated_copies_falls_into_its_originals(groups_of) -> None:
    images = []
    for original in range(3):
        film = Image.fromarray(radiograph(original, ("hand", "spine", "elbow")[original], size=(120, 140)))
        images += [
            (f"{split}/7-rotated{n}.jpg", encode(film.rotate(30 * n + 7)))
            for split in ("train", "test")
            for n in range(9)
        ]
    groups = groups_of(*images)
    assert [len(members) for members in groups.groupby(groups).groups.values()] == [18, 18, 18]


def test_different_exposures_of_one_part_stay_apart(groups_of) -> None:
    images = [
        (f"{seed}.jpg", encode(radiograph(seed, part))) for seed in range(12) for part in ("hand", "leg", "spine")
    ]
    assert groups_of(*images).nunique() == len(images)


def test_an_image_alone_is_a_group(groups_of) -> None:
    assert np.array_equal(groups_of(("a.jpg", encode(radiograph(1)))).to_numpy(), ["000"])


def test_what_is_new_is_compared_with_what_is_known_and_finds_the_same(settings: Settings, lake: Lake) -> None:
    films = [Image.fromarray(radiograph(seed, "hand", size=(90, 110))) for seed in range(4)]
    copies = [encode(film.rotate(90, expand=True), quality=60) for film in films]
    digests = keep(lake, *((f"{n}.jpg", data) for n, data in enumerate([*map(encode, films), *copies])))
    known, fresh = digests[:5], digests[5:]

    def pairs(known: list[str], fresh: list[str]) -> set[tuple[str, str]]:
        found = find_copies(lake, settings, known, fresh, NO_PATHS)
        return set(found[["first", "second"]].itertuples(index=False, name=None))

    assert pairs([], known) | pairs(known, fresh) == pairs([], digests)
    assert pairs(digests, []) == set()


def test_other_films_under_one_path_are_different_and_others_are_not(settings: Settings, lake: Lake) -> None:
    film = Image.fromarray(radiograph(1, "hand"))
    other = Image.fromarray((np.indices((200, 200)).sum(axis=0) // 20 % 2 * 200).astype(np.uint8))
    changed = film.point(lambda level: 255 * (level / 255) ** 0.5)
    first, second, third = keep(lake, ("a.jpg", encode(film)), ("a.jpg", encode(changed)), ("a.jpg", encode(other)))
    paths = pd.DataFrame([(first, second), (first, third)], columns=["first", "second"])
    found = find_copies(lake, settings, [first, second, third], [], paths).set_index(["first", "second"])["verdict"]
    assert found[first, second] != history.DIFFERENT and found[first, third] == history.DIFFERENT
