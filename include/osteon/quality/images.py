"""The images of a run as checks see them: the catalog, what was measured, and masks that several checks share.

Every check's module imports this one, so it imports the stages that it asks only where it asks them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from osteon import catalog as catalogs
from osteon.labels import LabelMap


@dataclass(frozen=True)
class Images:
    """Images that checks look at: not those that a curator dropped, nor mosaics. All tables have one index."""

    catalog: pd.DataFrame
    """As `osteon.schemas.Reviewed` describes it."""
    publications: pd.DataFrame
    """Every file that images of the run were published as, see `osteon.schemas.Publications`."""
    labels: LabelMap
    measured: pd.DataFrame
    """What `read_measurements` gives; empty for an image that was not measured."""

    @cached_property
    def usable(self) -> pd.Series:
        """Whether each is not quarantined."""
        return catalogs.usable(self.catalog)

    @cached_property
    def whole(self) -> pd.Series:
        """Whether each is usable and its file is not truncated: a truncated file is a finding of its own."""
        return self.usable & ~self.catalog["truncated"].fillna(False).astype(bool)

    @cached_property
    def labelled_by_curators(self) -> pd.Series:
        """Whether a curator labelled each image."""
        return self.catalog["label_origin"] == catalogs.HUMAN

    @cached_property
    def unknown_words(self) -> pd.Series:
        """Words of each image's labels that the label map does not hold; empty for none, or where a curator decided."""
        from osteon.curation.publications import words_of

        words = self.catalog["sha256"].map(words_of(self.publications, "unknown_words"))
        return words.mask(self.labelled_by_curators)
