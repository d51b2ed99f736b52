"""A model's versions in the registry: their aliases, their tags, and the way back to the champion before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osteon.errors import ConfigurationError
from osteon.registry.client import connect
from osteon.settings import RegistrySettings
from osteon.training.promotion import CHAMPION, PREVIOUS, Champion

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHALLENGER = "challenger"
TRAINING, TEST = "osteon.training", "osteon.test"
"""Tags of a version: key of its training; digest of the test images on which it was compared with the champion."""
RESTORED = "osteon.restored"
"""Tag of a champion that a rollback brought back."""
INSTEAD_OF = "osteon.instead_of"
"""Tag of a version that a rollback brought back: the version that it took back."""


@dataclass(frozen=True)
class RegisteredModel:
    """A name in the registry, and its versions."""

    client: MlflowClient
    name: str

    @classmethod
    def open(cls, settings: RegistrySettings, name: str) -> RegisteredModel:
        """Raises as `connect` does."""
        return cls(connect(settings), name)

    def version(self, number: str) -> ModelVersion:
        """The version of that number. MLflow raises where there is none."""
        return self.client.get_model_version(self.name, number)

    def named(self, alias: str) -> ModelVersion | None:
        """The version that an alias names; None where none does."""
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_model_version_by_alias(self.name, alias)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def of_training(self, training: str) -> ModelVersion | None:
        """The version that was registered from a training; None where none was."""
        found = self.client.search_model_versions(f"name='{self.name}' and tag.`{TRAINING}` = '{training}'")
        return next(iter(found), None)

    def compared_on(self, test: str) -> list[str]:
        """Trainings of the versions that were compared with a champion on the test images of this digest."""
        found = self.client.search_model_versions(f"name='{self.name}' and tag.`{TEST}` = '{test}'")
        return [version.tags.get(TRAINING, "") for version in found]

    def champion(self) -> Champion | None:
        """The champion, whoever gave it the alias; None where there is none."""
        version = self.named(CHAMPION)
        if version is None:
            return None
        tags = version.tags
        return Champion(
            str(version.version), tags.get(TRAINING, ""), tags.get("osteon.catalog", ""), tags.get(RESTORED, "")
        )

    def name_version(self, alias: str, number: str) -> None:
        """Give an alias to a version, and take it from any other."""
        self.client.set_registered_model_alias(self.name, alias, number)

    def tag(self, number: str, **tags: str) -> None:
        """Set tags of a version, each with `osteon.` before its name."""
        for name, value in tags.items():
            self.client.set_model_version_tag(self.name, number, f"osteon.{name}", value)


def champion(settings: RegistrySettings, name: str) -> Champion | None:
    """The champion of a model, whoever gave it the alias; None where there is none. Raises as `connect` does."""
    return RegisteredModel.open(settings, name).champion()


def rollback(settings: RegistrySettings, name: str, who: str, why: str) -> tuple[str, str]:
    """Make `previous` the champion again, and the champion `previous`. Returns the versions now and before.

    From then on a person has to approve what follows it. Otherwise the next week's model would be promoted by the same
    figures, as it is much like the one that was taken back.

    Raises:
        ConfigurationError: There is no previous champion, or one that Osteon did not register.
    """
    model = RegisteredModel.open(settings, name)
    now, before = model.named(CHAMPION), model.named(PREVIOUS)
    if now is None or before is None:
        raise ConfigurationError(f"{name} has no alias {CHAMPION if now is None else PREVIOUS}: there is no way back")
    if now.version == before.version and INSTEAD_OF in now.tags:  # a rollback broke off: it is finished
        now, before = model.version(now.tags[INSTEAD_OF]), now
    if now.version == before.version:
        raise ConfigurationError(f"version {now.version} of {name} is {CHAMPION} and {PREVIOUS}: there is no way back")
    if TRAINING not in before.tags:
        raise ConfigurationError(f"version {before.version} of {name} is not Osteon's: set the aliases by hand")
    taken_back, restored = str(now.version), str(before.version)
    model.tag(taken_back, rolled_back=f"by {who}: {why}")
    model.tag(restored, restored=f"by {who}: {why}", instead_of=taken_back)
    model.name_version(CHAMPION, restored)
    model.name_version(PREVIOUS, taken_back)
    return restored, taken_back
