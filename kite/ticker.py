"""How does the stream get here? Our own WebSocket client: one thread, one socket at a time, in both modes.

It connects with the token of the moment, hands every message to feed.py and what comes of it to the inbox,
drops a connection that feed.py calls ill, and waits before it tries again. 403 is final until the token is
another one: hammering with a dead token is how an address gets blocked (marketcalls/openalgo#788).
The address holds key and token, so it is never logged and no error quotes it.
"""

import asyncio
import math
import threading
from collections.abc import Callable, Iterable
from random import Random
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from clock import Clock, wait_until
from kite.feed import Connected, Disconnected, Feed, LoggedOut, News, Ticked
from kite.inbox import Inbox

OPEN_S = 10.0
LOOK_S = 0.25  # between looks at the watchdog, by this machine's clock
TOKEN_LOOK_S = 1.0  # after a 403, between looks for another token
PIECE_S = 1.0  # of a wait: stopping takes no longer
FRAME_BYTES_MOST = 1_000_000


class Ticker:
    """The stream of one login. `token` is asked before each connect; `hear` gets all news in order."""

    def __init__(
        self, root: str, api_key: str, token: Callable[[], str | None], feed: Feed, clock: Clock, rng: Random,
        inbox: Inbox[News],
    ) -> None:  # fmt: skip
        self._root = root.rstrip("/")
        self._api_key = api_key
        self._token = token
        self._feed = feed
        self._clock = clock
        self._rng = rng
        self._inbox = inbox
        self._lock = threading.Lock()  # feed.py is touched by this thread and by who wants other tokens
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket: ClientConnection | None = None
        self._is_over = threading.Event()
        self._heard: dict[int, int] = {}
        self._due_s: float | None = math.inf  # of what this thread does by itself; None: it listens
        self.moved: Callable[[], object] = lambda: None  # called when `heard` or `due_s` is another one
        self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)

    def start(self) -> None:
        self._is_at(0.0)
        self._thread.start()

    def stop(self) -> None:
        """Returns when the socket is closed."""
        self._is_over.set()
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(lambda: None)
        self._thread.join()

    def want(self, tokens: Iterable[int]) -> None:
        with self._lock:
            texts = self._feed.want(tokens)
        if texts and self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._say(texts), self._loop)

    def age_s(self, token: int) -> float | None:
        with self._lock:
            return self._feed.age_s(token, self._clock.monotonic())

    def silence_s(self) -> float | None:
        with self._lock:
            return self._feed.silence_s(self._clock.monotonic())

    @property
    def heard(self) -> dict[int, int]:
        """Frames by the local port of the connection that brought them; what a lock-step clock asks for."""
        with self._lock:
            return dict(self._heard)

    @property
    def due_s(self) -> float:
        """When it has something to do by itself, by the followed clock; what is past, it is doing now."""
        with self._lock:
            return self._feed.due_s if self._due_s is None else self._due_s

    def _run(self) -> None:
        asyncio.run(self._keep_connected())

    def _is_at(self, due_s: float | None, heard: dict[int, int] | None = None) -> None:
        with self._lock:
            self._due_s = due_s
            self._heard = self._heard if heard is None else heard
        self.moved()

    async def _keep_connected(self) -> None:
        self._loop = asyncio.get_running_loop()
        refused: str | None = None  # the token that was answered with 403
        while not self._is_over.is_set():
            token = self._token()
            if token is None or token == refused:
                await self._wait(TOKEN_LOOK_S)
                continue
            try:
                reason = await self._one_connection(token)
            except InvalidStatus as error:
                status = error.response.status_code
                if status == 403:
                    refused = token
                    self._inbox.put(LoggedOut())
                    continue
                reason = f"refused with {status}"
            except (OSError, InvalidHandshake, TimeoutError, ConnectionClosed) as error:
                reason = type(error).__name__
            await self._back_off(reason)

    async def _one_connection(self, token: str) -> str:
        """Until it ends; why it did."""
        query = urlencode({"api_key": self._api_key, "access_token": token})
        async with connect(
            f"{self._root}/?{query}", open_timeout=OPEN_S, close_timeout=1.0, ping_interval=None,
            max_size=FRAME_BYTES_MOST, compression=None, proxy=None, user_agent_header=None,
        ) as socket:  # fmt: skip
            self._socket = socket
            with self._lock:
                texts = self._feed.opened(self._clock.monotonic())
            self._inbox.put(Connected())
            await self._say(texts)
            self._is_at(None, {socket.local_address[1]: 0})
            try:
                return await self._listen(socket)
            finally:
                self._socket = None
                self._is_at(0.0, {})

    async def _listen(self, socket: ClientConnection) -> str:
        port = socket.local_address[1]
        while not self._is_over.is_set():
            try:
                async with asyncio.timeout(LOOK_S):
                    message = await socket.recv()
            except TimeoutError:
                message = None
            except ConnectionClosed as closed:
                return f"closed with {closed.rcvd.code if closed.rcvd else 1006}"
            now_s = self._clock.monotonic()
            with self._lock:
                news = [] if message is None else self._feed.received(message, now_s)
                reason, texts = self._feed.ails(now_s), self._feed.remind(now_s)
            for item in news:
                self._tell(item)
            if message is not None:
                with self._lock:
                    self._heard[port] += 1
            self.moved()
            if reason is not None:
                return reason
            await self._say(texts)
        return "stopped"

    def _tell(self, item: News) -> None:
        self._inbox.put(item, latest_of=item.packet.token if isinstance(item, Ticked) else None)

    async def _say(self, texts: list[str]) -> None:
        for text in texts:
            if self._socket is not None:
                try:
                    await self._socket.send(text)
                except ConnectionClosed:
                    return  # the listener says so

    async def _back_off(self, reason: str) -> None:
        with self._lock:
            wait_s = self._feed.closed(self._clock.monotonic(), self._rng)
        if not self._is_over.is_set():
            self._inbox.put(Disconnected(reason, wait_s))
            await self._wait(wait_s)

    async def _wait(self, seconds: float) -> None:
        """On the clock that everything follows, in pieces, so that stopping does not wait for its end."""
        over_s = self._clock.monotonic() + seconds
        self._is_at(over_s)
        while not self._is_over.is_set() and (now_s := self._clock.monotonic()) < over_s:
            await asyncio.to_thread(wait_until, self._clock, min(over_s, now_s + PIECE_S))
        self._is_at(0.0)
