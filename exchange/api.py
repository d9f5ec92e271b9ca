"""What does the broker answer to a request of its REST interface? Routes, who may, how often, which words.

A request is named ("POST /orders/{variety}", as the faults name it), its token is looked at, its class of
endpoint is counted, and then the venue is asked. What goes wrong on the way of bytes is disturb.py's.

Left out, 404: GTT, mutual funds, conversion of positions, auctions, holdings summaries, trigger ranges,
and the renewal of tokens, which individual apps do not have.

Decided here, because nothing published says it:
- A wrong route is a GeneralException with 404, a wrong method one with 405; both before the token.
- Too many instruments in a quote, or none, is an InputException.
- A quote can be asked by token too (i=408065), and is keyed as it was asked.
- Positions show a price that is up to a minute old; the broker's were seen stale for many minutes (F 51913).
- The refusal of an address that is not registered: type and status are PermissionException and 403, and
  the sentence is what users have quoted. It meets place, modify and cancel, and nothing else (C 52316).
"""

import gzip
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Any

from exchange import answers, asks, baskets, history, master, refusals
from exchange.answers import Object
from exchange.asks import wrong
from exchange.faults import Faults
from exchange.limits import ORDER_ENDPOINTS, Limits, pace_of
from exchange.login import LoginPage, Logins
from exchange.nouns import Flow, Listing, OrderRequest, OrderView, Quote, RefusalError
from exchange.venue import Exchange
from exchange.web import CSV, Answer, Request, Routes, as_json, as_text, envelope
from rulebook.charges import Rates
from rulebook.hours import ist_day
from rulebook.records import Paise

QUOTE_MOST, PRICE_MOST = 500, 1_000
STALE_FOR = timedelta(minutes=1)
ADDRESS_REFUSED = "IP (127.0.0.1) is not allowed to place orders for this app."
_SEGMENTS = ("equity", "commodity")
_PUBLIC = frozenset({"POST /session/token", "DELETE /session/token"})
_SCHEME = "token "

Spell = Callable[[Listing, Quote], Object]


class Api:
    """The broker's REST interface over one exchange."""

    def __init__(
        self, exchange: Exchange, logins: Logins, faults: Faults, limits: Limits | None = None
    ) -> None:
        self._exchange = exchange
        self._logins = logins
        self._faults = faults
        self._limits = limits or Limits()
        self._page = LoginPage(logins, exchange)
        self._master: dict[tuple[date, str | None, bool], Answer] = {}
        self._seen: dict[str, tuple[datetime, Paise, Paise]] = {}  # ticker -> when, last, close
        self.routes = Routes(
            [
                *self._page.table,
                ("POST", "/session/token", self._open_session),
                ("DELETE", "/session/token", self._close_session),
                ("GET", "/user/profile", self._profile),
                ("GET", "/user/margins", self._margins),
                ("GET", "/user/margins/{segment}", self._margins),
                ("GET", "/instruments", self._instruments),
                ("GET", "/instruments/{exchange}", self._instruments),
                ("GET", "/instruments/historical/{token}/{interval}", self._historical),
                ("GET", "/quote", lambda asked: self._quotes(asked, answers.quote, QUOTE_MOST)),
                ("GET", "/quote/ohlc", lambda asked: self._quotes(asked, answers.ohlc, PRICE_MOST)),
                ("GET", "/quote/ltp", lambda asked: self._quotes(asked, answers.ltp, PRICE_MOST)),
                ("POST", "/orders/{variety}", self._place),
                ("PUT", "/orders/{variety}/{order_id}", self._modify),
                ("DELETE", "/orders/{variety}/{order_id}", self._cancel),
                ("GET", "/orders", self._orders),
                ("GET", "/orders/{order_id}", self._history),
                ("GET", "/orders/{order_id}/trades", self._trades),
                ("GET", "/trades", self._trades),
                ("GET", "/portfolio/positions", self._positions),
                ("GET", "/portfolio/holdings", self._holdings),
                ("POST", "/margins/orders", self._order_margins),
                ("POST", "/margins/basket", self._basket),
                ("POST", "/charges/orders", self._charges),
            ]
        )

    def endpoint(self, asked: Request) -> str:
        found = self.routes.find(asked)
        return found[0] if found else f"{asked.method} {asked.path}"

    def answer(self, asked: Request) -> Answer:
        found = self.routes.find(asked)
        if found is None:
            known = self.routes.knows_path(asked)
            said = (405, "Method not allowed") if known else (404, "Route not found")
            return envelope(said[0], "GeneralException", said[1])
        endpoint, handler, names = found
        try:
            self._admit(asked, endpoint)
            return handler(asked, **names)
        except RefusalError as error:
            return envelope(error.status, error.error_type, error.message)

    def order_frame(self, view: OrderView, status: str) -> Object:
        """The data of an order frame of the stream."""
        return answers.order_frame(view, self._token_of(view.request.ticker), self._logins.user_id, status)

    # --- who may, and how often ---

    def _admit(self, asked: Request, endpoint: str) -> None:
        if endpoint in self._page.endpoints:
            return
        now = self._exchange.now
        if endpoint not in _PUBLIC:
            self._strike_the_token(endpoint, now)
            said = asked.headers.get("authorization", "")
            self._logins.require(said.removeprefix(_SCHEME) if said.startswith(_SCHEME) else "", now)
        self._limits.admit(self._logins.api_key, pace_of(endpoint), now)
        if endpoint in ORDER_ENDPOINTS and self._faults.strikes("address_refused", now, endpoint):
            raise RefusalError(403, "PermissionException", ADDRESS_REFUSED)

    def _strike_the_token(self, endpoint: str, now: datetime) -> None:
        if self._faults.strikes("token_dead", now, endpoint):
            self._logins.kill()
        if self._faults.strikes("second_login", now, endpoint):
            self._logins.log_in_elsewhere(now)

    # --- the session and the account ---

    def _open_session(self, asked: Request) -> Answer:
        fields = asks.Fields(asked.form())
        said = [fields.text(name) for name in ("api_key", "request_token", "checksum")]
        opened = self._logins.open_session(said[0], said[1], said[2], self._exchange.now)
        return _success(answers.session(self._logins.user, self._logins.api_key, opened))

    def _close_session(self, asked: Request) -> Answer:
        fields = asks.Fields(dict(asked.query))
        self._logins.close_session(fields.text("api_key"), fields.text("access_token"), self._exchange.now)
        return _success(True)

    def _profile(self, _: Request) -> Answer:
        return _success(answers.profile(self._logins.user))

    def _margins(self, _: Request, segment: str | None = None) -> Answer:
        told = answers.margins(self._exchange.funds())
        if segment is not None and segment not in _SEGMENTS:
            raise wrong("Invalid `segment`.")
        return _success(told if segment is None else told[segment])

    # --- market data ---

    def _instruments(self, asked: Request, exchange: str | None = None) -> Answer:
        if exchange is not None and exchange not in (*master.CARRIED, *master.EMPTY):
            raise wrong("Invalid `exchange`.")
        now = self._exchange.now
        is_stale = self._faults.strikes("stale_master", now, self.endpoint(asked)) is not None
        key = (master.list_day(now), exchange, is_stale)
        if key not in self._master:
            self._master[key] = self._made_master(*key)
        plain = self._master[key]
        if "gzip" not in asked.headers.get("accept-encoding", ""):
            return plain
        packed = gzip.compress(plain.body, mtime=0)
        return Answer(200, packed, CSV, (("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")))

    def _made_master(self, day: date, exchange: str | None, is_stale: bool) -> Answer:
        listings = list(self._exchange.market.listings)
        shown = master.stale(listings) if is_stale else listings
        return as_text(master.as_csv(shown, self._exchange.calendar, day, exchange), content_type=CSV)

    def _historical(self, asked: Request, token: str, interval: str) -> Answer:
        """`continuous` joins futures and means nothing for a share."""
        listing = self._listing_of_token(token)
        wanted = history.span(interval, asked.one("from"), asked.one("to"))
        if listing is None:
            raise wrong("invalid token")
        found = self._exchange.candles(listing.ticker, wanted.minutes, wanted.first, wanted.last)
        return _success(answers.candles(found, wanted.minutes, asks.is_true(asked.one("oi"))))

    def _quotes(self, asked: Request, spell: Spell, most: int) -> Answer:
        """What is unknown, or has no price yet, is missing."""
        names = asked.all("i")
        if not names or len(names) > most:
            raise wrong(f"Invalid `i`: from 1 to {most} instruments.")
        told = {}
        for name in names:
            listing = self._listing(name)
            now = None if listing is None else self._exchange.quote(listing.ticker)
            if listing is not None and now is not None:
                told[name] = spell(listing, now)
        return _success(told)

    def _listing(self, name: str) -> Listing | None:
        exchange, _, ticker = name.partition(":")
        return self._exchange.listings.get(ticker) if exchange == "NSE" else self._listing_of_token(name)

    def _listing_of_token(self, token: str) -> Listing | None:
        digits = token.isascii() and token.isdigit()
        return self._exchange.listings_by_token.get(int(token)) if digits else None

    # --- orders ---

    def _place(self, asked: Request, variety: str) -> Answer:
        return _success({"order_id": self._exchange.place(asks.order_request(asked.form(), variety))})

    def _modify(self, asked: Request, variety: str, order_id: str) -> Answer:
        return _success({"order_id": self._exchange.modify(order_id, asks.changes(asked.form(), variety))})

    def _cancel(self, _: Request, variety: str, order_id: str) -> Answer:
        asks.require_variety(variety)
        return _success({"order_id": self._exchange.cancel(order_id)})

    # --- the books ---

    def _orders(self, _: Request) -> Answer:
        return _success(self._spelled(self._exchange.orders()))

    def _history(self, _: Request, order_id: str) -> Answer:
        return _success(self._spelled(self._exchange.history(order_id)))

    def _trades(self, _: Request, order_id: str | None = None) -> Answer:
        found = [done for done in self._exchange.trades() if order_id in (None, done.order_id)]
        return _success([answers.trade(done, self._token_of(done.ticker)) for done in found])

    def _positions(self, _: Request) -> Answer:
        flows = self._exchange.flows()
        today = [flow for flow in flows if flow.bought or flow.sold]
        net = [self._position(flow, False) for flow in flows]
        return _success({"net": net, "day": [self._position(flow, True) for flow in today]})

    def _position(self, flow: Flow, of_day: bool) -> Object:
        last, close = self._stale_prices(flow.ticker)
        return answers.position(flow, self._token_of(flow.ticker), last, close, of_day)

    def _holdings(self, _: Request) -> Answer:
        told = []
        for held in self._exchange.holdings():
            last, close = self._stale_prices(held.ticker)
            listing = self._exchange.listings[held.ticker]
            told.append(answers.holding(held, listing, last, close, self._exchange.now))
        return _success(told)

    def _stale_prices(self, ticker: str) -> tuple[Paise, Paise]:
        """The last price and yesterday's close, as they were when they were last looked up for the books."""
        now = self._exchange.now
        seen = self._seen.get(ticker)
        if seen is None or now - seen[0] >= STALE_FOR:
            quote = self._exchange.quote(ticker)
            close = (
                self._exchange.market.previous_close(ticker, ist_day(now)) if quote is None else quote.close
            )
            seen = self._seen[ticker] = (now, close if quote is None else quote.last, close)
        return seen[1], seen[2]

    def _spelled(self, views: Iterable[OrderView]) -> list[Object]:
        user_id = self._logins.user_id
        return [answers.order(view, self._token_of(view.request.ticker), user_id) for view in views]

    def _token_of(self, ticker: str) -> int:
        return self._exchange.listings[ticker].token

    # --- margins and charges ---

    def _order_margins(self, asked: Request) -> Answer:
        told = baskets.order_margins(self._priced(asked), self._rates(), _is_compact(asked))
        return _success(told)

    def _basket(self, asked: Request) -> Answer:
        considered = asks.is_true(asked.one("consider_positions"))
        flows = self._exchange.flows() if considered else []
        held = {(flow.ticker, flow.product): flow.net for flow in flows}
        return _success(baskets.basket(self._priced(asked), held, self._rates(), _is_compact(asked)))

    def _charges(self, asked: Request) -> Answer:
        done = [asks.executed(row) for row in asks.rows(asked.body)]
        for row in done:
            self._require_listed(row.ticker)
        return _success(baskets.contract_note(done, self._rates()))

    def _priced(self, asked: Request) -> list[baskets.Priced]:
        rows = asks.rows(asked.body)
        orders = [asks.order_request(row, row.get("variety", "regular")) for row in rows]
        return [self._priced_order(order) for order in orders]

    def _priced_order(self, order: OrderRequest) -> baskets.Priced:
        self._require_listed(order.ticker)
        now = self._exchange.quote(order.ticker)
        last = self._stale_prices(order.ticker)[0] if now is None else now.last
        return baskets.priced(order, last, self._exchange.margin_of, self._exchange.leverage)

    def _require_listed(self, ticker: str) -> None:
        listing = self._exchange.listings.get(ticker)
        if listing is None or listing.is_index:
            raise refusals.no_instrument()

    def _rates(self) -> Rates:
        return self._exchange.tariff.rates_on(ist_day(self._exchange.now))


def _success(data: Any) -> Answer:
    return as_json({"status": "success", "data": data})


def _is_compact(asked: Request) -> bool:
    return asked.one("mode") == "compact"
