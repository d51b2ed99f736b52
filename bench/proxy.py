"""Does the side at which Osteon searches rank designs as the side at which it fits does?

`bench/proxy.py [BUDGET] [DESIGNS]`: designs drawn from the main model's space are fitted as a search fits its longest
trials, at both sides, and at the larger one with a second seed. Spearman's rho between the two seeds is what the
ranking of the larger side itself is worth: more cannot be asked of the smaller one.
"""

from __future__ import annotations

import json
import sys

import keras
from cost import Drawn
from scipy.stats import spearmanr
from stages import store

from models import snapshot
from osteon.models import space
from osteon.pipeline import Pipeline
from osteon.training.sampling import sample_groups
from osteon.training.search import Candidates
from osteon.training.train import Course


def main(budget: str, designs: int) -> None:
    losses: dict[str, list[float]] = {"search": [], "fit": [], "fit, second seed": []}
    with store():
        line = Pipeline("proxy")
        course = Course(line.settings, line.lake, snapshot(line), budget, 0)
        plan = course.plan
        groups = course.images["group"].iloc[course.learn]
        rows = course.learn[sample_groups(groups, plan.search_images, 0)]

        def loss(design: dict[str, object], side: int, seed: int) -> float:
            keras.backend.clear_session()
            recipe = course.recipe(design, side)
            candidates = Candidates(
                lambda design: course.lesson(recipe, rows),
                lambda drawn: drawn,
                lambda design, seed: course.augment(recipe, seed),
                plan,
            )
            candidates.seed = seed
            told = candidates.fit(design, candidates.build(design), epochs=plan.search_epochs, verbose=0)
            return float(min(told.history["val_loss"]))

        for number in range(designs):
            design = space.cnn_bilstm(plan.side)(Drawn(number))
            sides = {"search": (plan.search_side, 0), "fit": (plan.side, 0), "fit, second seed": (plan.side, 1)}
            for name, (side, seed) in sides.items():
                losses[name].append(loss(design, side, seed))
            print(json.dumps({name: round(found[-1], 3) for name, found in losses.items()} | design), flush=True)
    ranks = {name: spearmanr(losses["fit"], losses[name]) for name in ("search", "fit, second seed")}
    print(json.dumps({name: {"rho": round(r.statistic, 2), "p": round(r.pvalue, 4)} for name, r in ranks.items()}))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "standard", int(sys.argv[2]) if len(sys.argv) > 2 else 12)
