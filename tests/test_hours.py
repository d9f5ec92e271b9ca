"""Does the shipped calendar say when NSE traded and trades, and is it cautious where it is unsure?"""

import warnings
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from facts import read_calendar
from rulebook.hours import (
    IST,
    Calendar,
    Closure,
    Dated,
    NoWindow,
    Phase,
    PhaseKind,
    Session,
    SymbolClass,
    UnknownYearError,
    Window,
    YearList,
    ist_day,
    trading_window,
)

ROOT = Path(__file__).resolve().parents[1]
MARKET = ROOT.parent / "shared" / "market"
SHIPPED = read_calendar(ROOT / "config")
FNO, OTHER = SymbolClass.FNO, SymbolClass.OTHER
FIRST, LAST = date(2013, 1, 1), date(2026, 12, 31)


def dates(text: str) -> set[date]:
    return {date.fromisoformat(word) for word in text.split()}


SPECIAL_WEEKENDS = dates("""
    2013-05-11 2013-11-03 2014-03-22 2015-02-28 2016-10-30 2019-10-27 2020-02-01 2020-11-14
    2023-11-12 2024-01-20 2024-03-02 2024-05-18 2025-02-01 2026-02-01 2026-11-08
""")
MUHURAT_WEEKDAYS = dates("""
    2014-10-23 2015-11-11 2017-10-19 2018-11-07 2021-11-04 2022-10-24 2024-11-01 2025-10-21
""")


def kinds(session: Session) -> list[PhaseKind]:
    return [phase.kind for phase in session.phases]


def span(session: Session) -> tuple[str, str]:
    return f"{session.opens_at:%H:%M}", f"{session.closes_at:%H:%M}"


def window(
    session: Session, start: str = "09:20", safe_end: str = "15:00", hard_end: str = "15:08"
) -> Window | NoWindow:
    clocks = [time.fromisoformat(text) for text in (start, safe_end, hard_end)]
    return trading_window(session, start_ist=clocks[0], safe_end_ist=clocks[1], hard_end_ist=clocks[2])


@pytest.mark.parametrize(
    ("day", "symbol_class", "closes", "square_off", "confirmed"),
    [
        ("2020-07-14", FNO, "15:30", "15:20", True),
        ("2025-12-31", OTHER, "15:30", "15:20", True),
        ("2026-01-01", OTHER, "15:30", "15:25", True),
        ("2026-07-31", FNO, "15:30", "15:25", True),
        ("2026-08-03", FNO, "15:15", "15:12", False),
        ("2026-08-03", OTHER, "15:30", "15:25", True),
        ("2026-12-04", FNO, "15:15", "15:12", False),
        ("2026-12-07", FNO, "15:15", "15:12", False),
        ("2026-12-07", OTHER, "15:30", "15:25", True),
    ],
)
def test_each_class_closes_and_is_squared_off_by_the_rules_of_its_day(
    day, symbol_class, closes, square_off, confirmed
):
    session = SHIPPED.session_of(date.fromisoformat(day), symbol_class)

    assert closes == f"{session.closes_at:%H:%M}"
    assert square_off == f"{session.square_off_at:%H:%M}"
    assert session.closes_at == session.stops_valid_until
    assert confirmed == session.confirmed


def test_the_unconfirmed_change_of_december_is_told_but_not_traded_on():
    before, after = (SHIPPED.session_of(date(2026, 12, day), FNO) for day in (4, 7))

    assert before.phases == after.phases
    assert len(after.doubts) == len(before.doubts) + 1
    assert "from 2026-12-07: not confirmed" in after.doubts[0]
    assert "a close at 15:15 is assumed" in after.doubts[0]


def test_an_unconfirmed_row_that_stops_earlier_wins_as_a_whole():
    late, early = (
        (Phase(PhaseKind.CONTINUOUS, time(9, 15), end), Phase(PhaseKind.POST_CLOSE, time(16), time(17)))
        for end in (time(15), time(14))
    )
    classes = frozenset({FNO})
    calendar = Calendar(
        {2026: YearList(2026, {}, provisional=False, verified_on=date(2026, 1, 1))},
        (
            Dated(date(2020, 1, 1), classes, late, True, "sure"),
            Dated(date(2026, 1, 1), classes, early, False, "hearsay"),
        ),
        (Dated(date(2020, 1, 1), classes, time(14, 30), True, "sure"),),
        {},
    )

    session = calendar.session_of(date(2026, 1, 5), FNO)
    found = window(session)

    assert early == session.phases
    assert isinstance(found, Window)
    assert datetime(2026, 1, 5, 13, 58, tzinfo=IST) == found.hard_end
    assert isinstance(window(replace(session, tradable=False)), NoWindow)
    assert [doubt.split(", so ")[1] for doubt in session.doubts] == ["a close at 14:00 is assumed"]


@pytest.mark.parametrize(
    ("clock", "before", "after"),
    [
        ("09:04", PhaseKind.PRE_OPEN_ENTRY, PhaseKind.PRE_OPEN_ENTRY),
        ("09:05", PhaseKind.PRE_OPEN_ENTRY, PhaseKind.PRE_OPEN_LIMIT),
        ("09:09", PhaseKind.PRE_OPEN_MATCH, PhaseKind.PRE_OPEN_LIMIT),
        ("09:12", PhaseKind.PRE_OPEN_BUFFER, PhaseKind.PRE_OPEN_BUFFER),
        ("09:15", PhaseKind.CONTINUOUS, PhaseKind.CONTINUOUS),
        ("15:15", PhaseKind.CLOSING_REFERENCE, PhaseKind.CLOSING_REFERENCE),
        ("15:36", None, None),
        ("15:50", PhaseKind.POST_CLOSE, PhaseKind.POST_CLOSE),
        ("16:00", None, None),
    ],
)
def test_the_pre_open_changes_on_the_seventh_of_september(clock, before, after):
    friday, monday = date(2026, 9, 4), date(2026, 9, 7)

    def phase(day: date) -> PhaseKind | None:
        moment = datetime.combine(day, time.fromisoformat(clock), IST)
        return SHIPPED.session_of(day, FNO).phase_at(moment.astimezone(UTC))

    assert before == phase(friday)
    assert after == phase(monday)


@pytest.mark.parametrize("day", ["2015-02-28", "2020-02-01", "2024-01-20", "2025-02-01", "2026-02-01"])
def test_weekend_sessions_of_full_length_are_ordinary_and_tradable(day):
    session = SHIPPED.session_of(date.fromisoformat(day), OTHER)

    assert session.tradable
    assert span(session) == ("09:15", "15:30")
    assert isinstance(window(session), Window)


@pytest.mark.parametrize(
    ("day", "opens", "closes", "confirmed"),
    [
        ("2018-11-07", "17:30", "18:30", True),
        ("2024-05-18", "09:15", "12:30", True),
        ("2025-10-21", "13:45", "14:45", True),
        ("2026-11-08", "18:15", "19:15", False),
    ],
)
def test_muhurat_and_drills_are_sessions_that_are_not_traded(day, opens, closes, confirmed):
    session = SHIPPED.session_of(date.fromisoformat(day), FNO)

    assert (opens, closes) == span(session)
    assert confirmed == session.confirmed
    assert not session.tradable
    assert NoWindow(f"{session.label} on {day} is a session that is not traded") == window(session)


def test_a_drill_has_two_blocks_and_nothing_between_them_or_on_another_day():
    session = SHIPPED.session_of(date(2024, 3, 2), FNO)

    assert kinds(session).count(PhaseKind.CONTINUOUS) == 2
    assert session.phase_at(datetime(2024, 3, 2, 10, 30, tzinfo=IST)) is None
    assert session.phase_at(datetime(2024, 3, 3, 9, 30, tzinfo=IST)) is None


@pytest.mark.parametrize(
    ("day", "following"),
    [
        ("2026-01-23", "2026-01-27"),  # weekend and Republic Day
        ("2026-01-30", "2026-02-01"),  # the Budget's Sunday
        ("2026-02-01", "2026-02-02"),
        ("2026-11-06", "2026-11-08"),  # Muhurat's Sunday
        ("2026-11-09", "2026-11-11"),
        ("2024-01-19", "2024-01-20"),  # the Saturday that stood in for Monday
        ("2024-01-20", "2024-01-23"),
        ("2026-12-31", "2027-01-01"),
    ],
)
def test_next_and_previous_step_over_weekends_and_holidays_but_not_special_sessions(day, following):
    earlier, later = date.fromisoformat(day), date.fromisoformat(following)

    assert later == SHIPPED.next_session(earlier)
    assert earlier == SHIPPED.previous_session(later)


def test_a_closed_day_names_its_reason_and_has_no_session():
    assert SHIPPED.closed_because(date(2026, 1, 26)) == "Republic Day"
    assert SHIPPED.closed_because(date(2026, 1, 24)) == "Saturday"
    with pytest.raises(ValueError, match="2026-01-26 is no trading day: Republic Day"):
        SHIPPED.session_of(date(2026, 1, 26), FNO)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: SHIPPED.is_trading_day(date(2028, 1, 3)),
        lambda: SHIPPED.session_of(date(2028, 1, 3), FNO),
        lambda: SHIPPED.is_provisional(date(2028, 1, 3)),
        lambda: SHIPPED.next_session(date(2027, 12, 31)),
        lambda: SHIPPED.sessions_between(date(2027, 12, 1), date(2028, 1, 1)),
    ],
)
def test_a_year_without_a_list_is_refused_by_name_and_never_guessed(ask):
    with pytest.raises(UnknownYearError, match=r"2028: add config/holidays-2028\.json") as caught:
        ask()

    assert caught.value.year == 2028
    with pytest.raises(UnknownYearError, match="2012"):
        SHIPPED.previous_session(FIRST)


def test_only_the_year_that_the_exchange_has_not_announced_is_provisional():
    assert [year for year in SHIPPED.years if SHIPPED.is_provisional(date(year, 6, 1))] == [2027]
    assert not SHIPPED.is_trading_day(date(2027, 1, 26))
    assert not SHIPPED.is_trading_day(date(2027, 3, 26))


def test_naive_times_are_refused_and_aware_ones_give_the_exchange_s_date():
    with pytest.raises(ValueError, match="naive"):
        ist_day(datetime(2026, 1, 5, 9, 15))  # noqa: DTZ001 - the mistake itself

    assert date(2026, 1, 6) == ist_day(datetime(2026, 1, 5, 18, 30, tzinfo=UTC))


def test_a_calendar_asked_with_a_datetime_is_our_own_mistake():
    with pytest.raises(AssertionError, match="asked by date"):
        SHIPPED.is_trading_day(datetime(2026, 1, 26, 10, 0, tzinfo=IST))


def test_the_shipped_window_fits_every_ordinary_day_unchanged():
    for day in ("2026-07-31", "2026-08-03", "2026-12-07"):
        for symbol_class in SymbolClass:
            found = window(SHIPPED.session_of(date.fromisoformat(day), symbol_class))

            assert isinstance(found, Window)
            assert found.pulled == ()
            assert tuple(f"{moment:%H:%M}" for moment in (found.start, found.safe_end, found.hard_end)) == (
                "09:20",
                "15:00",
                "15:08",
            )


def test_what_is_configured_too_wide_is_pulled_in_with_a_sentence_each():
    found = window(SHIPPED.session_of(date(2026, 8, 3), FNO), "09:00", "15:10", "15:20")

    assert isinstance(found, Window)
    assert found.pulled == (
        "safe_trading_start 09:00:00 becomes 09:15:00: continuous trading opens then",
        "safe_trading_end 15:10:00 becomes 15:00:00: exits keep 10 minutes before the hard end",
        "hard_trading_end 15:20:00 becomes 15:10:00: the broker squares off fno stocks at 15:12, "
        "less a margin of 2 minutes",
    )


def test_a_run_that_is_told_to_end_early_ends_early():
    found = window(SHIPPED.session_of(date(2026, 8, 3), OTHER), hard_end="14:30")

    assert isinstance(found, Window)
    assert found.safe_end == found.hard_end == datetime(2026, 8, 3, 14, 30, tzinfo=IST)


def test_an_early_close_cuts_the_day_and_everything_before_it_moves_along():
    day = date(2026, 6, 15)
    lists = {2026: YearList(2026, {day: Closure(day, "Half day", time(13, 0))}, False, FIRST)}
    session = Calendar(lists, SHIPPED.hours, SHIPPED.square_offs, {}).session_of(day, OTHER)
    found = window(session)

    assert session.early_close
    assert kinds(session)[-1] == PhaseKind.CONTINUOUS
    assert "Half day: the close at 13:00 is announced, a square-off at 12:55 assumed" in session.doubts
    assert isinstance(found, Window)
    assert (f"{found.safe_end:%H:%M}", f"{found.hard_end:%H:%M}") == ("12:45", "12:53")


days = st.dates(FIRST + timedelta(days=31), date(2027, 11, 30))
classes = st.sampled_from(SymbolClass)
clocks = st.times(min_value=time(8, 0), max_value=time(17, 0)).map(lambda clock: clock.replace(microsecond=0))


@given(days)
def test_next_and_previous_undo_each_other_and_skip_nothing(day):
    later, earlier = SHIPPED.next_session(day), SHIPPED.previous_session(day)

    assert earlier < day < later
    assert SHIPPED.previous_session(later) == (day if SHIPPED.is_trading_day(day) else earlier)
    assert {earlier, day, later} >= set(SHIPPED.sessions_between(earlier, later))


@given(days, classes)
def test_there_is_a_session_exactly_on_trading_days(day, symbol_class):
    if not SHIPPED.is_trading_day(day):
        with pytest.raises(ValueError):
            SHIPPED.session_of(day, symbol_class)
        return
    session = SHIPPED.session_of(day, symbol_class)

    assert session.opens_at < session.closes_at
    assert day == ist_day(session.opens_at) == ist_day(session.closes_at)
    assert session.tradable or session.label


@given(days, classes, clocks, clocks, clocks)
def test_a_window_is_never_wider_than_configured_nor_than_the_session(day, symbol_class, start, safe, hard):
    assume(SHIPPED.is_trading_day(day))
    session = SHIPPED.session_of(day, symbol_class)
    found = trading_window(session, start_ist=start, safe_end_ist=safe, hard_end_ist=hard)

    if isinstance(found, Window):
        assert session.square_off_at is not None
        assert datetime.combine(day, start, IST) <= found.start >= session.opens_at
        assert datetime.combine(day, safe, IST) >= found.safe_end > found.start
        assert datetime.combine(day, hard, IST) >= found.hard_end >= found.safe_end
        assert found.hard_end < min(session.square_off_at, session.closes_at)


@pytest.fixture(scope="module")
def oracles():
    """Session dates by two libraries; imported here because that takes seconds."""
    exchange_calendars = pytest.importorskip("exchange_calendars")
    market_calendars = pytest.importorskip("pandas_market_calendars")
    with warnings.catch_warnings():
        # exchange_calendars 4.13.2 reads Series.values, which pandas 3.1 deprecates; only a table of past
        # dates comes of it.
        warnings.filterwarnings("ignore", message="Series.values returning an ndarray")
        bombay = exchange_calendars.get_calendar("XBOM", start=FIRST, end=LAST).sessions
        national = market_calendars.get_calendar("NSE").valid_days(FIRST, LAST)
    return {"XBOM": set(bombay.date), "NSE": set(national.date)}


def test_pandas_market_calendars_agrees_but_for_the_weekend_sessions_that_it_cannot_hold(oracles):
    ours = set(SHIPPED.sessions_between(FIRST, LAST))

    assert ours - oracles["NSE"] == SPECIAL_WEEKENDS
    assert set() == oracles["NSE"] - ours


def test_exchange_calendars_agrees_but_for_special_sessions_and_one_moved_holiday(oracles):
    ours = set(SHIPPED.sessions_between(FIRST, LAST))
    # XBOM has Muharram 2013 on the 14th as first announced; it was kept on the 15th, and 24 stocks have
    # candles on the 14th only.
    moved_from, moved_to = date(2013, 11, 14), date(2013, 11, 15)

    assert SPECIAL_WEEKENDS | MUHURAT_WEEKDAYS | {moved_from} == ours - oracles["XBOM"]
    assert {moved_to} == oracles["XBOM"] - ours


@pytest.mark.parametrize(
    ("pattern", "missing"),
    [
        ("[A-Z]*/1d.parquet", ""),
        ("long5m/*/5m.parquet", ""),
        ("recent/*/1d.parquet", ""),
        ("recent/*/1h.parquet", "2025-01-09"),  # absent for every symbol, present in the daily file
    ],
)
def test_every_day_with_real_candles_is_a_session_and_no_other(pattern, missing):
    files = sorted(MARKET.glob(pattern))
    if not files:
        pytest.skip(f"no candles under {MARKET}: the comparison with real trading days needs them")
    pandas, found = pytest.importorskip("pandas"), set()
    for path in files:
        stamps = pandas.read_parquet(path, columns=["timestamp"])["timestamp"]
        found |= set(stamps.dt.tz_convert(IST).dt.date)

    assert found | dates(missing) == set(SHIPPED.sessions_between(min(found), max(found)))


def test_real_muhurat_candles_lie_inside_the_session_of_their_day():
    files = sorted(MARKET.glob("long5m/*/5m.parquet"))
    if not files:
        pytest.skip(f"no candles under {MARKET}: the comparison with real Muhurat hours needs them")
    pandas = pytest.importorskip("pandas")
    stamps = pandas.concat([pandas.read_parquet(path, columns=["timestamp"]) for path in files])["timestamp"]
    local = stamps.dt.tz_convert(IST)
    for day in sorted(dates("2016-10-30 2017-10-19 2018-11-07")):
        of_day = local[local.dt.date == day]
        session = SHIPPED.session_of(day, OTHER)

        assert session.opens_at == of_day.min()
        assert session.closes_at == of_day.max() + timedelta(minutes=5)
