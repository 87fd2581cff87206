"""How often the scale bar of a simulated picture is found, and read.

    python benchmarks/scale_bars.py [--pictures 300] [--seed 0] [--preset default] [--out FILE.json]

Every other picture has a bar burned in, most with a label, some with panel letters, lines of text and an information strip; the others have none, but the same
vesicles, crystals and torn film. A bar is right where its length and place are within 2 % or 2 px, its label where it says the drawn length. The truth is taken
from the same marks burned into an even grey. The simulator's typefaces are among those that the reader has learned, so real labels are read less often.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from simulator import PRESETS, preset_ranges

from exolight.micrograph import Micrograph, ScaleBar, find_scale_bar
from exolight.simulation.marks import burn_in
from exolight.simulation.source import picture

SIZES = ((512, 512), (768, 1024), (1024, 1024), (2048, 2048))
PIXEL_SIZES_NM = (0.5, 3.0)
LENGTHS_NM = (20, 50, 100, 200, 500, 1000, 2000, 5000)  # that the simulator draws


class Drawn(NamedTuple):
    """A bar as it was burned in: x1 and length in px, its length in nm, and whether a label says it."""

    x1: int
    length: int
    length_nm: int
    labelled: bool


def drawn_bar(seed: int, hw: tuple[int, int], pixel_size_nm: float) -> Drawn:
    """The bar that ``burn_in`` draws with this seed: the longest row of plain ink on an even grey; other ink in the lower half is its label."""
    flat = np.full(hw, 128, np.uint8)
    burn_in(seed, flat, pixel_size_nm)
    strip = flat[-1, 0] != 128
    ink = (flat == 255 - int(flat[-1, 0]) if strip else (flat == 0) | (flat == 255)).astype(np.uint8)
    stats = cv2.connectedComponentsWithStats(ink)[2][1:]
    boxes = stats[stats[:, 4] == stats[:, 2] * stats[:, 3]]  # whole rectangles; letters are none, but for an I or a dash
    x1, _, length, _, _ = boxes[boxes[:, 2].argmax()].tolist()
    length_nm = min(LENGTHS_NM, key=lambda nm: abs(nm / pixel_size_nm - length))
    return Drawn(x1, length, length_nm, bool(strip or (stats[:, 1] > hw[0] // 2).sum() > 1))


def verdict(bar: ScaleBar | None, drawn: Drawn | None) -> str:
    """In a word or three what became of a picture."""
    if drawn is None:
        return "none, none found" if bar is None else "none, but one found" if bar.nm_per_pixel is None else "none, but nm per pixel given"
    if bar is None:
        return "bar missed"
    tolerance = max(2.0, 0.02 * drawn.length)
    if abs(bar.length_px - drawn.length) > tolerance or abs(bar.box_xyxy[0] - drawn.x1) > tolerance:
        return "another bar found" if bar.nm_per_pixel is None else "wrong nm per pixel"
    if bar.length_nm is None:
        return "bar right, label not read" if drawn.labelled else "bar right, it has no label"
    return "bar and label right" if bar.length_nm == drawn.length_nm else "wrong nm per pixel"


def main(arguments: Sequence[str]) -> int:
    """Count, print, and write where asked. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--preset", choices=PRESETS, default="default")
    parser.add_argument("--out", type=Path)
    settings = parser.parse_args(arguments)
    counts: Counter[str] = Counter()
    seconds = 0.0
    for index in range(settings.pictures):
        hw = SIZES[index // 2 % len(SIZES)]
        made = picture(preset_ranges(settings.preset), hw, PIXEL_SIZES_NM, settings.seed, index)
        marks = int(np.random.default_rng((settings.seed, index)).integers(2**31)) if index % 2 else None
        made.instrument = dataclasses.replace(made.instrument, marks=marks)
        pixels = made.pixels()
        began = time.process_time()
        bar = find_scale_bar(Micrograph(pixels))
        seconds += time.process_time() - began
        said = verdict(bar, None if marks is None else drawn_bar(marks, hw, made.grid.pixel_size_nm))
        counts[said] += 1
        if said in ("another bar found", "wrong nm per pixel", "none, but nm per pixel given"):
            print(f"picture {index}, {hw[1]} x {hw[0]} px: {said}: {bar}")
    for said, count in sorted(counts.items()):
        print(f"{count:5d}  {said}")
    print(f"{seconds / settings.pictures:.2f} s of processor time a picture")
    if settings.out:
        settings.out.write_text(json.dumps(vars(settings) | {"out": str(settings.out), "counts": counts}, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
