"""Bars of today are what the candles on disk will say of it: closed in time, filled, made coarser, corrected."""

from datetime import date, datetime, time, timedelta

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from candle_file import frame_of
from live_bars import Changes, Closed, LiveBars, Place
from rulebook.hours import IST, SymbolClass
from rulebook.records import Bar, Paise, Tick
from sessions_grid import Grid, imputed, opened_s, resampled
from tests.candles import calendar

DAY = date(2024, 12, 2)
EXAMPLES = settings(max_examples=30, deadline=None)


def grids(*timeframes: str, symbol_class: SymbolClass = SymbolClass.OTHER) -> list[Grid]:
    return [Grid(calendar(), timeframe, symbol_class) for timeframe in timeframes]


def at(clock: str, day: date = DAY) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), IST)


def tick(clock: str, price: int, volume: int, ticker: str = "A") -> Tick:
    return Tick(ticker, at(clock), Paise(price), volume_today=volume)


def bar(
    clock: str, prices: tuple[int, int, int, int], volume: int, ticker: str = "A", filled: bool = False
) -> Bar:
    open_, high, low, close = map(Paise, prices)
    return Bar(ticker, at(clock), open_, high, low, close, volume, filled)


def flat(clock: str, price: int, ticker: str = "A") -> Bar:
    return bar(clock, (price,) * 4, 0, ticker, filled=True)


def live(*timeframes: str, tickers: str = "AB", joined: str = "09:00") -> LiveBars:
    return LiveBars(tickers, grids(*(timeframes or ("5m", "15m"))), DAY, at(joined))


def closed(bars: LiveBars, clock: str) -> Closed:
    found = bars.close(at(clock))
    assert found is not None
    return found


def told(found: Closed) -> list[tuple[str, list[Bar]]]:
    return [(row.timeframe, list(row.bars.values())) for row in found.rows]


def fed(bars: LiveBars, *ticks: Tick) -> LiveBars:
    for each in ticks:
        bars.add(each)
    return bars


# --- closing --------------------------------------------------------------------------------------------


def test_at_a_boundary_all_tickers_bars_are_closed_and_a_quiet_one_s_is_filled():
    bars = fed(live(), tick("09:15:01", 100, 10), tick("09:16", 107, 30), tick("09:17", 200, 5, "B"))

    assert [("5m", [bar("09:15", (100, 107, 100, 107), 30), bar("09:15", (200,) * 4, 5, "B")])] == told(
        closed(bars, "09:20")
    )

    bars.add(tick("09:21", 106, 31))

    assert [("5m", [bar("09:20", (106,) * 4, 1), flat("09:20", 200, "B")])] == told(closed(bars, "09:25"))


def test_who_has_not_traded_in_this_session_has_no_bar():
    bars = fed(live(), tick("09:26", 100, 10))

    assert () == closed(bars, "09:20").rows
    assert () == closed(bars, "09:25").rows
    assert [("5m", [bar("09:25", (100,) * 4, 10)]), ("15m", [bar("09:15", (100,) * 4, 10)])] == told(
        closed(bars, "09:30")
    )


def test_a_tick_beyond_the_boundary_waits_in_its_own_bar_whoever_comes_first():
    bars = fed(
        live(), tick("09:16", 100, 10), tick("09:16", 200, 20, "B"), tick("09:20:00.2", 110, 15),
        tick("09:19:59.8", 190, 30, "B"), tick("09:20:00.9", 210, 31, "B"),
    )  # fmt: skip

    assert [("5m", [bar("09:15", (100,) * 4, 10), bar("09:15", (200, 200, 190, 190), 30, "B")])] == told(
        closed(bars, "09:20")
    )
    assert [("5m", [bar("09:20", (110,) * 4, 5), bar("09:20", (210,) * 4, 1, "B")])] == told(
        closed(bars, "09:25")
    )


def test_a_tick_after_its_bar_was_closed_belongs_to_the_next():
    bars = fed(live(), tick("09:16", 100, 10))
    closed(bars, "09:20")
    bars.add(tick("09:19:59", 99, 12))

    assert 1 == bars.late
    assert [("5m", [bar("09:20", (99,) * 4, 2)])] == told(closed(bars, "09:25"))


@pytest.mark.parametrize("clock", ["09:10", "09:15", "09:19:59"])
def test_before_a_boundary_nothing_is_closed(clock):
    assert fed(live(), tick("09:16", 100, 10)).close(at(clock)) is None


def test_a_boundary_told_again_or_a_second_late_closes_once():
    bars = fed(live(), tick("09:16", 100, 10))

    assert [("5m", [bar("09:15", (100,) * 4, 10)])] == told(closed(bars, "09:20:01"))
    assert bars.close(at("09:20")) is None


def test_boundaries_that_nobody_told_are_made_up_for_in_order_of_time():
    bars = fed(live(), tick("09:16", 100, 10), tick("09:27", 103, 15), tick("09:31", 104, 16))

    assert [("5m", "09:15"), ("5m", "09:20"), ("5m", "09:25"), ("15m", "09:15")] == [
        (row.timeframe, f"{row.opened_at:%H:%M}") for row in closed(bars, "09:30").rows
    ]
    assert bar("09:15", (100, 103, 100, 103), 15) == bars.bars("A", "15m")[0]


def test_the_last_hour_ends_with_the_session_and_what_comes_later_is_no_bar_of_it():
    bars = fed(
        live("15m", "1h", "1d"), tick("15:16", 100, 10), tick("15:29:59", 101, 12), tick("15:30", 150, 90)
    )
    found = told(closed(bars, "15:30"))

    assert ("15m", [bar("15:15", (100, 101, 100, 101), 12)]) == found[0]
    assert ("1h", [bar("15:15", (100, 101, 100, 101), 12)]) == found[1]
    assert ("1d", [bar("00:00", (100, 101, 100, 101), 12)]) == found[2]
    assert 1 == bars.strays
    assert bars.close(at("16:00")) is None


def test_a_session_that_ends_with_an_auction_has_bars_until_it_begins():
    day = date(2026, 8, 4)
    bars = LiveBars("A", grids("5m", symbol_class=SymbolClass.FNO), day, at("09:00", day))
    bars.add(Tick("A", at("15:14", day), Paise(100), volume_today=5))
    bars.add(Tick("A", at("15:16", day), Paise(120), volume_today=9))
    found = bars.close(at("15:20", day))

    assert found is not None
    assert [(at("15:10", day), 100)] == [(each.opened_at, each.close) for each in bars.bars("A", "5m")]


# --- what is no trade -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stray",
    [
        Tick(
            "A", at("15:29", date(2024, 11, 29)), Paise(90), volume_today=9_999
        ),  # told again as we subscribe
        tick("09:14", 90, 0),  # nothing was sold today: yesterday's price
        tick("09:16", 90, 0),
        tick("15:40", 90, 9_999),
    ],
)
def test_a_price_of_another_session_is_none_of_this_one(stray):
    bars = fed(live(), stray, tick("09:17", 100, 10))

    assert [("5m", [bar("09:15", (100,) * 4, 10)])] == told(closed(bars, "09:20"))
    assert 1 == bars.strays


def test_quotes_between_trades_make_no_traded_bar_and_a_sold_share_does():
    bars = fed(live(), tick("09:16", 100, 10))
    closed(bars, "09:20")
    fed(bars, tick("09:21", 100, 10), tick("09:22", 100, 10))

    assert [("5m", [flat("09:20", 100)])] == told(closed(bars, "09:25"))

    bars.add(tick("09:26", 100, 11))

    assert bar("09:25", (100,) * 4, 1) == closed(bars, "09:30").rows[0].bars["A"]


def test_a_tick_without_a_price_raises_and_changes_nothing():
    bars = fed(live(joined="09:31"), tick("09:32", 100, 1_000))

    with pytest.raises(ValueError, match="price 0 paise"):
        bars.add(tick("09:33", 0, 2_000))

    bars.add(tick("09:34", 101, 1_005))

    assert bar("09:30", (100, 101, 100, 101), 5) == closed(bars, "09:35").rows[0].bars["A"]


# --- joined late ----------------------------------------------------------------------------------------


def test_who_joins_in_the_middle_counts_no_morning_and_says_what_is_incomplete():
    bars = fed(
        live(tickers="A", joined="10:07:30"), tick("10:07:31", 100, 50_000), tick("10:09", 102, 50_040)
    )
    first = closed(bars, "10:10")

    assert [("5m", [bar("10:05", (100, 102, 100, 102), 40)])] == told(first)
    assert (Place("A", "5m", at("10:05")),) == first.incomplete

    bars.add(tick("10:11", 103, 50_100))
    second = closed(bars, "10:15")

    assert bar("10:10", (103,) * 4, 60) == second.rows[0].bars["A"]
    assert (Place("A", "15m", at("10:00")),) == second.incomplete
    assert {("5m", at("09:15")), ("5m", at("10:05")), ("15m", at("10:00"))} <= {
        p[1:] for p in bars.incomplete
    }
    assert ("5m", at("10:10")) not in {p[1:] for p in bars.incomplete}


@pytest.mark.parametrize(
    ("joined", "volume", "count"), [("09:15", 500, 0), ("09:10", 500, 0), ("09:17", 500, 1)]
)
def test_who_is_there_for_the_first_bar_counts_all_of_it(joined, volume, count):
    """Its running total began with the session; only prices may have been missed."""
    bars = fed(live(tickers="A", joined=joined), tick("09:18", 100, 500))
    found = closed(bars, "09:20")

    assert volume == found.rows[0].bars["A"].volume
    assert count == len(found.incomplete)


def test_the_last_price_that_is_told_to_who_joins_is_no_trade_of_then():
    bars = fed(live(tickers="A", joined="10:07"), tick("09:50", 100, 5_000))

    assert [("5m", [flat("10:05", 100)])] == told(closed(bars, "10:10"))


def test_a_lost_connection_makes_bars_incomplete_and_gives_nobody_what_was_sold_meanwhile():
    bars = fed(live("5m", tickers="A"), tick("09:16", 100, 10))
    bars.missed(at("09:18"), at("09:26"))
    bars.add(tick("09:27", 104, 9_000))
    bars.add(tick("09:28", 105, 9_005))
    found = closed(bars, "09:35")

    assert [10, 0, 5, 0] == [each.volume for each in bars.bars("A", "5m")]
    assert [at(clock) for clock in ("09:15", "09:20", "09:25")] == [
        place.opened_at for place in found.incomplete
    ]


def test_a_short_loss_within_one_bar_loses_no_volume():
    bars = fed(live("5m", tickers="A"), tick("09:16", 100, 10))
    bars.missed(at("09:17"), at("09:18"))
    bars.add(tick("09:19", 104, 900))
    found = closed(bars, "09:20")

    assert 900 == found.rows[0].bars["A"].volume
    assert (Place("A", "5m", at("09:15")),) == found.incomplete


# --- the broker's candles -------------------------------------------------------------------------------


def changed(found: Changes) -> dict[str, list[Bar]]:
    return {name: [bar for rows in times.values() for bar in rows.values()] for name, times in found.items()}


def test_the_broker_s_candle_stands_and_what_was_made_of_ours_is_made_anew():
    bars = fed(live(tickers="A"), tick("09:16", 100, 10))
    for clock in ("09:20", "09:25", "09:30"):
        closed(bars, clock)
    found = changed(bars.correct("A", "5m", [bar("09:15", (99, 103, 98, 102), 12)]))

    assert {
        "5m": [bar("09:15", (99, 103, 98, 102), 12), flat("09:20", 102), flat("09:25", 102)],
        "15m": [bar("09:15", (99, 103, 98, 102), 12)],
    } == found
    assert found["5m"] == list(bars.bars("A", "5m"))


def test_a_candle_that_says_the_same_changes_nothing():
    bars = fed(live(tickers="A"), tick("09:16", 100, 10))
    closed(bars, "09:20")

    assert {} == bars.correct("A", "5m", [bar("09:15", (100,) * 4, 10)])


def test_the_broker_s_own_coarse_candle_outlives_corrections_of_finer_ones():
    bars = fed(live(tickers="A"), tick("09:16", 100, 10))
    closed(bars, "09:30")
    theirs = bar("09:15", (100, 111, 90, 105), 77)

    assert {"15m": [theirs]} == changed(bars.correct("A", "15m", [theirs]))
    assert ["5m"] == list(bars.correct("A", "5m", [bar("09:15", (100, 110, 100, 100), 10)]))
    assert (theirs,) == bars.bars("A", "15m")


def test_a_candle_that_is_not_over_or_of_no_session_changes_nothing():
    bars = fed(live(tickers="A"), tick("09:16", 100, 10))
    closed(bars, "09:20")

    assert {} == bars.correct("A", "5m", [bar("09:20", (1,) * 4, 1), bar("09:10", (1,) * 4, 1)])
    assert {} == bars.correct("A", "15m", [bar("09:15", (1,) * 4, 1)])
    assert {} == bars.correct("A", "5m", [Bar("A", at("09:15", date(2024, 11, 29)), *(Paise(1),) * 4, 1)])


def test_the_morning_s_candles_complete_who_joined_late():
    bars = fed(live(tickers="A", joined="09:31"), tick("09:32", 100, 50_000))
    closed(bars, "09:35")
    candles = [
        bar("09:15", (90, 95, 90, 94), 100),
        bar("09:25", (94, 99, 94, 98), 50),
        bar("09:30", (98, 101, 98, 101), 9),
    ]
    found = changed(bars.correct("A", "5m", candles))

    assert [candles[0], flat("09:20", 94), candles[1], candles[2]] == found["5m"]
    assert [bar("09:15", (90, 99, 90, 98), 150)] == found["15m"]
    assert () == bars.incomplete


def test_an_answer_for_a_span_completes_a_ticker_that_did_not_trade_in_it():
    bars = live("5m", tickers="A", joined="09:31")
    closed(bars, "09:35")
    bars.add(tick("09:36", 100, 50_000))
    some = [bar("09:20", (90, 90, 90, 90), 10)]
    bars.correct("A", "5m", some)

    assert [at(clock) for clock in ("09:15", "09:25", "09:30")] == [
        place.opened_at for place in bars.incomplete
    ]

    bars.missed(at("09:36"), at("09:37"))
    bars.correct("A", "5m", some, (at("09:15"), at("09:35")))

    assert () == bars.incomplete
    assert (Place("A", "5m", at("09:35")),) == closed(bars, "09:40").incomplete


def test_an_empty_answer_completes_what_it_was_asked_for_and_nothing_else():
    bars = live("5m", tickers="A", joined="09:31")
    closed(bars, "09:35")

    assert {} == bars.correct("A", "5m", [])
    assert 4 == len(bars.incomplete)
    assert {} == bars.correct("A", "5m", [], (at("09:20"), at("15:30")))
    assert [at("09:15")] == [place.opened_at for place in bars.incomplete]


def test_a_later_tick_does_not_undo_what_the_broker_has_said():
    bars = fed(live("5m", tickers="A"), tick("09:16", 100, 10))
    closed(bars, "09:20")
    theirs = bar("09:15", (100, 120, 100, 110), 15)
    bars.correct("A", "5m", [theirs])
    bars.missed(at("09:16"), at("09:19"))
    closed(bars, "09:25")

    assert (theirs, flat("09:20", 110)) == bars.bars("A", "5m")
    assert () == bars.incomplete


# --- as the candles on disk -----------------------------------------------------------------------------


@st.composite
def mornings(draw):
    """Trades of two tickers in two hours as they arrive: in order for each, up to a second apart for both."""
    ticks = []
    for ticker in "AB":
        seconds = sorted(draw(st.lists(st.integers(0, 7_199), max_size=30)))
        prices = draw(st.lists(st.integers(50, 150), min_size=len(seconds), max_size=len(seconds)))
        total = 0
        for second, price in zip(seconds, prices, strict=True):
            total += draw(st.integers(1, 9))
            moment = at("09:15") + timedelta(seconds=second)
            delay_s = draw(st.floats(0, 0.9))
            ticks.append(
                (moment + timedelta(seconds=delay_s), Tick(ticker, moment, Paise(price), volume_today=total))
            )
    # Delays may not turn one ticker's own ticks round: its connection keeps their order.
    order = sorted(
        range(len(ticks)),
        key=lambda n: (max(t[0] for t in ticks[: n + 1] if t[1].ticker == ticks[n][1].ticker), n),
    )
    return [ticks[n][1] for n in order], [ticks[n][0] for n in order]


def on_disk(ticks: list[Tick], ticker: str) -> dict[str, list[Bar]]:
    """What imputed and resampled make of the same trades; a trade of the next day ends the session."""
    traded: dict[datetime, list[Tick]] = {}
    for each in (each for each in ticks if each.ticker == ticker):
        opened = at("09:15") + (each.at - at("09:15")) // timedelta(minutes=5) * timedelta(minutes=5)
        traded.setdefault(opened, []).append(each)
    rows, before = [], 0
    for opened, group in traded.items():
        prices = [each.price for each in group]
        rows.append(
            Bar(
                ticker,
                opened,
                prices[0],
                max(prices),
                min(prices),
                prices[-1],
                group[-1].volume_today - before,
            )
        )
        before = group[-1].volume_today
    tomorrow = [
        Bar(ticker, at("09:15", date(2024, 12, 3)) + timedelta(minutes=5 * n), *(Paise(1),) * 4, 1)
        for n in range(3)
    ]
    fine, coarse = grids("5m", "15m")
    frame = frame_of([*rows, *tomorrow])
    return {
        "5m": in_paise(imputed(frame, fine), ticker),
        "15m": in_paise(imputed(resampled(frame, fine, "15m"), coarse), ticker),
    }


def in_paise(frame: pd.DataFrame, ticker: str) -> list[Bar]:
    found = []
    for at_s, row in zip(opened_s(frame).tolist(), frame.to_dict("records"), strict=True):
        opened = datetime.fromtimestamp(at_s, IST)
        open_, high, low, close = (Paise(round(100 * row[name])) for name in ("open", "high", "low", "close"))
        if opened.date() == DAY:
            found.append(
                Bar(ticker, opened, open_, high, low, close, int(row["volume"]), bool(row["filled"]))
            )
    return found


@EXAMPLES
@given(mornings())
def test_a_day_of_ticks_is_what_the_candles_on_disk_will_be(morning):
    ticks, arrivals = morning
    bars, boundary = live(), at("09:20")
    for each, arrives in zip(ticks, arrivals, strict=True):
        while arrives > boundary + timedelta(seconds=1):
            bars.close(boundary)
            boundary += timedelta(minutes=5)
        bars.add(each)
    bars.close(at("15:30"))

    assert 0 == bars.late
    for ticker in "AB":
        assert on_disk(ticks, ticker) == {name: list(bars.bars(ticker, name)) for name in ("5m", "15m")}


@EXAMPLES
@given(mornings(), st.randoms(use_true_random=False))
def test_corrections_in_any_order_lead_to_the_broker_s_day(morning, random):
    """Whatever we saw of it, and whenever we joined."""
    ticks, _ = morning
    joined = random.choice(["09:00", "09:31", "10:07:30"])
    bars = live(joined=joined)
    for n in sorted(random.sample(range(len(ticks)), len(ticks) // 2)):
        if ticks[n].at >= at(joined):
            bars.add(ticks[n])
    bars.close(at("12:00"))
    expected = {ticker: on_disk(ticks, ticker) for ticker in "AB"}
    theirs = [(ticker, candle) for ticker in "AB" for candle in expected[ticker]["5m"] if not candle.filled]
    for ticker, candle in random.sample(theirs, len(theirs)):
        bars.correct(ticker, "5m", [candle])
    bars.close(at("15:30"))

    assert expected == {
        ticker: {name: list(bars.bars(ticker, name)) for name in ("5m", "15m")} for ticker in "AB"
    }


@EXAMPLES
@given(mornings(), st.randoms(use_true_random=False))
@example(([tick("09:16", 100, 10)], [at("09:16")]), None)
def test_what_is_answered_as_changed_is_all_that_has_changed(morning, random):
    ticks, _ = morning
    bars = live()
    seen: dict[tuple[str, datetime, str], Bar] = {}
    for each in ticks:
        bars.add(each)
    for row in closed(bars, "12:00").rows:
        seen |= {(row.timeframe, row.opened_at, ticker): each for ticker, each in row.bars.items()}
    for _ in range(3 if random else 0):
        clock = at("09:15") + timedelta(minutes=5 * random.randrange(30))
        price = Paise(random.randrange(50, 150))
        ticker = random.choice("AB")
        for name, times in bars.correct(
            ticker, "5m", [Bar(ticker, clock, price, price, price, price, 5)]
        ).items():
            seen |= {
                (name, opened, each): bar for opened, rows in times.items() for each, bar in rows.items()
            }

    known = {
        (name, each.opened_at, ticker): each
        for ticker in "AB"
        for name in ("5m", "15m")
        for each in bars.bars(ticker, name)
    }
    assert known == seen
