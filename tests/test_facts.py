"""Are the files under config/ read strictly, all mistakes at once, and merged without guessing?"""

import json
import shutil
from collections.abc import Callable
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest

from facts import Disagreement, read_calendar, require_years, with_exchange_list
from outcome import ConfigError, ExitCode, NetworkError
from rulebook.hours import SymbolClass

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = read_calendar(ROOT / "config")
FETCHED_ON = date(2026, 12, 20)


@pytest.fixture
def config(tmp_path):
    """A small copy of the real files, to be damaged."""
    for name in ("sessions.json", "holidays-2026.json", "holidays-2027.json"):
        shutil.copy(ROOT / "config" / name, tmp_path / name)
    edit(tmp_path / "sessions.json", lambda facts: facts.update(special=facts["special"][-2:]))
    return tmp_path


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


def complaints(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_calendar(folder)
    return str(caught.value).replace(f"{folder}/", "")


def test_the_shipped_files_are_read_without_complaint():
    assert set(range(2013, 2028)) == set(SHIPPED.years)
    assert len(SHIPPED.years[2026].closures) == 16
    assert SHIPPED.years[2026].closures[date(2026, 3, 3)].label == "Holi"


def test_every_shipped_closure_and_special_session_names_its_weekday():
    for path in sorted((ROOT / "config").glob("holidays-*.json")):
        assert all("weekday" in row for row in json.loads(path.read_text())["NSE"])
    assert all(
        "weekday" in row for row in json.loads((ROOT / "config" / "sessions.json").read_text())["special"]
    )


def test_the_plain_format_of_the_contract_is_enough(config):
    row = {"date": "2026-12-24", "label": "Eve", "session": "early_close", "close": "13:00"}
    edit(config / "holidays-2026.json", lambda facts: facts["NSE"].append(row))

    session = read_calendar(config).session_of(date(2026, 12, 24), SymbolClass.OTHER)

    assert session.early_close
    assert time(13, 0) == session.closes_at.time()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"date": "2026-02-30"}, "NSE[0]: 'date' is '2026-02-30', a date that does not exist"),
        ({"date": "26-01-2026"}, "NSE[0]: 'date' is '26-01-2026'; write YYYY-MM-DD"),
        ({"date": "2025-01-15", "weekday": "Wednesday"}, "NSE[0]: 2025-01-15 is not in 2026"),
        ({"date": "2026-01-26", "weekday": "Monday"}, "NSE[1]: 2026-01-26 stands there twice"),
        ({"weekday": "Friday"}, "NSE[0]: 2026-01-15 is a Thursday, not a Friday"),
        ({"label": " "}, "NSE[0]: 'label' is ' '; write a text"),
        ({"session": "half"}, "NSE[0]: 'session' is 'half'; allowed are closed, early_close"),
        ({"session": "early_close"}, "NSE[0]: 'close' (HH:MM) belongs to session 'early_close'"),
        ({"session": "early_close", "close": "08:00"}, "2026-01-15: closes at 08:00, before trading opens"),
        ({"close": "25:00"}, "NSE[0]: 'close' is '25:00', a time that does not exist"),
        ({"lable": "Holi"}, "NSE[0]: unknown key 'lable'; allowed are date, weekday, label"),
    ],
)
def test_a_wrong_holiday_is_named_with_its_place_and_its_remedy(config, change, complaint):
    edit(config / "holidays-2026.json", lambda facts: facts["NSE"][0].update(change))

    assert complaint in complaints(config)


def phase(kind: str, start: str, end: str, **more: str) -> dict[str, str]:
    return {"kind": kind, "start": start, "end": end} | more


@pytest.mark.parametrize(
    ("phases", "complaint"),
    [
        ([], "'phases' has no continuous trading"),
        ([phase("continuous", "15:30", "09:15")], "ends at 09:15, which is not after its start at 15:30"),
        (
            [phase("continuous", "09:15", "15:30"), phase("post_close", "15:20", "16:00")],
            "phase post_close starts at 15:20, before continuous ends",
        ),
        (
            [phase("continuous", "09:15", "15:30"), phase("pre_open_entry", "09:00", "09:08")],
            "phase pre_open_entry starts at 09:00, before continuous ends",
        ),
        ([phase("lunch", "12:00", "13:00")], "phases[0]: 'kind' is 'lunch'; allowed are pre_open_entry"),
        (
            [phase("continuous", "09:15", "15:30", random_from="16:00")],
            "phases[0]: 'random_from' 16:00 is not inside the phase",
        ),
    ],
)
def test_phases_out_of_order_or_overlapping_are_refused(config, phases, complaint):
    edit(config / "sessions.json", lambda facts: facts["hours"][0].update(phases=phases))

    assert complaint in complaints(config)


@pytest.mark.parametrize(
    ("key", "index", "change", "complaint"),
    [
        ("hours", 0, {"confirmed": False}, "hours: fno: needs a confirmed row from 2026-01-01 or earlier"),
        ("hours", 0, {"from": "2026-01-02"}, "hours: other: needs a confirmed row from 2026-01-01"),
        (
            "hours",
            1,
            {"from": "2013-01-01"},
            "hours: fno: 2013-01-01 stands after 2013-01-01; one row per day",
        ),
        ("hours", 1, {"from": "2012-01-01"}, "hours: fno: 2012-01-01 stands after 2013-01-01"),
        (
            "hours",
            0,
            {"classes": ["fno", "fno"]},
            "hours[0]: 'classes' is ['fno', 'fno']; name each class once",
        ),
        ("square_off", 0, {"at": "3:20 PM"}, "square_off[0]: 'at' is '3:20 PM'; write HH:MM"),
        ("square_off", 0, {"confirmed": "yes"}, "square_off[0]: 'confirmed' is 'yes'; write true or false"),
        ("special", 1, {"tradable": True}, "needs 'square_off' (HH:MM) before it may be tradable"),
        ("special", 1, {"square_off": "20:00"}, "2026-11-08: squares off at 20:00, too late"),
        ("special", 0, {"square_off": "15:00"}, "'square_off' belongs to 'phases'"),
        ("special", 0, {"date": "2026-11-08", "weekday": "Sunday"}, "2026-11-08 stands there twice"),
        ("special", 0, {"date": "2031-02-01"}, "2031-02-01: add holidays-2031.json"),
    ],
)
def test_a_wrong_row_of_the_sessions_is_named(config, key, index, change, complaint):
    def damage(facts: dict[str, Any]) -> None:
        facts[key][index].update(change)
        facts[key][index].pop("weekday", None)

    edit(config / "sessions.json", damage)

    assert complaint in complaints(config)


def test_a_muhurat_evening_becomes_tradable_by_an_edit_of_the_data_alone(config):
    allow = {"tradable": True, "square_off": "19:05"}
    edit(config / "sessions.json", lambda facts: facts["special"][1].update(allow))

    session = read_calendar(config).session_of(date(2026, 11, 8), SymbolClass.FNO)

    assert session.tradable
    assert time(19, 5) == session.square_off_ist


def test_all_mistakes_in_all_files_come_in_one_error(config):
    edit(config / "sessions.json", lambda facts: facts.update(verified_on="today", extra=1))
    edit(config / "holidays-2026.json", lambda facts: facts.pop("provisional"))
    (config / "holidays-2027.json").write_text("{")

    lines = complaints(config).splitlines()

    assert [line.split(": line")[0] for line in lines] == [
        "holidays-2026.json: 'provisional' is missing",
        "holidays-2027.json: cannot be read: Expecting property name enclosed in double quotes",
        "sessions.json: unknown key 'extra'; allowed are verified_on, hours, square_off, special",
        "sessions.json: 'verified_on' is 'today'; write YYYY-MM-DD",
    ]
    assert ConfigError.exit_code == ExitCode.USAGE


def test_a_key_that_stands_twice_is_refused_because_json_would_drop_one(config):
    (config / "holidays-2027.json").write_text('{"provisional": true, "provisional": false}')

    assert "holidays-2027.json: cannot be read: an object has a key twice" in complaints(config)


def test_missing_files_are_named(tmp_path):
    found = complaints(tmp_path)

    assert "no holidays-<year>.json" in found
    assert "sessions.json: does not exist; restore it from the release" in found


def test_a_gap_between_the_years_is_refused(config):
    shutil.copy(ROOT / "config" / "holidays-2024.json", config)

    assert "holidays-2026.json: the year after 2024 is missing" in complaints(config)


def test_a_run_beyond_the_known_years_is_refused_before_it_starts():
    require_years(SHIPPED, date(2013, 1, 1), date(2027, 12, 31))

    with pytest.raises(ConfigError, match=r"add config/holidays-2028\.json, config/holidays-2029\.json"):
        require_years(SHIPPED, date(2027, 6, 1), date(2029, 1, 1))


def closed_days(year: int) -> dict[date, str]:
    return {day: closure.label for day, closure in SHIPPED.years[year].closures.items()}


def test_the_exchange_s_list_completes_a_provisional_year_without_disagreement():
    announced = closed_days(2027) | {
        date(2027, 4, 14): "Ambedkar Jayanti",
        date(2027, 8, 15): "Independence Day",
    }

    merged = with_exchange_list(SHIPPED, 2027, announced, FETCHED_ON)

    assert merged.disagreements == ()
    assert not merged.calendar.is_provisional(date(2027, 4, 14))
    assert merged.calendar.closed_because(date(2027, 4, 14)) == "Ambedkar Jayanti"
    assert SHIPPED.is_trading_day(date(2027, 4, 14))
    assert merged.calendar.years[2027].verified_on == FETCHED_ON


def test_lists_that_differ_are_reported_both_ways_and_never_settled_in_silence():
    fetched = closed_days(2026) | {date(2026, 12, 24): "Christmas Eve"}
    del fetched[date(2026, 3, 3)]

    merged = with_exchange_list(SHIPPED, 2026, fetched, FETCHED_ON)

    assert (
        Disagreement(date(2026, 3, 3), "closed: Holi", "an ordinary session"),
        Disagreement(date(2026, 12, 24), "an ordinary session", "closed: Christmas Eve"),
    ) == merged.disagreements


def test_a_closure_on_a_special_session_is_a_disagreement_but_muhurat_is_closed_in_both():
    fetched = closed_days(2026) | {date(2026, 2, 1): "Budget moved", date(2026, 11, 8): "Diwali Laxmi Pujan"}

    merged = with_exchange_list(SHIPPED, 2026, fetched, FETCHED_ON)

    assert (
        Disagreement(date(2026, 2, 1), "a session: Union Budget", "closed: Budget moved"),
    ) == merged.disagreements
    assert merged.calendar.is_trading_day(date(2026, 11, 8))


def test_an_early_close_that_the_exchange_s_closures_cannot_contain_is_kept(config):
    row = {"date": "2026-12-24", "label": "Eve", "session": "early_close", "close": "13:00"}
    edit(config / "holidays-2026.json", lambda facts: facts["NSE"].append(row))

    merged = with_exchange_list(read_calendar(config), 2026, closed_days(2026), FETCHED_ON)

    assert merged.disagreements == ()
    assert merged.calendar.session_of(date(2026, 12, 24), SymbolClass.OTHER).early_close


@pytest.mark.parametrize("closed", [{}, {date(2025, 12, 25): "Christmas"}])
def test_an_empty_list_or_one_of_another_year_is_no_answer(closed):
    with pytest.raises(NetworkError, match="empty or of another year"):
        with_exchange_list(SHIPPED, 2026, closed, FETCHED_ON)


def test_a_year_that_was_not_shipped_can_come_from_the_exchange_alone():
    merged = with_exchange_list(SHIPPED, 2028, {date(2028, 1, 26): "Republic Day"}, FETCHED_ON)

    assert merged.disagreements == ()
    assert date(2028, 1, 27) == merged.calendar.next_session(date(2028, 1, 25))
