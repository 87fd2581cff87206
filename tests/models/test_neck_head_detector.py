"""The detector: shapes over strides, batches and dtypes, its way back to pixels, its prior, and its own description."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exolight.errors import InputError
from exolight.models import Detector
from exolight.models.head import AnchorHead
from exolight.models.layers import C3, SPPF, Conv
from exolight.models.neck import PanFpn, level_channels

TINY: dict[str, Any] = {"backbone": {"name": "cs3darknet_focus_n"}, "neck": {"depth_multiple": 0.33, "width_multiple": 0.25}}


def tiny(strides: tuple[int, ...] = (8, 16, 32), classes: int = 1, **arguments: Any) -> Detector:
    torch.manual_seed(0)
    return Detector(**TINY, class_names=[f"class {i}" for i in range(classes)], strides=strides, **arguments).eval()


def pictures(batch: int, height: int, width: int, channels: int = 1, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (batch, channels, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("strides", [(8, 16, 32), (4, 8, 16, 32), (8, 16, 32, 64), (16, 32), (4, 8, 16, 32, 64)])
def test_shapes(strides: tuple[int, ...], classes: int) -> None:
    detector = tiny(strides, classes)
    with torch.inference_mode():
        raw = detector(pictures(2, 64, 128))
        boxes, scores = detector.decode(raw)
    numbers = 5 + (classes if classes > 1 else 0)
    assert [tuple(r.shape) for r in raw] == [(2, 64 // s, 128 // s, 3, numbers) for s in strides]
    count = sum(3 * (64 // s) * (128 // s) for s in strides)
    assert boxes.shape == (2, count, 4)
    assert scores.shape == (2, count, classes)
    assert boxes.isfinite().all()
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (boxes[..., 2:] >= boxes[..., :2]).all()


@pytest.mark.parametrize(
    ("name", "depth", "width", "million"),
    # The published sizes of YOLOv5 n, s, m are 1.9, 7.2, 21.2 M with its own backbone.
    [("cs3darknet_focus_n", 0.33, 0.25, (1.2, 2.0)), ("cs3darknet_focus_s", 0.33, 0.5, (5.5, 8.0)), ("cs3darknet_m", 0.67, 0.75, (15, 23))],
)
def test_sizes_of_the_models(name: str, depth: float, width: float, million: tuple[float, float]) -> None:
    with torch.device("meta"):
        neck = PanFpn([int(c * width) for c in (256, 512, 1024)], [8, 16, 32], depth_multiple=depth, width_multiple=width)
    assert neck.channels == [int(c * width) for c in (256, 512, 1024)]
    if name == "cs3darknet_m":
        return  # its construction takes seconds
    detector = Detector({"name": name}, {"depth_multiple": depth, "width_multiple": width}, ["exosome"])
    count = sum(p.numel() for p in detector.parameters()) / 1e6
    assert million[0] < count < million[1]


def test_level_widths_by_hand() -> None:
    assert [level_channels(s, 1.25) for s in (4, 8, 16, 32, 64)] == [160, 320, 640, 1280, 1280]
    assert [level_channels(s, 0.25) for s in (8, 16, 32)] == [64, 128, 256]
    assert level_channels(4, 0.01) == 8


@pytest.mark.parametrize("strides", [(8, 16, 32), (4, 8, 16, 32, 64)])
def test_batch_is_its_pictures_one_by_one(strides: tuple[int, ...]) -> None:
    detector, images = tiny(strides), pictures(3, 64, 128)
    with torch.inference_mode():
        together = detector(images)
        for i in range(3):
            for whole, one in zip(together, detector(images[i : i + 1]), strict=True):
                torch.testing.assert_close(whole[i : i + 1], one, atol=1e-4, rtol=1e-4)


def test_bytes_and_floats_agree() -> None:
    detector, images = tiny(), pictures(1, 64, 96)
    with torch.inference_mode():
        for a, b in zip(detector(images), detector(images.float()), strict=True):
            assert torch.equal(a, b)


def test_pictures_are_normalised_by_its_own_statistics() -> None:
    seen: list[Tensor] = []
    detector = tiny(mean=[0.2], std=[0.4])
    detector.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    detector(torch.full((1, 1, 64, 64), 255, dtype=torch.uint8))
    torch.testing.assert_close(seen[0], torch.full((1, 1, 64, 64), 2.0))
    assert tiny().mean.flatten().tolist() == [0.5]
    colour = tiny(in_chans=3, mean=[0.1, 0.2, 0.3], std=[1, 1, 1])
    colour.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    colour(pictures(1, 64, 64, 3).zero_())
    torch.testing.assert_close(seen[-1][0, :, 0, 0], torch.tensor([-0.1, -0.2, -0.3]))


@pytest.mark.parametrize("arguments", [{}, {"strides": (4, 8, 16, 32), "classes": 2}, {"in_chans": 3}, {"anchors": [[[5, 7]], [[20, 30]], [[60, 70]]]}])
def test_its_description_builds_it_again(arguments: dict[str, Any]) -> None:
    detector = tiny(**arguments)
    detector.head.anchors.mul_(1.1)
    again = Detector(**detector.config())
    again.load_state_dict(detector.state_dict())
    again.eval()
    assert again.config() == detector.config()
    images = pictures(1, 64, 64, detector.in_chans)
    with torch.inference_mode():
        for a, b in zip(detector.decode(detector(images)), again.decode(again(images)), strict=True):
            assert torch.equal(a, b)


def test_description_is_plain_and_its_own() -> None:
    detector = tiny()
    config = detector.config()
    config["backbone"]["options"]["drop_path_rate"] = 0.1
    config["neck"].clear()
    config["strides"].append(64)
    assert detector.config() != config
    assert set(map(type, detector.config().values())) == {dict, list, int, str}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"strides": (8, 16, 64)}, "strides"), ({"strides": (8,)}, "strides"), ({"strides": (32, 16, 8)}, "strides"),
     ({"in_chans": 2}, "in_chans"), ({"classes": 0}, "class name")],
)  # fmt: skip
def test_impossible_arguments_are_refused_by_name(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        tiny(**arguments)


def test_decode_by_hand() -> None:
    """One cell of a grid of 2 x 3 (height x width) on stride 8, anchor 1 of 2: x from the column and the width, y from the row and the height."""
    head = AnchorHead([4, 4], [8, 16], [[[10, 20], [30, 12]], [[40, 40], [50, 50]]], num_classes=2)
    fine, coarse = torch.full((1, 2, 3, 2, 7), -20.0), torch.full((1, 1, 2, 2, 7), -20.0)
    fine[0, 1, 2, 1] = torch.tensor([0.0, math.log(3), 0, math.log(1 / 3), 0, math.log(3), -math.log(3)])
    boxes, scores = head.decode([fine, coarse])
    row = (1 * 3 + 2) * 2 + 1
    # sigmoid 1/2, 3/4, 1/2, 1/4: centre ((1 - .5 + 2) 8, (1.5 - .5 + 1) 8), size (1 * 30, 1/4 * 12)
    torch.testing.assert_close(boxes[0, row], torch.tensor([20 - 15, 16 - 1.5, 20 + 15, 16 + 1.5]))
    torch.testing.assert_close(scores[0, row], torch.tensor([0.5 * 0.75, 0.5 * 0.25]))
    assert boxes.shape == (1, 2 * 3 * 2 + 1 * 2 * 2, 4)
    assert (scores.sum(dim=2) > 1e-6).sum() == 1
    # sigmoid 0 everywhere else: the cell's corner less half a cell
    torch.testing.assert_close(boxes[0, -1], torch.tensor([8.0, -8, 8, -8]), atol=1e-4, rtol=0)


def test_one_class_is_scored_by_objectness_alone() -> None:
    head = AnchorHead([4, 4], [8, 16], [[[10, 20]], [[40, 40]]], num_classes=1)
    raw = [torch.zeros(1, 1, 1, 1, 5), torch.zeros(1, 1, 1, 1, 5)]
    raw[0][..., 4] = math.log(4)
    torch.testing.assert_close(head.decode(raw)[1][0, :, 0], torch.tensor([0.8, 0.5]))


def test_half_precision_numbers_are_decoded_in_full() -> None:
    """Half a pixel is lost beyond 1024 px in half precision."""
    detector = tiny()
    raw = [r.to(torch.bfloat16) for r in detector(pictures(1, 64, 64))]
    assert all(t.dtype == torch.float32 for t in detector.decode(raw))


def test_bias_prior() -> None:
    """8 objects in a picture of 640 px, evenly likely classes; convolutions begin with biases of up to 1 / sqrt(channels) around."""
    torch.manual_seed(0)
    head = AnchorHead([64, 128, 256], [8, 16, 32], [[[1, 1]] * 3] * 3, num_classes=4)
    for conv, stride, channels in zip(head.boxes, (8, 16, 32), (64, 128, 256), strict=True):
        prior = conv.bias.detach().view(3, 5)
        assert prior[:, 4] == pytest.approx([math.log(8 / (640 / stride) ** 2)] * 3, abs=1 / math.sqrt(channels))
        assert prior[:, :4].abs().max() <= 1 / math.sqrt(channels)
    assert all(conv.bias.mean().item() == pytest.approx(math.log(0.6 / 3.00001), abs=0.1) for conv in head.classes)


def test_head_keeps_box_weights_apart_from_classes() -> None:
    """Other classes leave every box weight in place: transfer learning takes them over by name."""
    one, many = tiny(classes=1).state_dict(), tiny(classes=5).state_dict()
    assert all(many[name].shape == value.shape for name, value in one.items())
    assert all(name.startswith("head.classes") for name in many.keys() - one.keys())


def test_layers_by_hand() -> None:
    conv = Conv(3, 8, 3, 2)
    assert conv(torch.zeros(1, 3, 10, 14)).shape == (1, 8, 5, 7)
    assert conv[0].bias is None
    assert (conv[1].eps, conv[1].momentum) == (1e-3, 0.03)
    assert isinstance(conv[2], nn.SiLU)
    assert len(C3(8, 16, depth=3).blocks) == 3
    pooled = SPPF(8, 12).eval()
    assert pooled(torch.randn(1, 8, 9, 5)).shape == (1, 12, 9, 5)


def test_pyramid_pooling_sees_six_cells_around() -> None:
    """Three 5 x 5 pools: 13 cells across, the same in x and y, and nothing farther."""
    pooled = SPPF(2, 2).eval()
    x = torch.zeros(1, 2, 21, 27)
    bright = x.clone()
    bright[:, :, 10, 13] = 50
    with torch.inference_mode():
        changed = (pooled(bright) - pooled(x)).abs().amax(dim=(0, 1)) > 0
    rows, columns = changed.nonzero().unbind(dim=1)
    assert rows.min() >= 4
    assert rows.max() <= 16
    assert columns.min() >= 7
    assert columns.max() <= 19


def test_every_weight_learns() -> None:
    detector = tiny((4, 8, 16, 32, 64), classes=2).train()
    sum(r.square().mean() for r in detector(pictures(2, 128, 64))).backward()
    missing = [name for name, p in detector.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    # What lies behind the last feature that is asked for is no part of the detector.
    assert missing == []
