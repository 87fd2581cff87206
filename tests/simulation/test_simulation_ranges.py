"""What pictures are drawn from: checked values, and the presets of conf/simulation."""

import math
from dataclasses import astuple, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from exolight.errors import InputError
from exolight.simulation.film import random_film
from exolight.simulation.formation import random_instrument
from exolight.simulation.grid import Grid
from exolight.simulation.picture import Picture
from exolight.simulation.ranges import MORPHOLOGIES, DistractorRanges, FilmRanges, InstrumentRanges, Ranges, VesicleRanges, uniform

CONF = Path(__file__).parents[2] / "conf"
PRESETS = ("default", "clean", "crowded", "hard")


# Values -------------------------------------------------------------------------------------------------------------------------------------------------------


def test_lists_of_a_config_become_tuples_of_floats() -> None:
    ranges = VesicleRanges(per_um2=[1, 2], roughness=(1, 1.5))
    assert (ranges.per_um2, ranges.roughness) == ((1.0, 2.0), (1.0, 1.5))
    assert all(type(value) is float for value in ranges.per_um2)
    assert hash(FilmRanges(stain_nm=[3, 4])) == hash(FilmRanges(stain_nm=(3, 4)))


@pytest.mark.parametrize(
    "pair",
    [
        (2.0, 1.0),
        (-1.0, 1.0),
        (1.0,),
        (1.0, 2.0, 3.0),
        5.0,
        None,
        (0.0, math.nan),
        (math.nan, 1.0),
        (0.5, math.inf),
        ("a", "b"),
        ("0", "1"),
        (None, 1.0),
        (False, True),
        "12",
        0.5j,
    ],
    ids=str,
)
@pytest.mark.parametrize(("kind", "key"), [(VesicleRanges, "per_um2"), (DistractorRanges, "gold_per_um2"), (FilmRanges, "drift"), (InstrumentRanges, "level")])
def test_a_wrong_pair_is_refused_by_its_name(kind: type, key: str, pair: Any) -> None:
    with pytest.raises(InputError, match=rf"simulation\.{key}=.*low and high"):
        kind(**{key: pair})


@pytest.mark.parametrize("value", [1.01, -0.1, "half", None, True, (0.1, 0.2), math.nan], ids=str)
@pytest.mark.parametrize(("kind", "key"), [(VesicleRanges, "empty_fraction"), (DistractorRanges, "tear_fraction"), (InstrumentRanges, "sixteen_bit_fraction")])
def test_a_wrong_fraction_is_refused_by_its_name(kind: type, key: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"simulation\.{key}=.*from 0 to 1"):
        kind(**{key: value})


@pytest.mark.parametrize(
    "wrong",
    [
        {"shares": {"cup": 1.0, "saucer": 1.0}},
        {"shares": {"cup": -1.0, "solid": 2.0}},
        {"shares": {"cup": 0.0}},
        {"shares": {}},
        {"diameter_median_nm": (20.0, 60.0), "diameter_range_nm": (30.0, 300.0)},
        {"diameter_median_nm": (60.0, 400.0), "diameter_range_nm": (30.0, 300.0)},
        {"diameter_median_nm": (0.0, 60.0), "diameter_range_nm": (0.0, 300.0)},
        {"border_fraction": 0.6, "cluster_fraction": 0.5},
        {"maximum": 0},
        {"maximum": 1001},
        {"maximum": 2.5},
        {"maximum": "many"},
        {"maximum": True},
        {"maximum": None},
        {"shares": {"cup": math.nan}},
        {"shares": {"cup": 1.0, "solid": math.inf}},
        {"shares": {"cup": "half"}},
        {"shares": {"cup": None, "solid": 1.0}},
        {"shares": ["cup", "solid"]},
        {"shares": None},
        {"diameter_sigma": (0.1, math.inf)},
    ],
    ids=str,
)
def test_vesicles_that_make_no_sense_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        VesicleRanges(**wrong)


def test_the_limits_themselves_are_allowed() -> None:
    VesicleRanges(border_fraction=0.5, cluster_fraction=0.5, maximum=1000, diameter_median_nm=(30, 30), diameter_range_nm=(30, 30), empty_fraction=1)
    DistractorRanges(tear_fraction=0.0, specks_per_um2=(0, 0))


def of_instrument(key: str, pair: Any) -> InstrumentRanges:
    return InstrumentRanges(**{key: pair})


@pytest.mark.parametrize("key", ["resampling", "electrons", "blur_px", "gamma", "level", "jpeg_quality"])
def test_what_is_divided_by_a_power_or_all_the_light_must_be_above_zero(key: str) -> None:
    with pytest.raises(InputError, match=rf"simulation\.{key}=\(0\.0, 1\.0\): must be .*above 0"):
        of_instrument(key, (0.0, 1.0))
    of_instrument(key, (0.1, 1.0))


@pytest.mark.parametrize(("key", "highest"), [("level", 1), ("hot_pixels", 1), ("jpeg_quality", 100)])
def test_shares_and_qualities_have_a_highest(key: str, highest: int) -> None:
    for pair in ((highest, highest + 0.1), (3 * highest, 9 * highest)):
        with pytest.raises(InputError, match=rf"simulation\.{key}=.*at most {highest}$"):
            of_instrument(key, pair)
    of_instrument(key, (highest, highest))


@pytest.mark.parametrize("key", ["vesicles", "distractors", "film", "instrument"])
@pytest.mark.parametrize("part", [{"per_um2": (1, 2)}, None, Ranges(), VesicleRanges, "default"], ids=["mapping", "none", "whole", "class", "name"])
def test_a_part_that_is_no_part_is_refused_by_name(key: str, part: Any) -> None:
    parts: dict[str, Any] = {key: part}
    with pytest.raises(InputError, match=rf"simulation\.{key}=.*must be {key.capitalize().removesuffix('s')}Ranges"):
        Ranges(**parts)


def test_a_part_in_the_place_of_another_is_refused() -> None:
    wrong: dict[str, Any] = {"vesicles": DistractorRanges()}
    with pytest.raises(InputError, match="must be VesicleRanges"):
        Ranges(**wrong)


def test_uniform_draws_between_low_and_high() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([uniform(rng, (2.0, 6.0)) for _ in range(400)])
    assert 2 <= drawn.min() < 2.2 < 5.8 < drawn.max() <= 6
    assert drawn.mean() == pytest.approx(4, abs=0.2)
    assert uniform(rng, (3.0, 3.0)) == 3


# Presets ------------------------------------------------------------------------------------------------------------------------------------------------------


def composed(name: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("simulate", [f"simulation={name}"]).simulation


@pytest.fixture(scope="module")
def presets() -> dict[str, Ranges]:
    return {name: instantiate(composed(name), _convert_="all") for name in PRESETS}


def test_every_preset_is_tested() -> None:
    assert {path.stem for path in (CONF / "simulation").glob("*.yaml")} == set(PRESETS)


def test_the_default_preset_holds_every_value_of_the_classes(presets: dict[str, Ranges]) -> None:
    assert presets["default"] == Ranges()

    def compare(node: Any, made: Any) -> None:
        assert set(node) - {"_target_"} == {key.name for key in fields(made)}
        for key in fields(made):
            value = getattr(made, key.name)
            if is_dataclass(value):
                compare(node[key.name], value)

    compare(OmegaConf.to_container(composed("default")), Ranges())
    assert set(Ranges().vesicles.shares) == set(MORPHOLOGIES)


@pytest.mark.parametrize("name", PRESETS[1:])
def test_presets_are_ranges_of_their_own(presets: dict[str, Ranges], name: str) -> None:
    assert isinstance(presets[name], Ranges)
    assert astuple(presets[name]) != astuple(presets["default"])


@pytest.fixture(scope="module")
def drawn(presets: dict[str, Ranges]) -> dict[str, list[Picture]]:
    return {name: [Picture(ranges, Grid((200, 240), 2.5), seed) for seed in range(24)] for name, ranges in presets.items()}


def _shared_area(pictures: list[Picture]) -> float:
    """Mean part of a vesicle that it shares with others."""
    return float(np.concatenate([made.truth().overlap for made in pictures]).mean())


def _contrast(pictures: list[Picture]) -> float:
    return float(np.mean([placed.vesicle.contrast for made in pictures for placed in made.scene.vesicles]))


def _specks(pictures: list[Picture]) -> float:
    return float(np.mean([sum(len(points) for points in made.scene.debris.specks) for made in pictures]))


def _lookalikes(pictures: list[Picture]) -> float:
    return float(np.mean([len(made.scene.membranes) for made in pictures]))


def test_crowded_holds_many_vesicles_over_each_other(drawn: dict[str, list[Picture]]) -> None:
    crowded, default = ([len(made.scene.vesicles) for made in drawn[name]] for name in ("crowded", "default"))
    assert np.mean(crowded) > 1.5 * np.mean(default)
    assert min(crowded) > 0
    assert _shared_area(drawn["crowded"]) > _shared_area(drawn["default"])


def test_clean_holds_vesicles_apart_and_little_else_as_the_camera_wrote_it(presets: dict[str, Ranges], drawn: dict[str, list[Picture]]) -> None:
    clean, default = drawn["clean"], drawn["default"]
    assert _shared_area(clean) < _shared_area(default)
    assert _specks(clean) < _specks(default)
    assert _lookalikes(clean) < _lookalikes(default)
    assert _contrast(clean) > _contrast(default)
    rng = np.random.default_rng(0)
    for _ in range(100):
        instrument = random_instrument(rng, presets["clean"].instrument)
        assert (instrument.resampling, instrument.jpeg_quality, instrument.marks, instrument.inverted) == (1.0, None, None, False)
        assert instrument.fringe == 0  # in focus


def test_hard_is_faint_torn_noisy_and_exported(presets: dict[str, Ranges], drawn: dict[str, list[Picture]]) -> None:
    assert _contrast(drawn["hard"]) < _contrast(drawn["default"])
    assert _specks(drawn["hard"]) > _specks(drawn["default"])
    assert _lookalikes(drawn["hard"]) > _lookalikes(drawn["default"])

    def recordings(name: str) -> tuple[int, float, int]:
        """Of 300: torn films, median electrons, exports."""
        rng, ranges = np.random.default_rng(0), presets[name]
        tears = sum(bool(random_film(rng, (500.0, 500.0), ranges.film, ranges.distractors).tears) for _ in range(300))
        instruments = [random_instrument(rng, ranges.instrument) for _ in range(300)]
        exports = sum(i.resampling != 1 or i.jpeg_quality is not None or i.marks is not None for i in instruments)
        return tears, float(np.median([i.electrons for i in instruments])), exports

    hard, default = recordings("hard"), recordings("default")
    assert hard[0] > default[0]
    assert hard[1] < default[1]
    assert hard[2] > default[2]
