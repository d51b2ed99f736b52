"""Osteon's own exceptions. Each message names the offender and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class OsteonError(Exception):
    """Base of every error that Osteon raises on purpose."""


class ConfigurationError(OsteonError):
    """A setting or a configuration file is missing or wrong."""


class ExtensionError(OsteonError):
    """A check or a publisher cannot be loaded, or does something else than it declares."""


class SourceError(OsteonError):
    """A source cannot be read: missing archive, missing column, hostile zip, empty source."""


class LakeError(OsteonError):
    """The object store refused, or holds something it must not hold."""


class ObjectError(LakeError):
    """The lake holds no such object, or not in a form that this code reads."""


class CatalogError(OsteonError):
    """A catalog does not have the columns or the values that its schema asks for."""


class HistoryError(OsteonError):
    """A fact does not have the columns or the values that its kind asks for."""


class QualityError(OsteonError):
    """A critical data-quality finding: the pipeline stops before training."""


class TrainingError(OsteonError):
    """Training cannot give a model that its figures could be trusted for."""


class IncompatibleTransformError(TrainingError):
    """A model cannot be asked by this code, which would show it something else than what it learnt from."""


class RegistryError(OsteonError):
    """The MLflow registry refuses, or is no registry."""


class RetryableError(OsteonError):
    """Nothing is wrong with data or settings: what failed may succeed when it is tried again."""


class LakeUnreachableError(LakeError, RetryableError):
    """The object store does not answer."""


class RegistryUnreachableError(RegistryError, RetryableError):
    """The MLflow registry does not answer."""


class SourceUnreachableError(SourceError, RetryableError):
    """A publisher does not answer, or breaks off again and again."""


class ServiceError(OsteonError):
    """An embedded service did not start, or its port is taken."""


@contextmanager
def during(what: str) -> Iterator[None]:
    """Name what is done here in every exception that Osteon does not raise on purpose: see `in_words`.

    Args:
        what: A participle and its object: `reading a/b.jpg`.
    """
    try:
        yield
    except OsteonError:
        raise
    except Exception as error:
        error.add_note(f"while {what}")
        raise


def in_words(error: Exception) -> str:
    """An error as people are told of it: what Osteon raised on purpose says it all, of others the log holds the rest.

    The message of others is left out, for it may hold what is secret.
    """
    if isinstance(error, OsteonError):
        return str(error)
    places = ", ".join(getattr(error, "__notes__", ()))
    return f"{type(error).__name__} {places or 'at an unknown place'}: see the task's log"
