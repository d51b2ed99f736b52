"""Body parts, fracture states and the codes of their joint classes, read from a label map file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from osteon.errors import ConfigurationError
from osteon.strict_yaml import read_yaml

REQUIRED_PARTS = (
    "hand",
    "elbow",
    "humerus",
    "shoulder",
    "leg",
    "hip",
    "wrist",
    "knee",
    "spine",
    "forearm",
)
"""The ten body parts; a part's code is its position here."""
STATES = {False: "non-fractured", True: "fractured"}
"""Names of the fracture states."""
SHIPPED = Path(__file__).with_suffix(".yaml")
"""The label map that comes with Osteon."""
UNKNOWN = "unknown"
"""The name of a fracture state that nobody gave."""
REQUIRED_STATES = tuple(STATES.values())


class Entry(BaseModel):
    """One label of the map: its code and the publishers' words for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: int = Field(ge=0)
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class RawLabel:
    """A publisher's label taken apart: `hand+shoulder|fractured` has two part words and one fracture word.

    Where a publisher contradicts itself the fracture is `fractured+non-fractured`, a word that no label map holds.
    """

    parts: tuple[str, ...]
    fracture: str

    @classmethod
    def parse(cls, text: str | None) -> RawLabel:
        """Read `part|state`, or `part+part|state`, as catalogs hold published labels."""
        parts, _, fracture = (text or "").partition("|")
        return cls(tuple(word for word in parts.split("+") if word), fracture)


@dataclass(frozen=True)
class Label:
    """What a raw label means. `body_part` and `fractured` are None where it does not say exactly one.

    `parts` are all that it names; `unknown` are the words that the map does not hold: a finding, never a guess.
    """

    body_part: str | None
    fractured: bool | None
    parts: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class LabelMap(BaseModel):
    """The label map. It may be incomplete: `problems()` tells, and the validation gate stops on it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parts: dict[str, Entry]
    states: dict[str, Entry]
    ambiguous: tuple[str, ...] = ()

    def code(self, part: str, fractured: bool) -> int:
        """Code of the joint class, `2 * part + state`. Raises `KeyError` for a part that is not in the map."""
        return 2 * self.parts[part].code + int(fractured)

    def resolve(self, raw: str | None) -> Label:
        """Canonical label of `parts|fracture`; several parts, or an ambiguous word, give no part."""
        label = RawLabel.parse(raw)
        parts, unknown = set[str](), []
        for word in label.parts:
            part = self._find(self.parts, word)
            if part is not None:
                parts.add(part)
            elif plain_word(word) not in map(plain_word, self.ambiguous):
                unknown.append(word)
        ambiguous = any(plain_word(word) in map(plain_word, self.ambiguous) for word in label.parts)
        state = self.state(label.fracture)
        if label.fracture and state is None:
            unknown.append(label.fracture)
        body_part = min(parts) if len(parts) == 1 and not ambiguous and not unknown else None
        fractured = None if state is None else state == "fractured"
        return Label(body_part, fractured, tuple(sorted(parts)), tuple(unknown))

    def state(self, words: str) -> str | None:
        """The fracture state that all words of `fractured+broken` mean; None where one is unknown, or they differ."""
        states = {self._find(self.states, word) for word in words.split("+")}
        return states.pop() if len(states) == 1 else None

    def problems(self) -> list[str]:
        """What is wrong with the map, one sentence each.

        Classes are missing or unknown to Osteon, have codes that are not theirs, or words that mean two things.
        """
        found = []
        for part in REQUIRED_PARTS:
            if part not in self.parts:
                found.append(f"{part}/fractured and {part}/non-fractured have no code: add `{part}` to `parts`")
        for state in REQUIRED_STATES:
            if state not in self.states:
                found.append(f"*/{state} has no code: add `{state}` to `states`")
        known = (("part", self.parts, REQUIRED_PARTS), ("state", self.states, REQUIRED_STATES))
        for title, entries, required in known:
            found += _wrong_entries(title, entries, required)
            found += _words_of_two_meanings(entries, self.ambiguous if title == "part" else ())
        return found

    @staticmethod
    def _find(entries: dict[str, Entry], word: str) -> str | None:
        plain = plain_word(word)
        for name, entry in entries.items():
            if plain == plain_word(name) or plain in map(plain_word, entry.aliases):
                return name
        return None


def load_labels(path: Path) -> LabelMap:
    """Read a label map. Raises `ConfigurationError` when the file is missing or is not of the map's form."""
    try:
        return LabelMap.model_validate(read_yaml(path))
    except FileNotFoundError:
        raise ConfigurationError(f"there is no label map at {path}: set OSTEON_LABELS_FILE") from None
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigurationError(f"the label map {path} cannot be read: {error}") from error


def plain_word(word: str) -> str:
    """A word as words are compared: in lower case, with spaces and `_` as `-`."""
    return "-".join(word.strip().lower().replace("_", " ").replace("-", " ").split())


def _wrong_entries(title: str, entries: dict[str, Entry], required: tuple[str, ...]) -> list[str]:
    """What is wrong with the classes that the map names, and with their codes."""
    found = []
    for name, entry in entries.items():
        if name not in required:
            found.append(f"`{name}` is no {title} that Osteon knows ({', '.join(required)}): make it an alias")
        elif entry.code != required.index(name):
            found.append(f"the code of `{name}` is {required.index(name)}, not {entry.code}")
    return found


def _words_of_two_meanings(entries: dict[str, Entry], ambiguous: tuple[str, ...]) -> list[str]:
    """The words that two classes claim, or that a class claims although they are ambiguous."""
    found = []
    words = {plain_word(word): "ambiguous" for word in ambiguous}
    for name, entry in entries.items():
        for word in (name, *entry.aliases):
            owner = words.setdefault(plain_word(word), name)
            if owner != name:
                found.append(f"`{word}` is claimed by both `{owner}` and `{name}`")
    return found
