"""What people burn into pictures: scale bars with their length, panel letters, lines of text, an information strip along the bottom."""

import functools
import math
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

# matplotlib brings them along: upright, bold, typewriter, with serifs.
_FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSerif-Bold", "STIXGeneral", "STIXGeneralBol")
_LENGTHS_NM = (20, 50, 100, 200, 500, 1000, 2000, 5000)
_STRIPPED = 0.15  # share of marked pictures that end in a strip of information


def strip_rows(seed: int, height: int) -> int:
    """How many rows at the bottom of a picture an information strip with this ``seed`` hides: 0 in most."""
    rng = np.random.default_rng((seed, 1))
    stripped, share = rng.random() < _STRIPPED, rng.uniform(0.05, 0.12)
    return round(share * height) if stripped else 0


def burn_in(seed: int, pixels: NDArray[Any], pixel_size_nm: float) -> None:
    """Write a scale bar of a round length, and at random letters and an information strip, into grey levels (H, W), in place."""
    height, width = pixels.shape
    rng = np.random.default_rng(seed)
    white = int(np.iinfo(pixels.dtype).max)
    ink = 0 if rng.random() < 0.5 else white
    font = str(rng.choice(_FONTS))
    strip = strip_rows(seed, height)
    if strip:
        pixels[height - strip :] = white - ink
    cover = Image.new("L", (width, height))
    pen = ImageDraw.Draw(cover)

    # Digits of 1.5 to 8 % of the picture's height; those in a strip fit into it.
    size = max(round(height * math.exp(rng.uniform(math.log(0.015), math.log(0.08)))), 7)
    size = min(size, round(0.6 * strip)) if strip else size
    wanted = rng.uniform(0.08, 0.35) * width * pixel_size_nm
    length_nm = min(_LENGTHS_NM, key=lambda nm: abs(math.log(nm / wanted)))
    length, thick = round(length_nm / pixel_size_nm), max(round(rng.uniform(0.003, 0.02) * height), 1)
    margin = round(rng.uniform(0.02, 0.06) * height)
    left = margin if rng.random() < 0.5 else width - margin - length
    bottom = height - strip // 2 + thick // 2 if strip else height - margin
    pen.rectangle((left, bottom - thick, left + length - 1, bottom - 1), fill=255)
    if strip or rng.random() < 0.85:
        unit = "nm" if length_nm < 1000 else str(rng.choice(("µm", "um")))
        label = f"{length_nm if length_nm < 1000 else length_nm // 1000}{' ' * int(rng.random() < 0.8)}{unit}"
        above = bottom - thick - round(0.3 * size)
        on_right = left > width // 2
        wide = round(_font(font, size).getlength(label))
        if strip:  # beside the bar, on the side that has room
            beside = left - size // 2 if on_right else left + length + size // 2
            pen.text((beside, bottom - thick // 2), label, 255, _font(font, size), anchor="rm" if on_right else "lm")
        else:
            middle = min(max(left + length // 2, wide // 2 + 2), width - wide // 2 - 2)
            pen.text((middle, above), label, 255, _font(font, size), anchor="mb")
    if rng.random() < 0.4:
        pen.text((margin, margin), "ABCDEFabcdef"[int(rng.integers(12))], 255, _font(font, round(size * rng.uniform(1.2, 1.8))), anchor="lt")
    if strip or rng.random() < 0.25:
        text = f"HV={int(rng.choice((80, 100, 120)))}kV  x{int(rng.integers(8, 60))}000"
        small = max(round(0.6 * size), 6)
        at = (width // 40 if left > width // 2 else width - width // 40, height - strip // 2 if strip else margin)
        pen.text(at, text, 255, _font(font, small), anchor="lm" if left > width // 2 else "rm")
    share = np.asarray(cover, np.float32) / 255
    pixels[...] = np.rint(pixels * (1 - share) + ink * share).astype(pixels.dtype)


@functools.lru_cache(maxsize=64)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"), size)
