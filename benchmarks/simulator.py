"""How like real pictures the simulated ones are, and how fast they are made.

    python benchmarks/simulator.py realism --real PATH/TO/exosomes [--out FILE.json]       # a table, real against simulated
    python benchmarks/simulator.py sheet --out sheet.png --real PATH/TO/exosomes --micrograph PATH/TO/micrograph.jpg
    python benchmarks/simulator.py sheet --out sheet.jpg                                   # simulated ones alone, a row a preset
    python benchmarks/simulator.py speed                                                   # pictures a second on one core, flat memory

Real pictures are images/NAME.png with instance masks masks/NAME.png (0 background), all of one size and --real-nm-per-pixel. They were reduced from a finer
sampling, so simulated ones are drawn 2.5 times as fine and reduced likewise, truth included.

realism: every statistic is a function of realism.py. Greys are relative to the background's level, the median outside vesicles and their halos. A picture
counts once in what is measured of pictures, each of its vesicles once in what is measured of vesicles; a picture without vesicles counts in the statistics of
the background alone. Given are the median and the range from 10 to 90 %. Real outlines were drawn by hand, a pixel or so beside the edge, which widens real
edges; simulated ones are exact.
"""

import argparse
import cProfile
import functools
import io
import json
import os
import pstats
import resource
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from numpy.typing import NDArray
from realism import Field, Grey, Mask, summaries, summary, table

from exolight.annotated_image import AnnotatedImage
from exolight.errors import InputError
from exolight.micrograph import Micrograph, read_micrograph
from exolight.simulation.ranges import Ranges
from exolight.simulation.source import simulate

ROOT = Path(__file__).resolve().parents[1]
PRESETS = tuple(sorted((path.stem for path in (ROOT / "conf/simulation").glob("*.yaml")), key=lambda name: (name != "default", name)))

REDUCTION = 2.5  # sampling of the recorded picture over that of the real ones at hand

SHEET_NM, TILE, COLUMNS = 1.566, 395, 6
CROPS = ((130, 880), (1790, 200), (1800, 1200), (1880, 2080))  # x, y px of fields of the micrograph that hold something
SIDE, FOOT, GAP = 130, 44, 4
BAR_NM = 200


def simulated(preset: str, count: int, seed: int, hw: tuple[int, int], pixel_size_nm: float) -> list[AnnotatedImage]:
    """Pictures of a preset; their pixels are made when read. Raises ValueError for a preset there is none of."""
    if preset not in PRESETS:
        raise ValueError(f"preset {preset}: known are {', '.join(PRESETS)}")
    return simulate(count=count, image_hw=hw, pixel_size_nm=pixel_size_nm, seed=seed, ranges=preset_ranges(preset)).images


@functools.cache
def preset_ranges(preset: str) -> Ranges:
    """As conf/simulation has them."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        ranges = instantiate(compose("simulate", [f"simulation={preset}"]).simulation, _convert_="all")
    assert isinstance(ranges, Ranges)
    return ranges


def grey(micrograph: Micrograph) -> Grey:
    """(H, W) in 0..255, 16 bit too."""
    return micrograph.pixels.astype(np.float32) / np.float32(257 if micrograph.pixels.dtype == np.uint16 else 1)


def mask_of(outlines: Sequence[NDArray[np.float32]], hw: tuple[int, int], factor: float, fine: int = 15) -> Mask:
    """(H, W) instance mask of outlines (K, 2) x, y px times ``factor``; the last one covers.

    A pixel belongs to the outline that holds its centre: drawn ``fine`` (odd) times as fine, since fillPoly paints the line too, and read at the centres.
    """
    canvas = np.zeros((hw[0] * fine, hw[1] * fine), np.int32)
    for value, outline in enumerate(outlines, start=1):
        if len(outline) > 2:
            cv2.fillPoly(canvas, [np.rint((outline * (factor * fine) - 0.5) * 16).astype(np.int32)], value, shift=4)
    return canvas[fine // 2 :: fine, fine // 2 :: fine].copy()


def resized(picture: Grey, hw: tuple[int, int]) -> Grey:
    """Means when reduced, cubic when enlarged; 0..255."""
    method = cv2.INTER_AREA if hw[0] < picture.shape[0] else cv2.INTER_CUBIC
    return np.clip(cv2.resize(picture, hw[::-1], interpolation=method), 0, 255).astype(np.float32)


def reduced_fields(preset: str, count: int, seed: int, hw: tuple[int, int], pixel_size_nm: float) -> Iterable[Field]:
    """Simulated ``REDUCTION`` times as fine, then reduced to ``hw`` at ``pixel_size_nm``, with the truth; what counts neither way is no vesicle here."""
    fine = round(hw[0] * REDUCTION), round(hw[1] * REDUCTION)
    factor = hw[0] / fine[0]
    for image in simulated(preset, count, seed, fine, pixel_size_nm * factor):
        outlines = [outline for outline, ignore in zip(image.outlines or (), image.ignore, strict=True) if not ignore]
        yield Field(resized(grey(image.read()), hw), mask_of(outlines, hw, factor))


def real_fields(folder: Path) -> list[Field]:
    """images/*.png and masks of the same names. Raises InputError where a picture or mask cannot be read, or sizes differ."""
    paths = sorted((folder / "images").glob("*.png"))
    if not paths:
        raise InputError(f"{folder / 'images'}: no PNG pictures there; give the folder that holds images/ and masks/")
    fields = [Field(grey(read_micrograph(path)), read_micrograph(folder / "masks" / path.name).pixels.astype(np.int32)) for path in paths]
    shape = fields[0].pixels.shape
    for path, field in zip(paths, fields, strict=True):
        if field.pixels.shape != shape or field.mask.shape != shape:
            raise InputError(f"{path}: {field.pixels.shape} with a mask of {field.mask.shape}, but the first picture is {shape}; all must be of one size")
    return fields


def realism(options: argparse.Namespace) -> None:
    """The table, and all of it as JSON."""
    size, real = options.real_nm_per_pixel, real_fields(options.real)
    hw = real[0].mask.shape
    made = summaries(reduced_fields(options.preset, options.count, options.seed, hw, size), size)
    found = {"real": summaries(real, size), "simulated": made}
    print(f"{len(real)} real, {options.count} simulated ({options.preset}, seed {options.seed}), {hw[0]} x {hw[1]} px, {size:g} nm per pixel\n")
    print(table(found["real"], made))
    if options.out:
        settings = {"preset": options.preset, "count": options.count, "seed": options.seed, "hw": hw, "nm_per_pixel": size}
        options.out.write_text(json.dumps({"settings": settings, **found}, indent=1), "utf-8")


def sheet(options: argparse.Namespace) -> None:
    """Tiles of one field, about 620 nm a side, in labelled rows."""
    rows: list[tuple[str, list[Grey]]] = []
    if options.real is None and options.micrograph is None:
        for preset in PRESETS:
            rows.append((preset, [grey(image.read()) for image in simulated(preset, COLUMNS, options.seed, (TILE, TILE), SHEET_NM)]))
    else:
        real, made = tiles_beside(options)
        for start in range(0, len(real), COLUMNS):
            rows += [("real", real[start : start + COLUMNS]), ("simulated", made[start : start + COLUMNS])]
    write_sheet(options.out, contact_sheet(rows))


def tiles_beside(options: argparse.Namespace) -> tuple[list[Grey], list[Grey]]:
    """Real tiles, and as many simulated ones that are sampled, reduced and enlarged as the real one at their place."""
    real, made = [], []
    if options.real:
        pictures = [field.pixels for field in real_fields(options.real)]
        hw = pictures[0].shape[0], pictures[0].shape[1]
        real += pictures
        made += [field.pixels for field in reduced_fields(options.preset, len(pictures), options.seed, hw, options.real_nm_per_pixel)]
    if options.micrograph:
        whole_picture, size = grey(read_micrograph(options.micrograph)), options.micrograph_nm_per_pixel
        side = round(TILE * SHEET_NM / size)
        real += [whole_picture[y : y + side, x : x + side] for x, y in CROPS]
        made += [grey(image.read()) for image in simulated(options.preset, len(CROPS), options.seed + 1, (side, side), size)]
    real, made = ([resized(picture, (TILE, TILE)) for picture in pictures] for pictures in (real, made))
    return real, made


def contact_sheet(rows: Sequence[tuple[str, Sequence[Grey]]]) -> NDArray[np.uint8]:
    """Rows of tiles with their names in the left margin, and a scale bar below."""
    wide = max(len(tiles) for _, tiles in rows)
    canvas = np.full((len(rows) * (TILE + GAP) + FOOT, SIDE + wide * (TILE + GAP)), 255, np.uint8)
    for i, (name, tiles) in enumerate(rows):
        top = i * (TILE + GAP)
        write(canvas, name, top + TILE // 2)
        for j, tile in enumerate(tiles):
            left = SIDE + j * (TILE + GAP)
            canvas[top : top + TILE, left : left + TILE] = np.rint(tile)
    bar, bottom = round(BAR_NM / SHEET_NM), canvas.shape[0] - FOOT // 2
    canvas[bottom - 3 : bottom + 3, SIDE : SIDE + bar] = 0
    write(canvas, f"{BAR_NM} nm", bottom + 6)
    return canvas


def write(canvas: NDArray[np.uint8], text: str, bottom: int) -> None:
    """Into the left margin, flush with the tiles; in place."""
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.7, 1)
    cv2.putText(canvas, text, (SIDE - width - 10, bottom), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 0, 1, cv2.LINE_AA)


def write_sheet(path: Path, canvas: NDArray[np.uint8]) -> None:
    """PNG, or JPEG at quality 88, by the suffix."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, 88] if path.suffix.lower() in (".jpg", ".jpeg") else []
    path.write_bytes(cv2.imencode(path.suffix, canvas, quality)[1].tobytes())


def speed(options: argparse.Namespace) -> None:
    """Pictures a second and growth of the process's peak memory after the first tenth, each preset; where the default's time goes."""
    cv2.setNumThreads(1)
    print("| preset | pictures/s | ms: median (10-90 %) | peak MiB after the first tenth, at the end |\n|---|---|---|---|")
    for preset in PRESETS:
        preset_ranges(preset)
        seconds, early = [], 0.0
        for index in range(options.count):
            began = time.perf_counter()
            (image,) = simulated(preset, 1, options.seed + index, (512, 512), SHEET_NM)
            image.read()
            seconds.append(time.perf_counter() - began)
            if index == options.count // 10:
                early = peak_mib()
        ms = summary([1000 * value for value in seconds])
        print(f"| {preset} | {len(seconds) / sum(seconds):.1f} | {ms['median']:.1f} ({ms['p10']:.1f} to {ms['p90']:.1f}) | {early:.1f}, {peak_mib():.1f} |")
    profiler = cProfile.Profile()
    profiler.runcall(lambda: [image.read() for image in simulated("default", options.count, options.seed, (512, 512), SHEET_NM)])
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).sort_stats("cumulative").print_stats(f"{os.sep}exolight{os.sep}".replace("\\", r"\\"), 20)
    lines = text.getvalue().splitlines()
    start = next(i for i, line in enumerate(lines) if "ncalls" in line)
    print("\ndefault, profiled:", *(line.replace(str(ROOT) + os.sep, "") for line in lines[start:] if line), sep="\n")


def peak_mib() -> float:
    """The process's largest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def read_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("realism", "sheet", "speed"))
    parser.add_argument("--real", type=Path, help="folder with images/*.png and masks/*.png")
    parser.add_argument("--real-nm-per-pixel", type=float, default=3.84, help="default 3.84")
    parser.add_argument("--micrograph", type=Path, help="sheet: a large micrograph of which four fields are shown")
    parser.add_argument("--micrograph-nm-per-pixel", type=float, default=0.624, help="default 0.624")
    parser.add_argument("--preset", choices=PRESETS, default="default")
    parser.add_argument("--count", type=int, help="pictures: realism 40, speed 60")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="realism: a JSON file; sheet: a PNG or JPEG file")
    options = parser.parse_args(arguments)
    if options.action == "realism" and options.real is None:
        parser.error("--real is needed")
    if options.action == "sheet" and (options.out is None or options.out.suffix.lower() not in (".png", ".jpg", ".jpeg")):
        parser.error("--out is needed, a .png or .jpg")
    options.count = options.count or {"realism": 40, "speed": 60}.get(options.action)
    return options


def main() -> None:
    """Do what was asked."""
    options = read_options()
    try:
        {"realism": realism, "sheet": sheet, "speed": speed}[options.action](options)
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
