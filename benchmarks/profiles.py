"""Where the time goes: in a training step, in the data pipeline, in a prediction.

    python benchmarks/profiles.py training experiment=emps data.root=PATH/TO/emps      # any settings of train.py
    python benchmarks/profiles.py data experiment=emps data.root=PATH/TO/emps
    python benchmarks/profiles.py prediction CHECKPOINT PICTURES...
    python benchmarks/profiles.py settings                                             # what the allocator and OpenMP settings are worth, in turns

training: real batches through forward, loss, backward, clipping, optimiser and moving average, medians of ten steps; then the ten most expensive operations.
data: the seconds to read everything once; milliseconds a training picture, cached, in one process; the ten most expensive functions.
prediction: milliseconds a picture of each stage in turn, nothing overlapping, which predict.py does; every backend installed.
settings: pictures a second of a bare training step (n, 16 pictures of 512 px), a process a measurement, the settings taking turns; with and without a process
beside it that keeps one core busy.
"""

import cProfile
import io
import os
import pstats
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import exolight  # before torch: it sets what torch reads when loaded
from exolight.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
STEPS, ROUNDS = 10, 3
STEP = """
import os, statistics, sys, time
if sys.argv[2] == "spin": os.environ["GOMP_SPINCOUNT"] = "x"
import exolight
if sys.argv[2] == "spin": del os.environ["GOMP_SPINCOUNT"]
import torch
sys.path.insert(0, sys.argv[3])
from backbones import synthetic_batch, training_seconds
from exolight.losses import DetectionLoss
from exolight.models import Detector
from exolight.training.memory import keep_freed_memory
if sys.argv[1] == "keep": keep_freed_memory()
detector = Detector({"name": "cs3darknet_focus_n"}, {"depth_multiple": 0.33, "width_multiple": 0.25}, ["object"])
images, targets = synthetic_batch()
taken = [training_seconds(detector, DetectionLoss(), images, targets) for _ in range(5)][1:]
print(len(images) / statistics.median(taken))
"""


class Clock:
    """Seconds by name; every ``lap`` ends what the one before began."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.last = time.perf_counter()

    def start(self) -> None:
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name].append(now - self.last)
        self.last = now

    def show(self, count: int = 1) -> None:
        """Medians, in ms a picture where a lap was ``count`` pictures."""
        total = sum(statistics.median(values) for values in self.seconds.values())
        for name, values in self.seconds.items():
            median = statistics.median(values)
            print(f"{name:14} {1000 * median / count:8.1f} ms a picture  {median / total:5.0%}")
        print(f"{'sum':14} {1000 * total / count:8.1f} ms a picture, {count / total:.1f} pictures a second")


def training(overrides: list[str]) -> None:
    """A training step on real batches."""
    import torch
    from hydra.utils import instantiate
    from torch.profiler import ProfilerActivity, profile

    from exolight.training.averaging import RampedAverage
    from exolight.training.memory import keep_freed_memory
    from exolight.training.optimisation import parameter_groups

    keep_freed_memory()
    cfg = composed(overrides)
    data = instantiate(cfg.data)(augmentation=instantiate(cfg.augmentation))
    data.num_workers = 0
    data.setup()
    detector, loss = instantiate(cfg.model, class_names=data.class_names).train(), instantiate(cfg.loss)
    optimizer = instantiate(cfg.optimizer)(parameter_groups(detector, cfg.optimizer.lr, 0.0, 1.0))
    average, parameters = RampedAverage(), list(detector.parameters())
    averaged = [parameter.detach().clone() for parameter in parameters]
    clock, count = Clock(), 0

    def step(batch) -> None:  # type: ignore[no-untyped-def]
        clock.start()
        raw = detector(batch.images)
        clock.lap("forward")
        total = torch.stack(list(loss(raw, batch.targets, batch.ignored, detector.anchors, detector.strides).values())).sum()
        clock.lap("loss")
        total.backward()
        clock.lap("backward")
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        clock.lap("clipping")
        optimizer.step()
        optimizer.zero_grad()
        clock.lap("optimiser")
        average._update(averaged, parameters, 100)
        clock.lap("average")

    batches = endless(data)
    step(next(batches))
    clock.seconds.clear()
    for _ in range(STEPS):
        clock.start()
        batch = next(batches)
        clock.lap("data")
        step(batch)
        count = len(batch.images)
    clock.show(count)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        step(batch)
    print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=10, max_name_column_width=40))


def data(overrides: list[str]) -> None:
    """Reading and augmenting."""
    from hydra.utils import instantiate

    cfg = composed(overrides)
    began = time.perf_counter()
    module = instantiate(cfg.data)(augmentation=instantiate(cfg.augmentation))
    shown(module.setup, "reading")
    print(f"reading all annotations and pictures: {time.perf_counter() - began:.1f} s")
    dataset = module.datasets["train"]
    count = min(len(dataset), 200)
    began = time.perf_counter()
    for index in range(count):
        dataset[(0, index)]
    print(f"a training picture: {1000 * (time.perf_counter() - began) / count:.1f} ms")
    shown(lambda: [dataset[(0, index)] for index in range(count)], "augmenting")


def prediction(arguments: list[str]) -> None:
    """Every stage from the file to the written overlay."""
    import numpy as np
    import torch

    from exolight.checkpoint import load_detector
    from exolight.detections import Detections
    from exolight.figures.overlays import draw_boxes
    from exolight.inference.files import find_pictures
    from exolight.inference.runtimes import RUNTIMES, check_installed, choose_network
    from exolight.inference.views import in_picture, together, whole_views
    from exolight.micrograph import read_micrograph
    from exolight.models.suppression import suppress
    from exolight.preprocessing import normalise
    from exolight.reporting.prediction import write_png
    from exolight.thresholds import Thresholds

    loaded, pictures = load_detector(arguments[0]), find_pictures(arguments[1:])
    thresholds = loaded.thresholds or Thresholds()
    networks = {}
    for backend in ("torch", *RUNTIMES):
        try:
            if backend != "torch":
                check_installed(backend)
            networks[backend] = choose_network(backend, loaded.detector, torch.device("cpu"))
        except InputError as error:
            print(error)
    clock = Clock()
    for path in pictures:
        clock.start()
        micrograph = read_micrograph(path)
        clock.lap("read")
        image = normalise(micrograph.pixels)
        clock.lap("normalise")
        (view,) = whole_views(image, loaded.image_size, None)
        field = np.ascontiguousarray(view.field)[None, None]
        clock.lap("rescale, pad")
        for backend, network in networks.items():
            boxes, scores = network(field)
            clock.lap(backend)
        (kept,) = suppress(boxes, scores, thresholds)
        found = together([in_picture(Detections(*(tensor.numpy() for tensor in kept)), view)], thresholds, image.shape)
        clock.lap("suppression")
        canvas = draw_boxes(image, found.boxes, scores=found.scores)
        clock.lap("draw")
        write_png(Path(os.devnull), canvas)
        clock.lap("write PNG")
    print(f"exolight {exolight.__version__}, torch {torch.__version__}, {len(pictures)} pictures")
    clock.show()


def settings() -> None:
    """Allocator and OpenMP, in turns."""
    for busy in (False, True):
        results: dict[tuple[str, str], list[float]] = defaultdict(list)
        for _ in range(ROUNDS):
            for setting in (("keep", "short"), ("free", "short"), ("keep", "spin")):
                beside = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
                try:
                    run = subprocess.run([sys.executable, "-c", STEP, *setting, str(ROOT / "benchmarks")], capture_output=True, text=True, check=True)
                finally:
                    if beside:
                        beside.kill()
                results[setting].append(float(run.stdout.split()[-1]))
        for (memory, threads), speeds in results.items():
            shown_speeds = ", ".join(f"{speed:.1f}" for speed in speeds)
            print(f"{'beside a busy process, ' if busy else ''}memory {memory}, threads {threads}: {shown_speeds} pictures a second")


def composed(overrides: list[str]):  # type: ignore[no-untyped-def]
    """The configuration of train.py."""
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", overrides)


def endless(data) -> Iterator:  # type: ignore[no-untyped-def, type-arg]
    """Batches, epoch after epoch."""
    while True:
        yield from data.train_dataloader()


def shown(work: Callable[[], object], name: str) -> None:
    """Do it, and print its ten most expensive functions."""
    profiler = cProfile.Profile()
    profiler.runcall(work)
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(10)
    lines = text.getvalue().splitlines()
    print(f"{name}:", *(line.replace(str(ROOT) + os.sep, "") for line in lines[lines.index(next(line for line in lines if "ncalls" in line)) :]), sep="\n")


if __name__ == "__main__":
    verbs = {"training": training, "data": data, "prediction": prediction}
    if sys.argv[1:2] == ["settings"]:
        settings()
    elif len(sys.argv) > 2 and sys.argv[1] in verbs:
        verbs[sys.argv[1]](sys.argv[2:])
    else:
        sys.exit(__doc__)
