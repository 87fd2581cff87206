"""What runs the network: PyTorch on any device, or ONNX Runtime or OpenVINO, which are faster on the CPU and give the same boxes."""

import copy
import hashlib
import importlib.util
import io
import json
import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import exolight
from exolight.checkpoint import in_short, weights_hash
from exolight.errors import InputError
from exolight.models.detector import Detector
from exolight.models.fusion import fuse

log = logging.getLogger(__name__)

FACTS = "exolight"  # the key, in an exported file, of the JSON that says what the file is
# How far a converted network may be from PyTorch's. Rounding alone comes to about 1e-4 px and 1e-6.
MAX_BOX_DIFFERENCE = 0.5  # px of the input
MAX_SCORE_DIFFERENCE = 0.01


class Network(Protocol):
    """A detector from pictures to candidates.

    ``(B, 1, H, W)`` uint8, H and W multiples of the coarsest stride, any of the three may change from call to call -> boxes (B, N, 4) float32 xyxy in px of the
    input, scores (B, N, C) float32 in [0, 1]. Several threads may call it at once; a call takes as many cores as PyTorch takes in that thread.
    """

    name: str

    def __call__(self, images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]: ...


class EndToEnd(nn.Module):
    """A detector and the way from bytes to boxes in one graph: (B, 1, H, W) uint8 -> boxes (B, N, 4) xyxy px, scores (B, N, C)."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        boxes, scores = self.detector.decode(self.detector(images.expand(-1, self.detector.in_chans, -1, -1)))
        return boxes, scores


class TorchNetwork:
    """PyTorch; the results stay on ``device``."""

    name = "torch"

    def __init__(self, detector: Detector, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._module = EndToEnd(fuse(detector)).to(self.device)

    @torch.inference_mode()
    def __call__(self, images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        boxes, scores = self._module(torch.from_numpy(np.ascontiguousarray(images)).to(self.device))  # flipped views have negative strides
        return boxes, scores


class OnnxNetwork:
    """ONNX Runtime.

    Args:
        model: an ONNX model, or the file that holds one.

    Attributes:
        facts: what the file says about itself; empty where it is none of exolight's.
    """

    name = "onnx"
    packages = ("onnxruntime", "onnx")
    suffix = ".onnx"

    def __init__(self, model: bytes | Path) -> None:
        self._session = PerThreads(lambda threads: self._open(model, threads))
        self.facts: dict[str, Any] = json.loads(self._session().get_modelmeta().custom_metadata_map.get(FACTS, "{}"))

    def __call__(self, images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        boxes, scores = self._session().run(None, {"images": images})
        return torch.from_numpy(boxes), torch.from_numpy(scores)

    @staticmethod
    def _open(model: bytes | Path, threads: int) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning threads take cores from whatever else runs, reading pictures say
        options.log_severity_level = 3  # errors
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class OpenVinoNetwork:
    """OpenVINO; arguments and attributes as ``OnnxNetwork``'s, the file being .xml with its .bin beside it, or .onnx."""

    name = "openvino"
    packages = ("openvino", "onnx")
    suffix = ".xml"

    def __init__(self, model: bytes | Path) -> None:
        core = import_openvino().Core()
        read = core.read_model(model)
        self.facts: dict[str, Any] = json.loads(read.get_rt_info([FACTS]).astype(str)) if read.has_rt_info([FACTS]) else {}
        cores = torch.get_num_threads()

        def compiled(threads: int) -> Any:
            streams = max(1, cores // threads)
            settings = {
                "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
                "NUM_STREAMS": streams,
                "INFERENCE_NUM_THREADS": streams * threads,
                "ENABLE_CPU_PINNING": False,  # beside another process a pinned thread waits for its core while another core is free
                "INFERENCE_PRECISION_HINT": "f32",  # it takes half precision by itself where the processor has it, and boxes move
            }
            return core.compile_model(read, "CPU", settings)

        self._compiled = PerThreads(compiled)

    def __call__(self, images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        results = self._compiled().create_infer_request().infer([images])  # a compiled model's own request is for one thread
        return torch.from_numpy(results["boxes"]), torch.from_numpy(results["scores"])


class PerThreads:
    """What is made for a number of threads, on demand: the one for as many as PyTorch uses in the thread that asks."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self._make, self._made, self._lock = make, dict[int, Any](), Lock()

    def __call__(self) -> Any:
        threads = torch.get_num_threads()
        with self._lock:
            if threads not in self._made:
                self._made[threads] = self._make(threads)
            return self._made[threads]


Runtime = OnnxNetwork | OpenVinoNetwork
# The faster first.
RUNTIMES: dict[str, type[Runtime]] = {"onnx": OnnxNetwork, "openvino": OpenVinoNetwork}
BACKENDS = ("auto", "torch", *RUNTIMES)


class Remembering:
    """A network that is asked the same more than once, and works once: answers are kept, as long as this object is."""

    def __init__(self, network: Network) -> None:
        self.name, self._network = network.name, network
        self._answers: dict[bytes, tuple[Tensor, Tensor]] = {}

    def __call__(self, images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """As the network's; ``images`` of equal bytes and shape are the same."""
        key = hashlib.blake2b(images.tobytes(), key=str(images.shape).encode()).digest()
        if key not in self._answers:
            self._answers[key] = self._network(images)
        return self._answers[key]


def choose_network(backend: str, detector: Detector, device: torch.device, checkpoint: Path | None = None) -> Network:
    """What runs ``detector`` on ``device``.

    ``auto`` is PyTorch on a GPU and the fastest installed runtime on the CPU, or PyTorch, with a warning, where that cannot run the network exactly.

    Args:
        backend: one of ``BACKENDS``.
        detector: stays as it is.
        device: where PyTorch is to run; the runtimes know the CPU only.
        checkpoint: the file it is from; a model that ``exolight.inference.export`` wrote beside it, of these very weights, saves converting.

    Raises:
        InputError: no such backend, it is not installed, not for this device, or it cannot run this network.
    """
    if backend not in BACKENDS:
        raise InputError(f"backend={backend}: there is no such one; it can be {', '.join(BACKENDS)}")
    if backend in RUNTIMES:
        if device.type != "cpu":
            raise InputError(f"backend={backend} runs on the CPU only, not on {device}: give device=cpu or backend=torch")
        check_installed(backend)
        return _runtime(RUNTIMES[backend], detector, checkpoint)
    fastest = next((runtime for runtime in RUNTIMES.values() if not missing_packages(runtime)), None)
    if backend == "auto" and device.type == "cpu" and fastest is not None:
        try:
            return _runtime(fastest, detector, checkpoint)
        except InputError as error:
            log.warning("%s; PyTorch is used, which is slower", error)
    return TorchNetwork(detector, device)


def check_installed(backend: str) -> None:
    """Raise ``InputError`` unless all that a runtime needs is installed."""
    missing = missing_packages(RUNTIMES[backend])
    if missing:
        raise InputError(f'backend={backend} needs {" and ".join(missing)}, not installed here: python -m pip install -e ".[export]" in the checkout')


def missing_packages(runtime: type[Runtime]) -> list[str]:
    """The packages that a runtime needs and that are not installed."""
    return [package for package in runtime.packages if importlib.util.find_spec(package) is None]


def _runtime(runtime: type[Runtime], detector: Detector, checkpoint: Path | None) -> Runtime:
    """From the file beside ``checkpoint`` where that holds the same weights, else converted now. Raises ``InputError`` where that fails."""
    exported = checkpoint.with_suffix(runtime.suffix) if checkpoint else None
    if exported and exported.is_file():
        try:
            network = runtime(exported)
        except Exception as error:  # of whatever kind: each runtime has its own
            log.warning("%s cannot be read (%s) and is not used: export it again", exported, in_short(error))
        else:
            if all(network.facts.get(key) == value for key, value in identity(detector).items()):
                return network
            log.warning("%s is not of the weights in %s, or of another version, and is not used: export it again", exported, checkpoint)
    return convert(runtime, detector)


def identity(detector: Detector) -> dict[str, Any]:
    """What an exported file has to say of itself to stand for ``detector``: the same weights, and the same code around them."""
    return {"weights_sha256": weights_hash(detector.state_dict()), "version": exolight.__version__}


def convert(runtime: type[Runtime], detector: Detector) -> Runtime:
    """``detector`` in ``runtime``, compared with PyTorch on pictures of another shape than it was recorded with.

    Raises:
        InputError: it cannot be converted, or is not exact.
    """
    try:
        network = runtime(to_onnx(detector))
        side = detector.strides[-1]
        boxes, scores = largest_differences(network, detector, random_pictures((3, 1, 3 * side, 2 * side)))
    except Exception as error:  # of whatever kind: exporter and runtimes have their own
        raise InputError(f"{detector.backbone.name} cannot be run with {runtime.name} ({in_short(error)}): choose backend=torch") from error
    if not (boxes <= MAX_BOX_DIFFERENCE and scores <= MAX_SCORE_DIFFERENCE):
        differences = f"boxes differ by {boxes:.3g} px, scores by {scores:.3g}"
        raise InputError(f"{detector.backbone.name} with {runtime.name} is not what it is with PyTorch ({differences}): choose backend=torch")
    return network


@torch.no_grad()
def to_onnx(detector: Detector) -> bytes:
    """An ONNX model of ``EndToEnd(detector)`` with ``images`` (batch, 1, height, width) and the outputs ``boxes`` and ``scores``; all but C is free."""
    side = detector.strides[-1]
    example = torch.zeros(2, 1, 2 * side, 3 * side, dtype=torch.uint8)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that recording is the older way (the newer takes 30 times as long) and knows no data-dependent branches
        torch.onnx.export(
            EndToEnd(fuse(detector)).cpu().eval(),
            (example,),
            buffer,  # type: ignore[arg-type]  # as this exporter has always taken
            input_names=["images"],
            output_names=["boxes", "scores"],
            dynamic_axes={"images": {0: "batch", 2: "height", 3: "width"}, "boxes": {0: "batch", 1: "candidates"}, "scores": {0: "batch", 1: "candidates"}},
            opset_version=17,
            dynamo=False,
        )
    return buffer.getvalue()


@torch.inference_mode()
def largest_differences(network: Network, detector: Detector, images: NDArray[np.uint8]) -> tuple[float, float]:
    """How far ``network``'s boxes (px) and scores are from those of ``detector``, unfused, in evaluation mode and on the CPU, on ``images`` (B, 1, H, W)."""
    expected = EndToEnd(copy.deepcopy(detector)).cpu().eval()(torch.from_numpy(images))
    boxes, scores = (float((one.cpu() - other).abs().max()) for one, other in zip(network(images), expected, strict=True))
    return boxes, scores


def random_pictures(shape: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """(B, 1, H, W): grain, the same at every call."""
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def import_openvino() -> Any:
    """The package ``openvino``, without its reports to its maker: it sends one whenever it is imported, unless the package that sends them is absent."""
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
