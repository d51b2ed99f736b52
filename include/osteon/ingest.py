"""Bring one source's current version into the lake, and leave a manifest of every file it published."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache

import pandas as pd

from osteon.errors import RetryableError, during
from osteon.lake import Lake, image_key
from osteon.progress import parallel
from osteon.pseudonyms import Pseudonyms, patient_key
from osteon.settings import Settings, StateSettings
from osteon.sources.base import NO_IMAGE, PublishedFile, Source, SourceConfig
from osteon.sources.dicom import admitted, is_named_as_dicom
from osteon.sources.discretion import parts_of, shown, without_names, without_personal_names
from osteon.sources.notes import Note
from osteon.sources.rules.personal import is_personal

VERSION = 3
"""Of manifests. Those from before `patient` and `study` lack the two and stay good: a rule for ids makes another
version of its source."""
DICOM_SHARE = 0.1
"""Of the images of a source or a folder: with so many DICOM files, all its names are hashed."""
PERSONAL = "seem to hold data of a person: the lake has keyed hashes of them; rename the files at the source"
"""What is said of files whose names look like those of people."""


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
    names = cache(lambda: Pseudonyms(config.name, patient_key(settings, lake)))
    if config.names_patients:
        names()  # a key that is lost is noticed before anything is pulled
    key = f"{manifests_of(config.name)}{version}.parquet"
    if lake.exists(key):
        return key, _counts(lake.get_table(key), uploaded=0)

    seen, notes, lock = set[str](), list[Note](), threading.Lock()

    def keep(file: PublishedFile | Note) -> tuple[dict[str, object], bool] | None:
        if isinstance(file, Note):
            with lock:
                notes.append(file)
            return None
        with during(f"keeping {shown(file.path, config.hides_paths)} of source {config.name}"):
            return keep_file(admitted(file, settings.max_pixels, config.blanks_text))

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
            "patient": names().patient(file) if config.names_patients else None,
            "study": names().study(file) if config.names_patients else None,
            "reason": file.reason,
            "content": file.content,
            "published_sha256": file.published_sha256,
            "dicom": None if file.tags is None else json.dumps(file.tags, sort_keys=True),
        }, uploaded

    try:
        with during(f"reading source {config.name}"):
            files = source.fetch(version)
            done = parallel(keep, files, workers=settings.upload_workers, title=f"ingest {config.name}")
    except Exception as error:
        if not isinstance(error, RetryableError):  # the next try would read the same bytes
            _forget_downloads(settings, config.name)
        raise
    kept = [file for file in done if file is not None]
    rows, notes = _without_names(pd.DataFrame([row for row, _ in kept]), notes, config, names)
    manifest = check(rows.sort_values("path", ignore_index=True), Manifest, key)
    notes.sort(key=lambda note: (note.kind, note.subject, note.text))
    lake.put_json(notes_key(key), [note.model_dump() for note in notes])
    lake.put_table(key, manifest)
    _forget_downloads(settings, config.name)
    return key, _counts(manifest, uploaded=sum(uploaded for _, uploaded in kept))


def _forget_downloads(settings: StateSettings, name: str) -> None:
    shutil.rmtree(settings.state_dir / "downloads" / name, ignore_errors=True)


def _without_names(
    rows: pd.DataFrame, notes: list[Note], config: SourceConfig, names: Callable[[], Pseudonyms]
) -> tuple[pd.DataFrame, list[Note]]:
    """Rows and notes with keyed hashes in the place of names that may be those of people.

    All names are hashed of a source, or of a folder, of DICOM files, and of a source that has `hides_paths`. Of others
    those of DICOM files are, and those that seem to hold data of a person. The reason of such a file also tells its
    place in the order of the source's files.
    """
    personal = rows["path"].map(lambda path: any(map(is_personal, parts_of(path))))
    of_dicom = _of_dicom(rows, config)
    if not of_dicom.any() and not personal.any():
        return rows, notes
    paths, whole = list(rows["path"]), set(rows.loc[of_dicom, "path"])
    hidden = {path: names().path(path, _always if path in whole else is_personal) for path in paths}

    def reason(path: str, told: str | None, place: int) -> str | None:
        if told is None or told in NO_IMAGE or hidden[path] == path:
            return told
        return f"{_replaced(str(told), path, hidden[path])} (file {place} of the source)"

    reasons = [reason(*row) for row in zip(paths, rows["reason"], range(1, len(rows) + 1), strict=True)]
    rows = rows.assign(path=[hidden[path] for path in paths], reason=pd.Series(reasons, rows.index, "string"))
    notes = [_discreet_note(note, config, hidden, whole) for note in notes]
    if personal.any() and not any(note.kind == "personal_name" for note in notes):
        notes.append(Note(kind="personal_name", subject="names of files", text=PERSONAL, count=int(personal.sum())))
    return rows, notes


def _always(part: str) -> bool:  # noqa: ARG001 - as `is_personal` is called
    return True


def _of_dicom(rows: pd.DataFrame, config: SourceConfig) -> pd.Series[bool]:
    """Which files are DICOM, or lie in a folder or a source of which DICOM_SHARE of the images are."""
    is_dicom = rows["dicom"].notna() | rows["path"].map(is_named_as_dicom).astype(bool)
    is_image = rows["claims_image"].astype(bool) | is_dicom
    if config.hides_paths or is_dicom.sum() >= DICOM_SHARE * is_image.sum() > 0:
        return pd.Series(True, rows.index)
    folders = rows["path"].str.rpartition("/")[0]
    counts = is_image.astype(float).groupby(folders).sum().clip(lower=1)
    share = is_dicom.astype(float).groupby(folders).sum() / counts
    return is_dicom | (folders.map(share) >= DICOM_SHARE)


def _replaced(text: str, path: str, hidden: str) -> str:
    """A text with the hashed names in the place of a path, its file and its folders."""
    pairs = [(path, hidden), *zip(path.split("/"), hidden.split("/"), strict=True)]
    for old, new in sorted(pairs, key=lambda pair: -len(pair[0])):
        for written in {old, repr(old)[1:-1], ascii(old)[1:-1]} - {""}:
            text = text.replace(written, new)
    return text


def _discreet_note(note: Note, config: SourceConfig, hidden: dict[str, str], whole: set[str]) -> Note:
    if len(whole) == len(hidden):
        told = [without_names(text, config.model_dump_json(), hidden) for text in (note.subject, note.text)]
    else:
        told = [without_personal_names(text, hidden) for text in (note.subject, note.text)]
        for path in whole:
            told = [_replaced(text, path.rpartition("/")[2], hidden[path].rpartition("/")[2]) for text in told]
    return note.model_copy(update={"subject": hidden.get(note.subject, told[0]), "text": told[1]})


def _counts(manifest: pd.DataFrame, uploaded: int) -> dict[str, int]:
    images = manifest[manifest["claims_image"]]
    return {"files": len(images), "uploaded": uploaded, "refused": int(images["sha256"].isna().sum())}
