"""The figures of scored pictures: which there are, and that each shows what was found at the operating point."""

from collections.abc import Sequence

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from exolight.annotated_image import AnnotatedImage
from exolight.evaluation.records import ImageResult
from exolight.micrograph import Micrograph
from exolight.reporting import scores
from exolight.reporting.scores import Gallery, Outcome, score_figures, short_names

NAMES = {
    "PR_curve", "P_curve", "R_curve", "F1_curve", "confusion_matrix", "count_agreement", "reliability", "size_distribution", "diameter_errors",
    "batch_labels", "batch_pred",
    "worst", "threshold_sweep",
}  # fmt: skip


def square(x: float, side: float = 10) -> list[float]:
    return [x, 5, x + side, 5 + side]


def picture(
    image_id: int, found: list[list[float]], scores: Sequence[float], truth: list[list[float]], ignore: int = 0, hw: tuple[int, int] = (60, 120)
) -> tuple[ImageResult, AnnotatedImage]:
    """The last ``ignore`` truths count neither way."""
    boxes, truths = (np.array(rows, np.float32).reshape(-1, 4) for rows in (found, truth))
    flags, labels = np.arange(len(truths)) >= len(truths) - ignore, np.zeros(len(truths), np.int64)
    result = ImageResult(image_id, "", boxes, np.array(scores, np.float32), np.zeros(len(boxes), np.int64), truths, labels, flags)

    def reader() -> Micrograph:
        return Micrograph(np.random.default_rng(image_id).integers(80, 140, hw).astype(np.uint8), None, "unknown", None)

    return result, AnnotatedImage(f"folder/p{image_id}.png", reader, hw, truths, labels, flags, pixel_size_nm=2.0)


# true at 0.9, false at 0.8, weak at 0.2, one on a region to ignore at 0.9, and a truth that nothing finds
BUSY, BUSY_IMAGE = picture(3, [square(10), square(40), square(70), square(92)], [0.9, 0.8, 0.2, 0.9], [square(10), square(70), [85, 0, 110, 30]], ignore=1)
EMPTY, EMPTY_IMAGE = picture(5, [], [], [])
IMAGES = {3: BUSY_IMAGE, 5: EMPTY_IMAGE}


def texts(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)}


def test_every_figure_at_the_operating_point() -> None:
    figures = score_figures([EMPTY, BUSY], IMAGES, ["exosome"], 0.5)
    assert set(figures) == NAMES
    assert "operating point: 0.500 at 0.500" in texts(figures["P_curve"]) & texts(figures["R_curve"]) & texts(figures["F1_curve"])
    assert {"1\n50 %", "1\n100 %"} <= texts(figures["confusion_matrix"])
    assert {"p3  (2)", "p5  (0)"} <= texts(figures["batch_labels"])
    assert {"p3  (3)", "p5  (0)"} <= texts(figures["batch_pred"])
    assert "p3: 1 missed, 1 false" in texts(figures["worst"])
    assert {"p3: 4 with score ≥ 0.17", "p3: 3 with score ≥ 0.5", "operating point 0.5", "median diameter (nm)"} <= texts(figures["threshold_sweep"])
    assert "true: N = 2, median 20.0 nm" in texts(figures["size_distribution"])
    assert any(text.startswith("predicted: N = 2,") for text in texts(figures["size_distribution"]))


def test_ranked_results_are_those_of_the_precision_recall_curve_alone() -> None:
    perfect = BUSY._replace(boxes=BUSY.truth_boxes[:2], scores=np.array([0.9, 0.8], np.float32), labels=np.zeros(2, np.int64))
    figures = score_figures([BUSY], IMAGES, ["exosome"], 0.5, ranked=[perfect])
    assert any("mean average precision 1.000" in text for text in texts(figures["PR_curve"]))
    assert "operating point: 0.500 at 0.500" in texts(figures["F1_curve"])


def test_a_given_temperature_is_drawn_and_one_is_fitted_otherwise() -> None:
    assert any(text.startswith("temperature 2.50") for text in texts(score_figures([BUSY], IMAGES, ["exosome"], 0.5, 2.5)["reliability"]))
    fitted = texts(score_figures([BUSY], IMAGES, ["exosome"], 0.5)["reliability"])
    assert any(text.startswith("temperature") and not text.startswith("temperature 2.50") for text in fitted)


@pytest.mark.filterwarnings("error")
def test_nothing_found_and_nothing_there() -> None:
    figures = score_figures([EMPTY], IMAGES, ["exosome", "artefact"], 0.25)
    assert set(figures) == NAMES
    assert "no pictures" in texts(figures["worst"])
    assert score_figures([], IMAGES, ["exosome"], 0.25) == {}


def test_the_outcome_of_a_picture_by_hand() -> None:
    outcome = Outcome.of(BUSY, 0.5)
    assert outcome.counted.tolist() == [True, True, False, False]
    assert outcome.true[outcome.counted].tolist() == [True, False]
    assert outcome.real.tolist() == [True, True, False]
    assert outcome.found.tolist() == [True, False, False]
    assert outcome.errors == 2
    assert Outcome.of(BUSY, 0.1).errors == 1
    assert Outcome.of(EMPTY, 0.1).errors == 0


def test_large_pictures_are_shrunk_with_their_boxes_and_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    result, image = picture(0, [square(1000)], [0.9], [], hw=(500, 4000))
    read: list[int] = []
    monkeypatch.setattr(scores, "normalise", lambda pixels: (read.append(1), pixels)[1])
    gallery = Gallery([result], [image])
    assert gallery.pixels(result).shape == (125, 1000)
    np.testing.assert_allclose(gallery.boxes(result, result.boxes), [[250, 1.25, 252.5, 3.75]])
    assert read == [1]
    small = Gallery([BUSY], IMAGES)
    assert small.pixels(BUSY).shape == (60, 120)
    np.testing.assert_array_equal(small.boxes(BUSY, BUSY.boxes), BUSY.boxes)


def test_names_are_short_where_that_tells_pictures_apart() -> None:
    assert short_names(["images/a.png", "images/b.png"]) == ["a", "b"]
    assert short_names(["grid 1/a.png", "grid 2/a.png"]) == ["grid 1/a.png", "grid 2/a.png"]
    assert short_names(["a", "a"]) == ["a", "a"]
    assert short_names([]) == []
