"""What a vesicle looks like in negative stain: its body and the stain that has gathered round it, as optical density relative to the bare film.

Negative stain is drawn where the specimen is NOT: a body keeps the stain out (density around or below 0, as bright as the film or brighter), the
stain dries in a halo round it (density 0.4-0.8) and in the hollow of a vesicle that has collapsed into a cup. Levels were measured on real fields
(a cup of 115 nm: film 100, rim 117, hollow 42, trough 49 grey levels; the halo is back at the film's level at 3-3.5 radii).
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from exolight.simulation.outline import polygon, random_radii

MORPHOLOGY_SHARES = {"cup": 0.45, "solid": 0.27, "ring": 0.10, "collapsed": 0.13, "dark": 0.05}

# (low, high) of a uniform draw. Densities are relative to the film, lengths in radii of the vesicle.
#   base      density of the body                        dome    how much brighter its middle is than its edge
#   rim       brightness of the membrane band            rim_at, rim_width  where the band lies
#   gap       0 an unbroken rim, 1 a rim broken in azimuth
#   hollow    density of the stain in the hollow         hollow_size
#   crease    strength of a fold                         roughness, aspect  of the outline
_LOOKS: dict[str, dict[str, tuple[float, float]]] = {
    "cup": {"base": (-0.02, 0.14), "dome": (0.0, 0.05), "rim": (0.16, 0.40), "rim_at": (0.80, 0.90), "rim_width": (0.09, 0.18), "gap": (0.5, 1.2),
            "hollow": (0.35, 0.75), "hollow_size": (0.40, 0.68), "crease": (0.0, 0.12), "roughness": (0.05, 0.13), "aspect": (1.0, 1.3)},
    "solid": {"base": (-0.26, -0.02), "dome": (0.0, 0.12), "rim": (0.03, 0.18), "rim_at": (0.86, 0.93), "rim_width": (0.07, 0.12), "gap": (0.3, 1.0),
              "hollow": (0.0, 0.0), "hollow_size": (0.3, 0.4), "crease": (0.0, 0.15), "roughness": (0.03, 0.10), "aspect": (1.0, 1.25)},
    "ring": {"base": (0.04, 0.20), "dome": (-0.05, 0.05), "rim": (0.28, 0.48), "rim_at": (0.86, 0.92), "rim_width": (0.07, 0.11), "gap": (0.2, 0.7),
             "hollow": (0.05, 0.30), "hollow_size": (0.60, 0.75), "crease": (0.0, 0.05), "roughness": (0.02, 0.07), "aspect": (1.0, 1.2)},
    "collapsed": {"base": (-0.10, 0.12), "dome": (-0.05, 0.05), "rim": (0.12, 0.32), "rim_at": (0.78, 0.90), "rim_width": (0.08, 0.16),
                  "gap": (0.6, 1.0), "hollow": (0.10, 0.40), "hollow_size": (0.2, 0.4), "crease": (0.18, 0.45), "roughness": (0.13, 0.22),
                  "aspect": (1.1, 1.4)},
    "dark": {"base": (0.18, 0.40), "dome": (-0.1, 0.05), "rim": (0.10, 0.25), "rim_at": (0.86, 0.93), "rim_width": (0.08, 0.13), "gap": (0.3, 0.9),
             "hollow": (0.0, 0.10), "hollow_size": (0.4, 0.6), "crease": (0.0, 0.10), "roughness": (0.04, 0.10), "aspect": (1.0, 1.3)},
}  # fmt: skip
#   bend, shift  of the hollow: how much of a kidney it is, how far off the centre; mottle  of the body
_ANY_LOOK = {"bend": (0.0, 0.9), "shift": (0.0, 0.32), "mottle": (0.02, 0.06)}

_HALO_REACH = 3.2  # radii; the halo is tapered to nothing there
_TABLE = 1024  # entries of the table angle -> radius


@dataclass(frozen=True)
class Vesicle:
    """One vesicle, ready to be drawn anywhere. ``look`` holds one draw from each range of ``_LOOKS`` and ``_ANY_LOOK``; angles are in radians."""

    radii: NDArray[np.float32]
    morphology: str
    look: dict[str, float]
    contrast: float  # multiplies every density
    halo: float  # density of the stain at the membrane
    turn: tuple[float, float, float, float]  # of rim, hollow, crease, halo

    @property
    def radius_px(self) -> float:
        """Half the area-equivalent diameter, to a few per cent."""
        return float(self.radii.mean())

    def outline(self, centre: tuple[float, float]) -> NDArray[np.float32]:
        """Outer membrane (K, 2) x, y px where the vesicle stands at ``centre``."""
        return polygon(centre, self.radii)


def random_vesicle(rng: np.random.Generator, diameter_px: float, contrast_range: tuple[float, float]) -> Vesicle:
    """A vesicle of a random morphology with an area-equivalent diameter of ``diameter_px``."""
    names = list(MORPHOLOGY_SHARES)
    morphology = names[int(rng.choice(len(names), p=list(MORPHOLOGY_SHARES.values())))]
    look = {key: float(rng.uniform(*bounds)) for key, bounds in (_LOOKS[morphology] | _ANY_LOOK).items()}
    turn = rng.uniform(0, 2 * math.pi, 4)
    return Vesicle(
        radii=random_radii(rng, diameter_px, look["aspect"], look["roughness"]),
        morphology=morphology,
        look=look,
        contrast=float(rng.uniform(*contrast_range)),
        halo=float(rng.uniform(0.5, 1.0)),
        turn=(float(turn[0]), float(turn[1]), float(turn[2]), float(turn[3])),
    )


def draw_halo(stain: NDArray[np.float32], vesicle: Vesicle, centre: tuple[float, float], pixel_size_nm: float) -> None:
    """Add the dried stain round a vesicle to the density map ``stain`` (H, W), in place: a steep seam of some 8 nm on a slope several radii wide."""
    window = _window(stain.shape, centre, float(vesicle.radii.max()) * _HALO_REACH)
    if not stain[window].size:
        return
    dx, dy = _offsets(window, centre)
    distance, theta, _ = _polar(vesicle, dx, dy)
    outside = np.maximum(distance, 0)
    radius = vesicle.radius_px
    taper = np.clip(1 - outside / ((_HALO_REACH - 1) * radius), 0, 1)
    seam = np.exp(outside * (-pixel_size_nm / 8.0))
    slope = np.exp(outside * (-1 / (0.9 * radius))) * taper
    lopsided = 1 + 0.3 * np.cos(theta - vesicle.turn[3])  # drying draws the stain to one side
    stain[window] += (vesicle.contrast * vesicle.halo) * lopsided * (0.38 * seam + 0.62 * slope)


def draw_body(stain: NDArray[np.float32], texture: NDArray[np.float32], vesicle: Vesicle, centre: tuple[float, float]) -> None:
    """Put a vesicle into the density map ``stain`` (H, W), in place, over what is there.

    ``texture`` (2, H, W) is noise of unit variance, fine and coarse: it mottles the body and frays what would be too regular.
    """
    window = _window(stain.shape, centre, float(vesicle.radii.max()) + 2)
    if not stain[window].size:
        return
    dx, dy = _offsets(window, centre)
    distance, theta, edge = _polar(vesicle, dx, dy)
    fine, coarse = texture[0][window], texture[1][window]
    rho = (edge + distance) / edge
    look, radius = vesicle.look, vesicle.radius_px
    density = look["base"] - look["dome"] * (1 - rho**2) - _rim(vesicle, rho + 0.03 * coarse, theta)
    density += _hollow(vesicle, dx / radius, dy / radius, 0.13 * coarse) + _crease(vesicle, dx / radius, dy / radius + 0.05 * coarse)
    density = vesicle.contrast * density + 0.05 * fine + look["mottle"] * coarse
    cover = np.clip(0.5 - distance + 0.3 * fine, 0, 1) * 0.92  # half at the membrane; a little of what lies under it shines through
    stain[window] += cover * (density - stain[window])


def _rim(vesicle: Vesicle, rho: NDArray[np.float32], theta: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bright band of the membrane, stronger on one side and broken in azimuth."""
    look, turn = vesicle.look, vesicle.turn
    azimuth = 1 - look["gap"] * (0.45 - 0.35 * np.cos(theta - turn[0]) - 0.25 * np.cos(3 * theta + 2 * turn[1]))
    band: NDArray[np.float32] = np.exp(-(((rho - look["rim_at"]) / look["rim_width"]) ** 2))
    return look["rim"] * np.maximum(azimuth, 0) * band


def _hollow(vesicle: Vesicle, x: NDArray[np.float32], y: NDArray[np.float32], fray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stain lying in the hollow of a cup: a soft-edged kidney off the centre, its edge moved by ``fray``. All in radii from the centre."""
    size, turn = vesicle.look["hollow_size"], vesicle.turn[1]
    along = x * math.cos(turn) + y * math.sin(turn)
    across = y * math.cos(turn) - x * math.sin(turn) + vesicle.look["bend"] * along**2  # bent: a kidney
    reach = np.sqrt((along / size) ** 2 + ((across - vesicle.look["shift"]) / (0.8 * size)) ** 2) + fray
    ramp = np.clip((1.25 - reach) / 0.5, 0, 1)
    return vesicle.look["hollow"] * ramp * ramp * (3 - 2 * ramp)


def _crease(vesicle: Vesicle, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """A bent fold of the membrane across the body: a bright ridge with a dark flank."""
    turn = vesicle.turn[2]
    along = x * math.cos(turn) + y * math.sin(turn)
    across = (y * math.cos(turn) - x * math.sin(turn) + 0.35 * along**2 - 0.1) / 0.13
    return np.asarray((-1.6 * vesicle.look["crease"]) * across * np.exp(-(across**2)), np.float32)


def _polar(vesicle: Vesicle, dx: NDArray[np.float32], dy: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Of each pixel: px beyond the membrane along the ray from the centre (negative inside), the ray's angle, the membrane's radius on that ray."""
    distance, theta = cv2.cartToPolar(dx, dy)
    k = len(vesicle.radii)
    table = np.interp(np.arange(_TABLE) * (k / _TABLE), np.arange(k + 1), np.append(vesicle.radii, vesicle.radii[0])).astype(np.float32)
    edge = table[(theta * (_TABLE / (2 * math.pi)) + 0.5).astype(np.int32) % _TABLE]
    return np.asarray(distance - edge, np.float32), np.asarray(theta, np.float32), edge


def _window(hw: tuple[int, ...], centre: tuple[float, float], reach: float) -> tuple[slice, slice]:
    """Rows and columns of a picture of ``hw`` within ``reach`` px of ``centre``; empty slices where the picture has none of them."""
    (left, right), (top, bottom) = ((max(int(c - reach), 0), max(min(int(c + reach) + 1, side), 0)) for c, side in zip(centre, hw[::-1], strict=True))
    return slice(top, bottom), slice(left, right)


def _offsets(window: tuple[slice, slice], centre: tuple[float, float]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x and y distance (h, w) px of the window's pixel centres from ``centre``."""
    y, x = (np.arange(s.start, s.stop, dtype=np.float32) + np.float32(0.5 - c) for s, c in zip(window, centre[::-1], strict=True))
    dx, dy = np.meshgrid(x, y)
    return dx, dy
