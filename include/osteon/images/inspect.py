"""Measure every image of a catalog once, and keep what was measured, so that no image is ever decoded for it again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import joblib
import pandas as pd

from osteon import catalog as catalogs
from osteon.images.decode import OVER_LIMIT, over_limit
from osteon.images.measure import Measurement, measure_batch
from osteon.lake import Lake, derived_key
from osteon.parts import of_part, parts
from osteon.progress import Meter
from osteon.settings import Settings

VERSION = 4
MEASUREMENTS = f"measurements/v{VERSION}.parquet"
PARTS = f"measurements/parts-v{VERSION}"
"""What parts of a catalog added, until `inspect` takes it over."""
BATCH, BATCH_BYTES = 32, 16 << 20
"""Images, and bytes, that are handed to a process at once."""
PROCESSES_FROM = 256
"""Images that are worth the start of processes."""


def read_measurements(lake: Lake, columns: list[str] | None = None) -> pd.DataFrame:
    """All measurements so far, or some `columns` of them; one row per image ever inspected."""
    if not lake.exists(MEASUREMENTS):
        return _table([])
    return lake.get_table(MEASUREMENTS, columns)


def inspect_parts(settings: Settings, lake: Lake, catalog_key: str) -> list[str]:
    """The parts in which several processes had better measure a catalog's new images; none where one will do."""
    return parts(len(_unmeasured(settings, lake, catalogs.read(lake, catalog_key))), settings.part_images)


def inspect_part(settings: Settings, lake: Lake, catalog_key: str, part: str) -> int:
    """Measure the new images of a part, for `inspect` to take over. Returns their number."""
    key = derived_key(PARTS, VERSION, catalog_key, settings.max_pixels, part)
    if lake.exists(key):
        return 0
    fresh = of_part(_unmeasured(settings, lake, catalogs.read(lake, catalog_key)), part)
    lake.put_table(key, _table(list(measure_all(lake, fresh, settings))))
    return len(fresh)


def inspect(settings: Settings, lake: Lake, catalog_key: str) -> tuple[str, dict[str, int]]:
    """Fill the catalog's measured columns. Returns its key and counts (`images`, `decoded`, `truncated`).

    Only images without a measurement are fetched and decoded, here or in parts before.
    """
    key = derived_key("inspect", VERSION, catalog_key, [settings.max_pixels])
    catalog = catalogs.read(lake, catalog_key)
    fresh = _unmeasured(settings, lake, catalog)
    if lake.exists(key) and not fresh:
        done = lake.get_table(key, columns=["truncated"])
        return key, {"images": len(done), "decoded": 0, "truncated": int(done["truncated"].sum())}
    known = _valid(settings, read_measurements(lake))
    if fresh:
        in_parts = _valid(settings, _joined([lake.get_table(key) for key in lake.keys(f"{PARTS}/")]))
        left = sorted(set(fresh) - set(in_parts["sha256"]))
        rows = _table(list(measure_all(lake, left, settings)))
        known = _joined([known, in_parts, rows]).drop_duplicates("sha256", ignore_index=True)
        lake.put_table(MEASUREMENTS, known)
        lake.remove_folder(PARTS)
    measured = known.set_index("sha256").loc[catalog["sha256"].tolist()]
    for column in ("width", "height", "mode", "truncated", "blank_fraction", "mean", "std", "dhash"):
        catalog[column] = measured[column].to_numpy()
    catalog["reason"] = measured["problem"].to_numpy()
    catalogs.write(lake, key, catalog)
    return key, {
        "images": len(catalog),
        "decoded": len(fresh),
        "truncated": int((measured["truncated"] == True).sum()),  # noqa: E712 - the column holds None as well
    }


def _table(rows: list[Measurement]) -> pd.DataFrame:
    if rows:
        return pd.DataFrame([vars(row) for row in rows])
    return pd.DataFrame({name: pd.Series(dtype="object") for name in Measurement.__dataclass_fields__})


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    full = [table for table in tables if len(table)]  # pandas takes column types from empty ones, too
    return pd.concat(full, ignore_index=True) if full else _table([])


def _unmeasured(settings: Settings, lake: Lake, catalog: pd.DataFrame) -> list[str]:
    """The catalog's images that have no measurement, or one under another limit."""
    known = _valid(settings, read_measurements(lake, ["sha256", "problem", "width", "height"]))
    return sorted(set(catalog["sha256"]) - set(known["sha256"]))


def _valid(settings: Settings, known: pd.DataFrame) -> pd.DataFrame:
    """Measurements but for those that another limit refused, or let pass: they are made again."""
    problem = known["problem"].fillna("")
    refused = problem.str.contains(OVER_LIMIT, regex=False) & ~problem.str.endswith(over_limit(settings.max_pixels))
    large = (known["width"].astype("Float64") * known["height"].astype("Float64") > settings.max_pixels).fillna(False)
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
