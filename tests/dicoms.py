"""DICOM files of generated films, with headers that name a made-up person."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.fileset import FileSet
from pydicom.sequence import Sequence
from pydicom.uid import UID

PERSON = {
    "PatientName": "Quillfeather^Hildegunde^Theres",
    "PatientID": "PX-7734109",
    "PatientBirthDate": "19510817",
    "PatientAddress": "Zwetschgenweg 4711",
    "PatientTelephoneNumbers": "+41-555-918273",
    "OtherPatientNames": "Hildchen^Quillfeather",
    "InstitutionName": "Kantonsspital Sankt Oswin",
    "InstitutionAddress": "Oswinplatz 12",
    "ReferringPhysicianName": "Obermayrhofer^Leopold",
    "PerformingPhysicianName": "Vandersmissen^Aloysia",
    "OperatorsName": "Krummbiegel^Notburga",
    "AccessionNumber": "ACC5519023",
    "StudyID": "STU88417",
    "StudyDate": "20190314",
    "StudyTime": "081522.337",
    "StationName": "OSWINROOM3",
    "DeviceSerialNumber": "SN-2264-991",
    "StudyDescription": "Wrist of Quillfeather",
    "SeriesDescription": "for Dr Obermayrhofer",
    "ImageComments": "fell in Zwetschgenweg, see Holunderbusch",
    "RequestAttributesSequence": [{"RequestedProcedureDescription": "asked by Obermayrhofer"}],
}
"""Elements that name a person, a place or a day."""
SECRETS = (
    "Quillfeather", "Hildegunde", "Theres", "PX-7734109", "7734109", "19510817", "1951-08-17", "Zwetschgenweg",
    "918273", "Hildchen", "Oswin", "Obermayrhofer", "Leopold", "Vandersmissen", "Aloysia", "Krummbiegel", "Notburga",
    "ACC5519023", "STU88417", "20190314", "081522", "OSWINROOM3", "SN-2264-991", "Holunderbusch", "secret implant",
)  # fmt: skip
"""Words of them, and of a private element."""
STUDY = "1.2.826.0.1.3680043.8.498.4711"
CODECS = {
    uid.JPEGBaseline8Bit: lambda frame: imagecodecs.jpeg8_encode(frame, level=97),
    uid.JPEGExtended12Bit: lambda frame: imagecodecs.jpeg8_encode(frame, level=97, bitspersample=12),
    uid.JPEGLossless: lambda frame: imagecodecs.jpeg8_encode(frame, lossless=True, predictor=4, bitspersample=16),
    uid.JPEGLosslessSV1: lambda frame: imagecodecs.jpeg8_encode(frame, lossless=True, bitspersample=16),
    uid.JPEGLSLossless: lambda frame: imagecodecs.jpegls_encode(frame, level=0),
    uid.JPEGLSNearLossless: lambda frame: imagecodecs.jpegls_encode(frame, level=2),
    uid.JPEG2000Lossless: lambda frame: imagecodecs.jpeg2k_encode(frame, level=0, reversible=True, codecformat="j2k"),
    uid.JPEG2000: lambda frame: imagecodecs.jpeg2k_encode(frame, level=85, codecformat="j2k"),
}
"""Encoders of frames by transfer syntax."""


def header(**tags: Any) -> FileDataset:
    """A header without an image, of the made-up person."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = tags.pop("SOPClassUID", uid.ComputedRadiographyImageStorage)
    meta.MediaStorageSOPInstanceUID = tags.pop("SOPInstanceUID", uid.generate_uid())
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    found = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    found.SOPClassUID, found.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    found.StudyInstanceUID, found.SeriesInstanceUID = STUDY, f"{STUDY}.1"
    found.Modality, found.SeriesNumber, found.InstanceNumber = "CR", 1, 1
    for keyword, value in {**PERSON, **tags}.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = Sequence([_item(one) for one in value])
        if value is not None:
            setattr(found, keyword, value)
        elif keyword in found:
            delattr(found, keyword)
    found.add_new(0x00090010, "LO", "CLINIC")
    found.add_new(0x00091001, "LO", "secret implant of Quillfeather")
    return found


def _item(values: dict[str, object]) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def dicom(pixels: np.ndarray, syntax: UID = uid.ExplicitVRLittleEndian, bits: int = 12, **tags: Any) -> bytes:
    """A DICOM file of stored values (height, width) or (height, width, 3)."""
    allocated = 8 * pixels.dtype.itemsize
    found = header(
        **{
            "Rows": pixels.shape[0],
            "Columns": pixels.shape[1],
            "SamplesPerPixel": 3 if pixels.ndim == 3 else 1,
            "PhotometricInterpretation": "RGB" if pixels.ndim == 3 else "MONOCHROME2",
            "PlanarConfiguration": 0 if pixels.ndim == 3 else None,
            "BitsAllocated": allocated,
            "BitsStored": min(bits, allocated),
            "HighBit": min(bits, allocated) - 1,
            "PixelRepresentation": int(pixels.dtype.kind == "i"),
            **tags,
        }
    )
    found.file_meta.TransferSyntaxUID = syntax
    if syntax in CODECS:
        found.PixelData = encapsulate([bytes(CODECS[syntax](pixels))])
        found["PixelData"].VR, found["PixelData"].is_undefined_length = "OB", True
    else:
        order: Literal["<", ">"] = ">" if syntax == uid.ExplicitVRBigEndian else "<"
        found.PixelData = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
        found["PixelData"].VR = "OW" if allocated > 8 else "OB"
    if syntax == uid.RLELossless:
        found.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        found.compress(uid.RLELossless, generate_instance_uid=False)
    return written(found)


def written(dataset: FileDataset) -> bytes:
    """The file of a dataset, in its transfer syntax."""
    syntax = dataset.file_meta.TransferSyntaxUID
    buffer = io.BytesIO()
    implicit, little = syntax.is_implicit_VR, syntax.is_little_endian
    dataset.set_original_encoding(implicit, little, ["utf8"])
    dataset.save_as(buffer, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    return buffer.getvalue()


def directory(files: dict[str, bytes], folder: Path) -> bytes:
    """The DICOMDIR that a medium with these files has."""
    listed = FileSet()
    for number, data in enumerate(files.values()):
        path = folder / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        listed.add(path)
    listed.write(folder / "medium")
    return (folder / "medium" / "DICOMDIR").read_bytes()
