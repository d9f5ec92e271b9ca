"""What went wrong at the broker, and what must the caller do? One tree, drawn by the remedy.

    outcome.SuiteError
      BrokerError               one sentence: what was asked, what happened, what to do
        RejectedError           the broker said no: nothing was done; `refusal` says of which kind
        UnknownOutcomeError     a change was asked for and may have been made: look before anything else
        BlockedError            the broker does not listen to us: nothing was done, exits do not go either
          LogInAgainError       the access token is dead (expired, logged out, replaced by a newer login)
            LoginRefusedError   it was a login that was refused: request_token, key or secret
          AddressRefusedError   this machine's address is not the registered one, or the app may not do this
        NotSentError            provably nothing left this machine
        RateLimitedError        a read came too fast: wait
        DownError               a read found the broker down or unreachable: try later
        CorruptError            an answer to a read that makes no sense: never trade on it

For a change, only RejectedError, BlockedError and NotSentError prove that nothing happened: a 429, a 5xx, a
time-out, an empty or damaged body are UnknownOutcomeError. So is a 400 that says "timed out": Kite once
answered so to an order that it had taken (kite.trade comment 35732). Both transports raise these and nothing
else. The broker names its refusals in prose; the table of words below is all that reads it.
"""

import re
from typing import ClassVar

from outcome import ExitCode, SuiteError
from rulebook.order_records import Refusal


class BrokerError(SuiteError):
    """Base of all that a call to the broker may raise."""

    exit_code: ClassVar[ExitCode] = ExitCode.BROKER
    remedy: ClassVar[str] = "look at the log"

    def __init__(self, asked: str, what: str) -> None:
        super().__init__(f"{asked}: {what}; {self.remedy}")
        self.asked = asked
        self.what = what


class RejectedError(BrokerError):
    remedy = "nothing was done; change the request, or leave it"

    def __init__(self, asked: str, what: str, refusal: Refusal) -> None:
        super().__init__(asked, what)
        self.refusal = refusal


class UnknownOutcomeError(BrokerError):
    remedy = "it may have been done all the same: the order book is read before anything else"


class BlockedError(BrokerError):
    remedy = "nothing is accepted from us, exits included; watch your position in the broker's own app"


class LogInAgainError(BlockedError):
    remedy = "log in with: python fetch.py --fn login"


class LoginRefusedError(LogInAgainError):
    remedy = (
        "log in anew, for a request_token is good once and for minutes; if it stays so, compare "
        "ZERODHA_API_KEY and ZERODHA_API_SECRET with your app's page"
    )


class AddressRefusedError(BlockedError):
    remedy = "register this machine's address at developers.kite.trade (IP Whitelist), or see the app's plan"


class NotSentError(BrokerError):
    remedy = "nothing was sent; check the connection"


class RateLimitedError(BrokerError):
    remedy = "see that no other program uses the same login"

    retry_after_s: float = 0.0


class DownError(BrokerError):
    remedy = "try again later"


class CorruptError(BrokerError):
    remedy = "a proxy or a login page may stand in between; nothing was taken from it"


# Words of refusals, lower case, the first that fits decides. From kite.md 1.8, 3.2, 3.6, 8 and faults.md 2
# and 3; what the broker writes is not promised, so a text without any of them is OTHER.
_WORDS: tuple[tuple[Refusal, str], ...] = (
    (Refusal.MODIFICATIONS_EXCEEDED, r"order modifications exceeded"),
    (Refusal.PROCESSING, r"being processed|cannot be (modified|cancelled)|not (open|pending)"),
    (Refusal.PROTECTION, r"market protection|market orders? (are|is)? ?(not allowed|blocked)"),
    (Refusal.TICK, r"tick size|multiple of tick|multiples? of 0?\.|not a multiple"),
    (Refusal.FREEZE, r"freeze|order slicing|maximum (order )?(quantity|value)"),
    (Refusal.CIRCUIT, r"circuit|price band|price range|limit price protection|\blpp\b|trigger price"),
    (Refusal.MARGIN, r"insufficient (funds|margin)|margin exceed|required margin|holding"),
    (Refusal.SURVEILLANCE, r"surveillance|\b[ag]sm\b|trade.to.trade|\bt2t\b|\bmis\b.*(block|not allowed)"),
    (Refusal.SESSION, r"markets? (is|are)? ?closed|outside.*hours|square.?off|after.market|\bamo\b|cut.?off"),
    (Refusal.LIMITS, r"too many|maximum allowed|limit exceeded|exceeds? (the )?(daily|order) limit"),
)  # fmt: skip
_TIMED_OUT = re.compile(r"tim(ed|e)[ -]?out", re.IGNORECASE)
_ADDRESS = re.compile(r"\bip\b|address|whitelist", re.IGNORECASE)
_TOO_MANY = 429


def refusal_of(text: str) -> Refusal:
    """The class of what the broker wrote, in an error or as the status message of a REJECTED order."""
    lower = text.lower()
    return next((refusal for refusal, words in _WORDS if re.search(words, lower)), Refusal.OTHER)


def error_of(asked: str, is_change: bool, status: int, error_type: str, message: str) -> BrokerError:
    """What an answer in the broker's error envelope means; `error_type` may be empty or new to us."""
    said = f"{status} {error_type or 'error'}: {message or 'no message'}"
    if refusal_of(message) is Refusal.MODIFICATIONS_EXCEEDED:  # a NetworkException, and yet final
        return RejectedError(asked, said, Refusal.MODIFICATIONS_EXCEEDED)
    if status == 403:
        return blocked(asked, said, error_type, message)
    if status == _TOO_MANY or status >= 500 or _TIMED_OUT.search(message):
        return doubtful(asked, is_change, said, is_limit=status == _TOO_MANY)
    if not 400 <= status < 500:
        return UnknownOutcomeError(asked, said) if is_change else CorruptError(asked, said)
    return RejectedError(asked, said, refusal_of(message))


def blocked(asked: str, said: str, error_type: str, message: str) -> BlockedError:
    """403: the token, the plan of the app or the address."""
    if error_type == "TokenException" or (not error_type and not _ADDRESS.search(message)):
        return LogInAgainError(asked, said)
    return AddressRefusedError(asked, said)


def doubtful(asked: str, is_change: bool, said: str, *, is_limit: bool = False) -> BrokerError:
    """No verdict came: for a change nobody knows, a read may simply be repeated."""
    if is_change:
        return UnknownOutcomeError(asked, said)
    return RateLimitedError(asked, said) if is_limit else DownError(asked, said)


def damaged(asked: str, is_change: bool, what: str) -> BrokerError:
    """An answer that cannot be read."""
    return UnknownOutcomeError(asked, what) if is_change else CorruptError(asked, what)
