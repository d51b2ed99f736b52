"""A notifier that keeps what it is given, where a test has no mail server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from osteon.notify.alert import Alert
from osteon.notify.mails import Notice
from osteon.pipeline.context import SENT


@dataclass
class RecordingNotifier:
    """Each method answers `answer`, as if the mail had been sent, or not."""

    answer: str = SENT
    alerts: list[Alert] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    questions: list[Notice] = field(default_factory=list)

    def alert(self, alert: Alert, stage: str) -> str:
        self.alerts.append(alert)
        return self.answer

    def notice(self, notice: Notice) -> str:
        self.texts.append(notice.text)
        return self.answer

    def question(self, notice: Notice, asked: Sequence[str]) -> str:
        self.questions.append(notice)
        return self.answer
