"""How long it takes to index pictures annotated in YOLO's format, by their headers alone: what a training does before it looks at a pixel.

    python benchmarks/index.py [COUNT]

Writes COUNT (10,000) small pictures, half PNG and half JPEG, with five boxes each into a temporary folder and reads the annotation as data=yolo and as
data=folder do, then splits it. A process a measurement: each once with the files dropped from the system's cache (its folders stay known) and three times
with them in it. Seconds on the wall and of the processor, without the imports.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

HW = (96, 128)
READERS = ("read_yolo", "read_folder")
WARM = 3
MEASURE = """
import json, sys, time
from exolight.data import annotations
from exolight.data.splits import split_images
read, root = getattr(annotations, sys.argv[1]), sys.argv[2]
wall, processor = time.perf_counter(), time.process_time()
images, names = read(root)
indexed = time.perf_counter() - wall, time.process_time() - processor
parts = split_images(images, "standard", 0)
both = time.perf_counter() - wall, time.process_time() - processor
assert sum(map(len, parts)) == len(images)
print(json.dumps([len(images), sum(len(image.boxes) for image in images), *indexed, *both]))
"""


def write(root: Path, count: int) -> None:
    """The pictures, their labels and a data.yaml."""
    generator = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir()
    for number in range(count):
        name = f"EV_{number:05d}"
        pixels = generator.integers(0, 256, HW, dtype=np.uint8)
        suffix = ".png" if number % 2 else ".jpg"
        (root / "images" / f"{name}{suffix}").write_bytes(cv2.imencode(suffix, pixels)[1].tobytes())
        boxes = np.concatenate([generator.uniform(0.2, 0.8, (5, 2)), generator.uniform(0.02, 0.3, (5, 2))], axis=1)
        (root / "labels" / f"{name}.txt").write_text("".join(f"0 {cx:.6f} {cy:.6f} {w:.6f} {h:.6f}\n" for cx, cy, w, h in boxes))
    (root / "data.yaml").write_text("train: images\nval: images\nnc: 1\nnames: [exosome]\n")


def forget(root: Path) -> None:
    """Drop the files from the system's cache, where it offers that."""
    if not hasattr(os, "posix_fadvise"):
        return
    os.sync()
    for path in root.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def measured(reader: str, root: Path) -> list[float]:
    """Pictures, boxes; seconds on the wall and of the processor for the index, and for index and split."""
    done = subprocess.run([sys.executable, "-c", MEASURE, reader, str(root)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, count)
        for reader in READERS:
            for state in ("cold", *["warm"] * WARM):
                if state == "cold":
                    forget(root)
                pictures, boxes, wall, processor, whole, busy = measured(reader, root)
                index, both = f"{wall:5.2f} s ({processor:5.2f} s of the processor)", f"{whole:5.2f} s ({busy:5.2f} s)"
                print(f"{reader:12} {state}  {pictures} pictures, {boxes} boxes: index {index}, with the split {both}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
