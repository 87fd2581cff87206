"""Augmentation: mosaic and mixup of our own, everything else by albumentations. The one module that touches that library.

Objects travel as points on their outline (on the ellipse in their box where only the box is known), so a box stays as tight as the object under any rotation or
shear, and the share of an object that is still in the frame is known. An object that is mostly cut off becomes a region that counts neither way: its pixels are
not background.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import albumentations
import cv2
import numpy as np
from albumentations.core.composition import BaseCompose
from numpy.typing import NDArray

from exolight.preprocessing import PADDING_GREY

ELLIPSE_POINTS = 32  # a multiple of four: the four extremes are among them


class Scene(NamedTuple):
    """A picture and its objects, ragged: the outline of object i is the next ``counts[i]`` of the ``points``.

    Attributes:
        image: (H, W) uint8.
        points: (P, 2) float32 x, y in px, object after object.
        counts: (N,) int64, all positive, P in sum.
        labels: (N,) int64.
        ignore: (N,) bool.
    """

    image: NDArray[np.uint8]
    points: NDArray[np.float32]
    counts: NDArray[np.int64]
    labels: NDArray[np.int64]
    ignore: NDArray[np.bool_]


class Augmented(NamedTuple):
    """What training sees: image (S, S) uint8, boxes (N, 4) float32 xyxy px inside it, labels (N,), ignore (N,)."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    ignore: NDArray[np.bool_]


class Augmentation:
    """What happens to a training picture, in this order: mosaic, geometric transforms, crop to the input's size, intensity transforms, mixup.

    Args:
        geometric: albumentations transforms by name; they also move the objects.
        intensity: albumentations transforms by name; they leave the objects where they are.
        mosaic: probability of joining four pictures.
        close_mosaic: the last epochs without mosaic and mixup, so that training ends on whole pictures.
        mixup: probability of averaging with a second picture made the same way.
        min_visible: objects of which less than this share is in the frame are ignored.
        min_side: objects whose box is narrower than this many px are ignored.
        near_objects: the share of windows out of pictures larger than the input that show a whole object, each as often as any other; the rest lie anywhere.

    Whether and how a transform acts depends on nothing but the generator given at the call: not on the worker, the epoch's order or the call before.
    """

    def __init__(
        self,
        geometric: Mapping[str, albumentations.BasicTransform] | None = None,
        intensity: Mapping[str, albumentations.BasicTransform] | None = None,
        mosaic: float = 0.0,
        close_mosaic: int = 0,
        mixup: float = 0.0,
        min_visible: float = 0.25,
        min_side: float = 3.0,
        near_objects: float = 0.5,
    ) -> None:
        self.near_objects = near_objects
        self.mosaic, self.close_mosaic, self.mixup = mosaic, close_mosaic, mixup
        self.min_visible, self.min_side = min_visible, min_side
        keypoints = albumentations.KeypointParams(format="xy", label_fields=["owners"], remove_invisible=False)
        # With nothing to move the points albumentations warns.
        self.geometric = albumentations.Compose(list((geometric or {}).values()), keypoint_params=keypoints if geometric else None)
        self.intensity = albumentations.Compose(list((intensity or {}).values()))

    def __call__(self, load: Callable[[int], Scene], index: int, count: int, size: int, rng: np.random.Generator, mosaic_open: bool = True) -> Augmented:
        """One training picture.

        Args:
            load: gives the scene of a picture, rescaled, not padded.
            index: the picture that is wanted; others are drawn from ``count``.
            size: S, px.
            rng: the only source of randomness.
            mosaic_open: False in the last epochs.
        """
        result = self._one(load, index, count, size, rng, mosaic_open)
        if mosaic_open and self.mixup and rng.random() < self.mixup:
            result = mix(result, self._one(load, int(rng.integers(count)), count, size, rng, mosaic_open), float(rng.beta(32, 32)))
        return result

    def _one(self, load: Callable[[int], Scene], index: int, count: int, size: int, rng: np.random.Generator, mosaic_open: bool) -> Augmented:
        if mosaic_open and self.mosaic and rng.random() < self.mosaic:
            scene = join([self._window(load(i), size, rng) for i in (index, *rng.integers(count, size=3).tolist())], size, rng)
        else:
            scene = frame(self._window(load(index), size, rng), size)
        scene = self._move(self._confine(scene), rng)
        scene = crop(scene, size)
        image = scene.image
        if self.intensity.transforms:
            reseed(self.intensity, rng)
            image = self.intensity(image=image[..., None])["image"].reshape(image.shape[:2])
        scene = self._confine(scene._replace(image=image))
        boxes = extents(scene.points, scene.counts)
        small = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) < self.min_side
        return Augmented(image, boxes, scene.labels, scene.ignore | small)

    def _confine(self, scene: Scene) -> Scene:
        """Cut the objects to what the picture shows of them; those hardly seen are ignored from here on, those not seen at all are gone."""
        height, width = scene.image.shape
        boxes = extents(scene.points, scene.counts)
        over = np.logical_or((boxes[:, :2] < 0).any(axis=1), (boxes[:, 2:] > (width, height)).any(axis=1))
        if not over.any():
            return scene
        whole, cut = chosen(scene, np.logical_not(over)), chosen(scene, over)
        points, counts = clip_outlines(cut.points, cut.counts, (height, width))
        share = areas(points, counts) / np.maximum(areas(cut.points, cut.counts), 1e-6)
        cut = chosen(cut._replace(points=points, counts=counts, ignore=cut.ignore | (share < self.min_visible)), share > 0)
        return Scene(scene.image, *(np.concatenate(parts) for parts in zip(*(s[1:] for s in (whole, cut)), strict=True)))

    def _window(self, scene: Scene, size: int, rng: np.random.Generator) -> Scene:
        """A random window of at most (size, size) out of a larger picture, so that over the epochs all of it is seen; some of them show an object whole."""
        sides = np.array(scene.image.shape[::-1])
        if (sides <= size).all():
            return self._confine(scene)
        low, high = np.zeros(2, np.int64), np.maximum(sides - size, 0)
        counting = np.flatnonzero(~scene.ignore)
        if len(counting) and rng.random() < self.near_objects:
            box = extents(scene.points, scene.counts)[rng.choice(counting)]
            first, last = np.ceil(box[2:] - size).astype(np.int64), np.floor(box[:2]).astype(np.int64)  # what begins in between shows it whole
            first, last = np.minimum(first, last), np.maximum(first, last)
            low, high = np.clip(first, low, high), np.clip(last, low, high)
        left, top = rng.integers(low, high + 1).tolist()
        image = np.ascontiguousarray(scene.image[top : top + size, left : left + size])
        return self._confine(scene._replace(image=image, points=scene.points - np.array([left, top], dtype=np.float32)))

    def _move(self, scene: Scene, rng: np.random.Generator) -> Scene:
        if not self.geometric.transforms:
            return scene
        reseed(self.geometric, rng)
        # albumentations counts keypoints from pixel centres, we from pixel corners.
        owners = np.repeat(np.arange(len(scene.counts)), scene.counts)
        moved = self.geometric(image=scene.image[..., None], keypoints=scene.points - 0.5, owners=owners)
        points = np.asarray(moved["keypoints"], dtype=np.float32).reshape(-1, 2) + np.float32(0.5)
        # A transform may drop points (holes); an object that has lost all of them is gone.
        left, counts = np.unique(np.asarray(moved["owners"]).astype(np.int64), return_counts=True)
        return Scene(moved["image"].reshape(moved["image"].shape[:2]), points, counts, scene.labels[left], scene.ignore[left])


def reseed(compose: BaseCompose, rng: np.random.Generator) -> None:
    """Give every transform below ``compose`` a seed of its own.

    ``Compose.set_random_seed`` would give all of them the same one, and two flips with p = 0.5 would always happen together.
    """
    nodes = [compose]
    for node in nodes:
        nodes.extend(getattr(node, "transforms", []))
    for node, seed in zip(nodes, rng.integers(2**63, size=len(nodes)).tolist(), strict=True):
        node.set_random_state(np.random.default_rng(seed), random.Random(seed))


def outline_points(boxes: NDArray[np.float32], outlines: Sequence[NDArray[np.float32]] | None) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Points (P, 2) that carry objects with ``boxes`` (N, 4) through a transform, and how many (N,) each has.

    They are the convex hull of an outline, or the ellipse in a box.
    The ellipse also stands in where an outline does not fill its box, as that of one of several pieces.
    """
    angles = np.arange(ELLIPSE_POINTS) * (2 * np.pi / ELLIPSE_POINTS)
    circle = np.stack((np.cos(angles), np.sin(angles)), axis=1) / 2
    points = []
    for i, box in enumerate(boxes):
        if outlines is not None and len(outlines[i]) >= 3:
            hull = cv2.convexHull(outlines[i].astype(np.float32)).reshape(-1, 2)
            if np.abs(np.concatenate((hull.min(axis=0), hull.max(axis=0))) - box).max() < 0.51:
                points.append(hull)
                continue
        points.append(((box[:2] + box[2:]) / 2 + circle * (box[2:] - box[:2])).astype(np.float32))
    return np.concatenate([np.zeros((0, 2), dtype=np.float32), *points]).astype(np.float32), np.array([len(p) for p in points], dtype=np.int64)


def frame(scene: Scene, size: int) -> Scene:
    """Centre a picture of at most (size, size) in a field of that size."""
    height, width = scene.image.shape
    y, x = (size - height) // 2, (size - width) // 2
    field = np.full((size, size), PADDING_GREY, dtype=np.uint8)
    field[y : y + height, x : x + width] = scene.image
    return scene._replace(image=field, points=scene.points + np.array([x, y], dtype=np.float32))


def join(scenes: Sequence[Scene], size: int, rng: np.random.Generator) -> Scene:
    """Mosaic of four pictures on a field of (2 size, 2 size): one in each corner of a point drawn from its middle (YOLOv4, arXiv:2004.10934)."""
    field = np.full((2 * size, 2 * size), PADDING_GREY, dtype=np.uint8)
    cx, cy = rng.integers(size // 2, 2 * size - size // 2, size=2).tolist()
    points = []
    for quadrant, scene in enumerate(scenes):
        height, width = scene.image.shape
        x = cx - width if quadrant % 2 == 0 else cx
        y = cy - height if quadrant < 2 else cy
        low_x, high_x = max(x, 0 if quadrant % 2 == 0 else cx), min(x + width, 2 * size)
        low_y, high_y = max(y, 0 if quadrant < 2 else cy), min(y + height, 2 * size)
        field[low_y:high_y, low_x:high_x] = scene.image[low_y - y : high_y - y, low_x - x : high_x - x]
        points.append(scene.points + np.array([x, y], dtype=np.float32))
    return Scene(field, np.concatenate(points), *(np.concatenate(parts) for parts in zip(*(s[2:] for s in scenes), strict=True)))


def crop(scene: Scene, size: int) -> Scene:
    """The middle (size, size) of a larger field."""
    top, left = ((side - size) // 2 for side in scene.image.shape)
    if top == 0 and left == 0:
        return scene
    image = np.ascontiguousarray(scene.image[top : top + size, left : left + size])
    return scene._replace(image=image, points=scene.points - np.array([left, top], dtype=np.float32))


def extents(points: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """The boxes (N, 4) xyxy around N runs of ``counts`` points (P, 2)."""
    if not len(counts):
        return np.zeros((0, 4), dtype=np.float32)
    starts = np.cumsum(counts) - counts
    return np.hstack((np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)))


def chosen(scene: Scene, which: NDArray[np.bool_]) -> Scene:
    """The scene with only those of its N objects for which ``which`` (N,) is True."""
    return Scene(scene.image, scene.points[np.repeat(which, scene.counts)], scene.counts[which], scene.labels[which], scene.ignore[which])


def areas(points: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The areas (N,) in square px inside N outlines, runs of ``counts`` points (P, 2) (shoelace formula); 0 without points."""
    x, y = points.astype(np.float64).T
    before = previous_points(counts)
    owners = np.repeat(np.arange(len(counts)), counts)
    return np.abs(np.bincount(owners, weights=x[before] * y - x * y[before], minlength=len(counts))) / 2


def clip_outlines(points: NDArray[np.float32], counts: NDArray[np.int64], hw: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Points and counts of what a picture of ``hw`` shows of N outlines; a count of 0 where it shows nothing.

    Clamping the points instead would keep the height of an object whose middle is beyond the left edge. Sutherland and Hodgman, Commun. ACM 17 (1974) 32: one
    half plane after the other, all outlines at once.
    """
    owners = np.repeat(np.arange(len(counts)), counts)
    for axis, limit, sign in ((0, 0, 1), (1, 0, 1), (0, hw[1], -1), (1, hw[0], -1)):
        depth = sign * (points[:, axis] - limit)
        if not (depth < 0).any():
            continue
        before = previous_points(counts)
        crosses = depth[before] * depth < 0
        share = depth[before] / np.where(crosses, depth[before] - depth, 1)
        crossings = points[before] + share[:, None] * (points - points[before])
        crossings[:, axis] = limit
        kept = np.stack((crosses, depth >= 0), axis=1).ravel()
        points = np.stack((crossings, points), axis=1).reshape(-1, 2)[kept].astype(np.float32)
        owners = np.repeat(owners, 2)[kept]
        counts = np.bincount(owners, minlength=len(counts))
    return points, counts


def previous_points(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of the P points of N closed outlines the index of the one before it."""
    starts = np.cumsum(counts) - counts
    before = np.arange(counts.sum()) - 1
    before[starts[counts > 0]] = (starts + counts - 1)[counts > 0]
    return before


def mix(a: Augmented, b: Augmented, share: float) -> Augmented:
    """Mixup: ``share`` of ``a`` and the rest of ``b``, with the objects of both (arXiv:1710.09412)."""
    image = cv2.addWeighted(a.image, share, b.image, 1 - share, 0).reshape(a.image.shape)
    return Augmented(image, np.concatenate((a.boxes, b.boxes)), np.concatenate((a.labels, b.labels)), np.concatenate((a.ignore, b.ignore)))  # type: ignore[arg-type]
