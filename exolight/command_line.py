"""Between the shell and Hydra: paths of any spelling, one-line errors, a resumed run's own folder."""

import difflib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from exolight.errors import InputError

# Their values are file names: taken verbatim, whatever characters Hydra's grammar gives a meaning to.
PATH_KEYS = ("checkpoint", "resume", "init.path", "init.file", "data.root", "hydra.run.dir", "hydra.sweep.dir")


def quote_paths(arguments: Sequence[str]) -> list[str]:
    """Overrides of ``PATH_KEYS`` with their value quoted for Hydra, the others as they are. ``null``, empty and quoted values stay."""
    quoted = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and key.lstrip("+") in PATH_KEYS and value not in ("", "null") and not (len(value) > 1 and value[0] == value[-1] and value[0] in "'\""):
            # Hydra's grammar: in quotes a backslash only escapes the quote and, before one, itself.
            stem = value.rstrip("\\")
            tail = "\\" * (2 * (len(value) - len(stem)))
            value = "'" + stem.replace("\\'", "\\\\\\'").replace("'", "\\'") + tail + "'"
            if "${" in value:
                value = value.replace("${", "\\${")
        quoted.append(f"{key}={value}" if equals else argument)
    return quoted


def resumed_folder(arguments: Sequence[str]) -> list[str]:
    """A resumed run goes on in its own folder, unless one is given: ``resume=RUN/checkpoints/last.ckpt`` adds ``hydra.run.dir=RUN``."""
    values = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    resume = values.get("resume", "null")
    if resume in ("", "null") or "hydra.run.dir" in values:
        return list(arguments)
    path = Path(resume)
    folder = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    return [*arguments, f"hydra.run.dir={folder}"]


def check_overrides(arguments: Sequence[str], config_dir: Path, config_name: str) -> None:
    """Compose once to find what is mistyped.

    Raises:
        InputError: naming the key or choice and the closest real ones.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    overrides = [a for a in arguments if a not in ("-m", "--multirun")]
    if any(a.startswith("-") for a in overrides):
        return  # --help, --cfg and the like are Hydra's own business
    with initialize_config_dir(str(config_dir), version_base="1.3"):
        try:
            parsed = OverridesParser.create().parse_overrides(list(overrides))
            single = [f"{o.input_line.split('=', 1)[0]}={next(o.sweep_string_iterator())}" if o.is_sweep_override() else o.input_line or "" for o in parsed]
            compose(config_name, single)
        except (HydraException, OmegaConfBaseException) as error:
            raise InputError(explain(str(error), overrides, config_dir, config_name)) from error


def explain(message: str, overrides: Sequence[str], config_dir: Path, config_name: str) -> str:
    """One line out of Hydra's many: the override at fault, and what was probably meant."""
    from hydra import compose

    first = " ".join(message.split("\n\n")[0].split())
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        folder = config_dir / key
        if folder.is_dir():
            choices = sorted(p.stem for p in folder.glob("*.yaml"))
            if value and f"{key}/{value}'" in message:
                close = difflib.get_close_matches(value, choices, n=1)
                meant = f"did you mean {key}={close[0]}? " if close else ""
                return f"{override}: there is no such choice; {meant}{key} can be {', '.join(choices)}"
        elif f"'{key}'" in message or f"'{override}'" in message or key in message.split():
            keys = leaves(compose(config_name)) + sorted(p.name for p in config_dir.iterdir() if p.is_dir() and p.name != "hydra")
            close = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
            meant = f"did you mean {close[0]}=? " if close else ""
            return f"{override}: there is no setting of this name here; {meant}(+{key}= would add a new one)"
    return first


def leaves(node: object, prefix: str = "") -> list[str]:
    """The dotted names of all settings below a config node, without resolving any."""
    from omegaconf import DictConfig, OmegaConf

    if not isinstance(node, DictConfig):
        return [prefix]
    found = []
    for key in node:
        child = None if OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key) else node[key]
        found += leaves(child, f"{prefix}.{key}" if prefix else str(key))
    return found


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print what the user can mend as one line and leave with exit status 2; anything else keeps its traceback."""
    try:
        yield
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        raise SystemExit(2) from None


def prepare(config_dir: Path, config_name: str) -> None:
    """Make ``sys.argv`` fit for Hydra, or leave with one line that says what is wrong with it."""
    with one_line_errors():
        arguments = quote_paths(resumed_folder(sys.argv[1:]))
        check_overrides(arguments, config_dir, config_name)
    sys.argv[1:] = arguments
