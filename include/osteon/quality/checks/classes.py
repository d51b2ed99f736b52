"""Classes: enough images of each, and shares that do not drift."""

from __future__ import annotations

from osteon.quality.check import Check, Threshold, register


@register
class EnoughImages(Check):
    name = "enough_images"
    table = "taking_part"
    rule = "rows"
    default = Threshold(severity="critical", minimum=100)
    title = "There are enough images to train on."
    message = "There are too few images to train on: {observed} can be used, and at least {minimum} are needed."
    remedy = "Add sources, or find out why so many images were left out."


@register
class MissingClasses(Check):
    name = "missing_classes"
    table = "classes"
    column = "images"
    rule = "at_least"
    default = Threshold(severity="warning", minimum=1)
    title = "Every class has an image."
    message = "{count} {class has|classes have} no image: {names}."
    remedy = "Add a source that holds these classes. The model cannot learn them."
    unit = "images"


@register
class ClassMinimum(Check):
    name = "class_minimum"
    table = "classes"
    column = "originals_if_any"
    rule = "at_least"
    default = Threshold(severity="warning", minimum=20)
    title = "Every class that is there has enough originals."
    message = "{count} {class has|classes have} too few originals: {listed}."
    remedy = "Add images of these classes. Figures for them are little more than chance."
    unit = "originals"


@register
class ClassBalance(Check):
    name = "class_balance"
    table = "classes"
    column = "imbalance"
    rule = "at_most"
    default = Threshold(severity="warning", maximum=20)
    title = "No class is far smaller than the largest."
    message = "{count} {class is|classes are} far smaller than the largest: {listed}."
    remedy = "Add images of these classes, or merge them."
    unit = ": 1"


@register
class ClassShift(Check):
    name = "class_shift"
    table = "shift"
    column = "psi"
    rule = "at_most"
    default = Threshold(severity="warning", maximum=0.25)
    title = "The classes have the shares that the champion learnt from."
    message = "The shares of the classes have changed since the champion learnt, {details}."
    remedy = "Find out which source changed. Figures of the champion may not hold on these data."
    detail = "moved"


@register
class ClassShiftUnknown(Check):
    name = "class_shift_unknown"
    table = "champion"
    column = "unknown"
    default = Threshold(severity="info")
    title = "It is known what the champion learnt from, if there is one."
    message = "The shares of the classes were not compared with those that the champion learnt from: {details}."
    remedy = "They are compared again once MLflow answers and the lake holds the training of the champion."
