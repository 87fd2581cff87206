"""How well vesicles are sized: outline and box against the truth of simulated pictures, as Markdown.

    python benchmarks/measurement.py --count 60 --seed 2 --preset default

Boxes are the true ones, exact and with each side moved by a normal error of 3 % of the box's width or height, as a detector's are. Errors are those of the
area-equivalent diameter, of whole vesicles; what the border cuts has a row of its own, measured as far as it is seen. "contour" is measure=contour: outlines,
and the box where they are not believable. Vesicles under 20 px are rare in most pictures: --pixel-size 2.5 4 makes many.
"""

import argparse
import time
from pathlib import Path

import hydra
import numpy as np
from hydra.utils import instantiate
from numpy.typing import NDArray

from exolight.measurement.contour import trace_outlines
from exolight.measurement.shape import shape
from exolight.measurement.vesicles import measure
from exolight.simulation.ranges import Ranges
from exolight.simulation.source import simulate

CONF = Path(__file__).parents[1] / "conf"
SMALL_PX = 20.0
JITTERS = (0.0, 0.03)
Table = dict[str, NDArray]  # columns, a row a vesicle


def sized(count: int, seed: int, ranges: Ranges, pixel_size_nm: tuple[float, float], jitter: float) -> tuple[Table, float]:
    """All vesicles that count, and the ms one takes. Relative errors: contour, box; outline: without falling back."""
    rows, seconds = [], 0.0
    for index, image in enumerate(simulate(count, (512, 512), pixel_size_nm, seed, ranges).images):
        assert image.outlines is not None and image.morphology is not None  # noqa: PT018 - simulated pictures know both
        counting = np.flatnonzero(~image.ignore)
        if not len(counting):
            continue
        pixels, true_boxes = image.read().pixels, image.boxes[counting].astype(np.float64)
        sides = np.tile(true_boxes[:, 2:] - true_boxes[:, :2], 2)
        boxes = true_boxes + jitter * sides * np.random.default_rng((seed, index)).normal(size=sides.shape)
        boxes = np.clip(boxes, 0, 512)
        start = time.process_time()
        measured = measure(pixels, boxes)
        seconds += time.process_time() - start
        traced = trace_outlines(pixels, boxes)
        for k, found, outline in zip(counting, measured, traced, strict=True):
            true = shape(image.outlines[k]).diameter
            cut = bool((image.boxes[k] <= 0).any() or (image.boxes[k] >= 512).any())
            diameters = (found.diameter, found.box_diameter, shape(outline.points).diameter)
            rows.append((image.morphology[k], cut, true, *(d / true - 1 for d in diameters), found.quality, found.source == "box"))
    names = ("morphology", "cut", "true", "contour", "box", "outline", "quality", "fallen")
    return {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}, 1000 * seconds / len(rows)


def line(name: str, table: Table, chosen: NDArray[np.bool_]) -> str:
    """A row of the table: number, median absolute error and bias of both, the errors in px, the share that fell back."""
    if not chosen.any():
        return f"| {name} | 0 | | | | | | | | | |"
    contour, box, true = (table[key][chosen] for key in ("contour", "box", "true"))
    cells = [f"{100 * np.median(abs(error)):.1f} %" for error in (contour, box)] + [f"{100 * np.median(error):+.1f} %" for error in (contour, box)]
    cells += [f"{100 * np.quantile(abs(error), 0.95):.1f} %" for error in (contour, box)]
    cells += [f"{np.median(abs(error * true)):.2f} px" for error in (contour, box)]
    return f"| {name} | {chosen.sum()} | {' | '.join(cells)} | {100 * table['fallen'][chosen].mean():.1f} % |"


def report(table: Table, milliseconds: float, jitter: float) -> str:
    """Markdown: by size, by morphology, what the quality is worth."""
    whole = ~table["cut"]
    small = table["true"] < SMALL_PX
    header = ("vesicles", "number", "error", "of the box", "bias", "of the box", "95 % of errors", "of the box", "error, px", "of the box", "fell back")
    lines = [f"### Boxes off by {100 * jitter:.0f} %, {milliseconds:.1f} ms a vesicle", "", f"| {' | '.join(header)} |", "|---|" + "---:|" * (len(header) - 1)]
    lines += [line("all", table, whole), line(f"{SMALL_PX:.0f} px and more", table, whole & ~small), line(f"under {SMALL_PX:.0f} px", table, whole & small)]
    lines += [line(str(name), table, whole & (table["morphology"] == name)) for name in np.unique(table["morphology"])]
    lines += [line("cut by the border", table, ~whole), ""]

    quality, error = table["quality"][whole], abs(table["outline"][whole])
    order = quality.argsort()
    edge = max(len(order) // 5, 1)
    lines.append(
        f"Median error of outlines: {100 * np.median(error[order[:edge]]):.1f} % of the 20 % with the lowest quality, "
        f"{100 * np.median(error[order[edge:]]):.1f} % of the others."
    )
    for low, high in ((0.0, 0.5), (0.5, 0.8), (0.8, 0.9), (0.9, 0.95), (0.95, 1.0)):
        inside = (quality >= low) & (quality < high)
        if inside.any():
            lines.append(f"- quality {low:g} to {high:g}: {inside.sum()} vesicles, {100 * (error[inside] < 0.05).mean():.0f} % of them right to 5 %")
    fallen = table["fallen"] & whole
    if fallen.any():
        before, after = (100 * abs(table[key][fallen]) for key in ("outline", "box"))
        lines.append(
            f"\n{fallen.sum()} fell back: their error went from {np.median(before):.1f} to {np.median(after):.1f} % (median), "
            f"{before.mean():.1f} to {after.mean():.1f} % (mean)."
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60, help="pictures of 512 x 512 px")
    parser.add_argument("--seed", type=int, default=2, help="the numbers in the code were chosen on seed 1")
    parser.add_argument("--preset", default="default", help="of conf/simulation")
    parser.add_argument("--pixel-size", type=float, nargs=2, default=(1.0, 2.5), metavar=("LOW", "HIGH"), help="nm per pixel")
    asked = parser.parse_args()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        preset = hydra.compose(f"simulation/{asked.preset}")
    ranges = instantiate(preset.simulation, _convert_="all")
    low, high = asked.pixel_size
    print(f"## {asked.count} pictures, preset {asked.preset}, seed {asked.seed}, {low:g}-{high:g} nm per pixel\n")
    for jitter in JITTERS:
        print(report(*sized(asked.count, asked.seed, ranges, (low, high), jitter), jitter), end="\n\n")


if __name__ == "__main__":
    main()
