"""The command ``exolight``: predict.py, train.py and what goes before and after them, from any folder.

exolight predict PICTURES... [key=value ...]    as python predict.py
exolight train [key=value ...]                  as python train.py
exolight check data=... data.root=... out=...   a data set looked at before training
exolight convert source=... format=... out=...  annotations, or what was predicted, in the format of another tool
exolight compare PREDICTION [samples=SHEET]     conditions of a finished prediction beside each other, with donors as N
exolight doctor                                 what is installed, which devices there are, a self-test, and what to do about what is missing
"""

import runpy
import sys
from pathlib import Path

PROGRAMS = Path(__file__).parents[1]  # the checkout, where train.py, predict.py and conf/ are


def main() -> int:
    """Hand over to the program of the verb. Returns the exit status."""
    verb = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if verb in ("predict", "train"):
        program = PROGRAMS / f"{verb}.py"
        if not program.is_file():
            print(f"{program} is not there: install exolight from its checkout, with pip install -e .", file=sys.stderr)
            return 2
        # argv as if the program had been started itself: Lightning starts it again so for further devices.
        sys.argv = [str(program), *sys.argv[2:]]
        runpy.run_path(str(program), run_name="__main__")
        return 0
    if verb in ("check", "convert"):
        sys.argv = [f"exolight.data.{verb}", *sys.argv[2:]]
        runpy.run_module(f"exolight.data.{verb}", run_name="__main__")
        return 0
    if verb == "compare":
        from exolight.reporting.compare_command import main as compare

        return compare(sys.argv[2:])
    if verb == "doctor":
        from exolight.doctor import examine

        return examine()
    print((__doc__ or "").strip(), file=sys.stdout if verb in ("-h", "--help") else sys.stderr)
    return 0 if verb in ("-h", "--help") else 2


if __name__ == "__main__":
    sys.exit(main())
