"""The same picture twice, a turned copy of one, two fields of view that overlap: what must not stand on both sides of a split."""

import enum
import logging
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from exolight.data.fingerprints import SIDE, Fingerprint, fingerprints
from exolight.data.splits import PARTS, Split
from exolight.errors import InputError

logger = logging.getLogger(__name__)

FREQUENCIES = 16  # of the cosine transform each way; their 256 signs are the perceptual hash
# Measured on EMPS and on crops of a micrograph of vesicles. Of 67,000 pairs of unrelated pictures the closest differ in 0.31 of the signs; of copies (JPEG of
# quality 50, half the size, other gamma, inverted, turned) 99 in 100 in less than 0.14.
MOST_DIFFERENT = 0.25
# Standard deviations. Unrelated pictures reach 10.1 (regular lattices), fields of vesicles with the same burned-in bar 5.4. Of fields that share three quarters
# all are beyond, of those that share half more than nine in ten, of those that share two fifths every other, of those that share less than a third few.
LEAST_PEAK = 10.5
MOST_PAIRS = 100_000  # that are searched for overlap: 3 s on one core
NAMED = 3  # pairs in a message


class Likeness(enum.Enum):
    """How two pictures are alike: equal pixel by pixel; a copy (turned, flipped, resized, of other contrast); or fields of view that overlap."""

    SAME = enum.auto()
    COPY = enum.auto()
    OVERLAP = enum.auto()


class Similar(NamedTuple):
    """Two pictures by their positions, ``first`` < ``second``."""

    first: int
    second: int
    likeness: Likeness


def alike(prints: Sequence[Fingerprint | None], owners: Sequence[Hashable], most_pairs: int = MOST_PAIRS) -> list[Similar]:
    """Pictures that are equal, of which every later one comes with the first of its kind, and pictures of different owners that seem to show the same.

    Args:
        prints: one a picture; None for one that is not compared. Blank pictures are like no others.
        owners: one a picture, the part of the split or the group: unequal pictures of one owner are not compared.
        most_pairs: with more pairs than these to compare, overlapping fields are not searched for, only copies.
    """
    known = [(i, each) for i, each in enumerate(prints) if each is not None and not each.blank]
    if not known:
        return []
    numbers = {owner: number for number, owner in enumerate(dict.fromkeys(owners))}
    owner = np.array([numbers[owners[i]] for i, _ in known])
    _, first, digest = np.unique([each.digest for _, each in known], return_index=True, return_inverse=True)
    thumbnails = [each.thumbnail for _, each in known]
    later = np.arange(len(known))

    def apart(i: int) -> NDArray[np.intp]:
        """With whom ``i`` is compared."""
        return np.flatnonzero((later > i) & (owner != owner[i]) & (digest != digest[i]))

    found = {(int(first[kind]), i): Likeness.SAME for i, kind in enumerate(digest.tolist()) if first[kind] != i}
    for i, likeness in enumerate(_likeness(thumbnails)):
        others = apart(i)
        found |= dict.fromkeys(((i, j) for j in others[likeness[others] >= 1 - 2 * MOST_DIFFERENT].tolist()), Likeness.COPY)
    if sum(len(apart(i)) for i in range(len(known))) <= most_pairs:
        spectra = np.stack([_spectrum(thumbnail) for thumbnail in thumbnails])
        for i in range(len(known)):
            others = apart(i)
            overlapping = others[_peaks(spectra[i], spectra[others]) >= LEAST_PEAK].tolist()
            found = dict.fromkeys(((i, j) for j in overlapping), Likeness.OVERLAP) | found
    return [Similar(known[i][0], known[j][0], likeness) for (i, j), likeness in sorted(found.items(), key=lambda item: item[0])]


def _likeness(thumbnails: Sequence[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
    """For each of N thumbnails (N,): how far its perceptual hash agrees with those of all, 1 for equal or opposite signs, about 0 for chance.

    The hash: the signs of the lower frequencies of the cosine transform (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010),
    without the lines of frequency 0, which bands and strips from side to side fill. A flip is a change of every other sign and a transposition one of places,
    so that all eight ways to lay a picture down are compared without eight transforms.
    """
    lower = slice(1, FREQUENCIES + 1)
    signs = np.stack([np.where(cv2.dct(each.astype(np.float32) - 127.5)[lower, lower] > 0, 1, -1) for each in thumbnails]).astype(np.float32)
    alternating = (-1.0) ** np.arange(1, FREQUENCIES + 1, dtype=np.float32)
    flips = [np.ones((1, 1), np.float32), alternating[None], alternating[:, None], alternating * alternating[:, None]]
    laid = np.stack([turned * flip for turned in (signs, signs.transpose(0, 2, 1)) for flip in flips]).reshape(8 * len(signs), -1)
    for first in range(0, len(signs), 128):
        agreement = signs[first : first + 128].reshape(-1, FREQUENCIES**2) @ laid.T / FREQUENCIES**2
        yield from np.abs(agreement).reshape(len(agreement), 8, -1).max(axis=1)  # absolute: inverted contrast, too


def _spectrum(thumbnail: NDArray[np.uint8]) -> NDArray[np.complex64]:
    """(64, 33), the phases of the Fourier transform."""
    spectrum = scipy.fft.rfft2(thumbnail.astype(np.float32) - 127.5)
    return np.asarray(spectrum / (np.abs(spectrum) + 1e-3 * np.abs(spectrum).mean() + 1e-9), np.complex64)


def _peaks(spectrum: NDArray[np.complex64], others: NDArray[np.complex64]) -> NDArray[np.float64]:
    """How far the highest peak of the phase correlation with each of N ``others`` stands out, in standard deviations (N,).

    Kuglin and Hines, "The phase correlation image alignment method", 1975. Fields shifted by no more than a pixel of the thumbnail are left out: what burned-in
    marks and the camera leave in the same place of all pictures looks like that, and true ones are found as copies.
    """
    peaks = np.zeros(len(others))
    for first in range(0, len(others), 64):
        correlation = np.abs(scipy.fft.irfft2(spectrum * others[first : first + 64].conj(), s=(SIDE, SIDE)))
        spread = np.sqrt((correlation**2).mean(axis=(1, 2)))
        correlation = np.roll(correlation, (1, 1), axis=(1, 2))
        correlation[:, :3, :3] = 0
        peaks[first : first + 64] = correlation.max(axis=(1, 2)) / np.maximum(spread, 1e-12)
    return peaks


def check_leaks(split: Split, cache: Path | None = None) -> None:
    """Warns of pictures that look like one in another part: a split like that makes results look better than they are.

    Only files are compared: simulated pictures differ by how they are made.

    Args:
        split: with or without pictures in a part.
        cache: a folder, see ``fingerprints``.

    Raises:
        InputError: a picture is in two parts, equal pixel by pixel, under two names.
    """
    images = [image for part in split for image in part]
    parts = [name for name, part in zip(PARTS, split, strict=True) for _ in part]
    if len(set(parts)) < 2:
        return
    pairs = [pair for pair in alike(fingerprints(images, cache), parts) if parts[pair.first] != parts[pair.second]]

    def names(pair: Similar) -> str:
        return f"{images[pair.first].name} ({parts[pair.first]}) and {images[pair.second].name} ({parts[pair.second]})"

    same = [names(pair) for pair in pairs if pair.likeness is Likeness.SAME]
    for said in same[1:]:
        logger.warning("data.split: %s are the same picture", said)
    if same:
        more = f" (and {len(same) - 1} more such pair{'s' if len(same) > 2 else ''}, logged above)" if len(same) > 1 else ""
        raise InputError(f"data.split: {same[0]} are the same picture{more}; remove one of the two, or keep both in one part")
    if pairs:
        some = "; ".join(names(pair) + (", overlapping fields" if pair.likeness is Likeness.OVERLAP else "") for pair in pairs[:NAMED])
        more = f"; and {len(pairs) - NAMED} more" if len(pairs) > NAMED else ""
        logger.warning(
            "data.split: %d pair%s of pictures in different parts look alike (%s%s): if they show the same, results will look better than they are; "
            "keep such pictures together with data.group, or list the parts yourself",
            len(pairs),
            "s" if len(pairs) > 1 else "",
            some,
            more,
        )
