"""What reports say of copies: the closest pairs across the split, and pairs that wait for a curator."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import numpy as np
import pandas as pd

from osteon import history
from osteon.curation.decisions import decided_pairs, decisions
from osteon.curation.doubts import image_names, possible_copies
from osteon.curation.leakage import nearest, not_compared, stored_pairs
from osteon.images.errors import UndecodableError
from osteon.images.registration import COPIED, DOUBTFUL
from osteon.lake import Lake
from osteon.quality.findings import Finding, Offender
from osteon.quality.pictures import figure_png, png, side_by_side
from osteon.records import LeakageNumbers

CLOSEST = 20
"""Pairs that the page shows of either kind."""
SMALL, LARGE = 208, 320
"""Pixels of a side of the closest films, two pairs in a row, and of films that a curator decides about."""
NOT_CHECKED = "Nobody checked whether copies of test images stand in train or val."
UNDECIDED = ("possible_across_splits", "possible_copies")
"""Checks whose pairs a curator decides about; what stands across splits comes first."""
KINDS = {history.COPY: "copy", history.POSSIBLE: "possible copy", history.DIFFERENT: "different films"}


@dataclass(frozen=True)
class Leakage:
    """What the check of a split found."""

    closest: pd.DataFrame
    """Of each test image the pair that scores best, the best first; columns as `curation.leakage.COLUMNS`."""
    not_compared: int
    """Images without a fingerprint."""
    waiting: int
    """Possible copies that wait for a curator."""

    @property
    def copies(self) -> int:
        """Test images with a copy in train or val."""
        return int((self.closest["verdict"] == history.COPY).sum())

    @property
    def numbers(self) -> LeakageNumbers:
        """The same in a few numbers."""
        scores = self.closest["score"].dropna()
        best = round(float(scores.max()), 2) if len(scores) else None
        return LeakageNumbers(
            tests=len(self.closest),
            closest=best,
            bar=COPIED,
            not_compared=self.not_compared,
            waiting=self.waiting,
        )


@dataclass(frozen=True)
class ClosestPair:
    """A test image, and what is nearest to it in train and val."""

    picture: bytes | None
    """Both images side by side, a PNG; None where one cannot be decoded."""
    test: str
    neighbour: str
    """Names of the two."""
    score: float | None
    """Log-odds; None where it is not known."""
    kind: str
    """One of KINDS."""
    view: str
    """What has to be done to one of the two before it fits the other; empty for nothing."""
    split: str
    """Of the neighbour."""


@dataclass(frozen=True)
class UndecidedPair:
    """Two images that a curator decides about."""

    picture: bytes | None
    """Both side by side, a PNG; None where one cannot be decoded."""
    name: str
    other: str
    detail: str
    commands: tuple[str, str]
    """What to run where they are copies, and where they are not."""


def read_leakage(lake: Lake, catalog: pd.DataFrame) -> Leakage | None:
    """What the check found of a catalog that was split, with what curators decided until now; None without a check."""
    pairs = stored_pairs(lake, catalog)
    if pairs is None:
        return None
    decided = decided_pairs(decisions(lake))
    closest = nearest(pairs, decided)
    known = possible_copies(catalog, history.read(lake, history.COPIES), decided)
    across = closest[closest["verdict"] == history.POSSIBLE]
    waiting = {frozenset(pair) for pair in zip(known["first"], known["second"], strict=True)}
    waiting |= {frozenset(pair) for pair in zip(across["test"], across["neighbour"], strict=True)}
    return Leakage(closest, len(not_compared(pairs)), len(waiting))


def leakage_line(leakage: Leakage | None) -> str:
    """What the check found, in a few sentences."""
    if leakage is None:
        return NOT_CHECKED
    found = leakage.numbers
    sentences = [f"Of {found.tests} test images none lies upon anything in train or val."]
    if found.closest is not None:
        sentences = [
            f"The closest of {found.tests} test images to anything in train or val scores {found.closest:.1f}; "
            f"the bar for a copy is {COPIED:g}."
        ]
    if leakage.copies:
        sentences.append(f"Test images with a copy there: {leakage.copies}.")
    if leakage.not_compared:
        sentences.append(f"Images without a fingerprint, compared with nothing: {leakage.not_compared}.")
    sentences.append(f"Possible copies that wait for a curator: {leakage.waiting}.")
    return " ".join(sentences)


def closest_pairs(lake: Lake, leakage: Leakage, catalog: pd.DataFrame, max_pixels: int) -> list[ClosestPair]:
    """The CLOSEST pairs, the best score first."""
    names = history.read(lake, history.NAMES)
    some = leakage.closest.head(CLOSEST)
    ends = (image_names(some[column], catalog, names) for column in ("test", "neighbour"))
    return [
        ClosestPair(
            picture=_picture(lake, [row["test"], row["neighbour"]], max_pixels, SMALL),
            test=test,
            neighbour=neighbour,
            score=None if pd.isna(row["score"]) else float(row["score"]),
            kind=KINDS[row["verdict"]],
            view="" if pd.isna(row["view"]) else row["view"],
            split=row["neighbour_split"],
        )
        for (_, row), test, neighbour in zip(some.iterrows(), *ends, strict=True)
    ]


def undecided_pairs(lake: Lake, findings: list[Finding], max_pixels: int) -> list[UndecidedPair]:
    """Up to CLOSEST pairs of UNDECIDED findings; those across splits come first."""
    pairs: dict[tuple[str, ...], Offender] = {}
    for check in UNDECIDED:
        for item in (item for finding in findings if finding.check == check for item in finding.offenders):
            pairs.setdefault(tuple(sorted(item.digests)), item)
    return [
        UndecidedPair(
            picture=_picture(lake, item.digests, max_pixels, LARGE),
            name=item.name,
            other=str(item.other),
            detail=item.detail,
            commands=(_command(item, "--copies"), _command(item, "--no-copies")),
        )
        for item in list(pairs.values())[:CLOSEST]
    ]


def score_chart(scores: pd.Series) -> bytes:
    """How many test images have which best score, as a PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    figure = Figure(figsize=(8.5, 2.6), layout="constrained")
    axes = figure.subplots()
    low, high = min(scores.min(), DOUBTFUL) - 1, max(scores.max(), COPIED) + 1
    ends = low, high + 0.15 * (high - low)  # with room for the words at the last bar
    counts, *_ = axes.hist(scores.astype(float), bins=np.linspace(*ends, 49).tolist(), log=True)
    for bar, name, side in (
        (DOUBTFUL, f"possible copies from {DOUBTFUL:g} ", "right"),
        (COPIED, f" copies from {COPIED:g}", "left"),
    ):
        axes.axvline(bar, color="#b3261e", linewidth=1)
        axes.text(bar, 1.02, name, transform=axes.get_xaxis_transform(), color="#b3261e", fontsize=8, ha=side)
    axes.set(xlabel="best score with any image in train or val", ylabel="test images", xlim=ends)
    axes.set_ylim(0.7, max(5.5, 1.5 * float(np.max(counts))))  # or a bar of one image has no height
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.spines[["top", "right"]].set_visible(False)
    return figure_png(figure)


def _command(pair: Offender, option: str) -> str:
    one, other = shlex.quote(pair.name), shlex.quote(str(pair.other))
    return f"osteon review {one} {option} {other} --who NAME --why REASON"


def _picture(lake: Lake, digests: list[str], max_pixels: int, side: int) -> bytes | None:
    """Two images side by side, each letterboxed to a square of `side` pixels."""
    try:
        return png(side_by_side(lake, digests, max_pixels, side))
    except UndecodableError:
        return None
