"""May anything be entered at all now? One function a gate, of what holds for every ticker alike.

Each takes a Situation and answers a finding. The table that names them is in gates.py. The decisions are
rules.py's where it has them; here they get their guard against the unknown, and their words.
"""

from rulebook.findings import Finding, is_amount, is_finite, switch, unknown
from rulebook.rules import has_entries_left, has_free_place, is_lost
from rulebook.situation import NEVER, Health, Situation

# --- the session ----------------------------------------------------------------------------------------


def kill_switch(s: Situation) -> Finding:
    bad = "the kill switch is set; nothing is entered until it is unlocked"
    return switch(
        s.moment.is_killed, False, "the kill switch is not set", bad, "whether the kill switch is set"
    )


def no_second_instance(s: Situation) -> Finding:
    good, bad = "no other trader runs here", "another trader runs here; stop one of the two"
    return switch(s.moment.is_only_instance, True, good, bad, "whether another trader runs here")


def reconciled(s: Situation) -> Finding:
    bad = "ledger and broker differ; entries wait until they agree"
    what = "whether ledger and broker agree"
    return switch(s.moment.is_reconciled, True, "ledger and broker agree", bad, what)


def mode(s: Situation) -> Finding:
    """Where the wiring leads must be where the user wants his orders to go."""
    asked, reached = s.moment.venue_asked, s.moment.venue_reached
    if not asked or not reached:
        return unknown("where orders would go", asked)
    if asked == reached:
        return reached, asked, True, "orders go to: {value}, as asked", ()
    return (
        reached,
        asked,
        False,
        "orders would go to: {value}; start again with what was asked: {threshold}",
        (),
    )


def trading_day(s: Situation) -> Finding:
    if s.moment.is_trading_day is False and s.moment.day_label:
        closed = "the exchange is closed today: {0}; entries wait for the next session"
        return False, True, False, closed, (s.moment.day_label,)
    bad = "the exchange is closed today; entries wait for the next session"
    what = "whether the exchange is open today"
    return switch(s.moment.is_trading_day, True, "the exchange is open today", bad, what)


def calendar_verified(s: Situation) -> Finding:
    good = "this year's holidays are the exchange's own list"
    bad = "this year's holidays are a provisional list; fetch the exchange's own"
    what = "whether this year's holidays are the exchange's own list"
    return switch(s.moment.is_calendar_verified, True, good, bad, what)


def winner(s: Situation) -> Finding:
    least, reward = s.limits.winner_min_avg_reward, s.moment.winner_reward
    if s.moment.is_winner_intact is False:
        return None, least, False, "the winner's files are not the promoted ones; promote it again", ()
    if s.moment.is_winner_intact is not True:
        return unknown("whether the winner's files are the promoted ones", least)
    if not is_finite(reward):
        return unknown("what the winner earned on the holdout", least)
    if least is None:
        return (
            reward,
            None,
            True,
            "the winner earned {value:.4g} R a trade on the holdout; no least is set",
            (),
        )
    words = "the winner earned {value:.4g} R a trade on the holdout; at least {threshold:g} R is needed"
    return reward, least, reward >= least, words, ()


# --- the connection -------------------------------------------------------------------------------------


def token(s: Situation) -> Finding:
    good, bad = "the broker's token is valid", "the broker's token is not valid; log in again"
    return switch(s.moment.is_token_valid, True, good, bad, "whether the broker's token is valid")


def feed(s: Situation) -> Finding:
    return feed_finding("the feed", s.moment.feed, s.moment.feed_age_s, s.limits.feed_age_s)


def feed_finding(whose: str, said: Health | None, age_s: float | None, most_s: float) -> Finding:
    """Both must hold: what the watchdog says, and the age, in case it is the watchdog that has stopped."""
    if said is None or not is_amount(age_s):
        return unknown("how fresh {0} is", Health.HEALTHY, whose)
    health = Health.DEGRADED if said is Health.HEALTHY and age_s > most_s else said
    words = "{0} is {value}, heard {1:.4g} s ago; it must be {threshold} and heard {2:g} s ago at most"
    return health, Health.HEALTHY, health is Health.HEALTHY, words, (whose, age_s, most_s)


def heartbeat(s: Situation) -> Finding:
    age_s, most_s = s.moment.heartbeat_age_s, s.limits.heartbeat_s
    if not is_amount(age_s):
        return unknown("when the last heartbeat was", most_s)
    words = "the last heartbeat was {value:.4g} s ago; at most {threshold:g} s may pass"
    return age_s, most_s, age_s <= most_s, words, ()


def clock_drift(s: Situation) -> Finding:
    drift_s, most_s = s.moment.clock_drift_s, s.limits.clock_drift_most_s
    if not is_finite(drift_s):
        return unknown("how far the clock is from the broker's", most_s)
    words = "the clock is {value:+.4g} s from the broker's; at most {threshold:g} s is allowed"
    if abs(drift_s) > s.limits.clock_drift_warn_s:
        words = f"warning: {words}, set it right"
    return drift_s, most_s, abs(drift_s) <= most_s, words, ()


# --- the account ----------------------------------------------------------------------------------------


_DAY = "the day stands at {value:.3f} R and {0:Rs} net; "
_DAY_WORDS = {
    (False, False): _DAY + "no limit is set",
    (True, False): _DAY + "it is locked at {threshold:g} R",
    (False, True): _DAY + "it is locked at {1:Rs}",
    (True, True): _DAY + "it is locked at {threshold:g} R or {1:Rs}",
}


def daily_loss(s: Situation) -> Finding:
    """A lock once set stays for its day, whatever the numbers say later."""
    now, rules = s.moment, s.rules
    by_r, by_paise = rules.max_loss_milli > 0, rules.max_loss > 0
    least_r = -rules.max_loss_milli / 1_000 if by_r else None
    if now.is_locked is True:
        return None, least_r, False, "the day's loss lock is set; it opens with the next session", ()
    if now.is_locked is not False or not is_finite(now.day_milli_r) or not is_finite(now.day_net):
        return unknown("what the day has lost", least_r)
    is_free = not is_lost(now.day_milli_r, now.day_net, rules)
    words, extras = _DAY_WORDS[by_r, by_paise], (now.day_net, -rules.max_loss)
    return now.day_milli_r / 1_000, least_r, is_free, words, extras


def max_concurrent_trades(s: Situation) -> Finding:
    active, most = s.moment.active_trades, s.rules.max_concurrent
    if not is_amount(active):
        return unknown("how many trades are open", most)
    words = "{value:trade is|trades are} open; at most {threshold} may be"
    return active, most, has_free_place(active, s.rules), words, ()


def max_trades_per_day(s: Situation) -> Finding:
    entries, most = s.moment.trades_today, s.rules.max_trades_per_day
    if not is_amount(entries):
        return unknown("how many trades were entered today", most)
    words = "{value:trade was|trades were} entered today; at most {threshold} may be"
    return entries, most, has_entries_left(entries, s.rules), words, ()


def order_spacing(s: Situation) -> Finding:
    since_ms, least_ms = s.moment.since_entry_ms, s.limits.order_min_interval_ms
    if not is_amount(since_ms):
        return unknown("when the last entry was sent", least_ms)
    if since_ms >= NEVER:
        return since_ms, least_ms, True, "no entry was sent yet", ()
    words = "the last entry was sent {value} ms ago; {threshold} ms must pass"
    return since_ms, least_ms, since_ms >= least_ms, words, ()


def orders_per_minute(s: Situation) -> Finding:
    sent, most = s.moment.entries_last_minute, s.limits.max_orders_per_minute
    if not is_amount(sent):
        return unknown("how many entries were sent in the last minute", most)
    words = "{value:entry was|entries were} sent in the last minute; at most {threshold} may be"
    return sent, most, sent < most, words, ()
