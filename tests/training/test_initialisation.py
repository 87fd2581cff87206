"""Where first weights come from: what is taken, what is dropped, and that it is said."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import huggingface_hub.utils
import numpy as np
import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from exolight.checkpoint import KEY, PREFIX, load_detector, slim, write_atomically
from exolight.errors import InputError
from exolight.models import Detector
from exolight.models.anchors import best_possible_recall
from exolight.models.backbone import impatient_hub
from exolight.training.initialisation import adapt_anchors, checkpoint_weights, imagenet_weights, random_weights, simulated_weights

PUBLISHED = "cs3darknet_focus_s.ra4_e3600_r256_in1k"


def make(classes: Sequence[str] = ("a",), name: str = "cs3darknet_focus_n", seed: int = 0, **options: Any) -> Detector:
    torch.manual_seed(seed)
    return Detector({"name": name}, {"depth_multiple": 0.33, "width_multiple": 0.25}, classes, **options)


def written(detector: Detector, path: Path) -> str:
    state = {f"{PREFIX}{name}": value for name, value in detector.state_dict().items()}
    write_atomically({KEY: {"detector": detector.config(), "image_size": 64}, "state_dict": state}, path)
    return str(path)


def copied(detector: Detector) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in detector.state_dict().items()}


# Random and ImageNet ------------------------------------------------------------------------------------------------------------------------------------------


def test_random_leaves_the_weights() -> None:
    detector = make()
    before = copied(detector)
    assert random_weights(detector) == {"init": "random"}
    assert all(torch.equal(value, before[name]) for name, value in detector.state_dict().items())


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As HF_HUB_OFFLINE=1 with an empty cache."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


@pytest.mark.usefixtures("offline")
def test_auto_goes_on_from_random_weights_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    detector = make(name=PUBLISHED)
    before = copied(detector)
    record = imagenet_weights(detector, required=False)
    assert record["init"] == "random"
    assert PUBLISHED in record["init_reason"]
    assert all(torch.equal(value, before[name]) for name, value in detector.state_dict().items())
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING and "exolight" in r.name]
    assert any("NO PRETRAINED WEIGHTS" in text and "RANDOM" in text for text in warnings)
    assert any("With internet once" in text for text in warnings)
    assert sum(text == "!" * 100 for text in warnings) == 2


@pytest.mark.usefixtures("offline")
def test_imagenet_insists() -> None:
    with pytest.raises(InputError, match=r"init\.file") as caught:
        imagenet_weights(make(name=PUBLISHED), required=True)
    assert "\n" not in str(caught.value)


def test_weights_that_nobody_has_published_are_not_looked_for(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(huggingface_hub.utils, "get_session", lambda: pytest.fail("the hub was asked"))
    record = imagenet_weights(make(), required=False)
    assert "none are published" in record["init_reason"]
    assert "With internet" not in caplog.text
    with pytest.raises(InputError, match="none are published"):
        imagenet_weights(make(), required=True)


class Session:
    """Of the hub's client, with or without an answer."""

    def __init__(self, error: Exception | None) -> None:
        self.error, self.asked = error, 0

    def head(self, url: str, timeout: float) -> None:
        assert url == constants.ENDPOINT
        assert timeout <= 10
        self.asked += 1
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("reachable", [True, False])
def test_a_hub_out_of_reach_is_asked_once(reachable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(None if reachable else OSError("no route"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.utils, "get_session", lambda: session)
    with impatient_hub():
        assert constants.is_offline_mode() is not reachable
    assert constants.HF_HUB_OFFLINE is False
    with pytest.raises(FileNotFoundError if reachable else ConnectionError), impatient_hub():
        raise FileNotFoundError("not in the cache")
    assert constants.HF_HUB_OFFLINE is False
    assert session.asked == 2


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("in_chans", [1, 3])
def test_a_file_of_weights_fills_the_backbone(suffix: str, in_chans: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier's file as timm publishes it: RGB filters are summed for grey pictures, its classes are left out."""
    monkeypatch.setattr(huggingface_hub.utils, "get_session", lambda: pytest.fail("the hub was asked"))
    torch.manual_seed(1)
    source = timm.create_model("cs3darknet_focus_n").state_dict()
    path = tmp_path / f"weights, 1{suffix}"
    save_file(source, path) if suffix == ".safetensors" else torch.save(source, path)
    detector = make(in_chans=in_chans)
    neck = {name: value.clone() for name, value in detector.neck.state_dict().items()}
    assert imagenet_weights(detector, required=False, file=str(path)) == {"init": "imagenet", "init_weights": str(path)}
    own = {name.replace("_", "."): value for name, value in detector.backbone.body.state_dict().items()}  # timm flattens stem.conv1 to stem_conv1
    wanted = {name.replace("_", "."): value for name, value in source.items()}
    assert set(own) <= set(wanted)
    stem = "stem.conv1.conv.weight"
    torch.testing.assert_close(own.pop(stem), wanted[stem].sum(dim=1, keepdim=True) if in_chans == 1 else wanted[stem])
    assert all(torch.equal(value, wanted[name]) for name, value in own.items())
    assert all(torch.equal(value, neck[name]) for name, value in detector.neck.state_dict().items())


def test_a_missing_file_is_an_error_even_for_auto(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cs3darknet_focus_n"):
        imagenet_weights(make(), required=False, file=str(tmp_path / "missing.safetensors"))


# Another detector ---------------------------------------------------------------------------------------------------------------------------------------------


def test_the_same_classes_keep_everything(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, target = make(["a", "b"], seed=1), make(["a", "b"], seed=2)
    source.head.anchors.mul_(1.5)
    record = checkpoint_weights(target, written(source, tmp_path / "a.ckpt"))
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in target.state_dict().items())
    assert record == {"init": "checkpoint", "init_weights": str(tmp_path / "a.ckpt"), "init_kept": len(source.state_dict()), "init_dropped": []}
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_shared_classes_keep_their_rows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, target = make(["exosome", "debris", "gold"], seed=1), make(["gold", "virus", "exosome"], seed=2)
    before = copied(target)
    record = checkpoint_weights(target, written(source, tmp_path / "a.ckpt"))
    for level in range(3):
        own, other = target.head.classes[level], source.head.classes[level]
        for anchor in range(3):
            row = own.weight[3 * anchor + torch.arange(3)]
            assert torch.equal(row[0], other.weight[3 * anchor + 2])  # gold
            assert torch.equal(row[1], before[f"head.classes.{level}.weight"][3 * anchor + 1])  # virus is new
            assert torch.equal(row[2], other.weight[3 * anchor])  # exosome
            assert own.bias[3 * anchor] == other.bias[3 * anchor + 2]
        assert torch.equal(target.head.boxes[level].weight, source.head.boxes[level].weight)
        assert torch.equal(target.head.boxes[level].bias, source.head.boxes[level].bias)
    assert all(torch.equal(value, source.state_dict()[f"backbone.{name}"]) for name, value in target.backbone.state_dict().items())
    assert len(record["init_dropped"]) == 6
    assert "of 3 classes 2 are kept" in caplog.text


def test_no_shared_class_drops_their_scores_alone(tmp_path: Path) -> None:
    source, target = make(["a", "b"], seed=1), make(["c", "d"], seed=2)
    before = copied(target)
    record = checkpoint_weights(target, written(source, tmp_path / "a.ckpt"))
    for name, value in target.state_dict().items():
        assert torch.equal(value, before[name] if name.startswith("head.classes.") else source.state_dict()[name]), name
    assert {name.split(" ")[0] for name in record["init_dropped"]} == {name for name in before if name.startswith("head.classes.")}


@pytest.mark.parametrize(("known", "wanted"), [(["a"], ["a", "b"]), (["a", "b"], ["a"]), (["a"], ["b"])])
def test_one_class_has_no_scores_of_its_own(known: list[str], wanted: list[str], tmp_path: Path) -> None:
    source, target = make(known, seed=1), make(wanted, seed=2)
    before = copied(target)
    record = checkpoint_weights(target, written(source, tmp_path / "a.ckpt"))
    for name, value in target.state_dict().items():
        assert torch.equal(value, source.state_dict().get(name, before[name])), name
    assert len(record["init_dropped"]) == (6 if len(known) > 1 else 0)


@pytest.mark.parametrize(("known", "wanted"), [(3, 1), (1, 3)])
def test_channels_are_bridged(known: int, wanted: int, tmp_path: Path) -> None:
    """Both ways a grey picture, in three equal channels or in one, gives the same answers of the first convolution."""
    source, target = make(seed=1, in_chans=known), make(seed=2, in_chans=wanted)
    record = checkpoint_weights(target, written(source, tmp_path / "a.ckpt"))
    assert record["init_dropped"] == []
    grey = torch.rand(1, 1, 32, 32)
    first = [next(d.backbone.body.children()).conv for d in (source, target)]
    answers = [conv(grey.expand(-1, conv.in_channels, -1, -1)) for conv in first]
    torch.testing.assert_close(*answers)


def test_another_neck_keeps_what_fits_and_lists_the_rest(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, target = make(seed=1), make(seed=2, strides=[4, 8, 16, 32])
    record = checkpoint_weights(target, written(source, tmp_path / "a.ckpt"))
    assert all(torch.equal(value, source.state_dict()[f"backbone.{name}"]) for name, value in target.backbone.state_dict().items())
    assert record["init_kept"] < len(source.state_dict())
    assert any(name.startswith("head.anchors") for name in record["init_dropped"])
    assert "left random" in caplog.text


def test_another_model_is_refused(tmp_path: Path) -> None:
    """Counters and anchors fit every model; a training that began with nothing else would be one from random weights that says otherwise."""
    path = written(make(), tmp_path / "a.ckpt")
    torch.manual_seed(0)
    target = Detector({"name": "cs3darknet_focus_s"}, {"depth_multiple": 0.33, "width_multiple": 0.5}, ["a"])
    before = copied(target)
    with pytest.raises(InputError, match="cs3darknet_focus_n"):
        checkpoint_weights(target, path)
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_a_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.ckpt"):
        checkpoint_weights(make(), str(tmp_path / "missing.ckpt"))


# The detector that comes with exolight ------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Untrained, in half precision."""
    path = tmp_path / "weights, 1" / "simulated_n.ckpt"
    write_atomically(slim(load_detector(written(make(["exosome"], seed=1), tmp_path / "a.ckpt"))), path)
    monkeypatch.setattr("exolight.training.initialisation.SHIPPED", path)
    return path


@pytest.mark.parametrize("classes", [["exosome"], ["particle"], ["exosome", "virus"]])
def test_simulated_starts_from_the_shipped_weights(classes: list[str], shipped: Path) -> None:
    source, target = load_detector(shipped).detector, make(classes, seed=2)
    record = simulated_weights(target)
    assert record == {"init": "simulated", "init_weights": str(shipped), "init_kept": len(source.state_dict()), "init_dropped": []}
    assert all(torch.equal(value, target.state_dict()[name]) for name, value in source.state_dict().items())
    assert {value.dtype for value in target.state_dict().values()} == {torch.float32, torch.int64}


@pytest.mark.usefixtures("shipped")
def test_simulated_in_three_channels() -> None:
    target = make(seed=2, in_chans=3)
    assert simulated_weights(target)["init_dropped"] == []


@pytest.mark.usefixtures("shipped")
def test_simulated_is_for_model_n() -> None:
    target = Detector({"name": "cs3darknet_focus_s"}, {"depth_multiple": 0.33, "width_multiple": 0.5}, ["a"])
    before = copied(target)
    with pytest.raises(InputError, match=r"init=simulated.*cs3darknet_focus_n, not cs3darknet_focus_s: use model=n, or init=auto or init=imagenet"):
        simulated_weights(target)
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_without_the_shipped_weights(shipped: Path) -> None:
    shipped.unlink()
    with pytest.raises(InputError, match=r"init=simulated: .*simulated_n\.ckpt is not there.*init=auto") as caught:
        simulated_weights(make())
    assert "\n" not in str(caught.value)


# Anchors ------------------------------------------------------------------------------------------------------------------------------------------------------


def test_anchors_are_fitted_only_where_they_must_be() -> None:
    detector = make()
    published = detector.anchors.clone()
    fitting = np.random.default_rng(0).uniform(12, 40, (200, 2))
    assert adapt_anchors(detector, fitting, 0.98) == 1.0
    assert torch.equal(detector.anchors, published)
    tiny = np.random.default_rng(0).uniform(1.2, 2.2, (200, 2))  # under a quarter of the smallest
    before = best_possible_recall(tiny, published)
    reached = adapt_anchors(detector, tiny, 0.98)
    assert before < 0.98 < reached
    assert reached == best_possible_recall(tiny, detector.anchors)
    assert detector.config()["anchors"] == detector.head.state_dict()["anchors"].tolist()


def test_no_objects_leave_the_anchors() -> None:
    detector = make()
    published = detector.anchors.clone()
    assert adapt_anchors(detector, np.zeros((0, 2)), 0.98) == 1.0
    assert torch.equal(detector.anchors, published)
