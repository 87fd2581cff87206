"""The few-shot benchmark: which pictures, which line."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def few_shot() -> ModuleType:
    spec = importlib.util.spec_from_file_location("few_shot", Path(__file__).parents[2] / "benchmarks" / "few_shot.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_seed_draws_the_same_pictures_for_every_init(few_shot: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("\n".join(f"p{i}" for i in range(50)), "utf-8")
    first = few_shot.drawn(tmp_path, 8, 0)
    assert len(set(first)) == 8
    assert first == few_shot.drawn(tmp_path, 8, 0) != few_shot.drawn(tmp_path, 8, 1)


def test_a_line_gives_every_run_mean_and_spread(few_shot: ModuleType) -> None:
    assert few_shot.row("x", [0.5, 0.6, 0.7]) == "| x | 0.500 / 0.600 / 0.700 | 0.600 ± 0.100 |"
    assert few_shot.row("x", [0.5]) == "| x | 0.500 | 0.500 |"
