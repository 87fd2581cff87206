"""The numbers of the field's tables, counted by hand, and a detector that is left as it was."""

import pytest
import torch

from exolight.models import Detector
from exolight.models.summary import summarise


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector({"name": "cs3darknet_focus_n"}, {"depth_multiple": 0.33, "width_multiple": 0.25}, ["exosome"])


def test_counts(detector: Detector) -> None:
    found = summarise(detector, 64)
    assert found.parameters == sum(p.numel() for p in detector.parameters())
    assert found.backbone == "cs3darknet_focus_n"
    convolutions = 0.0

    def count(module: torch.nn.Conv2d, _: object, out: torch.Tensor) -> None:
        nonlocal convolutions
        convolutions += 2 * out.numel() * module.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in detector.modules() if isinstance(m, torch.nn.Conv2d)]
    detector.eval()(torch.zeros(1, 1, 64, 64))
    for hook in hooks:
        hook.remove()
    assert found.gflops == pytest.approx(convolutions / 1e9, rel=1e-6)


def test_operations_grow_with_the_area(detector: Detector) -> None:
    assert summarise(detector, 128).gflops == pytest.approx(4 * summarise(detector, 64).gflops, rel=1e-3)


def test_mode_statistics_and_frozen_layers_are_left_as_they_were(detector: Detector) -> None:
    detector.train()
    detector.backbone.eval()
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    summarise(detector, 64)
    assert detector.training
    assert detector.neck.training
    assert not any(m.training for m in detector.backbone.modules())
    assert all(torch.equal(before[name], value) for name, value in detector.state_dict().items())


def test_it_reads_as_a_line(detector: Detector) -> None:
    text = str(summarise(detector, 64))
    assert "M parameters" in text
    assert "64 px" in text
    assert "\n" not in text
