"""Does the side at which Osteon searches rank designs as the side at which it fits does?

`bench/proxy.py [BUDGET] [DESIGNS]`: designs drawn from the main model's space are fitted as a search fits its longest
trials, at both sides, with two seeds each. Spearman's rho of the means over seeds is the answer. The rho between two
seeds of one side is what a single trial's rank is worth there: more cannot be asked of the other side.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from cost import Drawn, trial
from scipy.stats import rankdata, spearmanr
from stages import store

from models import snapshot
from osteon.models import space
from osteon.models.design import NetworkDesign
from osteon.pipeline.context import Context
from osteon.training.data import TrainingData

SEEDS = 2


def main(budget: str, designs: int) -> None:
    with store():
        context = Context.open("proxy")
        course = TrainingData(context.settings, context.lake, snapshot(context), budget, 0)
        plan = course.plan
        sides = {"search": plan.search_side, "fit": plan.side}
        losses: dict[str, list[list[float]]] = {name: [] for name in sides}

        def loss(design: NetworkDesign, side: int, seed: int) -> float:
            course.plan = replace(plan, search_side=side)
            return trial(course, design, seed, plan.search_epochs)

        for number in range(designs):
            design = space.cnn_bilstm(plan.side)(Drawn(number))
            for name, side in sides.items():
                losses[name].append([loss(design, side, seed) for seed in range(SEEDS)])
            print(
                json.dumps(
                    {name: np.round(found[-1], 3).tolist() for name, found in losses.items()} | design.hyperparameters
                )
            )
            sys.stdout.flush()

    def rho(one: Any, other: Any) -> dict[str, float]:
        rank = spearmanr(one, other)
        return {"rho": round(float(rank.statistic), 2), "p": round(float(rank.pvalue), 4)}

    search, fit = (np.array(losses[name]) for name in ("search", "fit"))
    print(json.dumps({"means of both sides": rho(search.mean(axis=1), fit.mean(axis=1))}))
    for name, found in (("search", search), ("fit", fit)):
        print(json.dumps({f"two seeds of the {name} side": rho(*found.T)}))
    singles = [rho(search[:, one], fit[:, other])["rho"] for one, other in product(range(SEEDS), repeat=2)]
    print(json.dumps({"one seed of each side, mean rho": round(float(np.mean(singles)), 2)}))
    best = search.mean(axis=1).argmin()
    print(json.dumps({"rank of the search side's best": int(rankdata(fit.mean(axis=1))[best]), "of": designs}))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "standard", int(sys.argv[2]) if len(sys.argv) > 2 else 12)
