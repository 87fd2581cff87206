"""Arguments on their way from the shell to Hydra, with the real configs."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from omegaconf import OmegaConf

from exolight.command_line import PATH_KEYS, check_overrides, explain, leaves, one_line_errors, quote_paths, resumed_folder, unquoted
from exolight.errors import InputError

CONF = Path(__file__).parents[1] / "conf"
HOSTILE = [
    "Proença", "?", "EV (1).tif", "12_µm.tif", "~/x", "run=3/a.ckpt", "exo, 2.tif", "it's", 'say "hi"', "a'b\"c", "C:\\data\\", "C:\\it's\\", "x\\'y",
    "\\\\server\\share", "${x}", "a${oc.env:HOME}b", "\\${x}", "\\\\${x}", "$x", "[a, b]", "{a: 1}", "a#b", " lead", "trail ", "true", "12", "1e3", "100%",
    "choice(1,2)", "glob(*)", "@x", "+x", "a:b", "tab\there", "e\u0301", "'", "''a'b'", "a\\'b'", "100 %}", "…",
]  # fmt: skip


# Paths --------------------------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [HOSTILE[i : i + 4] for i in range(0, len(HOSTILE) - 3, 4)], ids=" ".join)
def test_a_path_arrives_as_it_was_typed(names: list[str]) -> None:
    keys = ("data.root", "checkpoint", "resume", "init.path")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", ["data=yolo", "init=checkpoint", *quote_paths([f"{key}={name}" for key, name in zip(keys, names, strict=True)])])
    assert [OmegaConf.select(config, key) for key in keys] == names
    assert config.data.source.root == names[0]  # through an interpolation, too


@pytest.mark.parametrize("name", HOSTILE)
def test_quoting_twice_is_quoting_once(name: str) -> None:
    """Lightning's further processes are given the arguments of the first."""
    once = quote_paths([f"checkpoint={name}"])
    assert quote_paths(once) == once


def test_what_is_no_path_stays() -> None:
    arguments = ["model=n,s", "-m", "data.split={train: 0.5, val: 0.5}", "checkpoint=null", "resume=", "fit=false", "--help"]
    assert quote_paths(arguments) == arguments


def test_every_path_key_is_a_setting() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", ["init=checkpoint"], return_hydra_config=True)
        files = compose("train", ["init=imagenet"])
        simulate = compose("simulate")
    known = {*leaves(config), *leaves(files), *leaves(simulate)}
    assert set(PATH_KEYS) <= known


@pytest.mark.parametrize(
    ("value", "text"),
    [("'a b'", "a b"), ('"a"', "a"), (r"'it\'s'", "it's"), ("a", None), ("'a'b'", None), ("'a", None), ("", None), ("3", None)],
)
def test_unquoted(value: str, text: str | None) -> None:
    assert unquoted(value) == text


# A resumed run's folder ---------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resume", "folder"),
    [
        ("outputs/train/a/checkpoints/last.ckpt", "outputs/train/a"),
        ("x/EV (1)/checkpoints/last.ckpt", "x/EV (1)"),
        ("'x/EV (1)/checkpoints/last.ckpt'", "x/EV (1)"),
        ("kept/last.ckpt", "kept"),
        ("last.ckpt", "."),
        ("x/a=b/checkpoints/last.ckpt", "x/a=b"),
    ],
)
def test_a_resumed_run_goes_on_in_its_folder(resume: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        resumed_folder([f"resume={resume}"])
    file = Path(resume.strip("'"))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    assert resumed_folder(["model=s", f"resume={resume}"]) == ["model=s", f"resume={resume}", f"hydra.run.dir={folder}"]


@pytest.mark.parametrize("arguments", [["model=s"], ["resume=null"], ["resume="], ["resume=a/last.ckpt", "hydra.run.dir=b"]])
def test_other_runs_get_none(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    Path("a/last.ckpt").touch()
    assert resumed_folder(arguments) == arguments


# Mistakes -----------------------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trainer.max_epoch=3"], ["trainer.max_epoch=3", "did you mean trainer.max_epochs=?"]),
        (["data.bach_size=3"], ["data.batch_size"]),
        (["logger=wandb", "logger.wandb.projct=x"], ["did you mean logger.wandb.project=?"]),
        (["modle=s"], ["did you mean model=?"]),
        (["model=q"], ["model=q", "l, m, n, n_p2, s, s_p6, t, x"]),
        (["optimizer=adam"], ["did you mean optimizer=adamw?"]),
        (["fit=true", "-m", "model=n,q"], ["model=q"]),
        (["-m", "model=n,s", "optimizer=sgd,adamm"], ["optimizer=adamm"]),
        (["-m", "trainer.max_epoch=1,2"], ["trainer.max_epochs"]),
        (["model=n,s"], ["model=n,s", "-m"]),
        (["thresholds.score=0,5"], ["thresholds.score=0,5", "point"]),
        (["/my/pictures"], ["/my/pictures", "key=value"]),
        (["logger=tensorboard", "logger.tensorboard.name=a (1)"], ["logger.tensorboard.name=a (1)", "quotes"]),
    ],
)
def test_a_mistake_is_one_line_that_names_it(arguments: list[str], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        check_overrides(arguments, CONF, "train")
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["model=s", "trainer.max_epochs=3"],
        ["-m", "model=n,s"],
        ["-m", "model=n,s", "seed=range(0,3)", "optimizer.lr=interval(0.001,0.1)"],
        ["-m", "model=glob(n*)"],
        ["hydra.mode=MULTIRUN", "seed=0,1"],
        ["+augmentation.intensity.mine._target_=albumentations.CLAHE"],
        ["~callbacks.progress"],
        ["experiment=emps", "data.root=x"],
        ["hydra.run.dir=x"],
        ["--help", "nonsense"],
        ["data.split={train: 0.8, val: 0.1, test: 0.1}"],
    ],
)
def test_what_is_right_passes(arguments: list[str]) -> None:
    check_overrides(arguments, CONF, "train")


def test_explain_falls_back_to_hydras_own_words() -> None:
    assert explain("something\nelse\n\nmany lines", [], CONF, "train") == "something else"


# Errors -------------------------------------------------------------------------------------------------------------------------------------------------------


def test_an_input_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left, one_line_errors():
        raise InputError("a\n  b")
    assert left.value.code == 2
    assert capsys.readouterr().err == "error: a b\n"


def test_hydras_wrapping_is_looked_through(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), one_line_errors():
        raise InstantiationException("Error in call to target") from InputError("the reason")
    assert capsys.readouterr().err == "error: the reason\n"


@pytest.mark.parametrize("error", [KeyError("a bug"), InstantiationException("of another cause")])
def test_bugs_keep_their_traceback(error: Exception) -> None:
    with pytest.raises(type(error)), one_line_errors():
        raise error
