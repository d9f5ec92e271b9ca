"""Facts of every kind by Hypothesis, and few words for a journal in a folder."""

from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from ledger import Identity, Journal
from ledger_facts import KINDS, AlarmSaid, Fact
from rulebook.hours import IST
from rulebook.order_records import Severity
from rulebook.records import ExitReason, Paise, Side
from rulebook.trades import ClosedTrade, Followed
from tests.paper_tables import HandClock

MOMENT = datetime(2026, 11, 20, 10, 15, 0, 250_000, IST)  # a Friday
KEY = b"a key of these tests"
LIVE = Identity("live", "api.kite.trade", "AB1234")
PAPER = Identity("paper", "api.kite.trade", "AB1234")

ZONES = st.sampled_from([IST, UTC, timezone(timedelta(hours=-3))])
MOMENTS = st.builds(
    lambda micros, zone: (MOMENT + timedelta(microseconds=micros)).astimezone(zone),
    st.integers(-(10**15), 10**15),
    ZONES,
)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(-(10**15), 10**15),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    NoneType: st.none(),
    datetime: MOMENTS,
    date: st.dates(),
}


def any_of(hint: Any) -> st.SearchStrategy[Any]:
    """A value of that type, for the types that facts are made of."""
    if hint in PLAIN:
        return PLAIN[hint]
    if hint is ClosedTrade:
        return closed_trades()
    if hasattr(hint, "__supertype__"):  # a NewType
        return any_of(hint.__supertype__)
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is tuple:
        return _tuples(get_args(hint))
    if get_origin(hint) in (Union, UnionType):
        return st.one_of([any_of(one) for one in get_args(hint)])
    if get_origin(hint) is not None:  # a Mapping
        key, value = get_args(hint)
        return st.dictionaries(any_of(key), any_of(value), max_size=3)
    if is_dataclass(hint):
        return _built(hint)
    assert issubclass(hint, Enum), hint
    return st.sampled_from(list(hint))


def facts() -> st.SearchStrategy[Fact]:
    return st.one_of([any_of(kind) for kind in KINDS.values()])


def _tuples(parts: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    if parts[-1] is Ellipsis:
        return st.lists(any_of(parts[0]), max_size=3).map(tuple)
    return st.tuples(*map(any_of, parts))


def _built(kind: Any) -> st.SearchStrategy[Any]:
    """Now and then with what it has by default."""
    hints = get_type_hints(kind)
    said = {}
    for field in fields(kind):
        usual = [] if field.default is MISSING else [st.just(field.default)]
        said[field.name] = st.one_of(*usual, any_of(hints[field.name]))
    return st.builds(kind, **said)


@st.composite
def closed_trades(draw: st.DrawFn) -> ClosedTrade:
    side, qty = draw(st.sampled_from(Side)), draw(st.integers(1, 1_000))
    price, risk = draw(st.integers(5_000, 500_000)), draw(st.integers(5, 4_000))
    return ClosedTrade(
        ticker=draw(PLAIN[str]), side=side, qty=qty,
        decided_at=draw(MOMENTS), decision_price=Paise(price),
        entered_at=draw(MOMENTS), entry_value=price * qty, initial_stop=Paise(price - side * risk),
        exited_at=draw(MOMENTS), exit_value=draw(st.integers(1, 10**9)), intended_exit=Paise(price),
        reason=draw(st.sampled_from(ExitReason)), worst=Paise(price), best=Paise(price),
        charges=draw(st.integers(0, 10**6)), followed=Followed(draw(st.integers(0, 255))),
        stop_path=draw(any_of(tuple[tuple[datetime, Paise], ...])),
    )  # fmt: skip


def journal(folder: Path, who: Identity = LIVE, key: bytes = KEY) -> Journal:
    return Journal(folder, who, key, HandClock(MOMENT))


def alarm(text: str = "the stop was refused", ticker: str = "INFY") -> AlarmSaid:
    return AlarmSaid(ticker, text, Severity.WARNING)
