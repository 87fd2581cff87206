"""The page of a checked data set: one file without a network, its figures within, that opens from the file system."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from exolight.data.check.problems import Problem

MOST_LISTED = 300  # problems; the rest are in the table only

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1c1c; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0.2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.lead, figcaption, td.advice { color: #555; }
table { border-collapse: collapse; width: 100%; margin: 0.6rem 0; font-size: 0.92em; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.6rem 0.3rem 0; border-bottom: 1px solid #e2e2e2; }
th { font-weight: 600; }
table.problems td { overflow-wrap: anywhere; }
table.problems td.severity { font-weight: 600; white-space: nowrap; }
.error { color: #b3261e; } .warning { color: #8a5300; } .note { color: #33618d; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; border: 1px solid #e2e2e2; }
"""


class Table(NamedTuple):
    """A heading, a sentence below it, the columns' names and rows of words."""

    heading: str
    sentence: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def page(title: str, lead: str, problems: Sequence[Problem], tables: Sequence[Table], figures: Mapping[Path, str]) -> str:
    """The page as HTML.

    Args:
        title, lead: of the whole.
        problems: the worst first.
        tables: in their order.
        figures: PNG files and what is to be seen on them.
    """
    parts = [f"<h1>{_words(title)}</h1>", f'<p class="lead">{_words(lead)}</p>', _problems(problems)]
    parts += [f"<h2>{_words(each.heading)}</h2><p>{_words(each.sentence)}</p>{_table(each.columns, each.rows)}" for each in tables]
    parts += ["<h2>Figures</h2>"] if figures else []
    for path, caption in figures.items():
        data = base64.b64encode(path.read_bytes()).decode()
        picture = f'<img alt="{_words(path.stem)}" src="data:image/png;base64,{data}">'
        parts.append(f"<figure>{picture}<figcaption><strong>{_words(path.stem)}</strong>: {_words(caption)}</figcaption></figure>")
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{_words(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def _problems(problems: Sequence[Problem]) -> str:
    if not problems:
        return "<h2>Problems</h2><p>None found.</p>"
    more = f"<p>{len(problems) - MOST_LISTED} more are in problems.csv.</p>" if len(problems) > MOST_LISTED else ""
    rows = "".join(
        f'<tr><td class="severity {each.severity}">{each.severity}</td><td>{_words(each.where)}</td><td>{_words(each.found)}</td>'
        f'<td class="advice">{_words(each.advice)}</td></tr>'
        for each in problems[:MOST_LISTED]
    )
    return f"<h2>Problems</h2><table class='problems'>{_header(('', 'where', 'what', 'what to do'))}{rows}</table>{more}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"<table>{_header(columns)}{''.join('<tr>' + ''.join(f'<td>{_words(cell)}</td>' for cell in row) + '</tr>' for row in rows)}</table>"


def _header(columns: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<th>{_words(column)}</th>" for column in columns) + "</tr>"


def _words(text: str) -> str:
    """Safe between tags and in attributes; a name that is no UTF-8 is shown with its escapes."""
    return html.escape(text.encode("utf-8", "backslashreplace").decode("utf-8"))
