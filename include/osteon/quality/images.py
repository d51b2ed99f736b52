"""The images of a run as checks see them: the catalog, what was measured, and masks that several checks share.

Every check's module imports this one, so it imports the stages that it asks only where it asks them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from osteon import catalog as catalogs
from osteon.labels import Label, LabelMap


@dataclass(frozen=True)
class Images:
    """Images that checks look at: not those that a curator dropped, nor mosaics. All tables have one index."""

    catalog: pd.DataFrame
    """As `osteon.catalog` describes it."""
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
        from osteon.curation.review import HUMAN

        return self.catalog["label_origin"].fillna("") == HUMAN

    @cached_property
    def unknown_words(self) -> pd.Series:
        """Words of each image's labels that the label map does not hold; empty for none, or where a curator decided."""
        published = self.catalog["published"]
        raws = {item["raw_label"] for items in published for item in items}
        meanings: dict[str | None, Label] = {raw: self.labels.resolve(raw) for raw in raws}
        found = []
        for items in published:
            words = {word for item in items for word in meanings[item["raw_label"]].unknown}
            found.append(", ".join(sorted(words)) or None)
        return pd.Series(found, index=self.catalog.index, dtype="object").mask(self.labelled_by_curators)

    @cached_property
    def conflicts(self) -> pd.Series:
        """Who says what of each image whose copies contradict each other, see `osteon.curation.conflicts`."""
        from osteon.curation.conflicts import conflicts

        return conflicts(self.catalog, self.labels)
