"""Where does a backtest's report go? One HTML file, one JSON, one CSV, each written whole or not at all.

`write(BacktestResult(...), folder, name)` is the door. The HTML is for people (report_page.py), the JSON
holds everything that the page shows and every trade in full, the CSV holds the trades for a spreadsheet.
Money is integer paise in both, times are IST with their offset, floats are written so that they read back
as the same numbers. Works nothing out itself: report_summary.py does.
"""

import csv
import io
import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from files import write_atomically
from report_page import page
from report_summary import BacktestResult, Candles, Group, Measured, Summary, summarise
from rulebook.hours import IST
from stats import DAYS_A_YEAR, RESAMPLES

__all__ = ["BacktestResult", "Candles", "Summary", "Written", "as_csv", "as_json", "summarise", "write"]

SCHEMA = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Written:
    """Where the three files lie."""

    html: Path
    json: Path
    csv: Path


def write(result: BacktestResult, folder: Path, name: str) -> Written:
    """Make all three before writing any, so that a mistake leaves the old report whole."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a file: letters, digits, dot, dash and underline")
    summary = summarise(result)
    texts = {"html": page(summary), "json": as_json(summary), "csv": as_csv(summary)}
    folder.mkdir(parents=True, exist_ok=True)
    written = Written(**{kind: folder / f"{name}.{kind}" for kind in texts})
    for kind, text in texts.items():
        write_atomically(getattr(written, kind), text.encode())
    return written


def as_json(summary: Summary) -> str:
    result = summary.result
    document = {
        "schema": SCHEMA,
        "made_at": _time(result.made_at) if result.made_at else None,
        "strategy": {
            "name": result.strategy,
            "parameters": dict(result.parameters),
            "hash": result.parameters_hash,
        },
        "settings_hash": result.settings_hash,
        "data_span": result.data_span,
        "conventions": {"days_a_year": DAYS_A_YEAR, "resamples": RESAMPLES, "seed": result.seed},
        "verdict": asdict(summary.verdict),
        "warnings": list(result.warnings),
        "counts": dict(result.counts),
        "measures": _measures(summary),
        "daily": [
            {"day": day.isoformat(), "net_paise": int(net)}
            for day, net in zip(result.days, summary.daily, strict=True)
        ],
        "by_ticker": _groups(summary.by_ticker),
        "by_hour": _groups(summary.by_hour),
        "by_reason": _groups(summary.by_reason),
        "trades": [fields(trade) | {"stop_path": _path(trade)} for trade in summary.trades],
    }
    # A NaN would be written as a word that no other reader takes for JSON.
    return json.dumps(document, allow_nan=False, separators=(",", ":")) + "\n"


def _measures(summary: Summary) -> dict[str, Any]:
    share, mean_positions = summary.exposure
    return {
        "trades": len(summary.trades),
        "sessions": len(summary.result.days),
        "net_paise": summary.costs.net,
        "capital_paise": summary.result.capital_paise,
        "mean_r": asdict(summary.mean_r),
        "sharpe": asdict(summary.sharpe),
        "sortino": asdict(summary.sortino),
        "win_rate": summary.win_rate,
        "profit_factor": summary.profit_factor,
        "max_drawdown": {
            "paise": int(summary.drawdown.depth),
            "days": summary.drawdown.days,
            "longest_days": summary.drawdown.longest_days,
        },
        "exposure": {"share_of_time": share, "mean_positions": mean_positions},
        "turnover_paise": summary.turnover,
        "costs_paise": asdict(summary.costs) | {"charges_by_kind": dict(summary.result.charges_by_kind)},
        "trials": summary.result.trials,
        "deflated_sharpe": asdict(summary.deflated) if summary.deflated else None,
        "overfitting": {
            "probability": summary.overfitting.probability,
            "loss_share": summary.overfitting.loss_share,
            "candidates": len(summary.result.candidates),
        }
        if summary.overfitting
        else None,
    }


def _groups(groups: list[Group]) -> list[dict[str, Any]]:
    return [
        {
            "name": group.name,
            "trades": group.trades,
            "win_rate": group.win_rate,
            "mean_r": group.mean_r,
            "net_paise": group.net,
        }
        for group in groups
    ]


def fields(measured: Measured) -> dict[str, Any]:
    """A trade as a row: what happened, then what it measures."""
    trade = measured.trade
    return {
        "number": measured.number,
        "ticker": trade.ticker,
        "side": trade.side.name,
        "qty": trade.qty,
        "decided_at": _time(trade.decided_at),
        "decision_price_paise": trade.decision_price,
        "entered_at": measured.entered.isoformat(),
        "entry_value_paise": trade.entry_value,
        "initial_stop_paise": trade.initial_stop,
        "exited_at": measured.exited.isoformat(),
        "exit_value_paise": trade.exit_value,
        "intended_exit_paise": trade.intended_exit,
        "reason": trade.reason.name,
        "worst_paise": trade.worst,
        "best_paise": trade.best,
        "risk_paise": trade.risk,
        "charges_paise": trade.charges,
        "net_paise": measured.net,
        "r": measured.r,
        "mae_r": measured.mae_r,
        "mfe_r": measured.mfe_r,
        "percent_mfe": measured.percent_mfe,
        "shortfall_percent": measured.shortfall_percent,
        "adherence_percent": measured.adherence_percent,
        "followed_bits": int(trade.followed),
    }


def as_csv(summary: Summary) -> str:
    """A header even without trades, or a reader would not know an empty file from a broken one."""
    text = io.StringIO(newline="")
    names = _CSV_FIELDS
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for trade in summary.trades:
        row = fields(trade)
        writer.writerow(row | {"ticker": _no_formula(row["ticker"])})
    return text.getvalue()


def _no_formula(text: str) -> str:
    """A spreadsheet runs a cell that starts like a formula; a quote before it keeps it text."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _time(at: datetime) -> str:
    return at.astimezone(IST).isoformat()


def _path(measured: Measured) -> list[tuple[str, int]]:
    return [(_time(at), stop) for at, stop in measured.trade.stop_path]


_CSV_FIELDS = (
    "number", "ticker", "side", "qty", "decided_at", "decision_price_paise", "entered_at",
    "entry_value_paise", "initial_stop_paise", "exited_at", "exit_value_paise", "intended_exit_paise",
    "reason", "worst_paise", "best_paise", "risk_paise", "charges_paise", "net_paise", "r", "mae_r",
    "mfe_r", "percent_mfe", "shortfall_percent", "adherence_percent", "followed_bits",
)  # fmt: skip
