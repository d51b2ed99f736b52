"""Patients and studies: what the lake is told of them, and the key that it depends on."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import SecretStr

from osteon import catalog as catalogs
from osteon.curation.catalogue import catalogue
from osteon.errors import ConfigurationError
from osteon.ingest import ingest, manifests_of, notes_key, read_notes
from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.pipeline.context import Context
from osteon.pipeline.stages import INGEST, LIST_SOURCES, REPORT, run_stage
from osteon.pseudonyms import CHECK, FILE, find_key, patient_key
from osteon.reports.patients import patient_line
from osteon.reports.summary import Summary, summary_key
from osteon.settings import ROOT, Settings
from osteon.sources.archive import ArchiveConfig
from osteon.sources.config import read_sources_file
from tests.pictures import encode, radiograph
from tests.runs import run_to_split
from tests.test_ingest import sources_file

RULES = {"part": {"constant": "hand"}, "patient": {"folder": 0}, "study": {"folder": 1}}
FILMS = ("ann-lee/study1/a.jpg", "ann-lee/study1/b.jpg", "ann-lee/study2/a.jpg", "bob-ray/study1/a.jpg", "c.jpg")
GIVEN = "a key that nobody guesses"

Pull = Callable[..., pd.DataFrame]


def put_films(folder: Path, paths: tuple[str, ...]) -> None:
    for number, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(encode(radiograph(number, size=(60, 64))))


def elsewhere(settings: Settings, name: str) -> Settings:
    """The same lake as another machine sees it."""
    return settings.model_copy(update={"state_dir": settings.state_dir.with_name(name)})


def content(lake: Lake) -> dict[str, bytes]:
    return {key: lake.get_bytes(key) for key in lake.keys("")}


@pytest.fixture
def films(tmp_path: Path) -> Path:
    put_films(tmp_path / "films", FILMS)
    return tmp_path / "films"


@pytest.fixture
def pull(settings: Settings, lake: Lake, films: Path) -> Pull:
    """Pull the films as a source; gives its manifest by path."""

    def run(used: Settings = settings, name: str = "s", rules: dict[str, Any] = RULES) -> pd.DataFrame:
        entry = {"name": name, "kind": "archive", "licence": "CC0-1.0", "location": str(films), "labels": rules}
        key, _ = ingest(used, lake, ArchiveConfig.model_validate(entry).open(used, films))
        return lake.get_table(key).set_index("path")

    return run


def test_films_of_one_patient_have_one_pseudonym_and_each_patients_study_its_own(pull: Pull) -> None:
    manifest = pull()
    patients = manifest["patient"]
    assert patients[list(FILMS[:3])].nunique() == 1 and patients.nunique() == 2
    assert patients.str.fullmatch(r"[0-9a-f]{16}").dropna().all() and pd.isna(patients["c.jpg"])
    studies = manifest["study"]
    assert studies[FILMS[0]] == studies[FILMS[1]] and studies.nunique() == 3, "study1 is one of each patient"
    assert pd.isna(studies["c.jpg"]) and not set(studies) & set(patients.dropna())


def test_a_publishers_id_is_in_neither_column(pull: Pull) -> None:
    told = pull()[["patient", "study"]].to_csv(index=False)
    assert not any(word in told for word in ("ann", "bob", "study1", "study2"))


def test_a_pseudonym_is_the_same_in_the_next_version_and_another_in_another_source(pull: Pull, films: Path) -> None:
    first = pull()
    put_films(films, ("ann-lee/study3/c.jpg",))
    second, other = pull(), pull(name="t")
    for column in ("patient", "study"):
        pd.testing.assert_series_equal(second.loc[list(FILMS), column], first.loc[list(FILMS), column])
        assert not set(second[column].dropna()) & set(other[column].dropna())
    assert second["patient"]["ann-lee/study3/c.jpg"] == first["patient"][FILMS[0]]


def test_a_study_may_be_left_out(pull: Pull) -> None:
    manifest = pull(rules={"part": {"constant": "hand"}, "patient": {"folder": 0}})
    assert manifest["patient"].notna().sum() == 4 and manifest["study"].isna().all()


def test_a_source_that_names_no_patient_needs_no_key(pull: Pull, settings: Settings, lake: Lake) -> None:
    manifest = pull(rules={"part": {"constant": "hand"}})
    assert manifest[["patient", "study"]].isna().all(axis=None)
    assert not lake.exists(CHECK) and not (settings.state_dir / FILE).exists()


def test_the_key_is_made_once_for_its_owner_only_and_never_reaches_the_lake(
    pull: Pull, settings: Settings, lake: Lake
) -> None:
    pull()
    place = settings.state_dir / FILE
    key = place.read_text().strip()
    assert stat.S_IMODE(place.stat().st_mode) == 0o600 and len(key) == 64
    assert not any(key.encode() in data for data in content(lake).values())
    assert find_key(settings, lake) == patient_key(settings, lake) == key.encode()
    assert [path.name for path in settings.state_dir.glob(f"{FILE}*")] == [FILE], "no draft stays"


def test_a_key_that_is_given_is_used_and_no_file_is_made(pull: Pull, settings: Settings) -> None:
    given = settings.model_copy(update={"patient_key": SecretStr(GIVEN)})
    manifest = pull(given)
    assert not (settings.state_dir / FILE).exists()
    settings.state_dir.mkdir(exist_ok=True)
    (settings.state_dir / FILE).write_text(f"{GIVEN}\n")
    pd.testing.assert_frame_equal(pull(), manifest)
    assert GIVEN not in repr(given)


def test_a_lost_key_is_told_with_its_remedy_and_the_lake_stays_as_it_was(
    pull: Pull, settings: Settings, lake: Lake, films: Path
) -> None:
    pull()
    before = content(lake)
    put_films(films, ("eve/study1/a.jpg",))
    other = elsewhere(settings, "other")
    with pytest.raises(ConfigurationError, match=r"is lost.*Put the old key into OSTEON_PATIENT_KEY") as caught:
        pull(other)
    assert f"remove {CHECK}" in str(caught.value) and "not recognised" in str(caught.value)
    assert content(lake) == before and not (other.state_dir / FILE).exists()


def test_a_changed_key_is_told_with_its_remedy_and_the_lake_stays_as_it_was(
    pull: Pull, settings: Settings, lake: Lake
) -> None:
    pull()
    before = content(lake)
    changed = settings.model_copy(update={"patient_key": SecretStr(GIVEN)})
    with pytest.raises(ConfigurationError, match=r"has changed: OSTEON_PATIENT_KEY holds another one") as caught:
        pull(changed)
    assert "Put the old key into" in str(caught.value) and GIVEN not in str(caught.value)
    assert content(lake) == before


def test_who_has_lost_the_key_for_good_removes_its_check_value_and_gets_another(
    pull: Pull, settings: Settings, lake: Lake, films: Path
) -> None:
    first = pull()
    lake.remove(CHECK)
    put_films(films, ("eve/study1/a.jpg",))
    second = pull(elsewhere(settings, "other"))
    assert not set(first["patient"].dropna()) & set(second["patient"].dropna())


@pytest.mark.parametrize("short", ["x", "fifteen letters"])
def test_a_key_that_can_be_guessed_is_refused(pull: Pull, settings: Settings, lake: Lake, short: str) -> None:
    with pytest.raises(ConfigurationError, match=r"OSTEON_PATIENT_KEY has fewer than 16 characters.*openssl"):
        pull(settings.model_copy(update={"patient_key": SecretStr(short)}))
    assert not content(lake)


def race(machines: list[Settings]) -> list[bytes | ConfigurationError]:
    """Ask for the key of a new lake from all machines at the same moment."""
    start = threading.Barrier(len(machines))

    def ask(machine: Settings) -> bytes | ConfigurationError:
        lake = Lake.from_settings(machine)
        start.wait()
        try:
            return patient_key(machine, lake)
        except ConfigurationError as error:
            return error

    with ThreadPoolExecutor(len(machines)) as pool:
        return list(pool.map(ask, machines))


def test_workers_that_start_at_once_on_one_machine_have_one_key(settings: Settings, lake: Lake) -> None:
    keys = race([settings] * 8)
    assert set(keys) == {patient_key(settings, lake)}


def test_of_machines_that_start_at_once_one_makes_the_key_and_the_others_keep_none(
    settings: Settings, lake: Lake
) -> None:
    machines = [elsewhere(settings, f"machine-{number}") for number in range(8)]
    keys = race(machines)
    (winner,) = [place for place, key in enumerate(keys) if isinstance(key, bytes)]
    assert [machine for machine in machines if (machine.state_dir / FILE).exists()] == [machines[winner]]
    refused = [str(key) for key in keys if not isinstance(key, bytes)]
    assert len(refused) == 7 and all("several machines need the same one" in text for text in refused)
    assert patient_key(machines[winner], lake) == keys[winner]


def test_a_run_whose_key_is_lost_goes_on_with_the_last_good_version_and_says_why(
    environment: dict[str, str], films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = sources_file(tmp_path, films)
    sources.write_text(sources.read_text().replace("part:", "patient: {folder: 0}\n    part:"))
    good = run_stage(INGEST, Context.open("good"), source="s", sources=str(sources)).manifest
    put_films(films, ("eve/study1/a.jpg",))
    monkeypatch.setenv("OSTEON_STATE_DIR", str(tmp_path / "other"))
    lost = Context.open("lost")
    run_stage(LIST_SOURCES, lost, sources=str(sources))
    record = run_stage(INGEST, lost, source="s", sources=str(sources))
    assert record.manifest == good and "OSTEON_PATIENT_KEY" in str(record.problem)


def test_the_report_says_how_many_patients_a_source_names_and_for_which_films_none(
    environment: dict[str, str], lake: Lake, films: Path, tmp_path: Path
) -> None:
    sources = sources_file(tmp_path, films)
    sources.write_text(sources.read_text().replace("part:", "patient: {folder: 0}\n    part:"))
    context = run_to_split("run", sources)
    page = lake.get_bytes(run_stage(REPORT, context).page).decode()
    summary = lake.find_model(Summary, summary_key(context.run))
    assert summary is not None and summary.patients == {"s": 2} and summary.without_patient == {"s": 1}
    assert "patients are unknown for s (1 of its images)." in page and patient_line(summary) in page


def test_what_is_wrong_with_a_table_of_patients_is_told_without_an_id(pull: Pull, films: Path, lake: Lake) -> None:
    (films / "people.csv").write_text("file,who\nc.jpg,carl-eins\nc.jpg,dora-zwei\n")
    rules = {"patient": {"csv": {"file": "people.csv", "key": "file", "column": "who"}}}
    pull(rules=rules)
    (key,) = lake.keys(manifests_of("s"))
    assert lake.get_table(key)["patient"].isna().all(), "a film of two patients has none"
    (note,) = [note for note in read_notes(lake, key) if note.kind == "contradiction"]
    assert note.subject == "c.jpg" and "several patient ids" in note.text
    notes = lake.get_bytes(notes_key(key)).decode()
    assert "carl" not in notes and "dora" not in notes, notes


def test_mura_names_its_patients_and_their_studies(settings: Settings, lake: Lake, tmp_path: Path) -> None:
    (mura,) = [entry for entry in read_sources_file(ROOT / "config" / "sources.yaml").sources if entry.name == "mura"]
    assert isinstance(mura, ArchiveConfig)
    hand, wrist = "train/XR_HAND/patient00001", "valid/XR_WRIST/patient00002"
    paths = (
        f"{hand}/study1_positive/image1.png",
        f"{hand}/study1_positive/image2.png",
        f"{hand}/study2_negative/image1.png",
        f"{wrist}/study1_negative/image1.png",
    )
    put_films(tmp_path, tuple(f"MURA-v1.1/{path}" for path in paths))
    source = mura.model_copy(update={"location": str(tmp_path)}).open(settings, tmp_path)
    key, counts = ingest(settings, lake, source)
    assert counts["files"] == 4
    manifest = lake.get_table(key).set_index("path").rename(index=lambda path: path.removeprefix("MURA-v1.1/"))
    patients, studies = manifest.loc[list(paths), "patient"], manifest.loc[list(paths), "study"]
    assert list(pd.factorize(patients)[0]) == [0, 0, 0, 1] and list(pd.factorize(studies)[0]) == [0, 0, 1, 2]
    key, _ = catalogue(lake, load_labels(settings.labels_file), [key])
    catalog = catalogs.read(lake, key)
    assert set(catalog["patient"]) == set(patients) and set(catalog["study"]) == set(studies)
