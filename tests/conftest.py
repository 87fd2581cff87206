"""Fixtures for every test."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real pictures (EXOLIGHT_REAL_DATA, default ../shared/data beside the repository); skips where it is absent."""
    folder = Path(os.environ.get("EXOLIGHT_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set EXOLIGHT_REAL_DATA")
    return folder
