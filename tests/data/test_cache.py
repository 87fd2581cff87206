"""What is decoded once is found again, and nothing stale ever is."""

import logging
from pathlib import Path

import numpy as np
import pytest

from exolight.data import cache as module
from exolight.data.cache import DiskCache, opened


def made(value: int, calls: list[int]) -> np.ndarray:
    calls.append(value)
    return np.full((40, 50), value, np.uint8)


def test_a_picture_is_decoded_once(tmp_path: Path) -> None:
    source, calls = tmp_path / "a.tif", []
    source.write_bytes(b"first")
    path = DiskCache(tmp_path / "cache").keep(source, "as it is", lambda: made(1, calls))
    assert path is not None
    assert (opened(path) == 1).all()
    assert isinstance(opened(path), np.memmap)  # of which a window costs a window
    assert DiskCache(tmp_path / "cache").keep(source, "as it is", lambda: made(2, calls)) == path  # another run
    copy = tmp_path / "b.tif"
    copy.write_bytes(b"first")
    assert DiskCache(tmp_path / "cache").keep(copy, "as it is", lambda: made(3, calls)) == path  # the content counts, not the name
    assert calls == [1]


def test_another_content_way_or_code_is_another_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, calls = tmp_path / "a.tif", []
    source.write_bytes(b"first")
    cache = DiskCache(tmp_path / "cache")
    paths = {cache.keep(source, "as it is", lambda: made(1, calls)), cache.keep(source, "half as large", lambda: made(2, calls))}
    source.write_bytes(b"other")
    paths.add(cache.keep(source, "as it is", lambda: made(3, calls)))
    code = tmp_path / "preprocessing.py"
    code.write_text("# other code")
    monkeypatch.setattr(module.preprocessing, "__file__", str(code))
    paths.add(cache.keep(source, "as it is", lambda: made(4, calls)))
    assert calls == [1, 2, 3, 4]
    assert len(paths) == 4
    assert not [path for path in (tmp_path / "cache").iterdir() if path.name.startswith(".")]


def test_where_nothing_can_be_kept_work_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, calls = tmp_path / "a.tif", []
    source.write_bytes(b"first")
    (tmp_path / "file").write_text("no folder")
    cache = DiskCache(tmp_path / "file" / "cache")
    with caplog.at_level(logging.WARNING):
        assert cache.keep(source, "as it is", lambda: made(1, calls)) is None
        assert cache.keep(source, "as it is", lambda: made(2, calls)) is None
    assert len(caplog.records) == 1
    assert calls == [1]  # after the first failure nobody makes what cannot be kept
