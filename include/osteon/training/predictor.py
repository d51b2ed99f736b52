"""A trained model as one thing: from an image to what is said of it, the same path in test and service."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, TypeAdapter
from scipy.special import softmax

from osteon.errors import IncompatibleTransformError
from osteon.features import ImageTransform
from osteon.images.fourier import FourierTransform
from osteon.images.sanity import no_radiograph
from osteon.images.wavelet import WaveletTransform
from osteon.lake import Lake
from osteon.training.classes import ClassList
from osteon.training.fit import calibrate

MODEL, RECIPE = "model.keras", "recipe.json"
BLOCK = 256
TRANSFORMS: dict[str, type[ImageTransform]] = {kind.stored_name: kind for kind in (WaveletTransform, FourierTransform)}


@dataclass(frozen=True)
class Answer:
    """What a model says of one image."""

    body_part: str
    fracture_probability: float
    """P(fractured | the body part), calibrated; nan where that part's fracture state was never learnt."""
    classes: NDArray[np.floating]
    """(classes,): calibrated probabilities."""
    problem: str
    """`blank`, `noise` or `unreadable`, of which nothing is said (no part, all numbers nan); empty for what may be a
    radiograph."""


class PredictorFile(BaseModel):
    """What is kept beside a model's weights."""

    kind: str
    """`stored_name` of the transform."""
    recipe: dict[str, int | str]
    """The transform's fields."""
    version: int = 1
    """Version of the transform."""
    classes: tuple[str, ...]
    temperature: float
    fracture_bias: float = 0.0
    """Early models had none."""


@dataclass(frozen=True)
class Predictor:
    """Model, input transform, class list and calibration belong together."""

    model: Any
    """A `keras.Model`, or what is called like one: from features (n, rows, columns, planes) to logits (n, classes)."""
    transform: ImageTransform
    classes: ClassList
    temperature: float
    fracture_bias: float = 0.0
    """Added to the logits of fractured classes, before the temperature."""

    @classmethod
    def calibrated(
        cls,
        model: Any,
        transform: ImageTransform,
        classes: ClassList,
        features: NDArray[np.float16],
        allowed: NDArray[np.float32],
    ) -> Predictor:
        """With the temperature and the bias that suit validation images best.

        Those have `features` (n, rows, columns, planes) and `allowed` classes (n, classes). No weight was fitted to
        them; the design was chosen by them.
        """
        plain = cls(model, transform, classes, 1.0)
        heat, bias = calibrate(plain.logits(features), allowed, classes.fractured)
        return replace(plain, temperature=heat, fracture_bias=bias)

    def logits(self, features: NDArray[np.float16]) -> NDArray[np.float64]:
        """(n, rows, columns, planes) to (n, classes): the mean of what it says of an image and of its mirror image.

        A left hand in a mirror is a right hand: the same answer is due, and two looks err less than one.
        """

        def look(block: NDArray[np.float16]) -> NDArray[np.float64]:
            # a plain call: for few images many times faster than `model.predict`
            return np.asarray(self.model(block.astype(np.float32), training=False)).astype(np.float64)

        blocks = [features[start : start + BLOCK] for start in range(0, max(len(features), 1), BLOCK)]
        return np.concatenate([(look(block) + look(self.transform.mirrored(block))) / 2 for block in blocks])

    def from_features(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n, rows, columns, planes) to calibrated probabilities (n, classes)."""
        biased = self.logits(features) + self.fracture_bias * self.classes.fractured
        probabilities: NDArray[np.float64] = softmax(biased / self.temperature, axis=1)
        return probabilities

    def chance(self, name: str, features: NDArray[np.float16]) -> NDArray[np.float64]:
        """(n,): calibrated probability of a class by its name, wherever the model has it."""
        return self.from_features(features)[:, self.classes.names.index(name)]

    def answer(self, images: Sequence[NDArray[np.uint8] | None]) -> list[Answer]:
        """What the model says of images, as grey levels (height, width), or None of those that cannot be read."""
        silent = np.full(len(self.classes.names), np.nan)
        problems = ["unreadable" if pixels is None else no_radiograph(pixels) or "" for pixels in images]
        answers = [Answer("", float("nan"), silent, problem) for problem in problems]
        asked = {number: pixels for number, pixels in enumerate(images) if pixels is not None and not problems[number]}
        if asked:
            probabilities = self.from_features(np.stack([self.transform.apply(pixels) for pixels in asked.values()]))
            parts = [self.classes.parts[i] for i in self.classes.part_probability(probabilities).argmax(axis=1)]
            fractures = self.classes.fracture_probability(probabilities, parts)
            for number, part, fracture, row in zip(asked, parts, fractures, probabilities, strict=True):
                answers[number] = Answer(part, float(fracture), row, "")
        return answers

    def save(self, folder: Path) -> None:
        """Write the model and what it needs to a folder, for `load`."""
        self.model.save(folder / MODEL)
        stored = PredictorFile(
            kind=self.transform.stored_name,
            recipe=asdict(self.transform),
            version=self.transform.version,
            classes=self.classes.names,
            temperature=self.temperature,
            fracture_bias=self.fracture_bias,
        )
        (folder / RECIPE).write_text(stored.model_dump_json(indent=1))

    @classmethod
    def load(cls, folder: Path) -> Predictor:
        """Raises `IncompatibleTransformError` where the model learnt from inputs that this code makes otherwise."""
        import keras

        stored = PredictorFile.model_validate_json((folder / RECIPE).read_text())
        kind = TRANSFORMS.get(stored.kind)
        if kind is None or stored.version != kind.version:
            raise IncompatibleTransformError(
                f"it learnt from version {stored.version} of {stored.kind}, this code makes "
                f"{f'version {kind.version}' if kind else 'no such'}: only the registered artifact, which holds its "
                "own code, can answer for it"
            )
        model = keras.models.load_model(folder / MODEL, compile=False)
        transform = TypeAdapter(kind).validate_python(stored.recipe)
        return cls(model, transform, ClassList(stored.classes), stored.temperature, stored.fracture_bias)

    def to_lake(self, lake: Lake, out: str) -> None:
        """Leave the predictor under `out`, where `from_lake` finds it."""
        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder))
            lake.put_folder(out, Path(folder))

    @classmethod
    def from_lake(cls, lake: Lake, out: str) -> Predictor:
        """The predictor that a training left under `out`."""
        with tempfile.TemporaryDirectory() as folder:
            for name in (MODEL, RECIPE):
                (Path(folder) / name).write_bytes(lake.get_bytes(f"{out}/{name}"))
            return cls.load(Path(folder))
