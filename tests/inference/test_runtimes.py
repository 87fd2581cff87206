"""Every runtime gives PyTorch's boxes on real pictures; the right one is chosen, and what is missing is said in one line."""

import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from exolight.errors import InputError
from exolight.inference import runtimes
from exolight.inference.runtimes import (
    EndToEnd,
    Network,
    OnnxNetwork,
    OpenVinoNetwork,
    PerThreads,
    Remembering,
    TorchNetwork,
    choose_network,
    convert,
    import_openvino,
    largest_differences,
    random_pictures,
)
from exolight.micrograph import read_micrograph
from exolight.models.detector import Detector
from exolight.preprocessing import normalise, place

CPU = torch.device("cpu")


def lively(
    images: NDArray[np.uint8], name: str = "cs3darknet_focus_n", in_chans: int = 1, class_names: tuple[str, ...] = ("exosome",), head: str = "anchor"
) -> Detector:
    """A detector with random weights that says something else about every place of a picture: its BatchNorms have seen ``images``, its head is loud."""
    torch.manual_seed(0)
    detector = Detector({"name": name}, {}, class_names, in_chans, head=head)
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.5
    with torch.no_grad():
        for _ in range(4):
            detector(torch.from_numpy(images).expand(-1, in_chans, -1, -1))
        for conv in (module for module in detector.head.modules() if isinstance(module, nn.Conv2d) and module.bias is not None):
            conv.weight.mul_(10)
            conv.bias.zero_()
    return detector.eval()


@pytest.fixture(scope="module")
def fields(real_data: Path) -> NDArray[np.uint8]:
    """(4, 1, 192, 192): real pictures as the network sees them."""
    paths = sorted((real_data / "emps" / "images").glob("*.png"))[:4]
    return np.stack([place(normalise(read_micrograph(path).pixels), 192)[0][None] for path in paths])


@pytest.fixture(scope="module")
def detector(fields: NDArray[np.uint8]) -> Detector:
    return lively(fields)


@pytest.fixture(scope="module")
def networks(detector: Detector) -> list[Network]:
    return in_all(detector)


def in_all(detector: Detector) -> list[Network]:
    return [TorchNetwork(detector), convert(OnnxNetwork, detector), convert(OpenVinoNetwork, detector)]


def test_what_was_asked_before_is_answered_from_memory() -> None:
    asked: list[tuple[int, ...]] = []

    class Network:
        name = "torch"

        def __call__(self, images: NDArray[np.uint8]) -> tuple[torch.Tensor, torch.Tensor]:
            asked.append(images.shape)
            return torch.from_numpy(images.sum(keepdims=True).astype(np.float32)), torch.ones(1)

    network = Remembering(Network())
    zeros = np.zeros((1, 1, 32, 64), np.uint8)
    other = zeros.copy()
    other[0, 0, 31, 63] = 7
    answers = [float(network(images)[0]) for images in (zeros, other, zeros.copy(), zeros.reshape(1, 1, 64, 32), other)]
    assert answers == [0, 7, 0, 0, 7]
    assert asked == [(1, 1, 32, 64), (1, 1, 32, 64), (1, 1, 64, 32)]
    assert network.name == "torch"


@pytest.mark.parametrize(
    ("name", "in_chans", "class_names", "head"),
    [
        ("cs3darknet_focus_n", 1, ("exosome",), "anchor"),
        ("mobilenetv3_small_050", 3, ("exosome", "liposome", "virus"), "anchor"),
        ("cs3darknet_focus_t", 1, ("exosome", "virus"), "distribution"),
    ],
)
def test_every_runtime_is_pytorch(fields: NDArray[np.uint8], name: str, in_chans: int, class_names: tuple[str, ...], head: str) -> None:
    detector = lively(fields, name, in_chans, class_names, head)
    for network in in_all(detector):
        for images in (fields, fields[:1, :, :128], fields[1:3, :, 32:128, :64], fields[:, :, :, 64:]):  # one network, any shapes in a row
            with torch.inference_mode():
                expected = EndToEnd(detector)(torch.from_numpy(images))
            found = network(images)
            assert expected[1].std() > 0.05
            assert [tensor.dtype for tensor in found] == [torch.float32, torch.float32]
            for a, b, tolerance in zip(found, expected, (1e-2, 1e-4), strict=True):  # px, scores
                torch.testing.assert_close(a, b, atol=tolerance, rtol=0)


def test_results_outlive_the_next_call(fields: NDArray[np.uint8], networks: list[Network]) -> None:
    for network in networks:
        first = network(fields[:1])
        copies = [tensor.clone() for tensor in first]
        network(fields[1:2])
        assert all(torch.equal(a, b) for a, b in zip(first, copies, strict=True))


def test_pictures_that_are_views_of_others(fields: NDArray[np.uint8], networks: list[Network]) -> None:
    view = fields[::2, :, ::-1, 64:]
    for network in networks:
        for a, b in zip(network(view), network(np.ascontiguousarray(view)), strict=True):
            torch.testing.assert_close(a, b)


def small() -> Detector:
    torch.manual_seed(0)
    return Detector({"name": "lcnet_035"}, {}, ["exosome"]).eval()


def test_many_threads_with_a_core_each_are_answered_alike(networks: list[Network], fields: NDArray[np.uint8]) -> None:
    pictures = [fields[number : number + 1] for number in range(len(fields))]
    for network in networks:
        alone = [network(images) for images in pictures]
        with ThreadPoolExecutor(4, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for _ in range(5):
                for (boxes, scores), (expected_boxes, expected_scores) in zip(pool.map(network, pictures), alone, strict=True):
                    np.testing.assert_allclose(boxes, expected_boxes, atol=0.01)
                    np.testing.assert_allclose(scores, expected_scores, atol=1e-4)


def test_what_is_made_for_a_number_of_threads_is_made_once() -> None:
    made: list[int] = []
    of_this_thread = PerThreads(lambda threads: made.append(threads) or threads)
    cores = torch.get_num_threads()
    with ThreadPoolExecutor(3, initializer=torch.set_num_threads, initargs=(cores + 1,)) as pool:
        assert set(pool.map(lambda _: of_this_thread(), range(9))) == {cores + 1}
    assert of_this_thread() == of_this_thread() == cores
    assert made == [cores + 1, cores]


@pytest.mark.parametrize(("backend", "kind"), [("torch", TorchNetwork), ("onnx", OnnxNetwork), ("openvino", OpenVinoNetwork)])
def test_what_is_asked_for_is_what_runs(backend: str, kind: type) -> None:
    detector = small().train()
    network = choose_network(backend, detector, CPU)
    assert detector.training  # it stays as it is
    assert isinstance(network, kind)
    assert network.name == backend


def test_auto_is_the_fastest_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(runtimes, "convert", lambda runtime, detector: seen.append(runtime.name))
    choose_network("auto", small(), CPU)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    choose_network("auto", small(), CPU)
    assert seen == ["onnx", "openvino"]
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert choose_network("auto", small(), CPU).name == "torch"


def test_auto_on_a_gpu_is_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "TorchNetwork", lambda detector, device: device)
    assert choose_network("auto", small(), torch.device("cuda")) == torch.device("cuda")


def test_auto_does_without_a_runtime_that_cannot_run_the_network(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fails(detector: Detector) -> bytes:
        raise RuntimeError("no such\noperator")

    monkeypatch.setattr(runtimes, "to_onnx", fails)
    with caplog.at_level(logging.WARNING):
        assert choose_network("auto", small(), CPU).name == "torch"
    assert "lcnet_035 cannot be run with onnx (no such operator)" in caplog.text
    with pytest.raises(InputError, match=r"openvino \(no such operator\): choose backend=torch"):
        choose_network("openvino", small(), CPU)


def test_a_network_that_is_not_exact_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = lively(random_pictures((1, 1, 64, 64)), "lcnet_035")
    right = runtimes.to_onnx
    monkeypatch.setattr(runtimes, "to_onnx", lambda detector: right(other))
    with pytest.raises(InputError, match="is not what it is with PyTorch"):
        choose_network("onnx", small(), CPU)


def test_not_a_number_is_not_exact() -> None:
    def broken(images: NDArray[np.uint8]) -> tuple[torch.Tensor, torch.Tensor]:
        boxes, scores = EndToEnd(small())(torch.from_numpy(images))
        return boxes * float("nan"), scores

    boxes, _ = largest_differences(broken, small(), random_pictures((1, 1, 64, 64)))  # type: ignore[arg-type]
    assert not boxes <= runtimes.MAX_BOX_DIFFERENCE


@pytest.mark.parametrize(
    ("backend", "device", "said"),
    [
        ("tensorrt", "cpu", "backend=tensorrt: there is no such one; it can be auto, torch, onnx, openvino"),
        ("onnx", "cuda", "backend=onnx runs on the CPU only, not on cuda: give device=cpu or backend=torch"),
        ("openvino", "cuda:1", "backend=openvino runs on the CPU only, not on cuda:1"),
    ],
)
def test_impossible_choices(backend: str, device: str, said: str) -> None:
    with pytest.raises(InputError) as raised:
        choose_network(backend, small(), torch.device(device))
    assert said in str(raised.value)


@pytest.mark.parametrize(("backend", "package"), [("onnx", "onnxruntime"), ("onnx", "onnx"), ("openvino", "openvino")])
def test_a_missing_package_is_named(backend: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError) as raised:
        choose_network(backend, small(), CPU)
    assert str(raised.value) == f'backend={backend} needs {package}, not installed here: python -m pip install -e ".[export]" in the checkout'


def test_openvino_reports_to_nobody() -> None:
    import_openvino()
    assert sys.modules["openvino_telemetry"] is None
