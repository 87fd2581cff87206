"""The head without anchors: shapes, its way to pixels by hand, its prior, and that it is one choice among heads."""

import math
from typing import Any

import pytest
import torch

from exolight.checkpoint import KEY
from exolight.errors import InputError
from exolight.inference.runtimes import EndToEnd
from exolight.models import Detector
from exolight.models.distribution_head import BINS, DistributionHead, cells, decode_boxes, score_logits, side_logits
from exolight.models.fusion import fuse
from exolight.training.initialisation import adapt_anchors, checkpoint_weights


def tiny(classes: int = 1, head: str = "distribution", **arguments: Any) -> Detector:
    torch.manual_seed(0)
    return Detector({"name": "lcnet_035"}, {}, [f"class {i}" for i in range(classes)], head=head, **arguments).eval()


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("strides", [(8, 16, 32), (8, 16, 32, 64)])
def test_shapes(classes: int, strides: tuple[int, ...]) -> None:
    detector = tiny(classes, strides=strides)
    with torch.inference_mode():
        raw = detector(torch.randint(0, 256, (2, 1, 64, 128), dtype=torch.uint8))
        boxes, scores = detector.decode(raw)
    count = sum((64 // s) * (128 // s) for s in strides)
    assert [tuple(level.shape) for level in raw] == [(2, 64 // s, 128 // s, 4 * BINS + classes) for s in strides]
    assert boxes.shape == (2, count, 4)
    assert scores.shape == (2, count, classes)
    assert (boxes[..., 2:] >= boxes[..., :2]).all()
    assert ((scores >= 0) & (scores <= 1)).all()
    assert detector.anchors.shape == (len(strides), 0, 2)


def test_decode_by_hand() -> None:
    """The cell at row 1, column 2 of the coarser of two levels, of strides 8 and 16: its centre is (40, 24)."""
    raw = [torch.zeros(1, 4, 6, 4 * BINS + 2), torch.zeros(1, 2, 3, 4 * BINS + 2)]
    sides = raw[1][0, 1, 2, : 4 * BINS].view(4, BINS)  # left, up, right, down
    sides[0, 2] = sides[2, 0] = sides[3, 15] = 100.0  # surely 2, 0 and 15 strides
    sides[1, [1, 4]] = 100.0  # 1 or 4 strides, equally likely
    raw[1][0, 1, 2, 4 * BINS :] = torch.tensor([0.0, math.log(3)])
    boxes, scores = DistributionHead([4, 4], [8, 16], 2).decode(raw)
    assert boxes.shape == (1, 4 * 6 + 2 * 3, 4)
    torch.testing.assert_close(boxes[0, -1], torch.tensor([40 - 2 * 16, 24 - 2.5 * 16, 40 + 0.0, 24 + 15 * 16]))
    torch.testing.assert_close(scores[0, -1], torch.tensor([0.5, 0.75]))
    # evenly likely distances have the mean 7.5: the first cell of the finer level, whose centre is (4, 4)
    torch.testing.assert_close(boxes[0, 0], torch.tensor([4 - 60.0, 4 - 60, 4 + 60, 4 + 60]))


def test_levels_are_joined_row_by_row() -> None:
    raw = [torch.randn(2, 2, 3, 4 * BINS + 1), torch.randn(2, 1, 2, 4 * BINS + 1)]
    centres, strides = cells(raw, [8, 16])
    assert centres.tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12], [8, 8], [24, 8]]
    assert strides.tolist() == [8] * 6 + [16] * 2
    assert torch.equal(score_logits(raw)[1, 4], raw[0][1, 1, 1, -1:])
    assert torch.equal(side_logits(raw)[1, 7, 2], raw[1][1, 0, 1, 2 * BINS : 3 * BINS])


def test_half_precision_numbers_are_decoded_in_full() -> None:
    raw = [torch.zeros(1, 2, 2, 4 * BINS + 1, dtype=torch.bfloat16)]
    assert decode_boxes(raw, [8]).dtype == score_logits(raw).dtype == torch.float32


def test_bias_prior() -> None:
    for classes in (1, 4):
        head = DistributionHead([8, 8], [8, 16], classes)
        for conv, stride in zip(head.classes, (8, 16), strict=True):
            assert conv.bias.tolist() == pytest.approx([math.log(5 / classes / (640 / stride) ** 2)] * classes)


def test_every_weight_learns() -> None:
    detector = tiny(2).train()
    sum(level.square().mean() for level in detector(torch.zeros(2, 1, 64, 64))).backward()
    assert [name for name, p in detector.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_its_description_builds_it_again() -> None:
    detector = tiny(2)
    again = Detector(**detector.config())
    again.load_state_dict(detector.state_dict())
    images = torch.randint(0, 256, (1, 1, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        for a, b in zip(detector.decode(detector(images)), again.eval().decode(again(images)), strict=True):
            assert torch.equal(a, b)


def test_impossible_heads_are_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"model\.head=dfl: it can be anchor or distribution"):
        tiny(head="dfl")
    with pytest.raises(InputError, match=r"model\.anchors: head=distribution has none"):
        tiny(anchors=[[[8, 8]], [[16, 16]], [[32, 32]]])


def test_its_batch_norms_are_folded_too() -> None:
    detector = tiny()
    for module in detector.head.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    fused = fuse(detector)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fused.head.modules())
    images = torch.randint(0, 256, (1, 1, 64, 96), dtype=torch.uint8)
    with torch.inference_mode():
        for a, b in zip(EndToEnd(detector)(images), EndToEnd(fused)(images), strict=True):
            torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-4)


def test_no_anchors_need_to_be_fitted() -> None:
    import numpy as np

    assert adapt_anchors(tiny(), np.array([[4000.0, 3.0]]), 0.98) == 1.0


def saved(detector: Detector, path: Any) -> str:
    torch.save({"state_dict": {f"detector.{name}": value for name, value in detector.state_dict().items()}, KEY: {"detector": detector.config()}}, path)
    return str(path)


def test_another_kind_of_head_is_left_random(tmp_path: Any) -> None:
    """Weights of like names and other meanings (both have head.boxes and head.classes) are not taken over."""
    source = tiny(3, head="anchor")
    for parameter in source.parameters():
        parameter.data.fill_(0.25)
    target = tiny(3)
    before = {name: value.clone() for name, value in target.head.state_dict().items()}
    checkpoint_weights(target, saved(source, tmp_path / "anchor.ckpt"))
    assert all(torch.equal(value, before[name]) for name, value in target.head.state_dict().items())
    assert all((parameter == 0.25).all() for parameter in target.neck.parameters())


def test_one_class_keeps_its_scores_under_another_name(tmp_path: Any) -> None:
    source = tiny()
    source.class_names = ["vesicle"]
    for conv in source.head.classes:
        conv.weight.data.fill_(0.5)
    target = tiny()
    checkpoint_weights(target, saved(source, tmp_path / "one.ckpt"))
    assert all((conv.weight == 0.5).all() for conv in target.head.classes)


def test_shared_classes_keep_their_scores(tmp_path: Any) -> None:
    source = tiny(3)
    for conv in source.head.classes:
        conv.weight.data.copy_(torch.arange(3.0)[:, None, None, None].expand_as(conv.weight))
    target = tiny(2)
    target.class_names = ["class 2", "new"]
    checkpoint_weights(target, saved(source, tmp_path / "three.ckpt"))
    assert all((conv.weight[0] == 2).all() and not (conv.weight[1] == conv.weight[1, 0]).all() for conv in target.head.classes)
