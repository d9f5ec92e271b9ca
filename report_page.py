"""How is a backtest shown to a person? One HTML file that needs nothing else and reaches for nothing.

Tables and sentences are HTML, so they are there without JavaScript; pictures and the trade list are drawn
by web/report/report.js from numbers embedded as JSON. The page's own policy allows the one script and the
one style sheet in it, by their hashes, and forbids every request. Names of strategies, tickers and
parameters are strangers' text: Jinja escapes them in HTML, embedded() in JSON, and the script only ever
sets text. Works out no statistic: report_summary.py does; knows no file but its template's pieces.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import stats
from report_candles import bars_of, paths_of
from report_summary import Measured, Summary
from report_tables import cards, costs, grouped_digits, groups, measures, moment, rupees, signed
from rulebook.records import ExitReason
from rulebook.trades import Followed

PIECES = Path(__file__).parent / "web" / "report"
HISTOGRAM_STEP_R = 0.25
HISTOGRAM_ENDS_R = (-3.0, 6.0)  # what lies beyond is counted in the outer bars


def page(summary: Summary) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    world = Environment(
        loader=FileSystemLoader(PIECES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    style, script = (PIECES / "report.css").read_text(), (PIECES / "report.js").read_text()
    return world.get_template("report.html").render(
        summary=summary, result=summary.result, made_at=moment(summary.result.made_at),
        cards=cards(summary), measures=measures(summary), costs=costs(summary), groups=groups(summary),
        rupees=rupees, signed=signed, digits=grouped_digits, years=stats.DAYS_A_YEAR,
        resamples=stats.RESAMPLES, style=style, script=script, policy=policy(style, script),
        data=embedded(data(summary)),
    )  # fmt: skip


def policy(style: str, script: str) -> str:
    rules = {
        "default-src": "'none'",
        "style-src": _hash(style),
        "script-src": _hash(script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def embedded(value: object) -> str:
    """JSON that cannot end its script element, whatever a name contains."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


# --- what the script draws -------------------------------------------------------------------------


def data(summary: Summary) -> dict[str, Any]:
    bars, paths = bars_of(summary.trades, summary.result.candles), paths_of(summary.trades)
    return {
        "days": [day.isoformat() for day in summary.result.days],
        "daily": summary.daily.tolist(),
        "histogram": histogram([trade.r for trade in summary.trades]),
        "reasons": {int(reason): reason.name.lower().replace("_", " ") for reason in ExitReason},
        "rules": [rule.name.lower().replace("_", " ") for rule in Followed if rule.name],
        **columns(summary.trades),
        "bars": {"counts": bars.counts, "merged": bars.merged, "unit": bars.unit_paise, "data": bars.data},
        "stops": {"counts": paths.counts, "data": paths.data},
    }


def columns(trades: Sequence[Measured]) -> dict[str, Any]:
    """A list a field; ratios in thousandths, percents in tenths, times in seconds of the day."""
    tickers = sorted({trade.trade.ticker for trade in trades})
    place = {ticker: i for i, ticker in enumerate(tickers)}
    rows = [_row(trade, place[trade.trade.ticker]) for trade in trades]
    names = (
        "ticker", "side", "qty", "day", "in", "held", "entry", "exit", "stop", "reason", "r", "mae", "mfe",
        "kept", "shortfall", "followed", "charges", "net",
    )  # fmt: skip
    lists = zip(*rows, strict=True) if rows else ([] for _ in names)
    return {"tickers": tickers, "trades": dict(zip(names, map(list, lists), strict=True))}


def _row(measured: Measured, ticker: int) -> tuple[int, ...]:
    trade, entered = measured.trade, measured.entered
    return (
        ticker, int(trade.side), trade.qty, measured.day,
        entered.hour * 3600 + entered.minute * 60 + entered.second,
        round((measured.exited - entered).total_seconds()),
        trade.entry_value, trade.exit_value, trade.initial_stop, int(trade.reason),
        round(1e3 * measured.r), round(1e3 * measured.mae_r), round(1e3 * measured.mfe_r),
        round(10 * measured.percent_mfe), round(10 * measured.shortfall_percent), int(trade.followed),
        trade.charges, measured.net,
    )  # fmt: skip


def histogram(rs: Sequence[float]) -> dict[str, Any]:
    """Counts of bars of a quarter R; zero is always an edge, so no bar mixes winners and losers."""
    low, high = HISTOGRAM_ENDS_R
    bars = round((high - low) / HISTOGRAM_STEP_R)
    places = np.floor((np.asarray(rs, dtype=np.float64) - low) / HISTOGRAM_STEP_R).astype(np.int64)
    counts = np.bincount(np.clip(places, 0, bars - 1), minlength=bars)
    return {"low": low, "step": HISTOGRAM_STEP_R, "counts": counts.tolist()}
