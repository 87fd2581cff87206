"""Reads the pictures whose paths come in, a line each, and answers with a line of JSON: the outcome, and this process's peak memory so far.

The first argument is how many seconds of the processor's time, whatever else the machine is doing, a picture may take.
"""

import json
import logging
import resource
import sys
import traceback
import warnings
from pathlib import Path

from exolight.errors import InputError
from exolight.micrograph import read_micrograph, read_size


def outcome(path: Path) -> str:
    """ "read" or "refused"; anything else is a fault, told in full."""
    try:
        micrograph = read_micrograph(path)
    except InputError as error:
        return "refused" if "\n" not in str(error) and str(error).startswith(str(path)) else f"a message of several lines, or without the file: {error}"
    except BaseException:
        return traceback.format_exc()
    height, width = micrograph.pixels.shape
    if micrograph.pixels.dtype.name not in ("uint8", "uint16", "float32") or read_size(path) != (height, width):
        return f"{micrograph.pixels.dtype} {micrograph.pixels.shape}, in the header {read_size(path)}"
    return "read"


def peak_mib() -> float:
    """Of the memory that this process has ever held."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux: there ru_maxrss begins with what the parent held
        return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    logging.disable()
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = int(used.ru_utime + used.ru_stime) + 1 + int(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))  # the system ends what goes on for longer
        print(json.dumps([outcome(Path(line.rstrip("\n"))), peak_mib()]), flush=True)
