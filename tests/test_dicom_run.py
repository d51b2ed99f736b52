"""A DICOM study from ingest to split: it is labelled and read, and nothing of the people in it is kept anywhere."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydicom import uid

from osteon import catalog as catalogs
from osteon.curation.catalogue import read_manifests
from osteon.errors import QualityError
from osteon.images.decode import decode
from osteon.ingest import ingest, read_notes
from osteon.lake import Lake
from osteon.notify.mails import quality_mail
from osteon.pipeline.context import Context
from osteon.pipeline.stages import GATE, REPORT, VALIDATE, run_stage
from osteon.quality.findings import Finding, read_validation
from osteon.records import ReviewRecord, SplitRecord
from osteon.settings import ROOT, Settings
from osteon.sources.config import open_source
from tests.dicoms import SECRETS, STUDY, dicom, directory, header, written
from tests.notifier import RecordingNotifier
from tests.pictures import encode, film
from tests.runs import ingested, record_of, run_to_split

PEOPLE = {"PX-7734109": "Quillfeather^Hildegunde^Theres", "PX-7734222": "Vandersmissen^Aloysia"}
PARTS = ("HAND", "WRIST", "KNEE")
HIDDEN = (*SECRETS, "PX-7734222", "QUILLFEATHER", "VANDERSMISSEN", STUDY)


def study() -> dict[str, bytes]:
    """Films of two patients, in folders that name them, with files of each kind that is left out."""
    files = {}
    for number, (patient, name) in enumerate(PEOPLE.items()):
        for film_number in range(3):
            seed = 10 * number + film_number
            stored = film(seed).astype(np.uint16) * 16
            syntax = (uid.ExplicitVRLittleEndian, uid.JPEG2000Lossless, uid.RLELossless)[film_number]
            ending = (".dcm", "", ".jpg")[film_number]
            place = f"{name.split('^')[0]}_{patient}/19510817/IM{seed:04}{ending}"
            files[place] = dicom(
                stored,
                syntax,
                PatientID=patient,
                PatientName=name,
                StudyInstanceUID=f"{STUDY}.{number}",
                SeriesInstanceUID=f"{STUDY}.{number}.1",
                BodyPartExamined=PARTS[film_number],
                WindowCenter=2048,
                WindowWidth=4096,
            )
    folder = "Quillfeather_PX-7734109/other"
    files[f"{folder}/Hildegunde report.dcm"] = written(header(SOPClassUID=uid.ComprehensiveSRStorage, Modality="SR"))
    files[f"{folder}/Hildegunde ct.dcm"] = dicom(film(50).astype(np.uint16), Modality="CT")
    files[f"{folder}/Hildegunde cut.dcm"] = dicom(film(51).astype(np.uint16))[:-30_000]
    files[f"{folder}/letter to Obermayrhofer.txt"] = b"Dear Leopold"
    return files


@pytest.fixture(params=["folder", "zip"])
def entry(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    """The entry that `docs/dicom.md` shows, for the study as a folder, or as a zip. Both have the medium's DICOMDIR."""
    files, location = study(), tmp_path / "in" / "study"
    listed = {path: data for path, data in files.items() if "IM0" in path}
    files["DICOMDIR"] = directory(listed, tmp_path / "medium")
    assert b"Quillfeather" in files["DICOMDIR"]
    if request.param == "folder":
        for path, data in files.items():
            (location / path).parent.mkdir(parents=True, exist_ok=True)
            (location / path).write_bytes(data)
    else:
        location = location.with_suffix(".zip")
        location.parent.mkdir()
        with zipfile.ZipFile(location, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, data in files.items():
                archive.writestr(path, data)
    page = (ROOT / "docs" / "dicom.md").read_text()
    shown = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0])
    return {**shown["sources"][0], "name": "s", "location": str(location)}


@pytest.fixture
def sources(entry: dict[str, object], tmp_path: Path) -> Path:
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({"sources": [entry]}))
    return path


def validated(context: Context, lake: Lake, sources: Path) -> list[Finding]:
    """What the checks find in a run; their mail is written, too."""
    catalog, manifests = record_of(context, ReviewRecord).catalog, [ingested(context).result]
    record = run_stage(VALIDATE, context, catalog=catalog, manifests=manifests, sources=str(sources))
    with pytest.raises(QualityError):  # the set is too small
        run_stage(GATE, context, validation=record.validation, sources=str(sources))
    return read_validation(lake, record.validation).findings


def mails(context: Context) -> str:
    """The mails of a run whose notifier keeps them."""
    assert isinstance(context.notifier, RecordingNotifier) and context.notifier.alerts
    composed = [quality_mail(alert, "one", {}) for alert in context.notifier.alerts]
    return "".join(f"{mail.subject}\n{mail.text}\n{mail.html}" for mail in composed)


def forms(secret: str) -> Iterator[bytes]:
    """How a word may be written: as text, in UTF-16, in other case, or as a hash that needs no key."""
    for word in {secret, secret.lower(), secret.upper()}:
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            yield word.encode(encoding)
    for algorithm in ("md5", "sha1", "sha256"):
        digest = hashlib.new(algorithm, secret.encode()).hexdigest()
        yield digest[:16].encode()
        yield bytes.fromhex(digest)[:8]


def leaks(places: dict[str, bytes]) -> list[tuple[str, bytes]]:
    # words as short as a part of a number would be found by chance in compressed pixels
    wanted = [form for secret in HIDDEN for form in forms(secret) if len(form) > 5]
    return [(place, form) for place, data in places.items() for form in wanted if form in data]


def everything(lake: Lake, settings: Settings, log: str) -> dict[str, bytes]:
    """All that a run leaves: the lake with its keys, the state folder, and the log. Tables also as text."""
    own = [key for key in lake.keys("") if "/docs/static/" not in key]  # style and scripts, the same in every run
    found = {key: key.encode() + lake.get_bytes(key) for key in own}
    found |= {f"{key} as text": lake.get_table(key).to_csv().encode() for key in found if key.endswith(".parquet")}
    state = settings.state_dir
    found |= {str(path): path.name.encode() + path.read_bytes() for path in state.rglob("*") if path.is_file()}
    return found | {"log": log.encode()}


def test_nothing_of_the_people_is_left_anywhere(
    environment: dict[str, str], settings: Settings, lake: Lake, sources: Path, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    context = replace(run_to_split("one", sources), notifier=RecordingNotifier())
    assert {"unusable_images", "enough_images"} <= {one.check for one in validated(context, lake, sources)}
    run_stage(REPORT, context)
    said = caplog.text + "".join(capfd.readouterr()) + mails(context)
    places = everything(lake, settings, said)
    assert len(places) > 30 and not leaks(places)
    assert leaks({"the study itself": b"".join(study().values())}), "the search finds what is there"

    rows = read_manifests(lake, [ingested(context).result])
    films = rows[rows["sha256"].notna()]
    assert len(films) == 6 and ingested(context).refused == 3
    assert sorted(films["raw_label"]) == sorted(f"{part}|normal" for part in PARTS for _ in PEOPLE)
    assert (
        films["patient"].nunique() == 2 and films["study"].nunique() == 2 and films["published_sha256"].nunique() == 6
    )
    assert films["path"].str.fullmatch(r"[0-9a-f]{16}/[0-9a-f]{16}/[0-9a-f]{16}(\.dcm|\.jpg)?").all()
    assert films["path"].str.split("/").str[0].nunique() == 2, "a folder has one hash"
    assert json.loads(films["dicom"].iloc[0])["Modality"] == "CR"
    reasons = " ".join(rows.loc[rows["claims_image"] & rows["sha256"].isna(), "reason"])
    assert "modality CT" in reasons and "without pixels" in reasons and "damaged" in reasons and "(file " in reasons
    assert [note.kind for note in read_notes(lake, ingested(context).result)].count("personal_name") <= 1

    drawn = {film(seed).tobytes(): seed for seed in (0, 1, 2, 10, 11, 12)}
    found = [decode(lake.get_image(digest), 10**7).pixels for digest in films["sha256"]]
    for pixels in found:
        best = min(np.abs(pixels.astype(float) - np.frombuffer(one, np.uint8).reshape(pixels.shape)).mean()
                   for one in drawn if len(one) == pixels.size)  # fmt: skip
        assert best < 1
    snapshot = catalogs.read(lake, record_of(context, SplitRecord).catalog)
    by_patient = snapshot[snapshot["split"].notna()].groupby("patient")["split"].nunique()
    assert len(by_patient) and (by_patient == 1).all()


def test_a_path_s_hash_needs_the_key(lake: Lake, settings: Settings, sources: Path, entry: dict[str, object]) -> None:
    source = open_source(sources, settings, "s")
    key, _ = ingest(settings, lake, source)
    paths = lake.get_table(key)["path"]
    secret = (settings.state_dir / "patient.key").read_text().strip().encode()
    name = "Quillfeather_PX-7734109"
    known = hmac.new(secret, json.dumps(["s", "name", name]).encode(), hashlib.sha256).hexdigest()[:16]
    assert (paths.str.split("/").str[0] == known).any()


def test_a_few_dicom_files_hide_no_names_but_their_own(settings: Settings, lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    for place in [*(f"set/f{number:02}.jpg" for number in range(30)), "Quillfeather/a.jpg"]:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(encode(film(len(place))))
    for place in ("set/Hildegunde.dcm", "Quillfeather/b"):
        (folder / place).write_bytes(dicom(film(7).astype(np.uint16) * 16))
    labels = {"part": {"constant": "hand"}}
    entry = {"name": "few", "kind": "archive", "licence": "CC0-1.0", "location": str(folder), "labels": labels}
    (tmp_path / "few.yaml").write_text(yaml.safe_dump({"sources": [entry]}))
    key, _ = ingest(settings, lake, open_source(tmp_path / "few.yaml", settings, "few"))
    paths = lake.get_table(key)["path"]
    hashed = paths[paths.str.fullmatch(r"[0-9a-f]{16}/[0-9a-f]{16}(\.jpg|\.dcm)?")]
    assert len(hashed) == 3, "the folder of which half is DICOM, and the one DICOM file of the other"
    assert sorted(set(paths) - set(hashed)) == [f"set/f{number:02}.jpg" for number in range(30)]


def test_text_on_a_dicom_film_is_a_warning(
    environment: dict[str, str], settings: Settings, lake: Lake, tmp_path: Path
) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(4):
        flag = "YES" if number == 0 else "NO"
        (folder / f"{number}.dcm").write_bytes(dicom(film(number).astype(np.uint16) * 16, BurnedInAnnotation=flag))
    entry = {"name": "s", "kind": "archive", "licence": "CC0-1.0", "location": str(folder)}
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({"sources": [{**entry, "labels": {"part": {"constant": "hand"}}}]}))
    context = run_to_split("text", path)
    found = {one.check: one for one in validated(context, lake, path)}
    assert found["burnt_in_text_on_dicom"].severity == "warning" and "1 film" in found["burnt_in_text_on_dicom"].message
