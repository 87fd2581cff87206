"""Numbers as files keep them: plain values, tables and JSON that are there whole or not at all."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Any


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A table, whole or not at all: numbers to six digits, nothing where a value is not known."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({name: "" if (value := plain(row.get(name))) is None else value for name in columns} for row in rows)
    part.replace(path)


def write_json(path: Path, content: Mapping[str, Any], digits: int | None = 6) -> None:
    """``content`` in plain values, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(plain(content, digits), indent=1, ensure_ascii=False) + "\n", encoding="utf-8", errors="backslashreplace")
    part.replace(path)


def plain(value: Any, digits: int | None = 6) -> Any:
    """What JSON knows: data classes and named tuples become dictionaries, numbers that are none become None; others have ``digits``, or all for None."""
    if is_dataclass(value):
        return {one.name: plain(getattr(value, one.name), digits) for one in fields(value)}
    if hasattr(value, "_asdict"):
        return plain(value._asdict(), digits)
    if isinstance(value, Mapping):
        return {str(key): plain(one, digits) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one, digits) for one in value]
    if isinstance(value, float):
        return None if not isfinite(value) else value if digits is None else float(f"{value:.{digits}g}")
    return value
