"""Labels that are wrong as a whole, in the stages of a run: what stops it, and what the next week is compared with."""

from __future__ import annotations

import csv
import html
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from osteon.errors import QualityError
from osteon.images.wavelet import LAZY, WaveletTransform
from osteon.lake import Lake
from osteon.models.network import FEATURE_MAP
from osteon.pipeline.context import Context
from osteon.pipeline.local import prepare
from osteon.pipeline.stages import GATE, GROUP, INSPECT, REPAIR, REPORT, REVIEW, VALIDATE, run_stage
from osteon.quality.accepted import accepted_before, unchecked_of
from osteon.quality.findings import Validation, read_validation
from osteon.registry.client import connect
from osteon.training.classes import ClassList
from osteon.training.predictor import Predictor
from osteon.training.promotion import CHAMPION
from tests.pipeline.test_champion import add_version, finding, first_form
from tests.runs import ingested

FILMS = 140
TRAINING = "models/champion"


@pytest.fixture
def sources(tmp_path: Path, lake: Lake) -> str:
    """A folder of films of hands, with a table of fractures, and the sources file that names it."""
    folder = tmp_path / "films"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(FILMS):
        pixels = rng.normal(60, 14, (72, 64))
        if number % 3 == 0:
            row, column = rng.integers(8, 48, 2)
            pixels[row : row + 6, column : column + 6] = 250
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{number:03}.png")
    write_table(folder, fractured=1)
    fracture = {"csv": {"file": "labels.csv", "key": "name", "column": "broken",
                        "values": {"1": "fractured", "0": "non-fractured"}}}  # fmt: skip
    entry = {"name": "s", "kind": "archive", "licence": "CC0-1.0", "location": str(folder)}
    labels = {"part": {"constant": "hand"}, "fracture": fracture}
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({"model": lake.bucket, "sources": [{**entry, "labels": labels}]}))
    return str(path)


def write_table(folder: Path, fractured: int) -> None:
    """The table of fractures, where a bright spot means `fractured`."""
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "broken"])
        writer.writerows([f"{n:03}.png", fractured if n % 3 == 0 else 1 - fractured] for n in range(FILMS))


def week(name: str, sources: str) -> tuple[Context, Validation]:
    """Run the stages up to the checks."""
    context = Context.open(name)
    catalog = prepare(context, sources, INSPECT, REPAIR, GROUP, REVIEW)
    manifests = [ingested(context).manifest]
    record = run_stage(VALIDATE, context, catalog=catalog, manifests=manifests, sources=sources)
    return context, read_validation(context.lake, record.validation)


def register_champion(context: Context, name: str) -> None:
    """A champion that calls a hand fractured where it sees a bright spot, and is known to be good at it."""
    import keras

    inputs = keras.Input((16, 16, 1))
    seen = keras.layers.Activation("relu", name=FEATURE_MAP)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalMaxPooling2D()(seen)))
    model.layers[-1].set_weights([np.array([[0.0, 1.0, 0.0]]), np.array([2.0, 0.0, 0.0])])
    classes = ClassList(("hand/non-fractured", "hand/fractured", "spine/unknown"))
    Predictor(model, WaveletTransform(16, LAZY, 0), classes, 1.0).to_lake(context.lake, TRAINING)
    figures = {"intervals": {"fracture_auroc_within_part": [0.8, 0.95], "part_accuracy": [0.9, 0.99]}}
    context.lake.put_json(f"{TRAINING}/result.json", first_form({"hand/fractured": 40}) | figures)
    client = connect(context.settings)
    client.create_registered_model(name)
    version = add_version(client, name, training=TRAINING, catalog="review/before.parquet")
    client.set_registered_model_alias(name, CHAMPION, version)


def test_an_inverted_table_stops_the_run_and_is_no_measure_for_the_next(
    environment: dict[str, str], sources: str, lake: Lake
) -> None:
    first, good = week("week-1", sources)
    assert not good.stops and finding(good, "labels_contradicted") is None
    (sentence,) = [text for text in good.unchecked["s"] if text.startswith("fracture state: an inversion")]
    assert accepted_before(lake, "week-2", ["s"]) == {}, "nothing was accepted yet"
    run_stage(GATE, first, validation=good.key, sources=sources)
    accepted = {"s": ingested(first).manifest}
    assert accepted_before(lake, "week-1", ["s"]) == {} and accepted_before(lake, "week-2", ["s"]) == accepted
    assert sentence in unchecked_of(lake, "s") and not unchecked_of(lake, "t")
    assert sentence in html.unescape(lake.get_bytes(run_stage(REPORT, first).page).decode())

    register_champion(first, lake.bucket)
    again, same = week("week-2", sources)
    assert not same.stops and same.unchecked == good.unchecked, "an accepted version is not judged again"
    run_stage(GATE, again, validation=same.key, sources=sources)
    assert sentence in unchecked_of(lake, "s"), "what was not checked then is not checked now"

    write_table(Path(sources).parent / "films", fractured=0)
    for name in ("week-3", "week-4"):
        context, bad = week(name, sources)
        told = finding(bad, "labels_contradicted")
        assert told is not None and told.severity == "critical"
        assert told.offenders[0].name == "s: fracture state"
        assert told.offenders[0].detail.startswith("inverted: the champion, version 1, says the opposite (agreement 0.")
        changed = finding(bad, "many_labels_changed")
        assert changed is not None and changed.offenders[0].detail == "100 %"
        assert "s: fracture state (140 of 140)" in str(finding(bad, "labels_changed"))
        with pytest.raises(QualityError, match="inverted"):
            run_stage(GATE, context, validation=bad.key, sources=sources)
        assert accepted_before(lake, "later", ["s"]) == accepted, "wrong labels are not accepted"


def test_the_champion_alone_finds_a_new_source_that_is_inverted(
    environment: dict[str, str], sources: str, lake: Lake
) -> None:
    register_champion(Context.open("before"), lake.bucket)
    _, good = week("good", sources)
    assert not good.stops and not any("inversion" in text for text in good.unchecked["s"])
    write_table(Path(sources).parent / "films", fractured=0)
    _, bad = week("bad", sources)
    told = finding(bad, "labels_contradicted")
    assert bad.stops and told is not None and "inverted: the champion, version 1," in told.message
    kept = list(lake.keys("answers/"))
    assert week("bad-again", sources)[1] == bad and list(lake.keys("answers/")) == kept, "it was asked once"
