"""Between the shell and Hydra: paths of any spelling, one-line errors, a resumed run's own folder."""

import difflib
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException, InstantiationException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from exolight.errors import InputError

# Their values are file names: taken verbatim, whatever characters Hydra's grammar gives a meaning to.
PATH_KEYS = ("checkpoint", "resume", "init.path", "init.file", "data.root", "data.cache_folder", "hydra.run.dir", "hydra.sweep.dir", "out")
SWEEP = ("-m", "--multirun")


def quote_paths(arguments: Sequence[str]) -> list[str]:
    """Overrides of ``PATH_KEYS`` with their value quoted for Hydra, the others as they are. ``null``, empty and already quoted values stay."""
    quoted = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and key.lstrip("+") in PATH_KEYS and value not in ("", "null") and unquoted(value) is None:
            # OmegaConf would look up ${x}; a backslash keeps it, and those before it need one each.
            literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
            argument = f"{key}={QuotedString(literal, Quote.single).with_quotes()}"
        quoted.append(argument)
    return quoted


def unquoted(value: str) -> str | None:
    """What stands between the quotes of a value that is quoted as Hydra's grammar wants it; None for any other value."""
    try:
        parsed = OverridesParser.create().parse_override(f"key={value}").value()
    except HydraException:
        return None
    return str(parsed) if value[:1] in ("'", '"') and isinstance(parsed, str) else None


def resumed_folder(arguments: Sequence[str]) -> list[str]:
    """A resumed run goes on in its own folder, unless one is given: ``resume=RUN/checkpoints/last.ckpt`` adds ``hydra.run.dir=RUN``.

    Raises:
        InputError: there is no such checkpoint. Said here, because the run's folder would be made before anybody opens it.
    """
    values = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    resume = values.get("resume", "null")
    if resume in ("", "null"):
        return list(arguments)
    path = Path(unquoted(resume) or resume)
    if not path.is_file():
        raise InputError(f"resume={path}: no such file; give a run's checkpoints/last.ckpt")
    if "hydra.run.dir" in values:
        return list(arguments)
    folder = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    return [*arguments, f"hydra.run.dir={folder}"]


def check_overrides(arguments: Sequence[str], config_dir: Path, config_name: str) -> None:
    """Compose once, and once for every further value of a sweep, to find what is mistyped.

    Raises:
        InputError: naming the key or choice and the closest real ones.
    """
    overrides = [a for a in arguments if a not in SWEEP]
    if any(a.startswith("-") for a in overrides):
        return  # --help, --cfg and the like are Hydra's own business
    sweeping = len(overrides) < len(arguments) or any(a.startswith("hydra.mode=") for a in overrides)
    with initialize_config_dir(str(config_dir), version_base="1.3"):
        tried = overrides
        try:
            parser = OverridesParser.create(GlobalHydra.instance().config_loader())
            for tried in jobs(parser.parse_overrides(overrides), sweeping):
                compose(config_name, tried)
        except OverrideParseException as error:
            how = "settings are key=value, and a value with special characters needs its own quotes: \"key='a, b'\""
            raise InputError(f"{error.override}: {str(error).splitlines()[0]}; {how}") from error
        except (HydraException, OmegaConfBaseException) as error:
            raise InputError(explain(str(error), tried, config_dir, config_name)) from error


def jobs(overrides: Sequence[Override], sweeping: bool) -> Iterator[list[str]]:
    """The overrides of a single run, and of as many further runs as it takes to see every listed value of a sweep once.

    Raises:
        InputError: several values outside of a sweep.
    """
    choices: list[list[str]] = []
    for override in overrides:
        line = override.input_line or ""
        if not override.is_sweep_override():
            choices.append([line])
        elif not sweeping:
            raise InputError(f"{line}: these are several values, a sweep, which needs -m; a list is written in brackets, a decimal point is a point")
        elif override.is_discrete_sweep():
            choices.append([f"{line.split('=', 1)[0]}={value}" for value in override.sweep_string_iterator()])
    first = [values[0] for values in choices]
    yield first
    for i, values in enumerate(choices):
        for value in values[1:]:
            yield [*first[:i], value, *first[i + 1 :]]


def explain(message: str, overrides: Sequence[str], config_dir: Path, config_name: str) -> str:
    """One line out of Hydra's many: the override at fault, and what was probably meant."""
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
            chosen = [o for o in overrides if o != override and (config_dir / o.partition("=")[0]).is_dir()]
            keys = leaves(compose(config_name, chosen)) + sorted(p.name for p in config_dir.iterdir() if p.is_dir() and p.name != "hydra")
            close = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
            meant = f"did you mean {close[0]}=? " if close else ""
            return f"{override}: there is no setting of this name here; {meant}(+{key}= would add a new one)"
    return first


def leaves(node: object, prefix: str = "") -> list[str]:
    """The dotted names of all settings below a config node, without resolving any."""
    if not isinstance(node, DictConfig):
        return [prefix]
    found = []
    for key in map(str, node):
        child = None if OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key) else node[key]
        found += leaves(child, f"{prefix}.{key}" if prefix else key)
    return found


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print what the user can mend as one line and leave with exit status 2; anything else keeps its traceback."""
    try:
        yield
    except (InputError, InstantiationException) as error:
        # Hydra wraps what a constructor raises.
        cause = error if isinstance(error, InputError) else error.__cause__
        if not isinstance(cause, InputError):
            raise
        print(f"error: {' '.join(str(cause).split())}", file=sys.stderr, flush=True)
        raise SystemExit(2) from None


def prepare(config_dir: Path, config_name: str) -> None:
    """Make ``sys.argv`` fit for Hydra, or leave with one line that says what is wrong with it."""
    with one_line_errors():
        arguments = quote_paths(resumed_folder(sys.argv[1:]))
        arguments.sort(key=lambda argument: argument not in SWEEP)  # argparse refuses -m between settings
        check_overrides(arguments, config_dir, config_name)
    sys.argv[1:] = arguments
