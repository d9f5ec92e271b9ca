"""How does the exchange run as a process of its own? One event loop and one port, until interrupted."""

import asyncio
import contextlib
import json
import signal
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from exchange import faults as fault_lists
from exchange.doors import Door
from exchange.faults import Faults
from exchange.house import House, Ready
from exchange.login import Logins
from exchange.nouns import Market
from exchange.venue import Exchange
from facts import read_calendar, read_tariff
from outcome import BusyError, ConfigError, ExitCode
from rulebook.hours import Calendar

LOOPBACK = "127.0.0.1"
FACTS = Path(__file__).resolve().parent.parent / "config"
RECORDED = "recorded:"


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command line asked for."""

    port: int
    start: datetime
    rate: float | None
    market: str
    seed: int
    symbols: int
    edges: tuple[str, ...]
    faults: Path | None
    cache: Path | None


def serve(plan: Plan) -> int:
    """Until SIGINT or SIGTERM."""
    house_of = _HouseBuilder(plan)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(plan, house_of))
    return ExitCode.DONE


class _HouseBuilder:
    """What can be built before the loop runs, so that its mistakes are told before the port opens."""

    def __init__(self, plan: Plan) -> None:
        calendar, tariff = read_calendar(FACTS), read_tariff(FACTS)
        listed = () if plan.faults is None else _faults_from(plan.faults)
        self.faults = Faults(plan.seed, listed)
        market = _market(plan, calendar)
        if calendar.is_trading_day(plan.start.date()):
            market.tape(
                market.listings[0].ticker, plan.start.date()
            )  # a day that was not recorded is said now
        self.exchange = Exchange(market, calendar, tariff, plan.start, plan.seed, self.faults)
        self.logins = Logins(plan.seed)


def _faults_from(path: Path) -> tuple[fault_lists.Fault, ...]:
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigError(f"--faults {path}: {error.strerror}") from None
    return fault_lists.read(text, str(path))


def _market(plan: Plan, calendar: Calendar) -> Market:
    """Each kind is imported where it is wanted: the server is to be ready in two seconds."""
    if plan.market.startswith(RECORDED):
        from exchange.recorded import RecordedMarket

        return RecordedMarket(Path(plan.market.removeprefix(RECORDED)), calendar)
    if plan.market != "synthetic":
        raise ConfigError(f"--market {plan.market}: synthetic, or {RECORDED}FOLDER")
    from exchange import edges
    from exchange.synthetic import SyntheticMarket

    return SyntheticMarket(plan.seed, calendar, plan.symbols, edges.read(plan.edges), plan.cache)


async def _run(plan: Plan, built: _HouseBuilder) -> None:
    loop = asyncio.get_running_loop()
    awake, done = asyncio.Event(), asyncio.Event()
    house = House(built.exchange, built.logins, built.faults, plan.rate, loop.time, awake.set)
    try:
        server = await loop.create_server(lambda: Door(house), LOOPBACK, plan.port)
    except OSError as error:
        raise BusyError(f"port {plan.port} is taken ({error.strerror}); choose another with --port") from None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, done.set)
    house.ready = _ready(house, server.sockets[0].getsockname()[1])
    print(json.dumps(house.ready), flush=True)
    clock = asyncio.create_task(_keep_time(house, awake))
    clock.add_done_callback(lambda _: done.set())  # a defect in there must not leave a dead exchange running
    await done.wait()
    server.close()
    if clock.done():
        clock.result()
    clock.cancel()


async def _keep_time(house: House, awake: asyncio.Event) -> None:
    """Move time as far as it may go, then sleep until something is due or somebody says something."""
    loop = asyncio.get_running_loop()
    while True:
        awake.clear()
        house.keep_up()
        seconds = house.pacing.wall_seconds_to_next(loop.time())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(awake.wait(), seconds)


def _ready(house: House, port: int) -> Ready:
    http, ws = f"http://{LOOPBACK}:{port}", f"ws://{LOOPBACK}:{port}"
    return {
        "kite_api_url": http,
        "kite_login_url": http,
        "kite_ws_url": ws,
        "nse_url": http,
        "nse_archives_url": http,
        "clock_url": f"{http}/clock",
        "control_url": f"{http}/control",
        "api_key": house.logins.api_key,
        "api_secret": house.logins.api_secret,
        "request_token": house.logins.grant(house.exchange.now),
        "user_id": house.logins.user_id,
    }
