"""Bring one source's current version into the lake, and leave a manifest of every file it published."""

from __future__ import annotations

import pandas as pd

from osteon.lake import Lake
from osteon.progress import parallel
from osteon.settings import Settings
from osteon.sources.base import PublishedFile, Source, is_image_name

MANIFEST_COLUMNS = {
    "source": "string",
    "source_version": "string",
    "licence": "string",
    "attribution": "string",
    "path": "string",
    "claims_image": "boolean",
    "sha256": "string",
    "bytes": "Int64",
    "raw_label": "string",
    "raw_split": "string",
    "reason": "string",
}


def ingest(settings: Settings, lake: Lake, source: Source) -> tuple[str, dict[str, int]]:
    """Pull a source. Returns the manifest's key and counts (`files`, `uploaded`, `refused`).

    The manifest is written last, so a pull that was killed is started again and uploads only what the lake lacks.
    A version that has its manifest is not pulled. Raises `SourceError`; the lake then has no new manifest.
    """
    version = source.latest_version()
    key = f"manifests/{source.name}/{version}.parquet"
    if lake.exists(key):
        return key, _counts(lake.get_table(key), uploaded=0)

    def keep(file: PublishedFile) -> tuple[dict[str, object], bool]:
        digest, uploaded = (None, False) if file.data is None else lake.put_image(file.data)
        return {
            "source": source.name,
            "source_version": version,
            "licence": source.licence,
            "attribution": source.attribution,
            "path": file.path,
            "claims_image": is_image_name(file.path),
            "sha256": digest,
            "bytes": None if file.data is None else len(file.data),
            "raw_label": file.raw_label,
            "raw_split": file.raw_split,
            "reason": file.reason,
        }, uploaded

    kept = parallel(keep, source.fetch(version), workers=settings.upload_workers, title=f"ingest {source.name}")
    manifest = pd.DataFrame([row for row, _ in kept]).astype(MANIFEST_COLUMNS).sort_values("path", ignore_index=True)
    lake.put_table(key, manifest)
    return key, _counts(manifest, uploaded=sum(uploaded for _, uploaded in kept))


def _counts(manifest: pd.DataFrame, uploaded: int) -> dict[str, int]:
    images = manifest[manifest["claims_image"]]
    return {"files": len(images), "uploaded": uploaded, "refused": int(images["sha256"].isna().sum())}
