"""The split, before anything is trained on it: no copy crosses it, and no image moves."""

from __future__ import annotations

from osteon.quality.check import Check, Threshold, register
from osteon.quality.checks.copies import DECIDE


@register
class CopyAcrossSplits(Check):
    name = "copy_across_splits"
    table = "neighbours"
    column = "copy"
    default = Threshold(severity="critical")
    title = "No test image has a copy in train or val."
    message = "{count} test {image has|images have} a copy in train or val ({share})."
    remedy = (
        "The lake knows these copies now: run again, and each pair stands in one split. "
        "If two are different films: osteon review A --no-copies B --who NAME --why REASON."
    )


@register
class PossibleAcrossSplits(Check):
    name = "possible_across_splits"
    table = "neighbours"
    column = "possible"
    default = Threshold(severity="warning")
    title = "No test image has a possible copy in train or val."
    message = "{count} test {image has|images have} a possible copy in train or val ({share})."
    remedy = f"Look at each pair and decide: {DECIDE}."


@register
class NotCompared(Check):
    name = "not_compared"
    table = "neighbours"
    column = "not_compared"
    default = Threshold(severity="warning")
    title = "Every image of the split has a fingerprint."
    message = "{count} {image of the split has|images of the split have} no fingerprint and {was|were} not compared."
    remedy = "Run again from `inspect`, which makes missing fingerprints. Leave out what cannot be decoded any more."


@register
class MovedPlacements(Check):
    name = "moved_placements"
    table = "placements"
    column = "moved"
    default = Threshold(severity="warning")
    title = "Every image stays in its split."
    message = "{count} {image has|images have} moved to another split: {its cluster was|their clusters were} joined."
    remedy = "Do not compare figures of earlier models on these images: they are no longer unseen there."
