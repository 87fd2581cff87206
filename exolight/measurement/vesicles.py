"""What is measured of each vesicle of a picture: size, shape, grey levels, and how far to trust them."""

import math
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from exolight.measurement.contour import ellipse_of, touches_border, trace_outlines, visible_boxes
from exolight.measurement.shape import Shape, shape

HALO = (1.05, 1.3)  # radii: the stain's trough
BACKGROUND = (3.0, 3.5)  # radii: there the film is back to its own level
_RAYS = 96
_STEPS = 16


class Greys(NamedTuple):
    """Grey levels of a vesicle and its surroundings, as recorded; nan where nothing of a region is in the picture and free of other vesicles.

    Regions are the outline scaled about its centroid; 1 radius is the outline itself.

    Attributes:
        inside: mean within the outline.
        halo: mean from 1.05 to 1.3 radii, without other vesicles.
        background: median from 3 to 3.5 radii, without other vesicles.
        halo_contrast: how far ``halo`` lies below the middle of ``inside`` and ``background``, in robust standard deviations (1.4826 median absolute
            deviations) of the background: a contrast-to-noise ratio. Negative in a picture of inverted contrast; nan where the background is flat.
    """

    inside: float
    halo: float
    background: float
    halo_contrast: float


class Measurement(NamedTuple):
    """One vesicle; lengths in px. One that the border cuts is measured as far as it is seen, and not to be used as a size.

    Attributes:
        source: what ``diameter`` is taken from.
        diameter: area-equivalent, of the outline; else ``box_diameter``.
        box_diameter: sqrt(width * height).
        on_border: the box comes within 1 px of the picture's edge.
        quality: of the outline, see ``Outline.quality``; nan where none was traced.
        outline: (K, 2) float32 x, y; shape: of it. None where ``source`` is "box".
        greys: None where no outline was asked for; of the ellipse in the box where the outline is not believable.
    """

    source: Literal["contour", "box"]
    diameter: float
    box_diameter: float
    on_border: bool
    quality: float = math.nan
    outline: NDArray[np.float32] | None = None
    shape: Shape | None = None
    greys: Greys | None = None

    def record(self, pixel_size_nm: float | None = None) -> dict[str, Any]:
        """A row of a table, of plain values: lengths in nm where nm per pixel are given, else in px, as the names say; None where nothing was measured."""
        unit, factor = ("px", 1.0) if pixel_size_nm is None else ("nm", pixel_size_nm)
        row: dict[str, Any] = {"source": self.source, "on_border": self.on_border, "quality": self.quality}
        row |= {f"diameter_{unit}": self.diameter * factor, f"box_diameter_{unit}": self.box_diameter * factor}
        shapes = self.shape.scaled(factor) if self.shape else [math.nan] * len(Shape._fields)
        for name, value in zip(Shape._fields, shapes, strict=True):
            if name != "diameter":
                row[{"area": f"area_{unit}2", "roundness": name}.get(name, f"{name}_{unit}")] = value
        greys = self.greys or [math.nan] * len(Greys._fields)
        row |= {name if name == "halo_contrast" else f"grey_{name}": value for name, value in zip(Greys._fields, greys, strict=True)}
        return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def measure(pixels: NDArray[Any], boxes_xyxy: NDArray[np.floating], contour: bool = True) -> list[Measurement]:
    """All vesicles of one picture, in the order of their boxes.

    Args:
        pixels: (H, W) of any real type, as recorded.
        boxes_xyxy: (N, 4) px.
        contour: whether outlines are traced; without, only the boxes are measured.

    Raises:
        ValueError: the shapes are others, or a box is not finite.
    """
    visible, hw = visible_boxes(boxes_xyxy, pixels.shape), (pixels.shape[0], pixels.shape[1])
    boxes = np.asarray(boxes_xyxy, np.float64)
    diameters = np.sqrt(np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)).tolist()
    borders = touches_border(boxes, hw).tolist()
    if not contour:
        return [Measurement("box", diameter, diameter, on_border) for diameter, on_border in zip(diameters, borders, strict=True)]
    outlines = trace_outlines(pixels, visible)
    drawn = [outline.points if outline.believable else ellipse_of(box) for outline, box in zip(outlines, visible, strict=True)]
    numbers = _numbered(drawn, hw)
    rows = []
    for i, outline in enumerate(outlines):
        row = Measurement("box", diameters[i], diameters[i], borders[i], outline.quality, greys=grey_levels(pixels, drawn[i], numbers, i + 1))
        if outline.believable:
            form = shape(outline.points)
            row = row._replace(source="contour", diameter=form.diameter, outline=outline.points, shape=form)
        rows.append(row)
    return rows


def grey_levels(pixels: NDArray[Any], points: NDArray[np.floating], numbers: NDArray[np.int32] | None = None, own: int = 0) -> Greys:
    """Grey levels in and round an outline (K, 2) px of a picture (H, W).

    Args:
        numbers: (H, W) instance mask of the picture's vesicles, 0 background; own: the number of this one. None: there are no others.
    """
    inside = _values(pixels, points, (0.0, 1.0))
    halo, around = (_values(pixels, points, radii, numbers, own) for radii in (HALO, BACKGROUND))
    mean_inside, mean_halo = (float(values.mean()) if len(values) else math.nan for values in (inside, halo))
    background = float(np.median(around)) if len(around) else math.nan
    noise = 1.4826 * float(np.median(np.abs(around - background))) if len(around) else math.nan
    return Greys(mean_inside, mean_halo, background, ((mean_inside + background) / 2 - mean_halo) / noise if noise > 0 else math.nan)


def _values(
    pixels: NDArray[Any], points: NDArray[np.floating], radii: tuple[float, float], numbers: NDArray[np.int32] | None = None, own: int = 0
) -> NDArray[np.float64]:
    """Grey levels at places that lie equally dense between an outline (K, 2) scaled by two ``radii``: those in the picture and on no other vesicle."""
    closed = np.concatenate((points, points[:1])).astype(np.float64)
    triangles = _swept(closed)
    centroid = ((closed[:-1] + closed[1:]) * triangles[:, None]).sum(axis=0) / (3 * triangles.sum())
    # Rays that cut the area into equal shares, steps along them at equal shares of radius^2.
    x, y = (closed - centroid).T
    swept = np.concatenate(([0.0], np.cumsum(np.abs(_swept(closed - centroid)))))
    wanted = (np.arange(_RAYS) + 0.5) / _RAYS * swept[-1]
    rays = np.stack((np.interp(wanted, swept, x), np.interp(wanted, swept, y)), axis=1)
    shares = (np.arange(_STEPS) + 0.5) / _STEPS
    steps = np.sqrt(radii[0] ** 2 + shares * (radii[1] ** 2 - radii[0] ** 2))
    column, row = np.floor(centroid + rays[:, None] * steps[:, None]).astype(int).reshape(-1, 2).T
    seen = (column >= 0) & (row >= 0) & (column < pixels.shape[1]) & (row < pixels.shape[0])
    column, row = column[seen], row[seen]
    values = pixels[row, column].astype(np.float64)
    return values if numbers is None else values[np.isin(numbers[row, column], (0, own))]


def _swept(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Twice the signed area of the triangles between the origin and successive points: (K, 2) -> (K - 1,)."""
    x, y = points.T
    return np.asarray(x[:-1] * y[1:] - x[1:] * y[:-1], np.float64)


def _numbered(outlines: list[NDArray[Any]], hw: tuple[int, int]) -> NDArray[np.int32]:
    """(H, W): i + 1 on outline i, (K, 2) px; 0 elsewhere."""
    numbers = np.zeros(hw, np.int32)
    for number, points in enumerate(outlines, start=1):
        # OpenCV counts from the centre of the first pixel and takes fixed-point coordinates.
        cv2.fillPoly(numbers, [np.rint((points - 0.5) * 16).astype(np.int32)], number, shift=4)
    return numbers
