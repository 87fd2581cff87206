"""The outer membrane of a vesicle inside its box, traced on a negative-stain picture.

Going outwards, the membrane is where the picture turns from the bright body to the dark stain around it (in a picture of inverted contrast the other way
round). The picture is unwrapped along rays from the box's middle, and the radius on each ray is a hidden state of a closed Markov chain: the radial gradient
is what is seen of it, neighbouring rays have similar radii, and all lie near the ellipse that the box encloses. The forward-backward algorithm (L. Rabiner,
Proc. IEEE 77 (1989) 257) gives the mean and the spread of each radius. Unlike the shortest path on the same costs the mean is exact to fractions of a step,
and the spread says how far to trust it.
"""

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from exolight.polygons import clip_polygon, polygon_area

Field = NDArray[np.float32]

RAYS = 64
RADII = np.arange(0.5, 1.401, 0.02, dtype=np.float32)  # (R,) of the box's ellipse
SKEWS = (0.0, -0.6, -0.3, 0.3, 0.6)  # of the ellipse: see ``_frame``; 0.6 is one of aspect 2 at 45 degrees
SKEW_SPREAD = 0.2

# Of the outer membrane's radius on a ray, in radii of the ellipse: mean and standard deviation, and the standard deviation from one ray to the next.
RADIUS, SPREAD, STEP = 0.97, 0.1, 0.05
# The log-likelihood of a radius is LIMIT tanh(z / SOFT), z the radial gradient there in standard deviations of the gradients all round: debris is no better
# an edge than a membrane, however strong its gradient.
LIMIT, SOFT = 2.5, 5.0
BLUR_PX, BLUR = 1.0, 0.03  # standard deviation before the gradient is taken: of radius BLUR, at least BLUR_PX
# The steepest descent lies inside the outer membrane, because transmission falls exponentially with stain and the rim goes on rising inwards: by this
# many pixels and this share of the radius on simulated pictures.
FOOT_PX, FOOT = 0.3, 0.01

# Logistic regression of "the area-equivalent diameter is right to 5 %" on 1 and the arguments of ``_quality``: 3757 whole vesicles of simulated pictures
# (default, hard, crowded; seed 1), their boxes off by 0, 2, 3 and 5 % of their sides. On the few of them (7-12) of a quality under BELIEVABLE boxes off by
# 0-3 % were nearer than the outline; that it is so low says that where the outline errs the box often does too.
QUALITY = (2.8, 1.3, -2.4, 0.8)
BELIEVABLE = 0.2
BORDER_PX = 1.0


class Outline(NamedTuple):
    """The outer membrane of one vesicle.

    Attributes:
        points: (K, 2) float32 x, y px, (0, 0) the outer corner of the first pixel; cut at the picture's border and closed along it.
        quality: 0..1, the estimated probability that the area-equivalent diameter is right to 5 %. It falls with the spread of the radii, with the
            distance between the outline's extent and the box, and where the opposite contrast would fit nearly as well. Fitted to simulated pictures.
        on_border: the box comes within 1 px of the picture's edge; the outline is that of the visible part.
    """

    points: NDArray[np.float32]
    quality: float
    on_border: bool

    @property
    def believable(self) -> bool:
        """Whether the outline tells the size better than the box."""
        return self.quality >= BELIEVABLE


def trace_outline(pixels: NDArray[Any], box_xyxy: NDArray[np.floating]) -> Outline:
    """The outline of the vesicle in one box (4,) px. For all of a picture use ``trace_outlines``: together they tell its contrast more surely, and faster."""
    return trace_outlines(pixels, np.asarray(box_xyxy)[None])[0]


def trace_outlines(pixels: NDArray[Any], boxes_xyxy: NDArray[np.floating]) -> list[Outline]:
    """The outlines of the vesicles of one picture, a few ms each.

    Args:
        pixels: (H, W) of any real type, as recorded.
        boxes_xyxy: (N, 4) px; what sticks out of the picture is cut off, a box of no size becomes one pixel.

    Raises:
        ValueError: the shapes are others, or a box is not finite.
    """
    boxes = visible_boxes(boxes_xyxy, pixels.shape)
    if not len(boxes):
        return []
    hw = (pixels.shape[0], pixels.shape[1])
    wholes = np.array([_whole(box, hw) for box in boxes])
    gradients = np.stack([_gradients(pixels, box) for box in wholes])  # (N, S, K, R)

    # Which contrast? All vesicles of the picture decide together.
    sides = [_predicted(_likelihood(sign * gradients[:, 0]), TRANSITION)[1] for sign in (1, -1)]
    sign = 1 if (sides[0] - sides[1]).sum() >= 0 else -1
    margins = sign * (sides[0] - sides[1]) / RAYS  # (N,)

    # Which ellipse?
    likelihood = _likelihood(sign * gradients)
    evidence = _predicted(likelihood.reshape(-1, RAYS, len(RADII)), TRANSITION)[1].reshape(len(boxes), -1)
    chosen = (evidence - 0.5 * (np.array(SKEWS) / SKEW_SPREAD) ** 2).argmax(axis=1)
    posterior = _posterior(likelihood[np.arange(len(boxes)), chosen])  # (N, K, R)
    radii = posterior @ RADII  # (N, K)
    spreads = np.sqrt(np.maximum(posterior @ RADII**2 - radii**2, 0)) / SPREAD

    outlines = []
    for i, box in enumerate(boxes):
        centre, axes = _frame(wholes[i], SKEWS[chosen[i]])
        rays = _UNIT * radii[i, :, None] @ axes.T
        points = centre + rays * (1 + FOOT + FOOT_PX / np.hypot(*rays.T))[:, None]
        outlines.append(_outline(points, spreads[i], float(margins[i]), box, hw))
    return outlines


def visible_boxes(boxes_xyxy: NDArray[np.floating], hw: tuple[int, ...]) -> NDArray[np.float64]:
    """(N, 4) px cut to a picture of ``hw`` = (height, width), at least a pixel a side. Raises ``ValueError`` where they or it have another shape."""
    boxes = np.asarray(boxes_xyxy, np.float64)
    if len(hw) != 2 or boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise ValueError(f"pixels must be (H, W) and boxes (N, 4) finite numbers, not {tuple(hw)} and {boxes.shape}")
    far = np.array([hw[1], hw[0]], np.float64)
    low = np.clip(boxes[:, :2], 0, far - 1)
    return np.concatenate((low, np.clip(np.maximum(boxes[:, 2:], low + 1), 0, far)), axis=1)


def touches_border(boxes_xyxy: NDArray[np.floating], hw: tuple[int, int]) -> NDArray[np.bool_]:
    """(..., 4) px -> (...,): which boxes come within 1 px of the edge of a picture of ``hw`` = (height, width)."""
    far = np.array([hw[1], hw[0]]) - BORDER_PX
    return np.asarray((boxes_xyxy[..., :2] <= BORDER_PX).any(axis=-1) | (boxes_xyxy[..., 2:] >= far).any(axis=-1))


def ellipse_of(box_xyxy: NDArray[np.floating], skew: float = 0.0) -> NDArray[np.float64]:
    """An ellipse (K, 2) that touches all four sides of a box (4,); ``skew`` (-1..1) is how far it leans to a diagonal: 0 lies parallel to the sides."""
    centre, axes = _frame(np.asarray(box_xyxy, np.float64), skew)
    return np.asarray(centre + _UNIT @ axes.T, np.float64)


def _outline(points: NDArray[np.float64], spreads: Field, margin: float, box: NDArray[np.float64], hw: tuple[int, int]) -> Outline:
    """Cut at the border and judged: (K, 2) points and (K,) spreads of the whole vesicle, its box as given."""
    on_border = bool(touches_border(box, hw))
    seen = ((points >= 0) & (points <= np.array([hw[1], hw[0]]))).all(axis=1)
    clipped = points if seen.all() else clip_polygon(points, hw)
    if not seen.any() or polygon_area(clipped) <= 0:
        return Outline(ellipse_of(box).astype(np.float32), 0.0, on_border)
    extent = np.concatenate((clipped.min(axis=0), clipped.max(axis=0)))
    gap = float(np.abs(extent - box).mean()) / (0.5 * math.sqrt(float((box[2:] - box[:2]).prod()))) / SPREAD
    information = float(np.log(1 / np.clip(spreads[seen], 0.05, 0.99) ** 2 - 1).mean())
    return Outline(clipped.astype(np.float32), _quality(information, gap, margin), on_border)


def _quality(information: float, gap: float, margin: float) -> float:
    """See ``Outline.quality``.

    Args:
        information: mean over the rays of ln(1 / s^2 - 1), s the standard deviation of the radius in ``SPREAD``: low where the picture says little.
        gap: mean distance of the outline's extent from the four sides of the box, in ``SPREAD`` radii.
        margin: log evidence for the picture's contrast over the opposite one, a ray.
    """
    return 1 / (1 + math.exp(-float(np.dot(QUALITY, (1.0, information, gap, min(max(margin, -1.0), 1.0))))))


def _whole(box: NDArray[np.float64], hw: tuple[int, int]) -> NDArray[np.float64]:
    """The box (4,) of a vesicle that one border cuts, grown over that border until it is as wide as it is high: most vesicles are roundish."""
    whole = box.copy()
    side = (box[2:] - box[:2]).max()
    for axis in (0, 1):
        low, high = box[axis] <= BORDER_PX, box[axis + 2] >= hw[1 - axis] - BORDER_PX
        if low and not high:
            whole[axis] = box[axis + 2] - side
        elif high and not low:
            whole[axis + 2] = box[axis] + side
    return whole


def _frame(box: NDArray[np.float64], skew: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre (2,) and axes (2, 2) px: ``centre + axes @ u`` takes the unit circle to an ellipse that touches all four sides of the box (4,).

    There is one such ellipse for each ``skew`` = covariance of its x and y over the product of their standard deviations: a turned, elongated vesicle.
    """
    width, height = (box[2:] - box[:2]) / 2
    return (box[:2] + box[2:]) / 2, np.array([[width, 0], [height * skew, height * math.sqrt(1 - skew * skew)]])


def _gradients(pixels: NDArray[Any], box: NDArray[np.float64]) -> Field:
    """Decrease of the grey level outwards along the rays of all ``SKEWS``: (S, K, R), in standard deviations (from the median deviation); 0 outside."""
    height, width = pixels.shape
    half = (box[2:] - box[:2]) / 2
    sigma = max(BLUR_PX, BLUR * math.sqrt(float(half.prod())))
    reach = half * RADII[-1] + 3 * sigma + 2
    middle = (box[:2] + box[2:]) / 2
    left, top = np.clip(np.floor(middle - reach), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.ceil(middle + reach).astype(int)
    window = np.ascontiguousarray(pixels[top : max(bottom, top + 1), left : max(right, left + 1)], np.float32)
    window = cv2.GaussianBlur(window, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    frames = [_frame(box, skew) for skew in SKEWS]
    places = np.stack([centre[:, None, None] + np.tensordot(axes, _CIRCLES, axes=1) for centre, axes in frames], axis=1)  # (2, S, K, R)
    x, y = places.reshape(2, -1, len(RADII)).astype(np.float32)
    # OpenCV counts from the centre of the first pixel.
    grey = cv2.remap(window, x - np.float32(left + 0.5), y - np.float32(top + 0.5), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    falling = -np.gradient(grey, axis=1)
    falling[(x < 0) | (y < 0) | (x > width) | (y > height)] = 0
    falling = falling.reshape(len(SKEWS), RAYS, -1).astype(np.float32)
    deviation = 1.4826 * float(np.median(np.abs(falling[0] - np.median(falling[0]))))
    return np.asarray(falling / max(deviation, 1e-6), np.float32)


def _likelihood(z: Field) -> Field:
    return np.asarray(np.exp(LIMIT * np.tanh(z / SOFT)), np.float32)


def _transition() -> Field:
    """(R, R) probability of the next ray's radius (columns) given a ray's: an autoregressive process of first order with the stated spread and step."""
    memory = math.sqrt(1 - (STEP / SPREAD) ** 2)
    expected = RADIUS + memory * (RADII[:, None] - RADIUS)
    density = np.exp(-0.5 * ((RADII - expected) / STEP) ** 2)
    return np.asarray(density / density.sum(axis=1, keepdims=True), np.float32)


def _predicted(likelihood: Field, transition: Field) -> tuple[Field, NDArray[np.float64]]:
    """What all rays before a ray say about its radius, (M, K, R), and the log evidence of the whole (M,).

    The chain is closed: it goes round twice, and after the first turn the start is forgotten. ``likelihood``: (M, K, R).
    """
    predicted, evidence = np.empty_like(likelihood), np.zeros(len(likelihood))
    state = np.full((len(likelihood), len(RADII)), 1 / len(RADII), np.float32)
    for turn in (0, 1):
        for k in range(RAYS):
            predicted[:, k] = state @ transition
            state = predicted[:, k] * likelihood[:, k]
            total = state.sum(axis=1, keepdims=True)
            state /= total
            evidence += turn * np.log(total[:, 0])
    return predicted, evidence


def _posterior(likelihood: Field) -> Field:
    """Probability of each radius on each ray given all rays: (M, K, R) -> (M, K, R). What is behind and what is ahead are independent given the radius."""
    behind = _predicted(likelihood, TRANSITION)[0]
    ahead = _predicted(likelihood[:, ::-1], TRANSITION.T)[0][:, ::-1]
    joint = behind * likelihood * ahead
    return np.asarray(joint / joint.sum(axis=2, keepdims=True), np.float32)


_ANGLES = np.arange(RAYS) * (2 * math.pi / RAYS)
_UNIT = np.stack((np.cos(_ANGLES), np.sin(_ANGLES)), axis=1)  # (K, 2)
_CIRCLES = _UNIT.T[:, :, None] * RADII  # (2, K, R)
TRANSITION = _transition()
