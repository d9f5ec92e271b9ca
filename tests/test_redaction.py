"""Does a secret ever survive redaction, and does ordinary text survive it unharmed?"""

import base64
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from outcome import ConfigError
from redaction import SECRET_CHARS_MIN, Redactor

PLAIN = "q7Rk2ZpXw9Tb4Lm6Vc8Yd1Hs"
AWKWARD = 'p@ss w0rd/+"=\\n\\\\\u00e9\u20ac&%'

SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda s: s,
    "URL path": lambda s: quote(s, safe=""),
    "URL query": quote_plus,
    "URL, slashes kept": quote,
    "URL in a URL": lambda s: quote(quote(s, safe=""), safe=""),
    "URL, lower-case escapes": lambda s: quote(s, safe="").replace("%2F", "%2f").replace("%2B", "%2b"),
    "JSON": json.dumps,
    "JSON in JSON": lambda s: json.dumps(json.dumps(s)),
    "JSON, not ASCII": lambda s: json.dumps(s, ensure_ascii=False),
    "repr": repr,
    "ascii": ascii,
    "bytes": lambda s: repr(s.encode()),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 for URLs": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "hex": lambda s: s.encode().hex(),
}


@pytest.mark.parametrize("secret", [PLAIN, AWKWARD])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_hidden_value_disappears_in_every_spelling(spelling, secret):
    redactor = Redactor()
    redactor.hide(secret)
    spelt = SPELLINGS[spelling](secret)
    bare = spelt.strip("b\"'")

    redacted = redactor.redact(f"sent {spelt} to the broker")

    assert bare not in redacted
    assert "***" in redacted
    assert redacted.startswith("sent ") and redacted.endswith(" to the broker")


@pytest.mark.parametrize("user", ["", "u", "us", "use", "AB1234:"])
def test_base64_of_user_and_secret_shows_no_part_of_the_secret(user):
    redactor = Redactor()
    redactor.hide(PLAIN)
    coded = base64.b64encode(f"{user}{PLAIN}:x".encode()).decode()

    redacted = redactor.redact(coded)

    assert "***" in redacted
    assert len(redacted) < len(coded) - len(PLAIN)


NAMED = [
    ("access_token={}", "access_token=***"),
    ("KITE_API_SECRET={}", "KITE_API_SECRET=***"),
    ("KITE_API_SECRET = '{}'", "KITE_API_SECRET = '***'"),
    ("wss://ws.kite.trade?api_key={}&access_token={}", "wss://ws.kite.trade?api_key=***&access_token=***"),
    ("GET /?request_token={}&status=success HTTP/1.1", "GET /?request_token=***&status=success HTTP/1.1"),
    ("next=https%3A%2F%2Fh%2F%3Ftoken%3D{}", "next=https%3A%2F%2Fh%2F%3Ftoken%3D***"),
    ('{{"refresh_token": "{}", "user": "AB"}}', '{{"refresh_token": "***", "user": "AB"}}'),
    ('"{{\\"public_token\\": \\"{}\\", \\"n\\": 1}}"', '"{{\\"public_token\\": \\"***\\", \\"n\\": 1}}"'),
    ("{{'enctoken': '{}', 'qty': 10}}", "{{'enctoken': '***', 'qty': 10}}"),
    ("{{'password': b'{}'}}", "{{'password': b'***'}}"),
    ('{{"password": "{}\\"more"}}', '{{"password": "***"}}'),
    ("{{'token': ['{}', '{}']}}", "{{'token': ***]}}"),
    ("Authorization: token {}:{}", "Authorization: ***"),
    ("authorization: Bearer {}", "authorization: ***"),
    ("X-Api-Key: {}", "X-Api-Key: ***"),
    ("Cookie: sid={}; theme=dark\nHost: kite.trade", "Cookie: ***\nHost: kite.trade"),
    ("Set-Cookie: enctoken={}; Path=/", "Set-Cookie: ***"),
    ("[(b'Authorization', b'token {}'), (b'Host', b'h')]", "[(b'Authorization', b'***'), (b'Host', b'h')]"),
    ("('x-api-key', '{}')", "('x-api-key', '***')"),
    ("checksum={}, user=AB1234", "checksum=***, user=AB1234"),
    ("hmac_key={} hmac key: {}", "hmac_key=*** hmac key: ***"),
    ("password: {}", "password: ***"),
    ("passwd => {}", "passwd => ***"),
    ("sent token {}:{} twice", "sent token *** twice"),
    ("header Bearer {}, ok", "header Bearer ***, ok"),
    ("via http://trader:{}@proxy.lan:3128/", "via http://***@proxy.lan:3128/"),
    ("accessToken={}", "accessToken=***"),
]


@pytest.mark.parametrize(("shape", "expected"), NAMED)
def test_what_is_named_like_a_secret_is_hidden_though_nobody_registered_it(shape, expected):
    redacted = Redactor().redact(shape.format(*["Zk81ghQe77"] * shape.count("{}")))

    assert expected.replace("{{", "{").replace("}}", "}") == redacted


@pytest.mark.parametrize(
    "text",
    [
        "RELIANCE BUY 10 @2950.05",
        "instrument_token=738561 exchange_token: 2885",
        "{'instrument_token': 738561, 'tradingsymbol': 'RELIANCE'}",
        "GET https://api.kite.trade/orders?from=2026-11-20 took 12 ms",
        ".env: KITE_API_SECRET is missing; copy .env.example and fill it in",
        "access_token: missing; run fetch.py --fn login",
        "Authorization: expired",
        '{"access_token": null}',
        "the token expired at 06:00; log in again",
        "bought at 12:30:05, key level 2950",
        "basic checks: all tokens counted",
    ],
)
def test_what_a_trader_needs_to_read_is_left_alone(text):
    assert text == Redactor().redact(text)


@pytest.mark.parametrize("value", ["", "12345", "  1234  ", "      "])
def test_a_value_too_short_to_hide_is_refused_without_being_shown(value):
    with pytest.raises(ConfigError) as refused:
        Redactor().hide(value)

    assert "fewer than 6" in str(refused.value)
    assert not value.strip() or value.strip() not in str(refused.value)


def test_a_secret_that_contains_another_one_is_hidden_whole():
    redactor = Redactor()
    redactor.hide("abcdef")
    redactor.hide("abcdefGHIJKL")

    redacted = redactor.redact("<abcdefGHIJKL> <abcdef>")

    expected = "<***> <***>"
    assert expected == redacted


def test_a_redactor_does_not_show_what_it_hides():
    redactor = Redactor()
    redactor.hide(PLAIN)

    assert PLAIN not in repr(redactor)


secrets = st.text(min_size=SECRET_CHARS_MIN, max_size=40).filter(lambda s: len(s.strip()) >= SECRET_CHARS_MIN)


@settings(max_examples=150, deadline=None)
@given(st.lists(secrets, min_size=1, max_size=3), st.text(max_size=60), st.text(max_size=60), st.booleans())
@example(["***abc"], "***abc", "abcabc", False)
@example(["******"], "*****", "*", False)
@example(["x=***;"], "token=x=", "***;", False)
@example(["\\\\\\\\\\\\\\\\x"], "\\" * 40, "y", True)
def test_no_hidden_value_survives_anywhere_in_any_text(values, before, after, named):
    redactor = Redactor()
    for value in values:
        redactor.hide(value)
    text = before + ("token=" if named else "") + "".join(values) + after

    redacted = redactor.redact(text)

    assert not [value for value in values if value.strip() in redacted]


@settings(max_examples=100, deadline=None)
@given(secrets, st.text(max_size=20))
def test_no_hidden_value_survives_being_encoded(value, beside):
    redactor = Redactor()
    redactor.hide(value)
    core = value.strip()
    spelt = [json.dumps(core)[1:-1], ascii(core)[1:-1], quote(core, safe=""), quote_plus(core)]

    shown = [redactor.redact(f"{beside}|{text}|{beside}") for text in spelt]

    assert not [text for text, line in zip(spelt, shown, strict=True) if f"|{text}|" in line]
