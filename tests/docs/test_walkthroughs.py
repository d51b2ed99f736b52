"""The pages that show how to add a check and a publisher, done as they say: each runs in a process of its own."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from osteon import catalog as catalogs
from osteon.lake import Lake
from osteon.quality.findings import Validation, read_validation
from osteon.settings import ROOT
from tests.pictures import encode, radiograph

FILE = re.compile(r"^File `([^`]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TO_VALIDATE = """
import json, sys
from osteon.pipeline.context import Context
from osteon.pipeline.local import prepare, run_on_catalog
from osteon.pipeline.stages import GROUP, INSPECT, REPAIR, REVIEW, SPLIT, VALIDATE, read_records, run_stage
context = Context.open(sys.argv[2])
catalog = prepare(context, sys.argv[1], INSPECT, REPAIR, GROUP, REVIEW)
checked = {"catalog": catalog, "manifests": [one.manifest for one in context.run.sources().values()]}
run_stage(VALIDATE, context, **checked, sources=sys.argv[1])
run_on_catalog(context, catalog, SPLIT, seed=0)
contexts = [context]
for quality_file in sys.argv[3:]:
    contexts.append(Context.open(f"{sys.argv[2]}-strict", quality_file=quality_file))
    run_stage(VALIDATE, contexts[-1], **checked, sources=sys.argv[1])
print(json.dumps([{name: record.model_dump(mode="json") for name, record in read_records(one.run).items()}
                  for one in contexts]))
"""


def written(page: str, folder: Path) -> Path:
    """Write the files of a page to a folder, and install its package there as pip does: a `.dist-info` beside it."""
    folder.mkdir()
    for name, text in FILE.findall((ROOT / "docs" / page).read_text()):
        (folder / name).write_text(text)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in points.items())])
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
    return folder


def python(code: str, *arguments: str | Path, environment: dict[str, str], package: Path | None = None) -> str:
    path = os.pathsep.join(map(str, [*([package] if package else []), *filter(None, [environment.get("PYTHONPATH")])]))
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env={**environment, "PYTHONPATH": path}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(lake: Lake, prefix: str) -> dict[str, str]:
    """Digest of each object's content, by key."""
    return {key: hashlib.sha256(lake.get_bytes(key)).hexdigest() for key in lake.keys(prefix)}


def measured(lake: Lake) -> dict[str, list[str]]:
    """By family the images that were measured, in order; one that was measured twice stands there twice."""
    found: dict[str, list[str]] = {}
    for key in lake.keys("measurements/"):
        found.setdefault(key.split("/")[1], []).extend(lake.get_table(key, columns=["sha256"])["sha256"])
    return {family: sorted(digests) for family, digests in found.items()}


def findings(lake: Lake, stages: dict[str, Any]) -> Validation:
    return read_validation(lake, stages["validate"]["validation"])


@pytest.mark.timeout(600)
def test_a_check_is_added_as_its_page_says(environment: dict[str, str], lake: Lake, tmp_path: Path) -> None:
    package = written("add-a-check.md", tmp_path / "package")
    both = yaml.safe_load((package / "blur.yaml").read_text())
    sharp, blurred = both["sources"]
    (tmp_path / "sharp.yaml").write_text(yaml.safe_dump({**both, "sources": [sharp]}))

    def run(sources: Path, name: str, package: Path | None, *quality: Path) -> list[dict[str, Any]]:
        told = python(TO_VALIDATE, sources, name, *quality, environment=environment, package=package)
        return list(json.loads(told.splitlines()[-1]))

    (before,) = run(tmp_path / "sharp.yaml", "before", None)
    old, history, split = measured(lake), objects(lake, "history/"), before["split"]
    images = old["image-v2"]
    assert before["inspect"]["decoded"] == len(images) == sharp["images"] and history

    (added,) = run(tmp_path / "sharp.yaml", "added", package)
    assert measured(lake) == {**old, "sharpness-v1": images}, "old images are measured for what is new, and for no more"
    assert added["inspect"]["decoded"] == len(images)
    assert objects(lake, "history/") == history
    assert (added["split"]["snapshot"], added["split"]["moved"]) == (split["snapshot"], 0)
    assert "motion_blur" not in {finding.check for finding in findings(lake, added).findings}
    catalog = catalogs.read(lake, added["split"]["catalog"])
    assert catalog["sharpness.variance"].dtype == "Float64" and catalog["sharpness.variance"].notna().all()

    worse, strict = run(package / "blur.yaml", "worse", package, package / "quality.yaml")
    assert worse["inspect"]["decoded"] == blurred["images"], "what was measured is not measured again"
    (finding,) = [finding for finding in findings(lake, worse).findings if finding.check == "motion_blur"]
    assert finding.severity == "warning" and [item.name for item in finding.offenders] == [blurred["name"]]
    told = re.sub(r"\d+ median", "125 median", finding.message)
    assert f"```text\n{told}\n```" in (ROOT / "docs" / "add-a-check.md").read_text()
    critical = {item.check for item in findings(lake, strict).findings if item.severity == "critical"}
    assert "motion_blur" in critical and findings(lake, strict).stops
    catalog = catalogs.read(lake, worse["split"]["catalog"])
    known = catalog.groupby("source")["sharpness.variance"].median()
    assert known[sharp["name"]] > 250 > known[blurred["name"]]

    (gone,) = run(tmp_path / "sharp.yaml", "gone", None)
    assert gone["split"]["catalog"] == before["split"]["catalog"], "without the package all is as before it"


def test_a_package_that_cannot_be_used_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    package = written("add-a-check.md", tmp_path / "package")
    module = package / "motion_blur.py"
    whole = module.read_text()
    paths = {**environment, "PYTHONPATH": f"{package}:{ROOT}/include"}
    for text, told in (
        (whole.replace("import cv2", "import not_there"), "No module named 'not_there'"),
        (
            whole.replace('name = "motion_blur"', 'name = "truncated"'),
            "named `truncated`, osteon.quality.checks.files.Truncated and",
        ),
        (whole.replace("minimum=250", "max_share=0.5"), "could never fail: give its `default` a `minimum`"),
        (whole.replace("{listed}", "{list}"), "a placeholder that is not known: 'list'"),
        (
            whole.replace('"sharpness"', '"levels"'),
            "two measurements are named `levels`, osteon.quality",
        ),
    ):
        assert text != whole
        module.write_text(text)
        code = "from osteon.quality.check import registered; registered()"
        done = subprocess.run([sys.executable, "-c", code], env=paths, capture_output=True, text=True, timeout=120)
        assert done.returncode == 1 and "package osteon-motion-blur 1.0 cannot be used" in done.stderr, done.stderr
        assert told in done.stderr
    command = [sys.executable, "-m", "osteon.cli", "validate", "--catalog", "x", "--manifest", "y"]
    done = subprocess.run(command, env=paths, capture_output=True, text=True, timeout=120)
    said = " ".join(done.stderr.split())
    assert done.returncode == 1 and "osteon: package osteon-motion-blur 1.0 cannot be used" in said, said


SHELF_TOKEN = "shelf-0123456789"
PARTS = ("hand", "knee", "spine")


@pytest.fixture
def shelf() -> Iterator[str]:
    """A server as the page describes it; its address."""
    films = {f"{number}.jpg": encode(radiograph(number, PARTS[number % 3])) for number in range(9)}
    labels = [{"file": name, "label": f"{PARTS[int(name[0]) % 3]}|fractured"} for name in films]
    files = {**films, "index.json": json.dumps({"version": 3, "films": labels}).encode()}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = files.get(self.path[1:], b"")
            allowed = self.headers.get("Authorization") == f"Bearer {SHELF_TOKEN}"
            self.send_response(401 if not allowed else 200 if data else 404)
            self.end_headers()
            self.wfile.write(data if allowed else b"")

        def log_message(self, *words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_publisher_is_added_as_its_page_says(
    environment: dict[str, str], lake: Lake, tmp_path: Path, shelf: str
) -> None:
    package = written("add-a-publisher.md", tmp_path / "package")
    sources = package / "shelf.yaml"
    sources.write_text(sources.read_text().replace("https://shelf.example.org", shelf))
    paths = {**environment, "PYTHONPATH": f"{package}:{ROOT}/include"}
    command = [sys.executable, "-m", "osteon.cli", "ingest", "--sources", str(sources)]

    refused = subprocess.run(command, env=paths, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 1 and "Shelf wants a token" in " ".join(refused.stderr.split())
    wrong = {**paths, "OSTEON_CREDENTIALS": json.dumps({"shelf_token": "wrong"})}
    refused = subprocess.run(command, env=wrong, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 1 and "it wants a log-in: set OSTEON_CREDENTIALS" in " ".join(refused.stderr.split())

    right = {**paths, "OSTEON_CREDENTIALS": json.dumps({"shelf_token": SHELF_TOKEN})}
    done = subprocess.run(command, env=right, capture_output=True, text=True, timeout=120, check=True)
    manifest = lake.get_table(done.stdout.split()[-1])
    assert manifest["raw_label"].tolist() == [f"{PARTS[number % 3]}|fractured" for number in range(9)]
    assert manifest["source_version"].unique().tolist() == ["3"]
    digests = [hashlib.sha256(encode(radiograph(number, PARTS[number % 3]))).hexdigest() for number in range(9)]
    assert manifest["sha256"].tolist() == digests and all(lake.get_image(digest) for digest in digests)
    assert SHELF_TOKEN not in done.stdout + done.stderr

    unknown = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    told = " ".join(unknown.stderr.split())
    assert unknown.returncode == 1 and "'shelf'" in told and "'archive', 'kaggle', 'phantom', 'roboflow'" in told


@pytest.mark.parametrize("page", ["add-a-check.md", "add-a-publisher.md"])
def test_a_walkthrough_is_in_plain_english(page: str) -> None:
    """One sentence a line; under 15 words on average, none above 35."""
    prose = re.sub(r"^```.*?^```$", "", (ROOT / "docs" / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in prose.splitlines() if line and not line.startswith(("#", "|", "File `"))]
    words = [len(line.split()) for line in lines]
    assert statistics.mean(words) < 15 and max(words) <= 35, max(lines, key=lambda line: len(line.split()))
    assert [line for line in lines if re.search(r"(?<!\b[A-Z])[.?!] [A-Z]", line)] == []
