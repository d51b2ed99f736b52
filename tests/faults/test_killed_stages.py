"""`group` and `split` are killed at random moments; whoever runs them again ends where a run that lived would."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from PIL import Image

from osteon import catalog as catalogs
from osteon import history
from osteon.curation.audit import disagreements
from osteon.lake import Lake
from osteon.pipeline.context import Context
from osteon.pipeline.local import prepare, run_on_catalog
from osteon.pipeline.stages import GROUP, INSPECT, REPAIR, REVIEW, SPLIT
from tests.pictures import encode, radiograph

TRIALS = 50
RUN = """
import sys
from osteon.pipeline.context import Context
from osteon.pipeline.local import run_on_catalog
from osteon.pipeline.stages import GROUP, REVIEW, SPLIT
context = Context.open(sys.argv[1])
print("started", flush=True)
run_on_catalog(context, sys.argv[2], GROUP, REVIEW, SPLIT, seed=0)
"""


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_a_killed_group_or_split_forgets_nothing(environment: dict[str, str], lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    for number in range(40):
        film = Image.fromarray(radiograph(number % 30, size=(72, 80)))
        (folder / f"{number}.jpg").write_bytes(encode(film, quality=90 if number < 30 else 60))
    entry = {"name": "s", "kind": "archive", "licence": "CC0-1.0", "location": str(folder)}
    sources = tmp_path / "sources.yaml"
    sources.write_text(yaml.safe_dump({"sources": [{**entry, "labels": {"part": {"constant": "hand"}}}]}))

    context = Context.open("whole")
    repaired = prepare(context, str(sources), INSPECT, REPAIR)
    prints = list(lake.keys("history/fingerprints/"))
    start = time.monotonic()
    expected = catalogs.read(lake, run_on_catalog(context, repaired, GROUP, REVIEW, SPLIT, seed=0))
    facts = {kind.name: history.read(lake, kind) for kind in history.KINDS}
    whole, chance, killed = 1.5 * (time.monotonic() - start) + 0.3, random.Random(0), 0
    for _ in range(TRIALS):
        for key in [
            key for key in lake.keys("") if key.startswith(("history/", "copies/", "group/", "review/", "split/"))
        ]:
            if key not in prints:
                lake.remove(key)
        with subprocess.Popen(
            [sys.executable, "-c", RUN, "killed", repaired], env=environment, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None and process.stdout.readline() == "started\n"
            time.sleep(chance.uniform(0, whole))
            killed += process.poll() is None
            process.send_signal(signal.SIGKILL)
        found = catalogs.read(lake, run_on_catalog(Context.open("again"), repaired, GROUP, REVIEW, SPLIT, seed=0))
        assert found.equals(expected), "the same snapshot"
        assert all(history.read(lake, kind).equals(facts[kind.name]) for kind in history.KINDS)
        assert disagreements(lake) == []
    assert killed > TRIALS // 3, "most trials must be killed before the end"
