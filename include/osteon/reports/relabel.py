"""What the base models are worth, and what was decided with them: a page and a CSV beside the run's report."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from osteon.curation.relabel import ACCEPTED, LEFT_OUT, MERGED, REVIEW, verdicts_key
from osteon.lake import Lake
from osteon.quality.alert import environment
from osteon.quality.pictures import SIDE, data_url, png, scaled
from osteon.records import RelabelRecord
from osteon.reports.model_card import interval, number
from osteon.results import BaseModelResult, read_or_skip, result_key
from osteon.settings import Settings

SAMPLE, COLUMNS = 48, 8
"""Images on the contact sheet, and in one of its rows."""
EXAMPLES = 6
"""Of each answer and decision."""
DECISIONS = (ACCEPTED, MERGED, REVIEW, LEFT_OUT)


def write_relabel_report(
    settings: Settings, lake: Lake, record: RelabelRecord, catalog: pd.DataFrame, folder: str
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
        verdicts=lake.get_json(verdicts_key(record.table)),
        changes=record.changes,
        counts=counts(table),
        columns=("images", *DECISIONS),
        examples=_examples(settings, lake, table),
        sheet=data_url(contact_sheet(settings, lake, sample["sha256"].tolist())) if len(sample) else None,
        key=[(number, row.source, row.path, row.body_part) for number, row in enumerate(sample.itertuples(), start=1)],
    )  # fmt: skip
    lake.put_bytes(f"{folder}relabel.html", page.encode(), "text/html; charset=utf-8")


def base_results(lake: Lake, record: RelabelRecord) -> list[BaseModelResult]:
    """What the base models are worth. One that cannot be read is left out, with a line in the log."""
    found = (read_or_skip(lake, BaseModelResult, result_key(training)) for training in record.trainings)
    return [result for result in found if result is not None]


def counts(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Per source, split of the publisher and answer: `images`, and of them those of each decision."""
    frame = table.assign(raw_split=table["raw_split"].fillna("-"), answer=likeliest(table))
    rows = []
    for (source, raw_split, answer), part in frame.groupby(["source", "raw_split", "answer"]):
        decided = part["decision"].value_counts()
        by_decision = {name: int(decided.get(name, 0)) for name in DECISIONS}
        rows.append({"source": source, "split": raw_split, "answer": answer, "images": len(part), **by_decision})
    return rows


def likeliest(table: pd.DataFrame) -> pd.Series:
    """The answer that is more likely than not and likeliest, or `other`."""
    chances = table[[name for name in table.columns if name.startswith("p_")]].astype(float)
    if chances.empty:
        return pd.Series("not asked", index=table.index)
    best = chances.idxmax(axis=1).str.removeprefix("p_")
    return best.where(chances.max(axis=1) > 0.5, "other")


def contact_sheet(settings: Settings, lake: Lake, digests: list[str]) -> bytes:
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


def _examples(settings: Settings, lake: Lake, table: pd.DataFrame) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """By answer and decision, some pictures with their file and the reason."""
    told = []
    for (answer, decision), part in table.groupby([likeliest(table), "decision"]):
        pictures = []
        for row in part.sample(min(EXAMPLES, len(part)), random_state=0).itertuples():
            picture = data_url(png(scaled(lake, row.sha256, settings.max_pixels)))
            pictures.append((picture, f"{row.source}:{row.path}", str(row.why)))
        told.append((f"{answer}, {decision}: {len(part)}", pictures))
    return told
