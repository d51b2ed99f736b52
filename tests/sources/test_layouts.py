"""Generated sets in publishers' layouts, from ingest to split, with the entries of the documentation and of config/."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import yaml

from osteon import catalog as catalogs
from osteon.ingest import read_notes
from osteon.records import SplitRecord
from osteon.schemas import Split
from osteon.settings import ROOT
from tests.pictures import encode, radiograph
from tests.runs import record_of, run_to_split
from tests.sources.test_archive import make_folder, make_zip

BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COUNT = 8
"""Films of a set; every second one is fractured."""
BOX = b"%d .5 .5 .1 .1\n"
SEEDS = count()
Files = dict[str, bytes]


def entries() -> dict[str, dict[str, Any]]:
    """All entries of the page on label rules, and those of the catalogue of real sets."""
    page = (ROOT / "docs" / "label-rules.md").read_text()
    blocks = [entry for text in BLOCK.findall(page) for entry in yaml.safe_load(text)]
    return {
        entry["name"]: entry
        for entry in [*yaml.safe_load((ROOT / "config" / "sources.yaml").read_text())["sources"], *blocks]
    }


def film(number: int, deep: bool = False) -> bytes:
    """A film that no other layout has: a PNG of 16 bits, or a JPEG."""
    picture = radiograph(next(SEEDS), fractured=number % 2 == 1)
    return encode(picture.astype(np.uint16) * 257, "PNG") if deep else encode(picture)


def split_of(number: int) -> str:
    return ("train", "valid", "test")[number % 3]


def voc(fractured: bool) -> bytes:
    return f"<annotation>{'<object><name>fracture</name></object>' * fractured}</annotation>".encode()


def coco(names: dict[str, bool]) -> bytes:
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    boxes = [{"image_id": number, "category_id": 1} for number, state in enumerate(names.values()) if state]
    categories = [
        {"id": 0, "name": "bones", "supercategory": "none"},
        {"id": 1, "name": "fracture", "supercategory": "bones"},
    ]
    return json.dumps({"images": images, "annotations": boxes, "categories": categories}).encode()


def fracatlas() -> Files:
    files, rows = {}, ["image_id,hand,leg,hip,shoulder,mixed,fractured,fracture_count"]
    for number in range(COUNT):
        state = number % 2
        files[f"FracAtlas/images/{'Fractured' if state else 'Non_fractured'}/IMG{number:07}.jpg"] = film(number)
        rows.append(f"IMG{number:07}.jpg,1,0,0,0,0,{state},{2 * state}")
    return {**files, "FracAtlas/dataset.csv": "\n".join(rows).encode()}


def grazpedwri() -> Files:
    files, rows = {}, ["filestem,patient_id,study_number,age,gender,laterality,fracture_visible,metal"]
    for number in range(COUNT):
        stem = f"{number // 2:04}_1297860395_{number % 2 + 1:02}_WRI-L1_M014"
        files[f"images_part{number % 4 + 1}/{stem}.png"] = film(number, deep=True)
        rows.append(f"{stem},{number // 2},1,14.1,M,L,{'1' if number % 2 else ''},")
    return {**files, "dataset.csv": "\r\n".join(rows).encode()}


def grazpedwri_boxes() -> Files:
    names = ["boneanomaly", "bonelesion", "foreignbody", "fracture", "metal"]
    names += ["periostealreaction", "pronatorsign", "softtissue", "text"]
    files = {"meta.yaml": yaml.safe_dump({"nc": 9, "names": names}).encode()}
    for number in range(COUNT):
        split = "valid" if number == 1 else "train"
        files[f"images/{split}/{number}.png"] = film(number, deep=True)
        files[f"labels/{split}/{number}.txt"] = BOX % 8 + (BOX % 3 if number % 2 else b"")
    return files


def mura() -> Files:
    files = {"MURA-v1.1/train_image_paths.csv": b"MURA-v1.1/train/XR_WRIST/patient00000/study1_negative/image1.png\n"}
    for number in range(COUNT):
        state = "positive" if number % 2 else "negative"
        folder = f"{'valid' if number > 5 else 'train'}/XR_WRIST/patient{number // 2:05}/study1_{state}"
        files[f"MURA-v1.1/{folder}/image1.png"] = film(number, deep=True)
    return files


def roboflow(label: Callable[[str, dict[str, bool]], Files]) -> Files:
    """An export: images of three splits, with what `label` puts beside those of each."""
    files: Files = {"README.roboflow.txt": b"x"}
    for split in ("train", "valid", "test"):
        numbers = [number for number in range(COUNT) if split_of(number) == split]
        files |= label(split, {f"{number}_jpg.rf.{number:032x}": number % 2 == 1 for number in numbers})
    return files


def roboflow_yolo() -> Files:
    def label(split: str, names: dict[str, bool]) -> Files:
        images = {f"{split}/images/{name}.jpg": film(int(name[0])) for name in names}
        return images | {f"{split}/labels/{name}.txt": BOX % 0 if state else b"" for name, state in names.items()}

    return {"data.yaml": b"train: ../train/images\nnc: 1\nnames: ['fracture']\n", **roboflow(label)}


def beside(split: str, names: dict[str, bool]) -> Files:
    return {f"{split}/{name}.jpg": film(int(name[0])) for name in names}


def roboflow_coco() -> Files:
    def label(split: str, names: dict[str, bool]) -> Files:
        table = coco({f"{name}.jpg": state for name, state in names.items()})
        return {**beside(split, names), f"{split}/_annotations.coco.json": table}

    return roboflow(label)


def roboflow_voc() -> Files:
    def label(split: str, names: dict[str, bool]) -> Files:
        return {**beside(split, names), **{f"{split}/{name}.xml": voc(state) for name, state in names.items()}}

    return roboflow(label)


def roboflow_multiclass() -> Files:
    def label(split: str, names: dict[str, bool]) -> Files:
        rows = [f"{name}.jpg, {int(state)}, {int(not state)}" for name, state in names.items()]
        table = "\n".join(["filename, fractured, normal", *rows]).encode()
        return {**beside(split, names), f"{split}/_classes.csv": table}

    return roboflow(label)


def voc_folders() -> Files:
    files: Files = {}
    for number in range(COUNT):
        files |= {f"JPEGImages/{number}.jpg": film(number), f"Annotations/{number}.xml": voc(number % 2 == 1)}
    return files


def coco_folder() -> Files:
    names = {f"{number}.jpg": number % 2 == 1 for number in range(COUNT)}
    images = {f"images/{name}": film(int(name[0])) for name in names}
    return {**images, "Annotations/COCO JSON/masks.json": coco(names)}


def excel_boxes() -> Files:
    book, buffer = openpyxl.Workbook(), io.BytesIO()
    for row in [("film", "region", "finding"), *((f"{n}", "hand", "normal") for n in range(COUNT)),
                *((f"{n}", "hand", "fractured") for n in range(1, COUNT, 2))]:  # fmt: skip
        book.active.append(row)
    book.save(buffer)
    return {**{f"films/{number}.jpg": film(number) for number in range(COUNT)}, "labels.xlsx": buffer.getvalue()}


def names() -> Files:
    return {f"hand_{number:04}_{'NP'[number % 2]}.jpg": film(number) for number in range(COUNT)}


LAYOUTS = {
    "fracatlas": fracatlas, "grazpedwri-dx": grazpedwri, "mura": mura, "grazpedwri-boxes": grazpedwri_boxes,
    "roboflow-yolo": roboflow_yolo, "roboflow-coco": roboflow_coco, "roboflow-voc": roboflow_voc,
    "roboflow-multiclass": roboflow_multiclass, "voc-folders": voc_folders, "coco-folder": coco_folder,
    "excel-boxes": excel_boxes, "names": names,
}  # fmt: skip
UNPACKED = {"grazpedwri-dx", "mura", "roboflow-multiclass"}
"""Layouts that are tried as a folder; the others are zips."""
WRISTS = {"grazpedwri-dx", "grazpedwri-boxes", "mura"}
WITH_PATIENTS = {"grazpedwri-dx", "mura"}


def published(folder: Path) -> Path:
    """All layouts, and a sources file of their entries."""
    found = []
    for name, make in LAYOUTS.items():
        files, place = make(), folder / (name if name in UNPACKED else f"{name}.zip")
        (make_folder if name in UNPACKED else make_zip)(place, files)
        found.append({**entries()[name], "enabled": True, "location": str(place), "expects": {"images": COUNT}})
    sources = folder / "sources.yaml"
    sources.write_text(yaml.safe_dump({"sources": found}))
    return sources


def test_every_entry_of_the_page_on_label_rules_has_a_layout_here() -> None:
    page = (ROOT / "docs" / "label-rules.md").read_text()
    assert {entry["name"] for text in BLOCK.findall(page) for entry in yaml.safe_load(text)} <= set(LAYOUTS)


def test_every_layout_runs_from_ingest_to_split(environment: dict[str, str], tmp_path: Path) -> None:
    context = run_to_split("layouts", published(tmp_path))
    catalog = catalogs.read(context.lake, record_of(context, SplitRecord).catalog, Split)
    for name in LAYOUTS:
        films = catalog[catalog["source"] == name]
        part, states = "wrist" if name in WRISTS else "hand", films["fractured"]
        assert len(films) == COUNT and set(films["body_part"]) == {part}, name
        if name == "mura":  # positive is more than fractured
            assert states.notna().sum() == COUNT // 2 and not states.dropna().any()
        else:
            assert states.notna().all() and states.sum() == COUNT // 2, name
        if name in WITH_PATIENTS:
            assert films.groupby("patient")["split"].nunique().tolist() == [1] * (COUNT // 2), name
        notes = read_notes(context.lake, str(context.run.sources()[name].manifest))
        assert {note.kind for note in notes} <= {"guess", "unused_class", "unread_table"}, name
    assert catalog["split"].notna().all()
