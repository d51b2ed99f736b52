"""A notifier that keeps what it is given, where a test has no mail server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from osteon.pipeline.context import SENT
from osteon.quality.alert import Alert
from osteon.quality.pictures import Picture


@dataclass
class RecordingNotifier:
    """Each method answers `answer`, as if the mail had been sent, or not."""

    answer: str = SENT
    alerts: list[Alert] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    questions: list[tuple[str, str, list[Picture]]] = field(default_factory=list)

    def alert(self, alert: Alert, stage: str) -> str:
        self.alerts.append(alert)
        return self.answer

    def notice(self, title: str, text: str, *pictures: Picture) -> str:
        self.texts.append(text)
        return self.answer

    def question(self, title: str, text: str, *pictures: Picture, asked: Sequence[str]) -> str:
        self.questions.append((title, text, list(pictures)))
        return self.answer
