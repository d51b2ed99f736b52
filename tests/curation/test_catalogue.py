"""What the publications of one file say together."""

from __future__ import annotations

import pandas as pd
import pytest

from osteon import catalog as catalogs
from osteon.curation.catalogue import catalogue
from osteon.ingest import MANIFEST_COLUMNS
from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.settings import Settings


@pytest.mark.parametrize(
    ("said", "part", "fractured"),
    [
        (["knee|fractured", "knee"], "knee", True),
        (["hand|fractured", None], "hand", True),
        (["hand|fractured", "unsorted|fractured"], "hand", True),
        (["hand|fractured", "|non-fractured"], "hand", None),
        (["hand|fractured", "wrist|fractured"], None, True),
        (["hand", "hand+shoulder"], None, None),
        (["hand", "a word that nobody knows"], None, None),
        ([None, "hand|fractured"], "hand", True),
        (["hand|fractured", "|a state that nobody knows"], "hand", True),
        (["unsorted|fractured", None], None, True),
    ],
)
def test_who_says_nothing_of_an_image_contradicts_nobody(
    said: list[str | None], part: str | None, fractured: bool | None, settings: Settings, lake: Lake
) -> None:
    files = [
        {"source": "s", "path": f"{i}.png", "claims_image": True, "sha256": "a" * 64, "bytes": 1, "raw_label": raw}
        for i, raw in enumerate(said)
    ]
    lake.put_table("m.parquet", pd.DataFrame(files).reindex(columns=list(MANIFEST_COLUMNS)).astype(MANIFEST_COLUMNS))
    key, counts = catalogue(lake, load_labels(settings.labels_file), ["m.parquet"])
    (image,) = catalogs.read(lake, key).itertuples()
    found = [None if pd.isna(value) else value for value in (image.body_part, image.fractured)]
    assert image.raw_label == next(filter(None, said)), "not told as published without any label"
    assert found == [part, fractured] and counts == {"images": 1, "duplicates": 1}
