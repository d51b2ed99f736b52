"""The checks: which table each looks at, which expectation states it, and what to tell the curator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from osteon.errors import ConfigurationError
from osteon.strict_yaml import read_yaml

Severity = Literal["info", "warning", "critical"]
Table = Literal[
    "images", "taking_part", "coverage", "classes", "shift", "champion", "label_map", "sources", "groups", "pairs",
    "neighbours", "placements",
]  # fmt: skip
"""What the checks look at: the first ten after `review`, the last two after `split`."""


class Threshold(BaseModel):
    """How bad a check's failure is, and from where on; see `config/quality.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    severity: Severity
    max_share: float = Field(0.0, ge=0, le=1)
    critical_share: float | None = Field(None, gt=0, le=1)
    minimum: int | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _critical_is_a_finding(self) -> Threshold:
        if self.critical_share is not None and self.critical_share <= self.max_share:
            raise ValueError(f"nothing up to max_share {self.max_share} is a finding: critical_share must be above it")
        return self


@dataclass(frozen=True)
class Check:
    """One check.

    `expectation` names a class of `great_expectations.expectations`; an argument whose value is `minimum` or `maximum`
    is taken from the threshold.
    """

    name: str
    table: Table
    column: str | None
    expectation: str
    arguments: tuple[tuple[str, Any], ...]
    claim: str
    """What is expected, as Data Docs say it."""
    detail: str
    """Column that says, for an offending row, what is wrong with it."""
    message: str
    """A sentence with `{count}` and `{share}`."""
    remedy: str
    order: str | None = None
    """Column that offenders are listed by, instead of the worst first."""
    unit: str = ""
    """Of `detail`, where that is a number."""


def _check(
    name: str,
    table: Any,
    column: str | None,
    expectation: str,
    claim: str,
    detail: str,
    message: str,
    remedy: str,
    order: str | None = None,
    unit: str = "",
    **arguments: Any,
) -> Check:
    return Check(
        name, table, column, expectation, tuple(arguments.items()), claim, detail, message, remedy, order, unit
    )


NULL, NOT_NULL, BETWEEN = "ExpectColumnValuesToBeNull", "ExpectColumnValuesToNotBeNull", "ExpectColumnValuesToBeBetween"

DECIDE = "osteon review A --copies B --who NAME --why REASON, or --no-copies B"
CHECKS = (
    _check("label_map", "label_map", "problem", NULL, "Every body part and fracture state has one code, without gaps, and no word means two things.", "problem",
           "Gaps and contradictions in the label map: {count}.",
           "Mend the label map (OSTEON_LABELS_FILE) and run again."),
    _check("sources_pulled", "sources", "problem", NULL, "Every source could be pulled.", "problem",
           "Sources that could not be pulled, so that the run goes on with their last good version or without them: {count}.",
           "Do what the detail says, then run again."),
    _check("dropped_images", "sources", "dropped", NULL, "Every source still publishes what it published in the run before.", "dropped",
           "Sources that no longer publish some images of the run before: {count}.",
           "Nothing is lost: old snapshots still hold them. Ask the publisher if it was meant."),
    _check("enough_images", "taking_part", None, "ExpectTableRowCountToBeBetween", "There are enough images to train on.", "",
           "There are too few images that can be trained on.", "Add sources, or look at why so many were left out.",
           min_value="minimum"),
    _check("unusable_images", "images", "unusable", NULL, "Every image can be decoded, is large enough and shows something.", "unusable",
           "Images that cannot be used: {count} ({share}).", "Nothing is lost: they stay in the lake. Ask the publisher for whole files."),
    _check("truncated", "images", "broken_stream", NULL, "Every image's stream is whole.", "broken_stream",
           "Images with a broken stream: {count} ({share}).", "The missing part was set to zero in a copy; replace them by whole files."),
    _check("unknown_labels", "images", "unknown_label", NULL, "Every label is in the label map.", "unknown_label",
           "Images with labels that the label map does not hold: {count} ({share}).",
           "Add the words as aliases to the label map, or mend the source's label rules."),
    _check("missing_labels", "images", "raw_label", NOT_NULL, "Every image has a label.", "raw_label",
           "Images without any label: {count} ({share}).", "Mend the source's label rules, or label them."),
    _check("label_coverage", "coverage", "silent", BETWEEN, "What a source says of some images, it says of nearly all.", "silent",
           "Sources that do not say of many images what they say of others: {count}.",
           "See whether files and label tables fit, names and folders above all; mend the source's label rules.",
           unit="of its images", max_value="maximum"),
    _check("ambiguous_labels", "images", "ambiguous_label", NULL, "Every label says one body part.", "ambiguous_label",
           "Images of several body parts, or of which none is said: {count} ({share}).",
           "They are left out, unless relabelling gives them a part. Label them by hand, or let the base models decide."),
    _check("conflicting_labels", "images", "conflict", NULL, "Copies of one picture agree in their labels.", "conflict",
           "Images whose copies contradict each other's labels: {count} ({share}).", "Decide which label is right; until then they are left out.", order="group"),
    _check("exact_copies", "images", "exact_copies", NULL, "No image is published twice, byte for byte.", "exact_copies",
           "Images that were published several times, byte for byte: {count} ({share}).", "Nothing to do: each is used once."),
    _check("near_copies", "images", "near_copies", NULL, "No image is a re-exported, resized, rotated or mirrored copy of another.", "near_copies",
           "Images of which there are re-exported, resized, rotated or mirrored copies, all together: {count} ({share}).",
           "Nothing to do: copies of one original always stay in one split.", order="group"),
    _check("leaking_split", "images", "leaking_split", NULL, "No picture stands in several of its publisher's splits.", "leaking_split",
           "Images that stand, as copies, in several of their publisher's splits: {count} ({share}).",
           "Do not trust figures measured on the publisher's split; Osteon makes its own.", order="group"),
    _check("possible_copies", "pairs", "possible", NULL, "Every two images are copies, or clearly are not.", "possible",
           "Pairs of images that may show one film: {count}.", f"Each pair stands in one split until you decide: {DECIDE}."),
    _check("contradicting_paths", "pairs", "contradiction", NULL, "A source publishes one film under one path.", "contradiction",
           "Pairs of different films that one source published under one path: {count}.",
           f"Ask the publisher. They count as two films; if they are one: {DECIDE}."),
    _check("mosaics", "images", "mosaic", NULL, "No image shows several films side by side.", "mosaic",
           "Images that several films were put together in, which are left out: {count} ({share}).",
           "Nothing to do. If one is a single film: osteon review IMAGE --keep --who NAME --why REASON."),
    _check("large_group", "groups", "images", BETWEEN, "No film has very many copies.", "images",
           "Groups of very many copies of one film: {count}.", f"Look whether they are one film; decide about pairs: {DECIDE}.",
           unit="images", max_value="maximum"),
    _check("dominant_group", "groups", "part", BETWEEN, "Copies of one film are a small part of all images.", "part",
           "Groups of copies that are a large part of all images: {count}.", f"Look whether they are one film; decide about pairs: {DECIDE}.",
           unit="of all images", max_value="maximum"),
    _check("dark_bands", "images", "dark_band", BETWEEN, "No image has a wide flat black band at an edge.", "band_where",
           "Images with a wide black band at an edge, as if cut and padded before they were published: {count} ({share}).",
           "Look at them: what is missing cannot be mended. Ask the publisher for the originals.", max_value="maximum"),
    _check("bright_bands", "images", "bright_band", BETWEEN, "No image has a wide flat grey or white band at an edge.", "band_where",
           "Images with a wide grey or white band at an edge, cut and padded or with an unexposed margin: {count} ({share}).",
           "Look at them: what is missing cannot be mended. Ask the publisher for the originals.", max_value="maximum"),
    _check("low_contrast", "images", "contrast", BETWEEN, "Every image has contrast.", "contrast", "Images with hardly any contrast: {count} ({share}).",
           "Look at them; a failed exposure or export teaches nothing.", unit="grey levels", min_value="minimum"),
    _check("inverted", "images", "median", BETWEEN, "Bones are bright on every image.", "median", "Images that look like negatives, bones dark on white: {count} ({share}).",
           "Invert them at the source, or leave them out.", unit="median grey level", max_value="maximum"),
    _check("several_exposures", "images", "gutter", BETWEEN, "Every film holds one exposure.", "gutter", "Films with several exposures side by side: {count} ({share}).",
           "Nothing to do, unless their labels are about one of the exposures only.", unit="of height or width is the gap", max_value="maximum"),
    _check("extreme_aspect", "images", "aspect", BETWEEN, "No image is extremely long or wide.", "aspect", "Extremely long or wide images: {count} ({share}).",
           "Look at them: a strip shows little once it is scaled.", unit=": 1", max_value="maximum"),
    _check("colour_images", "images", "colour", BETWEEN, "No image is in colour.", "colour", "Images in colour, photographs or screenshots: {count} ({share}).",
           "Leave them out at the source: a radiograph has no colour.", unit="grey levels between channels", max_value="maximum"),
    _check("cross_sections", "images", "oval", BETWEEN, "No image is a cross-section.", "oval", "Images that look like CT slices, ovals with air all around: {count} ({share}).",
           "Leave them out at the source: a cross-section is no radiograph.", unit="overlap with an ellipse", max_value="maximum"),
    _check("burnt_in_text", "images", "text", BETWEEN, "No image has text burnt in.", "text", "Images with text burnt in: {count} ({share}).",
           "Make sure that it names no person. A model may learn the text of a publisher instead of the bone.", unit="characters", max_value="maximum"),
    _check("suspected_labels", "images", "suspected_label", NULL, "A classifier that never saw the image does not doubt its label.", "suspected_label",
           "Doubtful labels, with which a classifier that never saw the image disagrees: {count} ({share}).",
           "Look at them, the most doubtful first; nothing was changed.", order="doubt_rank"),
    _check("missing_classes", "classes", "images", BETWEEN, "Every class has an image.", "images",
           "Classes of the label map without any image: {count}.", "Add a source that holds them; the model cannot learn them.",
           unit="images", min_value=1),
    _check("class_minimum", "classes", "originals_if_any", BETWEEN, "Every class that is there has enough originals.", "originals_if_any",
           "Classes with too few originals: {count}.", "Add images of these classes; figures for them are little more than chance.",
           unit="originals", min_value="minimum"),
    _check("class_balance", "classes", "imbalance", BETWEEN, "No class is far smaller than the largest.", "imbalance",
           "Classes far smaller than the largest one: {count}.", "Add images of these classes, or merge them.",
           unit=": 1", max_value="maximum"),
    _check("class_shift", "shift", "psi", BETWEEN, "The classes' shares are those that the champion learnt.", "moved",
           "The classes' shares have shifted since the champion learnt them.",
           "See which source changed; figures of the champion may not hold on such data.", max_value="maximum"),
    _check("class_shift_unknown", "champion", "unknown", NULL, "It is known what the champion learnt, if there is one.", "unknown",
           "The classes' shares were not compared with those that the champion learnt.",
           "They are compared again once the registry answers, and Osteon registered the champion from this lake."),
    _check("copy_across_splits", "neighbours", "copy", NULL, "No test image has a copy in train or val.", "copy",
           "Test images with a copy in train or val: {count} ({share}).",
           "The lake knows these copies now: run again, and each pair stands in one split. "
           "If two are different films: osteon review A --no-copies B --who NAME --why REASON."),
    _check("possible_across_splits", "neighbours", "possible", NULL, "No test image has a possible copy in train or val.", "possible",
           "Test images with a possible copy in train or val: {count} ({share}).", f"Look at each pair and decide: {DECIDE}."),
    _check("not_compared", "neighbours", "not_compared", NULL, "Every image of the split has a fingerprint.", "not_compared",
           "Images of the split without a fingerprint, which were compared with nothing: {count}.",
           "Run again from `inspect`, which makes what is missing. What cannot be decoded any more, leave out."),
    _check("moved_placements", "placements", "moved", NULL, "Every image stays in its split.", "moved",
           "Images that stood in another split before: {count}.",
           "Their clusters were joined. Figures of earlier models on them are no longer of unseen images."),
)  # fmt: skip


def load_thresholds(path: Path) -> dict[str, Threshold]:
    """Read the quality file. Raises `ConfigurationError` for a missing file, an unknown or a forgotten check."""
    names = {check.name for check in CHECKS}
    try:
        raw = read_yaml(path)
        thresholds = {name: Threshold.model_validate(value) for name, value in raw.items()}
    except FileNotFoundError:
        raise ConfigurationError(f"there is no quality file at {path}: set OSTEON_QUALITY_FILE") from None
    except (yaml.YAMLError, ValidationError, AttributeError) as error:
        raise ConfigurationError(f"the quality file {path} cannot be read: {error}") from error
    if names != set(thresholds):
        odd = sorted(names ^ set(thresholds))
        raise ConfigurationError(f"{path} must name every check once; missing or unknown: {', '.join(odd)}")
    for check in CHECKS:
        for _, value in check.arguments:
            if value in ("minimum", "maximum") and getattr(thresholds[check.name], value) is None:
                raise ConfigurationError(f"{path}: {check.name} could never fail: give its `{value}`")
    return thresholds
