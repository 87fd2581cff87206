"""Backbones: any timm network by name, with the channels and strides it claims, and pretrained colour filters summed for grey pictures."""

from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor

from exolight.errors import InputError
from exolight.models.backbone import Backbone

NAMES = ["cs3darknet_focus_n", "cs3darknet_focus_s.ra4_e3600_r256_in1k", "mobilenetv3_small_050", "resnet10t"]


@pytest.mark.parametrize("in_chans", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_features_have_the_shapes_they_claim(name: str, in_chans: int) -> None:
    backbone = Backbone(name, in_chans).eval()
    assert backbone.strides == [8, 16, 32]
    features = backbone(torch.zeros(2, in_chans, 64, 96))
    assert [tuple(f.shape) for f in features] == [(2, c, 64 // s, 96 // s) for c, s in zip(backbone.channels, (8, 16, 32), strict=True)]


@pytest.mark.parametrize(("strides", "expected"), [((4, 8, 16, 32), [4, 8, 16, 32]), ((8, 16, 32, 64), [8, 16, 32]), ((16, 32), [16, 32])])
def test_strides_that_the_network_lacks_are_left_to_the_neck(strides: tuple[int, ...], expected: list[int]) -> None:
    assert Backbone("cs3darknet_focus_n", strides=strides).strides == expected


def test_of_several_features_at_a_stride_the_deepest_is_taken() -> None:
    assert Backbone("vit_tiny_patch16_224", strides=(16,)).out_indices == [11]


def test_widths_are_halved_from_size_to_size() -> None:
    tiny, narrow, small = (Backbone(f"cs3darknet_focus_{size}") for size in "tns")
    assert tiny.channels == [32, 64, 128]
    assert narrow.channels == [64, 128, 256]
    assert small.channels == [128, 256, 512]


def test_windowed_transformers_give_channels_first_too() -> None:
    backbone = Backbone("swin_tiny_patch4_window7_224", options={"img_size": 64, "depths": (1, 1, 1, 1)}).eval()
    assert [tuple(f.shape) for f in backbone(torch.zeros(1, 1, 64, 64))] == [(1, 192, 8, 8), (1, 384, 4, 4), (1, 768, 2, 2)]


@pytest.mark.parametrize(
    ("name", "said"),
    [("cs3darknet_focus_q", "cs3darknet_focus_"), ("resnet10", "resnet10t"), ("qqqq", "none"), ("resnet10t.nope", "c3_in1k"),
     ("vit_tiny_patch16_224", r"at strides \[16\], not at \[8\]")],
)  # fmt: skip
def test_wrong_name_names_the_right_ones(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        Backbone(name)
    assert f"model.backbone.name={name}" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_statistics_are_those_of_the_weights() -> None:
    assert Backbone("cs3darknet_focus_s").mean == Backbone("cs3darknet_focus_s").std == [0.5]
    grey = Backbone("resnet10t.c3_in1k")
    assert grey.mean == pytest.approx([(0.485 + 0.456 + 0.406) / 3])
    assert grey.std == pytest.approx([(0.229 + 0.224 + 0.225) / 3])
    assert Backbone("resnet10t.c3_in1k", in_chans=3).mean == pytest.approx([0.485, 0.456, 0.406])


def test_statistics_of_cs3darknet_m_are_imagenets() -> None:
    assert Backbone("cs3darknet_m.c2ns_in1k").mean == pytest.approx([(0.485 + 0.456 + 0.406) / 3])


def test_batch_norm_follows_the_published_design() -> None:
    norms = [m for m in Backbone("resnet10t").modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert all(norm.momentum == 0.03 for norm in norms)


def published(name: str, file: Path) -> dict[str, Tensor]:
    """Weights of the whole network for colour pictures, as timm publishes them."""
    torch.manual_seed(1)
    weights = timm.create_model(name, in_chans=3).state_dict()
    if file.suffix == ".safetensors":
        safetensors.torch.save_file(weights, file)
    else:
        torch.save(weights, file)
    return weights


@pytest.mark.parametrize(
    ("name", "file"), [("cs3darknet_focus_n", "a.safetensors"), ("cs3darknet_focus_s.ra4_e3600_r256_in1k", "b.pth"), ("mobilenetv3_small_050", "c.safetensors")]
)
def test_pretrained_stem_is_summed_over_colours_and_all_else_is_taken_over(name: str, file: str, tmp_path: Path) -> None:
    weights = published(name, tmp_path / file)
    torch.manual_seed(2)
    backbone = Backbone(name)
    assert backbone.load_pretrained(tmp_path / file) == str(tmp_path / file)
    own = backbone.body.state_dict()
    compared = 0
    # Feature networks call "stages.0" "stages_0"; the first tensors of both are the stem's.
    plain = {key.replace(".", "_"): value for key, value in weights.items()}
    for key, value in own.items():
        source = plain[key.replace(".", "_")]
        if value.shape != source.shape:
            torch.testing.assert_close(value, source.sum(dim=1, keepdim=True))
            compared += 1
        else:
            assert torch.equal(value, source), key
    assert compared == 1


def test_grey_network_sees_a_grey_picture_as_the_colour_network_does(tmp_path: Path) -> None:
    published("resnet10t", tmp_path / "w.pth")
    grey, colour = Backbone("resnet10t").eval(), Backbone("resnet10t", in_chans=3).eval()
    grey.load_pretrained(tmp_path / "w.pth")
    colour.load_pretrained(tmp_path / "w.pth")
    picture = torch.randn(1, 1, 64, 96)
    for a, b in zip(grey(picture), colour(picture.expand(-1, 3, -1, -1)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def test_loading_keeps_momentum_and_network(tmp_path: Path) -> None:
    published("cs3darknet_focus_n", tmp_path / "w.pth")
    backbone = Backbone("cs3darknet_focus_n", strides=(4, 8, 16, 32))
    body = backbone.body
    backbone.load_pretrained(tmp_path / "w.pth")
    assert backbone.body is body
    assert all(m.momentum == 0.03 for m in body.modules() if isinstance(m, torch.nn.BatchNorm2d))


def test_where_none_are_published_it_raises() -> None:
    with pytest.raises(LookupError):
        Backbone("cs3darknet_focus_n").load_pretrained()
