"""Do the values of config.json make sense together?

Each check names the keys that it compares by its parameters, so that it can run as soon as these
are sound, whatever else is wrong with the file; it yields a sentence for each contradiction.
Knows no file and no clock: settings.py hands in the values.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from datetime import date, time
from inspect import signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from settings import Holdout, Paths, Risk, Timeframe


def contradictions(values: Mapping[str, Any]) -> list[str]:
    """What the given keys say against each other."""
    problems: list[str] = []
    for check in CHECKS:
        names = list(signature(check).parameters)
        if all(name in values for name in names):
            problems += check(**{name: values[name] for name in names})
    return problems


def _timeframes_are_covered(
    timeframes: "tuple[Timeframe, ...]",
    lookbacks: "Mapping[Timeframe, int]",
    from_dates: "Mapping[Timeframe, date]",
) -> Iterator[str]:
    for name, table in (("lookbacks", lookbacks), ("from_dates", from_dates)):
        for timeframe in timeframes:
            if timeframe not in table:
                yield f"{name}: no entry for {timeframe}, which timeframes lists; add it"


def _lists_have_no_twins(timeframes: tuple[str, ...], tickers: tuple[str, ...]) -> Iterator[str]:
    for name, values in (("timeframes", timeframes), ("tickers", tickers)):
        twins = sorted({value for value in values if values.count(value) > 1})
        if twins:
            yield f"{name}: {', '.join(twins)} stands there twice; keep one"


def _actions_are_the_three(actions: tuple[str, ...]) -> Iterator[str]:
    if actions != ("BUY", "SELL", "HOLD"):
        wanted = '["BUY", "SELL", "HOLD"]'
        yield f"actions: {json.dumps(actions)} is not allowed; it must be {wanted}, in this order"


def _windows_are_in_order(
    safe_trading_start: time, safe_trading_end: time, hard_trading_end: time
) -> Iterator[str]:
    windows = (safe_trading_start, safe_trading_end, hard_trading_end)
    if not windows[0] < windows[1] < windows[2]:
        yield (
            f"safe_trading_start {windows[0]}, safe_trading_end {windows[1]}, hard_trading_end {windows[2]}: "
            "each must be later than the one before"
        )


def _holdout_has_one_form(holdout: "Holdout") -> Iterator[str]:
    given = [value is not None for value in (holdout.start, holdout.end, holdout.last_sessions)]
    if given not in ([True, True, False], [False, False, True]):
        yield 'holdout: write {"start": ..., "end": ...} or {"last_sessions": N}, one of the two'


def _holdout_lies_in_the_data(
    holdout: "Holdout",
    timeframes: "tuple[Timeframe, ...]",
    from_dates: "Mapping[Timeframe, date]",
    today: date | None,
) -> Iterator[str]:
    if holdout.start is None or holdout.end is None:
        return
    if holdout.start > holdout.end:
        yield f"holdout: it ends {holdout.end}, before it starts {holdout.start}"
    begin = max((from_dates[timeframe] for timeframe in timeframes if timeframe in from_dates), default=None)
    if begin is not None and holdout.start <= begin:
        yield f"holdout.start: {holdout.start} leaves nothing to train on; from_dates begin {begin}"
    if today is not None and holdout.end > today:
        yield f"holdout.end: {holdout.end} lies in the future; today is {today}"


def _limits_make_sense(capital_per_ticker: float, leverage: float, risk: "Risk") -> Iterator[str]:
    order, total = risk.max_notional_per_order, risk.max_notional_total
    wanted = capital_per_ticker * leverage
    for name, limit in (("max_notional_per_order", order), ("max_notional_total", total)):
        if limit is not None and wanted > limit:
            yield f"risk.{name}: {limit} refuses every trade of capital_per_ticker x leverage = {wanted}"
    if order is not None and total is not None and order > total:
        yield f"risk.max_notional_per_order: {order} is above risk.max_notional_total, {total}"


def _counts_make_sense(max_concurrent_trades: int, risk: "Risk") -> Iterator[str]:
    if max_concurrent_trades > risk.max_trades_per_day:
        yield (
            f"max_concurrent_trades: {max_concurrent_trades} can never be open at once "
            f"with risk.max_trades_per_day {risk.max_trades_per_day}"
        )


def _order_pace_is_reachable(order_min_interval_ms: int, max_orders_per_minute: int) -> Iterator[str]:
    if order_min_interval_ms * max_orders_per_minute > 60_000:
        reachable = 60_000 // order_min_interval_ms
        yield (
            f"max_orders_per_minute: {max_orders_per_minute} cannot be reached "
            f"with order_min_interval_ms {order_min_interval_ms}; at most {reachable}"
        )


def _folders_differ(paths: "Paths") -> Iterator[str]:
    places = [str(getattr(paths, f.name)) for f in fields(paths)]
    twins = sorted({place for place in places if places.count(place) > 1})
    if twins:
        yield f"paths: {', '.join(twins)} is named twice; each needs a folder of its own"


CHECKS: tuple[Callable[..., Iterator[str]], ...] = (
    _timeframes_are_covered,
    _lists_have_no_twins,
    _actions_are_the_three,
    _windows_are_in_order,
    _holdout_has_one_form,
    _holdout_lies_in_the_data,
    _limits_make_sense,
    _counts_make_sense,
    _order_pace_is_reachable,
    _folders_differ,
)
