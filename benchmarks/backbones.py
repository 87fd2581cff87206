"""Size and speed of candidate backbones for the n model, as a table: python benchmarks/backbones.py [NAME ...]

Each row is the whole detector at neck depth 0.33 and width 0.25: a training step (forward, loss, backward; batch 16) and one picture (the fastest of
five), both at 512 px, medians over rounds.
Candidates take turns, so that a machine whose speed drifts is fair to all; compare ratios, not seconds.
"""

import statistics
import sys
import time

import torch

from exolight.losses import DetectionLoss
from exolight.models import Detector
from exolight.models.summary import summarise
from exolight.training.memory import keep_freed_memory

CANDIDATES = (
    "cs3darknet_focus_n",
    "mobilenetv3_small_050",
    "mobilenetv3_small_075",
    "mobilenetv4_conv_small_050",
    "lcnet_050",
    "repghostnet_050",
)
ROUNDS, BATCH, SIZE = 5, 16, 512


def training_seconds(detector: Detector, loss: DetectionLoss, images: torch.Tensor, targets: torch.Tensor) -> float:
    """One forward and backward pass of a batch."""
    detector.train()
    began = time.perf_counter()
    terms = loss(detector(images), targets, torch.zeros(0, 6), detector.anchors, detector.strides)
    torch.stack(list(terms.values())).sum().backward()
    detector.zero_grad(set_to_none=True)
    return time.perf_counter() - began


@torch.inference_mode()
def prediction_seconds(detector: Detector, image: torch.Tensor) -> float:
    """One picture through the network and the decoder."""
    detector.eval()
    began = time.perf_counter()
    detector.decode(detector(image))
    return time.perf_counter() - began


def synthetic_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Grain (B, 1, H, W) uint8 and 400 objects (M, 6) on it, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (BATCH, 1, SIZE, SIZE), dtype=torch.uint8, generator=generator)
    places = torch.rand(400, 4, generator=generator) * torch.tensor([0.9, 0.9, 0.1, 0.1]) + torch.tensor([0.05, 0.05, 0.02, 0.02])
    return images, torch.cat((torch.randint(0, BATCH, (400, 1), generator=generator), torch.zeros(400, 1), places), dim=1)


def main(names: list[str]) -> None:
    """Print a row a candidate."""
    keep_freed_memory()
    images, targets = synthetic_batch()
    loss = DetectionLoss()
    detectors = {name: Detector({"name": name}, {"depth_multiple": 0.33, "width_multiple": 0.25}, ["object"]) for name in names}
    training: dict[str, list[float]] = {name: [] for name in names}
    prediction: dict[str, list[float]] = {name: [] for name in names}
    for round_ in range(ROUNDS + 1):
        for name, detector in detectors.items():
            taken = training_seconds(detector, loss, images, targets), min(prediction_seconds(detector, images[:1]) for _ in range(5))
            if round_:  # the first round warms up
                training[name].append(taken[0])
                prediction[name].append(taken[1])
    print("| backbone | parameters, M | GFLOPs at 640 px | training, pictures/s | prediction, ms a picture |\n|---|---|---|---|---|")
    for name, detector in detectors.items():
        size = summarise(detector)
        speed, delay = BATCH / statistics.median(training[name]), 1000 * statistics.median(prediction[name])
        print(f"| {name} | {size.parameters / 1e6:.2f} | {size.gflops:.1f} | {speed:.1f} | {delay:.0f} |")


if __name__ == "__main__":
    main(sys.argv[1:] or list(CANDIDATES))
