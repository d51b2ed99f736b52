"""Labels that are wrong as a whole: inverted, shuffled, shifted, or changed at once; and foreign films."""

from __future__ import annotations

from osteon.quality.check import Check, Threshold, register


@register
class LabelsContradicted(Check):
    name = "labels_contradicted"
    table = "labels"
    column = "contradicted"
    default = Threshold(severity="critical")
    title = "What learnt from other labels agrees with the labels of every source."
    message = "The labels of {count} {source and kind are|sources and kinds are} wrong as a whole: {listed}."
    remedy = (
        "Compare the publisher's table with some films. Correct the source's label rules, or ask the publisher. "
        "Of two new sources that contradict each other, either may be wrong."
    )


@register
class LabelsAtChance(Check):
    name = "labels_at_chance"
    table = "labels"
    column = "at_chance"
    default = Threshold(severity="critical")
    title = "The labels of every source can be learnt from its images."
    message = "{count} {kind of label has|kinds of labels have} nothing to do with the images: {listed}."
    remedy = (
        "Compare the publisher's table with some films: rows may be shuffled. "
        "If the labels are right, set the severity to `warning`: what they say cannot be seen in small images."
    )


@register
class LabelsChanged(Check):
    name = "labels_changed"
    table = "labels"
    column = "changed"
    default = Threshold(severity="info")
    title = "The publisher changed no label since the version that was accepted before."
    message = "A publisher changed labels of images that were there before: {listed}."
    remedy = "Nothing has to be done. The new labels are used."


@register
class ManyLabelsChanged(Check):
    name = "many_labels_changed"
    table = "labels"
    column = "changed_share"
    rule = "at_most"
    default = Threshold(severity="critical", maximum=0.1)
    title = "No source changes many labels at once."
    message = "Many labels of images that were there before have changed: {listed}."
    remedy = "Ask the publisher. If the new labels are right, raise `maximum` for one run: they are accepted then."
    unit = "%"


@register
class FractureRates(Check):
    name = "fracture_rates"
    table = "labels"
    column = "rates"
    default = Threshold(severity="warning")
    title = "Body parts have about the share of fractures that they had, and have in other sources."
    message = "The share of fractures is far from the expected one: {listed}."
    remedy = "Sources may differ. Look whether words for fractured and not fractured were mixed up."


@register
class UnlikeFilms(Check):
    name = "unlike_films"
    table = "labels"
    column = "unlike"
    rule = "at_most"
    default = Threshold(severity="critical", maximum=0.2)
    title = "A source holds few images that are unlike all other films."
    message = "{count} {source holds|sources hold} images that are unlike all other films: {listed}."
    remedy = "Look at them. If they are photographs or pages, leave them out at the source, or drop them."
    detail = "unlike_films"
