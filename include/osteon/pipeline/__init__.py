"""The stages of a run: one table of them (`stages`), and what each does (`data`, `relabelling`, `release`)."""
