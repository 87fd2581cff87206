"""Instance masks: a picture of integers beside each picture, 0 for background, every other value one object."""

import logging
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from exolight.annotated_image import AnnotatedImage, AnnotationSet
from exolight.data.annotations.check import raise_problems
from exolight.data.annotations.pictures import annotated_picture, by_stem, existing_folder, find_files
from exolight.errors import InputError
from exolight.micrograph import PICTURE_SUFFIXES, check_pixel_size, read_size

logger = logging.getLogger(__name__)

MASK_SUFFIXES = (".png", ".tif", ".tiff")  # JPEG and the like change the numbers


def read_masks(
    root: str | Path, images: str = "images", masks: str = "masks", class_name: str = "particle", pixel_size_nm: float | None = None
) -> AnnotationSet:
    """Pictures in one folder and instance masks of the same path and stem in another; suffixes may differ.

    Args:
        root: the data set.
        images, masks: the two folders under it.
        class_name: the one class.
        pixel_size_nm: nanometres per pixel of all pictures, where known.

    Raises:
        InputError: a folder is missing or empty; a picture has no mask or a mask no picture; a mask has another size than its picture or
            is no picture of integers.
    """
    root = existing_folder(root, f"a folder with {images}/ and {masks}/")
    if pixel_size_nm is not None:
        check_pixel_size(pixel_size_nm, "data.pixel_size_nm")
    picture_folder, mask_folder = (existing_folder(root / name, f"{images}/ and {masks}/ in {root}") for name in (images, masks))
    pictures, problems = by_stem(find_files(picture_folder, PICTURE_SUFFIXES), picture_folder)
    found, more = by_stem(find_files(mask_folder, MASK_SUFFIXES), mask_folder)
    if not pictures:
        raise InputError(f"{picture_folder}: no pictures ({', '.join(PICTURE_SUFFIXES)}) in it; put them there or name another folder")
    problems += more
    problems += [f"{pictures[key]}: no mask {key}{{{','.join(MASK_SUFFIXES)}}} in {mask_folder}; add it (all 0 for a picture without objects)"
                 for key in sorted(pictures.keys() - found.keys())]  # fmt: skip
    problems += [f"{found[key]}: annotation of a picture that does not exist; add {key} to {picture_folder} or remove the mask"
                 for key in sorted(found.keys() - pictures.keys())]  # fmt: skip
    annotated: list[AnnotatedImage] = []
    for key in sorted(pictures.keys() & found.keys()):
        try:
            annotated.append(annotate_from_mask(pictures[key], found[key], root, pixel_size_nm=pixel_size_nm))
        except InputError as problem:
            problems.append(str(problem))
    raise_problems(problems)
    if len(annotated) > 1 and all(len(image.boxes) <= 1 for image in annotated):
        logger.warning("%s: no mask marks more than one object; black-and-white masks need a number for each object first", mask_folder)
    return AnnotationSet(annotated, [class_name])


def annotate_from_mask(picture: Path, mask: Path, root: Path, *, group: str | None = None, pixel_size_nm: float | None = None) -> AnnotatedImage:
    """The picture with the objects of its mask, all of class 0. Raises ``InputError`` where the two do not fit."""
    image_hw = read_size(picture)
    numbers = read_mask(mask)
    if numbers.shape != image_hw:
        raise InputError(
            f"{mask}: the mask is {numbers.shape[1]} x {numbers.shape[0]} px, its picture {picture.name} {image_hw[1]} x {image_hw[0]} px; "
            "both must be the same size"
        )
    boxes, outlines = objects_in_mask(numbers)
    labels = np.zeros(len(boxes), np.int64)
    return annotated_picture(picture, root, image_hw, boxes, labels, outlines=outlines, group=group, pixel_size_nm=pixel_size_nm)


def read_mask(path: Path) -> NDArray[np.generic]:
    """(H, W) integers of any type; a palette picture gives its indices. Raises ``InputError`` for colour, floats, stacks and damaged files."""
    read_size(path)  # missing, empty or no picture at all
    try:
        if path.suffix.lower() == ".png":
            with Image.open(path) as picture:
                numbers = np.asarray(picture)
        else:
            with tifffile.TiffFile(path) as tiff:
                if len(tiff.pages) > 1:
                    raise InputError(f"{path}: a mask of {len(tiff.pages)} pages; save it as one page with a number for each object")
                numbers = np.asarray(tiff.pages.first.asarray())
    except InputError:
        raise
    except Exception as error:  # decoders raise anything on a damaged file
        raise InputError(f"{path}: damaged or cut short ({' '.join(str(error).split())}); export the mask again") from error
    if numbers.ndim != 2:
        raise InputError(f"{path}: a colour mask (shape {numbers.shape}); save it as 8- or 16-bit grey with a number for each object")
    if numbers.dtype.kind not in "uib":
        raise InputError(f"{path}: a mask of {numbers.dtype}; save it as 8- or 16-bit integers (Fiji: Image > Type > 16-bit)")
    return numbers


def objects_in_mask(mask: NDArray[np.generic]) -> tuple[NDArray[np.float32], tuple[NDArray[np.float32], ...]]:
    """Boxes and outlines of the objects of an instance mask, in the order of their numbers.

    Args:
        mask: (H, W) of any integer type; 0 is background. One object may be in several pieces.

    Returns:
        (N, 4) float32 xyxy px, the extent of all pixels of an object (x2, y2 = last pixel + 1), and N outlines (see ``outline``).
    """
    labelled = _small_numbers(mask)
    boxes: list[tuple[int, int, int, int]] = []
    outlines: list[NDArray[np.float32]] = []
    for number, window in enumerate(ndimage.find_objects(labelled), start=1):
        if window is None:  # a number that is not used
            continue
        rows, columns = window
        boxes.append((columns.start, rows.start, columns.stop, rows.stop))
        outlines.append(outline(labelled[window] == number) + np.array([columns.start, rows.start], np.float32))
    return np.array(boxes, np.float32).reshape(-1, 4), tuple(outlines)


def outline(pixels: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(K, 2) float32 x, y: the outer border of the largest piece, along the outer corners of its pixels; holes are not seen.

    ``cv2.findContours`` goes through the centres of the border pixels, which makes every object a pixel too small. Here it follows the
    lattice of pixel corners at half-pixel steps: a rectangle's outline is exactly its box, one pixel is a unit square, and a disc of
    10 px radius comes out about 1 % too large in area (concave steps are cut across).
    """
    fine = np.pad(pixels.repeat(2, axis=0).repeat(2, axis=1).astype(np.uint8), ((0, 1), (0, 1)))
    corners = cv2.dilate(fine, np.ones((2, 2), np.uint8), anchor=(1, 1))  # corner (x, y) touches fine pixels x - 1, x and y - 1, y
    contours, _ = cv2.findContours(corners, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(contours, key=cv2.contourArea)
    return np.asarray(largest, np.float32).reshape(-1, 2) / np.float32(2)


def _small_numbers(mask: NDArray[np.generic]) -> NDArray[np.int32]:
    """The mask with its values as int32 >= 0: as they are where they are small, else numbered through in their order."""
    if mask.size == 0 or (mask.min() >= 0 and mask.max() <= np.iinfo(np.uint16).max):
        return mask.astype(np.int32)
    values, inverse = np.unique(mask, return_inverse=True)
    ranks = np.zeros(len(values), np.int32)
    ranks[values != 0] = np.arange(1, np.count_nonzero(values) + 1)
    return ranks[inverse.reshape(mask.shape)]
