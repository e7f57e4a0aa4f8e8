"""The verdicts as one static page of HTML: read in a minute, printed, sent around. No scripts, nothing to fetch."""

import base64
import html
import math
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple, TypeAlias, TypeGuard, cast

import pandas as pd

from goodsubnet.claims.statistics import FAILS, HOLDS, NOT_RUN, UNDECIDED
from goodsubnet.results.answers import ONE_CHECKPOINT

SIGNS = {HOLDS: ("✓", "holds"), FAILS: ("✗", "fails"), UNDECIDED: ("?", "undecided"), NOT_RUN: ("–", "not-run")}
COUNTED = {HOLDS: "hold", FAILS: "do not hold", UNDECIDED: "undecided", NOT_RUN: "not run"}
SHORT = 28
WHOLE = ("examples", "enough_at", "low", "high", "iteration", "total_iterations", "seeds")
SHARES = ("share_saved", "saved", "cost_share")
HEADINGS: dict[Hashable, str] = {
    **{"enough_at": "enough at iteration", "total_iterations": "of", "share_saved": "pre-training saved"},
    **{"regret": "accuracy below the best", "end_regret": "that at the end", "cost_share": "cost, of the training's"},
}
# Of the answers; the rest is in answers.csv.
SHOWN = (
    *("experiment", "network", "method", "examples", "enough_at", "low", "high", "total_iterations"),
    *("share_saved", "accuracy_lost", "note"),
)
HOW = "docs/claims.md says what is measured and which line decides; its lines were written before any verdict."

STYLE = """
:root { color-scheme: light; --line: #d8dee4; --soft: #57606a; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.2rem; font: 15px/1.45 system-ui, sans-serif; color: #1f2328;
  background: #fff; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
a { color: #0550ae; }
p { margin: .3rem 0; }
.soft { color: var(--soft); font-size: .87rem; }
.chip { display: inline-block; border-radius: .8rem; padding: .05rem .6rem; font-weight: 600; font-size: .85rem;
  white-space: nowrap; border: 1px solid currentColor; print-color-adjust: exact; }
.holds { color: #116329; background: #dafbe1; }
.fails { color: #a40e26; background: #ffebe9; }
.undecided { color: #7d4e00; background: #fff8c5; }
.not-run { color: #57606a; background: #f6f8fa; }
.counts { display: flex; flex-wrap: wrap; gap: .5rem; margin: .7rem 0 1rem; }
ol.claims { list-style: none; margin: 0; padding: 0; }
ol.claims > li { display: grid; grid-template-columns: 2rem 9.2rem 1fr; gap: .2rem .6rem; padding: .55rem 0;
  border-top: 1px solid var(--line); break-inside: avoid; }
ol.claims .number { font-weight: 600; text-align: right; }
ol.claims .statement { font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; width: 100%; }
th, td { text-align: left; padding: .25rem .55rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
.details th:nth-child(1) { width: 9rem; }
.details th:nth-child(2) { width: 8rem; }
.details th:nth-child(3) { width: 10rem; }
.details th:nth-child(4) { width: 18rem; }
td.short { white-space: nowrap; }
td.long { min-width: 9rem; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th.number { text-align: right; }
figure { margin: 1rem 0; break-inside: avoid; }
figure img { max-width: 100%; height: auto; }
figcaption { font-weight: 600; margin-bottom: .3rem; }
@media (max-width: 40rem) {
  ol.claims > li { grid-template-columns: 1.6rem 1fr; }
  ol.claims .text { grid-column: 1 / -1; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 11px; }
  .scroll { overflow: visible; }
  a { color: inherit; }
}
"""


PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Which claims hold</title><style>{style}</style></head>
<body>
{body}
</body></html>
"""


class Picture(NamedTuple):
    """A figure: its title, its PNG (None: only linked) and where its file lies, seen from the page (empty: nowhere)."""

    title: str
    png: bytes | None
    href: str


Figures = Mapping[tuple[str, str], tuple[str, bytes | None, str]]
_Pictures: TypeAlias = Mapping[tuple[str, str], Picture]
_Places: TypeAlias = Mapping[tuple[str, str], str]
# A judgement or a verdict as it comes from the table.
_Row: TypeAlias = dict[str, Any]


def as_html(
    judgements: pd.DataFrame,
    verdicts: pd.DataFrame,
    figures: Figures | None = None,
    answers: pd.DataFrame | None = None,
    stopping: pd.DataFrame | None = None,
    links: Mapping[str, str] | None = None,
) -> str:
    """The page. judgements, verdicts: of `claims.judge` and `claims.summary`.

    figures: (experiment, key of the figure, as in the judgements) -> `Picture`; an experiment of "" is all of them.
    Each is embedded once, and every judgement links to its own. answers: one row per experiment, network and number of
    examples, with `enough_at`, `low` and `high` in iterations, `share_saved` in [0, 1], `accuracy_lost`, `note`; those
    of one checkpoint are left out. stopping: how the stopping rules did, any columns (`stopping.scores.overview`).
    links: words -> address, to the experiments' reports.
    """
    pictures = {key: Picture(*picture) for key, picture in (figures or {}).items()}
    places = {key: f"figure-{number}" for number, key in enumerate(pictures, 1)}
    parts = [_head(verdicts), _claims(verdicts, pictures, places)]
    if answers is not None:
        answers = answers[answers["note"] != ONE_CHECKPOINT]
    if answers is not None and len(answers):
        parts.append(_answers(answers, pictures, places))
    if stopping is not None and len(stopping):
        parts.append(
            f"<h2 id='stopping'>When to stop: the rules</h2>{_table(stopping)}{_links_to('stopping', pictures, places)}"
        )
    if pictures:
        parts.append(_figures(pictures, places))
    parts.append(_details(judgements, pictures, places))
    if links:
        items = "".join(f"<li>{_link(href, words)}</li>" for words, href in links.items())
        parts.append(f"<h2>Reports</h2><ul>{items}</ul>")
    return PAGE.format(style=STYLE, body="\n".join(parts))


def effect_words(row: Mapping[str, object]) -> str:
    """The effect with its interval, and the line: "0.51 (0.32 or more), 3 seeds; holds where above 0"; may be empty."""
    if not _is_number(row["effect"]):
        return ""
    words = f"{row['statistic']}: {_number(row['effect'])}"
    low, high = row["low"], row["high"]
    if _is_number(low) or _is_number(high):
        words += f" ({_interval(low, high)})"
    if _is_number(row["seeds"]):
        unit = "seed" if row["experiment"] != "random_matrices" else "draw" if row["claim"] == 9 else "width"
        words += f", {int(row['seeds'])} {unit}{'' if row['seeds'] == 1 else 's'}"
    return f"{words}; line: {row['line']}"


def _head(verdicts: pd.DataFrame) -> str:
    counts = verdicts["verdict"].value_counts()
    chips = "".join(
        f"<span class='chip {SIGNS[verdict][1]}'>{SIGNS[verdict][0]} {counts[verdict]} {words}</span>"
        for verdict, words in COUNTED.items()
        if verdict in counts
    )
    return (
        f"<h1>Which claims hold</h1><p>The {len(verdicts)} claims of “How Much Pre-training Is Enough to Discover a "
        f"Good Subnetwork?” (arXiv 2108.00259), judged on this run.</p><div class='counts'>{chips}</div>"
        f"<p class='soft'>In parentheses: 95% intervals over seeds. {HOW}</p>"
    )


def _claims(verdicts: pd.DataFrame, pictures: _Pictures, places: _Places) -> str:
    items = []
    for row in cast(list[_Row], verdicts.to_dict("records")):
        words, reason = effect_words(row), row["reason"]
        if row["verdict"] == UNDECIDED and _said(row["judgement_reason"]):
            reason += f". Why: {row['judgement_reason']}"
        text = [f"<span class='statement'>{html.escape(row['statement'])}</span>"]
        if words:
            names = ", ".join(str(row[name]) for name in ("experiment", "lr_scaling", "part") if _said(row[name]))
            text.append(f"<p>{html.escape(_sentence(words))} <span class='soft'>[{html.escape(names)}]</span></p>")
        text.append(f"<p class='soft'>{html.escape(_sentence(reason))} {_links(row, pictures, places)}</p>")
        items.append(
            f"<li><span class='number'>{row['claim']}</span><span>{_chip(row['verdict'])}</span>"
            f"<div class='text'>{''.join(text)}</div></li>"
        )
    return f"<ol class='claims'>{''.join(items)}</ol>"


def _links(row: _Row, pictures: _Pictures, places: _Places) -> str:
    key = _figure_of(row, pictures)
    found = [f"<a href='#{places[key]}'>figure</a>"] if key else []
    return " · ".join([*found, f"<a href='#claim-{row['claim']}'>all judgements</a>"])


def _figure_of(row: _Row, pictures: _Pictures) -> tuple[str, str] | None:
    """The key of the figure that shows a judgement; None where it was not given."""
    experiment = row["experiment"] if _said(row["experiment"]) else ""
    for name in (experiment, *experiment.split(" / "), ""):
        if (name, row["figure"]) in pictures:
            return name, row["figure"]
    return None


def _answers(answers: pd.DataFrame, pictures: _Pictures, places: _Places) -> str:
    table = answers[[name for name in SHOWN if name in answers]]
    if {"low", "high"} <= set(table.columns):
        ends = [
            _interval(low, high, whole=True) if _is_number(low) or _is_number(high) else ""
            for low, high in zip(table["low"], table["high"], strict=True)
        ]
        table.insert(cast(int, table.columns.get_loc("low")), "95% interval", ends)
        table = table.drop(columns=["low", "high"])
    links = _links_to("answers", pictures, places)
    return f"<h2 id='answers'>How much pre-training was enough</h2>{_table(table)}{links}"


def _links_to(figure: str, pictures: _Pictures, places: _Places) -> str:
    """A line of links to the figures of one kind; empty where there are none."""
    found = [f"<a href='#{places[key]}'>{html.escape(pictures[key].title)}</a>" for key in pictures if key[1] == figure]
    return f"<p class='soft'>{' · '.join(found)}</p>" if found else ""


def _figures(pictures: _Pictures, places: _Places) -> str:
    parts = ["<h2>Figures</h2>"]
    for key, picture in pictures.items():
        title = html.escape(picture.title)
        caption = _link(picture.href, picture.title) if picture.href else title
        image = ""
        if picture.png is not None:
            image = f"<img alt='{title}' src='data:image/png;base64,{base64.b64encode(picture.png).decode()}'>"
        parts.append(f"<figure id='{places[key]}'><figcaption>{caption}</figcaption>{image}</figure>")
    return "".join(parts)


def _details(judgements: pd.DataFrame, pictures: _Pictures, places: _Places) -> str:
    parts = ["<h2>All judgements</h2>"]
    for claim, rows in judgements.groupby("claim", sort=True):
        cells = []
        for row in cast(list[_Row], rows.to_dict("records")):
            names = [str(row[name]) for name in ("experiment", "method", "lr_scaling") if _said(row[name])]
            figure = _figure_of(row, pictures)
            link = f" <a href='#{places[figure]}'>figure</a>" if figure else ""
            words = (row["part"] if _said(row["part"]) else "", ", ".join(names), effect_words(row))
            reason = html.escape(row["reason"]) if _said(row["reason"]) else ""
            middle = "".join(f"<td>{html.escape(str(each))}</td>" for each in words)
            cells.append(f"<tr><td>{_chip(row['verdict'])}</td>{middle}<td>{reason}{link}</td></tr>")
        head = "<tr><th>verdict</th><th>part</th><th>judged on</th><th>effect</th><th>reason</th></tr>"
        statement = html.escape(rows["statement"].iloc[0])
        parts.append(f"<h3 id='claim-{claim}'>{claim}. {statement}</h3>")
        parts.append(f"<div class='scroll'><table class='details'>{head}{''.join(cells)}</table></div>")
    return "".join(parts)


def _table(table: pd.DataFrame) -> str:
    numeric = {name: pd.api.types.is_numeric_dtype(table[name]) for name in table}
    head = "".join(
        f"<th{_class(numeric[name])}>{html.escape(HEADINGS.get(name, str(name).replace('_', ' ')))}</th>"
        for name in table
    )
    rows = [
        "".join(
            f"<td{_class(numeric[name], _cell(name, cell))}>{html.escape(_cell(name, cell))}</td>"
            for name, cell in zip(table, row, strict=True)
        )
        for row in table.itertuples(index=False)
    ]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<div class='scroll'><table><tr>{head}</tr>{body}</table></div>"


def _class(numeric: bool, words: str = "") -> str:
    if numeric:
        return " class='number'"
    return f" class='{'short' if len(words) < SHORT else 'long'}'"


def _cell(name: Hashable, cell: object) -> str:
    if not _said(cell):
        return ""
    if isinstance(cell, bool) or not _is_number(cell):
        return str(cell)
    if name in SHARES:
        return f"{cell:.0%}"
    if name in WHOLE:
        return _number(cell, whole=True)
    return _number(cell)


def _chip(verdict: str) -> str:
    sign, kind = SIGNS[verdict]
    return f"<span class='chip {kind}'>{sign} {verdict}</span>"


def _link(href: str, words: str) -> str:
    return f"<a href='{html.escape(href, quote=True)}'>{html.escape(words)}</a>"


def _interval(low: object, high: object, whole: bool = False) -> str:
    open_below, open_above = not _is_number(low) or math.isinf(low), not _is_number(high) or math.isinf(high)
    if open_below and open_above:
        return "any value"
    if open_above:
        return f"{_number(cast(float, low), whole)} or more"
    if open_below:
        return f"{_number(cast(float, high), whole)} or less"
    return f"{_number(cast(float, low), whole)} to {_number(cast(float, high), whole)}"


def _number(number: float, whole: bool = False) -> str:
    if math.isinf(number):
        return "beyond the last"
    if whole or abs(number) >= 1000 or number == int(number):
        return f"{number:,.0f}".replace("-", "−")
    return f"{number:#.3g}".removesuffix(".").replace("-", "−")


def _sentence(words: str) -> str:
    # Not the l of l(z_1).
    first = words[:1].upper() if words[1:2].isalpha() else words[:1]
    return f"{first}{words[1:].removesuffix('.')}."


def _said(cell: object) -> bool:
    return cell is not None and not pd.isna(cast(float, cell)) and cell != ""


def _is_number(cell: object) -> TypeGuard[float]:
    try:
        return cell is not None and not pd.isna(cast(float, cell)) and not math.isnan(float(cast(float, cell)))
    except (TypeError, ValueError):
        return False
