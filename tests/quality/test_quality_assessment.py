"""The verdict on whole pictures: simulated ones with every fault and without, real ones, and what makes no difference to it."""

import math
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from exolight.micrograph import Micrograph, read_micrograph
from exolight.quality import Quality, assess
from exolight.quality.assessment import LIMITS, allowed_blur_px

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # scripts, no package
import quality as benchmark
from faults import Sample, samples

Found = dict[str, dict[tuple[str, str], list[tuple[Sample, Quality]]]]  # preset -> fault, extent -> pictures
NAMED = {name: limit.fault for name, limit in LIMITS.items()}


def judged(indices: range) -> Found:
    found: Found = {}
    for preset in benchmark.PRESETS:
        of_preset = found.setdefault(preset, {})
        for sample in (sample for index in indices for sample in samples(preset, 5, index)):
            of_preset.setdefault((sample.fault, sample.extent), []).append((sample, assess(sample.pixels, sample.pixel_size_nm)))
    return found


@pytest.fixture(scope="module")
def few() -> Found:
    return judged(range(2))


def film_like(side: int = 512, seed: int = 0) -> NDArray[np.uint8]:
    """Grain of a power law behind a little noise, 8 bit."""
    rng = np.random.default_rng(seed)
    k = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    k[0, 0] = 1
    grain = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) * k**-1.3, (side, side))
    return np.clip(128 + 25 * grain / grain.std() + 3 * rng.standard_normal((side, side)), 0, 255).astype(np.uint8)


# Simulated pictures


def test_clean_pictures_of_every_preset_are_usable(few: Found) -> None:
    for preset, found in few.items():
        assert [quality.verdict for _, quality in found["", ""]] == ["usable"] * 2, preset
        assert all(not quality.reasons for _, quality in found["", ""])


@pytest.mark.parametrize(
    ("fault", "extent", "least", "verdicts"),
    [
        ("out_of_focus", "8 nm", 0.8, {"warn"}),
        ("out_of_focus", "12 nm", 1, {"warn", "reject"}),
        ("drift", "20 nm", 0.6, {"warn"}),
        ("drift", "30 nm", 0.7, {"warn"}),
        ("saturated", "film at 115%", 0.8, {"warn", "reject"}),
        ("nearly_empty", "no film", 1, {"reject"}),
        ("no_film", "grid bar", 0.7, {"warn"}),
        ("no_film", "torn film", 0.7, {"warn"}),
        ("drawing", "label mask", 0.6, {"reject"}),  # where it holds anything: else it is nearly empty
        ("drawing", "plot", 1, {"reject"}),
        ("magnification", "too coarse", 1, {"warn", "reject"}),
        ("magnification", "too fine", 1, {"warn", "reject"}),
    ],
)
def test_every_fault_is_told(few: Found, fault: str, extent: str, least: float, verdicts: set[str]) -> None:
    found = [one for of_preset in few.values() for one in of_preset.get((fault, extent), [])]
    assert len(found) >= 4
    told = [quality for _, quality in found if NAMED[fault] in quality.faults]
    assert len(told) >= least * len(found)
    assert {quality.verdict for quality in told} <= verdicts
    if fault == "drawing":
        assert {quality.verdict for _, quality in found} == {"reject"}


def test_what_shows_no_film_leaves_the_analysed_area(few: Found) -> None:
    found = [one for of_preset in few.values() for extent in ("grid bar", "torn film") for one in of_preset.get(("no_film", extent), [])]
    overlaps = [benchmark.overlap(quality.mask, sample.no_film) for sample, quality in found if sample.no_film is not None]
    assert np.median(overlaps) > 0.9
    wrong = [abs(1 - quality.analysed_share - sample.no_film.mean()) for sample, quality in found if sample.no_film is not None]
    assert np.mean(wrong) < 0.03


@pytest.mark.slow
def test_every_fault_is_told_apart_from_clean_pictures() -> None:
    """Area under the ROC curve at least 0.95, each fault over all presets; clean pictures pass but for a few."""
    found = judged(range(10, 22))
    together: dict[tuple[str, str], list[Quality]] = {}
    for of_preset in found.values():
        for key, pairs in of_preset.items():
            together.setdefault(key, []).extend(quality for _, quality in pairs)
    clean = together.pop(("", ""))
    assert np.mean([quality.verdict == "usable" for quality in clean]) > 0.9
    assert all(quality.verdict != "reject" for quality in clean)
    for (fault, extent), faulty in together.items():
        area = benchmark.auc([one.scores[fault] for one in clean], [one.scores[fault] for one in faulty])
        assert area >= 0.95, (fault, extent, area)


def test_the_area_under_the_curve_by_hand() -> None:
    assert benchmark.auc([1, 2, 3], [4, 5]) == 1
    assert benchmark.auc([1, 2, 3], [2, float("nan")]) == pytest.approx(0.5)
    assert math.isnan(benchmark.auc([1], [float("nan")]))


def test_the_overlap_of_masks_by_hand() -> None:
    truth = np.zeros((10, 10), bool)
    truth[:, :4] = True
    mask = np.zeros((5, 5), bool)
    mask[:, 1:3] = True  # columns 2 to 5 of the picture
    assert benchmark.overlap(mask, truth) == pytest.approx(2 / 6)
    assert benchmark.overlap(None, truth) == 0


# Real pictures


def test_no_picture_of_exosomes_is_unusable(real_data: Path) -> None:
    paths = sorted((real_data / "exosomes" / "images").iterdir())
    assert len(paths) > 4
    for path in paths:
        for pixel_size in (3.84, None):
            assert assess(read_micrograph(path, pixel_size)).verdict == "usable", path.name
    micrograph = read_micrograph(real_data / "micrographs" / "ev_negative_stain.jpg")
    assert assess(micrograph, 0.624).verdict == assess(micrograph).verdict == "usable"


def test_few_pictures_of_particles_are_rejected(real_data: Path) -> None:
    found = [assess(read_micrograph(path)) for path in sorted((real_data / "emps" / "images").iterdir())[::4]]
    assert np.mean([quality.verdict == "reject" for quality in found]) <= 0.05
    assert np.mean([quality.verdict == "usable" for quality in found]) >= 0.65


# What makes no difference


def test_depth_contrast_and_turning_make_no_difference() -> None:
    pixels = film_like()
    first = assess(pixels, 1.5)
    assert first.verdict == "usable"
    same = [pixels.astype(np.uint16) * 257, pixels.astype(np.float32) / 255 - 3, pixels.astype(np.float64), pixels.astype(np.int32) - 70_000]
    for other in (*same, 255 - pixels, pixels.T, pixels[::-1], np.rot90(pixels)):
        quality = assess(other, 1.5)
        assert quality.verdict == "usable"
        for name, score in first.scores.items():
            assert quality.scores[name] == pytest.approx(score, rel=0.3, abs=0.02, nan_ok=True), name


def test_a_micrograph_brings_its_pixel_size_and_a_given_one_wins() -> None:
    micrograph = Micrograph(film_like(), 12.0)
    assert assess(micrograph).reason == "wrong magnification: 12 nm per pixel, vesicles need 0.2 to 5"
    assert assess(micrograph).verdict == "reject"
    assert assess(micrograph, 6.0).verdict == "warn"
    assert assess(micrograph, 1.5).verdict == assess(micrograph.pixels).verdict == "usable"
    assert math.isnan(assess(micrograph.pixels).scores["magnification"])


@pytest.mark.parametrize(("pixel_size", "score"), [(5.0, 0), (10.0, 1), (0.2, 0), (0.1, 1), (1.0, math.log2(0.2))])
def test_the_magnification_is_judged_in_octaves(pixel_size: float, score: float) -> None:
    assert assess(film_like(), pixel_size).scores["magnification"] == pytest.approx(score, abs=1e-9)


def test_the_allowed_blur() -> None:
    assert allowed_blur_px(512, 1.0) == 5  # 5 nm
    assert allowed_blur_px(512, 4.0) == 2  # never less
    assert allowed_blur_px(1000, None) == pytest.approx(8)


def test_blur_is_told_in_nm_where_they_are_known() -> None:
    blurred = cv2.GaussianBlur(film_like().astype(np.float32), (0, 0), 8) + np.random.default_rng(3).standard_normal((512, 512)).astype(np.float32)
    known, unknown = assess(blurred, 1.0), assess(blurred)
    for quality, unit, unit_px in ((known, "nm", 1.0), (unknown, "px", 1.0)):
        fault, _, extent = quality.reasons[0].partition(": a blur of ")
        assert fault == quality.faults == "out of focus"
        assert extent.endswith(f" {unit} (standard deviation)")
        assert float(extent.split()[0]) == pytest.approx(8 * unit_px, rel=0.35)


# What was burned in, and sizes


def test_strips_and_labels_are_masked_and_are_no_fault() -> None:
    pixels = film_like()
    pixels[472:] = 255
    cv2.putText(pixels, "100 nm", (20, 500), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 0, 2)
    pixels[20:60, 30:130] = 0
    cv2.putText(pixels, "A", (60, 52), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 2)
    quality = assess(pixels, 1.5)
    assert quality.verdict == "usable"
    burned = np.zeros(pixels.shape, bool)
    burned[472:] = burned[20:60, 30:130] = True
    assert benchmark.overlap(quality.mask, burned) > 0.9
    assert quality.analysed_share == pytest.approx(1 - burned.mean(), abs=0.01)


def test_a_large_field_is_masked_where_it_is_torn() -> None:
    pixels = cv2.resize(film_like(1024), (2100, 1500), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:1500, :2100]
    beyond = x - 0.3 * y + 40 * np.sin(y / 90) > 1500
    torn = np.where(beyond, 250, pixels * 0.8).astype(np.float32) + np.random.default_rng(1).standard_normal(pixels.shape).astype(np.float32)
    quality = assess(torn, 0.6)
    assert "grid bar or torn film" in quality.faults
    assert benchmark.overlap(quality.mask, beyond) > 0.95


@pytest.mark.parametrize("hw", [(1, 1), (95, 500), (96, 96), (100, 700), (130, 400)])
def test_small_pictures_are_judged_as_far_as_that_goes(hw: tuple[int, int]) -> None:
    quality = assess(film_like(1024)[: hw[0], : hw[1]], 1.5)
    if hw == (1, 1):
        assert quality.faults == "nearly empty"  # a single grey
    elif min(hw) < 96:
        assert (quality.verdict, quality.reason) == ("warn", "too small to be judged: 95 x 500 px")
    else:
        assert quality.verdict == "usable"


def test_a_plain_picture_is_empty() -> None:
    for value in (0, 200):
        quality = assess(np.full((100, 120), value, np.uint8))
        assert (quality.verdict, quality.faults, quality.analysed_share) == ("reject", "nearly empty", 1)


def test_what_is_no_picture_is_refused() -> None:
    for pixels in (np.zeros((3, 4, 3), np.uint8), np.zeros((0, 5), np.uint8)):
        with pytest.raises(ValueError, match="a picture"):
            assess(pixels)
    for pixel_size in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="above 0"):
            assess(film_like(), pixel_size)


def test_reasons_come_gravest_first() -> None:
    quality = assess(np.where(film_like() > 115, 255, film_like()).astype(np.uint8), 12.0)  # most of it is white
    assert quality.verdict == "reject"
    assert quality.reasons[-1].startswith("wrong magnification") or quality.reasons[0].startswith("wrong magnification")
    assert quality.reason == "; ".join(quality.reasons)
    assert "saturated" in quality.faults


def test_no_torch_is_needed() -> None:
    command = "import sys, exolight.quality; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
