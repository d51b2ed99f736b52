"""What the base models are worth, and what was decided with them: a page and a CSV beside the run's report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from osteon.curation.relabel import ACCEPTED, LEFT_OUT, MERGED, REVIEW, read_verdicts
from osteon.lake import Lake
from osteon.quality.pictures import SIDE, data_url, png, scaled
from osteon.records import RelabelRecord
from osteon.reports.model_card import interval, number
from osteon.results import BaseModelResult, result_key
from osteon.settings import ImageSettings
from osteon.templates import environment

SAMPLE, COLUMNS = 48, 8
"""Images on the contact sheet, and in one of its rows."""
EXAMPLES = 6
"""Of each answer and decision."""
DECISIONS = (ACCEPTED, MERGED, REVIEW, LEFT_OUT)


def write_relabel_report(
    settings: ImageSettings, lake: Lake, record: RelabelRecord, catalog: pd.DataFrame, folder: str
) -> None:
    """Write `relabel.html` and `relabel.csv` below `folder`."""
    table = lake.get_table(record.table)
    table = table.merge(catalog[["sha256", "split"]], on="sha256", how="left", validate="one_to_one")
    answers = [name for name in table.columns if name.startswith("p_")]
    columns = [
        "file",
        "source",
        "probability",
        "decision",
        "body_part",
        "raw_label",
        "split",
        "why",
        *answers,
        "sha256",
    ]
    csv = table.rename(columns={"path": "file"})[columns]
    lake.put_bytes(f"{folder}relabel.csv", csv.to_csv(index=False).encode(), "text/csv; charset=utf-8")
    decided = table[table["decision"].isin((ACCEPTED, MERGED))]
    sample = decided.sample(min(SAMPLE, len(decided)), random_state=0)
    page = environment().get_template("relabel.html").render(
        run=folder.split("/")[1],
        models=base_results(lake, record),
        number=number,
        interval=interval,
        verdicts=read_verdicts(lake, record.table),
        changes=record.changes,
        counts=counts(table),
        decisions=DECISIONS,
        examples=_examples(settings, lake, table),
        sheet=data_url(contact_sheet(settings, lake, sample["sha256"].tolist())) if len(sample) else None,
        key=[(number, row.source, row.path, row.body_part) for number, row in enumerate(sample.itertuples(), start=1)],
    )  # fmt: skip
    lake.put_bytes(f"{folder}relabel.html", page.encode(), "text/html; charset=utf-8")


def base_results(lake: Lake, record: RelabelRecord) -> list[BaseModelResult]:
    """What the base models are worth. One that cannot be read is left out, with a line in the log."""
    found = (lake.find_model(BaseModelResult, result_key(training)) for training in record.trainings)
    return [result for result in found if result is not None]


@dataclass(frozen=True)
class AnswerCounts:
    """Ambiguous images of one source and publisher's split that look like one answer."""

    source: str
    split: str
    answer: str
    images: int
    decisions: dict[str, int]
    """Images by decision, in the order of DECISIONS."""


@dataclass(frozen=True)
class Example:
    """An ambiguous image, and why it was decided so."""

    picture: str
    """An address that holds the PNG."""
    file: str
    """`source:path`."""
    why: str


def counts(table: pd.DataFrame) -> list[AnswerCounts]:
    """What was decided, per source, split of the publisher and answer."""
    frame = table.assign(raw_split=table["raw_split"].fillna("-"), answer=likeliest(table))
    rows = []
    for names, part in frame.groupby(["source", "raw_split", "answer"]):
        source, raw_split, answer = map(str, names)
        decided = part["decision"].value_counts()
        by_decision = {name: int(decided.get(name, 0)) for name in DECISIONS}
        rows.append(AnswerCounts(source, raw_split, answer, len(part), by_decision))
    return rows


def likeliest(table: pd.DataFrame) -> pd.Series:
    """The answer that is more likely than not and likeliest, or `other`."""
    chances = table[[name for name in table.columns if name.startswith("p_")]].astype(float)
    if chances.empty:
        return pd.Series("not asked", index=table.index)
    best = chances.idxmax(axis=1).astype("string").str.removeprefix("p_")
    return best.where(chances.max(axis=1) > 0.5, "other")


def contact_sheet(settings: ImageSettings, lake: Lake, digests: list[str]) -> bytes:
    """Numbered thumbnails without their labels, for a person to label blind; a PNG."""
    rows = -(-len(digests) // COLUMNS)
    sheet = Image.new("L", (COLUMNS * (SIDE + 4), rows * (SIDE + 4)), 255)
    draw = ImageDraw.Draw(sheet)
    for place, digest in enumerate(digests):
        corner = (place % COLUMNS * (SIDE + 4), place // COLUMNS * (SIDE + 4))
        sheet.paste(Image.fromarray(scaled(lake, digest, settings.max_pixels)), corner)
        draw.rectangle((*corner, corner[0] + 20, corner[1] + 13), fill=255)
        draw.text((corner[0] + 3, corner[1] + 1), str(place + 1), fill=0)
    return png(np.asarray(sheet))


def _examples(settings: ImageSettings, lake: Lake, table: pd.DataFrame) -> list[tuple[str, list[Example]]]:
    """By answer and decision, some images."""
    sections = []
    for names, part in table.groupby([likeliest(table), table["decision"]]):
        answer, decision = map(str, names)
        pictures = []
        for _, row in part.sample(min(EXAMPLES, len(part)), random_state=0).iterrows():
            picture = data_url(png(scaled(lake, row["sha256"], settings.max_pixels)))
            pictures.append(Example(picture, f"{row['source']}:{row['path']}", str(row["why"])))
        sections.append((f"{answer}, {decision}: {len(part)}", pictures))
    return sections
