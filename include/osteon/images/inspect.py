"""Measure every image of a catalog once, and keep what was measured, so that no image is ever decoded for it again."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from hashlib import sha256
from itertools import islice

import joblib
import pandas as pd

from osteon import catalog as catalogs
from osteon import history
from osteon.images.decode import OVER_LIMIT, over_limit
from osteon.images.fingerprint import FORMAT
from osteon.images.measure import Measurement, measure_batch
from osteon.lake import Lake, derived_key, image_key
from osteon.parts import of_part, parts
from osteon.progress import Meter
from osteon.settings import Settings
from osteon.takeover import take_over

VERSION = 5
MEASUREMENTS = f"measurements/v{VERSION}/"
"""Objects of measurements, one for each addition: a cache that any number of processes add to at once."""
COLUMNS = tuple(name for name in Measurement.__dataclass_fields__ if name != "fingerprint")
OBJECT = 4096
"""Images whose measurements go into one object."""
BATCH, BATCH_BYTES = 32, 16 << 20
"""Images, and bytes, that are handed to a process at once."""
PROCESSES_FROM = 256
"""Images that are worth the start of processes."""
log = logging.getLogger(__name__)


def read_measurements(lake: Lake, max_pixels: int, columns: list[str] | None = None) -> pd.DataFrame:
    """Measurements that hold under this limit, or some `columns` of them; one row per image, in order of `sha256`."""
    deciding = ["sha256", "problem", "width", "height"]
    wanted = [name for name in COLUMNS if columns is None or name in {*deciding, *columns}]
    tables = [pd.read_parquet(io.BytesIO(data), columns=wanted) for data in lake.get_all(list(lake.keys(MEASUREMENTS)))]
    full = [table for table in tables if len(table)] or [pd.DataFrame(columns=wanted, dtype="object")]
    known = _valid(max_pixels, pd.concat(full, ignore_index=True))
    return known.sort_values("sha256", kind="stable").drop_duplicates("sha256").reset_index(drop=True)


def inspect_parts(settings: Settings, lake: Lake, catalog_key: str) -> list[str]:
    """The parts in which several processes had better measure a catalog's new images; none where one will do."""
    return parts(len(_undone(settings, lake, catalogs.read(lake, catalog_key))), settings.part_images)


def inspect_part(settings: Settings, lake: Lake, catalog_key: str, part: str) -> int:
    """Measure the new images of a part. Returns their number."""
    fresh = of_part(_undone(settings, lake, catalogs.read(lake, catalog_key)), part)
    _measure(settings, lake, fresh)
    return len(fresh)


def inspect(settings: Settings, lake: Lake, catalog_key: str) -> tuple[str, dict[str, int]]:
    """Fill the catalog's measured columns. Returns its key and counts (`images`, `decoded`, `truncated`).

    Only images that lack a measurement or a fingerprint are fetched and decoded. So are images of earlier weeks that
    lack a fingerprint of today's format: what is published next is compared with them, too.
    """
    take_over(lake)
    key = derived_key("inspect", VERSION, catalog_key, [settings.max_pixels])
    catalog = catalogs.read(lake, catalog_key)
    fresh = _undone(settings, lake, catalog)
    _measure(settings, lake, fresh)
    _measure(settings, lake, _of_earlier_weeks(settings, lake))
    if lake.exists(key):
        done = lake.get_table(key, columns=["truncated"])
        return key, {"images": len(done), "decoded": len(fresh), "truncated": int(done["truncated"].sum())}
    measured = read_measurements(lake, settings.max_pixels).set_index("sha256").loc[catalog["sha256"].tolist()]
    for column in ("width", "height", "mode", "truncated", "blank_fraction", "mean", "std", "dhash"):
        catalog[column] = measured[column].to_numpy()
    catalog["reason"] = measured["problem"].to_numpy()
    catalogs.write(lake, key, catalog)
    truncated = int((measured["truncated"] == True).sum())  # noqa: E712 - the column holds None as well
    return key, {"images": len(catalog), "decoded": len(fresh), "truncated": truncated}


def _measure(settings: Settings, lake: Lake, digests: list[str]) -> None:
    """Measure images, and keep what was measured as it comes: a run that is killed goes on where it stopped."""
    rows = measure_all(lake, digests, settings)
    while some := list(islice(rows, OBJECT)):
        _keep(lake, some)


def _keep(lake: Lake, rows: list[Measurement]) -> None:
    table = pd.DataFrame([asdict(row) for row in rows]).sort_values("sha256")
    prints = table.loc[table["fingerprint"].notna(), ["sha256", "fingerprint"]].rename(columns={"fingerprint": "data"})
    history.append(lake, history.FINGERPRINTS, prints.assign(format=FORMAT))
    buffer = io.BytesIO()
    table[list(COLUMNS)].to_parquet(buffer, index=False, compression="zstd")
    data = buffer.getvalue()
    lake.put_missing(f"{MEASUREMENTS}{sha256(data).hexdigest()[:20]}.parquet", data)


def _undone(settings: Settings, lake: Lake, catalog: pd.DataFrame) -> list[str]:
    """The catalog's images that lack a measurement under this limit, or a fingerprint of today's format."""
    known = read_measurements(lake, settings.max_pixels, ["sha256"])
    decoded = known.loc[known["problem"].isna(), "sha256"]
    lacking = set(decoded) & set(catalog["sha256"]) - _fingerprinted(lake)
    return sorted(set(catalog["sha256"]) - set(known["sha256"]) | lacking)


def _of_earlier_weeks(settings: Settings, lake: Lake) -> list[str]:
    """Images ever seen that lack a fingerprint of today's format, and can have one."""
    lacking = set(history.digests_ever_seen(lake)) - _fingerprinted(lake)
    if not lacking:
        return []
    known = read_measurements(lake, settings.max_pixels, ["sha256"])
    left = sorted(lacking - set(known.loc[known["problem"].notna(), "sha256"]))
    with ThreadPoolExecutor(lake.workers) as threads:
        there = threads.map(lambda digest: lake.exists(image_key(digest)), left)
        found = [digest for digest, is_there in zip(left, there, strict=True) if is_there]
    gone = len(left) - len(found)
    log.info("%d images of earlier weeks get a fingerprint; of %d more the bytes are gone", len(found), gone)
    return found


def _fingerprinted(lake: Lake) -> set[str]:
    found = history.read(lake, history.FINGERPRINTS, ["sha256"])
    return set(found.loc[found["format"] == FORMAT, "sha256"])


def _valid(max_pixels: int, known: pd.DataFrame) -> pd.DataFrame:
    """Measurements but for those that another limit refused, or let pass: they are made again."""
    problem = known["problem"].fillna("")
    refused = problem.str.contains(OVER_LIMIT, regex=False) & ~problem.str.endswith(over_limit(max_pixels))
    large = (known["width"].astype("Float64") * known["height"].astype("Float64") > max_pixels).fillna(False)
    return known[~refused & ~large]


def measure_all(lake: Lake, digests: list[str], settings: Settings) -> Iterator[Measurement]:
    """Fetch images on threads and measure them on as many processes as there are cores, in the order given."""
    with ThreadPoolExecutor(settings.upload_workers) as threads, Meter("inspect", len(digests)) as meter:

        def batches() -> Iterator[list[tuple[str, bytes]]]:
            batch: list[tuple[str, bytes]] = []
            size = 0
            for start in range(0, len(digests), BATCH):
                chunk = digests[start : start + BATCH]
                for pair in zip(chunk, threads.map(lake.get_image, chunk), strict=True):
                    batch.append(pair)
                    size += len(pair[1])
                    if len(batch) == BATCH or size > BATCH_BYTES:
                        yield batch
                        batch, size = [], 0
            if batch:
                yield batch

        processes = joblib.cpu_count() if len(digests) >= PROCESSES_FROM else 1
        parallel = joblib.Parallel(n_jobs=processes, return_as="generator")
        for rows in parallel(joblib.delayed(measure_batch)(batch, settings.max_pixels) for batch in batches()):
            meter.add(len(rows))
            yield from rows
