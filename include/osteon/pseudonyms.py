"""Pseudonyms of patients and studies: keyed hashes, so that a publisher's ids are not kept in the lake.

One key serves a lake. It comes from OSTEON_PATIENT_KEY, or from a file that is made on first use. The lake holds a
check value of it and never the key, so a key that was lost or changed is noticed before anything is stored.

Paths are stored as published, unless they may name a person: those of DICOM sources, and names with personal data. Of
those the lake keeps keyed hashes. A data set like MURA names a folder by the patient. Such ids are the public data
set's own pseudonyms, and are kept.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from osteon.errors import ConfigurationError
from osteon.lake import Lake
from osteon.settings import PatientSettings, StateSettings
from osteon.sources.base import IMAGE_SUFFIXES, PublishedFile

CHECK = "history/patient-key.json"
"""Where the lake has the key's check value."""
FILE = "patient.key"
"""Of `state_dir`: the key, where no setting gives it."""
MIN_KEY_LENGTH = 16
"""Characters of a key: with a shorter one, whoever sees the check value could guess it."""
PSEUDONYM_DIGITS = 16
"""Of a pseudonym. Two of a million patients share one with a chance of 3 in 100 million."""
ANEW = (
    f"If it is gone for good, remove {CHECK} from the lake, and the next pull takes a new key. Patients of earlier "
    "weeks are then not recognised, and new films of theirs may come into another split"
)


@dataclass(frozen=True)
class Pseudonyms:
    """Names for the patients and studies of one source.

    The same id has the same pseudonym in every version of a source, and another one in another source.
    """

    source: str
    key: bytes = field(repr=False)

    def patient(self, file: PublishedFile) -> str | None:
        """16 hex digits, or None of a file whose patient is not named."""
        return self._hash("patient", file.patient) if file.patient else None

    def study(self, file: PublishedFile) -> str | None:
        """16 hex digits over patient and study, as each patient may have a `study1`; None where either is not named."""
        return self._hash("study", file.patient, file.study) if file.patient and file.study else None

    def path(self, path: str, hides: Callable[[str], bool]) -> str:
        """The path with some names as keyed hashes. A name has one hash in all paths; known endings stay.

        Args:
            path: With `/`.
            hides: Whether the name of a file or a folder is to be hashed.
        """
        return "/".join(self._name(part) if hides(part) else part for part in path.split("/"))

    def _name(self, part: str) -> str:
        ending = PurePosixPath(part).suffix
        ending = ending if ending.lower() in IMAGE_SUFFIXES else ""
        return self._hash("name", part.removesuffix(ending)) + ending

    def _hash(self, *words: str) -> str:
        return _mac(self.key, self.source, *words)[:PSEUDONYM_DIGITS]


def patient_key(settings: PatientSettings, lake: Lake) -> bytes:
    """The lake's key. The first call makes it, where no setting gives it, and leaves its check value in the lake.

    Raises:
        ConfigurationError: The key is too short, lost, or not the lake's. The lake then stays as it was.
    """
    key, made = find_key(settings, lake), False
    if key is None:
        made = _make(_key_file(settings))
        key = _read(settings)
    if key is None:  # made here, and removed by a thread that came second to another machine
        raise _wrong(settings, key)
    lake.put_new(CHECK, json.dumps({"check": _check(key)}).encode(), "application/json")
    if _is_of(lake, key):
        return key
    if made:  # another machine was first, and its key is the lake's
        _key_file(settings).unlink(missing_ok=True)
    raise _wrong(settings, _read(settings))


def find_key(settings: PatientSettings, lake: Lake) -> bytes | None:
    """The lake's key, or None where none was made yet. Changes nothing. Raises as `patient_key` does."""
    used = lake.exists(CHECK)  # first, as whoever makes a key writes its file before the check value
    key = _read(settings)
    if used and not (key and _is_of(lake, key)):
        raise _wrong(settings, key)
    return key


def _is_of(lake: Lake, key: bytes) -> bool:
    return hmac.compare_digest(str(lake.get_json(CHECK)["check"]), _check(key))


def _check(key: bytes) -> str:
    return _mac(key, "check")


def _mac(key: bytes, *words: str) -> str:
    return hmac.new(key, json.dumps(words).encode(), hashlib.sha256).hexdigest()


def _key_file(settings: StateSettings) -> Path:
    return settings.state_dir / FILE


def _where(settings: PatientSettings) -> str:
    return "OSTEON_PATIENT_KEY" if settings.patient_key.get_secret_value() else str(_key_file(settings))


def _read(settings: PatientSettings) -> bytes | None:
    """The key of the setting, or else of the file."""
    text = settings.patient_key.get_secret_value()
    try:
        text = (text or _key_file(settings).read_text()).strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the key of patients' pseudonyms, {_key_file(settings)}, cannot be read ({error}): let it be read, or set "
            "OSTEON_PATIENT_KEY"
        ) from error
    if len(text) < MIN_KEY_LENGTH:
        raise ConfigurationError(
            f"{_where(settings)} has fewer than {MIN_KEY_LENGTH} characters: give a key that nobody guesses, such as "
            "`openssl rand -hex 32` makes"
        )
    return text.encode()


def _make(path: Path) -> bool:
    """Write a random key that only its owner may read, whole or not at all. Returns False where a file is there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=FILE)  # of mode 0600
        try:
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(32) + "\n")
                file.flush()
                os.fsync(handle)
            os.link(draft, path)
        finally:
            Path(draft).unlink()
    except FileExistsError:
        return False
    except OSError as error:
        raise ConfigurationError(
            f"the key of patients' pseudonyms cannot be kept in {path} ({error}): set OSTEON_PATIENT_KEY"
        ) from error
    return True


def _wrong(settings: PatientSettings, key: bytes | None) -> ConfigurationError:
    if key is None:
        what = f"is lost: OSTEON_PATIENT_KEY is empty, and there is no {_key_file(settings)}"
    else:
        what = f"has changed: {_where(settings)} holds another one"
    return ConfigurationError(
        f"the key that this lake's patients were named with {what}. Put the old key into OSTEON_PATIENT_KEY or, "
        f"with that empty, into {_key_file(settings)}; workers on several machines need the same one. {ANEW}."
    )
