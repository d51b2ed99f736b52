"""The search: a study that is killed goes on in the lake, and gives what it would have given."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest
from keras_tuner.src import protos
from numpy.typing import NDArray

from osteon.errors import TrainingError
from osteon.images.wavelet import WaveletTransform
from osteon.lake import Lake
from osteon.models.design import NetworkDesign
from osteon.models.space import Budget
from osteon.training import workers
from osteon.training.augment import MAIN_AUGMENTATION, Augment, make_augmenter
from osteon.training.fit import TrainValData
from osteon.training.search import Search
from osteon.training.tuner import TOKEN

RECIPE = WaveletTransform(16)
BUDGET = Budget(search_epochs=2, factor=2, search_images=60, fit_epochs=1, side=16, batch=16)
START = {"filters": 8, "dropout": 0.5}


def choose(hp: Any, **changes: Any) -> NetworkDesign:
    values = {
        "blocks": 1, "growth": 1, "kernel": 3, "block": "plain", "norm": "batch", "lstm_layers": 0,
        "learning_rate": 1e-2, "filters": hp.Choice("filters", [4, 6, 8]), "dropout": hp.Choice("dropout", [0.1, 0.5]),
    }  # fmt: skip
    return NetworkDesign.from_hyperparameters(values | changes)


def pictures() -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Bright squares on noise, in one corner or the other, and which."""
    rng = np.random.default_rng(0)
    kind = np.arange(90) % 2
    pixels = rng.normal(120, 30, (90, 16, 16))
    pixels[kind == 0, :8, :8] += 30
    pixels[kind == 1, 8:, 8:] += 30
    return pixels.clip(0, 255).astype(np.uint8), kind


def searching(lake: Lake, data: str, before_fit: Callable[[int], None] = lambda seed: None, **changes: Any) -> Search:
    """A search on pictures. `before_fit` is called with the seed of each trial, before it is fitted."""
    squares, kind = pictures()
    features, allowed = RECIPE.apply_batch(squares), np.eye(2, dtype=np.float32)[kind]
    learnt = TrainValData(lambda rows: features[rows], RECIPE.shape, allowed, np.arange(60), np.arange(60, 90))

    def augment(design: NetworkDesign, seed: int) -> Augment:
        before_fit(seed)
        return make_augmenter(squares, RECIPE, MAIN_AUGMENTATION, seed)

    keywords: dict[str, Any] = {"space": choose, "budget": BUDGET, "seed": 0} | changes
    return Search(lake=lake, train_val=lambda design: learnt, augment=augment, data=data, **keywords)


def look(lake: Lake, data: str, start: dict[str, Any] | None = None, min_completed: int = 2, **changes: Any) -> Any:
    found = searching(lake, data, **changes).run(start=start, min_completed=min_completed)
    return found.design.hyperparameters, found.rows


def test_a_search_that_is_broken_off_three_times_gives_what_it_would_have_given(
    lake: Lake,
) -> None:
    design, trials = look(lake, "whole")
    assert len({trial["trial"] for trial in trials}) == len(trials) == 5
    assert design == {name: trials[0][name] for name in design} and trials[0]["score"] == min(
        t["score"] for t in trials
    )

    fitted: list[int] = []

    def breaking(seed: int) -> None:
        fitted.append(seed)
        if len(fitted) in (1, 3, 6):
            raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            look(lake, "broken", before_fit=breaking)
    again, resumed = look(lake, "broken", before_fit=breaking)
    assert again == design
    assert [trial["trial"] for trial in resumed] == [trial["trial"] for trial in trials]
    np.testing.assert_allclose([t["score"] for t in resumed], [t["score"] for t in trials], rtol=1e-3)
    assert len(fitted) == 5 + 3, "only what was broken off ran again"
    kept = list(lake.keys("studies/"))
    assert kept and not [key for key in kept if key.endswith(".h5")]
    assert look(lake, "broken", before_fit=breaking)[1] == resumed and len(fitted) == 8, (
        "a finished search is not run again"
    )


@pytest.mark.parametrize("trials", [None, 1], ids=["hyperband", "random"])
def test_a_search_starts_with_the_design_it_is_given_and_another_space_is_another_study(
    lake: Lake, trials: int | None
) -> None:
    one: dict[str, Any] = {"budget": replace(BUDGET, search_epochs=1, trials=trials), "min_completed": 1}
    _, (trial,) = look(lake, "started", START, **one)
    assert {name: trial[name] for name in START} == START
    studies = {key.split("/")[1] for key in lake.keys("studies/")}
    look(lake, "started", space=lambda hp: choose(hp, kernel=hp.Choice("kernel", [3, 5])), **one)
    assert len({key.split("/")[1] for key in lake.keys("studies/")} - studies) == 1
    fixed = searching(lake, "started", space=lambda hp: choose(hp, growth=3), **{"budget": one["budget"]})
    assert fixed.study.split("/")[1] not in studies, "what is not searched is part of the question, too"


def test_a_search_whose_trials_fail_says_so(lake: Lake) -> None:
    def failing(seed: int) -> None:
        raise ValueError("out of memory")

    with pytest.raises(TrainingError, match=r"(?s)3 trials failed in a row.*out of memory"):
        look(lake, "failing", before_fit=failing)


def test_a_trial_that_fails_is_left_out_and_the_search_goes_on(lake: Lake) -> None:
    def failing(seed: int) -> None:
        if seed == 1:
            raise ValueError("out of memory")

    budget = replace(BUDGET, trials=3)
    trials = look(lake, "one-fails", before_fit=failing, budget=budget)[1]
    assert sorted(trial["trial"] for trial in trials) == ["0", "2"]
    with pytest.raises(TrainingError, match="only 2 of 3 trials completed, 3 are needed"):
        look(lake, "one-fails", before_fit=failing, budget=budget, min_completed=3)


HELPER = """
    import time
    from dataclasses import replace
    from osteon.lake import Lake
    from osteon.settings import load_settings
    from osteon.training import workers
    from tests.training.test_search import searching
    workers.HEARTBEAT_INTERVAL = 0.5
    def before_fit(seed):
        print("fits", flush=True)
    search = searching(Lake.from_settings(load_settings()), "shared", lambda seed: before_fit(seed))
"""
STUCK = """
    search = replace(search, budget=replace(search.budget, trials=3))
    def before_fit(seed):
        print("fits", flush=True)
        time.sleep(600)  # it never comes to an end
"""


@contextmanager
def helper(environment: dict[str, str], also: str = "") -> Iterator[tuple[subprocess.Popen[str], threading.Event]]:
    """A process that helps with the search of "shared", and what tells that it fits a trial."""
    code = "\n".join([textwrap.dedent(HELPER), textwrap.dedent(also), "print(search.help('helper', 60))"])
    fits = threading.Event()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        first = process.stdout

        def read() -> None:
            if first.readline() == "fits\n":
                fits.set()

        reading = threading.Thread(target=read)
        reading.start()
        yield process, fits
        reading.join()


def lead(lake: Lake, helper_fits: threading.Event, **changes: Any) -> list[dict[str, Any]]:
    """Lead a search, and fit nothing before a helper fits: a fast leader is through before a helper has found it."""

    def before_fit(seed: int) -> None:
        assert helper_fits.wait(120), "the helper got no trial"

    return searching(lake, "shared", before_fit, **changes).run(min_completed=2, host="127.0.0.1").rows


def test_another_process_helps_with_a_search(lake: Lake, environment: dict[str, str]) -> None:
    with helper(environment) as (process, fits):
        trials = lead(lake, fits)
        ran = int(process.communicate(timeout=60)[0].split()[-1])
    _, alone = look(lake, "alone")
    assert {trial["trial"] for trial in trials} == {trial["trial"] for trial in alone}
    assert trials[0].keys() == alone[0].keys()
    by = [trial["worker"] for trial in trials]
    assert set(by) == {"tuner0", "helper"} and by.count("helper") == ran
    assert workers.find_chief(lake, searching(lake, "shared").study) is None


def test_who_does_not_know_the_token_of_a_search_is_refused(lake: Lake) -> None:
    refused: list[grpc.RpcError] = []
    ask = protos.get_service()

    def intrude(seed: int) -> None:
        found = workers.find_chief(lake, search.study)
        assert found
        with grpc.insecure_channel(found.address) as channel:
            stub = protos.get_service_grpc().OracleStub(channel)
            stub.GetSpace(ask.GetSpaceRequest(), timeout=30, metadata=((TOKEN, found.token),))
            for metadata in ((), ((TOKEN, "a guess"),)):
                with pytest.raises(grpc.RpcError) as error:
                    stub.CreateTrial(ask.CreateTrialRequest(tuner_id="intruder"), timeout=30, metadata=metadata)
                refused.append(error.value)

    search = searching(lake, "shared", intrude, budget=replace(BUDGET, search_epochs=1, trials=1))
    trials = search.run(min_completed=1, host="127.0.0.1").rows
    assert [error.code() for error in refused] == [grpc.StatusCode.UNAUTHENTICATED] * 2
    assert [trial["worker"] for trial in trials] == ["tuner0"]


def test_the_trial_of_a_helper_that_is_lost_is_run_again(
    lake: Lake, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "WORKER_TIMEOUT", 3.0)
    with helper(environment, STUCK) as (process, fits):

        def kill() -> None:
            if fits.wait(120):
                process.kill()

        killing = threading.Thread(target=kill)
        killing.start()
        budget = replace(BUDGET, trials=3)  # whoever leads is through with the others and waits for this one
        trials = lead(lake, fits, budget=budget)
        killing.join()
    assert process.returncode == -signal.SIGKILL
    assert len(trials) == 3 and {trial["worker"] for trial in trials} == {"tuner0"}


@pytest.mark.slow
def test_a_search_that_is_killed_at_random_moments_runs_no_trial_twice(lake: Lake, environment: dict[str, str]) -> None:
    code = """
        import logging
        from osteon.lake import Lake
        from osteon.settings import load_settings
        from tests.training.test_search import look
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        look(Lake.from_settings(load_settings()), "killed")
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    moments = random.Random(os.getpid())
    ended: list[str] = []
    for kill in (True, True, True, False):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        assert process.stderr
        log = ""
        while kill and not log.startswith("trial "):
            log = process.stderr.readline()
        if kill:  # some time into the next trial
            time.sleep(moments.uniform(0, 0.7))
            process.send_signal(signal.SIGKILL)
        log += process.communicate(timeout=300)[1]
        ended += [line.split()[1] for line in log.splitlines() if line.startswith("trial ")]
        assert process.returncode == (-signal.SIGKILL if kill else 0)
    assert len(ended) == len(set(ended)) == 5, ended
    whole, killed = look(lake, "whole"), look(lake, "killed")
    assert killed[0] == whole[0]
    np.testing.assert_allclose([t["score"] for t in killed[1]], [t["score"] for t in whole[1]], rtol=1e-3)


def test_a_state_of_before_schema_versions_is_read_and_one_that_is_unknown_starts_again(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    _, trials = look(lake, "old")
    key = f"{searching(lake, 'old').study}/state.json"
    old = lake.get_json(key)
    assert old.pop("schema_version") == 1 and old.keys() == {"start", "told", "finished", "files"}
    lake.put_json(key, old)
    assert look(lake, "old")[1] == trials, "its seconds, too: nothing ran again"
    lake.put_json(key, old | {"schema_version": 99})
    again = look(lake, "old")[1]
    assert f"the search starts again: this version cannot read {key}" in caplog.text
    assert [trial["trial"] for trial in again] == [trial["trial"] for trial in trials]
    assert lake.get_json(key)["schema_version"] == 1
