"""The inventory: how many files each source published under which label, and where they went."""

from __future__ import annotations

from typing import Any

import pandas as pd

from osteon import catalog as catalogs

KEYS = ["source", "body_part", "fracture", "label_origin", "raw_label", "raw_split"]
NOT_SAID = "not said"


def published_files(manifests: pd.DataFrame, catalog: pd.DataFrame) -> pd.DataFrame:
    """One row per published file that claims to be an image: KEYS, `sha256, group, fate`.

    `fate` is `train`, `val` or `test`; `left out`, `quarantined`, `exact copy`; or `not split` where the run stopped.
    """
    files = manifests.loc[manifests["claims_image"], ["source", "path", "sha256", "raw_label", "raw_split"]]
    columns = [
        "sha256",
        "source",
        "path",
        "body_part",
        "fractured",
        "label_origin",
        "group",
        "split",
        "quarantined",
    ]
    known = catalog[columns].rename(columns={"source": "first_source", "path": "first_path"})
    joined = files.merge(known, on="sha256", how="left")
    first = (joined["source"] == joined["first_source"]) & (joined["path"] == joined["first_path"])
    fate = joined["split"].astype("object")
    fate = fate.where(fate.notna(), "left out" if joined["split"].notna().any() else "not split")
    fate = fate.mask(joined["quarantined"].fillna(True).astype(bool), "quarantined")
    fate = fate.mask(joined["sha256"].notna() & ~first.fillna(False).astype(bool), "exact copy")
    return pd.DataFrame(
        {
            "source": joined["source"],
            "body_part": joined["body_part"].fillna(NOT_SAID),
            "fracture": catalogs.state_names(joined),
            "label_origin": joined["label_origin"].fillna(NOT_SAID),
            "raw_label": joined["raw_label"].fillna(NOT_SAID),
            "raw_split": joined["raw_split"].fillna(NOT_SAID),
            "sha256": joined["sha256"],
            "group": joined["group"],
            "fate": fate,
        }
    )


def head_count(files: pd.DataFrame) -> pd.DataFrame:
    """Per KEYS: `files` as published, `images` without exact copies and quarantined ones, `originals` (groups)."""
    images = files[~files["fate"].isin(["exact copy", "quarantined"])]
    table = pd.DataFrame({"files": files.groupby(KEYS).size()})
    table["images"] = images.groupby(KEYS).size()
    table["originals"] = images.groupby(KEYS)["group"].nunique()
    return table.fillna(0).astype(int).reset_index()


def passed_over(manifests: pd.DataFrame) -> pd.DataFrame:
    """Files that are no images of their source, by what they are: `source, reason, content, files`."""
    aside = manifests[~manifests["claims_image"]].assign(content=lambda files: files["content"].fillna(NOT_SAID))
    return aside.groupby(["source", "reason", "content"], dropna=False).size().reset_index(name="files")


def sankey(files: pd.DataFrame) -> str:
    """A page's part (HTML) that draws how each source's files flow into classes and from there into splits."""
    from plotly.graph_objects import Figure, Sankey

    classes = files["body_part"] + " / " + files["fracture"]
    classes = classes.where(files["body_part"] != NOT_SAID, "no single body part")
    flows = pd.concat(
        [
            pd.DataFrame({"left": "s:" + files["source"], "right": "c:" + classes}),
            pd.DataFrame({"left": "c:" + classes, "right": "f:" + files["fate"]}),
        ]
    )
    counts = flows.value_counts().sort_index().reset_index(name="files")
    nodes = sorted({*counts["left"], *counts["right"]})
    number = {name: index for index, name in enumerate(nodes)}
    colour = {"s": "#2f6f9f", "c": "#7a8794", "f": "#3c8d5a"}
    figure = Figure(
        Sankey(
            node={
                "label": [name[2:] for name in nodes],
                "color": [colour[name[0]] for name in nodes],
                "pad": 12,
                "thickness": 16,
            },
            link={
                "source": counts["left"].map(number).tolist(),
                "target": counts["right"].map(number).tolist(),
                "value": counts["files"].tolist(),
                "color": "rgba(120,135,150,0.25)",
            },
        )
    )
    rows = len({name for name in nodes if name.startswith("c:")})
    figure.update_layout(height=160 + 26 * rows, margin={"l": 8, "r": 8, "t": 8, "b": 8}, font={"size": 13})
    drawn: Any = figure.to_html(full_html=False, include_plotlyjs=True, config={"displaylogo": False})
    return str(drawn)
