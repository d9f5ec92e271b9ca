"""The contract of the broker client: every method x everything that may come back, over both transports.

What must happen stands in the table of docs/broker.md. test_broker_contract.py holds both modes to it on
real sockets; `python -m tests.contract` measures it anew and prints it.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

from broker import ZerodhaClient
from kite.errors import BrokerError, RejectedError
from kite.rates import LIMITS, Kind, Limit
from rulebook.hours import IST
from tests.brokers import MODES, TICKER, Seat, held_in, orders_in, seated
from tests.local_exchange import local_exchange

QTY = 10
QUICK_S = 0.25  # silence that a client bears where an answer is to come too late

Prepare = Callable[[Seat], Any]
Ask = Callable[[ZerodhaClient, Any, str], Any]
Shown = Callable[[Any, Any, str], str]


@dataclass(frozen=True)
class Method:
    """How it is called, at which endpoint things go wrong, and how one sees what it did at the exchange."""

    ask: Ask
    endpoint: str
    prepare: Prepare = lambda _: None
    shown: Shown | None = None  # by the exchange's own record, of orders


@dataclass(frozen=True)
class Outcome:
    """What comes back: a fault of the exchange, or a place without one."""

    fault: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)
    bounds: Mapping[str, Any] = field(default_factory=dict)
    anywhere: bool = False  # the fault is about orders, not about an endpoint
    nobody_there: bool = False
    day_is_spent: bool = False
    only: tuple[str, ...] = ("",)  # beginnings of the endpoints that it concerns


def _bought(seat: Seat) -> None:
    seat.by_hand("BUY", QTY)


def _bought_at(seat: Seat) -> float:
    """A trigger below the price."""
    _bought(seat)
    return last_paise(seat) * 0.97 / 100


def _bought_with_stop(seat: Seat) -> str:
    _bought(seat)
    return _resting(seat, "SELL", "SL", trigger=0.97, price=0.95)


def _resting(seat: Seat, side: str = "BUY", order_type: str = "LIMIT", **at: float) -> str:
    last = last_paise(seat)
    prices = {name: round(last * times / 10) * 10 for name, times in (at or {"price": 0.95}).items()}
    return seat.by_hand(side, QTY, order_type=order_type, **prices)


def last_paise(seat: Seat) -> int:
    return seat.client("raw_http").quotes([TICKER])[TICKER].last


def _count(truth: Any, _: Any, client_id: str) -> str:
    """Of orders that intent has made."""
    return f", {len(orders_in(truth, client_id))} made"


def _changed(truth: Any, order_id: str, _: str) -> str:
    order = next(order for order in truth["orders"] if order["order_id"] == order_id)
    return ", done" if order["qty"] != QTY or order["status"] == "CANCELLED" else ", not done"


def _flat(truth: Any, *_: Any) -> str:
    held = held_in(truth)
    return {0: ", flat", QTY: ", held"}.get(held, f", {held} held!")


def _stop(trader: ZerodhaClient, trigger: float, client_id: str) -> str:
    return trader.place_stop_loss(TICKER, "SELL", QTY, trigger, client_id)


def _morning(hour: int, minute: int) -> datetime:
    return datetime(2026, 11, 20, hour, minute, tzinfo=IST)


METHODS: dict[str, Method] = {
    "authenticate": Method(lambda it, *_: it.authenticate(), "GET /user/profile"),
    "is_token_valid": Method(lambda it, *_: it.is_token_valid(), "GET /user/profile"),
    "refresh_token": Method(lambda it, *_: it.refresh_token(), "POST /session/refresh_token"),
    "instruments_master": Method(lambda it, *_: it.instruments_master(), "GET /instruments/{exchange}"),
    "historical": Method(
        lambda it, *_: it.historical(TICKER, "1m", _morning(9, 15), _morning(9, 19)), "GET /instruments/historical/*"
    ),
    "quotes": Method(lambda it, *_: it.quotes([TICKER]), "GET /quote"),
    "leverage": Method(lambda it, *_: it.leverage(TICKER), "POST /margins/orders"),
    "order_status": Method(lambda it, order_id, _: it.order_status(order_id), "GET /orders", _resting),
    "open_positions": Method(lambda it, *_: it.open_positions(), "GET /portfolio/positions", _bought),
    "place_order": Method(
        lambda it, _, name: it.place_order(TICKER, "BUY", QTY, name), "POST /orders/*", shown=_count
    ),
    "place_stop_loss": Method(_stop, "POST /orders/*", _bought_at, _count),
    "exit_position": Method(
        lambda it, _, name: it.exit_position(TICKER, QTY, name), "POST /orders/*", _bought, _flat
    ),
    "exit_position (a stop rests)": Method(
        lambda it, _, name: it.exit_position(TICKER, QTY, name), "PUT /orders/*", _bought_with_stop, _flat
    ),
    "modify_order": Method(
        lambda it, order_id, _: it.modify_order(order_id, qty=7), "PUT /orders/*", _resting, _changed
    ),
    "cancel_order": Method(
        lambda it, order_id, _: it.cancel_order(order_id), "DELETE /orders/*", _resting, _changed
    ),
}  # fmt: skip

PLACING, CHANGING = ("POST /orders/",), ("PUT /orders/", "DELETE /orders/")
OUTCOMES: dict[str, Outcome] = {
    "success": Outcome(),
    "lost once": Outcome("request_lost", {"count": 1}, only=("GET ", "POST /margins/")),
    "request lost": Outcome("request_lost"),
    "answer lost": Outcome("answer_lost"),
    "400 that says timed out": Outcome("timed_out_400"),
    "429": Outcome("rate_limited", {"value": 0}),
    "503, not carried out": Outcome("server_error_before"),
    "503, carried out": Outcome("server_error_after"),
    "late past the time-out, once": Outcome("slow", {"value": 60_000, "count": 1}, {"silence_s": QUICK_S}),
    "empty body": Outcome("empty_body"),
    "truncated body": Outcome("truncated_body"),
    "HTML body": Outcome("html_body"),
    "wrong types": Outcome("wrong_types"),
    "no error type": Outcome("no_error_type"),
    "no content type": Outcome("no_content_type"),
    "body beyond the bound": Outcome("huge_body", {"value": 2}),
    "redirect": Outcome("redirect"),
    "token dead": Outcome("token_dead"),
    "token dead at the first call": Outcome("token_dead", anywhere=True),
    "a newer login elsewhere": Outcome("second_login"),
    "address not registered": Outcome("address_refused", only=(*PLACING, *CHANGING)),
    "nobody listens there": Outcome(nobody_there=True),
    "refused: margin": Outcome("refused", {"text": "margin"}, anywhere=True, only=PLACING),
    "refused: tick": Outcome("refused", {"text": "tick"}, anywhere=True, only=PLACING),
    "refused: freeze": Outcome("refused", {"text": "freeze"}, anywhere=True, only=PLACING),
    "refused: circuit": Outcome("refused", {"text": "circuit"}, anywhere=True, only=PLACING),
    "refused: price protection": Outcome("refused", {"text": "lpp"}, anywhere=True, only=PLACING),
    "refused: MIS": Outcome("refused", {"text": "mis"}, anywhere=True, only=PLACING),
    "refused: market protection": Outcome("refused", {"text": "protection"}, anywhere=True, only=PLACING),
    "refused once: market protection": Outcome("refused", {"text": "protection", "count": 1}, anywhere=True, only=PLACING),
    "refused: being processed": Outcome("being_processed", anywhere=True, only=CHANGING),
    "refused once: being processed": Outcome("being_processed", {"count": 1}, anywhere=True, only=CHANGING),
    "the day's orders are spent": Outcome(day_is_spent=True, only=(*PLACING, *CHANGING)),
}  # fmt: skip


def measured(seat: Seat, mode: str, name: str) -> dict[str, str]:
    """What each outcome leads to. A read changes nothing, so one preparation does for all of its cells."""
    method = METHODS[name]
    if method.shown is not None:
        return {
            outcome: _cell(seat, mode, name, outcome, method.prepare(seat)) for outcome in outcomes_of(name)
        }
    prepared = method.prepare(seat)
    found = {outcome: _cell(seat, mode, name, outcome, prepared) for outcome in outcomes_of(name)}
    if prepared is not None:
        seat.tidy()
    return found


def outcomes_of(name: str) -> list[str]:
    """What is about orders concerns those alone."""
    return [outcome for outcome, what in OUTCOMES.items() if METHODS[name].endpoint.startswith(what.only)]


def _cell(seat: Seat, mode: str, name: str, outcome_name: str, prepared: Any) -> str:
    method, outcome = METHODS[name], OUTCOMES[outcome_name]
    client_id = f"{mode}-{name}-{outcome_name}"
    root = "http://127.0.0.1:9" if outcome.nobody_there else ""
    limits = {**LIMITS, Kind.ORDERS: Limit(8, per_day=1, kept_per_day=1)} if outcome.day_is_spent else None
    client = seat.client(mode, root, limits, **outcome.bounds)
    load = client.master if name == "instruments_master" else None
    trader = seat.trader(client, lambda: client.renew("key", "none", "proof").access_token, load)
    if outcome.fault:
        where = {} if outcome.anywhere else {"where": method.endpoint}
        seat.break_with(outcome.fault, **where, **outcome.more)
    said = _said(lambda: method.ask(trader, prepared, client_id))
    seat.heal()
    if outcome.fault in ("token_dead", "second_login"):
        seat.log_in()
    if method.shown is None:
        return said
    seat.clock.wait(2)
    truth = seat.truth()
    seat.tidy(truth)
    return said + method.shown(truth, prepared, client_id)


def _said(ask: Callable[[], Any]) -> str:
    try:
        answer = ask()
    except RejectedError as error:
        return f"Rejected ({error.refusal})"
    except BrokerError as error:
        return type(error).__name__.removesuffix("Error")
    return "False" if answer is False else "ok"


# --- the table ------------------------------------------------------------------------------------------

READS = ("authenticate", "historical", "quotes", "leverage", "order_status", "open_positions")
COLUMNS: dict[str, tuple[str, ...]] = {
    "other reads": READS,
    **{name: (name,) for name in METHODS if name not in (*READS, "modify_order", "cancel_order")},
    "modify_order, cancel_order": ("modify_order", "cancel_order"),
}
ABOUT_ORDERS = tuple(name for name, method in METHODS.items() if "/orders/" in method.endpoint)


def expected(page: Path) -> dict[str, dict[str, str]]:
    """Of each method, by outcome, as the page says."""
    head, _rule, *rows = _rows_under("| what comes back |", page)
    columns = dict(zip(head[1:], zip(*(row[1:] for row in rows), strict=True), strict=True))
    outcomes = [row[0] for row in rows]
    return {
        name: {outcome: cell for outcome, cell in zip(outcomes, columns[title], strict=True) if cell != "-"}
        for title, names in COLUMNS.items()
        for name in names
    }


def _rows_under(start_of_head: str, page: Path) -> list[list[str]]:
    lines = dropwhile(lambda line: not line.startswith(start_of_head), page.read_text().splitlines())
    table_lines = takewhile(lambda line: line.startswith("|"), lines)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table_lines]


def table(found: Mapping[str, Mapping[str, str]]) -> str:
    """In the page's form; what the methods of one column do not share is shown as it is."""
    lines = [f"| {' | '.join(['what comes back', *COLUMNS])} |", f"|{'---|' * (len(COLUMNS) + 1)}"]
    for outcome in OUTCOMES:
        cells = [
            " / ".join(dict.fromkeys(found[name].get(outcome, "-") for name in names))
            for names in COLUMNS.values()
        ]
        lines.append(f"| {' | '.join([outcome, *cells])} |")
    return "\n".join(lines)


def main() -> None:
    found = {mode: dict[str, dict[str, str]]() for mode in MODES}
    for name in METHODS:
        with local_exchange("--symbols", "1") as running, seated(running, Path(tempfile.mkdtemp())) as seat:
            for mode in MODES:
                found[mode][name] = measured(seat, mode, name)
    for mode in MODES[: 1 if found[MODES[0]] == found[MODES[1]] else 2]:
        print(f"{mode if found[MODES[0]] != found[MODES[1]] else 'Both modes'}:\n\n{table(found[mode])}\n")  # noqa: T201  a command


if __name__ == "__main__":
    main()
