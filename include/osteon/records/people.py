"""What people are asked in a run, and what they answer."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class PartQuestion(BaseModel):
    """Which body part does an image show?"""

    model_config = ConfigDict(frozen=True)

    image: str
    """SHA-256."""
    name: str
    """`source:path`."""
    why: str
    """Why it is asked, without a full stop."""


class PromotionQuestion(BaseModel):
    """May a new version become champion?"""

    model_config = ConfigDict(frozen=True)

    champion: str
    """Version of the champion that it would replace; empty where there is none."""
    name: str
    """Of the model in the registry."""
    why: str
    """A sentence."""


class Answer(BaseModel):
    """What a person answered, or that nobody did."""

    model_config = ConfigDict(frozen=True)

    about: str
    """`image` of a PartQuestion, or `champion` of a PromotionQuestion."""
    answer: str
    """One of the options; the one that stands for none where nobody answered."""
    by: str | None
    """Who answered; None where nobody did in time."""
