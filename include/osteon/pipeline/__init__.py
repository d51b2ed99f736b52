"""The stages of a run: `stages` has the table of them, and the other modules say what each does."""
