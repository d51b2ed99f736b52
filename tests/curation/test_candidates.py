"""The index of local features: which pairs it proposes, of which films, and how many."""

from __future__ import annotations

import alterations
import numpy as np
import pytest

from osteon.curation.candidates import MOST, QUICK, THOROUGH, VOTES, Effort, candidate_pairs
from osteon.images.fingerprint import Fingerprint, fingerprint, read_fingerprint
from tests.pictures import film

FILMS = 6


def seen(picture: np.ndarray) -> Fingerprint:
    return read_fingerprint(fingerprint(picture))


def pairs(films: list[Fingerprint], known: int, effort: Effort | None = None) -> list[tuple[int, int, int]]:
    found = candidate_pairs(films.__getitem__, np.arange(len(films)) >= known, effort)
    return [(one, two, votes) for one, two, votes, _ in found.tolist()]


@pytest.mark.parametrize("effort", [THOROUGH, QUICK])
@pytest.mark.parametrize("alter", [alterations.mirrored, alterations.negative, alterations.rotated(100, "black")])
def test_of_all_pairs_those_of_a_film_and_its_copy_come_first(alter: alterations.Alter, effort: Effort) -> None:
    rng = np.random.default_rng(0)
    films = [seen(film(number)) for number in range(FILMS)]
    copies = [seen(alter(film(number), rng)) for number in range(FILMS)]
    found = pairs([*films, *copies], FILMS, effort)
    assert {(one, two) for one, two, _ in found[:FILMS]} == {(number, number + FILMS) for number in range(FILMS)}
    votes = [votes for _, _, votes in found]
    assert votes == sorted(votes, reverse=True) and votes[-1] >= VOTES


def test_known_films_are_not_paired_with_each_other_and_every_pair_comes_once() -> None:
    one = seen(film(0))
    assert [(first, second) for first, second, _ in pairs([one, one, one], 2)] == [(0, 2), (1, 2)]
    assert pairs([one, one, one], 3) == []


def test_a_film_with_many_copies_has_few_candidates_and_none_is_left_alone() -> None:
    count = 2 * MOST
    found = pairs([seen(film(0)), *[seen(film(0)[: -1 - number % 4]) for number in range(count - 1)]], 0)
    assert len(found) <= MOST * count
    assert len({number for pair in found for number in pair[:2]}) == count


def test_films_without_features_have_no_candidates() -> None:
    plain = seen(np.full((300, 400), 90, np.uint8))
    assert pairs([plain, plain, plain], 1) == [] and pairs([], 0) == []
    assert pairs([plain, seen(film(0)), seen(film(0)[3:]), plain], 0)[0][:2] == (1, 2)
