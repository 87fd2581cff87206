"""Anchor shapes: the published ones, how well they cover a data set, and fitting them to it."""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

# Width, height in px per stride: YOLOv5's published anchors (P2 and P6: of its four-level models).
DEFAULT_ANCHORS: dict[int, list[list[float]]] = {
    4: [[5, 6], [8, 14], [15, 11]],
    8: [[10, 13], [16, 30], [33, 23]],
    16: [[30, 61], [62, 45], [59, 119]],
    32: [[116, 90], [156, 198], [373, 326]],
    64: [[436, 615], [739, 380], [925, 792]],
}
MATCH_RATIO = 4.0


def default_anchors(strides: Sequence[int]) -> list[list[list[float]]]:
    """L lists of three [width, height] in px for levels at ``strides``."""
    return [DEFAULT_ANCHORS[s] if s in DEFAULT_ANCHORS else [[s * w / 8, s * h / 8] for w, h in DEFAULT_ANCHORS[8]] for s in strides]


def best_possible_recall(sizes: NDArray[np.floating], anchors: torch.Tensor, ratio: float = MATCH_RATIO) -> float:
    """Share of the objects of ``sizes`` (N, 2) px that some anchor of ``anchors`` (L, A, 2) px matches within ``ratio`` in width and in height.

    1.0 for no objects: nothing is missed.
    """
    if len(sizes) == 0:
        return 1.0
    flat = anchors.detach().cpu().double().reshape(-1, 2).numpy()
    quotient = sizes[:, None, :] / flat[None]
    worst = np.maximum(quotient, 1 / quotient).max(axis=2)
    return float((worst.min(axis=1) < ratio).mean())


def fit_anchors(sizes: NDArray[np.floating], anchors: torch.Tensor, minimum: int = 30) -> torch.Tensor:
    """Anchors (L, A, 2) px fitted to objects of ``sizes`` (N, 2) px, level by level.

    Each object belongs to the level whose anchors it resembles most, so tiny shapes never land on a coarse grid; the shapes of a level are the k-means of the
    logarithms of its objects' widths and heights, begun at quantiles of area and ordered by it. A level with fewer than ``minimum`` objects keeps its anchors.
    """
    from scipy.cluster.vq import kmeans2  # here: a quarter of a second that prediction does not need

    logs = np.log(np.clip(sizes.astype(np.float64), 1, None))
    start = np.log(anchors.detach().cpu().double().numpy())
    distance = ((logs[:, None, None, :] - start[None]) ** 2).sum(axis=3).min(axis=2)
    level = distance.argmin(axis=1)
    fitted = anchors.detach().cpu().double().clone()
    for i in range(len(fitted)):
        own = logs[level == i]
        if len(own) < minimum:
            continue
        # Not at the anchors: those far from all objects would win none and stay where they are.
        quantiles = (np.arange(len(start[i])) + 0.5) / len(start[i])
        first = own[np.argsort(own.sum(axis=1), kind="stable")[(quantiles * len(own)).astype(int)]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # equal objects leave a shape without any; it stays, as a double
            centres, _ = kmeans2(own, first, iter=50, minit="matrix", missing="warn")
        shapes = np.exp(centres)
        fitted[i] = torch.from_numpy(shapes[np.argsort(shapes.prod(axis=1))])
    return fitted.to(anchors)
