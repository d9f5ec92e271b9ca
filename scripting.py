"""What can a user's own script ask of trade.py? The named functions: `from trade import should_exit_long`.

They are doors, not copies: the decisions are the rule book's, quotes and positions the broker's and the
journal's, an entry or an exit is a session for one wish (errands.py). Prices are rupees here, as on the
broker's page, and become paise at once. Each works in the folder of config.json and .env.
"""

import os
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cli
from flags import clock_time
from outcome import DataError, ExitCode, NetworkError, RefusedError, SuiteError
from positions_now import Held, Positions, positions_now
from rulebook import rules
from rulebook.records import Action, Paise, Side
from rulebook.stops import better, trailed

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from ml import InferenceEngine
    from settings import Settings
    from trading_wiring import Wiring

ENDED: Mapping[ExitCode, type[SuiteError]] = {
    ExitCode.REFUSED: RefusedError,
    ExitCode.BROKER: NetworkError,
    ExitCode.DATA: DataError,
}


# --- the rules --------------------------------------------------------------------------------------------


def should_exit_long(signal: str, price: float, trailing_stop_r: float, pos: Held) -> bool:
    """SELL, or a price below the trailing stop."""
    return _should_exit(Side.BUY, signal, price, trailing_stop_r, pos)


def should_exit_short(signal: str, price: float, trailing_stop_r: float, pos: Held) -> bool:
    """BUY, or a price above the trailing stop."""
    return _should_exit(Side.SELL, signal, price, trailing_stop_r, pos)


def can_enter(is_max_conf: bool, signal: str, active_count: int, cfg: "Mapping[str, Any] | Settings") -> bool:
    """Whether the winner of the contest finds room; the gates come after (enter_trade)."""
    most = cfg["max_concurrent_trades"] if isinstance(cfg, Mapping) else cfg.max_concurrent_trades
    said = rules.Rules(capital=1, max_concurrent=most)
    takes_part = rules.takes_part(Action(signal).sign, 1.0, said)
    return is_max_conf and takes_part and rules.has_free_place(active_count, said)


def _should_exit(side: Side, signal: str, price: float, trailing_stop_r: float, pos: Held) -> bool:
    if pos.side is not side:
        raise ValueError(f"{pos.ticker} is held by a {pos.side.name}, this asks about a {side.name}")
    sign, last, tick = int(side), _paise(price), _paise(pos.tick)
    stop, best = _paise(pos.stop), better(int(side), _paise(pos.best), last)
    risk = sign * (_paise(pos.avg_price) - stop)
    trail = trailed(sign, stop, best, risk, round(1_000 * trailing_stop_r), tick)
    reason = rules.exit_at_close(sign, Action(signal).sign, last, trail, is_after_safe_end=False)
    return reason != rules.STAY


# --- the model --------------------------------------------------------------------------------------------


def load_winner(path: str | Path) -> "InferenceEngine":
    """The promoted model of that folder, to be asked about the configured tickers."""
    import ml

    settings = _run().settings
    engine, _ = ml.load_winner(Path(path), settings, settings.tickers)
    return engine


def build_live_features(
    quotes: "pd.DataFrame", cache: MutableMapping[str, Any]
) -> "dict[str, np.ndarray[Any, Any]]":
    """By timeframe bar x ticker x feature, of the newest bar that is over, tickers in their order; who has no
    quote or not that bar is NaN. `cache` is yours, empty at first, and good until the next bar is over."""
    import numpy as np

    with _looking() as w:
        key = (w.day.day, w.day.over_by(w.run.clock.now()), tuple(w.shares))
        if cache.get("key") != key:
            from one_shot import known_now

            cache.update(key=key, known=known_now(w))
        names = sorted(w.run.settings.tickers)
    known = cache["known"]
    windows, is_there = known.windows()
    asked = set(quotes["ticker"])
    found = {}
    for timeframe, window in windows.items():
        found[timeframe] = np.full((len(window), len(names), window.shape[2]), np.nan, np.float32)
        for place, ticker in enumerate(known.tickers):
            if is_there[place] and ticker in asked:
                found[timeframe][:, names.index(ticker)] = window[:, place]
    return found


def infer(
    engine: "InferenceEngine", features: "Mapping[str, np.ndarray[Any, Any]]"
) -> dict[str, tuple[str, float]]:
    """Action and confidence in [0, 1] of each ticker that has its features."""
    import numpy as np

    is_there = np.ones(len(engine.tickers), np.bool_)
    for window in features.values():
        is_there &= np.isfinite(window).all(axis=(0, 2))
    return engine.decide({name: np.nan_to_num(window) for name, window in features.items()}, is_there)


# --- the broker -------------------------------------------------------------------------------------------


def fetch_realtime_quotes(tickers: Iterable[str]) -> "pd.DataFrame":
    """ticker, last, bid, ask, depth (rupees and shares, five levels a side), at; None where there is none."""
    import pandas as pd

    from kite.units import rupees
    from looking import reader

    with _looking() as w:
        found = reader(w).quotes(sorted(tickers))
    rows = [
        {"ticker": name, "last": rupees(quote.last),
         "bid": rupees(quote.bids[0].price) if quote.bids else None,
         "ask": rupees(quote.asks[0].price) if quote.asks else None,
         "depth": {side: [(rupees(level.price), level.qty) for level in levels]
                   for side, levels in (("buy", quote.bids), ("sell", quote.asks))},
         "at": quote.at}
        for name, quote in sorted(found.items())
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["ticker", "last", "bid", "ask", "depth", "at"])


def portfolio_state() -> Positions:
    """Of the configured mode; beside a running trader, too."""
    with _looking() as w:
        return positions_now(w, "paper" if w.run.settings.paper_trading else "live")


def enter_trade(ticker: str, side: Side | str, qty: int, stop_price: float, mode: str) -> dict[str, Any]:
    """Through all gates. RefusedError names those that stand against it, BusyError that a trader runs."""
    from errands import Wish, enter

    wanted = side if isinstance(side, Side) else Side[side]
    found = enter(_run(), Wish(ticker, wanted, qty, Paise(_paise(stop_price))), mode)
    return {
        "entry_order_id": found.entry_order_id,
        "stop_order_id": found.stop_order_id,
        "avg_fill_price": found.avg_fill_price,
    }


def exit_trade(ticker: str, mode: str) -> None:
    """Returns when nothing of ours is open in it. BusyError: a trader runs, so ask it: `--fn flatten`."""
    from errands import leave

    leave(_run(), ticker, mode)


def loop_until(end_time: str | time) -> None:
    """The session, flat by then; an error where it did not end well."""
    import locks
    from control import LOCK
    from trading import session

    run = _run(clock_time(end_time) if isinstance(end_time, str) else end_time)
    with locks.held(run.settings.state / LOCK, "trade.py", run.clock):
        answer = session(run)
    if answer.code is ExitCode.INTERRUPTED:
        raise KeyboardInterrupt(answer.text)
    if answer.code:
        raise ENDED.get(answer.code, SuiteError)(answer.text)


# --- the folder -------------------------------------------------------------------------------------------


def _run(end: time | None = None) -> cli.Run:
    """As the command line without a flag would have it, in this folder."""
    args = Namespace(
        config="config.json", mode=None, end=end, loop_ms=250, confirm_live=False, json=False, level="WARNING"
    )
    return cli.run_of(args, os.environ)


@contextmanager
def _looking() -> "Iterator[Wiring]":
    from trading_wiring import wiring
    from watch import DRY_RUN

    with wiring(_run(), DRY_RUN) as w:
        yield w


def _paise(rupees: float) -> int:
    return round(100 * rupees)
