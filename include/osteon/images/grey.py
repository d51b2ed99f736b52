"""From stored values to 8-bit grey: the one rule that inspection, training, prediction and thumbnails share.

Values of 8 bits are taken as they are. Deeper ones are stretched. Their range is that of the film, not of the file:
a marker, a frame of padding, a hot pixel and a value that is no number are left out of it (`film_range`). Where the
file gives a window, that is the range. A photometric tag that says "white is zero" is followed. What is transparent,
was never decoded, or is no number becomes black.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from osteon.images.errors import UndecodableError

COLOUR_SAMPLES = (48, 48)
"""Pixels, evenly spread, that colour is measured on."""
SAMPLES = 1 << 18
"""Values, evenly spread, that the range of a film is found on."""
SPARSE_SHARE, SPARSE_WIDTH = 0.002, 0.2
"""So small a share of the values over so large a share of the range lies between the film and something else."""
STRAY_SHARE = 0.1
"""Share of the values up to which a part is beside the film, where it lies so far from the rest."""
NARROW = 0.05
"""Range of a part, as a share of the rest's, up to which it is padding, however many values it has."""
TAIL, MARGIN = 5e-4, 0.1
"""Share of a film's values at either end that do not count for its range, and what they may add to it: a tenth."""
MIN_OPACITY = 0.02
"""Mean opacity below which an image shows nothing."""
LUMA = np.array((0.299, 0.587, 0.114), np.float32)
"""Weights of red, green and blue (ITU-R BT.601), as Pillow has them."""
_ALPHA_MODES = {"LA", "La", "RGBA", "RGBa", "PA"}
_WHITE_IS_ZERO, _PHOTOMETRIC, _BITS_PER_SAMPLE = 0, 262, 258


def to_grey(image: Image.Image, data: bytes, missing: NDArray[np.bool_] | None = None) -> Image.Image:
    """Make an image grey.

    Args:
        image: A decoded image of any mode.
        data: The file that it comes from. Channels of 16 bits are read from it, as Pillow keeps 8 of them.
        missing: (height, width), true where nothing was decoded; None where all was.

    Returns:
        Mode `L`, 0 = black.

    Raises:
        UndecodableError: The image is transparent.
    """
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float32)
        grey = stretch(values, None if missing is None else ~missing)
        return Image.fromarray(255 - grey if _white_is_zero(image) else grey)
    if missing is None and image.mode in {"RGB", *_ALPHA_MODES} and _has_deep_channels(image, data):
        deep = _deep_channels(data)
        if deep is not None:
            return _grey_of_channels(*deep)
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        return _over_black(image.convert("RGBA"))
    return image if image.mode == "L" else image.convert("L")


def stretch(
    values: NDArray[np.floating],
    valid: NDArray[np.bool_] | None = None,
    window: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """Stored values as 8-bit grey.

    Args:
        values: (height, width).
        valid: (height, width), false where a value is none of the image; None where all are.
        window: Values that become black and white; those of `film_range` without it.

    Returns:
        (height, width). What is not valid or no number is 0.
    """
    there = ~np.isnan(values) if valid is None else valid & ~np.isnan(values)
    low, high = window or film_range(values[there & np.isfinite(values)])
    scale = 255.0 / (high - low) if high > low else 0.0
    with np.errstate(invalid="ignore"):  # of infinities, 0 times infinity
        grey = np.clip((values - low) * scale, 0, 255)
    return np.where(there, np.nan_to_num(grey), 0).round().astype(np.uint8)


def film_range(values: NDArray[np.floating]) -> tuple[float, float]:
    """The values that a film's black and white have.

    Parts of the values that lie apart from the film are left out first: padding (one value, however often), and
    markers or hot pixels (few values, far away). The rest gives its percentiles, and its extremes where they are near.
    So the film keeps 200 grey levels at least.

    Args:
        values: (n,), finite, in any unit.

    Returns:
        Black and white in the unit of the values; (0, 0) without any.
    """
    if not len(values):
        return 0.0, 0.0
    film = np.sort(values[:: -(-len(values) // SAMPLES)].astype(np.float64))
    while (fewer := _without_a_stray_part(film)) is not None:
        film = fewer
    low, high = np.quantile(film, (TAIL, 1 - TAIL), method="nearest")
    margin = MARGIN * (high - low) if high > low else np.inf
    return float(max(film[0], low - margin)), float(min(film[-1], high + margin))


def _without_a_stray_part(film: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Sorted values without the part that lies apart from the film; None where there is none."""
    few = max(1, round(SPARSE_SHARE * len(film)))
    widths = film[few:] - film[:-few]
    if not len(widths) or widths.max() < SPARSE_WIDTH * np.ptp(film) or not np.ptp(film):
        return None
    start = int(widths.argmax())
    below, above = film[: start + 1], film[start + few :]
    sides = ((above, below), (below, above)) if len(above) <= len(below) else ((below, above), (above, below))
    for part, rest in sides:
        if np.ptp(part) <= NARROW * np.ptp(rest):
            return rest
    part, rest = sides[0]
    return rest if len(part) <= STRAY_SHARE * len(film) and np.ptp(rest) else None


def colour_of(image: Image.Image) -> float:
    """Mean difference between the brightest and the darkest channel, in grey levels; 0 for a grey image."""
    if image.mode in {"1", "L", "LA", "La"} or image.mode.startswith(("I", "F")):
        return 0.0
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    red, green, blue = np.moveaxis(np.asarray(rgb.resize(COLOUR_SAMPLES, Image.Resampling.NEAREST)), 2, 0)
    highest, lowest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    return float((highest - lowest).mean())


def _white_is_zero(image: Image.Image) -> bool:
    """Whether the file says so. Of 8-bit images, Pillow follows the tag."""
    tags = getattr(image, "tag_v2", None)
    return tags is not None and bool(tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)


def _has_deep_channels(image: Image.Image, data: bytes) -> bool:
    if image.format == "PNG":
        start = data.find(b"IHDR")
        return start > 0 and data[start + 12 : start + 13] == b"\x10"
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
        return int(max(bits)) > 8
    return image.format == "PPM" and len(data) > image.width * image.height * 4


def _deep_channels(data: bytes) -> tuple[NDArray[np.float32], NDArray[np.float32] | None] | None:
    """Values (height, width) of 16 bits and opacity 0 to 1, None without any; None where they cannot be read."""
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if found is None or found.dtype != np.uint16 or found.ndim != 3:
        return None
    grey = np.asarray(found[:, :, :3] @ LUMA[::-1], np.float32)  # OpenCV gives blue first
    return grey, np.asarray(found[:, :, 3] / 65535, np.float32) if found.shape[2] == 4 else None


def _grey_of_channels(values: NDArray[np.float32], opacity: NDArray[np.float32] | None) -> Image.Image:
    if opacity is None:
        return Image.fromarray(stretch(values))
    _check_opacity(float(opacity.mean()))
    if np.ptp(opacity) == 0:
        return Image.fromarray(stretch(values))
    return Image.fromarray((stretch(values, opacity > 0) * opacity).round().astype(np.uint8))


def _over_black(image: Image.Image) -> Image.Image:
    """An RGBA image over black. Opacity that is the same everywhere says nothing."""
    opacity = image.getchannel("A")
    _check_opacity(float(np.asarray(opacity).mean()) / 255)
    lowest, highest = opacity.getextrema()
    if lowest == highest:
        return image.convert("RGB").convert("L")
    return Image.alpha_composite(Image.new("RGBA", image.size, "black"), image).convert("L")


def _check_opacity(mean: float) -> None:
    if mean < MIN_OPACITY:
        raise UndecodableError(f"transparent: its opacity is {mean:.0%}. Export it without an alpha channel")
