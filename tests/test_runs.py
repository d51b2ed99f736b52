"""What a run tells of itself, and what it no longer does when it was done again."""

from __future__ import annotations

from contextlib import suppress

from osteon.lake import Lake
from osteon.runs import Run


def record(run: Run, name: str, *inputs: str, **gave: object) -> None:
    with run.stage(name, *inputs) as numbers:
        numbers |= gave


def test_what_worked_on_something_else_than_the_run_has_now_is_left_out(lake: Lake) -> None:
    run = Run(lake, "weekly")
    record(run, "sources", names=["a", "b"])
    for source in "ab":
        record(run, f"ingest.{source}", manifest=f"manifest {source}")
    record(run, "catalogue", "manifest a", "manifest b", catalog="c1")
    record(run, "review", "c1", catalog="r1")
    record(run, "validate", "r1", validation="v1")
    record(run, "gate", "v1", mail="sent")
    record(run, "split", "r1", catalog="s1", snapshot="id 1")
    record(run, "compare", "id 1", comparison="k1")
    record(run, "register", "k1", version="1")
    assert list(run.stages()) == [
        *("sources", "ingest.a", "ingest.b", "catalogue", "review", "validate", "gate", "split", "compare", "register")
    ]
    record(run, "review", "c1", catalog="r1")
    assert "register" in run.stages(), "the same once more changes nothing"

    record(run, "review", "c1", catalog="r2")
    record(run, "validate", "r2", validation="v2")
    assert list(run.stages()) == ["sources", "ingest.a", "ingest.b", "catalogue", "review", "validate"]
    assert run.sources()["b"]["manifest"] == "manifest b"
    record(run, "ingest.b", manifest="manifest of another week")
    assert list(run.stages()) == ["sources", "ingest.a", "ingest.b"]
    with suppress(BaseException), run.stage("ingest.b"):
        raise KeyboardInterrupt  # as a time limit ends it
    assert "ended without a word" in run.sources()["b"]["problem"] and "problem" not in run.sources()["a"]
    record(run, "catalogue", "manifest a", catalog="c2")
    assert list(run.stages()) == ["sources", "ingest.a", "catalogue"], "what was not done again to its end is not told"
    record(run, "sources", names=["a"])
    assert list(run.stages()) == ["sources", "ingest.a", "catalogue"] and list(run.sources()) == ["a"]


def test_a_run_of_some_stages_tells_of_them(lake: Lake) -> None:
    run = Run(lake, "later")
    record(run, "split", "a catalog of another run", catalog="s", snapshot="id")
    record(run, "compare", "id", comparison="k")
    assert list(run.stages()) == ["split", "compare"]
