"""Sources: those that could not be pulled, and what they publish no more. And the label map that all of them need."""

from __future__ import annotations

from osteon.quality.check import Check, Threshold, register


@register
class LabelMapIsWhole(Check):
    name = "label_map"
    table = "label_map"
    column = "problem"
    default = Threshold(severity="critical")
    title = "Every class has one code without gaps, and every word has one meaning."
    message = "The label map has {count} {problem|problems}: {details}."
    remedy = "Correct the label map (OSTEON_LABELS_FILE), then run again."


@register
class SourcesPulled(Check):
    name = "sources_pulled"
    table = "sources"
    column = "problem"
    default = Threshold(severity="warning")
    title = "Every source could be pulled."
    message = (
        "{count} {source|sources} could not be pulled: {names}. "
        "The run uses the last good version, or goes on without {it|them}."
    )
    remedy = "Do what the detail says, then run again."


@register
class RefusedFiles(Check):
    name = "refused_files"
    table = "sources"
    column = "refused"
    rule = "at_most"
    default = Threshold(severity="critical", maximum=0.5)
    title = "Most images that a source publishes can be read from its archive."
    unit = "%"
    message = (
        "Of {count} {source|sources} so many images were refused that the rest may mislead: {listed}. "
        "The reasons are those of unusable_images."
    )
    remedy = "Do what the reasons say, or disable the source in the sources file."


@register
class DroppedImages(Check):
    name = "dropped_images"
    table = "sources"
    column = "dropped"
    default = Threshold(severity="info")
    title = "Every source still publishes what it published in the run before."
    message = "{count} {source no longer publishes|sources no longer publish} images of the run before: {listed}."
    remedy = "Nothing is lost: old snapshots still hold them. Ask the publisher whether that was meant."
