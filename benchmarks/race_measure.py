"""What race.py measures with: a process with time, memory and a stamped log; epochs and milliseconds out of logs; scores out of YOLO text; tables."""

import io
import os
import re
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from exolight.annotated_image import AnnotatedImage
from exolight.evaluation.average_precision import average_precision
from exolight.evaluation.curves import best_f1, confidence_curves
from exolight.evaluation.records import ImageResult

_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_EPOCH_BEGINS = re.compile(r"Epoch\s+GPU_mem|^Epoch \d+:\s+0%")  # the header both peers print, or the first bar of Lightning
_BAR_IS_FULL = re.compile(r"100%.*?\b(\d+)/\1\b")
_SPEED = re.compile(r"Speed: ([\d.]+)ms pre-?process, ([\d.]+)ms inference, (?:[\d.]+ms loss, )?([\d.]+)ms (?:NMS|postprocess)")


@dataclass(frozen=True)
class Run:
    """One finished process.

    Attributes:
        code: its exit status.
        seconds: wall time from start to end, imports and all.
        cpu_seconds: user and system time of it and of its children.
        peak_mib: the most memory that it and its children held at once, sampled every second: the sum of proportional set sizes, so that what they share
            counts once; None where the system has no /proc.
        peak_gpu_mib: the most GPU memory in use on the machine, sampled likewise; None without a GPU or where it was not asked for.
        log: what it printed, each piece (up to a line end or carriage return) after its seconds since the start and a tab.
    """

    code: int
    seconds: float
    cpu_seconds: float
    peak_mib: float | None
    peak_gpu_mib: float | None
    log: Path

    @property
    def last_line(self) -> str:
        """The last thing it said."""
        lines = [text for _, text in read_log(self.log) if text.strip()]
        return lines[-1].strip() if lines else f"nothing printed, exit status {self.code}"


def run_measured(command: Sequence[str], log: Path, folder: Path, environment: Mapping[str, str] | None = None, gpu: bool = False) -> Run:
    """Run ``command`` in ``folder`` to its end, whatever that is; an interrupt ends it with us. ``environment`` is added to ours."""
    log.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    variables = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
    peaks: dict[str, float] = {}
    ended = threading.Event()
    began = time.perf_counter()
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as process,
    ):
        sampler = threading.Thread(target=_sample, args=(process.pid, gpu, peaks, ended), daemon=True)
        sampler.start()
        try:
            assert process.stdout is not None
            rest = b""
            while chunk := os.read(process.stdout.fileno(), 65536):
                *pieces, rest = re.split(rb"[\r\n]", rest + chunk)
                now = time.perf_counter() - began
                file.writelines(f"{now:.3f}\t{piece.decode(errors='replace')}\n" for piece in pieces if piece)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            if rest:
                file.write(f"{seconds:.3f}\t{rest.decode(errors='replace')}\n")
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)  # its own session: nothing but it and its workers
            raise
        finally:
            ended.set()
            sampler.join()
    return Run(process.returncode, seconds, usage.ru_utime + usage.ru_stime, peaks.get("memory"), peaks.get("gpu"), log)


def _sample(session: int, gpu: bool, peaks: dict[str, float], ended: threading.Event) -> None:
    while not ended.wait(1.0):
        if Path("/proc").is_dir():
            peaks["memory"] = max(peaks.get("memory", 0.0), session_memory_mib(session))
        if gpu:
            query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
            used = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split()
            peaks["gpu"] = max([peaks.get("gpu", 0.0), *map(float, used)])


def session_memory_mib(session: int) -> float:
    """Proportional set size of all processes of a session together (Linux)."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if int((process / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                total += sum(int(line.split()[1]) for line in (process / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
        except (OSError, ValueError, IndexError):  # it has just ended
            continue
    return total / 1024


def read_log(log: Path) -> list[tuple[float, str]]:
    """The stamped pieces of a log: seconds since the start, text without terminal escapes."""
    pieces = (line.split("\t", 1) for line in log.read_text("utf-8").split("\n") if "\t" in line)
    return [(float(stamp), _ESCAPES.sub("", text)) for stamp, text in pieces]


def epoch_seconds(log: Iterable[tuple[float, str]]) -> list[float]:
    """Seconds of training in each epoch: from its first sign (the peers' table header, Lightning's empty bar) to its full bar, so without validation."""
    seconds: list[float] = []
    began: float | None = None
    for stamp, text in log:
        if began is None and _EPOCH_BEGINS.search(text):
            began = stamp
        elif began is not None and _BAR_IS_FULL.search(text):
            seconds.append(stamp - began)
            began = None
    return seconds


def training_speed(seconds: Sequence[float], pictures: int) -> float | None:
    """Pictures a second over all epochs after the first; None where there is none."""
    return pictures * (len(seconds) - 1) / sum(seconds[1:]) if len(seconds) > 1 else None


def own_milliseconds(log: Iterable[tuple[float, str]]) -> dict[str, float]:
    """What a peer's last "Speed:" line says of a picture: preprocessing, network, postprocessing; empty where there is none."""
    found = [match for _, text in log for match in [_SPEED.search(text)] if match]
    return dict(zip(("preprocess", "network", "postprocess"), map(float, found[-1].groups()), strict=True)) if found else {}


def table_milliseconds(text: str) -> dict[str, float]:
    """The means of the columns called SOMETHING_ms of exolight's images.csv, under SOMETHING."""
    times = pd.read_csv(io.StringIO(text)).filter(regex="_ms$").mean()
    return {str(column).removesuffix("_ms"): float(value) for column, value in times.items()}


def image_result(index: int, image: AnnotatedImage, text: str) -> ImageResult:
    """The detections of a picture in YOLO text (class, centre and size in fractions of the picture, confidence) beside its truth, in its pixels."""
    rows = np.array([line.split() for line in text.splitlines() if line.strip()], np.float64).reshape(-1, 6)
    height, width = image.image_hw
    centres, halves = rows[:, 1:3] * (width, height), rows[:, 3:5] * (width / 2, height / 2)
    boxes = np.concatenate((centres - halves, centres + halves), axis=1).astype(np.float32)
    return ImageResult(
        index, image.name, boxes, rows[:, 5].astype(np.float32), rows[:, 0].astype(np.int64), image.boxes, image.labels, image.ignore
    )  # fmt: skip


def score_labels(images: Sequence[AnnotatedImage], labels: Path, class_names: Sequence[str]) -> dict[str, float]:
    """The one scorer of all: exolight's AP50-95, AP50 and best F1 at IoU 0.5, with its threshold, of a folder of STEM.txt; no file means nothing found."""
    texts = {path.stem: path.read_text("utf-8") for path in labels.glob("*.txt")}
    results = [image_result(index, image, texts.get(Path(image.name).stem, "")) for index, image in enumerate(images)]
    precision, point = average_precision(results, class_names), best_f1(confidence_curves(results, len(class_names)))
    return {"map": precision["map"], "map_50": precision["map_50"], "f1": point.f1, "threshold": point.threshold}


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A markdown table; None is a dash, what would break a row is taken out."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join("–" if cell is None else " ".join(str(cell).replace("|", "/").split()) for cell in line) + " |" for line in lines)


def training_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """A row a trained competitor."""
    columns = ["trained", "AP50-95", "AP50", "best F1", "at score", "training, pictures/s", "peak memory, GiB", "wall, min", "cores used"]
    rows: list[list[object]] = []
    for name, result in results.items():
        if "failed" in result:
            rows.append([name, f"failed: {result['failed']}"[:160], *[None] * (len(columns) - 2)])
            continue
        scores = [f"{result[key]:.3f}" for key in ("map", "map_50", "f1", "threshold")]
        peak, speed, wall, cores = (result.get(key) for key in ("peak_mib", "pictures_per_second", "wall_s", "cores_used"))
        costs = [speed and f"{speed:.1f}", peak and f"{peak / 1024:.2f}", wall and f"{wall / 60:.1f}", cores and f"{cores:.2f}"]
        rows.append([name, *scores, *costs])
    return table(columns, rows)


def prediction_table(results: Mapping[str, Mapping[str, Any]], reference: str = "yolov5n") -> str:
    """A row a predictor: medians and (ranges), and the ratio of ms a picture to YOLOv5's."""
    columns = ["predictor", "ms a picture", f"times {reference}", "whole process, s", "own ms a picture", "peak memory, GiB"]
    base = results.get(reference, {}).get("ms")
    rows: list[list[object]] = []
    for name, result in results.items():
        if "failed" in result:
            rows.append([name, f"failed: {result['failed']}"[:160], *[None] * (len(columns) - 2)])
            continue
        ratio = f"{statistics.median(result['ms']) / statistics.median(base):.2f}" if base else None
        own = ", ".join(f"{key} {value:.1f}" for key, value in result["own_ms"].items()) or None
        peak = result["peak_mib"] and f"{result['peak_mib'] / 1024:.2f}"
        rows.append([name, spread(result["ms"]), ratio, spread(result["whole_s"]), own, peak])
    return table(columns, rows)


def spread(values: Iterable[float]) -> str:
    """Median (smallest to largest)."""
    numbers = sorted(values)
    return f"{statistics.median(numbers):.1f} ({numbers[0]:.1f} to {numbers[-1]:.1f})"
