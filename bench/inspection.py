"""Inspection of the real archives, every per-image check in one decode, against `cleanvision`'s own checks.

Both read the same files and use every core. `cleanvision` is told to load truncated images, or it stops at the first.
Absolute times say more about the machine than about Osteon; the ratio in the last line is what to compare.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from cleanvision import Imagelab
from PIL import ImageFile
from rich.console import Console

from osteon.curation.inspect import measure_all
from osteon.images.families import registered
from osteon.images.measure import IMAGE, Request
from osteon.settings import ROOT, load_settings
from osteon.sources.base import PublishedFile
from osteon.sources.config import open_source, read_sources_file

SOURCES = ROOT / "config" / "sources.fracatlas.yaml"


@dataclass(frozen=True)
class Folder:
    """Stands in for the lake: images by file name."""

    path: Path

    def get_image(self, name: str) -> bytes:
        return (self.path / name).read_bytes()


def unpack(folder: Path) -> list[str]:
    """Write every image of the archives to a folder; returns the names."""
    names: list[str] = []
    for entry in read_sources_file(SOURCES).sources:
        source = open_source(SOURCES, load_settings(), entry.name)
        for file in source.fetch(source.latest_version()):
            if (
                isinstance(file, PublishedFile)
                and file.data is not None
                and file.path.lower().endswith((".jpg", ".jpeg", ".png"))
            ):
                names.append(f"{len(names):05d}{Path(file.path).suffix}")
                (folder / names[-1]).write_bytes(file.data)
    return names


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="osteon-bench-") as path:
        folder = Path(path)
        names = unpack(folder)
        wanted = [Request(name, (IMAGE, *registered()), fingerprint=True) for name in names]
        start = time.perf_counter()
        found = list(measure_all(Folder(folder), wanted, load_settings()))  # type: ignore[arg-type]
        ours = time.perf_counter() - start
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        lab = Imagelab(data_path=str(folder), verbose=False)
        start = time.perf_counter()
        lab.find_issues(n_jobs=os.cpu_count(), verbose=False)
        theirs = time.perf_counter() - start
    console = Console(width=None if sys.stdout.isatty() else 100)
    truncated = sum(bool(row.values[IMAGE.name]["truncated"]) for row in found if row.problem is None)
    console.print(
        f"osteon: {len(found)} images in {ours:.1f} s, starting its processes included; {truncated} truncated"
    )
    console.print(f"cleanvision: the same images in {theirs:.1f} s")
    console.print(lab.issue_summary.set_index("issue_type")["num_images"].to_string())
    console.print(f"osteon is {theirs / ours:.1f} times faster than cleanvision")


if __name__ == "__main__":
    main()
