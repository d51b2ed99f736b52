"""What a lake remembered before there was a history, taken over once. The old objects stay as they are."""

from __future__ import annotations

import io
import logging
import re

import pandas as pd

from osteon import history
from osteon.lake import Lake

MARKER = f"{history.FOLDER}/taken-over.json"
"""Which old objects were taken over, with the store's mark of their content: one that changes is taken over again."""
METHOD = "before history"
COMPARED = re.compile(r"groups/compared-v.+\.parquet")
NAMED = re.compile(r"groups/named-v.+\.parquet")
ASSIGNMENTS = "splits/assignments.parquet"
MEASURED = re.compile(r"measurements/v\d+\.parquet")
log = logging.getLogger(__name__)


def take_over(lake: Lake) -> int:
    """Append to the history what old tables hold. Returns their number, 0 where it is done.

    The same facts make the same objects, so two runs may do it at once, and one that is killed does it again.
    """
    old = {**lake.etags("groups/"), **lake.etags("splits/"), **lake.etags("measurements/")}
    old = {key: mark for key, mark in old.items() if _is_old(key)}
    done = lake.get_json(MARKER) if lake.exists(MARKER) else {}
    new = [key for key, mark in sorted(old.items()) if done.get(key) != mark]
    if not new:
        return 0
    for key in new:
        _take(lake, key)
        log.info("took over what %s remembers", key)
    lake.put_json(MARKER, {**done, **old})
    return len(new)


def _is_old(key: str) -> bool:
    return key == ASSIGNMENTS or any(pattern.fullmatch(key) for pattern in (COMPARED, NAMED, MEASURED))


def _take(lake: Lake, key: str) -> None:
    data = io.BytesIO(lake.get_bytes(key))
    if key == ASSIGNMENTS:
        history.append(lake, history.PLACEMENTS, pd.read_parquet(data, columns=["sha256", "split"]))
    elif NAMED.fullmatch(key):
        history.append(lake, history.NAMES, pd.read_parquet(data, columns=["sha256", "source", "path"]))
    elif COMPARED.fullmatch(key):
        table = pd.read_parquet(data, columns=["sha256", "same"])
        history.append(lake, history.NAMES, table[["sha256"]])
        pairs = table.dropna()
        pairs = pairs[pairs["sha256"] != pairs["same"]]
        ends = pairs.agg(["min", "max"], axis=1).set_axis(["first", "second"], axis=1) if len(pairs) else pd.DataFrame()
        history.append(lake, history.COPIES, ends.assign(verdict=history.COPY, method=METHOD))
    else:
        table = pd.read_parquet(data, columns=["sha256", "problem"])
        history.append(lake, history.NAMES, table.loc[table["problem"].isna(), ["sha256"]])
