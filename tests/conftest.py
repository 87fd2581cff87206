"""Fixtures for every test."""

import contextlib
import importlib.util
import io
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import exolight  # noqa: F401  (before any test imports torch: it says how threads wait)

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real pictures (EXOLIGHT_REAL_DATA, default ../shared/data beside the repository); skips where it is absent."""
    folder = Path(os.environ.get("EXOLIGHT_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set EXOLIGHT_REAL_DATA")
    return folder


class Finished(NamedTuple):
    """What a run of ``train.py`` ended with."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def train_program() -> Callable[..., Finished]:
    """``python train.py ARGUMENTS`` within this process: the same way in, without seconds of imports, and with ``figures=False`` without figures.

    What it does to the process is undone.
    """
    spec = importlib.util.spec_from_file_location("train", REPOSITORY / "train.py")
    assert spec
    assert spec.loader
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    program.main.__wrapped__.__module__ = "__main__"  # Hydra looks for conf/ beside the program's file then, not in a package

    def run(*arguments: str, figures: bool = True) -> Finished:
        from hydra.core.global_hydra import GlobalHydra

        from exolight import command_line

        root, argv, environment = logging.getLogger(), sys.argv, dict(os.environ)
        handlers, level = root.handlers[:], root.level
        sys.argv = [str(REPOSITORY / "train.py"), *arguments]
        draw = program.report.run_figures
        if not figures:  # they take most of a small run's time
            program.report.run_figures = lambda *_: {}
        out, err, status = io.StringIO(), io.StringIO(), 0
        if "absl.logging" in sys.modules:  # of TensorBoard: shut down by Hydra, its handler closes the stream it has, which is pytest's
            sys.modules["absl.logging"].get_absl_handler().python_handler.stream = sys.__stderr__
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                command_line.prepare(REPOSITORY / "conf", "train")
                program.main()
        except SystemExit as left:
            status = left.code if isinstance(left.code, int) else 1
        finally:
            sys.argv = argv
            program.report.run_figures = draw
            os.environ.clear()
            os.environ.update(environment)
            logging.captureWarnings(False)
            for handler in root.handlers[:]:
                root.removeHandler(handler)
                if handler not in handlers:
                    handler.close()
            root.handlers[:], root.level = handlers, level
            GlobalHydra.instance().clear()
        return Finished(status, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Arguments that make a run of ``train.py`` a matter of seconds."""
    return [
        "data.image_size=64", "data.source.count=16", "data.source.image_hw=[96,96]", "data.batch_size=4", "data.num_workers=0",
        "trainer.max_epochs=1", "trainer.log_every_n_steps=1", "init=random", "logger=none", "~callbacks.progress",
    ]  # fmt: skip
