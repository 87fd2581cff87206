"""Whatever an annotation file holds, reading it ends in a data set that can be right or in an InputError of one line, soon and without much memory.

EXOLIGHT_FUZZ=10000 tries so many inputs, other ones each time; without it the same 1,000 are tried.
"""

import copy
import faulthandler
import io
import json
import logging
import os
import re
import subprocess
import sys
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import annotation_samples as samples
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from exolight.annotated_image import AnnotationSet
from exolight.data.annotations import READERS, read_folder
from exolight.errors import InputError

INPUTS = int(os.environ.get("EXOLIGHT_FUZZ", "0"))
SECONDS = 10
MIB_ABOVE_IDLE = 1024
TOKENS = [
    "",
    "0",
    "-1",
    "1e308",
    "-1e308",
    "nan",
    "inf",
    "1e-320",
    "9" * 400,
    "99999999999",
    "0x10",
    "1_0",
    "a.png",
    "../../a",
    "\x00",
    "\n",
    '"',
    ",",
    "é\ud800",
    "a" * 300,
    "*x",
    "&x;",
]
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "a.png",
    "\n",
    "\ud800",
    "x" * 300,
    [],
    {},
    [[]],
    [{}],
    {"a": [1]},
    [1, 2],
    "\x00",
]
BYTES = [bytes(8), b"\xff" * 8, b"\x7f\xff\xff\xff", b"\x80", b"\xef\xbb\xbf", b"\xff\xfe", b"[" * 5000, b"<a>" * 3000, b"{a: " * 2000, b"&a *a"]


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _xlsx() -> bytes:
    sheet = '<worksheet><sheetData><row><c r="A1" t="inlineStr"><is><t>01/a</t></is></c><c r="B1"><v>1.5</v></c></row></sheetData></worksheet>'
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", sheet)
    return file.getvalue()


def _corpus() -> dict[str, samples.Sample]:
    """Every sample, and more of what the readers look into."""
    mask = np.zeros(samples.HW, np.uint16)
    mask[10:20, 30:60] = 7
    yolo = samples.SAMPLES["yolo"]
    return samples.SAMPLES | {
        "masks": samples.Sample({"masks/a.png": _png(mask), "masks/b.png": _png(mask * 0)}, [], [], [], names=("images/a.png", "images/b.png")),
        "cbia": samples.Sample({"annotations_01/seg_a.png": _png(mask), "resolution.xlsx": _xlsx()}, [], [], [], names=("dataset_01/a.tif",)),
        "yolo-lists": yolo._replace(
            files={**yolo.files, "data.yaml": "path: .\ntrain: [train/images, list.txt]\nnames: {0: a, 1: b}\n", "list.txt": yolo.names[0]}
        ),
        "yolo-classes": samples.Sample({"a.txt": "0 0.5 0.5 0.1 0.1 0.9\n2 0.1 0.1 0.2 0.1 0.2 0.2\n", "classes.txt": "a\nb\nc\n"}, [], [], []),
        "prediction-coco": samples.Sample({**samples.SAMPLES["prediction"].files, "detections.coco.json": samples.as_json(samples.COCO)}, [], [], []),
    }  # fmt: skip


@st.composite
def damages(draw: st.DrawFn) -> tuple[int, int, int, list[tuple[int, int, int]], bytes]:
    """Which sample and file, what kind of damage, where and with what; and bytes to use instead of the file."""
    number = st.integers(0, 1 << 16)
    changes = draw(st.lists(st.tuples(number, number, st.integers(0, 9)), min_size=1, max_size=4))
    return draw(number), draw(number), draw(st.integers(0, 9)), changes, draw(st.binary(max_size=40))


def damaged_bytes(data: bytes, changes: list[tuple[int, int, int]]) -> bytes:
    """Bytes overwritten, inserted or taken out, or the rest cut off."""
    result = bytearray(data)
    for where, what, how in changes:
        place, new = where % (len(result) + 1), BYTES[what % len(BYTES)]
        if how < 4:
            result[place : place + len(new)] = new
        elif how < 6:
            result[place:place] = new
        elif how < 8:
            del result[place : place + what % 40]
        elif how == 8 and place < len(result):
            result[place] ^= 1 << what % 8
        else:
            del result[place:]
    return bytes(result)


def damaged_words(data: bytes, changes: list[tuple[int, int, int]]) -> bytes:
    """Words and numbers replaced by others, doubled, or taken out."""
    text = data.decode("utf-8", "surrogateescape")
    for where, what, how in changes:
        words = list(re.finditer(r"[\w.+-]+", text))
        if words:
            start, end = words[where % len(words)].span()
            text = text[:start] + (text[start:end] * 2 if how == 0 else TOKENS[what % len(TOKENS)]) + text[end:]
    return text.encode("utf-8", "surrogatepass" if "\ud800" in text else "surrogateescape")


def damaged_json(data: bytes, changes: list[tuple[int, int, int]]) -> bytes:
    """Values anywhere replaced by others, doubled, or taken out; other files word by word."""
    try:
        content = json.loads(data)
    except ValueError:
        return damaged_words(data, changes)
    for where, what, how in changes:
        places = list(_places(content))
        if not places:
            return json.dumps(VALUES[what % len(VALUES)]).encode()
        holder, key = places[where % len(places)]
        if how == 0 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif how == 1:
            del holder[key]
        else:
            holder[key] = copy.deepcopy(VALUES[what % len(VALUES)])  # later changes go into it
    return json.dumps(content).encode()


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []:
        yield node, key
        yield from _places(node[key])


def damaged_inside(data: bytes, changes: list[tuple[int, int, int]]) -> bytes:
    """A part of a zip damaged, the zip itself whole; other files as bytes."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return damaged_bytes(data, changes)
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(file, "w") as after:
        for number, name in enumerate(before.namelist()):
            part = before.read(name)
            after.writestr(name, damaged_bytes(part, changes) if number == changes[0][0] % len(before.namelist()) else part)
    return file.getvalue()


def plausible(found: AnnotationSet) -> None:
    assert found.images
    assert all(isinstance(name, str) for name in found.class_names)
    for image in found.images:
        height, width = image.image_hw
        assert np.isfinite(image.boxes).all()
        assert ((image.boxes >= 0) & (image.boxes <= [width, height, width, height])).all()
        assert ((image.labels >= 0) & (image.labels < len(found.class_names))).all()
        for outline in image.outlines or ():
            assert outline.shape[1] == 2
            assert ((outline >= 0) & (outline <= [width, height])).all()


def peak_mib() -> float:
    """Of the memory that this process has ever held; 0 where the system does not say."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux: there ru_maxrss begins with what the parent held
        return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    if sys.platform == "win32":
        return 0.0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def read(name: str, root: Path, whole: bool) -> str:
    """What became of a data set: "read", "refused", or a fault."""
    faulthandler.dump_traceback_later(SECONDS, exit=True)  # ends native code that hangs, too
    try:
        found = read_folder(root) if whole else READERS[samples.kind(name)](root)
    except InputError as error:
        return "refused" if "\n" not in str(error) and str(root) in str(error) else f"a message of several lines, or without the file: {error}"
    finally:
        faulthandler.cancel_dump_traceback_later()
    plausible(found)
    return "read"


def fuzz(folder: Path, inputs: int) -> None:
    """Tries so many inputs, or the usual ones where it is 0. Raises at the first fault; where the process ends, the file that did it is still in ``folder``."""
    logging.disable()
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", RuntimeWarning)  # NumPy's about numbers too large
    corpus = _corpus()
    names = list(corpus)
    for name, sample in corpus.items():
        assert read(name, samples.write(folder / name, sample, sample.names), whole=False) == "read", name
    outcomes: Counter[str] = Counter()
    idle_mib = peak_mib()  # all is imported and has been used once

    @settings(max_examples=inputs or 1000, derandomize=not inputs, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(damages())
    def any_annotation(case: tuple[int, int, int, list[tuple[int, int, int]], bytes]) -> None:
        which, part, kind, changes, instead = case
        name = names[which % len(names)]
        files = corpus[name].files
        file = list(files)[part % len(files)]
        before = files[file].encode() if isinstance(files[file], str) else files[file]
        how = (damaged_bytes, damaged_bytes, damaged_words, damaged_words, damaged_words, damaged_json, damaged_json, damaged_json, damaged_inside)
        after = instead if kind == 9 else how[kind](before, changes)
        path = folder / name / file
        path.write_bytes(after)
        try:
            outcome = read(name, folder / name, whole=changes[0][0] % 4 == 0)
            assert outcome in ("read", "refused")
            assert peak_mib() < idle_mib + MIB_ABOVE_IDLE
        except BaseException as error:
            error.add_note(f"{name}/{file}, {how[kind].__name__ if kind < 9 else 'arbitrary bytes'}: {after[:2000]!r}")
            raise
        finally:
            path.write_bytes(before)
        outcomes[outcome] += 1

    any_annotation()
    print(f"{inputs or 1000} inputs: {dict(outcomes)}, {peak_mib() - idle_mib:.0f} MiB above idle")
    assert min(outcomes["read"], outcomes["refused"]) > 50  # the damage is neither nothing nor everything


def test_any_annotation_ends_in_a_data_set_or_an_input_error(tmp_path: Path) -> None:
    """In a process of its own, so that a crash or a hang of native code (expat, zlib, PNG, TIFF) is seen and survived."""
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path), str(INPUTS)], capture_output=True, text=True, encoding="utf-8", errors="replace", check=False
    )
    print(done.stdout)
    assert done.returncode == 0, f"status {done.returncode}; the file is in {tmp_path}\n{done.stderr[-8000:]}"


if __name__ == "__main__":
    fuzz(Path(sys.argv[1]), int(sys.argv[2]))
