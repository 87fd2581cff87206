"""Parameter groups and the learning rate over time, against numbers worked out by hand."""

import math

import pytest
import torch
from torch import nn

from exolight.errors import InputError
from exolight.models import Detector
from exolight.training.optimisation import WarmupSchedule, parameter_groups


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector({"name": "cs3darknet_focus_n"}, {"depth_multiple": 0.33, "width_multiple": 0.25}, ["a", "b"])


# Groups -------------------------------------------------------------------------------------------------------------------------------------------------------


def test_every_parameter_is_in_exactly_one_group(detector: Detector) -> None:
    grouped = [id(p) for group in parameter_groups(detector, 0.01, 5e-4) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in detector.parameters())


def test_decay_is_for_weights_alone(detector: Detector) -> None:
    groups = parameter_groups(detector, 0.01, 5e-4)
    assert {group["kind"] for group in groups} == {"weight", "norm", "bias"}
    for group in groups:
        for parameter in group["params"]:
            assert (group["weight_decay"] == 5e-4) == (parameter.ndim > 1) == (group["kind"] == "weight")
            assert group["weight_decay"] in (0.0, 5e-4)


def test_kinds(detector: Detector) -> None:
    kinds = {id(p): group["kind"] for group in parameter_groups(detector, 0.01, 5e-4) for p in group["params"]}
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (kinds[id(module.weight)], kinds[id(module.bias)]) == ("norm", "bias")
        elif isinstance(module, nn.Conv2d):
            assert kinds[id(module.weight)] == "weight"
            assert module.bias is None or kinds[id(module.bias)] == "bias"


def test_the_backbone_learns_at_its_own_rate(detector: Detector) -> None:
    backbone = {id(p) for p in detector.backbone.parameters()}
    for group in parameter_groups(detector, 0.01, 5e-4, backbone_lr_scale=0.1):
        inside = {id(p) in backbone for p in group["params"]}
        assert len(inside) == 1
        assert group["lr"] == pytest.approx(0.001 if inside == {True} else 0.01)


# The schedule -------------------------------------------------------------------------------------------------------------------------------------------------


def sgd() -> torch.optim.SGD:
    """Three groups of one number each: a weight, a bias and a weight of a slow backbone."""
    parameters = [nn.Parameter(torch.zeros(1)) for _ in range(3)]
    groups = [{"params": [p], "lr": lr, "kind": kind} for p, lr, kind in zip(parameters, (0.1, 0.1, 0.01), ("weight", "bias", "weight"), strict=True)]
    return torch.optim.SGD(groups, lr=0.1, momentum=0.9)


def walk(optimizer: torch.optim.Optimizer, schedule: WarmupSchedule, steps: int) -> list[list[float]]:
    rates = []
    for _ in range(steps):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return rates


def test_warmup_and_linear_decline_by_hand() -> None:
    optimizer = sgd()
    schedule = WarmupSchedule(optimizer, total_steps=20, steps_per_epoch=2, warmup_epochs=2, warmup_batches=1, final_fraction=0.2, bias_start=0.3)
    rates = walk(optimizer, schedule, 21)

    def decline(step: int) -> float:
        return 0.2 + 0.8 * (1 - step / 20)

    # Four steps of warm-up: weights from 0, biases from 0.3, both towards the decline.
    for step, share in enumerate([0, 0.25, 0.5, 0.75, 1]):
        assert rates[step][0] == pytest.approx(share * 0.1 * decline(step))
        assert rates[step][1] == pytest.approx((1 - share) * 0.3 + share * 0.1 * decline(step))
        assert rates[step][2] == pytest.approx(share * 0.01 * decline(step))
    assert rates[12] == pytest.approx([0.052, 0.052, 0.0052])
    assert rates[20] == pytest.approx([0.02, 0.02, 0.002])


def test_cosine_decline_by_hand() -> None:
    optimizer = sgd()
    rates = walk(optimizer, WarmupSchedule(optimizer, total_steps=8, steps_per_epoch=1, shape="cosine", final_fraction=0.5, warmup_epochs=0), 9)
    assert rates[0][0] == pytest.approx(0.1)
    assert rates[4][0] == pytest.approx(0.1 * (0.5 + 0.5 / 2))
    assert rates[2][0] == pytest.approx(0.1 * (0.5 + 0.5 * (1 + math.cos(math.pi / 4)) / 2))
    assert rates[8][0] == pytest.approx(0.05)


def test_the_rate_stays_at_its_end_beyond_it() -> None:
    optimizer = sgd()
    rates = walk(optimizer, WarmupSchedule(optimizer, total_steps=4, steps_per_epoch=1, warmup_epochs=0, final_fraction=0.1), 8)
    assert rates[4][0] == pytest.approx(0.01)
    assert rates[7][0] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("epochs", "batches", "accumulated", "steps"),
    [
        (3, 0, 1, 30),  # epochs alone
        (3, 100, 1, 100),  # at least so many batches
        (3, 100, 4, 30),  # which are fewer steps where gradients are accumulated
        (3, 1000, 1, 200),  # at most half of the training
        (0, 100, 1, 0),  # none
    ],
)
def test_the_length_of_the_warmup(epochs: float, batches: int, accumulated: int, steps: float) -> None:
    schedule = WarmupSchedule(sgd(), total_steps=400, steps_per_epoch=10, batches_per_step=accumulated, warmup_epochs=epochs, warmup_batches=batches)
    assert schedule.warmup_steps == steps


def test_momentum_rises_while_warming_up() -> None:
    optimizer = sgd()
    schedule = WarmupSchedule(optimizer, total_steps=40, steps_per_epoch=1, warmup_epochs=4, warmup_batches=0, momentum_start=0.5)
    momenta = []
    for _ in range(7):
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        schedule.step()
    assert momenta == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9])


def test_adam_warms_up_its_first_beta_and_no_bias_leaps() -> None:
    parameters = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": [p], "kind": kind} for p, kind in zip(parameters, ("weight", "bias"), strict=True)]
    optimizer = torch.optim.AdamW(groups, lr=0.1, betas=(0.9, 0.99))
    schedule = WarmupSchedule(optimizer, total_steps=40, steps_per_epoch=1, warmup_epochs=4, warmup_batches=0, momentum_start=0.8)
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.0]
    assert optimizer.param_groups[0]["betas"] == pytest.approx((0.8, 0.99))
    walk(optimizer, schedule, 4)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1 * schedule.decline(4)] * 2)
    assert optimizer.param_groups[1]["betas"] == pytest.approx((0.9, 0.99))


@pytest.mark.parametrize("at", [2, 9])
def test_state_comes_back(at: int) -> None:
    """Within the warm-up and after it, a restored schedule goes on as the first one does."""

    def make() -> tuple[torch.optim.SGD, WarmupSchedule]:
        optimizer = sgd()
        return optimizer, WarmupSchedule(optimizer, total_steps=20, steps_per_epoch=2, warmup_epochs=2, warmup_batches=0)

    optimizer, schedule = make()
    walk(optimizer, schedule, at)
    states = optimizer.state_dict(), schedule.state_dict()
    other, restored = make()
    other.load_state_dict(states[0])
    restored.load_state_dict(states[1])
    assert walk(other, restored, 6) == walk(optimizer, schedule, 6)
    assert other.param_groups[0]["momentum"] == optimizer.param_groups[0]["momentum"]


def test_a_run_resumed_with_more_epochs_declines_over_all_of_them() -> None:
    optimizer = sgd()
    schedule = WarmupSchedule(optimizer, total_steps=10, steps_per_epoch=2, warmup_epochs=0)
    walk(optimizer, schedule, 10)
    longer = sgd()
    longer.load_state_dict(optimizer.state_dict())
    restored = WarmupSchedule(longer, total_steps=20, steps_per_epoch=2, warmup_epochs=0)
    restored.load_state_dict(schedule.state_dict())
    walk(longer, restored, 5)
    assert longer.param_groups[0]["lr"] == pytest.approx(0.1 * (1 - 0.99 * 15 / 20))


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(InputError, match="stairs"):
        WarmupSchedule(sgd(), total_steps=10, steps_per_epoch=1, shape="stairs")  # type: ignore[arg-type]
