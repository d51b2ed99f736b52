"""A notifier that keeps what it is given, where a test has no mail server."""

from __future__ import annotations

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

    def alert(self, alert: Alert) -> str:
        self.alerts.append(alert)
        return self.answer

    def notice(self, title: str, text: str, *pictures: Picture) -> str:
        self.texts.append(text)
        return self.answer
