"""Scale bars: drawn here, burned in by the simulator, and real ones."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from exolight.errors import InputError
from exolight.micrograph import Micrograph, ScaleBar, find_scale_bar
from exolight.micrograph.scale_bar_reading import labels

HERSHEY = "OpenCV"


@cache
def field(hw: tuple[int, int] = (480, 640), seed: int = 0) -> NDArray[np.float32]:
    """A grey background with grain and a few dark discs."""
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.normal(0, 60, hw).astype(np.float32), (0, 0), 1.5)
    pixels = np.asarray(135 + grain, np.float32)
    for _ in range(12):
        centre, radius = rng.uniform(0, 1, 2) * (hw[1], hw[0] * 0.7), rng.uniform(0.02, 0.06) * hw[0]
        cv2.circle(pixels, (int(centre[0]), int(centre[1])), int(radius), 80.0, -1, cv2.LINE_AA)
    return pixels


def write(pixels: NDArray[np.float32], text: str, middle: tuple[float, float], size: int, ink: float, font: str) -> None:
    """Text with digits of about ``size`` px around ``middle`` x, y px, in place."""
    if font == HERSHEY:
        cover = np.zeros(pixels.shape, np.uint8)
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size / 21, 2)
        cv2.putText(cover, text, (round(middle[0] - width / 2), round(middle[1] + height / 2)), cv2.FONT_HERSHEY_SIMPLEX, size / 21, 255, 2, cv2.LINE_AA)
    else:
        page = Image.new("L", pixels.shape[::-1])
        typeface = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf"), round(size * 1.37))
        ImageDraw.Draw(page).text(middle, text, 255, typeface, anchor="mm")
        cover = np.array(page)
    share = cover.astype(np.float32) / 255
    pixels[:] = pixels * (1 - share) + ink * share


def with_bar(
    text: str | None = "100 nm", length: int = 120, thick: int = 5, ink: float = 255, boxed: bool = False, font: str = "DejaVuSans", seed: int = 0
) -> Micrograph:
    """A picture with a bar at its lower right, from 480 px on, its lower edge at 450 px, and a label above it."""
    pixels = field(seed=seed).copy()
    if boxed:
        pixels[405 - thick : 460, 460 : 500 + length] = 255 - ink
    pixels[450 - thick : 450, 480 : 480 + length] = ink
    if text is not None:
        write(pixels, text, (480 + length / 2, 432 - thick), 20, ink, font)
    return Micrograph(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def found(picture: Micrograph, length_nm: float | None = None) -> ScaleBar:
    bar = find_scale_bar(picture, length_nm)
    assert bar is not None
    return bar


@pytest.mark.parametrize(
    ("text", "nm", "ink", "boxed", "thick", "font"),
    [
        ("100 nm", 100, 255, False, 5, "DejaVuSans"),
        ("200 nm", 200, 0, False, 5, "DejaVuSans-Bold"),
        ("500nm", 500, 0, True, 3, "DejaVuSerif"),
        ("50 nm", 50, 255, True, 2, "DejaVuSansMono"),
        ("0.5 µm", 500, 255, False, 14, "DejaVuSans"),
        ("1 µm", 1000, 0, True, 8, "STIXGeneralBol"),
        ("2 um", 2000, 255, True, 5, HERSHEY),
        ("100 nm", 100, 0, True, 6, HERSHEY),
        ("20 nm", 20, 255, False, 9, HERSHEY),
        ("250 nm", 250, 0, False, 4, "DejaVuSerif-Bold"),
        ("1.0 µm", 1000, 255, True, 4, "DejaVuSans"),
    ],
)
def test_drawn_bars(text: str, nm: float, ink: float, boxed: bool, thick: int, font: str) -> None:
    bar = found(with_bar(text, 120, thick, ink, boxed, font))
    assert bar.length_px == pytest.approx(120, abs=0.5)
    np.testing.assert_allclose(bar.box_xyxy, (480, 450 - thick, 600, 450), atol=1)
    assert bar.length_nm == nm
    assert bar.nm_per_pixel == pytest.approx(nm / 120, rel=0.005)
    assert bar.label is not None
    assert bar.label.split()[1] == text[-2:]
    assert bar.confidence > 0.75


def test_other_depths_and_sizes() -> None:
    pixels = np.asarray(with_bar().pixels, np.uint8)
    deep = Micrograph(pixels.astype(np.uint16) * 12 + 900)
    saturated = deep.pixels.astype(np.uint16)
    saturated[pixels == 255] = 65535  # ink far beyond the grey levels of the specimen
    for picture in (deep, Micrograph(saturated), Micrograph((pixels / 255 - 3).astype(np.float32))):
        assert found(picture).length_px == pytest.approx(120, abs=0.5)
        assert found(picture).length_nm == 100
    large = np.kron(pixels, np.ones((8, 8), np.uint8))  # 3840 x 5120: looked for in a reduced copy, measured in the picture itself
    for picture in (Micrograph(large), Micrograph(large.astype(np.uint16) * 200)):
        bar = found(picture)
        assert bar.length_px == pytest.approx(960, abs=0.5)
        assert bar.length_nm == 100
        np.testing.assert_allclose(bar.box_xyxy, (3840, 3560, 4800, 3600), atol=8)


def test_a_bar_whose_length_is_unknown_is_a_bar_in_pixels() -> None:
    bar = found(with_bar(None))
    assert (bar.label, bar.length_nm, bar.label_xyxy, bar.nm_per_pixel) == (None, None, None, None)
    assert bar.length_px == pytest.approx(120, abs=0.5)
    given = found(with_bar(None), 500)
    assert (given.label, given.length_nm, given.confidence) == ("500 nm", 500, bar.confidence)
    assert given.nm_per_pixel == pytest.approx(500 / 120, rel=0.005)
    assert found(with_bar("100 nm"), 500).nm_per_pixel == given.nm_per_pixel  # what is given wins


def test_a_label_beside_or_in_the_middle_of_the_bar() -> None:
    pixels = field().copy()
    pixels[400:] = 0
    pixels[436:442, 100:260] = 255
    write(pixels, "200 nm", (330, 438), 20, 255, "DejaVuSans")
    bar = found(Micrograph(pixels.clip(0, 255).astype(np.uint8)))
    assert (bar.length_nm, round(bar.length_px)) == (200, 160)
    pixels[400:] = 0
    for left in (100, 272):  # as microscopes' strips have it
        pixels[437:440, left : left + 60] = 255
    write(pixels, "500 nm", (216, 438), 16, 255, "DejaVuSans")
    bar = found(Micrograph(pixels.clip(0, 255).astype(np.uint8)))
    assert (bar.length_nm, round(bar.length_px)) == (500, 232)
    pixels[437:440, 272:] = 255  # the right half runs out of the picture: half a bar is none
    assert find_scale_bar(Micrograph(pixels.clip(0, 255).astype(np.uint8))) is None


def test_pictures_without_a_bar() -> None:
    for seed in range(8):
        assert find_scale_bar(Micrograph(field(seed=seed).clip(0, 255).astype(np.uint8))) is None
    assert find_scale_bar(Micrograph(np.full((300, 400), 90, np.uint8))) is None
    assert find_scale_bar(Micrograph(np.zeros((5, 5), np.float32))) is None
    text = field().copy()
    write(text, "HV=100kV x25000", (300, 430), 20, 255, "DejaVuSans")
    write(text, "ABC", (80, 60), 40, 0, "DejaVuSans-Bold")
    assert find_scale_bar(Micrograph(text.clip(0, 255).astype(np.uint8))) is None


def test_two_bars_that_contradict_each_other_give_no_scale() -> None:
    pixels = with_bar("100 nm").pixels.astype(np.float32)
    pixels[100:105, 60:180] = 255
    write(pixels, "200 nm", (120, 82), 20, 255, "DejaVuSans")
    assert found(Micrograph(pixels.astype(np.uint8))).nm_per_pixel is None


def test_a_bar_cut_by_the_border_is_none() -> None:
    picture = with_bar(None)
    assert find_scale_bar(Micrograph(picture.pixels[:, :560])) is None


def test_every_label_has_one_length() -> None:
    known = labels()
    assert known["500nm"] == known["0.5µm"] == known["0.5um"] == 500
    assert known["1.0µm"] == known["1um"] == known["1000nm"] == 1000
    assert known["2.5nm"] == 2.5
    assert "0nm" not in known


def test_files(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.asarray(with_bar("200 nm", 150).pixels, np.uint8))
    assert found(Micrograph(with_bar("200 nm", 150).pixels)) == find_scale_bar(tmp_path / "a.png") == find_scale_bar(str(tmp_path / "a.png"))
    with pytest.raises(InputError, match=r"b\.png: cannot be read"):
        find_scale_bar(tmp_path / "b.png")


def test_the_real_field_of_vesicles(real_data: Path) -> None:
    bar = find_scale_bar(real_data / "micrographs" / "ev_negative_stain.jpg")
    assert bar is not None
    assert bar.length_px == pytest.approx(801, abs=3)
    assert (bar.label, bar.length_nm) == ("500 nm", 500)
    assert bar.nm_per_pixel == pytest.approx(0.624, abs=0.003)
    assert bar.confidence > 0.9


def test_patches_of_exosomes_have_none(real_data: Path) -> None:
    assert all(find_scale_bar(path) is None for path in sorted((real_data / "exosomes" / "images").glob("*.png")))


def test_a_margin_of_the_box_of_a_label_is_no_bar() -> None:
    pixels = field().copy()
    pixels[400:440, 300:420] = 255
    write(pixels, "100 nm", (360, 418), 20, 0, "DejaVuSans-Bold")
    bar = find_scale_bar(Micrograph(pixels.clip(0, 255).astype(np.uint8)))
    assert bar is None or bar.nm_per_pixel is None


def test_most_bars_of_emps_are_found_and_read(real_data: Path) -> None:
    """In 13 of the first 25 by name a bar is found and its label read; which of all 366 are right was compared by eye, see docs/formats.md."""
    bars = [find_scale_bar(path) for path in sorted((real_data / "emps" / "images").glob("*.png"))[:25]]
    read = [bar for bar in bars if bar is not None and bar.nm_per_pixel is not None]
    assert len(read) >= 11
    assert all(0.01 < bar.nm_per_pixel < 1000 for bar in read if bar.nm_per_pixel is not None)


def test_importing_draws_no_letters() -> None:
    """The examples of letters take a second, torch several."""
    code = "import sys, exolight.micrograph, exolight.micrograph.scale_bar_glyphs as g; print(g._examples.cache_info().currsize, 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == ["0", "False"]
