"""How a micrograph of vesicles looks, in numbers: greys, grain, specks, and the course of the grey level across a vesicle's outline.

Pictures (H, W) and masks in, numbers out; ``benchmarks/simulator.py realism`` compares real and simulated pictures with them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

HALO_RADII = 2.25  # from the outline; a halo has faded by 3 to 3.5 radii from the centre
HIGH_PASS_NM = 40.0  # sigma: grain is 15-25 nm, drift hundreds
BLOCKS = 4  # a side
LAGS = range(1, 13)
SHOWN_LAGS = (1, 2, 4, 8, 12)
BINS = (-1.0, -0.75, -0.5, -0.25, -0.1, 0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5)  # radii; 0 is the outline, -1 the centre
LOCAL_RADII = 2.0, 3.0  # from the outline: where a vesicle's own background is read
SPECK_SIGMAS_NM = 5.0, 25.0  # of the speck, a disc of 10-25 nm, and of what surrounds it
SPECK_MARGIN_NM = 15.0
SPECK_THRESHOLD = 4.0

Grey = NDArray[np.float32]
Mask = NDArray[np.int32]


class Field(NamedTuple):
    """A picture and what is on it: grey levels (H, W) in 0..255; mask (H, W), 0 background and another number for each vesicle."""

    pixels: Grey
    mask: Mask


def relative_distance(mask: Mask) -> NDArray[np.float64]:
    """(H, W): distance to the outline of the nearest vesicle, in area-equivalent radii of that vesicle; <= 0 inside, inf everywhere without vesicles."""
    nearest = np.full(mask.shape, np.inf)
    for value in labels(mask):
        inside = mask == value
        nearest = np.minimum(nearest, signed_distance(inside) / radius(inside))
    return nearest


def background_of(mask: Mask) -> NDArray[np.bool_]:
    """(H, W): outside vesicles and their halos, ``HALO_RADII`` from every outline. In a crowd the farthest tenth of the picture at the least."""
    distance = relative_distance(mask)
    return distance >= min(HALO_RADII, float(np.quantile(distance, 0.9, method="lower")))


def moments(picture: Grey) -> tuple[float, float, float, float]:
    """Mean, standard deviation, skewness, excess kurtosis; the last two are nan of a flat picture."""
    mean, sd = float(picture.mean(dtype=np.float64)), float(picture.std(dtype=np.float64))
    z = (picture.astype(np.float64) - mean) / sd if sd else np.full(picture.shape, np.nan)
    return mean, sd, float((z**3).mean()), float((z**4).mean()) - 3


def block_spread(picture: Grey, outside: NDArray[np.bool_]) -> float:
    """Largest minus smallest mean of ``BLOCKS`` x ``BLOCKS`` blocks, of the pixels ``outside`` vesicles; blocks that are mostly vesicles are left out."""
    rows, columns = (np.linspace(0, side, BLOCKS + 1).astype(int) for side in picture.shape)
    means = []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            use = outside[top:bottom, left:right]
            if use.mean() >= 0.5:
                means.append(float(picture[top:bottom, left:right][use].mean(dtype=np.float64)))
    return max(means) - min(means) if means else float("nan")


def high_passed(picture: Grey, use: NDArray[np.bool_], sigma_px: float) -> NDArray[np.float64]:
    """The picture minus its Gaussian mean over pixels in ``use`` alone (normalised convolution); 0 outside ``use``."""
    weight = use.astype(np.float64)
    mean = cv2.GaussianBlur(picture * weight, (0, 0), sigma_px) / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma_px), 1e-12)
    return np.asarray((picture - mean) * weight, np.float64)


def autocorrelation(values: NDArray[np.float64], use: NDArray[np.bool_], lags: Iterable[int] = LAGS) -> list[float]:
    """Of pixels in ``use``, at each lag in px, rows and columns alike: sum of products of all pairs over sum of their mean squares; nan without pairs.

    Of a high-passed picture it falls below zero at long lags.
    """
    found = []
    for lag in lags:
        product = power = 0.0
        for a, b, both in ((values[lag:], values[:-lag], use[lag:] & use[:-lag]), (values[:, lag:], values[:, :-lag], use[:, lag:] & use[:, :-lag])):
            product += float((a * b)[both].sum())
            power += float((a**2 + b**2)[both].sum()) / 2
        found.append(product / power if power else float("nan"))
    return found


def robust_sd(values: NDArray[Any]) -> float:
    """Standard deviation of a normal distribution with the same median absolute deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def specks(picture: Grey, outside: NDArray[np.bool_], pixel_size_nm: float) -> tuple[float, float]:
    """Bright and dark specks per um2 ``outside`` vesicles.

    A speck is a local maximum (minimum) of the difference of two Gaussians, ``SPECK_SIGMAS_NM``, that lies more than ``SPECK_THRESHOLD`` robust
    standard deviations of that difference from its median, and is the highest (lowest) within ``SPECK_MARGIN_NM``. nan where nothing is outside.
    """
    area = float(outside.sum()) * (pixel_size_nm / 1000) ** 2
    if not area:
        return float("nan"), float("nan")
    narrow, wide = (cv2.GaussianBlur(picture, (0, 0), sigma / pixel_size_nm) for sigma in SPECK_SIGMAS_NM)
    response = narrow - wide
    response -= np.median(response[outside])
    threshold = SPECK_THRESHOLD * robust_sd(response[outside])
    near = disc(SPECK_MARGIN_NM / pixel_size_nm)
    counts = [int((outside & (side > threshold) & (side == cv2.dilate(side, near))).sum()) for side in (response, -response)]
    return counts[0] / area, counts[1] / area


def vesicle_profile(picture: Grey, mask: Mask, value: int) -> list[float]:
    """Mean grey in each of ``BINS``, relative to the vesicle's own background (median at ``LOCAL_RADII``), other vesicles left out.

    Distance from the outline is in area-equivalent radii outside; inside it is in units of the largest distance from the outline, so that -1 is
    the middle of any shape. nan for a bin without pixels, and all nan where less than a tenth of the ring of the background is in the picture and free.
    """
    inside = mask == value
    distance, size = signed_distance(inside), radius(inside)
    distance = np.where(inside, distance / -distance.min(), distance / size)
    free = inside | (mask == 0)
    low, high = LOCAL_RADII
    local = picture[free & (distance >= low) & (distance < high)]
    if len(local) < 0.1 * np.pi * size**2 * ((1 + high) ** 2 - (1 + low) ** 2):
        return [float("nan")] * (len(BINS) - 1)
    bands = (free & (distance >= a) & (distance < b) for a, b in pairwise(BINS))
    level = float(np.median(local))
    return [float(picture[band].mean(dtype=np.float64)) / level if band.any() else float("nan") for band in bands]


def edge(picture: Grey, mask: Mask, value: int, pixel_size_nm: float) -> tuple[float, float]:
    """Greatest slope (grey per nm) and width from 10 to 90 % (nm) of a vesicle's mean profile across its outline.

    The profile is the mean over distances from the outline, a pixel a step, half a radius to either side; the edge goes from its maximum inside to its
    minimum outside. nan where the vesicle is not brighter than what surrounds it, or is under four pixels wide.
    """
    inside = mask == value
    distance, reach = signed_distance(inside), int(radius(inside) / 2)
    sides = ((k, inside if k < 0 else mask == 0) for k in range(-reach, reach))
    bands = [side & (distance >= k) & (distance < k + 1) for k, side in sides]
    if reach < 1 or not all(band.any() for band in bands):
        return float("nan"), float("nan")
    profile = np.array([picture[band].mean(dtype=np.float64) for band in bands])
    place = np.array([distance[band].mean() for band in bands]) * pixel_size_nm
    top, bottom = int(profile[:reach].argmax()), reach + int(profile[reach:].argmin())
    fall = np.minimum.accumulate(profile[top : bottom + 1])
    if fall[0] <= fall[-1]:
        return float("nan"), float("nan")
    share = (fall[0] - fall) / (fall[0] - fall[-1])  # 0 ... 1, rising
    ten, ninety = np.interp((0.1, 0.9), share, place[top : bottom + 1])
    slopes = np.diff(profile[top : bottom + 1]) / np.diff(place[top : bottom + 1])
    return float(-slopes.min()), float(ninety - ten)


def signed_distance(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(H, W) px from the centre of each pixel to the outline, which runs between pixels; negative inside. The picture's border is no outline."""
    out, within = (cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for part in (~inside, inside))
    return np.where(inside, 0.5 - within, out - 0.5).astype(np.float64)


def radius(inside: NDArray[np.bool_]) -> float:
    """Area-equivalent, px."""
    return float(np.sqrt(inside.sum() / np.pi))


def disc(radius_px: float) -> NDArray[np.uint8]:
    """Structuring element."""
    reach = max(int(radius_px), 1)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return (x**2 + y**2 <= max(radius_px, 1) ** 2).astype(np.uint8)


def labels(mask: Mask) -> list[int]:
    """Numbers of the vesicles."""
    return [int(value) for value in np.unique(mask) if value]


def whole(mask: Mask) -> list[int]:
    """Numbers of the vesicles that no border cuts."""
    border = set(np.concatenate((mask[0], mask[-1], mask[:, 0], mask[:, -1])).tolist())
    return [value for value in labels(mask) if value not in border]


def measure(field: Field, pixel_size_nm: float) -> dict[str, list[float]]:
    """Every statistic of one picture: a value, or one for each whole vesicle."""
    background, outside = background_of(field.mask), field.mask == 0
    away = cv2.erode(outside.astype(np.uint8), disc(SPECK_MARGIN_NM / pixel_size_nm), borderValue=1).astype(bool)
    picture = field.pixels / np.float32(np.median(field.pixels[background]))
    residue = high_passed(picture, background, HIGH_PASS_NM / pixel_size_nm)
    bright, dark = specks(picture, away, pixel_size_nm)
    found = {"block means, largest - smallest": [block_spread(picture, outside)]}
    found |= {"grain SD": [float(residue[background].std())], "grain SD, robust": [robust_sd(residue[background])]}
    found |= {f"grain autocorrelation, {lag} px": [value] for lag, value in zip(LAGS, autocorrelation(residue, background), strict=True)}
    found |= {"bright specks / um2": [bright], "dark specks / um2": [dark]}
    if outside.all():
        return found
    found |= {name: [value] for name, value in zip(("mean", "SD", "skewness", "kurtosis"), moments(picture), strict=True)}
    found["vesicles / um2"] = [len(labels(field.mask)) / (field.mask.size * (pixel_size_nm / 1000) ** 2)]
    vesicles = whole(field.mask)
    found["diameter, nm"] = [2 * pixel_size_nm * radius(field.mask == value) for value in vesicles]
    edges = [edge(picture, field.mask, value, pixel_size_nm) for value in vesicles]
    found |= {"edge slope / nm": [slope for slope, _ in edges], "edge width, nm": [width for _, width in edges]}
    profiles = [vesicle_profile(field.pixels, field.mask, value) for value in vesicles]
    for k, (low, high) in enumerate(pairwise(BINS)):
        found[f"profile, {low:g} to {high:g} radii"] = [profile[k] for profile in profiles]
    return found


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median, 10, 25, 75 and 90 % and number of the values that are numbers."""
    numbers = np.array(values, float)
    numbers = numbers[~np.isnan(numbers)]
    quantiles = np.quantile(numbers, (0.1, 0.25, 0.5, 0.75, 0.9)).tolist() if len(numbers) else [float("nan")] * 5
    return dict(zip(("p10", "p25", "median", "p75", "p90"), quantiles, strict=True)) | {"n": len(numbers)}


def summaries(fields: Iterable[Field], pixel_size_nm: float) -> dict[str, dict[str, float]]:
    """Of all pictures together, by statistic."""
    values: dict[str, list[float]] = defaultdict(list)
    for field in fields:
        for name, found in measure(field, pixel_size_nm).items():
            values[name] += found
    return {name: summary(found) for name, found in values.items()}


def table(real: Mapping[str, Mapping[str, float]], made: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown."""
    hidden = {f"grain autocorrelation, {lag} px" for lag in set(LAGS) - set(SHOWN_LAGS)}
    lines = ["| statistic | real: median (10-90 %), n | simulated: median (10-90 %), n | median within real's 10-90 % |", "|---|---|---|---|"]
    for name in [name for name in real if name not in hidden]:
        a, b = real[name], made.get(name) or summary([])
        cells = [f"{s['median']:.3g} ({s['p10']:.3g} to {s['p90']:.3g}), {s['n']}" for s in (a, b)]
        lines.append(f"| {name} | {' | '.join(cells)} | {'yes' if a['p10'] <= b['median'] <= a['p90'] else 'no'} |")
        if name == "diameter, nm":
            cells = [f"{s['p25']:.3g} to {s['p75']:.3g}" for s in (a, b)]
            lines.append(f"| diameter, nm, 25-75 % | {' | '.join(cells)} | |")
    return "\n".join(lines)
