"""What a vesicle looks like in negative stain: its body and the stain that has gathered round it, as nm of stain more (or less) than on the bare film.

Negative stain is drawn where the specimen is NOT: a body keeps the stain out (about as bright as the film, or brighter), the stain dries in a halo round
it and in the hollow of a vesicle that has collapsed into a cup. Levels were measured on real fields (a cup of 115 nm: film 100, rim 117, hollow 42, trough
49 grey levels; the halo is back at the film's level at 3-3.5 radii) and brought to nm with the stain's mean free path (``formation.STAIN_MFP_NM``).
"""

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from exolight.simulation.grid import Field, Grid
from exolight.simulation.noise import Texture, enlarged
from exolight.simulation.outline import polygon, random_radii
from exolight.simulation.ranges import Pair, VesicleRanges, uniform

# (low, high) of a uniform draw. Stain in nm relative to the film, lengths in radii of the vesicle.
#   base      of the body                              dome      how much less in its middle than at its edge
#   rim       less in the membrane band                rim_at, rim_width  where the band lies
#   gap       0 an unbroken rim, 1 a rim broken in azimuth
#   hollow    stain in the hollow                      hollow_size
#   crease    strength of a fold                       ridge     strength of a web of creases
#   roughness, aspect  of the outline
_LOOKS: dict[str, dict[str, Pair]] = {
    "cup": {
        "base": (-1.0, 9.0), "dome": (0.0, 2.0), "rim": (5.0, 14.0), "rim_at": (0.78, 0.9), "rim_width": (0.09, 0.19), "gap": (0.4, 1.2),
        "hollow": (11.0, 27.0), "hollow_size": (0.38, 0.7), "ridge": (0.0, 6.0), "crease": (0.0, 4.0), "roughness": (0.05, 0.13), "aspect": (1.0, 1.3),
    },
    "solid": {
        "base": (-10.0, 0.0), "dome": (-1.0, 4.0), "rim": (0.0, 6.0), "rim_at": (0.84, 0.93), "rim_width": (0.07, 0.14), "gap": (0.3, 1.0),
        "hollow": (0.0, 0.0), "hollow_size": (0.3, 0.4), "ridge": (0.0, 3.0), "crease": (0.0, 4.0), "roughness": (0.03, 0.12), "aspect": (1.0, 1.3),
    },
    "ring": {
        "base": (1.0, 7.0), "dome": (-2.0, 2.0), "rim": (9.0, 17.0), "rim_at": (0.84, 0.92), "rim_width": (0.07, 0.12), "gap": (0.2, 0.7),
        "hollow": (2.0, 11.0), "hollow_size": (0.6, 0.75), "ridge": (0.0, 2.0), "crease": (0.0, 2.0), "roughness": (0.02, 0.08), "aspect": (1.0, 1.2),
    },
    "collapsed": {
        "base": (-6.0, 8.0), "dome": (-2.0, 2.0), "rim": (3.0, 14.0), "rim_at": (0.76, 0.92), "rim_width": (0.06, 0.18), "gap": (0.6, 1.0),
        "hollow": (0.0, 18.0), "hollow_size": (0.2, 0.45), "ridge": (2.0, 9.0), "crease": (5.0, 15.0), "roughness": (0.12, 0.24), "aspect": (1.05, 1.5),
    },
    "elongated": {
        "base": (-9.0, 2.0), "dome": (-1.0, 4.0), "rim": (2.0, 9.0), "rim_at": (0.8, 0.92), "rim_width": (0.08, 0.15), "gap": (0.3, 1.0),
        "hollow": (0.0, 14.0), "hollow_size": (0.18, 0.4), "ridge": (0.0, 7.0), "crease": (0.0, 5.0), "roughness": (0.05, 0.16), "aspect": (1.6, 2.7),
    },
    "multilamellar": {
        "base": (-3.0, 5.0), "dome": (0.0, 2.0), "rim": (4.0, 12.0), "rim_at": (0.86, 0.93), "rim_width": (0.06, 0.11), "gap": (0.2, 0.7),
        "hollow": (0.0, 10.0), "hollow_size": (0.2, 0.4), "ridge": (0.0, 2.0), "crease": (0.0, 2.0), "roughness": (0.02, 0.08), "aspect": (1.0, 1.2),
    },
    "dark": {
        "base": (5.0, 13.0), "dome": (-3.0, 2.0), "rim": (3.0, 9.0), "rim_at": (0.84, 0.93), "rim_width": (0.08, 0.15), "gap": (0.3, 0.9),
        "hollow": (0.0, 5.0), "hollow_size": (0.4, 0.6), "ridge": (0.0, 6.0), "crease": (0.0, 5.0), "roughness": (0.04, 0.12), "aspect": (1.0, 1.3),
    },
}  # fmt: skip
#   bend, shift  of the hollow: how much of a kidney it is, how far off the centre; mottle  of the body (nm); soft  width of the membrane's edge (nm);
#   halo_reach  decay length of the halo; lamellae  seen, where there are several
_ANY_LOOK: dict[str, Pair] = {"bend": (0.0, 0.9), "shift": (0.0, 0.32), "mottle": (0.6, 3.4), "soft": (3.0, 11.0), "halo_reach": (0.6, 2.0),
                              "lamellae": (1.5, 4.5)}  # fmt: skip
_LAMELLA_NM: Pair = (9.0, 14.0)  # a bilayer and the stain between two

MOST_HALO_NM = 55.0  # stain is finite: neighbours share it
_SEAM_NM = 9.0  # decay of the steep part of the halo, at the membrane
_SEAM_REACH_NM = 36.0
_HALO_REACH = 4.2  # radii; the halo is tapered to nothing there
_HALO_GRID_NM = 6.0  # the slope of a halo is smooth: it is drawn in pixels of about this size
_TABLE = 1024  # entries of the table angle -> radius


@dataclass(frozen=True)
class Vesicle:
    """One vesicle, ready to be drawn anywhere. ``look`` holds one draw from each range of ``_LOOKS`` and ``_ANY_LOOK``; angles are in radians."""

    radii_nm: NDArray[np.float32]
    morphology: str
    look: dict[str, float]
    contrast: float  # multiplies all stain
    halo_nm: float  # stain at the membrane
    turn: tuple[float, float, float, float]  # of rim, hollow, crease, halo
    lamella_nm: float = 0.0  # period of its lamellae; 0: it has one

    @property
    def radius_nm(self) -> float:
        """Half the area-equivalent diameter, to a few per cent."""
        return float(self.radii_nm.mean())

    @functools.cached_property
    def reach_nm(self) -> float:
        """Longest radius."""
        return float(self.radii_nm.max())

    def outline(self, centre_nm: tuple[float, float]) -> NDArray[np.float32]:
        """Outer membrane (K, 2) x, y nm where the vesicle stands at ``centre_nm``."""
        return polygon(centre_nm, self.radii_nm)


def random_vesicle(rng: np.random.Generator, diameter_nm: float, ranges: VesicleRanges) -> Vesicle:
    """A vesicle of a random morphology with an area-equivalent diameter of ``diameter_nm``."""
    shares = np.array(list(ranges.shares.values()), float)
    morphology = list(ranges.shares)[int(rng.choice(len(shares), p=shares / shares.sum()))]
    look = {key: uniform(rng, bounds) for key, bounds in (_LOOKS[morphology] | _ANY_LOOK).items()}
    turn = rng.uniform(0, 2 * math.pi, 4)
    lamella = uniform(rng, _LAMELLA_NM)
    return Vesicle(
        radii_nm=random_radii(rng, diameter_nm, look["aspect"], look["roughness"] * uniform(rng, ranges.roughness)),
        morphology=morphology,
        look=look,
        contrast=uniform(rng, ranges.contrast),
        halo_nm=float(rng.uniform(14.0, 44.0)) * (1.3 if morphology == "collapsed" else 1.0),  # a heap of membrane holds more stain
        turn=(float(turn[0]), float(turn[1]), float(turn[2]), float(turn[3])),
        lamella_nm=lamella if morphology == "multilamellar" else 0.0,
    )


def draw_slope(halos: Field, grid: Grid, vesicle: Vesicle, centre_nm: tuple[float, float]) -> None:
    """Add the wide part of a vesicle's halo, several radii of it, to ``halos`` (H, W) nm on a coarse ``grid``, in place."""
    window = grid.around(centre_nm, vesicle.reach_nm * _HALO_REACH)
    if not halos[window].size:
        return
    distance, theta, _ = _polar(vesicle, *grid.offsets(window, centre_nm))
    outside, radius = np.maximum(distance, 0), vesicle.radius_nm
    taper = np.clip(1 - outside / ((_HALO_REACH - 1) * radius), 0, 1)
    lopsided = 1 + 0.3 * np.cos(theta - vesicle.turn[3])  # drying draws the stain to one side
    halos[window] += (0.62 * vesicle.contrast * vesicle.halo_nm) * lopsided * np.exp(outside * (-1 / (vesicle.look["halo_reach"] * radius))) * taper


def draw_seam(halos: Field, grid: Grid, vesicle: Vesicle, centre_nm: tuple[float, float]) -> None:
    """Add the steep part of a vesicle's halo, the last nm before the membrane, to ``halos`` (H, W) nm, in place."""
    window = grid.around(centre_nm, vesicle.reach_nm + _SEAM_REACH_NM)
    if not halos[window].size:
        return
    distance, theta, _ = _polar(vesicle, *grid.offsets(window, centre_nm))
    lopsided = 1 + 0.3 * np.cos(theta - vesicle.turn[3])
    halos[window] += (0.38 * vesicle.contrast * vesicle.halo_nm) * lopsided * np.exp(np.maximum(distance, 0) * (-1 / _SEAM_NM))


def halo_grid(grid: Grid) -> Grid:
    """The coarse grid for ``draw_slope``."""
    return grid.coarser(_halo_step(grid))


def _halo_step(grid: Grid) -> int:
    return max(round(_HALO_GRID_NM / grid.pixel_size_nm), 1)


def shared(slopes: Field, seams: Field, grid: Grid) -> Field:
    """The stain of all halos together (H, W) nm: seams on ``grid`` and slopes on its ``halo_grid``, saturating at what there is to share."""
    step = _halo_step(grid)
    fine = slopes if step == 1 else enlarged(slopes, (slopes.shape[0] * step, slopes.shape[1] * step))[: seams.shape[0], : seams.shape[1]]
    return np.asarray(MOST_HALO_NM * np.tanh((fine + seams) * np.float32(1 / MOST_HALO_NM)), np.float32)


def draw_body(stain: Field, grid: Grid, texture: Texture, vesicle: Vesicle, centre_nm: tuple[float, float]) -> None:
    """Put a vesicle into ``stain`` (H, W) nm, in place, over what is there."""
    window = grid.around(centre_nm, vesicle.reach_nm + 2 * grid.pixel_size_nm)
    if not stain[window].size:
        return
    dx, dy = grid.offsets(window, centre_nm)
    distance, theta, edge = _polar(vesicle, dx, dy)
    fine, coarse = texture.fine[window], texture.coarse[window]
    rho = (edge + distance) / edge
    look, radius, turn = vesicle.look, vesicle.radius_nm, vesicle.turn
    density = look["base"] - look["dome"] * (1 - rho * rho) - _rim(vesicle, rho + np.float32(0.03) * coarse, theta)
    if look["hollow"] > 0:
        density += _hollow(vesicle, dx / radius, dy / radius, np.float32(0.13) * coarse)
    web = coarse * np.float32(2.4)
    density -= np.float32(look["ridge"]) * np.exp(-web * web)
    density += _crease(vesicle, dx / radius, dy / radius + np.float32(0.05) * coarse)
    if vesicle.lamella_nm:
        # A few broken ones below the membrane: what lies deeper is out of order.
        depth = -distance * (1 / vesicle.lamella_nm)
        shown = np.clip(depth - 0.5, 0, 1) * np.clip(look["lamellae"] - depth, 0, 1) * np.clip(0.7 + 0.6 * np.cos(theta - turn[0]) + 0.5 * coarse, 0, 1)
        density += 4.0 * shown * np.cos((depth + 0.12 * coarse) * (2 * math.pi))
    density = vesicle.contrast * density + np.float32(1.1) * fine + np.float32(look["mottle"]) * coarse
    # Half at the membrane; a little of what lies under it shines through.
    width = max(look["soft"], grid.pixel_size_nm)
    cover = np.clip(0.5 - distance / width + np.float32(0.25) * fine, 0, 1) * 0.93
    stain[window] += cover * (density - stain[window])


def _rim(vesicle: Vesicle, rho: Field, theta: Field) -> Field:
    """Bright band of the membrane, stronger on one side and broken in azimuth."""
    look, turn = vesicle.look, vesicle.turn
    azimuth = 1 - look["gap"] * (0.45 - 0.35 * np.cos(theta - turn[0]) - 0.25 * np.cos(3 * theta + 2 * turn[1]))
    off = (rho - look["rim_at"]) * (1 / look["rim_width"])
    return np.asarray(look["rim"] * np.maximum(azimuth, 0) * np.exp(-off * off), np.float32)


def _hollow(vesicle: Vesicle, x: Field, y: Field, fray: Field) -> Field:
    """Stain lying in the hollow of a cup: a soft-edged kidney off the centre, its edge moved by ``fray``. All in radii from the centre."""
    size, turn = vesicle.look["hollow_size"], vesicle.turn[1]
    along = x * math.cos(turn) + y * math.sin(turn)
    across = y * math.cos(turn) - x * math.sin(turn) + vesicle.look["bend"] * along * along  # bent: a kidney
    reach = np.asarray(cv2.magnitude(along * (1 / size), (across - vesicle.look["shift"]) * (1 / (0.8 * size))), np.float32) + fray
    ramp = np.clip((1.25 - reach) * 2, 0, 1)
    return np.asarray(vesicle.look["hollow"] * ramp * ramp * (3 - 2 * ramp), np.float32)


def _crease(vesicle: Vesicle, x: Field, y: Field) -> Field:
    """A bent fold of the membrane across the body: a bright ridge with a dark flank."""
    turn = vesicle.turn[2]
    along = x * math.cos(turn) + y * math.sin(turn)
    across = (y * math.cos(turn) - x * math.sin(turn) + 0.35 * along * along - 0.1) * (1 / 0.13)
    return np.asarray((-1.6 * vesicle.look["crease"]) * across * np.exp(-across * across), np.float32)


def _polar(vesicle: Vesicle, dx: Field, dy: Field) -> tuple[Field, Field, Field]:
    """Of each pixel (h, w): nm beyond the membrane along the ray from the centre (negative inside), the ray's angle, the membrane's radius on that ray."""
    shape = (dy.shape[0], dx.shape[1])
    distance, theta = cv2.cartToPolar(np.broadcast_to(dx, shape).copy(), np.broadcast_to(dy, shape).copy())
    k = len(vesicle.radii_nm)
    table = np.interp(np.arange(_TABLE) * (k / _TABLE), np.arange(k + 1), np.append(vesicle.radii_nm, vesicle.radii_nm[0])).astype(np.float32)
    edge = table[(np.asarray(theta) * (_TABLE / (2 * math.pi)) + 0.5).astype(np.int32) % _TABLE]
    return np.asarray(distance - edge, np.float32), np.asarray(theta, np.float32), edge
