"""What sources state, held against what came: one check for each kind of note."""

from __future__ import annotations

from osteon.quality.check import Check, Threshold, register


class Statements(Check):
    """A check of one kind of note, which is a column of the table."""

    table = "statements"


@register
class PassedOver(Statements):
    name = "passed_over"
    default = Threshold(severity="warning", critical_share=0.5)
    title = "Every image of a source is taken for one."
    message = "Images were passed over for their names or places: {listed}."
    remedy = "Rename the files or move them, or correct the source's `images`."


@register
class NestedArchives(Statements):
    name = "nested_archives"
    column = "nested_archive"
    default = Threshold(severity="warning")
    title = "No archive lies unread in an archive."
    message = "{count} {archive lies|archives lie} unread in an archive: {listed}."
    remedy = "Unpack the archive, or give it as a source of its own."


@register
class UnreadTables(Statements):
    name = "unread_tables"
    column = "unread_table"
    default = Threshold(severity="info")
    title = "Every table of a source is read by a rule."
    message = "No rule reads {count} {table|tables}: {listed}."
    remedy = "Look whether the table says what the label rules want to know, and name it there."


@register
class AbsentFiles(Statements):
    name = "absent_files"
    column = "absent_file"
    default = Threshold(severity="warning")
    title = "Tables and label files speak of files that are there."
    message = "{count} {table or folder speaks|tables or folders speak} of files that are not there: {listed}."
    remedy = "Ask the publisher whether files are missing, and check that names in tables and files fit."


@register
class AbsentRows(Statements):
    name = "absent_rows"
    column = "absent_row"
    default = Threshold(severity="warning")
    title = "Tables and label files speak of every image."
    message = "{count} {table, folder or split lacks|tables, folders or splits lack} labels of images: {listed}."
    remedy = "Check names of folders and tables. Ask the publisher for the labels, or leave the images out by `images`."


@register
class Contradictions(Statements):
    name = "contradictions"
    column = "contradiction"
    default = Threshold(severity="warning", critical_share=0.1)
    title = "Two statements about one image agree."
    message = "A source says two things of {count} {image|images}: {listed}."
    remedy = "Look at the images and label them by hand. Until then they are left out."


@register
class UnreadableLabels(Statements):
    name = "unreadable_labels"
    column = "unreadable_label"
    default = Threshold(severity="warning", critical_share=0.2)
    title = "Every row and every label file can be read."
    message = "Labels are refused in {count} {file|files}: {listed}."
    remedy = "Mend the rows or files that are named, or set what the detail says in the label rules."


@register
class UnusedClasses(Statements):
    name = "unused_classes"
    column = "unused_class"
    default = Threshold(severity="info")
    title = "Every class that a source names is used."
    message = "{count} {file names|files name} classes without any label: {listed}."
    remedy = "Check that no label files are missing, and that the classes have the right numbers."


@register
class UnexpectedCounts(Statements):
    name = "unexpected_counts"
    column = "unexpected_count"
    default = Threshold(severity="warning")
    title = "A source has as many images as its publisher states."
    message = "Other numbers came than its publisher states: {listed}."
    remedy = "Fetch the source again, ask the publisher, or correct `expects`."


@register
class Guesses(Statements):
    name = "guesses"
    column = "guess"
    default = Threshold(severity="info")
    title = "Nothing about a source had to be assumed."
    message = "{count} {thing was|things were} assumed of sources: {listed}."
    remedy = "Check that it is right. Settings in the source's label rules fix it."


@register
class PersonalNames(Statements):
    name = "personal_names"
    column = "personal_name"
    default = Threshold(severity="warning")
    title = "No name of a file holds data of a person."
    message = "Names of files seem to hold data of people: {listed}."
    remedy = "Ask the publisher for pseudonyms. Do not share reports before that."
