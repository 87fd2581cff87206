"""Which folder a prediction writes into, and that nobody else writes there."""

from pathlib import Path

import pytest
from filelock import FileLock

from exolight.errors import InputError
from exolight.reporting.unfinished import LOCK, STATE, claimed, finish, read_table, trim

PICTURES = [Path("a.png"), Path("b.png")]


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_same_command_goes_on_in_its_folder() -> None:
    with claimed(None, {"checkpoint": "x"}, PICTURES) as first:
        (first / "images.csv").write_text("image,error\r\na.png,\r\nb.png,broken\r\nc.p")
    with claimed(None, {"checkpoint": "x"}, PICTURES) as folder:
        assert folder == first
        assert [row["image"] for row in trim(folder)] == ["a.png"]
        assert [row["image"] for row in read_table(folder / "images.csv")] == ["a.png"]
    with claimed(None, {"checkpoint": "y"}, PICTURES) as folder:
        assert folder != first
    with claimed(None, {"checkpoint": "x"}, PICTURES[:1]) as folder:
        assert folder != first
    finish(first)
    with claimed(None, {"checkpoint": "x"}, PICTURES) as folder:
        assert folder != first
        assert trim(folder) == []


def test_of_several_unfinished_ones_the_newest_goes_on() -> None:
    folders = [Path("outputs/predict", name) for name in ("2026-01-01_00-00-00", "2026-01-03_00-00-00", "2026-01-02_00-00-00")]
    for folder in folders:
        with claimed(folder, {}, PICTURES):
            pass
    with claimed(None, {}, PICTURES) as folder:
        assert folder == folders[1]


def test_a_folder_of_ones_own() -> None:
    out = Path("out µ")
    with claimed(out, {}, PICTURES) as folder:
        assert folder == out
    with claimed(out, {}, PICTURES) as folder:
        assert folder == out
    for settings, pictures, words in (({"a": 1}, PICTURES, "other settings"), ({}, PICTURES[:1], "other pictures")):
        with pytest.raises(InputError, match=words), claimed(out, settings, pictures):
            pass
    finish(out)
    (out / "summary.json").touch()
    with pytest.raises(InputError, match="already holds files"), claimed(out, {}, PICTURES):
        pass
    Path("file").touch()
    with pytest.raises(InputError, match="already holds files"), claimed(Path("file"), {}, PICTURES):
        pass
    Path("empty").mkdir()
    with claimed(Path("empty"), {}, PICTURES) as folder:
        assert folder == Path("empty")


def test_two_at_once_do_not_meet() -> None:
    with claimed(None, {}, PICTURES) as first:
        with claimed(None, {}, PICTURES) as second:
            assert first != second
        with pytest.raises(InputError, match="another prediction is writing"), claimed(first, {}, PICTURES):
            pass


def test_a_folder_finished_while_waiting_for_it_is_not_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Path("out")
    with claimed(out, {}, PICTURES):
        pass
    acquire = FileLock.acquire

    def late(self: FileLock, *arguments: object, **options: object) -> object:
        finish(out)
        (out / "summary.json").touch()
        return acquire(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(FileLock, "acquire", late)
    with pytest.raises(InputError, match="already holds files"), claimed(out, {}, PICTURES):
        pass


def test_what_is_left_behind() -> None:
    with claimed(Path("out"), {}, PICTURES) as folder:
        (folder / "summary.json").touch()
        finish(folder)
    assert [path.name for path in Path("out").iterdir()] == ["summary.json"]
    Path("mine").mkdir()
    Path("mine/thesis.docx").touch()
    with pytest.raises(InputError), claimed(Path("mine"), {}, PICTURES):
        pass
    assert [path.name for path in Path("mine").iterdir()] == ["thesis.docx"]
    with pytest.raises(KeyboardInterrupt), claimed(Path("cut"), {}, PICTURES):
        raise KeyboardInterrupt
    assert {path.name for path in Path("cut").iterdir()} <= {STATE, LOCK}


def test_a_damaged_state_is_not_continued() -> None:
    Path("out").mkdir()
    Path("out", STATE).write_text('{"settings": ')
    with pytest.raises(InputError, match="already holds files"), claimed(Path("out"), {}, PICTURES):
        pass


def test_a_table_cut_in_the_middle_of_a_letter(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    assert read_table(table) == []
    table.write_bytes('image,count\r\n"a, 1.png",3\r\n"µ'.encode()[:-1])
    assert read_table(table) == [{"image": "a, 1.png", "count": "3"}]
