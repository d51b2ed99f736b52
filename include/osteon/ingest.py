"""Bring one source's current version into the lake, and leave a manifest of every file it published."""

from __future__ import annotations

import hashlib
import shutil
import threading
from dataclasses import asdict, dataclass

import pandas as pd

from osteon.errors import during
from osteon.lake import Lake, image_key
from osteon.progress import parallel
from osteon.pseudonyms import Pseudonyms, patient_key
from osteon.settings import Settings
from osteon.sources.base import NO_IMAGE, PublishedFile, Source
from osteon.sources.notes import Note

VERSION = 3
"""Of manifests. Those from before `patient` and `study` lack the two and stay good: a rule for ids makes another
version of its source."""


@dataclass(frozen=True)
class SourceState:
    """What is remembered of a source from one run to the next."""

    manifest: str
    """Key of the manifest of the last good version."""
    before: str | None
    """Key of the manifest that the run before used; None for the first."""
    run: str
    """The run that pulled it, or FOUND."""


FOUND = "found in the lake"
"""The run of a manifest of which the lake does not say which run pulled it."""


def state_key(name: str) -> str:
    """Where the lake keeps the state of a source for the next run."""
    return f"sources/{name}.json"


def load_state(lake: Lake, name: str) -> SourceState | None:
    """What was pulled of a source last; None where nothing was.

    The newest manifest counts where the lake has no state, or that of an older manifest. The run that pulled it was
    killed before `save_state`, or belonged to an Osteon that kept states in Airflow's database. The state is written
    at once, so that the next pull is not compared with itself.
    """
    key = state_key(name)
    last = SourceState(**lake.get_json(key)) if lake.exists(key) else None
    if last is not None and not lake.exists(last.manifest):
        last = None
    newest = next(iter(lake.newest(manifests_of(name), ".parquet")), None)
    if newest is None or (last is not None and not _is_later(lake, newest, last.manifest, key)):
        return last
    found = SourceState(newest, last.manifest if last else None, FOUND)
    lake.put_json(key, asdict(found))
    return found


def _is_later(lake: Lake, newest: str, manifest: str, key: str) -> bool:
    """Whether the newest manifest is another one than what is remembered under `key`, and was written later."""
    return newest != manifest and lake.changed(newest) > lake.changed(key)


def save_state(lake: Lake, last: SourceState | None, name: str, manifest: str, run: str) -> SourceState:
    """Keep the state of a source after a pull. A task that runs again within its run keeps what was before the run.

    Of two runs that pull one source at once, the last may win. Each writes a version whose manifest the lake holds, and
    compares it with the state that it loaded itself, as its own record says. Where the older version wins, the next
    pull keeps the current one again.

    Args:
        lake: The lake.
        last: What `load_state` gave before the pull.
        name: The source.
        manifest: Key of the manifest that was pulled.
        run: Id of the run.

    Returns:
        The state that is kept.
    """
    again = last is not None and last.manifest == manifest and last.run in (run, FOUND)
    before = None if last is None else last.before if again else last.manifest
    state = SourceState(manifest, before, run)
    lake.put_json(state_key(name), asdict(state))
    return state


def removed_paths(lake: Lake, manifest: str, before: str | None) -> list[str]:
    """Paths of the images that a source published in the run before and publishes no more, by their bytes."""
    if before in (None, manifest) or not lake.exists(str(before)):
        return []
    old, new = (lake.get_table(key, columns=["path", "sha256"]) for key in (str(before), manifest))
    return sorted(old.loc[old["sha256"].notna() & ~old["sha256"].isin(new["sha256"].dropna()), "path"])


def manifests_of(name: str) -> str:
    """Where the lake has the manifests of a source's versions."""
    return f"manifests/v{VERSION}/{name}/"


def notes_key(manifest: str) -> str:
    """Where the lake has the notes on what a manifest lists."""
    return manifest.replace("manifests/", "notes/", 1).replace(".parquet", ".json")


def read_notes(lake: Lake, manifest: str) -> list[Note]:
    """Notes on the source of a manifest; none of one from before there were notes."""
    key = notes_key(manifest)
    return [Note.model_validate(note) for note in lake.get_json(key)] if lake.exists(key) else []


def ingest(settings: Settings, lake: Lake, source: Source) -> tuple[str, dict[str, int]]:
    """Pull a source.

    The manifest is written last, after the notes. So a pull that was killed is started again and uploads only what the
    lake lacks. A version that has its manifest is not pulled. Ids of patients and studies are stored as pseudonyms.

    Args:
        settings: Number of threads, folder of downloads, and the key of pseudonyms.
        lake: The lake.
        source: The source.

    Returns:
        Key of the manifest, and counts (`files`, `uploaded`, `refused`).

    Raises:
        SourceError: The source cannot be read. The lake then has no new manifest.
        ConfigurationError: The key of pseudonyms is not the lake's.
    """
    from osteon.schemas import Manifest, check

    config = source.config
    with during(f"asking source {config.name} for its version"):
        version = source.latest_version()
    names = Pseudonyms(config.name, patient_key(settings, lake)) if config.names_patients else None
    key = f"{manifests_of(config.name)}{version}.parquet"
    if lake.exists(key):
        return key, _counts(lake.get_table(key), uploaded=0)

    seen, notes, lock = set[str](), list[Note](), threading.Lock()

    def keep(file: PublishedFile | Note) -> tuple[dict[str, object], bool] | None:
        if isinstance(file, Note):
            with lock:
                notes.append(file)
            return None
        with during(f"keeping {file.path} of source {config.name}"):
            return keep_file(file)

    def keep_file(file: PublishedFile) -> tuple[dict[str, object], bool]:
        digest, uploaded = None, False
        if file.data is not None:
            digest = hashlib.sha256(file.data).hexdigest()
            with lock:
                first = digest not in seen
                seen.add(digest)
            uploaded = first and lake.put_missing(image_key(digest), file.data)
        return {
            "source": config.name,
            "source_version": version,
            "licence": config.licence,
            "attribution": config.attribution,
            "path": file.path,
            "claims_image": file.reason not in NO_IMAGE,
            "sha256": digest,
            "bytes": None if file.data is None else len(file.data),
            "raw_label": file.raw_label,
            "raw_split": file.raw_split,
            "patient": names.patient(file) if names else None,
            "study": names.study(file) if names else None,
            "reason": file.reason,
            "content": file.content,
        }, uploaded

    with during(f"reading source {config.name}"):
        files = source.fetch(version)
        done = parallel(keep, files, workers=settings.upload_workers, title=f"ingest {config.name}")
    kept = [file for file in done if file is not None]
    rows = pd.DataFrame([row for row, _ in kept]).sort_values("path", ignore_index=True)
    manifest = check(rows, Manifest, key)
    notes.sort(key=lambda note: (note.kind, note.subject, note.text))
    lake.put_json(notes_key(key), [note.model_dump() for note in notes])
    lake.put_table(key, manifest)
    shutil.rmtree(settings.state_dir / "downloads" / config.name, ignore_errors=True)
    return key, _counts(manifest, uploaded=sum(uploaded for _, uploaded in kept))


def _counts(manifest: pd.DataFrame, uploaded: int) -> dict[str, int]:
    images = manifest[manifest["claims_image"]]
    return {"files": len(images), "uploaded": uploaded, "refused": int(images["sha256"].isna().sum())}
