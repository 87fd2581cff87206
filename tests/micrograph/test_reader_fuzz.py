"""Whatever bytes a file holds, reading it ends in a picture or in an InputError, soon and in little memory.

EXOLIGHT_FUZZ=10000 tries so many inputs, other ones each time; without it the same 1,000 are tried.
"""

import io
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import microscope_files as files
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

if sys.platform == "win32":
    pytest.skip("the worker's limits are those of Unix", allow_module_level=True)

INPUTS = int(os.environ.get("EXOLIGHT_FUZZ", "0"))
SECONDS = 10  # of the processor's time
MIB_ABOVE_IDLE = 1024
GREY = np.random.default_rng(0).integers(0, 60000, (12, 17)).astype(np.uint16)
EXTREMES = [
    bytes(8),
    b"\xff" * 8,
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\1\0\0",
    b"\0\0\1\0",
    b"\x80",
    b"\0\x40\0\x40",
    b"\x7f\xf0\0\0",
    b"%%%%",
    b"\n\r",
]


class Worker:
    """A process that reads pictures, so that a crash or a hang is seen and survived."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.answers: queue.Queue[str] = queue.Queue()
        self.idle_mib = 0.0

    def start(self, warm: Path) -> None:
        """Idle is what the process holds once it has read one picture and so has imported everything."""
        command = [sys.executable, str(Path(__file__).with_name("fuzz_worker.py")), str(SECONDS)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
        self.answers = queue.Queue()
        assert self.process.stdout
        threading.Thread(target=_forward, args=(self.process.stdout, self.answers), daemon=True).start()
        _, self.idle_mib = self.ask(warm)

    def ask(self, path: Path, patience: float = 120) -> tuple[str, float]:
        """What became of the file, and the peak of memory in MiB."""
        assert self.process
        assert self.process.stdin
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        try:
            answer = self.answers.get(timeout=patience)
        except queue.Empty:
            self.stop()
            return f"no answer within {patience:g} s", 0.0
        if not answer:
            status = self.process.wait()
            self.process = None
            return (f"no answer within {SECONDS} s" if status == -signal.SIGXCPU else f"the process died with status {status}"), 0.0
        said, mib = json.loads(answer)
        return said, mib

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def _forward(lines: IO[str], answers: "queue.Queue[str]") -> None:
    for line in lines:
        answers.put(line)
    answers.put("")


def _corpus(folder: Path) -> dict[str, bytes]:
    """A small valid file of every kind."""
    grey8 = (GREY >> 8).astype(np.uint8)
    colour = np.dstack([grey8, grey8[::-1], grey8])
    valid: dict[str, bytes] = {}
    for name, kind, picture in (
        ("png 8", "PNG", Image.fromarray(grey8)),
        ("png 16", "PNG", Image.fromarray(GREY)),
        ("png colour", "PNG", Image.fromarray(colour)),
        ("png palette", "PNG", Image.fromarray(grey8).convert("P")),
        ("jpeg", "JPEG", Image.fromarray(grey8)),
        ("jpeg colour", "JPEG", Image.fromarray(colour)),
        ("bmp", "BMP", Image.fromarray(grey8)),
        ("bmp colour", "BMP", Image.fromarray(colour)),
    ):
        file = io.BytesIO()
        picture.save(file, kind)
        valid[name] = file.getvalue()
    for name, pixels, options in (
        ("tiff", GREY, {}),
        ("tiff lzw", GREY, {"compression": "lzw", "rowsperstrip": 5}),
        ("tiff tiles", GREY, {"compression": "adobe_deflate", "tile": (16, 16), "predictor": True}),
        ("tiff zstd", GREY, {"compression": "zstd"}),
        ("tiff jpeg", grey8, {"compression": "jpeg"}),
        ("tiff packbits", grey8, {"compression": "packbits"}),
        ("tiff float", GREY.astype(np.float32), {}),
        ("tiff double", GREY.astype(np.float64), {}),
        ("tiff bits", GREY > 30000, {"photometric": "miniswhite"}),
        ("tiff colour", colour, {"photometric": "rgb"}),
        ("tiff palette", grey8, {"photometric": "palette", "colormap": np.arange(768, dtype=np.uint16).reshape(3, 256)}),
        ("tiff stack", np.stack([GREY] * 4), {"photometric": "minisblack", "metadata": None}),
        ("bigtiff", GREY, {"bigtiff": True}),
        ("big-endian tiff", GREY.astype(">u2"), {"byteorder": ">"}),
        ("imagej", np.stack([GREY] * 3), {"imagej": True, "resolution": (0.8, 0.8), "metadata": {"unit": "nm"}}),
        ("ome", GREY, {"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 1.5, "PhysicalSizeXUnit": "nm"}}),
    ):
        file = io.BytesIO()
        tifffile.imwrite(file, pixels, **options)
        valid[name] = file.getvalue()
    path = folder / "valid"
    for name, write in (
        ("sis", lambda: files.sis_tiff(path, GREY, 1.25, 1.25, -9)),
        ("tvips", lambda: files.tvips_tiff(path, GREY, 1.25, 1.25, GREY.shape)),
        ("fei", lambda: files.fei_tiff(path, GREY, {"Scan": {"PixelWidth": 1e-9}, "Image": {"ResolutionX": 17, "ResolutionY": 12}})),
        ("dm tiff", lambda: files.digital_micrograph_tiff(path, GREY, (1.25, 1.25), "nm")),
        ("dm3", lambda: files.digital_micrograph(path, GREY)),
        ("dm4", lambda: files.digital_micrograph(path, np.stack([GREY, GREY]), (1.25, 1.25, 1.0), version=4)),
        ("tia", lambda: files.tia(path, [GREY, GREY])),
        ("old tia", lambda: files.tia(path, [GREY], version=0x210)),
        ("velox", lambda: files.velox(path, np.stack([GREY, GREY], axis=-1))),
        ("mrc", lambda: files.mrc(path, GREY)),
        ("mrc stack", lambda: files.mrc(path, np.stack([GREY, GREY]).astype(np.float32))),
    ):
        write()
        valid[name] = path.read_bytes()
    return valid


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    one = Worker()
    yield one
    one.stop()


@st.composite
def damages(draw: st.DrawFn) -> tuple[int, int, list[tuple[int, int, bytes, int]], bytes]:
    """Which valid file (by number), how it is damaged, where and with what; and bytes to use instead of any file."""
    where = st.one_of(st.integers(0, 300), st.integers(0, 1 << 20))
    what = st.one_of(st.sampled_from(EXTREMES), st.binary(min_size=1, max_size=8))
    changes = draw(st.lists(st.tuples(where, st.integers(0, 9), what, st.integers(1, 40)), min_size=1, max_size=5))
    return draw(st.integers(0, 1 << 16)), draw(st.integers(0, 19)), changes, draw(st.binary(max_size=64))


def damaged(data: bytes, changes: list[tuple[int, int, bytes, int]]) -> bytes:
    """Bytes overwritten (mostly), a bit turned, bytes inserted or taken out, the rest cut off."""
    changed = bytearray(data)
    for where, how, what, length in changes:
        place = where % (len(changed) + 1)
        if how < 6:
            changed[place : place + len(what)] = what
        elif how == 6 and place < len(changed):
            changed[place] ^= 1 << length % 8
        elif how == 7:
            changed[place:place] = what
        elif how == 8:
            del changed[place : place + length]
        elif how == 9:
            del changed[place:]
    return bytes(changed)


def test_any_bytes_end_in_a_picture_or_an_input_error(tmp_path: Path, worker: Worker) -> None:
    corpus = _corpus(tmp_path)
    names = list(corpus)
    valid, path = tmp_path / "valid", tmp_path / "damaged"
    outcomes: dict[str, int] = {}

    def check(data: bytes, told: str, expected: tuple[str, ...] = ("read", "refused")) -> None:
        path.write_bytes(data)
        if worker.process is None:
            worker.start(valid)
        said, mib = worker.ask(path)
        if mib > worker.idle_mib + MIB_ABOVE_IDLE:
            worker.stop()  # its peak would be held against the next input too
        assert said in expected, f"{told}: {said}"
        assert mib < worker.idle_mib + MIB_ABOVE_IDLE, f"{told}: {mib:.0f} MiB, {worker.idle_mib:.0f} when idle"
        outcomes[said] = outcomes.get(said, 0) + 1

    for name in names:
        check(corpus[name], name, ("read",))

    @settings(
        max_examples=INPUTS or 1000,
        derandomize=not INPUTS,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(damages())
    def any_bytes(case: tuple[int, int, list[tuple[int, int, bytes, int]], bytes]) -> None:
        number, kind, changes, instead = case
        name = names[number % len(names)]
        if kind == 0:
            check(instead, "arbitrary bytes")
        elif kind == 1:
            check(corpus[name][:16] + instead, f"arbitrary bytes that begin as {name}")
        else:
            check(damaged(corpus[name], changes), f"{name}, damaged")

    any_bytes()
    print(f"{INPUTS or 1000} inputs: {outcomes}")
    assert min(outcomes.get("read", 0), outcomes.get("refused", 0)) > 50  # the damage is neither nothing nor everything
