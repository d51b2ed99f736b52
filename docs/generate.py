"""Pages and tables of the site that come from the code: settings, checks, API reference; and copies of root files.

MkDocs calls it before each build (`hooks` in mkdocs.yml), so that what is generated is never older than the code.
That is why `docs/generated/` is not in git: nothing there can be out of date, and nobody has to merge a table.
It imports the objects that the program uses and parses no text of theirs.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AliasChoices, BaseModel, SecretStr
from pydantic.fields import FieldInfo

import osteon
from osteon.quality.check import Threshold, registered
from osteon.quality.thresholds import load_thresholds
from osteon.settings import PARTS, ROOT

DOCS = ROOT / "docs"
GENERATED = DOCS / "generated"
COPIED = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files of the root that are pages of the site, too."""
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "pattern": "matches"}


def on_config(config: Any) -> Any:
    """Generate all, and complete the navigation: MkDocs calls this."""
    config["nav"] = [*config["nav"], {"API reference": generate()}]
    return config


def generate(folder: Path = GENERATED) -> list[dict[str, str]]:
    """Write what is generated, and remove what no longer is. Returns the API reference's entries of the navigation."""
    pages = {
        "settings.inc": "\n".join(_settings_part(part) for part in PARTS),
        "checks.inc": _table(["check", "looks at", "expects", "a finding is", "what to do"], check_rows()),
    }
    for name, page in COPIED.items():
        pages[page] = re.sub(r"\]\(docs/", "](../", (ROOT / name).read_text(encoding="utf-8"))
    reference = {f"reference/{package}.md": package for package in packages()}
    for page, package in reference.items():
        pages[page] = f"# {package}\n\n" + "".join(f"::: {name}\n\n" for name in packages()[package])
    for page, text in pages.items():
        _write(folder / page, text)
    for path in folder.rglob("*.*"):
        if path.relative_to(folder).as_posix() not in pages:
            path.unlink()
    return [{package: f"generated/{page}"} for page, package in reference.items()]


def packages() -> dict[str, list[str]]:
    """The package and its parts, with their public modules."""
    found: dict[str, list[str]] = {}
    for module in pkgutil.walk_packages(osteon.__path__, "osteon."):
        if not module.ispkg and not any(part.startswith("_") for part in module.name.split(".")):
            found.setdefault(module.name.rpartition(".")[0], []).append(module.name)
    return {package: sorted(found[package]) for package in sorted(found)}


def settings_rows(part: type[BaseModel]) -> Iterator[list[str]]:
    """A row for each setting that a part adds to those of the parts it is made of."""
    for name in part.__annotations__:
        info = part.model_fields[name]
        alias = (
            info.validation_alias.choices[0] if isinstance(info.validation_alias, AliasChoices) else f"osteon_{name}"
        )
        yield [_code(str(alias).upper()), _takes(info), _default(info), info.description or ""]


def _settings_part(part: type[BaseModel]) -> str:
    """A heading, a sentence and the table of one part of the settings."""
    title, _, more = (inspect.getdoc(part) or "").partition("\n\n")
    rows = _table(["variable", "takes", "default", "meaning"], settings_rows(part))
    return "\n\n".join(filter(None, [f"### {title.rstrip('.')}", more, rows]))


def check_rows() -> Iterator[list[str]]:
    """A row for each check, with its threshold as config/quality.yaml has it."""
    thresholds = load_thresholds(ROOT / "config" / "quality.yaml")
    for name, check in registered().items():
        yield [_code(name), _code(check.table), check.title, _threshold(thresholds[name], check.unit), check.remedy]


def _threshold(threshold: Threshold, unit: str) -> str:
    """How bad a finding is, and from where on."""
    unit = f" {unit}" if unit else ""
    text = [f"**{threshold.severity}**"]
    if threshold.minimum is not None:
        text.append(f"below {threshold.minimum:g}{unit}")
    if threshold.maximum is not None:
        text.append(f"above {threshold.maximum:g}{unit}")
    if threshold.max_share:
        text.append(f"in more than {threshold.max_share:.0%} of the rows")
    if threshold.critical_share is not None:
        text.append(f"**critical** from {threshold.critical_share:.0%} of the rows on")
    return "; ".join(text)


def _takes(info: FieldInfo) -> str:
    """A setting's type and bounds."""
    bounds = [
        f"{words} {_code(getattr(bound, name)) if name == 'pattern' else _number(getattr(bound, name))}"
        for bound in info.metadata
        for name, words in BOUNDS.items()
        if getattr(bound, name, None) is not None
    ]
    return ", ".join([_type(info.annotation), *bounds])


def _type(kind: Any) -> str:
    """A type in words."""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if isinstance(kind, type) and not get_args(kind):
        words = {str: "text", int: "whole number", float: "number", bool: "true or false", SecretStr: "secret"}
        words |= {datetime: "date and time"}
        return words.get(kind, "path" if issubclass(kind, Path) else kind.__name__)
    if get_origin(kind) in (list, dict):
        return "list" if get_origin(kind) is list else "JSON"
    if get_origin(kind) is Annotated:
        return _type(get_args(kind)[0])
    return " or ".join(_type(part) for part in get_args(kind) if part is not type(None))


def _default(info: FieldInfo) -> str:
    value = info.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, Path):
        return _code(value.relative_to(ROOT).as_posix() if value.is_relative_to(ROOT) else str(value))
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    if value in (None, "", {}, []):
        return ""
    if isinstance(value, bool):
        return _code(str(value).lower())
    return _code(_number(value) if isinstance(value, int | float) else str(value))


def _number(value: float) -> str:
    return f"{value:.12g}"


def _code(text: str) -> str:
    return f"`{text}`"


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A table in Markdown; `facts` is its style in style.css."""
    lines = [head, ["---"] * len(head), *rows]
    text = "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
    return f'<div class="facts" markdown="1">\n\n{text}\n</div>\n'


def _write(path: Path, text: str) -> None:
    """Write a file; one that says the same already is left alone, so that `mkdocs serve` comes to rest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    generate()
