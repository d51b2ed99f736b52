"""Whether the labels of a source can be right as a whole: inverted, shuffled, shifted by one row, or changed at once.

No single image is judged here. Answers of models that learnt from other labels are compared with a source's labels.
docs/checks.md says which set is found, and what cannot be known without a reference.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.quality.agreement import Agreement, Scores, agreement, out_of_fold, part_comparisons, state_comparisons

Kind = Literal["body part", "fracture state"]
KINDS: tuple[Kind, ...] = ("body part", "fracture state")
COLUMN: dict[Kind, str] = {"body part": "body_part", "fracture state": "fractured"}
SURE = 3.0
"""Standard errors that a bound lies from the value."""
PROMISED = 0.52
"""Agreement that a reference reaches on labels of its own, at its lower bound, to be one."""
OPPOSED = 0.45
"""Agreement below which answers contradict labels, where the upper bound is below chance as well."""
SWAPPED = {True: 0.2, False: 0.1}
"""The same of two body parts alone: by what learnt films of this source, and by what did not. The latter may rank two
parts wrongly by the look of other detectors."""
LEARNABLE: dict[Kind, float] = {"body part": 0.7, "fracture state": 0.56}
"""An upper bound of agreement below this is no more than chance, where nothing says what can be reached."""
PATHS = " in the order of paths"
MOVED = 20
"""Images whose label another row of the table would change, that are needed to tell."""
RATE_SURE, RATE_WEEK, RATE_SOURCES = 4.0, 0.1, 0.3
"""Standard errors and differences from which on a share of fractures is far from that of last week, or of others."""
RATE_LEAST = 30
"""Films of a body part that a share of fractures is computed from."""


@dataclass(frozen=True)
class Answers:
    """What a model says of some images."""

    parts: pd.DataFrame | None
    """(n, parts): log-probabilities; None where it tells no parts apart."""
    states: Scores
    """(n,): log-odds of a fracture given the labelled body part; nan where it says nothing."""

    def about(self, kind: Kind) -> NDArray[np.bool_]:
        """(n,): whether it says anything of each image."""
        if kind == "fracture state":
            return ~np.isnan(self.states)
        return np.zeros(len(self.states), bool) if self.parts is None else self.parts.notna().all(axis=1).to_numpy()

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Answers:
        """Those of some rows, by a mask or by numbers."""
        parts = None if self.parts is None else self.parts.iloc[rows].reset_index(drop=True)
        return Answers(parts, self.states[rows])


@dataclass(frozen=True)
class Reference:
    """A model that learnt from other labels than those that are judged."""

    name: str
    promised: dict[Kind, float]
    """Lower bound of its agreement with labels of its own that it did not learn from."""
    answers: Answers
    same_films: bool
    """Whether it learnt films of this source."""

    def may_judge(self, kind: Kind) -> bool:
        """Whether it knows enough."""
        return self.promised.get(kind, 0.0) >= PROMISED


@dataclass(frozen=True)
class Judgement:
    """What can be said of one kind of label of one source."""

    contradicted: str | None = None
    at_chance: str | None = None
    unchecked: list[str] = field(default_factory=list)


def independent(rows: pd.DataFrame) -> pd.Series:
    """One image of each cluster: copies of one film, and films of one patient, are one witness."""
    return ~rows["cluster"].duplicated()


def classifier(teaching: pd.DataFrame, features: pd.DataFrame, asked: pd.DataFrame) -> Answers:
    """Answers of simple classifiers that saw no image of the same cluster.

    Args:
        teaching: Rows that teach, as `label_rows` gives them.
        features: Of all images by `sha256`.
        asked: Rows that are asked about. The same rows give answers out of fold.
    """
    taught, wanted = (features.loc[rows["sha256"]].to_numpy() for rows in (teaching, asked))
    known = teaching["body_part"].notna().to_numpy()
    parts = out_of_fold(
        taught[known],
        teaching.loc[known, "body_part"].to_numpy(),
        teaching.loc[known, "cluster"].to_numpy(),
        wanted,
        asked["cluster"].to_numpy(),
    )
    return Answers(parts, _state_answers(teaching, taught, asked, wanted))


def _state_answers(teaching: pd.DataFrame, taught: Scores, asked: pd.DataFrame, wanted: Scores) -> Scores:
    """Log-odds of a fracture: by what all parts have in common, and by what is special to each."""
    said = teaching["fractured"].notna().to_numpy()
    answers = np.full(len(asked), np.nan)
    rows, features = teaching[said], _centred(teaching[said], taught[said])
    about = _parts(asked).isin(set(_parts(rows))).to_numpy()
    chosen = [(np.ones(len(rows), bool), about)]
    chosen += [
        ((_parts(rows) == part).to_numpy(), about & (_parts(asked) == part).to_numpy())
        for part in sorted(set(_parts(rows)))
    ]
    wanted = _centred(asked, wanted)
    for teach, ask in chosen:
        found = out_of_fold(
            features[teach],
            rows["fractured"].to_numpy(bool)[teach],
            rows["cluster"].to_numpy()[teach],
            wanted[ask],
            asked["cluster"].to_numpy()[ask],
        )
        if found is not None:
            odds = (found[True] - found[False]).to_numpy()
            answers[ask] = odds if np.isnan(answers[ask]).all() else answers[ask] + odds
    return answers


def _parts(rows: pd.DataFrame) -> pd.Series:
    """Body parts, where those that are not said are one, too: fractures are compared within each."""
    return rows["body_part"].fillna("")


def _centred(rows: pd.DataFrame, features: Scores) -> Scores:
    """Without what a body part of a source looks like in the mean: that tells parts and detectors, not fractures."""
    table = pd.DataFrame(features)
    means = table.groupby([rows["source"].to_numpy(), _parts(rows).to_numpy()]).transform("mean")
    centred: Scores = (table - means).to_numpy()
    return centred


def agreement_on(kind: Kind, rows: pd.DataFrame, answers: Answers, every: bool = False) -> Agreement | None:
    """How well answers agree with the labels of one row of each cluster, or of `every` row: its error is too small."""
    labelled = rows[COLUMN[kind]].notna() & answers.about(kind)
    first = independent(rows[labelled]).reindex(rows.index, fill_value=False)
    chosen = (labelled & (every | first)).to_numpy()
    some, said = rows[chosen], answers.take(chosen)
    if kind == "body part":
        if said.parts is None:
            return None
        return agreement(part_comparisons(some["body_part"].to_numpy(), said.parts), len(some))
    states = some["fractured"].to_numpy(bool)
    return agreement(state_comparisons(_parts(some).to_numpy(), states, said.states), len(some))


# Labels of the rows beside


def moved_labels(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Labels of a source as they would be if its table were shifted by one row, by how the table stands then.

    Rows are in the order of file names. Where the order of paths is another, that is tried as well.
    """
    orders = {"": np.arange(len(rows)), PATHS: np.argsort(rows["path"].to_numpy(str), kind="stable")}
    if np.array_equal(orders[""], orders[PATHS]):
        del orders[PATHS]
    labels, found = rows[list(COLUMN.values())], dict[str, pd.DataFrame]()
    for name, order in orders.items():
        for step, where in ((-1, "low"), (1, "high")):
            moved = labels.iloc[np.roll(order, step)].set_index(rows.index[order]).reindex(rows.index)
            found[f"one row too {where}{name}"] = moved
    return found


def _on_moved(
    kind: Kind, rows: pd.DataFrame, moved: pd.DataFrame, answers: Answers
) -> tuple[Agreement | None, Agreement | None]:
    """Agreement with the table as it is: where the shifted table has another label, and where it has the same."""
    given, other = rows[COLUMN[kind]], moved[COLUMN[kind]]
    known = (given.notna() & other.notna()).to_numpy() & answers.about(kind)
    differs = known & (given != other).to_numpy()
    same = agreement_on(kind, rows[known & ~differs], answers.take(known & ~differs))
    if kind == "fracture state":
        return agreement_on(kind, rows[differs], answers.take(differs)), same
    if answers.parts is None:
        return None, same
    told = differs & given.isin(answers.parts.columns).to_numpy() & other.isin(answers.parts.columns).to_numpy()
    told &= (independent(rows[told]).reindex(rows.index, fill_value=False)).to_numpy()
    if told.sum() < MOVED:
        return None, same
    chances = answers.parts[told]
    place = {name: number for number, name in enumerate(chances.columns)}
    line = np.arange(int(told.sum()))
    as_given = chances.to_numpy()[line, given[told].map(place)]
    as_moved = chances.to_numpy()[line, other[told].map(place)]
    share = float((as_given > as_moved).mean())
    return Agreement(share, 0.5 / np.sqrt(len(line)), len(line)), same


def shift_of(kind: Kind, rows: pd.DataFrame, moved: dict[str, pd.DataFrame], answers: Answers) -> str | None:
    """How the table is shifted, where answers agree better with the shifted one; None where they do not."""
    found: dict[str, Agreement] = {}
    for name, labels in moved.items():
        differs, same = _on_moved(kind, rows, labels, answers)
        if differs is None or differs.images < MOVED or same is None:
            continue
        if differs.high(SURE) < 0.5 and differs.value < OPPOSED and same.low(SURE) > 0.5:
            found[name] = differs
    if not found:
        return None
    name = min(found, key=lambda name: found[name].value)
    return f"{name} (agreement {found[name]} whose label the shift changes)"


# Judgements


def judge(
    kind: Kind, rows: pd.DataFrame, own: Answers, references: list[Reference], moved: dict[str, pd.DataFrame]
) -> Judgement:
    """Judge one kind of label of one source.

    Args:
        kind: Which.
        rows: The images of the source.
        own: Answers of a classifier that learnt from the other images of the source.
        references: What learnt from other labels.
        moved: See `moved_labels`.
    """
    learnt = agreement_on(kind, rows, own)
    able = [reference for reference in references if reference.may_judge(kind)]
    measured = {one.name: (one, on) for one in able if (on := agreement_on(kind, rows, one.answers)) is not None}
    if told := _opposed(kind, rows, measured.values()):
        return Judgement(contradicted=told)
    sayers = [(one.name, one.answers) for one, _ in measured.values()]
    sayers += [("a classifier of the same images", own)] if learnt is not None and learnt.low(SURE) > 0.5 else []
    for name, answers in sayers:
        if how := shift_of(kind, rows, moved, answers):
            return Judgement(contradicted=f"shifted: the labels stand {how}, says {name}")
    promised = max((one.promised[kind] for one in able), default=None)
    if learnt is not None and _is_chance(kind, learnt, promised):
        return _chance(kind, learnt, able)
    for one, on in measured.values():
        unsure = learnt is None or learnt.low(2) <= 0.5
        if one.same_films and unsure and _is_chance(kind, on, one.promised[kind]):
            return Judgement(contradicted=f"shuffled: {one.name} agrees with them no better than chance ({on})")
    confirmed = any(on.low(SURE) > 0.5 for _, on in measured.values())
    return Judgement(unchecked=_unchecked(kind, rows, learnt, confirmed))


def _opposed(kind: Kind, rows: pd.DataFrame, measured: Iterable[tuple[Reference, Agreement]]) -> str | None:
    word = "inverted" if kind == "fracture state" else "swapped"
    for one, on in measured:
        if on.high(SURE) < 0.5 and on.value < OPPOSED:
            return f"{word}: {one.name} says the opposite (agreement {on})"
        if kind == "body part" and (pair := _swapped(rows, one.answers, SWAPPED[one.same_films])):
            return f"swapped: {pair}, says {one.name}"
    return None


def _swapped(rows: pd.DataFrame, answers: Answers, below: float) -> str | None:
    """Two body parts whose labels are each other's, as far as answers tell."""
    assert answers.parts is not None  # there was an agreement
    some = rows["body_part"].notna() & answers.about("body part")
    some &= independent(rows[some]).reindex(rows.index, fill_value=False)
    parts, chances = rows.loc[some, "body_part"].to_numpy(), answers.take(some.to_numpy()).parts
    assert chances is not None
    for first, second in ((a, b) for number, a in enumerate(chances.columns) for b in chances.columns[number + 1 :]):
        found = agreement(part_comparisons(parts, chances[[first, second]]), len(parts))
        if found is not None and found.high(SURE) < 0.5 and found.value < below and found.images >= 2 * MOVED:
            return f"{first} and {second} are each other's (agreement {found})"
    return None


def _is_chance(kind: Kind, found: Agreement, promised: float | None) -> bool:
    bar = LEARNABLE[kind] if promised is None else max(LEARNABLE[kind], (0.5 + promised) / 2)
    return found.low(SURE) <= 0.5 and found.high(SURE) < bar


def _chance(kind: Kind, learnt: Agreement, able: list[Reference]) -> Judgement:
    if not able:
        return Judgement(at_chance=f"nothing can be learnt from them (agreement out of fold {learnt}, chance is 0.5)")
    best = max(able, key=lambda one: one.promised[kind])
    return Judgement(
        contradicted=f"shuffled: nothing can be learnt from them (agreement out of fold {learnt}, chance is 0.5), "
        f"where {best.name} shows that it can"
    )


def _unchecked(kind: Kind, rows: pd.DataFrame, learnt: Agreement | None, confirmed: bool) -> list[str]:
    said = rows[COLUMN[kind]].dropna()
    if said.empty:
        return []
    if kind == "body part" and said.nunique() == 1:
        return ["body part: all images have the same, so the images cannot contradict it"]
    sentences = []
    wrong = "an inversion of all labels" if kind == "fracture state" else "an exchange of two parts"
    if not confirmed:
        sentences.append(
            f"{kind}: {wrong} cannot be seen: no champion, accepted version or other source knows these labels well"
        )
    if not confirmed and (learnt is None or learnt.low(SURE) <= 0.5):
        sentences.append(f"{kind}: it cannot be told from so few images whether the labels belong to them")
    return sentences


# Two weeks, and several sources


def changed(rows: pd.DataFrame, before: pd.DataFrame, kind: Kind) -> tuple[int, int]:
    """Images whose label is another one than in an earlier version, and images that had a label there."""
    column = COLUMN[kind]
    old = before.drop_duplicates("sha256").set_index("sha256")[column].dropna()
    now = rows.drop_duplicates("sha256").set_index("sha256")[column]
    both = old.index.intersection(now.index)
    return int((now[both].map(str) != old[both].map(str)).sum()), len(both)


def far_rates(rows: pd.DataFrame, before: pd.DataFrame, others: pd.DataFrame) -> list[str]:
    """Body parts whose share of fractures is far from that of an earlier version, or of other sources.

    Two proportions are compared, of films and not of copies. A small difference is none, however sure it is.
    """
    told = []
    measures = (("accepted before", before, RATE_WEEK), ("of other sources", others, RATE_SOURCES))
    for name, other, least in measures:
        then, now = _rates(other), _rates(rows)
        for part in sorted(set(now.index) & set(then.index)):
            (a, n), (b, m) = now.loc[part], then.loc[part]
            p, q, both = a / n, b / m, (a + b) / (n + m)
            error = np.sqrt(both * (1 - both) * (1 / n + 1 / m))
            if abs(p - q) > max(least, RATE_SURE * error):
                told.append(f"{part} {p:.0%} of {n:.0f}, {q:.0%} of {m:.0f} {name}")
    return told


def _rates(rows: pd.DataFrame) -> pd.DataFrame:
    """Fractured films and films of each body part with at least RATE_LEAST."""
    known = rows[rows["body_part"].notna() & rows["fractured"].notna()].drop_duplicates("cluster")
    counts = known["fractured"].astype(float).groupby(known["body_part"]).agg(["sum", "size"])
    return counts[counts["size"] >= RATE_LEAST]


def references(
    rows: pd.DataFrame, features: pd.DataFrame, before: pd.DataFrame, others: pd.DataFrame
) -> list[Reference]:
    """Simple classifiers of the version that was accepted before, and of other sources."""
    found = []
    names = ", ".join(sorted(set(others["source"])))
    for name, teaching, same in (
        ("a classifier of the version accepted before", before, True),
        (f"a classifier of other sources ({names})", others, False),
    ):
        if teaching.empty:
            continue
        shared = teaching[teaching["body_part"].isin(set(rows["body_part"].dropna()))]
        held_out = classifier(teaching, features, shared)
        promised = {kind: on.low(SURE) for kind in KINDS if (on := agreement_on(kind, shared, held_out)) is not None}
        found.append(Reference(name, promised, classifier(teaching, features, rows), same))
    return found
