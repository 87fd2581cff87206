"""Paths are taken as people have them."""

from pathlib import Path

import pytest

from exolight.errors import InputError
from exolight.inference.files import PREDICTION_TABLES, existing_path, find_pictures

# Names that break Hydra's grammar, or that look like options or patterns
NAMES = ["Proença.png", "EV (1).tif", "12_µm.tiff", "exo, 2.TIF", "run=3.jpg", "tile=512.png", "a[1].bmp", "${x}.png", "-v.jpeg", "'quoted'.png"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_verbatim(tmp_path: Path, name: str) -> None:
    for other in (name, "other.png"):
        (tmp_path / other).touch()
    assert find_pictures([str(tmp_path / name)]) == [tmp_path / name]


def test_a_relative_name_that_looks_like_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tile=512").touch()
    monkeypatch.chdir(tmp_path)
    assert find_pictures(["tile=512"]) == [Path("tile=512")]


def test_folders_are_sorted_and_recursive(tmp_path: Path) -> None:
    folder = tmp_path / "EV grid 3 (donor 2)"
    for name in ("b.png", "a.TIF", "notes.txt", "sub/c.jpg", "._b.png", ".hidden/d.png", "old/overlays/e.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    for name in PREDICTION_TABLES:
        (folder / "old" / name).touch()  # an earlier prediction's overlays are no micrographs
    found = [path.relative_to(folder).as_posix() for path in find_pictures([str(folder)])]
    assert found == ["a.TIF", "b.png", "sub/c.jpg"]


def test_patterns_and_repeats(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "a.txt", "deep/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in find_pictures([str(tmp_path / "b.png"), str(tmp_path / "*")])] == ["b.png", "a.png", "c.png"]
    assert [path.name for path in find_pictures([str(tmp_path / "**" / "*.png")])] == ["a.png", "b.png", "c.png"]


def test_a_file_named_itself_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "scan.dm3").touch()
    assert find_pictures([str(tmp_path / "scan.dm3")]) == [tmp_path / "scan.dm3"]


@pytest.mark.parametrize(("path", "words"), [("missing.png", "no such file"), ("empty", "holds no picture"), ("*.gif", "no such file"), ("tiel=3", "options")])
def test_nothing_found_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=words) as caught:
        find_pictures([path])
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_path_at_all() -> None:
    with pytest.raises(InputError, match="no pictures given"):
        find_pictures([])


def test_home_is_expanded_only_where_the_name_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert existing_path("~/x.png") == tmp_path / "home" / "x.png"
    Path("~").mkdir()
    Path("~/x.png").touch()
    assert existing_path("~/x.png") == Path("~/x.png")


def test_linked_folders_are_followed_but_not_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.png").touch()
    (tmp_path / "here").mkdir()
    try:
        (tmp_path / "here" / "link").symlink_to(tmp_path / "there", target_is_directory=True)
        (tmp_path / "there" / "back").symlink_to(tmp_path / "here", target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    assert [path.name for path in find_pictures([str(tmp_path / "here")])] == ["a.png"]


def test_a_folder_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(InputError, match="cannot be read"):
        find_pictures([str(tmp_path)])
