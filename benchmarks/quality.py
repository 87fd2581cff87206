"""Which pictures are called unusable: simulated ones with faults and without, and real ones, as Markdown.

    python benchmarks/quality.py --count 24 --seed 0
    python benchmarks/quality.py --count 0 --real PATH/TO/emps/images PATH/TO/exosomes/images

Simulated: ``count`` fields of each preset at 0.6 to 2.5 nm per pixel, each without a fault and with every one of ``faults.py``. AUC is the area under the ROC
curve of the fault's own score, between its pictures and those of the same preset (all: of every preset) without any; of pictures whose pixel size is known, and
as if it were not. "told" is the share of the pictures with the fault that get a reason that names it; "rejected" the share that is not analysed. Of grid bars
and tears, over at least 5 % of the field, the mask's intersection over union with the true area is given, and by how much of the field the masked area is
wrong. Real: the shares of each verdict, without a pixel size unless the file has one or --pixel-size gives it, and what is named.
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from faults import Sample, samples
from numpy.typing import ArrayLike, NDArray
from simulator import PRESETS, preset_ranges

from exolight.micrograph import PICTURE_SUFFIXES, read_micrograph
from exolight.quality import Quality, assess
from exolight.quality.assessment import LIMITS
from exolight.simulation.source import simulate

VERDICTS = ("usable", "warn", "reject")


class Judged(NamedTuple):
    """A sample's fault and extent, how its picture was judged with its pixel size and without; how well it was masked (nan: there is nothing to mask)."""

    fault: str
    extent: str
    known: Quality
    unknown: Quality
    overlap: float
    area_error: float


def auc(clean: ArrayLike, faulty: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a faulty picture scores above a clean one, a tie being half a chance. Scores that are nan are no scores."""
    a, b = (np.asarray(values, float) for values in (clean, faulty))
    a, b = a[~np.isnan(a), None], b[~np.isnan(b)]
    return float((np.count_nonzero(b > a) + np.count_nonzero(b == a) / 2) / max(a.size * b.size, 1)) if a.size * b.size else float("nan")


def overlap(mask: NDArray[np.bool_] | None, truth: NDArray[np.bool_]) -> float:
    """Intersection over union of a mask, a map of any size, with the true area (H, W)."""
    if mask is None:
        return 0.0
    found = cv2.resize(mask.astype(np.uint8), truth.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    return float((found & truth).sum() / (found | truth).sum())


def judge(sample: Sample) -> Judged:
    """Both ways."""
    known, unknown = assess(sample.pixels, sample.pixel_size_nm), assess(sample.pixels)
    if sample.no_film is None:
        return Judged(sample.fault, sample.extent, known, unknown, float("nan"), float("nan"))
    wrong = abs(1 - known.analysed_share - float(sample.no_film.mean()))
    return Judged(sample.fault, sample.extent, known, unknown, overlap(known.mask, sample.no_film), wrong)


def simulated(count: int, seed: int) -> str:
    """The tables of faults and of clean pictures."""
    judged = {preset: [judge(sample) for index in range(count) for sample in samples(preset, seed, index)] for preset in PRESETS}
    judged = {"all": [one for of_preset in judged.values() for one in of_preset]} | judged
    lines = [
        "| fault | " + " | ".join(f"AUC {preset}" for preset in judged) + " | told | rejected | mask IoU | area wrong by |",
        "|---" * (len(judged) + 4) + "|",
    ]
    by_fault: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for one in (one for one in judged["all"] if one.fault):
        by_fault[one.fault, one.extent].append(one)
    for (fault, extent), faulty in by_fault.items():
        cells = []
        for of_preset in judged.values():
            sides = [[one for one in of_preset if (one.fault, one.extent) == side] for side in (("", ""), (fault, extent))]
            values = [auc(*([getattr(one, way).scores[fault] for one in side] for side in sides)) for way in ("known", "unknown")]
            cells.append(" / ".join("-" if np.isnan(value) else f"{value:.3f}" for value in values))
        told = np.mean([LIMITS[fault].fault in one.known.faults for one in faulty])
        rejected = np.mean([one.known.verdict == "reject" for one in faulty])
        overlaps, errors = ([getattr(one, name) for one in faulty if not np.isnan(one.overlap)] for name in ("overlap", "area_error"))
        masked = f"{np.median(overlaps):.2f} (10 %: {np.quantile(overlaps, 0.1):.2f}) | {np.mean(errors):.1%}" if overlaps else "|"
        lines.append(f"| {fault}, {extent} | {' | '.join(cells)} | {told:.0%} | {rejected:.0%} | {masked} |")
    lines += ["", "| without a fault | usable | warn | reject | named |", "|---|---|---|---|---|"]
    for way in ("known", "unknown"):
        for preset, of_preset in judged.items():
            lines.append(f"| {preset}, pixel size {way} | {verdicts([getattr(one, way) for one in of_preset if not one.fault])} |")
    return "\n".join(lines)


def verdicts(found: Sequence[Quality]) -> str:
    """Cells: the share of each verdict, and how often each fault is named."""
    shares = " | ".join(f"{np.mean([one.verdict == verdict for one in found]):.1%}" for verdict in VERDICTS)
    named = Counter(fault for one in found for fault in one.faults.split(", ") if fault)
    return f"{shares} | {', '.join(f'{fault} {count}' for fault, count in named.most_common())}"


def real(folders: Sequence[Path], pixel_size_nm: float | None) -> str:
    """The table of real pictures, and the names of the rejected ones."""
    lines, rejected = ["| real pictures | n | usable | warn | reject | named |", "|---|---|---|---|---|---|"], []
    for folder in folders:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
        found = [assess(read_micrograph(path, pixel_size_nm)) for path in paths]
        lines.append(f"| {folder.parent.name}/{folder.name} | {len(found)} | {verdicts(found)} |")
        rejected += [f"{path.name}: {one.reason}" for path, one in zip(paths, found, strict=True) if one.verdict == "reject"]
    return "\n".join([*lines, "", *rejected])


def speed(seed: int) -> str:
    """ms of one core for a picture: median (10-90 %)."""
    cv2.setNumThreads(1)
    lines = []
    for side, count in ((512, 40), (1024, 12), (3072, 4)):
        taken = []
        for image in simulate(count, (side, side), (0.6, 2.5), seed, preset_ranges("default")).images:
            micrograph = image.read()
            began = time.process_time()
            assess(micrograph)
            taken.append(1000 * (time.process_time() - began))
        low, middle, high = np.quantile(taken[1:], (0.1, 0.5, 0.9))
        lines.append(f"{side} x {side} px: {middle:.1f} ms ({low:.1f} to {high:.1f})")
    return "; ".join(lines)


def main() -> None:
    """Do what was asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=24, help="simulated fields of each preset; default 24, 0: none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", type=Path, nargs="+", default=[], help="folders of real pictures")
    parser.add_argument("--pixel-size", type=float, help="nm per pixel of all real pictures")
    parser.add_argument("--speed", action="store_true", help="how long one core takes")
    options = parser.parse_args()
    if options.count:
        print(f"{options.count} fields of each preset, seed {options.seed}\n\n{simulated(options.count, options.seed)}\n")
    if options.real:
        print(f"{real(options.real, options.pixel_size)}\n")
    if options.speed:
        print(speed(options.seed))


if __name__ == "__main__":
    main()
