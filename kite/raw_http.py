"""How does a call go to the broker by our own client? BROKER_MODE=raw_http; kiteconnect is not imported."""

from typing import Any

from clock import Clock
from kite.envelope import opened, text_of
from kite.errors import BrokerError, NotSentError, damaged, doubtful
from kite.routes import Call
from net import CallError, Http, Lane, Request, StatusError, WrongAnswerError
from net import NotSentError as NetNotSentError

API_VERSION = "3"


class RawHttp:
    """A Transport over net.Http, which follows no redirect, obeys no proxy variable and bounds answers."""

    def __init__(self, root: str, api_key: str, http: Http, clock: Clock) -> None:
        self._root = root.rstrip("/")
        self._api_key = api_key
        self._http = http
        self._lane = Lane(0.0, clock)  # kite.rates has already let it go
        self._token: str | None = None

    def use_token(self, token: str | None) -> None:
        self._token = token

    def close(self) -> None:
        self._http.close()

    def send(self, call: Call) -> Any:
        try:
            answer = self._http.send_once(self._request(call))
        except StatusError as error:
            return opened(call, error.status, error.body)
        except CallError as error:
            raise _translated(call, error) from None
        if call.route.is_csv:
            return text_of(call, answer.headers.get("Content-Type", ""), answer.content)
        return opened(call, answer.status_code, answer.content)

    def _request(self, call: Call) -> Request:
        headers = {"X-Kite-Version": API_VERSION}
        if self._token:
            headers["Authorization"] = f"token {self._api_key}:{self._token}"
        values = {
            name: str(value) if isinstance(value, int | float) else value
            for name, value in call.values.items()
        }
        in_query = call.route.method in ("GET", "DELETE")
        return Request(
            self._root + call.path,
            self._lane,
            call.route.method,
            params=values if in_query and values else None,
            form=None if in_query or call.route.is_json else {k: str(v) for k, v in values.items()},
            json=call.document,
            headers=headers,
            urgent=call.urgent,
            total_s=call.total_s,
        )


def _translated(call: Call, error: CallError) -> BrokerError:
    if isinstance(error, NetNotSentError):
        return NotSentError(call.asked, error.what)
    if isinstance(error, WrongAnswerError):
        return damaged(call.asked, call.route.is_change, error.what)
    return doubtful(call.asked, call.route.is_change, error.what)
