"""How fast does the exchange's time pass in process? `python -m tests.exchange_pace` prints the figure.

Fifty watched tickers with a row each second, 375 minutes, one listener; bar: 20 s, which is 17 us a row.
The last two lines are of the synthetic market, the making of its tapes and books included.
"""

import sys
import time
from dataclasses import dataclass, replace
from random import Random

from exchange.faults import Faults
from exchange.synthetic import SyntheticMarket
from exchange.venue import Exchange
from rulebook.hours import SymbolClass
from rulebook.records import Side
from tests.exchange_market import CALENDAR, PLAIN, TARIFF, TableMarket, TableTape, Trader, at, ladder, second


class LadderTape(TableTape):
    """Depth on request, as a market would make it; a day of ladders in memory says nothing of the venue."""

    def depth(self, row):
        return ladder(self.lasts[row])


def busy_tape(seed: int, seconds: int) -> LadderTape:
    luck, made, last = Random(seed), LadderTape(), 100_00
    first = second("09:15:00")
    made.seconds = list(range(first, first + seconds))
    for _ in range(seconds):
        last = min(109_00, max(91_00, last + 5 * luck.choice((-1, 0, 0, 1))))
        made.lasts.append(last)
    made.volumes = [100 * n for n in range(1, seconds + 1)]
    made.turnovers = [100_00 * volume for volume in made.volumes]
    made.highs = [max(made.lasts)] * seconds
    made.lows = [min(made.lasts)] * seconds
    return made


@dataclass
class Count:
    exchange: Exchange
    ticks: int = 0
    reads_quotes: bool = False

    def ticked(self, ticker):
        self.ticks += 1
        if self.reads_quotes:
            self.exchange.quote(ticker)

    def order_updated(self, order, status):
        pass


def busy(tickers: int, seconds: int) -> Exchange:
    listings = [
        replace(PLAIN, ticker=f"T{n:02d}", exchange_token=n + 1, symbol_class=SymbolClass.OTHER)
        for n in range(tickers)
    ]
    tapes = {listing.ticker: busy_tape(n, seconds) for n, listing in enumerate(listings)}
    market = TableMarket(tapes, listings=listings)
    exchange = Exchange(market, CALENDAR, TARIFF, at("09:14"), 7, Faults(7))
    exchange.watch([listing.ticker for listing in listings])
    return exchange


def pace(tickers: int, seconds: int, orders_in: int = 0, reads_quotes: bool = False) -> tuple[int, float]:
    """Rows walked, and the seconds that took; in `orders_in` tickers an own stop and an own limit rest."""
    exchange = busy(tickers, seconds)
    count = Count(exchange, reads_quotes=reads_quotes)
    exchange.listen(count)
    exchange.advance(at("09:15:02"))
    trader = Trader.__new__(Trader)
    trader.exchange = exchange
    for n in range(orders_in):
        exchange.advance(at(f"09:15:{3 + n // 4:02d}"))
        trader.buy(1, 92_00, ticker=f"T{n:02d}")
        trader.stop(Side.SELL, 1, 91_50, 91_00, ticker=f"T{n:02d}")
    started = time.perf_counter()
    exchange.advance(at("15:31"))
    return count.ticks, time.perf_counter() - started


def synthetic_pace(reads_quotes: bool) -> tuple[int, float]:
    started = time.perf_counter()
    market = SyntheticMarket(1, CALENDAR, 50)
    exchange = Exchange(market, CALENDAR, TARIFF, at("09:14"), 1, Faults(1))
    count = Count(exchange, reads_quotes=reads_quotes)
    exchange.listen(count)
    exchange.watch([listing.ticker for listing in market.listings if not listing.is_index])
    exchange.advance(at("15:31"))
    return count.ticks, time.perf_counter() - started


def main() -> None:
    for label, more in (
        ("nothing of ours", {}),
        ("a stop and a limit in 5 tickers", {"orders_in": 5}),
        ("every quote read", {"reads_quotes": True}),
    ):
        rows, took_s = pace(50, 375 * 60, **more)
        _tell(label, rows, took_s)
    for reads_quotes in (False, True):
        label = "synthetic market, every quote read" if reads_quotes else "synthetic market"
        _tell(label, *synthetic_pace(reads_quotes))


def _tell(label: str, rows: int, took_s: float) -> None:
    sys.stdout.write(f"{label}: {rows} rows in {took_s:.1f} s, {took_s / rows * 1e6:.1f} us a row\n")


if __name__ == "__main__":
    main()
