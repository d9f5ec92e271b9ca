"""Which shares does an index have? NSE's archive is asked first, its web site second, our own cache last.

Said each time: where the list is from and of which day. A page that has changed its shape is an error that
says so, never a guess; an address under a path that `robots.txt` forbids is not asked. Lists are kept for the
day, so that ten runs ask once.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any, Final
from urllib.robotparser import RobotFileParser

from clock import Clock
from files import write_atomically
from net import MIN_SPACING_S, Http, Lane, Request
from outcome import ConfigError, DataError, NetworkError
from rulebook.hours import ist_day

# NSE answers 403 to anything that does not look like a browser; the site's own scripts send this much.
USER_AGENT: Final = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130 Safari/537.36"
)
FILES: Final[Mapping[str, tuple[str, int]]] = {
    "NIFTY 50": ("ind_nifty50list", 50),
    "NIFTY NEXT 50": ("ind_niftynext50list", 50),
    "NIFTY 100": ("ind_nifty100list", 100),
    "NIFTY 200": ("ind_nifty200list", 200),
    "NIFTY 500": ("ind_nifty500list", 500),
    "NIFTY MIDCAP 150": ("ind_niftymidcap150list", 150),
    "NIFTY SMALLCAP 250": ("ind_niftysmallcap250list", 250),
}  # the archive's name and how many shares there are; a demerger adds a dummy for some days
CONSTITUENTS_PATH, START_PAGE = "/api/equity-stock-indices", "/option-chain"
SPARE = 5
SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9&-]{0,19}")


@dataclass(frozen=True, slots=True)
class Constituents:
    """An index's shares in the order of the source; `industries` by ticker."""

    index: str
    tickers: tuple[str, ...]
    industries: Mapping[str, str]
    source: str
    day: date


class ChangedPageError(DataError):
    """NSE answered, and it was not what it used to be."""


def index_name(text: str) -> str:
    """NIFTY50, nifty 50 and "NIFTY 50" are one index; ConfigError for none of ours."""
    wanted = re.sub(r"[^A-Z0-9]", "", text.upper())
    for name in FILES:
        if name.replace(" ", "") == wanted:
            return name
    raise ConfigError(f"index {text!r} is not known; one of: {', '.join(FILES)}")


def kept_industries(cache: Path) -> dict[str, str]:
    """Of every ticker in any list that was kept; a torn one tells nothing."""
    found: dict[str, str] = {}
    for path in sorted(cache.glob("*.json")):
        try:
            found |= json.loads(path.read_text())["industries"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


class NseSite:
    """What is asked of NSE. `http` has USER_AGENT; `cache` is a folder."""

    def __init__(self, http: Http, site: str, archives: str, cache: Path, clock: Clock) -> None:
        self._http = http
        self._site, self._archives = site.rstrip("/"), archives.rstrip("/")
        self._cache = cache
        self._clock = clock
        self._lane = Lane(MIN_SPACING_S, clock)

    def constituents(self, index: str, tell: Callable[[str], None]) -> Constituents:
        """Of today if NSE can be asked, else the newest that is known; `tell` hears what failed before."""
        name, today = index_name(index), ist_day(self._clock.now())
        kept = self._kept(name)
        if kept is not None and kept.day == today:
            return kept
        reasons = []
        for ask in (self._from_archive, self._from_site):
            try:
                found = ask(name, today)
            except (NetworkError, ChangedPageError) as error:
                tell(f"{name}: {error}")
                reasons.append(str(error))
                continue
            self._keep(found)
            return found
        if kept is None:
            raise NetworkError(f"{name}: no list to be had, and none was kept; {'; '.join(reasons)}")
        return kept

    # --- the three sources ---

    def _from_archive(self, name: str, today: date) -> Constituents:
        file, count = FILES[name]
        text = self._get(self._archives, f"/content/indices/{file}.csv", {}).decode("utf-8-sig", "replace")
        rows = list(csv.DictReader(StringIO(text)))
        if not rows or not {"Symbol", "Industry", "Series"} <= rows[0].keys():
            raise ChangedPageError(f"{file}.csv has other columns than it used to have")
        pairs = [(row["Symbol"], row["Industry"]) for row in rows if row["Series"] == "EQ"]
        return _judged(name, pairs, count, "NSE's archive", today)

    def _from_site(self, name: str, today: date) -> Constituents:
        self._require_allowed(CONSTITUENTS_PATH)
        cookies = self._cookies()
        headers = {"Cookie": cookies, "Referer": self._site + START_PAGE, "Accept": "application/json"}
        body = self._get(self._site, CONSTITUENTS_PATH, headers, {"index": name})
        try:
            rows = json.loads(body)["data"][1:]  # the first one is the index itself
            pairs = [(row["symbol"], row["meta"]["industry"]) for row in rows]
        except (ValueError, KeyError, TypeError, IndexError):
            raise ChangedPageError(f"{CONSTITUENTS_PATH} has another shape than it used to have") from None
        return _judged(name, pairs, FILES[name][1], "NSE's web site", today)

    def _kept(self, name: str) -> Constituents | None:
        try:
            known = json.loads(self._path(name).read_text())
            day = date.fromisoformat(known["day"])
            pairs = [(ticker, known["industries"][ticker]) for ticker in known["tickers"]]
            return _judged(name, pairs, FILES[name][1], f"the list kept on {day}", day)
        except (OSError, ValueError, KeyError, TypeError, ChangedPageError):
            return None  # none, or torn: it is only a cache

    def _keep(self, found: Constituents) -> None:
        self._cache.mkdir(parents=True, exist_ok=True)
        known = {**asdict(found), "day": found.day.isoformat()}
        write_atomically(self._path(found.index), json.dumps(known, indent=1).encode())

    def _path(self, name: str) -> Path:
        return self._cache / f"{FILES[name][0]}.json"

    # --- asking ---

    def _require_allowed(self, path: str) -> None:
        rules = RobotFileParser()
        rules.parse(self._get(self._site, "/robots.txt", {}).decode("utf-8", "replace").splitlines())
        if not rules.can_fetch("*", self._site + path):
            raise NetworkError(f"{path} is closed to programs by NSE's robots.txt, and was not asked")

    def _cookies(self) -> str:
        """A page for people hands them out; without them the site answers 401."""
        answer = self._http.read(Request(self._site + START_PAGE, self._lane))
        pairs = (cookie.partition(";")[0] for cookie in answer.headers.get_list("set-cookie"))
        return "; ".join(pairs)

    def _get(
        self, root: str, path: str, headers: Mapping[str, str], params: Mapping[str, str] | None = None
    ) -> bytes:
        answer = self._http.read(Request(root + path, self._lane, headers=headers, params=params))
        if answer.content.lstrip()[:1] == b"<":
            raise ChangedPageError(
                f"{path} answered with a web page: NSE blocks this address, or has moved it"
            )
        return answer.content


def _judged(name: str, pairs: Iterable[tuple[Any, Any]], count: int, source: str, day: date) -> Constituents:
    """Symbols that can be symbols, each once, about as many as the index has."""
    found = dict(pairs)
    strange = [symbol for symbol in found if not (isinstance(symbol, str) and SYMBOL.fullmatch(symbol))]
    if strange:
        raise ChangedPageError(f"{name} from {source}: {strange[0]!r} is no symbol")
    if not count - SPARE <= len(found) <= count + SPARE:
        raise ChangedPageError(f"{name} from {source}: {len(found)} shares instead of about {count}")
    return Constituents(
        name, tuple(found), {ticker: str(field) for ticker, field in found.items()}, source, day
    )
