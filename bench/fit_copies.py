"""Fit the weights of `osteon.images.weights` anew, and measure the recall of copies that they were not fitted on.

The copies are altered films of one half of the archives. The pairs of different films are of both halves, because few
of them are hard to tell from copies. They are:

- candidates of the index, which are what the comparison aligns;
- films of FracAtlas whose numbers are near, often of one patient;
- random pairs;
- altered copies and other films;
- films that were altered in the same way;
- phantoms.

Pairs of the archives' own films that today's weights call copies count as neither. `bench/copies.py joins` shows them,
so that a person can look at them.

`--write` replaces `weights.json`. A row of the table is the recall of the other half's copies.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
from alterations import BEYOND, KINDS
from films import (
    BOTH_TRUNCATED,
    LESS,
    MORE,
    MOSAIC,
    SEVERAL,
    TRUNCATED,
    Altered,
    Film,
    alter_film,
    in_processes,
    read_films,
)
from numpy.typing import NDArray
from report import NO_PATHS, NOTHING, Report, groups_of, look_at, step
from rich.table import Table
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeRegressor

from osteon.curation.candidates import candidate_pairs
from osteon.curation.copies import compare
from osteon.images.fingerprint import fingerprint, read_fingerprint
from osteon.images.registration import COPIED, examine
from osteon.images.weights import CLIPPED, FILE, Model, Trees, Weights
from osteon.sources.phantom import PARTS, draw

OF_FEATURES = (
    "inliers", "share", "exact", "close", "missed", "likeness", "cells", "spread", "strongest, least",
    "strongest, most", "grain, least", "grain, most", "bent", "smooth", "start",
)  # fmt: skip
"""What is known before pictures are compared."""
MULTIPLIED = (
    "inliers", "share", "close", "likeness", "cells", "strongest, least", "grain, most", "start", "moved",
    "window 1.2, shows 8, 0.2", "window 1.2, shows 8, 0.5", "window 2.2, shows 20, 0.2", "window 2.2, shows 20, 0.5",
    "drift 0.5", "drift 0.75", "gain all", "texture", "outlines",
)  # fmt: skip
"""Products of two of these are evidence as well."""
REGULARISATION = 3.0
"""Scikit-learn's C."""
HARD_INLIERS, HARD = 15, 4.0
"""A pair of different films with at least HARD_INLIERS inliers counts HARD times."""
ALTERED_OFTEN = 6.0
"""A copy that was altered in several ways counts so many times."""
ROUNDS, NEAR, BOOST = 3, -1.0, 4.0
"""The fit is repeated ROUNDS times. Each time, different films whose score is above NEAR count BOOST times as much,
because a false join is worse than a copy that is missed."""
FAR_OFF = -5.0
"""Different films with a score above this are examined in the other order as well. So are copies with a score below its
opposite."""
TREES, RATE, DEPTH, FRACTION, LEAST_IN_LEAF = 200, 0.1, 3, 0.3, 20
"""Of boosting: number of trees, learning rate, depth of a tree. A split is chosen from FRACTION of the evidence, and a
leaf holds LEAST_IN_LEAF pairs at least. Each tree is fitted on half of the pairs."""
RULED_OUT = 0.001
"""Share of the copies that may be lost where features alone rule a pair out."""
MARGIN = 5.0
"""Score of features alone that is sure, above that of any two different films."""
NEIGHBOURS = 3
"""FracAtlas numbers that differ by no more are often films of one patient."""
REFUSED, REFUSED_ALIKE = 12, 3
"""Candidates of one film that are used, and the same for films that were altered in one way. A comparison stops at
`copies.MOST_REFUSED`."""
PHANTOMS, SIZES = 240, ((180, 220), (160, 200), (120, 140))
"""Of each part, and their height and width."""
PHANTOMS_BESIDE = 40
"""Pictures of two phantoms of one part."""
Task = tuple[str, str, tuple[str, str], bytes, bytes]
"""Kind, strength, names, and fingerprints of a pair."""


@dataclass(frozen=True)
class Pair:
    """Two films, or a film and its altered copy, and what their registration says."""

    kind: str
    strength: str
    names: tuple[str, str]
    inliers: int
    evidence: dict[str, float]
    """Empty where no transform was found."""


def examined(tasks: list[Task], turned: bool) -> list[Pair]:
    """Register each pair. As in a lake, the film with the smaller digest is the first, be it the original or the copy.

    With `turned`, the order is reversed.
    """
    pairs = []
    for kind, strength, names, one, other in tasks:
        first, second = sorted((one, other), key=lambda data: sha256(data).digest(), reverse=turned)
        found = examine(read_fingerprint(first), read_fingerprint(second))
        pairs.append(Pair(kind, strength, names, 0, {}) if found is None
                     else Pair(kind, strength, names, found[0].inliers, found[1]))  # fmt: skip
    return pairs


def examine_pairs(tasks: Sequence[Task], turned: bool = False) -> list[Pair]:
    """Register pairs in several processes, in batches, because a single pair takes little time."""
    step(f"registration of {len(tasks)} pairs")
    batches = ((list(tasks[start : start + 256]), turned) for start in range(0, len(tasks), 256))
    return [pair for batch in in_processes(examined, batches) for pair in batch]


def copies_of(altered: list[Altered], data: dict[str, bytes]) -> list[Task]:
    """Pairs of an original and its altered copy, and pairs of a truncated film and a shorter part of it."""
    more = {
        one.films[0]: one.data for one in altered if one.kind == BOTH_TRUNCATED and one.strength == f"at {MORE:.0%}"
    }
    tasks = []
    for one in altered:
        name = one.films[0]
        if one.kind == BOTH_TRUNCATED:
            if one.strength == f"at {LESS:.0%}":
                tasks.append((one.kind, one.strength, (name, one.key), more[name], one.data))
        elif one.kind != MOSAIC:
            tasks.append((one.kind, one.strength, (name, one.key), data[name], one.data))
    return tasks


def different_films(
    films: Sequence[Film], data: dict[str, bytes], groups: pd.Series, count: int, rng: np.random.Generator
) -> list[Task]:
    """Pairs of the archives' own films; `groups` are their sets of copies by name."""
    tasks = unlike("candidates", data, groups)
    numbers = {film.number: film.name for film in films if film.number is not None}
    near = [
        (name, numbers[number + away])
        for number, name in numbers.items()
        for away in range(1, NEIGHBOURS + 1)
        if number + away in numbers
    ]
    names = [film.name for film in films]
    apart = ((names[one], names[other]) for one, other in rng.integers(0, len(names), (count, 2)).tolist())
    met = {names for _, _, names, _, _ in tasks}
    for kind, pairs in (("neighbours", near), ("random", apart)):
        for one, other in pairs:
            if groups[one] != groups[other] and not met & {(one, other), (other, one)}:
                met.add((one, other))
                tasks.append((kind, "", (one, other), data[one], data[other]))
    return tasks


def phantoms() -> dict[str, bytes]:
    """Fingerprints of generated radiographs by part and number, and of others that stand beside each other."""

    def one(place: int, part: str, number: int) -> NDArray[np.uint8]:
        return draw(part, number % 2 == 0, SIZES[number % 3], np.random.default_rng([place, number]))

    films = {}
    for place, part in enumerate(sorted(PARTS)):
        for number in range(PHANTOMS):
            films[f"{part}-{number}"] = fingerprint(one(place, part, number))
        for number in range(PHANTOMS, PHANTOMS + PHANTOMS_BESIDE):
            both = [one(place, part, number), one(place, part, number + PHANTOMS)]
            height = min(len(film) for film in both)
            films[f"{part}-{number} beside another"] = fingerprint(
                np.concatenate([film[:height] for film in both], axis=1)
            )
    return films


def unlike(
    kind: str, data: dict[str, bytes], groups: pd.Series, fresh: Collection[str] | None = None, most: int = REFUSED
) -> list[Task]:
    """Pairs that the index proposes and that are not copies, at most `most` of each film.

    With `fresh`, one film of each pair is among these names.
    """
    names = list(data)
    films = [read_fingerprint(one) for one in data.values()]
    asked = np.array([fresh is None or name in fresh for name in names])
    refused, tasks = Counter[str](), []
    for first, second, *_ in candidate_pairs(films.__getitem__, asked).tolist():
        one, other = names[first], names[second]
        if groups[one] == groups[other] or data[one] == data[other] or max(refused[one], refused[other]) >= most:
            continue
        refused.update((one, other))
        tasks.append((kind, "", (one, other), data[one], data[other]))
    return tasks


def altered_alike(altered: list[Altered], groups: pd.Series) -> list[Task]:
    """Pairs of films that were altered in the same way.

    They share words, corners, frames or holes, or lack most rows.
    """
    tasks = []
    for strength in {(one.kind, one.strength): None for one in altered if one.kind in (*KINDS, TRUNCATED)}:
        some = {one.films[0]: one.data for one in altered if (one.kind, one.strength) == strength}
        tasks += unlike("altered alike", some, groups, most=REFUSED_ALIKE)
    return tasks


def standardised(pairs: Sequence[Pair], names: Sequence[str]) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    """Evidence of pairs in standard deviations from its mean; then the means and the deviations."""
    table = pd.DataFrame([pair.evidence for pair in pairs])[list(names)]
    means, deviations = table.mean(), table.std()
    return ((table - means) / deviations).clip(-CLIPPED, CLIPPED), means, deviations


def labelled(copied: Sequence[Pair], different: Sequence[Pair]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which pairs are copies, and how often each counts."""
    copy = np.arange(len(copied) + len(different)) < len(copied)
    inliers = np.array([pair.inliers for pair in (*copied, *different)])
    often = np.array([pair.kind in SEVERAL for pair in (*copied, *different)])
    return copy, np.where(~copy & (inliers >= HARD_INLIERS), HARD, np.where(often, ALTERED_OFTEN, 1.0))


def boosted(copied: Sequence[Pair], different: Sequence[Pair], weights: Weights) -> Trees:
    """Trees on the evidence as the regression has standardised it."""
    values = np.array([list(weights.standardised(pair.evidence).values()) for pair in (*copied, *different)])
    copy, counts = labelled(copied, different)
    model = GradientBoostingClassifier(
        n_estimators=TREES, learning_rate=RATE, max_depth=DEPTH, subsample=0.5, max_features=FRACTION,
        min_samples_leaf=LEAST_IN_LEAF, init="zero", random_state=0,
    )  # fmt: skip
    model.fit(values, copy, sample_weight=counts)
    return Trees(*(list(part) for part in zip(*(complete(one) for one in model.estimators_[:, 0]), strict=True)))


def complete(fit: DecisionTreeRegressor) -> tuple[list[int], list[float], list[float]]:
    """A tree as `Trees` has it: the evidence that its inner nodes look at, their thresholds, and what its leaves add.

    A branch that ends early is filled up with splits that lead to the same leaf.
    """
    tree, level, asked, thresholds = fit.tree_, [0], list[int](), list[float]()
    for _ in range(DEPTH):
        ends = tree.children_left[level] < 0
        asked += np.where(ends, 0, tree.feature[level]).tolist()
        thresholds += np.where(ends, 0.0, tree.threshold[level]).round(5).tolist()
        below = zip(level, tree.children_left[level].tolist(), tree.children_right[level].tolist(), strict=True)
        level = [node for here, left, right in below for node in ((here, here) if left < 0 else (left, right))]
    return asked, thresholds, (RATE * tree.value[level, 0, 0]).round(5).tolist()


def fitted(copied: Sequence[Pair], different: Sequence[Pair], names: Sequence[str], products: bool) -> Weights:
    """A regression on pairs that have evidence."""
    table, means, deviations = standardised([*copied, *different], names)
    multiplied = list(itertools.combinations(MULTIPLIED, 2)) if products else []
    values = np.column_stack([table.to_numpy(), *(table[a] * table[b] for a, b in multiplied)])
    centre, scale = values.mean(axis=0), values.std(axis=0)
    values = (values - centre) / scale
    copy, counts = labelled(copied, different)
    for _ in range(ROUNDS + 1):
        model = LogisticRegression(C=REGULARISATION, solver="newton-cholesky")
        model.fit(values, copy, sample_weight=counts)
        counts = np.where(~copy & (model.decision_function(values) > NEAR), BOOST * counts, counts)
    raw = model.coef_[0] / scale
    return Weights(
        round(float(model.intercept_[0] - (raw * centre).sum()), 4),
        {str(name): round(float(value), 5) for name, value in means.items()},
        {str(name): round(float(value), 5) for name, value in deviations.items()},
        {name: round(float(weight), 4) for name, weight in zip(names, raw, strict=False)},
        [(a, b, round(float(weight), 4)) for (a, b), weight in zip(multiplied, raw[len(names) :], strict=True)],
    )


def fit_model(copied: Sequence[Pair], different: Sequence[Pair]) -> Model:
    """Regressions and trees; pairs without a transform are left out."""
    copied, different = ([pair for pair in some if pair.evidence] for some in (copied, different))
    features = fitted(copied, different, OF_FEATURES, products=False)
    ruled_out = float(np.quantile([features.score(pair.evidence) for pair in copied], RULED_OUT))
    sure = MARGIN + max(features.score(pair.evidence) for pair in different)
    whole = fitted(copied, different, list(copied[0].evidence), products=True)
    return Model(features, round(ruled_out, 3), round(sure, 3), whole, boosted(copied, different, whole))


def scores(model: Model, pairs: Sequence[Pair]) -> NDArray[np.float64]:
    """As `registration` has them; minus infinity where no transform was found."""

    def score(evidence: dict[str, float]) -> float:
        if not evidence:
            return -np.inf
        features = model.features.score(evidence)
        return features if model.is_sure(features) else model.score(evidence)

    return np.array([score(pair.evidence) for pair in pairs])


def recall_table(model: Model, copied: Sequence[Pair]) -> Table:
    """Share of copies above some bars."""
    bars = (COPIED, COPIED - 1, COPIED + 1, COPIED + 3)
    table = Table("copies", "n", *(f"above {bar:g}, %" for bar in bars))
    found = scores(model, copied)
    kinds = np.array([pair.kind for pair in copied])
    single = [name for name in KINDS if name not in BEYOND]
    rows = {
        "one alteration": single,
        **{kind: [kind] for kind in (*BEYOND, *SEVERAL)},
        "truncated": [TRUNCATED, BOTH_TRUNCATED],
    }
    for name, some in rows.items():
        of_kind = np.isin(kinds, some)
        if of_kind.any():
            shares = (f"{100 * (found[of_kind] > bar).mean():.2f}" for bar in bars)
            table.add_row(name, str(of_kind.sum()), *shares)
    return table


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench-copies"), help="folder of the report")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--subset", type=int, help="the first so many films of each archive, to try things out")
    parser.add_argument("--films", type=int, default=250, help="originals of each half that are altered")
    parser.add_argument("--pairs", type=int, default=6_000, help="random pairs of different films")
    parser.add_argument("--write", action="store_true", help=f"replace {FILE.name}")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    report = Report(options.out, "fit")
    films, rng = read_films(options.subset), np.random.default_rng(options.seed)
    seen = look_at(films, False)
    data = {name: one.data for name, one in seen.items()}
    step("comparison of the films with each other")
    groups = groups_of(list(data), compare(pd.Series(data), [], list(data), NO_PATHS, NOTHING))
    whole = [films[place] for place in rng.permutation(len(films)) if not seen[films[place].name].truncated]
    halves = {half: [film for film in whole if film.fitted is half][: options.films] for half in (True, False)}

    def tasks() -> Iterator[tuple[object, ...]]:
        for film in (*halves[True], *halves[False]):
            others = [other for other in halves[film.fitted] if other is not film]
            yield film, [others[place] for place in rng.permutation(len(others))[:3]], options.seed, False, False

    step("altered copies")
    altered = [one for made in in_processes(alter_film, tasks()) for one in made]
    learn(report, films, data, groups, altered, options, rng)


def learn(
    report: Report,
    films: Sequence[Film],
    data: dict[str, bytes],
    groups: pd.Series,
    altered: list[Altered],
    options: argparse.Namespace,
    rng: np.random.Generator,
) -> None:
    """Fit, and print what came out."""
    copies = copies_of(altered, data)
    copied = examine_pairs(copies)
    in_half = {film.name: film.fitted for film in films}
    made = phantoms()
    many = {one.key: one for one in altered if one.kind in SEVERAL and in_half[one.films[0]]}
    with_many = {**data, **{key: one.data for key, one in many.items()}}
    of_many = pd.concat([groups, pd.Series({key: groups[one.films[0]] for key, one in many.items()})])
    others = [
        *different_films(films, data, groups, options.pairs, rng),
        *unlike("altered", with_many, of_many, many),
        *altered_alike([one for one in altered if in_half[one.films[0]]], groups),
        *unlike("phantoms", made, pd.Series(list(made), list(made))),
    ]
    different = examine_pairs(others)
    step("fit")
    known, unseen = ([pair for pair in copied if in_half[pair.names[0]] is half] for half in (True, False))
    model = fit_model(known, different)
    doubtful = [task for task, score in zip(copies, scores(model, copied), strict=True) if score < -FAR_OFF]
    turned = examine_pairs([task for task in doubtful if in_half[task[2][0]]], turned=True)
    doubtful = [task for task, score in zip(others, scores(model, different), strict=True) if score > FAR_OFF]
    different += examine_pairs(doubtful, turned=True)
    step("second fit")
    model = fit_model([*known, *turned], different)
    report(f"fitted on {len(known) + len(turned)} pairs of copies and on {len(different)} pairs of different films")
    report(f"kinds of the pairs of different films: {dict(Counter(pair.kind for pair in different))}")
    found = scores(model, different)
    features = np.array([model.features.score(pair.evidence) if pair.evidence else -np.inf for pair in different])
    report(f"pairs of different films that their features alone rule out: {(features < model.ruled_out).mean():.1%}")
    report(
        f"score from which features alone make copies: {model.sure}, {MARGIN:g} above the highest of different films"
    )
    table = Table("score", "inliers", "kind", "names", title="different films with the highest scores")
    for place in np.argsort(-found)[:16]:
        pair = different[place]
        table.add_row(
            f"{found[place]:.2f}", str(pair.inliers), pair.kind, ", ".join(Path(name).name for name in pair.names)
        )
    report(table)
    for title, some in (("copies that weights were fitted on", known), ("copies of films of the other half", unseen)):
        table = recall_table(model, some)
        table.title = title
        report(table)
    if options.write:
        FILE.write_text(json.dumps(asdict(model)) + "\n")
        report(f"written to {FILE.name}")


if __name__ == "__main__":
    main()
