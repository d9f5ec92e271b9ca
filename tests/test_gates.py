"""Does every gate block when it must, say why in words, and never pass what it does not know?"""

from dataclasses import FrozenInstanceError, fields, replace
from datetime import date, datetime, time
from math import isfinite
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulebook.findings import rupees
from rulebook.gates import (
    GATE_NAMES,
    GATES,
    GLOBAL_GATES,
    MAY_NOT_APPLY,
    OWN_GATES,
    TICKER_GATES,
    Verdict,
    blocking,
    evaluate,
    leaving,
    passed,
)
from rulebook.hours import IST, NoWindow, Window
from rulebook.records import Action, Decision, Instrument, Paise, Side
from rulebook.rules import Rules
from rulebook.situation import NEVER, Health, Limits, Moment, ProposedOrder, Situation, TickerFacts

NAN, INF = float("nan"), float("inf")


def at(clock: str) -> datetime:
    return datetime.combine(date(2026, 11, 23), time.fromisoformat(clock), IST)


WINDOW = Window(at("09:20"), at("15:00"), at("15:08"))
STOCK = Instrument(
    "INFY", Paise(5), lower_circuit=Paise(1_350_00), upper_circuit=Paise(1_650_00), freeze_qty=500
)
READY = Situation(
    Rules(
        capital=1_00_000_00,
        min_confidence=0.6,
        max_loss=5_000_00,
        max_order=1_50_000_00,
        max_total=4_00_000_00,
    ),
    Limits(
        max_slippage_bps=10,
        order_min_interval_ms=1_000,
        max_orders_per_minute=10,
        winner_min_avg_reward=0.05,
    ),
    Moment(
        now=at("11:00:01"),
        venue_asked="Kite",
        venue_reached="Kite",
        is_only_instance=True,
        is_killed=False,
        is_reconciled=True,
        is_trading_day=True,
        is_calendar_verified=True,
        is_winner_intact=True,
        winner_reward=0.12,
        is_token_valid=True,
        feed=Health.HEALTHY,
        feed_age_s=0.4,
        heartbeat_age_s=3.0,
        clock_drift_s=0.3,
        is_locked=False,
        day_milli_r=-1_200,
        day_net=-1_000_00,
        active_trades=1,
        trades_today=4,
        open_value=1_00_000_00,
        margin_available=50_000_00,
        since_entry_ms=5_000,
        entries_last_minute=2,
    ),
    TickerFacts(
        name="INFY",
        instrument=STOCK,
        window=WINDOW,
        decision=Decision(Action.BUY, 0.7),
        feed=Health.HEALTHY,
        seen_age_s=1.5,
        bars_seen=100,
        bars_needed=64,
        are_features_finite=True,
        bars_since_stop_out=10,
        unknown_orders=0,
        atr_milli=4_00_000,
        last_close=Paise(1_500_00),
        bid=Paise(1_499_95),
        ask=Paise(1_500_05),
    ),
    ProposedOrder(
        side=Side.BUY,
        qty=60,
        price=Paise(1_500_00),
        stop=Paise(1_490_00),
        distance=Paise(10_00),
        cost=1_60,
        reference=Paise(1_500_00),
        pays=Paise(1_500_15),
        depth_qty=900,
        margin_needed=18_000_00,
    ),
)
UNKNOWN = Situation(
    READY.rules, READY.limits, Moment(now=READY.moment.now), TickerFacts(name="INFY"), ProposedOrder()
)


def after(start: Situation = READY, **changes: Any) -> Situation:
    """The situation with these facts changed: part__fact=value."""
    for path, value in changes.items():
        part, fact = path.split("__")
        old = getattr(start, part)
        new = old._replace(**{fact: value}) if part == "rules" else replace(old, **{fact: value})
        start = replace(start, **{part: new})
    return start


def verdict(name: str, situation: Situation) -> Verdict:
    return next(found for found in evaluate(situation) if found.name == name)


def stock(**changes) -> Instrument:
    return replace(STOCK, **changes)


def wait(what: str) -> str:
    return f"it is not known {what}; entries wait until it is"


PASS, FAIL = True, False
# Per gate: what passes, what fails, the boundary (or what is neither yes nor no), what is unknown.
CASES = [
    ("kill_switch", {}, PASS, "the kill switch is not set"),
    ("kill_switch", {"moment__is_killed": True}, FAIL, "the kill switch is set; nothing is entered until it is unlocked"),
    ("kill_switch", {"moment__is_killed": 0}, FAIL, wait("whether the kill switch is set")),
    ("kill_switch", {"moment__is_killed": None}, FAIL, wait("whether the kill switch is set")),
    ("no_second_instance", {}, PASS, "no other trader runs here"),
    ("no_second_instance", {"moment__is_only_instance": False}, FAIL, "another trader runs here; stop one of the two"),
    ("no_second_instance", {"moment__is_only_instance": 1}, FAIL, wait("whether another trader runs here")),
    ("no_second_instance", {"moment__is_only_instance": None}, FAIL, wait("whether another trader runs here")),
    ("reconciled", {}, PASS, "ledger and broker agree"),
    ("reconciled", {"moment__is_reconciled": False}, FAIL, "ledger and broker differ; entries wait until they agree"),
    ("reconciled", {"moment__is_reconciled": 1}, FAIL, wait("whether ledger and broker agree")),
    ("reconciled", {"moment__is_reconciled": None}, FAIL, wait("whether ledger and broker agree")),
    ("mode", {}, PASS, "orders go to: Kite, as asked"),
    ("mode", {"moment__venue_asked": "simulation"}, FAIL, "orders would go to: Kite; start again with what was asked: simulation"),
    ("mode", {"moment__venue_reached": ""}, FAIL, wait("where orders would go")),
    ("mode", {"moment__venue_reached": None, "moment__venue_asked": None}, FAIL, wait("where orders would go")),
    ("trading_day", {}, PASS, "the exchange is open today"),
    ("trading_day", {"moment__is_trading_day": False, "moment__day_label": "Holi"}, FAIL, "the exchange is closed today: Holi; entries wait for the next session"),
    ("trading_day", {"moment__is_trading_day": False}, FAIL, "the exchange is closed today; entries wait for the next session"),
    ("trading_day", {"moment__is_trading_day": None}, FAIL, wait("whether the exchange is open today")),
    ("calendar_verified", {}, PASS, "this year's holidays are the exchange's own list"),
    ("calendar_verified", {"moment__is_calendar_verified": False}, FAIL, "this year's holidays are a provisional list; fetch the exchange's own"),
    ("calendar_verified", {"moment__is_calendar_verified": 1}, FAIL, wait("whether this year's holidays are the exchange's own list")),
    ("calendar_verified", {"moment__is_calendar_verified": None}, FAIL, wait("whether this year's holidays are the exchange's own list")),
    ("winner", {}, PASS, "the winner earned 0.12 R a trade on the holdout; at least 0.05 R is needed"),
    ("winner", {"moment__winner_reward": 0.04}, FAIL, "the winner earned 0.04 R a trade on the holdout; at least 0.05 R is needed"),
    ("winner", {"moment__winner_reward": 0.05}, PASS, "the winner earned 0.05 R a trade on the holdout; at least 0.05 R is needed"),
    ("winner", {"moment__winner_reward": -0.3, "limits__winner_min_avg_reward": None}, PASS, "the winner earned -0.3 R a trade on the holdout; no least is set"),
    ("winner", {"moment__is_winner_intact": False}, FAIL, "the winner's files are not the promoted ones; promote it again"),
    ("winner", {"moment__is_winner_intact": None}, FAIL, wait("whether the winner's files are the promoted ones")),
    ("winner", {"moment__winner_reward": None}, FAIL, wait("what the winner earned on the holdout")),
    ("token", {}, PASS, "the broker's token is valid"),
    ("token", {"moment__is_token_valid": False}, FAIL, "the broker's token is not valid; log in again"),
    ("token", {"moment__is_token_valid": 1}, FAIL, wait("whether the broker's token is valid")),
    ("token", {"moment__is_token_valid": None}, FAIL, wait("whether the broker's token is valid")),
    ("feed", {}, PASS, "the feed is HEALTHY, heard 0.4 s ago; it must be HEALTHY and heard 5 s ago at most"),
    ("feed", {"moment__feed": Health.DOWN}, FAIL, "the feed is DOWN, heard 0.4 s ago; it must be HEALTHY and heard 5 s ago at most"),
    ("feed", {"moment__feed": Health.DEGRADED}, FAIL, "the feed is DEGRADED, heard 0.4 s ago; it must be HEALTHY and heard 5 s ago at most"),
    ("feed", {"moment__feed_age_s": 5}, PASS, "the feed is HEALTHY, heard 5 s ago; it must be HEALTHY and heard 5 s ago at most"),
    ("feed", {"moment__feed_age_s": 5.1}, FAIL, "the feed is DEGRADED, heard 5.1 s ago; it must be HEALTHY and heard 5 s ago at most"),
    ("feed", {"moment__feed": None}, FAIL, wait("how fresh the feed is")),
    ("feed", {"moment__feed_age_s": None}, FAIL, wait("how fresh the feed is")),
    ("heartbeat", {}, PASS, "the last heartbeat was 3 s ago; at most 120 s may pass"),
    ("heartbeat", {"moment__heartbeat_age_s": 121}, FAIL, "the last heartbeat was 121 s ago; at most 120 s may pass"),
    ("heartbeat", {"moment__heartbeat_age_s": 120}, PASS, "the last heartbeat was 120 s ago; at most 120 s may pass"),
    ("heartbeat", {"moment__heartbeat_age_s": None}, FAIL, wait("when the last heartbeat was")),
    ("clock_drift", {}, PASS, "the clock is +0.3 s from the broker's; at most 2 s is allowed"),
    ("clock_drift", {"moment__clock_drift_s": -2.5}, FAIL, "warning: the clock is -2.5 s from the broker's; at most 2 s is allowed, set it right"),
    ("clock_drift", {"moment__clock_drift_s": 1}, PASS, "the clock is +1 s from the broker's; at most 2 s is allowed"),
    ("clock_drift", {"moment__clock_drift_s": 1.5}, PASS, "warning: the clock is +1.5 s from the broker's; at most 2 s is allowed, set it right"),
    ("clock_drift", {"moment__clock_drift_s": -2}, PASS, "warning: the clock is -2 s from the broker's; at most 2 s is allowed, set it right"),
    ("clock_drift", {"moment__clock_drift_s": None}, FAIL, wait("how far the clock is from the broker's")),
    ("daily_loss", {}, PASS, "the day stands at -1.200 R and Rs -1,000.00 net; it is locked at -3 R or Rs -5,000.00"),
    ("daily_loss", {"moment__is_locked": True}, FAIL, "the day's loss lock is set; it opens with the next session"),
    ("daily_loss", {"moment__day_milli_r": -3_000}, FAIL, "the day stands at -3.000 R and Rs -1,000.00 net; it is locked at -3 R or Rs -5,000.00"),
    ("daily_loss", {"moment__day_milli_r": -2_999}, PASS, "the day stands at -2.999 R and Rs -1,000.00 net; it is locked at -3 R or Rs -5,000.00"),
    ("daily_loss", {"moment__day_net": -5_000_00, "rules__max_loss_milli": 0}, FAIL, "the day stands at -1.200 R and Rs -5,000.00 net; it is locked at Rs -5,000.00"),
    ("daily_loss", {"moment__day_milli_r": -9_000, "rules__max_loss_milli": 0, "rules__max_loss": 0}, PASS, "the day stands at -9.000 R and Rs -1,000.00 net; no limit is set"),
    ("daily_loss", {"moment__day_milli_r": -3_100, "rules__max_loss": 0}, FAIL, "the day stands at -3.100 R and Rs -1,000.00 net; it is locked at -3 R"),
    ("daily_loss", {"moment__is_locked": None}, FAIL, wait("what the day has lost")),
    ("daily_loss", {"moment__day_net": None}, FAIL, wait("what the day has lost")),
    ("max_concurrent_trades", {}, PASS, "1 trade is open; at most 3 may be"),
    ("max_concurrent_trades", {"moment__active_trades": 4}, FAIL, "4 trades are open; at most 3 may be"),
    ("max_concurrent_trades", {"moment__active_trades": 3}, FAIL, "3 trades are open; at most 3 may be"),
    ("max_concurrent_trades", {"moment__active_trades": 2}, PASS, "2 trades are open; at most 3 may be"),
    ("max_concurrent_trades", {"moment__active_trades": None}, FAIL, wait("how many trades are open")),
    ("max_trades_per_day", {}, PASS, "4 trades were entered today; at most 12 may be"),
    ("max_trades_per_day", {"moment__trades_today": 13}, FAIL, "13 trades were entered today; at most 12 may be"),
    ("max_trades_per_day", {"moment__trades_today": 12}, FAIL, "12 trades were entered today; at most 12 may be"),
    ("max_trades_per_day", {"moment__trades_today": 1}, PASS, "1 trade was entered today; at most 12 may be"),
    ("max_trades_per_day", {"moment__trades_today": None}, FAIL, wait("how many trades were entered today")),
    ("order_spacing", {}, PASS, "the last entry was sent 5000 ms ago; 1000 ms must pass"),
    ("order_spacing", {"moment__since_entry_ms": 999}, FAIL, "the last entry was sent 999 ms ago; 1000 ms must pass"),
    ("order_spacing", {"moment__since_entry_ms": 1_000}, PASS, "the last entry was sent 1000 ms ago; 1000 ms must pass"),
    ("order_spacing", {"moment__since_entry_ms": NEVER}, PASS, "no entry was sent yet"),
    ("order_spacing", {"moment__since_entry_ms": None}, FAIL, wait("when the last entry was sent")),
    ("orders_per_minute", {}, PASS, "2 entries were sent in the last minute; at most 10 may be"),
    ("orders_per_minute", {"moment__entries_last_minute": 10}, FAIL, "10 entries were sent in the last minute; at most 10 may be"),
    ("orders_per_minute", {"moment__entries_last_minute": 9}, PASS, "9 entries were sent in the last minute; at most 10 may be"),
    ("orders_per_minute", {"moment__entries_last_minute": 1}, PASS, "1 entry was sent in the last minute; at most 10 may be"),
    ("orders_per_minute", {"moment__entries_last_minute": None}, FAIL, wait("how many entries were sent in the last minute")),
    ("session_window", {}, PASS, "it is 11:00:01; entries are taken from 09:20:00 until before 15:00:00"),
    ("session_window", {"moment__now": at("09:19:59")}, FAIL, "it is 09:19:59; entries are taken from 09:20:00 until before 15:00:00"),
    ("session_window", {"moment__now": at("09:20:00")}, PASS, "it is 09:20:00; entries are taken from 09:20:00 until before 15:00:00"),
    ("session_window", {"moment__now": at("15:00:00")}, FAIL, "it is 15:00:00; entries are taken from 09:20:00 until before 15:00:00"),
    ("session_window", {"moment__now": datetime.fromisoformat("2026-11-23T05:30:01+00:00")}, PASS, "it is 11:00:01; entries are taken from 09:20:00 until before 15:00:00"),
    ("session_window", {"ticker__window": NoWindow("Muhurat on 2026-11-08 is a session that is not traded")}, FAIL, "Muhurat on 2026-11-08 is a session that is not traded"),
    ("session_window", {"ticker__window": None, "rules__is_intraday": False}, PASS, "positions are held over night; no window binds"),
    ("session_window", {"ticker__window": None}, FAIL, wait("when INFY may be entered")),
    ("ticker_feed", {}, PASS, "INFY is HEALTHY, heard 1.5 s ago; it must be HEALTHY and heard 30 s ago at most"),
    ("ticker_feed", {"ticker__feed": Health.DOWN}, FAIL, "INFY is DOWN, heard 1.5 s ago; it must be HEALTHY and heard 30 s ago at most"),
    ("ticker_feed", {"ticker__seen_age_s": 30}, PASS, "INFY is HEALTHY, heard 30 s ago; it must be HEALTHY and heard 30 s ago at most"),
    ("ticker_feed", {"ticker__seen_age_s": 31}, FAIL, "INFY is DEGRADED, heard 31 s ago; it must be HEALTHY and heard 30 s ago at most"),
    ("ticker_feed", {"ticker__feed": None}, FAIL, wait("how fresh INFY is")),
    ("warm_up", {}, PASS, "INFY has 100 bars; 64 are needed"),
    ("warm_up", {"ticker__bars_seen": 1}, FAIL, "INFY has 1 bar; 64 are needed"),
    ("warm_up", {"ticker__bars_seen": 64}, PASS, "INFY has 64 bars; 64 are needed"),
    ("warm_up", {"ticker__bars_seen": 13, "ticker__bars_needed": 8}, FAIL, "INFY has 13 bars; 14 are needed"),
    ("warm_up", {"ticker__bars_seen": 13, "ticker__bars_needed": 8, "rules__stop_bps": 50}, PASS, "INFY has 13 bars; 8 are needed"),
    ("warm_up", {"ticker__are_features_finite": False}, FAIL, "INFY has features that are not numbers; its candles must be mended"),
    ("warm_up", {"ticker__bars_needed": None}, FAIL, wait("whether INFY has its bars and features")),
    ("settlement", {}, PASS, "0 orders in INFY of UNKNOWN outcome; none may be"),
    ("settlement", {"ticker__unknown_orders": 2}, FAIL, "2 orders in INFY of UNKNOWN outcome; none may be"),
    ("settlement", {"ticker__unknown_orders": 1}, FAIL, "1 order in INFY of UNKNOWN outcome; none may be"),
    ("settlement", {"ticker__unknown_orders": None}, FAIL, wait("whether every order in INFY is settled")),
    ("cooldown", {}, PASS, "INFY was stopped out 10 bars ago; 3 must pass"),
    ("cooldown", {"ticker__bars_since_stop_out": 1}, FAIL, "INFY was stopped out 1 bar ago; 3 must pass"),
    ("cooldown", {"ticker__bars_since_stop_out": 2}, FAIL, "INFY was stopped out 2 bars ago; 3 must pass"),
    ("cooldown", {"ticker__bars_since_stop_out": NEVER}, PASS, "INFY was not stopped out"),
    ("cooldown", {"ticker__bars_since_stop_out": None}, FAIL, wait("when INFY was stopped out")),
    ("min_confidence", {}, PASS, "the confidence is 0.7; at least 0.6 is needed"),
    ("min_confidence", {"ticker__decision": Decision(Action.BUY, 0.59)}, FAIL, "the confidence is 0.59; at least 0.6 is needed"),
    ("min_confidence", {"ticker__decision": Decision(Action.SELL, 0.6)}, PASS, "the confidence is 0.6; at least 0.6 is needed"),
    ("min_confidence", {"ticker__decision": Decision(Action.HOLD, 0.9)}, FAIL, "the decision is HOLD; only BUY or SELL enters"),
    ("min_confidence", {"ticker__decision": Decision(Action.SELL, 0.9), "rules__is_long_only": True}, FAIL, "the decision is SELL; the rules let only BUY enter"),
    ("min_confidence", {"rules__min_confidence": NAN}, FAIL, wait("what is decided about INFY")),
    ("min_confidence", {"ticker__decision": None}, FAIL, wait("what is decided about INFY")),
    ("lot_size", {}, PASS, "60 shares are meant; whole lots of 1 up to 66 may be"),
    ("lot_size", {"order__qty": 66}, PASS, "66 shares are meant; whole lots of 1 up to 66 may be"),
    ("lot_size", {"order__qty": 67}, FAIL, "67 shares are meant; whole lots of 1 up to 66 may be"),
    ("lot_size", {"order__qty": 0}, FAIL, "0 shares are meant; whole lots of 1 up to 66 may be"),
    ("lot_size", {"ticker__instrument": stock(lot=25)}, FAIL, "60 shares are meant; whole lots of 25 up to 50 may be"),
    ("lot_size", {"ticker__instrument": stock(lot=67)}, FAIL, "a lot of 67 costs Rs 1,00,500.00; the capital of a trade is Rs 1,00,000.00 and must reach that"),
    ("lot_size", {"ticker__instrument": stock(freeze_qty=59)}, FAIL, "60 shares are meant; the exchange takes at most 59 in one order"),
    ("lot_size", {"ticker__instrument": stock(freeze_qty=60)}, PASS, "60 shares are meant; whole lots of 1 up to 66 may be"),
    ("lot_size", {"ticker__instrument": stock(freeze_qty=None)}, PASS, "60 shares are meant; whole lots of 1 up to 66 may be"),
    ("lot_size", {"ticker__instrument": None}, FAIL, wait("how many shares a lot of INFY has and what they cost")),
    ("lot_size", {"order__qty": None}, FAIL, wait("how many shares of INFY are meant")),
    ("cost_in_r", {}, PASS, "the round trip costs 0.16 R; at most 0.25 R may be: the stop must be wider"),
    ("cost_in_r", {"order__cost": 2_51}, FAIL, "the round trip costs 0.251 R; at most 0.25 R may be: the stop must be wider"),
    ("cost_in_r", {"order__cost": 2_50}, PASS, "the round trip costs 0.25 R; at most 0.25 R may be: the stop must be wider"),
    ("cost_in_r", {"order__cost": 20_00, "rules__cost_times_milli": 0}, PASS, "the round trip costs 2 R; no limit is set"),
    ("cost_in_r", {"order__cost": None}, FAIL, wait("what the round trip costs in R")),
    ("slippage", {}, PASS, "the order costs 1 bp against the market's price; at most 10 bp may be"),
    ("slippage", {"order__pays": Paise(1_501_80)}, FAIL, "the order costs 12 bp against the market's price; at most 10 bp may be"),
    ("slippage", {"order__pays": Paise(1_501_50)}, PASS, "the order costs 10 bp against the market's price; at most 10 bp may be"),
    ("slippage", {"order__side": Side.SELL, "order__pays": Paise(1_498_20)}, FAIL, "the order costs 12 bp against the market's price; at most 10 bp may be"),
    ("slippage", {"order__pays": None}, FAIL, wait("what the order would pay")),
    ("spread", {}, PASS, "bid and ask are 0.6667 bp apart; at most 20 bp may be"),
    ("spread", {"ticker__bid": Paise(1_000_00), "ticker__ask": Paise(1_010_00)}, FAIL, "bid and ask are 99.5 bp apart; at most 20 bp may be"),
    ("spread", {"ticker__bid": Paise(999_00), "ticker__ask": Paise(1_001_00)}, PASS, "bid and ask are 20 bp apart; at most 20 bp may be"),
    ("spread", {"ticker__bid": Paise(1_500_10)}, FAIL, "Rs 1,500.10 bid and Rs 1,500.05 asked are crossed; entries wait for a quote"),
    ("spread", {"ticker__ask": None}, FAIL, wait("what is bid and asked for INFY")),
    ("depth", {}, PASS, "the book shows 900 for 60 shares; at least 120 are needed"),
    ("depth", {"order__depth_qty": 119}, FAIL, "the book shows 119 for 60 shares; at least 120 are needed"),
    ("depth", {"order__depth_qty": 120}, PASS, "the book shows 120 for 60 shares; at least 120 are needed"),
    ("depth", {"order__depth_qty": None}, FAIL, wait("how many shares the book shows for the order")),
    ("price_band", {}, PASS, "the market is 0 ATR from the last close; at most 3 may be"),
    ("price_band", {"ticker__last_close": Paise(1_516_00)}, FAIL, "the market is 4 ATR from the last close; at most 3 may be"),
    ("price_band", {"ticker__last_close": Paise(1_488_00)}, PASS, "the market is 3 ATR from the last close; at most 3 may be"),
    ("price_band", {"ticker__last_close": Paise(1_487_95)}, FAIL, "the market is 3.013 ATR from the last close; at most 3 may be"),
    ("price_band", {"ticker__atr_milli": 0}, FAIL, wait("how far INFY is from its last close")),
    ("price_band", {"ticker__atr_milli": None}, FAIL, wait("how far INFY is from its last close")),
    ("notional_per_order", {}, PASS, "the order is worth Rs 90,000.00; at most Rs 1,50,000.00 may be"),
    ("notional_per_order", {"order__qty": 101}, FAIL, "the order is worth Rs 1,51,500.00; at most Rs 1,50,000.00 may be"),
    ("notional_per_order", {"order__qty": 100}, PASS, "the order is worth Rs 1,50,000.00; at most Rs 1,50,000.00 may be"),
    ("notional_per_order", {"rules__max_order": 0}, PASS, "the order is worth Rs 90,000.00; no limit is set"),
    ("notional_per_order", {"order__price": None}, FAIL, wait("what the order is worth")),
    ("notional_total", {}, PASS, "the order and all that is open are worth Rs 1,90,000.00; at most Rs 4,00,000.00 may be"),
    ("notional_total", {"moment__open_value": 3_10_000_01}, FAIL, "the order and all that is open are worth Rs 4,00,000.01; at most Rs 4,00,000.00 may be"),
    ("notional_total", {"moment__open_value": 3_10_000_00}, PASS, "the order and all that is open are worth Rs 4,00,000.00; at most Rs 4,00,000.00 may be"),
    ("notional_total", {"rules__max_total": 0}, PASS, "the order and all that is open are worth Rs 1,90,000.00; no limit is set"),
    ("notional_total", {"moment__open_value": None}, FAIL, wait("what the order and all that is open are worth")),
    ("margin", {}, PASS, "the order needs Rs 18,000.00 of margin; Rs 50,000.00 is there"),
    ("margin", {"moment__margin_available": -5_00}, FAIL, "the order needs Rs 18,000.00 of margin; Rs -5.00 is there"),
    ("margin", {"moment__margin_available": 18_000_00}, PASS, "the order needs Rs 18,000.00 of margin; Rs 18,000.00 is there"),
    ("margin", {"order__margin_needed": None}, FAIL, wait("whether the margin suffices")),
    ("circuit", {}, PASS, "price Rs 1,500.00 and stop Rs 1,490.00 must lie within Rs 1,350.00 and Rs 1,650.00, the price a tick inside"),
    ("circuit", {"order__price": Paise(1_650_00)}, FAIL, "price Rs 1,650.00 and stop Rs 1,490.00 must lie within Rs 1,350.00 and Rs 1,650.00, the price a tick inside"),
    ("circuit", {"order__price": Paise(1_649_95)}, PASS, "price Rs 1,649.95 and stop Rs 1,490.00 must lie within Rs 1,350.00 and Rs 1,650.00, the price a tick inside"),
    ("circuit", {"order__price": Paise(1_350_05), "order__stop": Paise(1_350_00)}, PASS, "price Rs 1,350.05 and stop Rs 1,350.00 must lie within Rs 1,350.00 and Rs 1,650.00, the price a tick inside"),
    ("circuit", {"order__stop": Paise(1_349_95)}, FAIL, "price Rs 1,500.00 and stop Rs 1,349.95 must lie within Rs 1,350.00 and Rs 1,650.00, the price a tick inside"),
    ("circuit", {"ticker__instrument": stock(upper_circuit=None)}, FAIL, wait("where the circuit limits of INFY are")),
    ("circuit", {"order__stop": None}, FAIL, wait("where the order and its stop would be")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "passes", "sentence"), CASES)
def test_a_gate_says_whether_and_why(name, changes, passes, sentence):
    found = verdict(name, after(**changes))

    assert (passes, sentence) == (found.passed, found.sentence)


def test_every_gate_has_rows_that_pass_fail_and_are_unknown():
    passing = {name for name, _, passes, _ in CASES if passes}
    failing = {name for name, _, passes, sentence in CASES if not passes and "not known" not in sentence}
    unknown = {name for name, _, passes, sentence in CASES if not passes and "not known" in sentence}

    assert set(GATE_NAMES) == passing == failing == unknown


def test_the_gates_are_those_of_the_contract_in_their_order():
    expected = (
        "kill_switch", "no_second_instance", "reconciled", "mode", "trading_day", "calendar_verified",
        "winner", "token", "feed", "heartbeat", "clock_drift", "daily_loss", "max_concurrent_trades",
        "max_trades_per_day", "order_spacing", "orders_per_minute", "session_window", "ticker_feed",
        "warm_up", "settlement", "cooldown", "min_confidence", "lot_size", "cost_in_r", "slippage",
        "spread", "depth", "price_band", "notional_per_order", "notional_total", "margin", "circuit",
    )  # fmt: skip

    assert expected == GATE_NAMES
    assert expected == (*GLOBAL_GATES, *TICKER_GATES)
    assert len(set(expected)) == len(GATES)


def test_what_takes_a_ticker_out_of_the_contest_is_its_own():
    expected = (
        "session_window",
        "ticker_feed",
        "warm_up",
        "settlement",
        "cooldown",
        "lot_size",
        "margin",
        "circuit",
    )

    assert expected == OWN_GATES
    assert set() == set(OWN_GATES) - set(TICKER_GATES)


def test_what_protects_the_account_can_never_be_declared_away():
    protects = {
        "kill_switch", "reconciled", "mode", "trading_day", "calendar_verified", "session_window", "daily_loss",
        "max_concurrent_trades", "max_trades_per_day", "settlement", "cooldown", "min_confidence", "lot_size",
        "cost_in_r", "notional_per_order", "notional_total", "warm_up",
    }  # fmt: skip

    assert protects == set(GATE_NAMES) - MAY_NOT_APPLY


def test_everything_ready_passes():
    found = evaluate(READY)

    assert () == blocking(found)
    assert passed(found)


def test_nothing_known_passes_nowhere_and_every_sentence_says_what_is_unknown():
    found = evaluate(UNKNOWN)

    assert found == blocking(found)
    assert [] == [v.sentence for v in found if not v.sentence.startswith("it is not known ")]
    assert not passed(found)


def test_a_gate_that_does_not_apply_says_so_and_passes_though_nothing_is_known():
    found = evaluate(after(UNKNOWN, moment__exempt=MAY_NOT_APPLY))

    assert {"does not apply here"} == {v.sentence for v in found if v.name in MAY_NOT_APPLY}
    assert set(GATE_NAMES) - MAY_NOT_APPLY == {v.name for v in blocking(found)}


@pytest.mark.parametrize("name", ["kill_switch", "daily_loss", "settlement", "no_such_gate"])
def test_declaring_away_what_always_applies_is_refused(name):
    with pytest.raises(ValueError, match=f"^{name}: no such gate, or one that always applies$"):
        evaluate(after(moment__exempt=frozenset({name, "token"})))


def test_an_incomplete_list_of_verdicts_is_no_permission():
    found = evaluate(READY)

    assert not passed(())
    assert not passed(found[:-1])
    assert not passed(found[1:] + found[:1])


def test_blocking_and_leaving_keep_the_order_and_the_reasons():
    found = evaluate(
        after(moment__is_killed=True, ticker__bars_since_stop_out=0, ticker__ask=Paise(1_600_00))
    )

    assert ["kill_switch", "cooldown", "spread"] == [v.name for v in blocking(found)]
    assert ["INFY was stopped out 0 bars ago; 3 must pass"] == [v.sentence for v in leaving(found)]
    assert () == leaving(evaluate(READY))


# --- laws -----------------------------------------------------------------------------------------------

FACTS = [
    f"{part}__{field.name}"
    for part in ("moment", "ticker", "order")
    for field in fields(getattr(READY, part))
    if field.name not in ("now", "exempt", "day_label", "name")
]
NUMBERS = [
    path
    for path in FACTS
    if type(getattr(getattr(READY, path.split("__")[0]), path.split("__")[1])) in (int, float)
]


@pytest.mark.parametrize("path", FACTS)
def test_any_one_fact_that_is_unknown_blocks(path):
    assert not passed(evaluate(after(READY, **{path: None})))


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("path", NUMBERS)
def test_what_is_not_a_number_never_passes(path, value):
    found = blocking(evaluate(after(READY, **{path: value})))

    assert () != found
    assert [None] * len(found) == [v.value for v in found]


numbers = st.none() | st.integers(-(10**15), 10**15) | st.floats()
switches = st.none() | st.booleans()
prices = st.none() | st.integers(-10, 10**7).map(Paise) | st.floats()
healths = st.none() | st.sampled_from(Health)
decisions = st.none() | st.builds(Decision, st.sampled_from(Action), st.floats(0, 1))
instruments = st.none() | st.builds(
    Instrument, st.just("INFY"), prices, numbers,
    lower_circuit=prices, upper_circuit=prices, freeze_qty=numbers,
)  # fmt: skip
NAMED = {
    "now": st.datetimes(timezones=st.just(IST)), "exempt": st.frozensets(st.sampled_from(sorted(MAY_NOT_APPLY))),
    "venue_asked": st.none() | st.text(), "venue_reached": st.none() | st.text(), "day_label": st.text(),
    "feed": healths, "name": st.text(), "instrument": instruments, "decision": decisions,
    "window": st.sampled_from([None, WINDOW, NoWindow("{closed}")]), "side": st.none() | st.sampled_from(Side),
}  # fmt: skip


def any_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values for every field, sane or not; what the types forbid included."""
    chosen: dict[str, st.SearchStrategy[Any]] = {}
    for field in fields(kind):
        if field.name.startswith(("is_", "are_")):
            chosen[field.name] = switches
        else:
            chosen[field.name] = NAMED.get(field.name, prices if "Paise" in str(field.type) else numbers)
    return st.builds(kind, **chosen)


rules_of_any_kind = st.builds(
    Rules, capital=st.integers(1, 10**9), max_concurrent=st.integers(0, 9), cost_times_milli=st.integers(0, 9_000),
    max_loss_milli=st.integers(0, 9_000), max_loss=st.integers(0, 10**7), max_order=st.integers(0, 10**9),
    max_total=st.integers(0, 10**9), stop_bps=st.integers(0, 99), min_confidence=st.floats(),
    is_intraday=st.booleans(), is_long_only=st.booleans(),
)  # fmt: skip
situations = st.builds(
    Situation,
    rules_of_any_kind,
    st.just(READY.limits),
    any_of(Moment),
    any_of(TickerFacts),
    any_of(ProposedOrder),
)


@given(situations)
def test_no_situation_shortens_reorders_or_breaks_the_list(situation):
    found = evaluate(situation)

    assert GATE_NAMES == tuple(v.name for v in found)
    assert {True, False} >= {v.passed for v in found}
    assert all(v.sentence for v in found)
    assert passed(found) == (blocking(found) == ())
    assert [] == [v for v in found if v.passed and isinstance(v.value, float) and not isfinite(v.value)]


@given(situations, any_of(TickerFacts), any_of(ProposedOrder))
def test_the_global_verdicts_are_the_same_for_every_ticker(situation, ticker, order):
    other = replace(situation, ticker=ticker, order=order)

    assert repr(evaluate(situation)[: len(GLOBAL_GATES)]) == repr(evaluate(other)[: len(GLOBAL_GATES)])


MORE_IS_WORSE = [
    ("feed", "moment__feed_age_s"), ("heartbeat", "moment__heartbeat_age_s"), ("ticker_feed", "ticker__seen_age_s"),
    ("max_concurrent_trades", "moment__active_trades"), ("max_trades_per_day", "moment__trades_today"),
    ("orders_per_minute", "moment__entries_last_minute"), ("settlement", "ticker__unknown_orders"),
    ("cost_in_r", "order__cost"), ("slippage", "order__pays"), ("notional_per_order", "order__qty"),
    ("notional_total", "moment__open_value"), ("margin", "order__margin_needed"), ("depth", "order__qty"),
    ("clock_drift", "moment__clock_drift_s"),
]  # fmt: skip
MORE_IS_BETTER = [
    ("winner", "moment__winner_reward"), ("daily_loss", "moment__day_milli_r"), ("daily_loss", "moment__day_net"),
    ("order_spacing", "moment__since_entry_ms"), ("warm_up", "ticker__bars_seen"),
    ("cooldown", "ticker__bars_since_stop_out"), ("depth", "order__depth_qty"),
    ("margin", "moment__margin_available"), ("cost_in_r", "order__distance"),
    ("price_band", "ticker__atr_milli"),
]  # fmt: skip
TURNS = [(*row, 1) for row in MORE_IS_WORSE] + [(*row, -1) for row in MORE_IS_BETTER]


@pytest.mark.parametrize(("name", "path", "sign"), TURNS)
@given(st.tuples(*[st.integers(1, 200) | st.integers(1, 10**9)] * 2))
def test_a_worse_fact_never_opens_a_gate(name, path, sign, pair):
    start = READY if name != "price_band" else after(ticker__last_close=Paise(1_510_00))
    better, worse = sorted(pair, key=lambda fact: sign * fact)

    assert (
        verdict(name, after(start, **{path: better})).passed
        >= verdict(name, after(start, **{path: worse})).passed
    )


# --- records and words ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [NAN, INF, -1.0])
@pytest.mark.parametrize("name", [f.name for f in fields(Limits) if f.name != "winner_min_avg_reward"])
def test_a_limit_that_is_no_number_or_negative_is_refused(name, value):
    with pytest.raises(ValueError, match=f"^{name} "):
        replace(READY.limits, **{name: value})


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_the_winners_least_may_be_negative_or_off_but_is_a_number(value):
    with pytest.raises(ValueError, match=r"^winner_min_avg_reward "):
        replace(READY.limits, winner_min_avg_reward=value)

    assert -0.5 == replace(READY.limits, winner_min_avg_reward=-0.5).winner_min_avg_reward


def test_a_moment_without_a_zone_is_refused():
    with pytest.raises(ValueError, match=r"^naive datetime 2026-11-23T11:00:00: times"):
        Moment(now=at("11:00").replace(tzinfo=None))


def test_facts_and_verdicts_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        READY.moment.is_killed = True  # type: ignore[misc]
    with pytest.raises(AttributeError):
        evaluate(READY)[0].passed = True  # type: ignore[misc]


@pytest.mark.parametrize(
    ("paise", "words"),
    [
        (0, "Rs 0.00"),
        (5, "Rs 0.05"),
        (99_999_99, "Rs 99,999.99"),
        (1_00_000_00, "Rs 1,00,000.00"),
        (1_00_005_07, "Rs 1,00,005.07"),
        (12_34_56_789_05, "Rs 12,34,56,789.05"),
        (1_00_00_00_000_00, "Rs 1,00,00,00,000.00"),
        (-1_50_000_00, "Rs -1,50,000.00"),
        (-3_000_00, "Rs -3,000.00"),
        (1e30, "Rs 1e+28"),
        (NAN, "Rs nan"),
    ],
)
def test_money_is_grouped_as_in_india(paise, words):
    assert words == rupees(paise)
