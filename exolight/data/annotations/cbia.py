"""The exosome pictures of CBIA, Masaryk University (FRU_processing.zip of cbia.fi.muni.cz, segmentation/fru-net), as unpacked.

``dataset_01..03/NN.tif`` with instance masks ``annotations_0X/seg_NN.tif`` and nm per pixel in the second column of ``resolution.xlsx``.
Cite: E. Gómez-de-Mariscal et al., Sci. Rep. 9 (2019) 13211.
"""

import logging
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from defusedxml import ElementTree

from exolight.annotated_image import AnnotatedImage, AnnotationSet
from exolight.data.annotations.check import raise_problems
from exolight.data.annotations.masks import MASK_SUFFIXES, annotate_from_mask
from exolight.data.annotations.pictures import existing_folder, find_files
from exolight.errors import InputError
from exolight.micrograph import check_pixel_size

logger = logging.getLogger(__name__)

MOST_BYTES = 1 << 24  # of a part of resolution.xlsx, unpacked
LAYOUT = "dataset_01/NN.tif, annotations_01/seg_NN.tif, ... and resolution.xlsx"


def read_cbia(root: str | Path) -> AnnotationSet:
    """All pictures, of the one class "exosome"; a picture's group is its dataset, so that a split leaves whole datasets out.

    Raises:
        InputError: the layout is not there, a picture has no mask or a mask no picture, one does not fit the other, or resolution.xlsx
            cannot be matched with the pictures. Without a resolution.xlsx the sizes stay unknown, with a warning.
    """
    root = existing_folder(root, LAYOUT)
    datasets = sorted(path for path in root.glob("dataset_*") if path.is_dir())
    pictures = [path for dataset in datasets for path in find_files(dataset, MASK_SUFFIXES)]
    if not pictures:
        raise InputError(f"{root}: no pictures in dataset_*/; wanted {LAYOUT}; check data.root")
    sizes = _pixel_sizes(root, pictures)
    annotated: list[AnnotatedImage] = []
    problems: list[str] = []
    masks = {path for dataset in datasets for path in find_files(_annotations(dataset), MASK_SUFFIXES)}
    for picture in pictures:
        dataset = root / picture.relative_to(root).parts[0]
        mask = next((m for s in MASK_SUFFIXES if (m := _annotations(dataset) / f"seg_{picture.stem}{s}") in masks), None)
        if mask is None:
            problems.append(f"{picture}: no mask {_annotations(dataset).name}/seg_{picture.stem}.tif; add it or remove the picture")
            continue
        masks.discard(mask)
        try:
            annotated.append(annotate_from_mask(picture, mask, root, group=dataset.name, pixel_size_nm=sizes.get(picture)))
        except InputError as problem:
            problems.append(str(problem))
    problems += [f"{mask}: annotation of a picture that does not exist; add the picture or remove the mask" for mask in sorted(masks)]
    raise_problems(problems)
    return AnnotationSet(annotated, ["exosome"])


def _annotations(dataset: Path) -> Path:
    return dataset.with_name(dataset.name.replace("dataset_", "annotations_", 1))


def _pixel_sizes(root: Path, pictures: Sequence[Path]) -> dict[Path, float]:
    """nm per pixel of the pictures, of one table for all or of a table in each dataset."""
    tables = [path for path in find_files(root, (".xlsx",)) if path.stem.lower() == "resolution"]
    if not tables:
        logger.warning("%s: no resolution.xlsx, so the pixel size of these pictures is unknown", root)
    sizes: dict[Path, float] = {}
    for table in tables:
        covered = [path for path in pictures if path.is_relative_to(table.parent)] or list(pictures)
        sizes |= match_rows(_rows(table), covered, table)
    return sizes


def match_rows(rows: Sequence[tuple[str, float]], pictures: Sequence[Path], table: Path) -> dict[Path, float]:
    """Pixel sizes by picture.

    A row names its picture as ``01/05``, ``dataset_01/05.tif`` or ``05``; where the names do not settle it and there are as many rows as
    pictures, the rows are taken in the sorted order of the pictures, with a warning. Raises ``InputError`` where neither works.
    """
    for name, size in rows:
        check_pixel_size(size, f"{table}: row {name!r}")
    named = [[path for path in pictures if _names(row, path)] for row, _ in rows]
    if all(len(found) == 1 for found in named) and {found[0] for found in named} == set(pictures):
        return {found[0]: size for found, (_, size) in zip(named, rows, strict=True)}
    if len(rows) != len(pictures):
        raise InputError(f"{table}: {len(rows)} rows with a number in column B for {len(pictures)} pictures; name them in column A as dataset_01/05.tif")
    logger.warning("%s: column A does not name the pictures; its rows are taken in their order, first %s", table, pictures[0])
    return {path: size for path, (_, size) in zip(pictures, rows, strict=True)}


def _names(row: str, picture: Path) -> bool:
    """Whether the first cell of a row means the picture; ``5``, ``05`` and ``05.tif`` are one name, ``1`` and ``dataset_01`` one folder."""
    parts = re.sub(r"\.tiff?$", "", row.strip().replace("\\", "/"), flags=re.IGNORECASE).split("/")
    wanted = [picture.parent.name.removeprefix("dataset_"), picture.stem][-len(parts) :]
    return [_plain(part.removeprefix("dataset_")) for part in parts] == [_plain(part) for part in wanted]


def _plain(name: str) -> str:
    return str(int(float(name))) if re.fullmatch(r"\d+(\.0+)?", name) else name.lower()


def _rows(table: Path) -> list[tuple[str, float]]:
    """(column A, column B) of every row, of all sheets, whose column B is a number. An xlsx is a zip of XML (ECMA-376), read as such."""
    try:
        with zipfile.ZipFile(table) as archive:
            names = archive.namelist()
            shared = _parsed(archive, "xl/sharedStrings.xml").findall("{*}si") if "xl/sharedStrings.xml" in names else []
            strings = ["".join(text.text or "" for text in item.findall(".//{*}t")) for item in shared]
            sheets = sorted((name for name in names if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", name)), key=lambda name: (len(name), name))
            rows = [_cells(row, strings) for sheet in sheets for row in _parsed(archive, sheet).findall(".//{*}row")]
    except Exception as error:  # zipfile, its decoders and the parser raise anything on a damaged file
        raise InputError(f"{table}: no Excel table that can be read ({' '.join(str(error).split())[:200]}); save it again as .xlsx") from error
    numbers = [(row.get("A", ""), row.get("B", "").replace(",", ".")) for row in rows]
    return [(name, float(number)) for name, number in numbers if re.fullmatch(r"\s*\d*\.?\d+([eE][+-]?\d+)?\s*", number)]


def _parsed(archive: zipfile.ZipFile, name: str) -> Element:
    """A part of the archive. Raises ``ValueError`` where it unpacks into more than a table of sizes can be, or holds entities."""
    with archive.open(name) as part:
        data = part.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"{name} is larger than {MOST_BYTES >> 20} MiB")
    root: Element = ElementTree.fromstring(data, forbid_dtd=True)
    return root


def _cells(row: Element, strings: Sequence[str]) -> dict[str, str]:
    """The cells of one row by column letter."""
    cells: dict[str, str] = {}
    for position, cell in enumerate(row.findall("{*}c")):
        column = cell.get("r", chr(ord("A") + position)).rstrip("0123456789")
        text = "".join(part.text or "" for tag in (".//{*}v", ".//{*}t") for part in cell.findall(tag))
        cells[column] = strings[int(text)] if cell.get("t") == "s" else text
    return cells
