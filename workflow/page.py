"""One page for one study: its table, its figures and links to its executed notebooks, in a single HTML file.

Every string that comes from data is escaped; figures are embedded, so that the page can be opened and passed on alone.
"""

from __future__ import annotations

import base64
import html
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from PIL import Image, UnidentifiedImageError

from mer_lib.places import atomic_write, figures
from workflow.jobs import Plan, read_record
from workflow.report import headline, phases, read_results, summary

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; color: #1c2330; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #d5dae3; }
.honest { background: #fff6dd; border-left: 4px solid #d99a00; padding: .6rem 1rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #e4e8ef; }
th:first-child, td:first-child, td.text { text-align: left; }
figure { margin: 1.5rem 0; } img { max-width: 100%; height: auto; } figcaption { color: #5a6475; font-size: .9rem; }
"""


def write_page(plan: Plan, folder: Path) -> Path:
    """Write ``index.html`` into the study's folder and return its path."""
    results = read_results(plan, folder)
    table = summary(plan, results)
    title = f"Study {plan.study.name}"
    parts = [
        f"<h1>{_text(title)}</h1>",
        f"<p>{_text(headline(plan, results))}</p>",
        _honest(plan, results),
        "<h2>Before and after the attack</h2>",
        "<p>Means over seeds on the test clips: correlation and mean absolute error (MAE) of the eight emotions.</p>",
        _table(table, digits={"seeds": 0}),
        _attacks(plan),
        *_figures(plan.study.name, folder),
        "<h2>Executed notebooks</h2>",
        _notebooks(plan, folder),
        "<h2>Time</h2>",
        "<p>Seconds as measured when each job ran; jobs that ran side by side count in full.</p>",
        _table(phases(plan, folder), digits={"jobs": 0, "seconds": 1}),
        '<p>All numbers: <a href="results.csv">results.csv</a>; the study as run: '
        '<a href="study.yaml">study.yaml</a>.</p>',
    ]
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )
    return atomic_write(folder / "index.html", lambda part: part.write_text(page, "utf-8"))


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)


def _honest(plan: Plan, results: pd.DataFrame) -> str:
    """What the reader must know before believing a number."""
    notes = []
    if "simulated listeners" in set(results.get("ratings_kind", ())):
        notes.append(
            "The ratings come from simulated listeners, not from people: differences between systems show what the "
            "method does on this corpus, not how people hear music."
        )
    if "computed" in set(results.get("midlevel_kind", ())):
        notes.append("The mid-level values are computed from the audio; nobody rated them.")
    if plan.study["width"] != 1:
        notes.append(f"The networks have {plan.study['width']:g} of the published width.")
    if (commits := results["commit"].nunique() if "commit" in results else 1) > 1:
        notes.append(f"The networks were trained at {commits} commits of this repository: results.csv says which.")
    fewest = min(len(seeds) for seeds in plan.study["systems"].values())
    if fewest < 3:
        seeds = "one seed" if fewest == 1 else f"{fewest} seeds"
        notes.append(f"Some systems have {seeds} only: read no ranking into small differences.")
    return f'<p class="honest">{_text(" ".join(notes))}</p>' if notes else ""


def _budget(attack: dict[str, Any]) -> str:
    if "snr_db" in attack:
        return f"SNR of {_text(attack['snr_db'])} dB or more"
    unit = "of full scale" if attack["domain"] == "waveform" else "(z-scored units)"
    return f"epsilon {_text(attack['epsilon'])} {unit}"


def _attacks(plan: Plan) -> str:
    items = [
        f"<li>{_text(a['name'])}: {_text(a['domain'])} domain, {_budget(a)}, {_text(a['steps'])} steps</li>"
        for a in plan.study["attacks"]
    ]
    return "<ul>" + "".join(items) + "</ul>"


def _table(table: pd.DataFrame, digits: dict[str, int]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in table.columns)
    rows = []
    for row in table.itertuples(index=False):
        cells = [
            f'<td class="text">{_text(value)}</td>'
            if isinstance(value, str)
            else f"<td>{value:.{digits.get(name, 3)}f}</td>"
            for name, value in zip(table.columns, row, strict=True)
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _figures(study: str, folder: Path) -> list[str]:
    parts = ["<h2>Figures</h2>"]
    for path in sorted((figures() / study).glob("*.png")):
        data = base64.b64encode(path.read_bytes()).decode()
        name = path.stem.replace("_", " ").replace("-", " ")
        behind = path.with_suffix(".csv")
        link = f' (<a href="{_link(behind, folder)}">the numbers behind it</a>)' if behind.is_file() else ""
        parts.append(
            f'<figure><img alt="{_text(_described(path) or name)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{_text(name)}{link}</figcaption></figure>"
        )
    return parts if len(parts) > 1 else []


def _described(path: Path) -> str:
    """What a figure says of itself (:func:`mer_lib.plots.save_figure`)."""
    try:
        with Image.open(path) as picture:
            return str(picture.info.get("Description", ""))
    except UnidentifiedImageError:
        return ""


def _notebooks(plan: Plan, folder: Path) -> str:
    items = []
    for job in plan.jobs.values():
        page = (folder / job.executed).with_suffix(".html")
        seconds = read_record(folder, job).get("seconds")
        took = f" ({seconds:.0f} s)" if isinstance(seconds, int | float) else ""
        name = _text(job.title)
        linked = f'<a href="{_link(page, folder)}">{name}</a>' if page.is_file() else name
        items.append(f"<li>{linked}{took}</li>")
    return "<ul>" + "".join(items) + "</ul>"


def _link(path: Path, folder: Path) -> str:
    try:
        relative = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return _text(path.as_uri())
    return _text(quote(relative))
