"""The outbox: a mail lies in the lake until a mail server has taken it.

Every mail is sent at least once. A mail that was posted is never lost: neither where the mail server does not answer,
nor where the process ends before it is sent. A process that ends between sending and noting it sends the mail again,
under the same Message-ID.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

from osteon.lake import Lake

WAITING, SENT_MARK = "outbox/waiting", "outbox/sent"
KEPT = timedelta(days=14)
"""How long a mail waits for a mail server. Older ones are given up, with an error in the log."""
log = logging.getLogger(__name__)


class MailNotSentError(Exception):
    """The mail server is not configured, cannot be reached, or refuses; the message says which and the remedy."""


def mail_id(*facts: object) -> str:
    """The id of a mail: the same facts are the same mail, which is sent once also where a task runs again."""
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Outbox:
    """The mails of a lake."""

    lake: Lake

    def post(self, identity: str, message: EmailMessage) -> None:
        """Keep a mail until it is sent. One that was sent before, or waits, is not posted again."""
        if not self.lake.exists(f"{SENT_MARK}/{identity}.json"):
            self.lake.put_missing(f"{WAITING}/{identity}.eml", message.as_bytes())

    def waiting(self) -> list[str]:
        """Keys of the mails that wait, the oldest first."""
        return self.lake.newest(f"{WAITING}/", ".eml")[::-1]

    def deliver(self, send: Callable[[bytes], None]) -> str:
        """Send what waits, the oldest first.

        Args:
            send: Sends a message. Raises `MailNotSentError`.

        Returns:
            Why sending stopped, from the mail server; empty where nothing waits any more.
        """
        for key in self.waiting():
            identity = key.removeprefix(f"{WAITING}/").removesuffix(".eml")
            if not self.lake.exists(f"{SENT_MARK}/{identity}.json"):
                try:
                    send(self.lake.get_bytes(key))
                except MailNotSentError as error:
                    self._give_up_old()
                    return str(error)
                self.lake.put_json(f"{SENT_MARK}/{identity}.json", {"sent": datetime.now(UTC).isoformat()})
            self.lake.remove(key)
        return ""

    def _give_up_old(self) -> None:
        for key in self.waiting():
            if self.lake.changed(key) < datetime.now(UTC) - KEPT:
                log.error("%s waited for a mail server for %d days: it is given up", key, KEPT.days)
                self.lake.remove(key)
