"""Does a login work as it does at the broker, and end as it does there?"""

import re
from datetime import datetime, timedelta
from html.parser import HTMLParser
from urllib.parse import parse_qs, quote_plus, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.login import REQUEST_TOKEN_LIFE, App, LoginPage, Logins, Session, checksum_of, next_morning
from exchange.nouns import RefusalError
from exchange.web import Answer, request
from rulebook.hours import IST

NINE = datetime(2026, 11, 20, 9, tzinfo=IST)
MILLISECOND = timedelta(milliseconds=1)
BACK = "http://127.0.0.1:5000/kite"


class Standing:
    """A clock that a test sets."""

    now = NINE


def logins(redirect_url: str = BACK) -> Logins:
    return Logins(1, App(redirect_url=redirect_url))


def opened(house: Logins, now: datetime = NINE) -> Session:
    token = house.new_request_token(now)
    return house.open_session(house.api_key, token, proof(house, token), now)


def proof(house: Logins, request_token: str) -> str:
    return checksum_of(house.api_key, request_token, house.api_secret)


def pair(house: Logins, session: Session) -> str:
    return f"{house.api_key}:{session.access_token}"


# --- tokens -------------------------------------------------------------------------------------------


def test_the_checksum_is_the_sha_256_of_key_token_and_secret_in_this_order():
    # echo -n abc | sha256sum
    assert "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" == checksum_of("a", "b", "c")


def test_a_request_token_buys_one_session():
    house = logins()
    token = house.new_request_token(NINE)
    house.open_session(house.api_key, token, proof(house, token), NINE)

    with pytest.raises(RefusalError, match="Token is invalid or has expired") as caught:
        house.open_session(house.api_key, token, proof(house, token), NINE)
    assert (403, "TokenException") == (caught.value.status, caught.value.error_type)


@pytest.mark.parametrize(
    ("age", "lives"), [(REQUEST_TOKEN_LIFE - MILLISECOND, True), (REQUEST_TOKEN_LIFE, False)]
)
def test_a_request_token_lives_some_minutes(age, lives):
    house = logins()
    token = house.new_request_token(NINE)

    if lives:
        assert house.open_session(house.api_key, token, proof(house, token), NINE + age)
    else:
        with pytest.raises(RefusalError, match="expired"):
            house.open_session(house.api_key, token, proof(house, token), NINE + age)


def test_the_token_of_the_ready_line_waits_until_it_is_used():
    house = logins()
    token = house.grant(NINE)

    assert house.open_session(house.api_key, token, proof(house, token), NINE + timedelta(days=30))


@pytest.mark.parametrize("broken", ["api_key", "checksum", "request_token"])
def test_nothing_opens_with_one_part_wrong_and_the_token_is_not_spent(broken):
    house = logins()
    token = house.new_request_token(NINE)
    said = {"api_key": house.api_key, "request_token": token, "checksum": proof(house, token)}
    other = proof(house, "0") if broken == "request_token" else said["checksum"]

    with pytest.raises(RefusalError) as caught:
        house.open_session(**{**said, "checksum": other, broken: "0"}, now=NINE)
    assert (403, "TokenException") == (caught.value.status, caught.value.error_type)
    assert house.session is None
    assert house.open_session(**said, now=NINE)


def test_a_newer_login_kills_the_older_token_at_once():
    house = logins()
    older = opened(house)
    newer = opened(house, NINE + MILLISECOND)

    assert not house.is_live(pair(house, older), NINE + MILLISECOND)
    assert house.is_live(pair(house, newer), NINE + MILLISECOND)


def test_a_login_elsewhere_kills_the_token_and_leaves_one_that_lives():
    house = logins()
    ours = opened(house)
    theirs = house.log_in_elsewhere(NINE)

    assert not house.is_live(pair(house, ours), NINE)
    assert house.is_live(pair(house, theirs), NINE)


def test_a_token_is_closed_by_itself_only():
    house = logins()
    ours = opened(house)
    with pytest.raises(RefusalError, match="Incorrect `api_key` or `access_token`"):
        house.close_session(house.api_key, "another", NINE)
    assert house.is_live(pair(house, ours), NINE)

    house.close_session(house.api_key, ours.access_token, NINE)

    assert not house.is_live(pair(house, ours), NINE)


@pytest.mark.parametrize(
    ("born", "dies"),
    [
        ("2026-11-20T09:00", "2026-11-21T06:00"),
        ("2026-11-20T23:59:59", "2026-11-21T06:00"),
        ("2026-11-21T00:00", "2026-11-21T06:00"),
        ("2026-11-21T05:59:59", "2026-11-21T06:00"),
        ("2026-11-21T06:00", "2026-11-22T06:00"),
        ("2026-12-31T10:00", "2027-01-01T06:00"),
    ],
)
def test_a_token_dies_at_the_next_six_in_the_morning(born, dies):
    house = logins()
    begins, ends = (datetime.fromisoformat(text).replace(tzinfo=IST) for text in (born, dies))
    session = opened(house, begins)

    assert house.is_live(pair(house, session), ends - MILLISECOND)
    assert not house.is_live(pair(house, session), ends)


@given(st.integers(0, 366 * 86_400))
def test_no_token_lives_longer_than_a_day(second):
    born = NINE + timedelta(seconds=second)

    assert timedelta(0) < next_morning(born) - born <= timedelta(days=1)


def test_the_same_seed_draws_the_same_tokens_and_another_seed_others():
    first, again, other = (opened(Logins(seed)).access_token for seed in (1, 1, 2))

    assert first == again
    assert first != other
    assert re.fullmatch("[A-Za-z0-9]{32}", first)


# --- the page -----------------------------------------------------------------------------------------


class Form(HTMLParser):
    """What a browser would send if the user only pressed the button."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.action = self.method = ""
        self.feed(page.decode())

    def handle_starttag(self, tag, attrs):
        has = dict(attrs)
        if tag == "form":
            self.action, self.method = has["action"], has["method"]
        if tag == "input":
            self.fields[has["name"]] = has["value"]


def page_of(house: Logins, **query: str) -> Answer:
    target = f"/connect/login?{urlencode({'api_key': house.api_key, 'v': '3', **query})}"
    return LoginPage(house, Standing()).answer(request("GET", target, {}, b""))


def pressed(house: Logins, form: Form, **typed: str) -> Answer:
    body = urlencode({**form.fields, **typed}).encode()
    return LoginPage(house, Standing()).answer(request(form.method.upper(), form.action, {}, body))


def location(answer: Answer) -> str:
    assert 302 == answer.status
    return dict(answer.headers)["Location"]


def test_a_user_who_only_presses_the_button_is_sent_back_with_a_token_that_opens():
    house = logins()
    page = page_of(house)
    back = urlsplit(location(pressed(house, Form(page.body))))
    told = parse_qs(back.query)

    assert (200, "text/html; charset=utf-8") == (page.status, page.content_type)
    assert BACK == f"{back.scheme}://{back.netloc}{back.path}"
    assert (["login"], ["success"]) == (told["action"], told["status"])
    (token,) = told["request_token"]
    assert house.open_session(house.api_key, token, proof(house, token), NINE)


def test_redirect_params_are_echoed_and_the_broker_s_own_come_first():
    house = logins(f"{BACK}?kept=1")
    page = page_of(house, redirect_params="state=a b&empty=&more=%26")
    back = location(pressed(house, Form(page.body)))

    assert back.startswith(f"{BACK}?kept=1&action=login&status=success&request_token=")
    assert back.endswith(f"&state={quote_plus('a b')}&empty=&more=%26")


def test_a_redirect_that_is_asked_for_beats_the_registered_one_on_loopback():
    house = logins()
    back = location(pressed(house, Form(page_of(house, redirect="http://localhost:9/here").body)))

    assert back.startswith("http://localhost:9/here?action=login")


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://example.org/",
        "http://127.0.0.1.example.org/",
        "https://127.0.0.1/",
        "javascript:alert(1)",
        "//127.0.0.1/",
        "http://127.0.0.1/\r\nX-More: 1",
        "http://[",
    ],
)
def test_no_token_leaves_the_machine(elsewhere):
    house = logins()
    form = Form(page_of(house).body)

    assert 400 == page_of(house, redirect=elsewhere).status
    assert 400 == pressed(house, form, redirect=elsewhere).status


@pytest.mark.parametrize("field", ["user_id", "password", "totp"])
def test_a_wrong_word_shows_the_form_again_and_gives_no_token(field):
    house = logins()
    answer = pressed(house, Form(page_of(house, redirect_params="state=1").body), **{field: "wrong"})

    assert 403 == answer.status
    assert b"Invalid user id, password or TOTP" in answer.body
    assert "state=1" == Form(answer.body).fields["redirect_params"]
    assert b"request_token" not in answer.body


def test_an_app_without_a_redirect_url_is_shown_its_token():
    house = logins("")
    answer = pressed(house, Form(page_of(house).body))
    (token,) = re.findall(rb"<code id='request_token'>(\w+)</code>", answer.body)

    assert house.open_session(house.api_key, token.decode(), proof(house, token.decode()), NINE)


def test_what_the_address_says_is_no_markup_of_the_page():
    page = page_of(logins(), redirect_params="'><script>alert(1)</script>")

    assert b"<script>" not in page.body
    assert "'><script>alert(1)</script>" == Form(page.body).fields["redirect_params"]


def test_an_unknown_key_gets_no_form():
    answer = page_of(logins(), api_key="wrong")

    assert 400 == answer.status
    assert b"<form" not in answer.body


def test_there_is_nothing_beside_the_login_page():
    page = LoginPage(logins(), Standing())

    assert 404 == page.answer(request("GET", "/connect/other", {}, b"")).status
    assert 405 == page.answer(request("PUT", "/connect/login", {}, b"")).status
