"""Secrets and switches: who gets which, and who may read the file."""

import pytest

from environment import KEYS, Environment, Secret, load_environment
from outcome import ConfigError
from tests.conftest import ROOT

CANARY = "canary-4f9a2b7c"


@pytest.fixture
def env_file(tmp_path):
    path = tmp_path / ".env"

    def write(text, mode=0o600):
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


def test_a_secret_shows_itself_only_to_who_says_so():
    secret = Secret(CANARY)

    assert CANARY == secret.reveal()
    assert "Secret(***)" == repr(secret) == str(secret) == f"{secret}"
    assert CANARY not in repr(Environment({"ZERODHA_API_KEY": CANARY}))


def test_only_the_named_values_are_handed_out(env_file):
    path = env_file(f"ZERODHA_API_SECRET={CANARY}\nDASHBOARD_AUTH_TOKEN=for-the-page\n")
    found = load_environment(["DASHBOARD_AUTH_TOKEN"], path, {})

    assert Secret("for-the-page") == found.secret("DASHBOARD_AUTH_TOKEN")
    assert CANARY not in str(vars(found))
    with pytest.raises(KeyError):
        found.secret("ZERODHA_API_SECRET")


def test_the_process_environment_beats_the_file_and_empty_is_unset(env_file):
    path = env_file("LOG_LEVEL=DEBUG\nTZ=\nBROKER_MODE=raw_http\n")
    found = load_environment(
        ["LOG_LEVEL", "TZ", "BROKER_MODE"], path, {"LOG_LEVEL": "ERROR", "BROKER_MODE": ""}
    )

    assert ("ERROR", None, "raw_http") == (
        found.text("LOG_LEVEL"),
        found.text("TZ"),
        found.text("BROKER_MODE"),
    )


def test_values_are_taken_literally(env_file):
    path = env_file("ZERODHA_API_SECRET='a$b${HOME}#c'\n")
    found = load_environment(["ZERODHA_API_SECRET"], path, {})

    assert Secret("a$b${HOME}#c") == found.secret("ZERODHA_API_SECRET")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666, 0o620])
def test_a_file_that_others_may_touch_is_refused_with_the_command_to_run(env_file, mode):
    path = env_file("TZ=Asia/Kolkata\n", mode)
    with pytest.raises(ConfigError) as error:
        load_environment(["TZ"], path, {})

    assert f"{path} holds secrets and others may read it (mode {mode:04o}); run: chmod 600 {path}" == str(
        error.value
    )


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("BROKER_MODE=kite", "BROKER_MODE: 'kite' is not allowed; it must be kite_sdk or raw_http"),
        ("DAILY_MAX_LOSS_R=-1", "DAILY_MAX_LOSS_R: '-1' is not allowed; it must be a number above 0"),
        ("DAILY_MAX_LOSS_R=inf", "DAILY_MAX_LOSS_R: 'inf' is not allowed; it must be a number above 0"),
        ("TZ=Mars", "TZ: 'Mars' is not allowed; it must be a time zone such as Asia/Kolkata"),
        ("TZ=../etc", "TZ: '../etc' is not allowed; it must be a time zone such as Asia/Kolkata"),
        ("LOG_LEVEL=LOUD", "LOG_LEVEL: 'LOUD' is not allowed; it must be DEBUG or INFO or WARNING or ERROR"),
        ("DAILY_MAX_LOS_R=3", "DAILY_MAX_LOS_R: unknown key; did you mean DAILY_MAX_LOSS_R?"),
    ],
)
def test_each_wrong_line_gets_its_sentence(env_file, line, sentence):
    path = env_file(line + "\n")
    with pytest.raises(ConfigError) as error:
        load_environment(["BROKER_MODE", "DAILY_MAX_LOSS_R", "TZ", "LOG_LEVEL"], path, {})

    assert f"{path}: {sentence}" == str(error.value)


def test_a_wrong_line_that_nobody_asked_for_stops_nobody(env_file):
    path = env_file("BROKER_MODE=nonsense\nTZ=UTC\n")

    assert "UTC" == load_environment(["TZ"], path, {}).text("TZ")


def test_everything_that_is_missing_is_named_with_its_remedy():
    found = Environment({"ZERODHA_API_KEY": None, "BROKER_MODE": None, "TZ": "UTC"})
    with pytest.raises(ConfigError) as error:
        found.required("ZERODHA_API_KEY", "BROKER_MODE", "TZ")

    assert (
        "ZERODHA_API_KEY is not set: it is shown by developers.kite.trade for your app; "
        "BROKER_MODE is not set: set BROKER_MODE=kite_sdk in .env"
    ) == str(error.value)


def test_a_folder_of_that_name_is_one_sentence(tmp_path):
    (tmp_path / ".env").mkdir(mode=0o700)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_environment(["TZ"], tmp_path / ".env", {})


def test_the_example_names_every_key_and_explains_each():
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = {line.split("=")[0] for line in lines if "=" in line and not line.startswith("#")}
    bare = [line for before, line in zip(["", *lines], lines, strict=False)
            if "=" in line and not line.startswith("#") and not before.startswith("#") and "ZERODHA_API" not in line]  # fmt: skip

    assert set(KEYS) == named
    assert [] == bare
    assert "BROKER_MODE=kite_sdk" in lines
