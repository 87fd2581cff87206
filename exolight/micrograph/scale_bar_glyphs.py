"""The characters of a scale bar's label, told apart by nearest neighbours among characters drawn in many typefaces.

Nothing is stored: the examples are drawn when the first label is read (about a second), from the typefaces that Pillow, matplotlib and OpenCV bring along.
"""

import functools
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

CHARACTERS = "0123456789.nmµu"
JUNK = len(CHARACTERS)  # the class of what is no single one of them: other letters, halves, pairs that touch

_CAP = 12  # rows of a digit in the frame in which characters are compared
_ROWS, _COLUMNS, _ABOVE = 20, 22, 3
_TYPEFACES = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "STIXGeneral",
    "STIXGeneralBol",
    "cmr10",
    "cmss10",
    "cmtt10",
)
_ALSO = {"µ": "\u03bc", ".": ","}  # the Greek letter beside the micro sign, the decimal comma beside the point
_OTHERS = "ABCDEFGHJKLMNPQRTUVWXYZabcdefghkpqrstvwxyz()=-/:+%"  # without O, I, l and S, which nobody tells from digits
_PAIRS = ("00", "10", "20", "50", "5.", "0.", "1.", ".0", ".5", "nm", "µm", "um", "mm", "0n", "0µ", "0u", "1µ", "5n", "01", "25")
_EXAMPLES = 30  # of each character in each typeface
_SIZE = 34  # of the typefaces, px
_DIMENSIONS, _SHRINKAGE, _NEIGHBOURS = 60, 0.3, 12

Float = NDArray[np.float32]
_Draw = Callable[[str], NDArray[np.uint8]]


def frame(ink: Float, cap: float, baseline: float) -> Float | None:
    """(20, 22) in 0..1: one character brought to a common height, its place on the line kept, centred sideways; None where there is no ink.

    Args:
        ink: (H, W) in 0..1, the columns of the character.
        cap: height of the line's digits, px.
        baseline: row on which they stand.
    """
    columns = np.flatnonzero(ink.max(axis=0, initial=0) > 0.3)
    if not len(columns):
        return None
    left, right = int(columns[0]), int(columns[-1]) + 1
    scale = _CAP / cap
    width = min(_COLUMNS, (right - left) * scale)
    if scale < 0.7:  # no aliasing
        ink = np.asarray(cv2.GaussianBlur(ink, (0, 0), 0.45 / scale), np.float32)
    sideways = width / (right - left)
    warp = np.array([[sideways, 0, (_COLUMNS - width) / 2 - left * sideways], [0, scale, _ABOVE + (cap - baseline) * scale]], np.float32)
    warp[:, 2] += (warp[:, :2].sum(axis=1) - 1) / 2  # OpenCV counts from the middle of the first pixel
    return np.asarray(cv2.warpAffine(ink, warp, (_COLUMNS, _ROWS), flags=cv2.INTER_LINEAR), np.float32)


def probabilities(frames: Float, widths: Float) -> NDArray[np.float64]:
    """(N, 16) probability of each of ``CHARACTERS`` and of junk, for frames (N, 20, 22) of characters that were ``widths`` (N,) digit heights wide."""
    mean, projection, known, labels = _examples()
    seen = (_features(frames, widths) - mean) @ projection
    squared = (seen**2).sum(axis=1)[:, None] + (known**2).sum(axis=1) - 2 * seen @ known.T
    nearest = np.argpartition(squared, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
    distance = np.take_along_axis(squared, nearest, axis=1)
    weight = np.exp(-(distance - distance.min(axis=1, keepdims=True)) / (0.15 * distance.min(axis=1, keepdims=True) + 1e-6))
    votes = np.stack([(weight * (labels[nearest] == k)).sum(axis=1) for k in range(JUNK + 1)], axis=1)
    return np.asarray(votes / votes.sum(axis=1, keepdims=True), np.float64)


def _features(frames: Float, widths: Float) -> Float:
    smooth = [cv2.GaussianBlur(each, (0, 0), 0.6).ravel() for each in frames]
    return np.column_stack([np.array(smooth, np.float32), 3 * widths]).astype(np.float32)


@functools.cache
def _examples() -> tuple[Float, Float, Float, NDArray[np.int64]]:
    """Mean, projection, projected examples and their classes. The projection is Fisher's (shrunken): it looks where characters differ and typefaces do not."""
    rng = np.random.default_rng(0)
    drawn = [example for draw in _typefaces().values() for example in _draw_examples(draw, rng)]
    features = _features(np.stack([image for image, _, _ in drawn]), np.array([width for _, width, _ in drawn], np.float32))
    labels = np.array([label for _, _, label in drawn])
    mean, projection = discriminant(features, labels)
    return mean, projection, np.asarray((features - mean) @ projection, np.float32), labels


def discriminant(features: Float, labels: NDArray[np.int64]) -> tuple[Float, Float]:
    """Mean (D,) and projection (D, 60) of a linear discriminant analysis with the covariance within classes shrunken towards a multiple of one."""
    mean = features.mean(axis=0)
    centred = (features - mean).astype(np.float64)
    within, between = np.zeros((2, features.shape[1], features.shape[1]))
    for label in range(JUNK):
        of_class = centred[labels == label]
        middle = of_class.mean(axis=0)
        within += (of_class - middle).T @ (of_class - middle) / (labels < JUNK).sum()
        between += len(of_class) * np.outer(middle, middle) / (labels < JUNK).sum()
    junk = centred[labels == JUNK]
    between += 0.3 * junk.T @ junk / len(junk)  # junk is no class with a middle: all its variety counts
    values, vectors = np.linalg.eigh(within + _SHRINKAGE * np.trace(within) / len(within) * np.eye(len(within)))
    whiten = vectors / np.sqrt(values)
    directions = np.linalg.eigh(whiten.T @ between @ whiten)[1][:, ::-1][:, :_DIMENSIONS]
    return mean, np.asarray(whiten @ directions, np.float32)


def _typefaces() -> dict[str, _Draw]:
    """Name -> what draws a string on a canvas, on row 52; empty where the typeface lacks a character."""
    spec = importlib.util.find_spec("matplotlib")  # located, not imported
    folder = Path(str(spec.origin)).parent / "mpl-data" / "fonts" / "ttf" if spec else Path()
    fonts = {name: ImageFont.truetype(str(folder / f"{name}.ttf"), _SIZE) for name in _TYPEFACES if (folder / f"{name}.ttf").is_file()}
    drawers: dict[str, _Draw] = {name: functools.partial(_type, font, 0, name.startswith("cm")) for name, font in fonts.items()}
    for stroke in (0, 1):  # Pillow's own is the only one with a 1 without a foot, as Arial has it
        font = ImageFont.load_default(_SIZE)
        if isinstance(font, ImageFont.FreeTypeFont):  # Pillow may be built without FreeType
            drawers[f"Aileron {stroke}"] = functools.partial(_type, font, stroke, True)
    for stroke in (1, 3):
        drawers[f"OpenCV {stroke}"] = functools.partial(_pen, stroke)
    return drawers


def _type(font: ImageFont.FreeTypeFont, stroke: int, latin_only: bool, text: str) -> NDArray[np.uint8]:
    canvas = Image.new("L", (140, 72))
    if not latin_only or text.isascii():
        ImageDraw.Draw(canvas).text((16, 52), text, 255, font, anchor="ls", stroke_width=stroke)
    return np.array(canvas)


def _pen(stroke: int, text: str) -> NDArray[np.uint8]:
    canvas = np.zeros((72, 140), np.uint8)
    if text.isascii():
        cv2.putText(canvas, text, (16, 52), cv2.FONT_HERSHEY_SIMPLEX, 1.1, 255, stroke, cv2.LINE_AA)
    return canvas


def _draw_examples(draw: _Draw, rng: np.random.Generator) -> Iterator[tuple[Float, float, int]]:
    """Frame, width in digit heights, class: each character thinner and bolder, narrower and wider, blurred as small print, noisy, not quite in place."""
    rows = np.flatnonzero(draw("0").max(axis=1) > 127)
    cap, baseline = float(rows[-1] + 1 - rows[0]), float(rows[-1] + 1)
    wanted = [(character, label, 1.0) for label, character in enumerate(CHARACTERS) for _ in range(_EXAMPLES)]
    wanted += [(other, CHARACTERS.index(character), 1.0) for character, other in _ALSO.items() for _ in range(_EXAMPLES)]
    wanted += [(text, JUNK, 1.0) for text in (*_OTHERS, *_PAIRS, *_PAIRS)]
    wanted += [(character, JUNK, float(rng.uniform(0.3, 0.65))) for character in CHARACTERS if character not in ".1" for _ in range(3)]
    drawn = {text: draw(text) for text in {text for text, _, _ in wanted}}
    extent = {text: np.flatnonzero(canvas.max(axis=0) > 115) for text, canvas in drawn.items()}
    for text, label, part in wanted:
        if not len(extent[text]):
            continue
        left, width = int(extent[text][0]), int(extent[text][-1] + 1 - extent[text][0])
        left, width = left + int(rng.integers(0, 3)) * round((1 - part) * width / 2), max(round(part * width), 1)
        image = drawn[text][:, left - 6 : left + width + 6].copy()
        image[:, :6] = image[:, 6 + width :] = 0
        if rng.random() < 0.4:
            image = np.asarray(cv2.dilate(image, np.ones((2, 2), np.uint8)), np.uint8)
        ink = image.astype(np.float32) / 255
        print_size = np.exp(rng.uniform(np.log(6.5), np.log(24)))
        ink = np.clip(cv2.GaussianBlur(ink, (0, 0), rng.uniform(0.35, 0.8) * cap / print_size) * rng.uniform(0.9, 1.25), 0, 1).astype(np.float32)
        stretch = float(np.exp(rng.uniform(-0.22, 0.2)))
        stretched = np.asarray(cv2.resize(ink, None, fx=stretch, fy=1, interpolation=cv2.INTER_LINEAR), np.float32)
        framed = frame(stretched, cap * rng.uniform(0.92, 1.08), baseline + rng.uniform(-0.06, 0.06) * cap)
        if framed is None:
            continue
        noise = cv2.GaussianBlur(rng.normal(0, 1, framed.shape).astype(np.float32), (0, 0), 0.8) * rng.uniform(0, 0.25)
        yield np.clip(framed + noise, 0, 1), float((stretched.max(axis=0) > 0.3).sum()) / cap, label
