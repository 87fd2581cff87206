"""Fused detectors give what the detectors give, over the ways in which timm's networks are written."""

import pytest
import timm
import torch
from torch import Tensor, nn

from exolight.models.detector import Detector
from exolight.models.fusion import fold, fuse


def lively(name: str, **arguments: object) -> Detector:
    """A detector with random weights, whose BatchNorms have seen pictures and scale and shift."""
    torch.manual_seed(0)
    detector = Detector({"name": name}, {}, ["exosome"], **arguments)  # type: ignore[arg-type]
    for norm in batch_norms(detector):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0, 0.2)
        norm.momentum = 0.5
    with torch.no_grad():
        for _ in range(4):
            detector(pictures(4, 64, 64, detector.in_chans))
    return detector.eval()


def pictures(batch: int, height: int, width: int, channels: int = 1) -> Tensor:
    return torch.randint(0, 256, (batch, channels, height, width), dtype=torch.uint8)


def batch_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("cs3darknet_focus_n", {"strides": (8, 16, 32, 64)}),
        ("mobilenetv3_small_050", {"in_chans": 3}),
        ("lcnet_050", {}),
        ("resnet10t", {}),
        ("tf_mobilenetv3_small_minimal_100", {}),  # padding of TensorFlow's
    ],
)
def test_fused_is_unfused(name: str, arguments: dict[str, object]) -> None:
    detector = lively(name, **arguments)
    fused = fuse(detector)
    assert batch_norms(detector)
    assert not batch_norms(fused)
    assert not fused.training
    assert not any(parameter.requires_grad for parameter in fused.parameters())
    images = pictures(2, 128, 192, detector.in_chans)
    with torch.inference_mode():
        raw = detector(images)
        assert raw[0].std() > 0.01  # it does say something about the picture
        for a, b in zip(raw, fused(images), strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    wide = [module.weight for module in fused.modules() if isinstance(module, nn.Conv2d) and module.weight.shape[1] > 1 and module.kernel_size[0] > 1]
    assert wide
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in wide)


def test_the_detector_itself_stays_as_it_is() -> None:
    detector = lively("lcnet_050").train()
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    fuse(detector)
    assert detector.training
    assert all(parameter.requires_grad for parameter in detector.parameters())
    assert all(torch.equal(before[name], value) for name, value in detector.state_dict().items())


def test_fusing_again_changes_nothing() -> None:
    once = fuse(lively("lcnet_050"))
    twice = fuse(once)
    assert all(torch.equal(value, twice.state_dict()[name]) for name, value in once.state_dict().items())


def test_a_network_for_one_size_of_pictures_keeps_its_backbone() -> None:
    torch.manual_seed(0)
    fused = fuse(Detector({"name": "swin_tiny_patch4_window7_224", "options": {"depths": (1, 1, 1, 1)}}, {}, ["exosome"]))
    assert not batch_norms(fused)  # those of the neck


class Unsure(nn.Module):
    """One pair that is sure, and all that is not: an output that is read twice, is returned, or is of a convolution or a BatchNorm used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(5))
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(5))
        self.standardised = timm.layers.StdConv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> list[Tensor]:
        sure = self.norms[0](self.convs[0](x))
        twice = self.convs[1](sure)
        x = self.norms[1](twice) + twice
        returned = self.convs[2](x)
        x = self.norms[2](returned)
        x = self.norms[3](self.convs[3](self.convs[3](x)))
        x = self.norms[4](self.norms[4](self.convs[4](x)))
        return [self.norm(self.standardised(x)), returned]


def test_only_sure_pairs_are_folded() -> None:
    torch.manual_seed(0)
    network, x = Unsure(), torch.randn(8, 4, 3, 3)
    network(x)
    network.eval()
    before = network(x)
    fold(network, x)
    assert [type(norm) is nn.Identity for norm in network.norms] == [True, False, False, False, False]
    assert isinstance(network.norm, nn.BatchNorm2d)
    for a, b in zip(before, network(x), strict=True):
        torch.testing.assert_close(a, b)


def test_a_batch_norm_that_somebody_watches_stays() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)).eval()
    network[1].register_forward_hook(lambda *_: None)
    fold(network, torch.zeros(1, 4, 3, 3))
    assert isinstance(network[1], nn.BatchNorm2d)
