"""A search by one process and by several: the same number of trials, in how much time?

Every process computes on one thread, as a pod with one processor does. Efficiency is the time of one worker over that
of all, divided by their number; it cannot be above the processors' number over the workers'.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from stages import store

from models import snapshot
from osteon.models.space import cnn_bilstm
from osteon.partitions import HEX_DIGITS
from osteon.pipeline.context import Context
from osteon.pipeline.training import cache_partition
from osteon.training.data import TrainingData
from osteon.training.sampling import prepare_keras
from osteon.training.train import search_of


def course_of(context: Context, key: str, budget: str) -> TrainingData:
    course = TrainingData(context.settings, context.lake, key, budget, 0)
    prepare_keras()
    return course


def main(budget: str, workers: list[int]) -> None:
    with store():
        context = Context.open("workers")
        key = snapshot(context, 0)
        cache_partition(context, key, HEX_DIGITS, budget)  # so that no search makes them
        course = course_of(context, key, budget)
        choose = cnn_bilstm(course.plan.side)
        alone = 0.0
        for count in (1, *workers):
            data = f"workers-{count}"
            command = [sys.executable, str(Path(__file__).resolve()), "--help-with", data, key, budget]
            others = [subprocess.Popen([*command, f"tuner{n}"]) for n in range(1, count)]  # noqa: S603 - this very script
            time.sleep(45 if others else 0)  # until they have read the snapshot
            start = time.monotonic()
            trials = search_of(course, course.learn, data, choose).run(min_completed=1, host="127.0.0.1").trials
            seconds = time.monotonic() - start
            for other in others:
                other.wait(timeout=600)
            by = [trial.worker for trial in trials]
            alone = alone or seconds
            row = {"workers": count, "trials": len(trials), "by": {who: by.count(who) for who in sorted(set(by))}}
            row |= {"times faster": round(alone / seconds, 2), "efficiency": round(alone / seconds / count, 2)}
            print(json.dumps(row | {"seconds": round(seconds), "best": round(trials[0].score, 3)}), flush=True)


def help_with(data: str, key: str, budget: str, worker: str) -> None:
    course = course_of(Context.open(worker), key, budget)
    search = search_of(course, course.learn, data, cnn_bilstm(course.plan.side))
    print(json.dumps({"worker": worker, "trials": search.help(worker, 600)}), flush=True)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--help-with"]:
        help_with(*arguments[1:])
    else:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("workers", nargs="*", type=int, default=[2, 3], help="default: 2 3")
        parser.add_argument("--budget", default="standard")
        given = parser.parse_args(arguments)
        main(given.budget, given.workers)
