"""Measure every image of a catalog once, and keep what was measured, so that no image is ever decoded for it again."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import joblib
import pandas as pd

from osteon import catalog as catalogs
from osteon import history
from osteon.curation.measurements import keep, read_measurements, requests
from osteon.curation.workers import Workers, too_large, too_slow
from osteon.images.families import Family, registered
from osteon.images.fingerprint import FORMAT
from osteon.images.measure import Measured, Request
from osteon.lake import Lake, derived_key, image_key
from osteon.partitions import partitions, select_partition
from osteon.progress import ProgressLogger
from osteon.schemas import Inspected
from osteon.settings import ImageSettings, Settings
from osteon.takeover import take_over

VERSION = 7
IN_CATALOG = ("width", "height", "mode", "truncated", "blank_fraction", "mean", "std", "dhash")
"""Columns of the family `IMAGE` that the catalog's schema has."""
OBJECT = 4096
"""Images whose measurements go into one object of each family."""
BATCH = 32
"""Images that are fetched at once, and that wait for a process."""
PROCESSES_FROM = 256
"""Images that are worth the start of processes."""
log = logging.getLogger(__name__)


def inspect_parts(settings: Settings, lake: Lake, catalog_key: str) -> list[str]:
    """The parts in which several processes had better measure a catalog's new images; none where one will do."""
    return partitions(len(_undone(settings, lake, catalogs.read(lake, catalog_key))), settings.part_images)


def inspect_part(settings: Settings, lake: Lake, catalog_key: str, part: str) -> int:
    """Measure the new images of a part. Returns their number."""
    undone = {request.sha256: request for request in _undone(settings, lake, catalogs.read(lake, catalog_key))}
    fresh = [undone[digest] for digest in select_partition(undone, part)]
    _measure(settings, lake, fresh)
    return len(fresh)


def inspect(settings: Settings, lake: Lake, catalog_key: str) -> tuple[str, dict[str, int]]:
    """Fill the catalog's measured columns. Returns its key and counts (`images`, `decoded`, `truncated`).

    An image is fetched and decoded only where a family did not measure it, or it lacks a fingerprint. Then only what it
    lacks is measured. Images of earlier weeks that lack a fingerprint of today's format get one, because what is
    published next is compared with them, too.

    Raises:
        ExtensionError: A check of another package cannot be loaded, or cannot measure an image.
    """
    take_over(lake)
    more = [family for family in registered() if family.in_catalog]
    versions = {family.name: family.version for family in more}
    key = derived_key(
        "inspect",
        VERSION,
        catalog_key,
        [settings.max_pixels, settings.decode_seconds, settings.decode_megabytes],
        *([versions] if versions else []),
    )
    catalog: pd.DataFrame = catalogs.read(lake, catalog_key)
    fresh = _undone(settings, lake, catalog)
    _measure(settings, lake, fresh)
    _measure(settings, lake, _of_earlier_weeks(settings, lake))
    if lake.exists(key):
        done = lake.get_table(key, columns=["truncated"])
        return key, {"images": len(done), "decoded": len(fresh), "truncated": int(done["truncated"].sum())}
    measured = read_measurements(lake, settings.max_pixels, more).set_index("sha256").loc[catalog["sha256"].tolist()]
    for column in (*IN_CATALOG, *(name for family in more for name in family.full_names.values())):
        catalog[column] = measured[column].array
    catalog["reason"] = measured["problem"].array
    catalogs.write(lake, key, catalog, Inspected)
    return key, {"images": len(catalog), "decoded": len(fresh), "truncated": int(measured["truncated"].sum())}


def _measure(settings: Settings, lake: Lake, wanted: list[Request]) -> None:
    """Measure images, and keep what was measured as it comes: a run that is killed goes on where it stopped."""
    measured = measure_all(lake, wanted, settings)
    while some := list(islice(measured, OBJECT)):
        _keep(lake, some, registered())


def _keep(lake: Lake, measured: list[Measured], families: tuple[Family, ...]) -> None:
    prints = [(one.sha256, one.fingerprint) for one in measured if one.fingerprint is not None]
    rows = pd.DataFrame(prints, columns=["sha256", "data"])
    history.append(lake, history.FINGERPRINTS, rows.assign(format=FORMAT))
    keep(lake, measured, families)


def _undone(settings: ImageSettings, lake: Lake, catalog: pd.DataFrame) -> list[Request]:
    """What the catalog's images lack: measurements under this limit, or a fingerprint of today's format."""
    bounds = (too_slow(settings), too_large(settings))
    return requests(lake, settings.max_pixels, catalog["sha256"], registered(), _fingerprinted(lake), bounds)


def _of_earlier_weeks(settings: ImageSettings, lake: Lake) -> list[Request]:
    """Images ever seen that lack a fingerprint of today's format, and can have one."""
    fingerprinted = _fingerprinted(lake)
    lacking = set(history.digests_ever_seen(lake)) - fingerprinted
    if not lacking:
        return []
    left = requests(lake, settings.max_pixels, lacking, (), fingerprinted)
    with ThreadPoolExecutor(lake.workers) as threads:
        there = threads.map(lambda request: lake.exists(image_key(request.sha256)), left)
        found = [request for request, is_there in zip(left, there, strict=True) if is_there]
    gone = len(left) - len(found)
    log.info("%d images of earlier weeks get a fingerprint; of %d more the bytes are gone", len(found), gone)
    return found


def _fingerprinted(lake: Lake) -> set[str]:
    found = history.read(lake, history.FINGERPRINTS, ["sha256"])
    return set(found.loc[found["format"] == FORMAT, "sha256"])


def measure_all(lake: Lake, wanted: list[Request], settings: Settings) -> Iterator[Measured]:
    """Fetch images on threads and measure them on as many processes as there are cores, in the order given.

    A process that dies costs only the image that it was at, see `osteon.curation.workers`.
    """
    count = (joblib.cpu_count() if len(wanted) >= PROCESSES_FROM else 1) if wanted else 0
    if not count:
        return
    with (
        ThreadPoolExecutor(settings.upload_workers) as threads,
        Workers(count, settings) as workers,
        ThreadPoolExecutor(count) as drivers,
        ProgressLogger("inspect", len(wanted)) as progress,
    ):
        waiting: deque[Future[Measured]] = deque()
        for start in range(0, len(wanted), BATCH):
            chunk = wanted[start : start + BATCH]
            images = threads.map(lake.get_image, [request.sha256 for request in chunk])
            for request, data in zip(chunk, images, strict=True):
                waiting.append(drivers.submit(workers.measure, request, data))
                if len(waiting) > BATCH:
                    yield _result(waiting, progress)
        while waiting:
            yield _result(waiting, progress)


def _result(waiting: deque[Future[Measured]], progress: ProgressLogger) -> Measured:
    progress.add(1)
    return waiting.popleft().result()
