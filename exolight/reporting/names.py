"""How pictures are called in the tables of a prediction, and what the files about each of them are called."""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def picture_names(pictures: Sequence[Path]) -> dict[Path, str]:
    """The name of each file in the tables: its path under the folder that all share, with '/'; all of it where they share none (two drives)."""
    whole = {path: Path(os.path.abspath(path)) for path in pictures}  # noqa: PTH100 - unlike resolve() it leaves links as the user knows them
    try:
        root = Path(os.path.commonpath([path.parent for path in whole.values()])) if pictures else Path()
    except ValueError:
        return {path: there.as_posix() for path, there in whole.items()}
    return {path: there.relative_to(root).as_posix() for path, there in whole.items()}


def output_stems(names: Sequence[str]) -> list[str]:
    """A file name without suffix for each of ``names``: its stem where that is unique, else its whole path ('grid1__a.tif'), numbered if even that is taken.

    Upper and lower case count as equal, because they are on Windows and macOS.
    """
    stems = [Path(name).stem for name in names]
    counts = Counter(map(_same_file, stems))
    taken = {stem for stem, count in counts.items() if count == 1}
    result = []
    for name, stem in zip(names, stems, strict=True):
        wanted = stem
        if counts[_same_file(stem)] > 1:
            base = _short(name.replace(":", "").strip("/").replace("/", "__"))
            wanted, number = base, 2
            while _same_file(wanted) in taken:
                wanted, number = f"{base}-{number}", number + 1
            taken.add(_same_file(wanted))
        result.append(wanted)
    return result


def _same_file(stem: str) -> str:
    """Names that are equal so are one file on some system: upper and lower case on Windows and macOS, composed and decomposed accents on macOS."""
    return unicodedata.normalize("NFC", stem).casefold()


def _short(stem: str) -> str:
    """A name that leaves room for a suffix in the 255 bytes that systems allow; its end, and a hash of what is missing."""
    data = os.fsencode(stem)
    return stem if len(data) <= 200 else f"{hashlib.sha256(data).hexdigest()[:8]}__{stem[-60:]}"
