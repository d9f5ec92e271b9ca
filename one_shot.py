"""What are the quotes, the features and the winner's words right now? Three views, each asked once.

Each prepares what it needs in a process of its own, takes no lock and sends no order; what the gates would
say is not asked here (dry_run.py). Outside of the exchange's hours it answers of the last quotes and bars
there are, and says from when they are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cli import Answer, Run
from kite.books import Quoted
from kite.units import rupees
from looking import reader
from rulebook.fills import BPS
from rulebook.hours import IST
from so_far import SoFar, catch_up, so_far
from study import recipes
from trading_wiring import Wiring, wiring
from watch import DRY_RUN

if TYPE_CHECKING:
    import numpy as np

QUOTE_HEAD = ("ticker", "last", "bid", "ask", "spread_bp", "bid_qty", "ask_qty", "age_s")


def quotes(run: Run) -> Answer:
    """`--fn one_shot_quotes`."""
    with wiring(run, DRY_RUN) as w:
        found = reader(w).quotes(list(w.shares))
        now = run.clock.now()
    rows = [quote_row(found[name], now) for name in sorted(found)]
    missing = sorted(set(w.shares) - set(found))
    lines = [_columns(QUOTE_HEAD), *(_columns([row[name] for name in QUOTE_HEAD]) for row in rows)]
    lines += [f"the broker has no quote of: {', '.join(missing)}"] if missing else []
    return Answer({"quotes": rows, "missing": missing}, "\n".join(lines))


def features(run: Run) -> Answer:
    """`--fn one_shot_features`: the newest row of each ticker and timeframe."""
    with wiring(run, DRY_RUN) as w:
        known, names = known_now(w), next(iter(recipes(run.settings).values())).names
        windows, is_there = known.windows()
        seen_at = known.seen_at()
    rows = list(_feature_rows(known, windows, is_there, seen_at))
    data = {"names": list(names), "rows": rows}
    return Answer(data, "\n".join(_feature_line(row, names) for row in rows))


def infer(run: Run) -> Answer:
    """`--fn one_shot_infer`: what the winner says of each ticker, and the values of its three actions."""
    from ml import ACTIONS

    with wiring(run, DRY_RUN) as w:
        engine, winner = w.winner
        known = known_now(w)
        windows, is_there = known.windows()
        at = known.seen_at()[w.grid.timeframe]
    q = engine.q(_without_gaps(windows, is_there), is_there)
    said = engine.said(q, is_there)
    rows: list[dict[str, Any]] = [
        {"ticker": name, "action": said[name][0], "confidence": said[name][1],
         "q": {ACTIONS[n]: float(value) for n, value in enumerate(q[place])}}
        for place, name in enumerate(engine.tickers) if name in said
    ]  # fmt: skip
    missing = sorted(set(engine.tickers) - set(said))
    data = {
        "bar_opened_at": at.isoformat(),
        "model_hash": winner.card.model_hash,
        "rows": rows,
        "missing": missing,
    }
    lines = [f"of the bar that opened at {_minute(at.isoformat())} IST, by {winner.card.model_hash}"]
    lines += [
        f"{row['ticker']:12}  {row['action']:4}  {row['confidence']:.3f}  {_of_q(row['q'])}" for row in rows
    ]
    lines += [f"no such bar, or features that are no numbers: {', '.join(missing)}"] if missing else []
    return Answer(data, "\n".join(lines))


# --- quotes -----------------------------------------------------------------------------------------------


def quote_row(quote: Quoted, now: datetime) -> dict[str, Any]:
    """Rupees; None where there is nothing of it. `age_s`: since the exchange's own stamp."""
    bid, ask = (side[0].price if side else 0 for side in (quote.bids, quote.asks))
    return {
        "ticker": quote.ticker,
        "last": rupees(quote.last),
        "bid": rupees(bid) if bid else None,
        "ask": rupees(ask) if ask else None,
        "spread_bp": round((ask - bid) * 2 * BPS / (ask + bid), 2) if bid and ask else None,
        "bid_qty": sum(level.qty for level in quote.bids),
        "ask_qty": sum(level.qty for level in quote.asks),
        "age_s": None if quote.at is None else round((now - quote.at).total_seconds(), 1),
        "at": None if quote.at is None else quote.at.isoformat(),
    }


# --- features ---------------------------------------------------------------------------------------------


def known_now(w: Wiring) -> SoFar:
    """Candles on disk, and today's so far."""
    known = so_far(w)
    catch_up(known, w, reader(w))
    return known


def _feature_rows(
    known: SoFar, windows: Mapping[str, "np.ndarray[Any, Any]"], is_there: "np.ndarray[Any, Any]",
    seen_at: Mapping[str, datetime],
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """None for the values of who has not that bar."""
    for place, ticker in enumerate(known.tickers):
        for timeframe, window in windows.items():
            values = [float(value) for value in window[-1, place]] if is_there[place] else None
            at = seen_at[timeframe].astimezone(IST).isoformat()
            yield {"ticker": ticker, "timeframe": timeframe, "opened_at": at, "values": values}


def _without_gaps(
    windows: Mapping[str, "np.ndarray[Any, Any]"], is_there: "np.ndarray[Any, Any]"
) -> dict[str, "np.ndarray[Any, Any]"]:
    """Who is not there is not asked about, and must not spoil the others' numbers."""
    found = {name: window.copy() for name, window in windows.items()}
    for window in found.values():
        window[:, ~is_there] = 0.0
    return found


# --- words ------------------------------------------------------------------------------------------------


def _columns(values: Iterable[object]) -> str:
    first, *others = ("-" if value is None else str(value) for value in values)
    return f"{first:12}" + "".join(f"{other:>12}" for other in others)


def _minute(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(IST):%Y-%m-%d %H:%M}"


def _feature_line(row: Mapping[str, Any], names: Sequence[str]) -> str:
    values = row["values"]
    told = "no such bar, or features that are no numbers"
    if values is not None:
        pairs = zip(names, values, strict=True)
        told = "  ".join(f"{name.removeprefix('f_')} {value:.3f}" for name, value in pairs)
    return f"{row['ticker']:12}  {row['timeframe']:4}  {_minute(row['opened_at'])}  {told}"


def _of_q(q: Mapping[str, float]) -> str:
    return "  ".join(f"{action} {value:+.4f}" for action, value in q.items())
