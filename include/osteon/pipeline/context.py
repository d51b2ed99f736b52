"""What every stage of a run is given: settings, the lake, the run's records, and who is notified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from osteon.labels import LabelMap, load_labels
from osteon.lake import Lake
from osteon.runs import Run
from osteon.settings import Settings, load_settings

if TYPE_CHECKING:
    from osteon.curation.relabel import RelabelRules
    from osteon.notify.alert import Alert
    from osteon.notify.mails import Notice

SENT = "sent"
NO_MAIL = "this run sends no mail"
"""What a notifier answers. Any other answer says why the mail still waits in the outbox, where it is not lost."""


class Notifier(Protocol):
    """Mails people about a run. Each method returns SENT, NO_MAIL, or why the mail waits in the outbox.

    The same mail of the same run is sent once, also where a task runs again.
    """

    def alert(self, alert: Alert, stage: str) -> str:
        """Mail what the data-quality checks of a stage found."""

    def notice(self, notice: Notice) -> str:
        """Mail something that the run did."""

    def question(self, notice: Notice, asked: Sequence[str]) -> str:
        """Mail that the run waits for people. `asked` says what is asked: the same is mailed once in a run."""


class NoMail:
    """The notifier of a run outside Airflow, which knows no mail server."""

    def alert(self, alert: Alert, stage: str) -> str:
        return NO_MAIL

    def notice(self, notice: Notice) -> str:
        return NO_MAIL

    def question(self, notice: Notice, asked: Sequence[str]) -> str:
        return NO_MAIL


@dataclass(frozen=True)
class Context:
    """One run. `Context.open` reads the settings and opens the lake."""

    settings: Settings
    lake: Lake
    run: Run
    notifier: Notifier

    @classmethod
    def open(cls, run_id: str, notifier: Notifier | None = None, **settings: object) -> Context:
        """The context of a run.

        Args:
            run_id: Airflow's, or any name.
            notifier: None sends no mail.
            settings: Those that differ from the environment's.

        Raises:
            LakeError: The lake cannot be reached, or refuses.
        """
        found = load_settings(**settings)
        lake = Lake.from_settings(found)
        return cls(found, lake, Run(lake, run_id), notifier or NoMail())

    @cached_property
    def labels(self) -> LabelMap:
        """The label map. Raises `ConfigurationError` when it cannot be read."""
        return load_labels(self.settings.labels_file)

    @cached_property
    def relabel_rules(self) -> RelabelRules:
        """What base models may decide. Raises `ConfigurationError` when the file cannot be read."""
        from osteon.curation.relabel import load_rules

        return load_rules(self.settings.relabel_file, self.labels)

    def model_name(self, sources: str) -> str:
        """Name in the registry of what a sources file trains."""
        from osteon.sources.config import read_sources_file

        return read_sources_file(Path(sources)).model or self.settings.model_name
