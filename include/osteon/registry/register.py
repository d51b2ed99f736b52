"""Make a training a version in the registry, and the champion where `training.promotion` decides so."""

from __future__ import annotations

from dataclasses import dataclass

from osteon.errors import RetryableError
from osteon.lake import Lake
from osteon.records import ComparisonKey, RegisterRecord, TrainingKey
from osteon.registry.log import log_training
from osteon.registry.versions import CHALLENGER, RegisteredModel
from osteon.results import BaseModelResult, Comparison, TrainingResult, result_key
from osteon.settings import Settings
from osteon.training.compare import read_comparison
from osteon.training.promotion import (
    CHAMPION,
    PREVIOUS,
    Approval,
    Champion,
    Decision,
    ask_people,
    decide,
    refused_by_people,
    version_of,
)

REGISTERED = "osteon.registered"
"""Tag that a registration sets last: without it, the registration broke off."""


@dataclass(frozen=True)
class Proposal:
    """A promotion that a person is asked to approve."""

    champion: str
    """Version of the champion that would be replaced; empty where there is none."""
    reason: str


def register(
    settings: Settings,
    lake: Lake,
    comparison: ComparisonKey,
    name: str,
    catalog: str = "",
    approval: Approval | None = None,
) -> RegisterRecord:
    """Register the main model of a comparison as a version of model `name`; no training gets a second version.

    It becomes `champion` where the promotion rules say so and no person refuses it; the old champion is then
    `previous`. Otherwise it is `challenger`, with the reason as a tag.

    Args:
        settings: Of the installation.
        lake: Holds the comparison and its trainings.
        comparison: Key of the comparison.
        name: Of the model in the registry.
        catalog: Key of the reviewed catalog, which the next run is compared with.
        approval: What a person said who was asked; None where nobody was.

    Raises:
        RetryableError: Another version became champion meanwhile.
    """
    compared = read_comparison(lake, comparison)
    training = TrainingKey(compared.rows[0].training)
    model = RegisteredModel.open(settings, name)
    held, known = model.champion(), model.of_training(training)
    if known is not None and REGISTERED in known.tags:
        known = model.version(str(known.version))  # a search tells no aliases
        return RegisterRecord(
            model=name,
            version=str(known.version),
            alias=", ".join(known.aliases) or "without an alias now",
            promoted=False,
            reason=f"registered before: {known.tags['osteon.reason']}",
            champion=version_of(held),
            new=False,
            training=training,
            comparison=comparison,
        )
    if known is not None:  # a registration that broke off is taken up where it stopped
        version = str(known.version)
    else:
        result = lake.get_model(TrainingResult, result_key(training))
        version = log_training(settings, lake, training, result, name, compared)
    model.tag(version, catalog=catalog)
    if known is not None and version_of(held) == version:
        decision = Decision(True, known.tags.get("osteon.reason", "made champion by hand"))
    else:
        decision = ask_people(_decide(settings, lake, model, compared, held), held, approval)
        _name(model, version, decision, held)
    model.tag(version, registered="yes")
    return RegisterRecord(
        model=name,
        version=version,
        alias=CHAMPION if decision.promoted else CHALLENGER,
        promoted=decision.promoted,
        reason=decision.reason,
        champion=version if decision.promoted else version_of(held),
        new=True,
        training=training,
        comparison=comparison,
    )


def propose(settings: Settings, lake: Lake, comparison: ComparisonKey, name: str, always: bool) -> Proposal | None:
    """What a person is asked before `register` with the same arguments; None where there is nothing to ask.

    That is: the training is registered, the promotion rules refuse it, or, unless `always`, no rollback brought the
    champion back.
    """
    compared = read_comparison(lake, comparison)
    model = RegisteredModel.open(settings, name)
    held, known = model.champion(), model.of_training(compared.rows[0].training)
    if (known is not None and REGISTERED in known.tags) or not (always or refused_by_people(held, None)):
        return None
    decision = _decide(settings, lake, model, compared, held)
    return Proposal(version_of(held), decision.reason) if decision.promoted else None


def register_base(settings: Settings, lake: Lake, training: TrainingKey, name: str) -> str:
    """Register a base model's training as a version of `name`, once; the newest is `champion`. Returns the version."""
    model = RegisteredModel.open(settings, name)
    known, held = model.of_training(training), model.champion()
    if known is not None:
        version = str(known.version)
    else:
        result = lake.get_model(BaseModelResult, result_key(training))
        version = log_training(settings, lake, training, result, name)
    if held is None or int(held.version) < int(version):
        model.name_version(CHAMPION, version)
    return version


def _decide(
    settings: Settings, lake: Lake, model: RegisteredModel, compared: Comparison, held: Champion | None
) -> Decision:
    training = compared.rows[0].training
    return decide(
        settings, lake, compared, held, lambda test: sum(other != training for other in model.compared_on(test))
    )


def _name(model: RegisteredModel, version: str, decision: Decision, held: Champion | None) -> None:
    """Set the tags and aliases that a decision gives a version."""
    model.tag(version, reason=decision.reason, test=decision.test)
    if version_of(model.champion()) != version_of(held):
        raise RetryableError(f"{model.name} got another champion meanwhile: compare with that one")
    if decision.promoted and held is not None:
        model.name_version(PREVIOUS, held.version)
    model.name_version(CHAMPION if decision.promoted else CHALLENGER, version)
