"""What does each task of fetch.py do? The index's list, the login, the download, the filling, the features.

Each prepares what it needs, says what it did, and can be run again at any moment. A session that is running
keeps the configuration it began with.
"""

import logging
import select
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import date, datetime, time, timedelta
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final

import candle_store
import login
from addresses import read_addresses
from broker import INTERVALS
from candle_file import Candle, Page, Store, frame_of, known_at
from cli import Answer, Run
from clock import SystemClock
from completeness import as_text, covered
from connection import Connection, connected, revealed
from facts import read_calendar
from files import write_atomically
from history import Found, History, Wanted, files_of, planned
from kite.day_list import sync
from kite.errors import LogInAgainError
from kite.instruments import Master
from kite.rates import LIMITS, Kind
from net import Http
from nse import USER_AGENT, Constituents, NseSite, kept_industries
from outcome import ConfigError
from processed import Recipe, build, stale
from progress import Requests
from rulebook.hours import IST, ist_day
from sessions_grid import Grid, imputed
from settings import Settings, load_config, persist_config

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("fetch")
CONFIG: Final = Path(__file__).resolve().parent / "config"
LOG_IN: Final = "log in with: python fetch.py --fn login"


# --- the index ------------------------------------------------------------------------------------------


def constituents(run: Run, index: str) -> Constituents:
    addresses = read_addresses(run.environ)
    with closing(Http(USER_AGENT, run.clock, SystemRandom())) as http:
        site = NseSite(http, addresses.nse, addresses.nse_archives, run.settings.state / "nse", run.clock)
        return site.constituents(index, log.warning)


def show_index(run: Run) -> Answer:
    found = constituents(run, run.args.index or run.settings.index)
    return Answer(list(found.tickers), "\n".join(found.tickers))


def refresh_index(run: Run) -> Answer:
    """Into config.json, the rest of it untouched."""
    found = constituents(run, run.args.index or run.settings.index)
    config = load_config(run.config_path)
    before = config["tickers"]
    changed = config | {"index": run.args.index or config["index"], "tickers": list(found.tickers)}
    if changed != config:
        persist_config(changed, run.config_path)
        vars(run).pop("settings", None)  # what comes after in this run sees the new list
    come, gone = set(found.tickers) - set(before), set(before) - set(found.tickers)
    text = (
        f"{found.index}: {len(found.tickers)} tickers from {found.source}; {len(come)} new, {len(gone)} gone"
    )
    return Answer({"tickers": list(found.tickers), "source": found.source, "as_of": str(found.day)}, text)


# --- the login ------------------------------------------------------------------------------------------


def ensure_token(run: Run) -> Answer:
    token = working_token(run)
    return Answer({"token_ends_with": token[-4:]}, f"the access token works (...{token[-4:]})")


def working_token(run: Run) -> str:
    """The one in `.env` if it lives, else a renewed one where the account can have that."""
    at = connected(run)
    with closing(at.client):
        token = at.environment.secret("ZERODHA_ACCESS_TOKEN")
        if token is None and at.environment.secret("ZERODHA_REFRESH_TOKEN") is None:
            raise ConfigError(f"there is no access token in {at.env_file}; {LOG_IN}")
        if token is not None and not run.args.force_refresh_token:
            try:
                at.client.user_id()
                return token.reveal()
            except LogInAgainError as error:
                log.info("%s", error)
        return _renewed(at)


def _renewed(at: Connection) -> str:
    refresh = at.environment.secret("ZERODHA_REFRESH_TOKEN")
    if refresh is None:
        raise LogInAgainError("the access token", f"it is dead, and most accounts cannot renew it; {LOG_IN}")
    secret = revealed(at.environment.secret("ZERODHA_API_SECRET"))
    renewed = login.trade_in(at.client.renew, at.api_key, secret, refresh.reveal(), at.env_file, at.trader)
    return renewed.access_token


def log_in(run: Run) -> Answer:
    """The browser comes back to this machine; where it cannot, the address it ended at is pasted."""
    at = connected(run)
    with closing(at.client):
        login.refuse_while_trading(at.trader)
        state = login.new_state()
        address = login.login_url(at.addresses.kite_login, at.api_key, state)
        sys.stderr.write(f"Open this page and log in:\n\n  {address}\n\n")
        if sys.stdin.isatty():
            import webbrowser

            webbrowser.open(address)
            sys.stderr.write(
                "Waiting for the browser; or paste the address that it ended at, and press enter.\n"
            )
            request_token = login.catch_redirect(state, SystemClock(), typed=_typed_line)
        else:
            sys.stderr.write("Then paste the address that the browser ended at, and press enter:\n")
            request_token = login.request_token_in(sys.stdin.readline(), state)
        secret = revealed(at.environment.secret("ZERODHA_API_SECRET"))
        session = login.trade_in(at.client.log_in, at.api_key, secret, request_token, at.env_file, at.trader)
    dies = login.dies_at(run.clock.now()).astimezone(IST)
    return Answer(
        {"token_dies_at": dies.isoformat()},
        f"logged in: {at.env_file} has the token (...{session.access_token[-4:]}), good until "
        f"{dies:%d %b %H:%M} IST",
    )


def _typed_line() -> str | None:
    """What a person has typed meanwhile."""
    return sys.stdin.readline() if select.select([sys.stdin], [], [], 0)[0] else None


# --- candles --------------------------------------------------------------------------------------------


def instruments(run: Run, at: Connection, *, force: bool = False) -> Master:
    path = at.folder / "instruments"
    return sync(path, at.client.lists, run.clock, write_atomically, force)


def download(run: Run) -> Answer:
    """What is missing, for the tickers and timeframes of the command line, else of config.json."""
    settings = run.settings
    working_token(run)
    at = connected(run)
    with closing(at.client):
        tickers = run.args.symbols or tuple(settings.tickers)
        if not tickers:
            raise ConfigError(
                "config.tickers is empty; fill it with: python fetch.py index, or name --symbols"
            )
        wanted = Wanted(tuple(tickers), first_days(run, settings), last_moment(run))
        master = instruments(run, at)

        def ask(ticker: str, timeframe: str, first: datetime, last: datetime) -> Sequence[Any]:
            return at.client.candles(master.share(ticker).token, INTERVALS[timeframe][0], first, last)

        found = _fetched(
            run, Store(settings.paths.raw, read_calendar(CONFIG), "Kite Connect", _page_days()), ask, wanted
        )
    return _told(found)


def _fetched(run: Run, store: Store, ask: Any, wanted: Wanted) -> list[Found]:
    most = LIMITS[Kind.HISTORY].per_second
    is_drawn = sys.stderr.isatty() and run.environ.get("TERM", "dumb") != "dumb"
    no_color = bool(run.environ.get("NO_COLOR"))
    files = files_of(store, wanted)
    plan = planned(files, wanted)
    with Requests(plan, most, run.clock, sys.stderr, is_drawn=is_drawn, no_color=no_color) as shown:

        def told(what: Page | Found) -> None:
            if isinstance(what, Page):
                shown.done(what.timeframe)
            elif what.note:
                level = logging.DEBUG if what.note.startswith("made of") else logging.WARNING
                log.log(level, "%s %s: %s", what.ticker, what.timeframe, what.note)

        return History(files, ask, told).fetch(wanted, run.args.max_workers)


def _told(found: Sequence[Found]) -> Answer:
    requests, bars = sum(each.requests for each in found), sum(each.bars_added for each in found)
    files = sum(1 for each in found if each.bars_added)
    found_ = {"requests": requests, "bars_added": bars, "files_changed": files, "files": len(found)}
    if not requests and not bars:
        return Answer(found_, f"nothing to do: {len(found)} files are up to date")
    return Answer(found_, f"{bars:,} candles added to {files} of {len(found)} files by {requests} requests")


def first_days(run: Run, settings: Settings) -> Mapping[str, date]:
    """By timeframe, what the command line says before what config.json says."""
    timeframes = (run.args.interval,) if run.args.interval else tuple(settings.timeframes)
    found: dict[str, date] = {}
    for timeframe in timeframes:
        day = run.args.start or settings.from_dates.get(timeframe)
        if day is None:
            raise ConfigError(f"from_dates has no {timeframe}: add one to config.json, or say --from")
        found[timeframe] = day
    return found


def last_moment(run: Run) -> datetime:
    now = run.clock.now().astimezone(IST)
    if run.args.end is None or run.args.end >= now.date():
        return now
    return datetime.combine(run.args.end + timedelta(days=1), time(), IST) - timedelta(seconds=1)


def _page_days() -> dict[str, int]:
    return {timeframe: days for timeframe, (_, days) in INTERVALS.items()}


# --- for code that calls one function of fetch.py ----------------------------------------------------------


def instruments_path(run: Run, *, force: bool) -> str:
    at = connected(run)
    with closing(at.client):
        instruments(run, at, force=force)
    return str(at.folder / "instruments")


def existing_range(run: Run, ticker: str, timeframe: str) -> tuple[datetime | None, datetime | None]:
    if not candle_store.path_of(run.settings.paths.raw, ticker, timeframe).exists():
        return None, None
    stamps = candle_store.read_candles(run.settings.paths.raw, ticker, timeframe)["timestamp"]
    return (stamps.iloc[0].to_pydatetime(), stamps.iloc[-1].to_pydatetime()) if len(stamps) else (None, None)


def fetch_history(run: Run, ticker: str, timeframe: str, start: datetime, end: datetime) -> "pd.DataFrame":
    """Page by page, as the broker gives them; nothing is stored."""
    at = connected(run)
    with closing(at.client):
        token, (interval, days_most) = instruments(run, at).share(ticker).token, INTERVALS[timeframe]
        found: list[Candle] = []
        while start <= end:
            last = min(end, start + timedelta(days=days_most) - timedelta(seconds=1))
            found += at.client.candles(token, interval, start, last)
            start = last + timedelta(seconds=1)
    return frame_of(found)


def save_history(run: Run, frame: "pd.DataFrame", ticker: str, timeframe: str) -> Path:
    origin = candle_store.Origin("save_history", run.clock.now(), adjusted=False)
    return candle_store.add_candles(run.settings.paths.raw, ticker, timeframe, frame, origin)


def report_coverage(run: Run) -> Answer:
    """Of what is wanted: the configured timeframes and first days, up to the last session that is over."""
    settings, calendar = run.settings, read_calendar(CONFIG)
    tickers = run.args.symbols or tuple(settings.tickers)
    if not tickers:
        raise ConfigError("config.tickers is empty; fill it with: python fetch.py index, or name --symbols")
    last = calendar.previous_session(ist_day(last_moment(run)))
    found = [
        each
        for timeframe, first in first_days(run, settings).items()
        for each in covered(settings.paths.raw, tickers, Grid(calendar, timeframe), first, last)
    ]
    return Answer([each.as_json() for each in found], as_text(found))


def lacking(run: Run) -> dict[str, int]:
    """Requests by timeframe until every file reaches the last session that is over."""
    settings, calendar = run.settings, read_calendar(CONFIG)
    now = run.clock.now().astimezone(IST)
    is_open_or_to_open = calendar.is_trading_day(now.date()) and now < known_at(calendar, now.date())
    last = datetime.combine(now.date(), time(), IST) - timedelta(seconds=1) if is_open_or_to_open else now
    store = Store(settings.paths.raw, calendar, "", _page_days())
    wanted = Wanted(tuple(settings.tickers), first_days(run, settings), last)
    return planned(files_of(store, wanted), wanted)


# --- filling and features -------------------------------------------------------------------------------


def impute(run: Run) -> Answer:
    """Every raw file of the universe; then the features that are stale."""
    settings, calendar = run.settings, read_calendar(CONFIG)
    tickers = sorted(run.args.symbols or settings.tickers)
    filled = files = 0
    for timeframe in settings.timeframes:
        grid = Grid(calendar, timeframe)
        there = [
            name for name in tickers if candle_store.path_of(settings.paths.raw, name, timeframe).exists()
        ]
        for ticker in there:
            filled += fill(settings.paths.raw, ticker, timeframe, grid)
        files += _features(settings, there, timeframe, grid, kept_industries(settings.state / "nse"))
        if missing := sorted(set(tickers) - set(there)):
            log.warning(
                "no %s candles of %s; get them with: python fetch.py history", timeframe, ", ".join(missing)
            )
    return Answer(
        {"bars_filled": filled, "feature_files": files},
        f"{filled:,} bars filled; {files} feature files made anew",
    )


def fill(raw: Path, ticker: str, timeframe: str, grid: Grid) -> int:
    """The file with every gap inside sessions filled; how many bars that were. Again changes nothing."""
    if candle_store.is_filled(raw, ticker, timeframe):
        return 0
    frame = candle_store.read_candles(raw, ticker, timeframe)
    found = imputed(frame, grid)
    origin = candle_store.origin_of(raw, ticker, timeframe)
    if origin is None:
        origin = candle_store.Origin("unknown", datetime.fromtimestamp(0, IST), adjusted=False)
    candle_store.replace_candles(raw, ticker, timeframe, found, origin)
    return int(found[candle_store.FILLED].sum())


def _features(
    settings: Settings, tickers: Sequence[str], timeframe: str, grid: Grid, industries: Mapping[str, str]
) -> int:
    if not tickers:
        return 0
    recipe = _recipe(settings, timeframe, grid, industries)
    return build(settings.paths.raw, settings.paths.processed, tickers, recipe, log.info)


def stale_features(run: Run) -> dict[str, int]:
    """Files by timeframe; DataError where there are no candles to make them of."""
    settings, calendar = run.settings, read_calendar(CONFIG)
    industries, tickers = kept_industries(settings.state / "nse"), sorted(settings.tickers)
    recipes = {
        name: _recipe(settings, name, Grid(calendar, name), industries) for name in settings.timeframes
    }
    paths = settings.paths
    return {name: len(stale(paths.raw, paths.processed, tickers, made)) for name, made in recipes.items()}


def _recipe(settings: Settings, timeframe: str, grid: Grid, industries: Mapping[str, str]) -> Recipe:
    lookbacks: Mapping[str, int] = {str(name): bars for name, bars in settings.lookbacks.items()}
    return Recipe(settings.feature_version, lookbacks[timeframe], grid, industries)
