"""What is told of runs? A sum over many seeds, and one run line by line."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from rulebook.order_messages import BookRead, OrderRow, Price, Woke
from rulebook.order_records import Order, Record, Unit
from tests.sim.life import Told
from tests.sim.oracle import Counts

_TAIL = 25  # lines of a broken run


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run comes to; small, so that it travels between processes."""

    seed: int
    counts: Counts
    struck: dict[str, int]
    crashes: int
    violation: str | None
    tail: str = ""


def outcome_of(told: Told) -> Outcome:
    found = told.oracle.violations
    tail = "\n".join(lines_of(told)[-_TAIL:]) if found else ""
    wrong = str(found[0]) if found else None
    return Outcome(told.plan.seed, told.oracle.counts, told.struck, told.crashes, wrong, tail)


@dataclass(slots=True)
class Sum:
    seeds: int = 0
    crashes: int = 0
    violations: int = 0
    counts: Counts = field(default_factory=Counts)
    struck: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        mine, more = self.counts, outcome.counts
        self.seeds += 1
        self.crashes += outcome.crashes
        self.violations += outcome.violation is not None
        self.struck.update(outcome.struck)
        for name in (
            "orders",
            "modifications",
            "fills",
            "reverses",
            "unknown",
            "settled",
            "paise_seconds_bare",
        ):
            setattr(mine, name, getattr(mine, name) + getattr(more, name))
        mine.bare += more.bare
        mine.kills += more.kills
        mine.handed_over += more.handed_over

    @property
    def bare_p99(self) -> timedelta:
        """Of all stretches in which shares were bare while something could be done."""
        return _p99(self.counts.bare)

    @property
    def kill_p99(self) -> timedelta:
        """From the switch to a request on the wire for each order that rested."""
        return _p99(self.counts.kills)

    def text(self) -> str:
        c = self.counts
        bare = f"{len(c.bare)} bare stretches, p99 {self.bare_p99.total_seconds():.2f} s"
        longest = max(c.bare, default=timedelta(0)).total_seconds()
        faults = ", ".join(f"{name} {n}" for name, n in sorted(self.struck.items()))
        return (
            f"seeds {self.seeds}, orders {c.orders}, modifications {c.modifications}, fills {c.fills}, "
            f"crashes {self.crashes}, UNKNOWN {c.unknown} settled {c.settled}, reverse fills {c.reverses}, "
            f"switch to wire p99 {self.kill_p99.total_seconds() * 1_000:.0f} ms of {len(c.kills)}, "
            f"{bare}, longest {longest:.2f} s, {len(c.handed_over)} more until a person acts, rupee-seconds bare {c.paise_seconds_bare / 100:.0f}, "
            f"violations {self.violations}\nfaults struck {sum(self.struck.values())}: {faults}"
        )


def _p99(stretches: list[timedelta]) -> timedelta:
    return sorted(stretches)[len(stretches) * 99 // 100] if stretches else timedelta(0)


def lines_of(told: Told) -> list[str]:
    rows = [(at, kind, told_line(what)) for at, kind, what in told.lines]
    return [f"{at:%H:%M:%S.%f}"[:-3] + f"  {kind:9}  {line}" for at, kind, line in rows if line]


def told_line(what: object) -> str:
    """One line for one thing; nothing for what happens every second."""
    match what:
        case Price() | Woke():
            return ""
        case Record():
            return f"[{what.why}] " + "; ".join([*_unit(what.unit), *map(_order, what.orders)])
        case BookRead():
            rows = " ".join(
                _row(row) for row in what.orders if not row.status.startswith(("COMP", "CANC", "REJ"))
            )
            return f"BookRead began {what.began:%H:%M:%S.%f} [{rows}] positions {dict(what.positions or {})}"
        case str():
            return what if "GET /" not in what or "Error" in what else ""
    return _short(repr(what))


def _unit(unit: Unit | None) -> list[str]:
    return [] if unit is None else [f"unit {unit.ticker}.{unit.trade} {unit.want} stop {unit.stop}"]


def _order(order: Order) -> str:
    asked = "" if order.request is None else f" asked {order.request.ask.name}"
    terms = order.terms
    return (
        f"{order.client_id} {order.purpose} {order.status.name} {order.filled}/{terms.qty} "
        f"{terms.order_type} {terms.price}/{terms.trigger} id {order.order_id}{asked}"
    )


def _row(row: OrderRow) -> str:
    return (
        f"{row.order_id[-4:]} {row.side.name} {row.status} {row.filled}/{row.qty} {row.price}/{row.trigger}"
    )


def _short(text: str) -> str:
    start, zone = "datetime.datetime(", ", tzinfo=zoneinfo.ZoneInfo(key='Asia/Kolkata'))"
    while start in text:
        before, _, rest = text.partition(start)
        numbers, _, after = rest.partition(zone)
        clock = ":".join(numbers.split(", ")[3:6])
        text = f"{before}{clock}{after}"
    return text[:300]
