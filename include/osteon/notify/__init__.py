"""Mails to people: what they look like as messages, and the outbox that loses none."""
