"""How are a report's numbers worded? Rupees the Indian way, signs, intervals, and the lines of its tables.

A line is a name, a value, its interval and a few words on what it rests on. A gain or a loss always has
its sign, because colour alone must not say it; zero has none. Works nothing out that report_summary.py
has not; escapes nothing, for the template does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from luck import Deflated
from report_summary import ASKED, BLOCK_DAYS_LEAST, Group, Summary
from rulebook.hours import IST
from rulebook.trades import RULES
from stats import DAYS_A_YEAR, Estimate

UNDEFINED = "not defined"
RUPEE = "\u20b9"


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table, or a card."""

    name: str
    value: str
    interval: str = ""
    note: str = ""


def grouped_digits(whole: int) -> str:
    """The Indian way: the last three, then pairs."""
    digits = str(abs(whole))
    head, tail = digits[:-3], digits[-3:]
    pairs = [head[max(0, end - 2) : end] for end in range(len(head), 0, -2)][::-1]
    return "-" * (whole < 0) + ",".join([*pairs, tail])


def rupees(paise: int, plus: str = "+") -> str:
    """+1,23,456.78 with the currency's mark; plus='' where the number is no gain."""
    sign = "-" if paise < 0 else plus if paise > 0 else ""
    whole, rest = divmod(abs(paise), 100)
    return f"{sign}{RUPEE}{grouped_digits(whole)}.{rest:02d}"


def signed(value: float | None, places: int = 2) -> str:
    if value is None:
        return UNDEFINED
    text = f"{value:+.{places}f}"
    return text if text.strip("+-0.") else text[1:]


def plain(value: float | None, places: int = 2) -> str:
    return UNDEFINED if value is None else f"{value:.{places}f}"


def percent(share: float | None) -> str:
    return UNDEFINED if share is None else f"{100 * share:.1f} %"


def counted(count: int, thing: str) -> str:
    return f"{grouped_digits(count)} {thing}" + "s" * (count != 1)


def span(estimate: Estimate, places: int = 2) -> str:
    if estimate.low is None and estimate.high is None:
        return UNDEFINED if estimate.value is None else "too few days"
    ends = ("no bound" if end is None else signed(end, places) for end in (estimate.low, estimate.high))
    return " to ".join(ends)


def moment(at: datetime | None) -> str:
    return f"{at.astimezone(IST):%d %b %Y %H:%M:%S} IST" if at else ""


def cards(summary: Summary) -> list[Line]:
    """What a trader asks first; the notes say what it rests on."""
    fall, sessions, made = summary.drawdown, len(summary.result.days), len(summary.trades)
    water = f"{counted(fall.days, 'session')} under water"
    level = f"{100 * summary.mean_r.level:.0f} %"
    deflated = summary.deflated.probability if summary.deflated else None
    a_day = f"{made / max(1, sessions):.1f} a session"
    return [
        Line("Net after all costs", rupees(summary.costs.net), note=_of_capital(summary)),
        Line("Net R per trade", signed(summary.mean_r.value, 3), note=f"{level}: {span(summary.mean_r, 3)}"),
        Line("Sharpe ratio", signed(summary.sharpe.value), note=f"{level}: {span(summary.sharpe)}"),
        Line("Deflated Sharpe", plain(deflated), note=f"{_trials(summary)}; {ASKED} is asked"),
        Line("Deepest drawdown", rupees(-int(fall.depth)), note=water),
        Line("Trades", grouped_digits(made), note=f"{a_day}, {counted(sessions, 'session')}"),
        Line("Winners", percent(summary.win_rate), note=f"profit factor {plain(summary.profit_factor)}"),
        Line("Overfitting (PBO)", _pbo(summary), note=_pbo_note(summary)),
    ]  # fmt: skip


def measures(summary: Summary) -> list[Line]:
    return [*_ratios(summary), *_luck(summary), *_days(summary), *_activity(summary)]


def _ratios(summary: Summary) -> list[Line]:
    r, sharpe, sortino = summary.mean_r, summary.sharpe, summary.sortino
    return [
        Line("Net R per trade", signed(r.value, 3), span(r, 3), "whole days resampled"),
        Line("Sharpe ratio", signed(sharpe.value), span(sharpe), "blocks of days resampled"),
        Line("Sortino ratio", signed(sortino.value), span(sortino), "against the days below zero"),
        Line("Profit factor", plain(summary.profit_factor), note="won over lost"),
        Line("Winners", percent(summary.win_rate), note="net above zero"),
    ]


def _luck(summary: Summary) -> list[Line]:
    found = summary.deflated
    if found is None:
        return [Line("Deflated Sharpe ratio", UNDEFINED, note="the days have no spread")]
    daily = f"{signed(found.skew)}, {plain(found.kurtosis)}"
    alone, had = plain(found.probability_of_one), grouped_digits(found.days)
    return [
        Line("Probability of skill, were it the only trial", alone, note="PSR against 0"),
        Line("Deflated Sharpe ratio", plain(found.probability), note=_benchmark(summary, found)),
        Line("Track record needed", _needed(found), note=f"at 95 %; this one has {had}"),
        Line("Probability of overfitting", _pbo(summary), note=_pbo_note(summary)),
        Line("Skewness, kurtosis", daily, note="of daily net; a normal has 0, 3"),
    ]  # fmt: skip


def _benchmark(summary: Summary, found: Deflated) -> str:
    known = len(summary.result.candidates) > 1
    spread = "their spread is the candidates'" if known else "their spread is what chance gives"
    best = signed(found.benchmark * DAYS_A_YEAR**0.5)
    return f"PSR against {best}, the best to expect of {_trials(summary)} without skill; {spread}"


def _needed(found: Deflated) -> str:
    if found.days_needed is None:
        return "no length is enough"
    return counted(round(found.days_needed), "session")


def _days(summary: Summary) -> list[Line]:
    daily, fall = summary.daily, summary.drawdown
    if not len(daily):
        return []
    water = f"{counted(fall.days, 'session')} under water, {fall.longest_days} at the longest; at days' ends"
    return [
        Line("Mean session", rupees(round(float(daily.mean())))),
        Line("Best session", rupees(int(daily.max()))),
        Line("Worst session", rupees(int(daily.min()))),
        Line("Deepest drawdown", rupees(-int(fall.depth)), note=water),
    ]


def _activity(summary: Summary) -> list[Line]:
    share, positions = summary.exposure
    capital = summary.result.capital_paise
    a_day = summary.turnover / max(1, len(summary.result.days))
    times = f", {a_day / capital:.1f} times the capital" if capital else ""
    kept = [trade.adherence_percent for trade in summary.trades]
    spent = summary.costs.planned - summary.costs.net
    cost = rupees(round(spent / len(kept)), "") if kept else UNDEFINED
    adherence = f"{sum(kept) / len(kept):.1f} %" if kept else UNDEFINED
    return [
        Line("Time in the market", percent(share), note=f"{positions:.2f} positions open on average"),
        Line("Turnover", rupees(summary.turnover, ""), note=f"{rupees(round(a_day), '')} a session{times}"),
        Line("Cost of a trade", cost, note="slippage and charges"),
        Line("Plan adherence", adherence, note=f"of {RULES} rules"),
    ]


def costs(summary: Summary) -> list[Line]:
    """From the plan to the purse; the interval's column holds basis points of the turnover."""
    split = summary.costs
    kinds = [(f"of this {kind}", -paise) for kind, paise in summary.result.charges_by_kind.items()]
    rows = [
        ("Planned, at the prices decided on", split.planned),
        ("Slippage at the entry", -split.entry_slippage),
        ("Slippage at the exit", -split.exit_slippage),
        ("Gross, at the prices got", split.gross),
        ("Charges", -split.charges),
        *kinds,
        ("Net", split.net),
    ]
    whole = max(1, summary.turnover)
    return [Line(name, rupees(paise), signed(1e4 * paise / whole)) for name, paise in rows]


def groups(summary: Summary) -> list[tuple[str, str, Sequence[Group]]]:
    by_net = sorted(summary.by_ticker, key=lambda group: (-group.net, group.name))
    by_count = sorted(summary.by_reason, key=lambda group: (-group.trades, group.name))
    return [
        ("By hour of entry, IST", "From", summary.by_hour),
        ("By exit reason", "Reason", by_count),
        ("By ticker", "Ticker", by_net),
    ]


def _of_capital(summary: Summary) -> str:
    capital = summary.result.capital_paise
    return f"{signed(100 * summary.costs.net / capital)} % of {rupees(capital, '')}" if capital else ""


def _trials(summary: Summary) -> str:
    return counted(summary.result.trials, "trial")


def _pbo(summary: Summary) -> str:
    return plain(summary.overfitting.probability if summary.overfitting else None)


def _pbo_note(summary: Summary) -> str:
    count = len(summary.result.candidates)
    if summary.overfitting:
        return f"of {count} candidates; 0.5 is a coin's toss"
    return "no candidates given" if count < 2 else f"fewer than {4 * BLOCK_DAYS_LEAST} sessions"
