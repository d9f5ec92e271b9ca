"""What does each check of an installation look at, and what does it say?

A check answers with a Finding or raises; doctor.py makes them all and judges. They write nothing but a trial
file that is gone at once, and take no lock: they may run beside a trader. What a check needs is imported in
it, so that a package that is missing is one check's finding and not the end of all.
"""

import hashlib
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib import metadata
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from addresses import read_addresses
from cli import Run
from clock import SystemClock
from facts import CHARGES, read_calendar, read_tariff, require_years
from login import dies_at
from outcome import ConfigError, ExitCode
from rulebook.hours import IST, ist_day

if TYPE_CHECKING:
    from net import Http, Schedule

ROOT: Final = Path(__file__).resolve().parent
FACTS: Final = ROOT / "config"
PYTHONS: Final = ((3, 11), (3, 12))
SET_UP, LOG_IN = "make setup", "python fetch.py --fn login"
GIB: Final = 1 << 30
FREE_LEAST, FREE_GOOD = GIB, 5 * GIB  # two years of fifty tickers at one minute, with features, are 1.5
APART_GOOD, APART_MOST = timedelta(seconds=2), timedelta(seconds=30)  # a Date header counts seconds
CHARGES_HOLD: Final = timedelta(days=184)  # rates have changed about twice a year since 2023


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found. With a remedy and no code it deserves a look and stops nobody."""

    said: str
    remedy: str = ""
    code: ExitCode = ExitCode.DONE
    is_open: bool = False  # something else must be mended first

    @property
    def state(self) -> str:
        if self.code:
            return "WRONG"
        return "open" if self.is_open else "look" if self.remedy else "ok"


# --- the installation -------------------------------------------------------------------------------------


def python(_: Run) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] not in PYTHONS:
        remedy = "install 3.11 or 3.12 and run: make setup"
        return Finding(f"this is {version}, which the locks are not for", remedy, ExitCode.FAILED)
    return Finding(f"{version} in {sys.prefix}")


def packages(_: Run) -> Finding:
    """Against the lock; a build of torch for a GPU has its version and another label behind it."""
    from packaging.requirements import Requirement
    from packaging.version import Version

    lock = (ROOT / "requirements.txt").read_text().splitlines()
    pinned = [Requirement(line.rstrip(" \\")) for line in lock if line[:1].isalnum()]
    wanted = {p.name: next(iter(p.specifier)).version for p in pinned if not p.marker or p.marker.evaluate()}
    there: dict[str, str] = {}
    for each in metadata.distributions():  # the first of a name is the one that is imported
        there.setdefault(re.sub(r"[-_.]+", "-", each.name).lower(), each.version)
    other = [
        f"{name} {there.get(name, 'missing')} instead of {version}"
        for name, version in wanted.items()
        if name not in there or Version(there[name]).public != Version(version).public
    ]
    if not other:
        return Finding(f"all {len(wanted)} as locked")
    if [name for name in wanted if name not in there] == ["torch"] == [text.split()[0] for text in other]:
        return Finding("torch is missing; only train.py needs it", SET_UP)
    return Finding(f"{len(other)} not as locked: {', '.join(other[:3])}", SET_UP, ExitCode.FAILED)


def config(run: Run) -> Finding:
    settings = run.settings
    kind = "paper" if settings.paper_trading else "LIVE"
    return Finding(f"valid; {len(settings.tickers)} tickers, {', '.join(settings.timeframes)}, {kind}")


def dot_env(run: Run) -> Finding:
    from environment import KEYS

    path = run.config_path.parent / ".env"
    run.environment(*KEYS)  # ConfigError: others may read it, an unknown name, a value that is not allowed
    if path.exists():
        return Finding(f"{path}, mode {stat.S_IMODE(path.stat().st_mode):04o}")
    if run.environ.get("BROKER_MODE"):
        return Finding("none; the process environment is used")
    return Finding(f"{path} is missing", "cp .env.example .env && chmod 600 .env", ExitCode.USAGE)


def disk(run: Run) -> Finding:
    folder = _nearest(run.settings.paths.raw)
    free = shutil.disk_usage(folder).free
    said = f"{free / GIB:.1f} GiB free for {folder}"
    if free < FREE_LEAST:
        return Finding(said, f"free at least {FREE_LEAST // GIB} GiB", ExitCode.FAILED)
    return Finding(said, "" if free >= FREE_GOOD else "more history than you have will not fit for long")


def folders(run: Run) -> Finding:
    """By writing: a mode tells nothing of a full quota or a disk that is mounted to be read."""
    paths = run.settings.paths
    folders = [paths.raw, paths.processed, paths.checkpoints, paths.winner, paths.ledger, run.settings.state]
    for folder in dict.fromkeys(map(_nearest, folders)):
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"x" * 4096)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            remedy = f"make {folder} writable for this user, or name another under paths in config.json"
            return Finding(f"{folder}: {error.strerror}", remedy, ExitCode.FAILED)
    return Finding("candles, features, models, ledger and state can be written")


def _nearest(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


# --- the others -------------------------------------------------------------------------------------------


def broker(run: Run) -> Finding:
    """The mode, the key, the secret, and whether somebody is there; not yet whether we may come in."""
    names = ("BROKER_MODE", "ZERODHA_API_KEY", "ZERODHA_API_SECRET")
    environment = run.environment(*names)
    environment.required(*names)
    _date_told_by(read_addresses(run.environ).kite_api + "/")
    return Finding(f"{read_addresses(run.environ).broker_host} answers; {environment.text('BROKER_MODE')}")


def clock(run: Run) -> Finding:
    addresses, now = read_addresses(run.environ), run.clock.now()
    if addresses.clock:
        return Finding(f"that of the local exchange: {now.astimezone(IST):%Y-%m-%d %H:%M:%S} IST")
    told = _date_told_by(addresses.kite_api + "/")
    if told is None:
        return Finding("the broker's answer has no date to compare with", "timedatectl status")
    apart = abs(now - told)
    if apart > APART_MOST:
        said = f"{apart.total_seconds():.0f} s from the broker's"
        return Finding(said, "timedatectl set-ntp true; for a local exchange set CLOCK_URL", ExitCode.FAILED)
    said = f"within {max(1.0, apart.total_seconds()):.0f} s of the broker's"
    return Finding(said, "" if apart <= APART_GOOD else "timedatectl set-ntp true")


def _date_told_by(url: str) -> datetime | None:
    """By whatever answer: a refusal has a date, too. CallError where nobody answers."""
    from net import Lane, Request, StatusError, WrongAnswerError

    with closing(_http()) as http:
        try:
            told = http.read(Request(url, Lane(0.0, SystemClock())), _one_more_try()).headers.get("Date", "")
        except StatusError as error:
            told = error.date
        except WrongAnswerError:  # it sends us elsewhere: somebody is there
            return None
    try:
        return parsedate_to_datetime(told)
    except ValueError:
        return None


def token(run: Run) -> Finding:
    from connection import connected

    at = connected(run)
    with closing(at.client):
        if at.environment.secret("ZERODHA_ACCESS_TOKEN") is None:
            return Finding("there is none", LOG_IN, ExitCode.BROKER)
        at.client.user_id()
    dies = dies_at(run.clock.now()).astimezone(IST)
    return Finding(f"works; the broker ends it {dies:%d %b} at about {dies:%H:%M} IST")


def nse(run: Run) -> Finding:
    from net import Lane, Request

    site = read_addresses(run.environ).nse
    with closing(_http()) as http:
        http.read(Request(site + "/robots.txt", Lane(0.0, SystemClock())), _one_more_try())
    return Finding(f"{site} answers")


def _http() -> "Http":
    """Its waits are this machine's time, whatever the exchange's clock says."""
    from net import Http
    from nse import USER_AGENT

    return Http(USER_AGENT, SystemClock(), SystemRandom())


def _one_more_try() -> "Schedule":
    from net import NotSentError, Schedule

    return Schedule((0.5,), (NotSentError,))


# --- facts and data ---------------------------------------------------------------------------------------


def calendar(run: Run) -> Finding:
    calendar, today = read_calendar(FACTS), ist_day(run.clock.now())
    require_years(calendar, today, today)
    if (today + timedelta(days=31)).year not in calendar.years:
        return Finding(f"{today.year + 1} is not there yet", f"add config/holidays-{today.year + 1}.json")
    if calendar.years[today.year].provisional:
        return Finding(f"{today.year} is provisional", f"compare config/holidays-{today.year}.json with NSE")
    return Finding(
        f"holidays to {max(calendar.years)}; this year's as of {calendar.years[today.year].verified_on}"
    )


def charges(run: Run) -> Finding:
    read_tariff(FACTS)
    verified = date.fromisoformat(json.loads((FACTS / CHARGES).read_text())["verified_on"])
    if ist_day(run.clock.now()) - verified > CHARGES_HOLD:
        remedy = "compare config/charges.json with the broker's page of charges"
        return Finding(f"last compared on {verified}", remedy)
    return Finding(f"as of {verified}")


def candles(run: Run) -> Finding:
    if not run.settings.tickers:
        return Finding("config.tickers is empty", "python fetch.py index", ExitCode.DATA)
    from fetching import lacking

    requests = {name: count for name, count in lacking(run).items() if count}
    if requests:
        parts = ", ".join(f"{name} {count}" for name, count in requests.items())
        said = f"not up to the last session that is over; requests to make: {parts}"
        return Finding(said, "python fetch.py history impute", ExitCode.DATA)
    return Finding(f"of {len(run.settings.tickers)} tickers, up to the last session that is over")


def features(run: Run) -> Finding:
    if not run.settings.tickers:
        return Finding("of no ticker yet", "python fetch.py index", ExitCode.DATA)
    from fetching import stale_features

    stale = {name: count for name, count in stale_features(run).items() if count}
    if stale:
        parts = ", ".join(f"{name} {count}" for name, count in stale.items())
        return Finding(f"stale or missing: {parts} files", "python fetch.py impute", ExitCode.DATA)
    return Finding(f"version {run.settings.feature_version}, of the candles as they are")


def winner(run: Run) -> Finding:
    folder = run.settings.paths.winner
    model, metrics = folder / "model.pt", folder / "metrics.json"
    if not (model.exists() and metrics.exists()):
        return Finding(f"no model in {folder}", "python train.py", ExitCode.DATA)
    try:
        told = json.loads(metrics.read_text())
        reward, wanted = float(told["avg_reward"]), str(told["model_hash"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        return Finding(f"{metrics} cannot be read ({error})", "python train.py --fn promote", ExitCode.DATA)
    if hashlib.sha256(model.read_bytes()).hexdigest() != wanted.removeprefix("sha256:"):
        return Finding(
            f"{model} is not what its metrics tell of", "python train.py --fn rollback", ExitCode.DATA
        )
    said = f"mean net R of {reward:.3f} on the holdout"
    if reward < run.settings.winner_min_avg_reward:
        return Finding(f"{said}, below winner_min_avg_reward", "python train.py; live trading refuses it")
    return Finding(said)


def for_live(run: Run) -> Finding:
    environment = run.environment("DAILY_MAX_LOSS_R")
    if environment.text("DAILY_MAX_LOSS_R"):
        return Finding(f"the day is over at a loss of {environment.text('DAILY_MAX_LOSS_R')} R")
    remedy = "set DAILY_MAX_LOSS_R=3.0 in .env"
    if run.settings.paper_trading:
        return Finding("none set; live trading would refuse to start", remedy)
    raise ConfigError("none set, and live trading refuses to start without")


def dashboard(run: Run) -> Finding:
    if run.environment("DASHBOARD_AUTH_TOKEN").secret("DASHBOARD_AUTH_TOKEN") is None:
        return Finding(
            "no DASHBOARD_AUTH_TOKEN; dashboard.py refuses to start", "openssl rand -hex 32, into .env"
        )
    return Finding("has its token")
