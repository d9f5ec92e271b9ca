"""The command line of the four scripts, as processes, the way a user meets it."""

import argparse
import json
import os
import signal
import subprocess
import sys
from datetime import date, time

import pytest

import cli
import dashboard
import fetch
import flags
import trade
import train
from clock import SystemClock
from tests.conftest import ROOT

PROGRAMS = {
    program.name: program for program in (fetch.PROGRAM, train.PROGRAM, trade.PROGRAM, dashboard.PROGRAM)
}

# interfaces.md, the given names; ours may be added to them, none may go.
FUNCTIONS = {
    "fetch": "load_config persist_config nse_tickers ensure_token incremental_history run_imputation login doctor",
    "train": "build_model load_ckpt make_features make_train_replay backtrace_train fit make_holdout_replay "
    "backtrace_holdout eval promote backtest certify lookahead_check roll_holdout walk_forward tune rollback",
    "trade": "load_winner one_shot_quotes one_shot_features one_shot_infer loop halt flatten unlock why replay "
    "ledger_verify ledger_show eod_pack backup restore migrate test_alert",
    "dashboard": "serve dump_metrics",
}
STAGES = {
    "fetch": "index token history impute all",
    "train": "features populate-train backtrace-train train populate-holdout backtrace-holdout evaluate promote all",
    "trade": "quotes features infer loop all",
    "dashboard": "serve dump-metrics all",
}
FLAGS = {
    "fetch": "--index --from --to --interval --symbols --force-refresh-token --no-force-refresh-token --max-workers",
    "train": "--steps --minutes --batch-size --lr --gamma --seed --recipe --checkpoint-path --strategy --kinds --markets "
    "--seeds --removed --jobs",
    "trade": "--paper --dry-run --loop-ms --end --date --at --symbol --out",
    "dashboard": "--host --port",
}
COMMON = "--verbose --silent --fn --stage --help --version --json --config"
HEAVY = {
    "torch",
    "pandas",
    "numpy",
    "kiteconnect",
    "pydantic",
    "httpx",
    "fastapi",
    "numba",
    "pyarrow",
    "rich",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_given_name_is_there_and_described_in_the_help(house, name):
    text = house.run(name, "--help").stdout

    assert set(FUNCTIONS[name].split()) <= set(PROGRAMS[name].by_function())
    assert set(STAGES[name].split()) == set(PROGRAMS[name].by_stage())
    assert [] == [flag for flag in f"{FLAGS[name]} {COMMON}".split() if flag not in text]
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.startswith("  ")]
    described = {parts[0] for parts in lines if len(parts) == 2}
    assert set(f"{FUNCTIONS[name]} {STAGES[name]}".split()) <= described


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(house, name, flag):
    code = (
        f"import runpy, sys; sys.argv = ['{name}.py', '{flag}']\n"
        f"try: runpy.run_path('{ROOT}/{name}.py', run_name='__main__')\n"
        "except SystemExit as leave: print(leave.code, *sorted(sys.modules), file=sys.stderr)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=house.folder, env=env, capture_output=True, text=True
    )
    exit_code, *modules = done.stderr.split()

    assert "0" == exit_code
    assert set() == HEAVY & set(modules)


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_also_runs_as_a_module(house, name):
    done = subprocess.run([sys.executable, "-m", name, "--version"], cwd=ROOT, capture_output=True, text=True)

    assert f"{name}.py {cli.VERSION}\n" == done.stdout


def test_the_version_is_the_changelog_s():
    heading = next(
        line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")
    )

    assert heading.startswith(f"## {cli.VERSION}")


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_unknown_function_is_a_usage_error_that_prints_the_list(house, name):
    known = list(PROGRAMS[name].by_function())
    done = house.run(name, "--fn", known[0] + "x")

    assert 2 == done.returncode
    assert f"is not one of: {', '.join(known)}; did you mean {known[0]}?" in done.stderr


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("fetch", ["nonsense"]),
        ("fetch", ["--from", "20-11-2026"]),
        ("fetch", ["--to", "tomorrow"]),
        ("fetch", ["--interval", "7m"]),
        ("fetch", ["--symbols", ","]),
        ("fetch", ["--max-workers", "0"]),
        ("fetch", ["--verb"]),
        ("train", ["--steps", "0"]),
        ("train", ["--lr", "-1"]),
        ("train", ["--gamma", "nan"]),
        ("trade", ["--end", "90m"]),
        ("trade", ["--end", "15:00"]),
        ("trade", ["--end", "2026-11-20"]),
        ("trade", ["--end", "25:00:00"]),
        ("trade", ["--loop-ms", "fast"]),
        ("dashboard", ["--port", "65536"]),
    ],
)
def test_a_wrong_word_on_the_command_line_is_exit_code_2(house, name, args):
    done = house.run(name, *args)

    assert 2 == done.returncode
    assert "Traceback" not in done.stderr
    assert args[-1] in done.stderr


def test_values_on_the_command_line_are_typed():
    assert date(2026, 11, 20) == flags.day("2026-11-20")
    assert time(15, 8) == flags.clock_time("15:08:00")
    assert ("INFY", "M&M", "BAJAJ-AUTO") == flags.symbols("infy, M&M,bajaj-auto,INFY")
    assert 7 == flags.whole(1, 9)("7")
    assert 0.5 == flags.between(0, 1)("0.5")


def test_the_last_mode_flag_of_trade_wins():
    parse = cli.parser(trade.PROGRAM).parse_args

    assert "dry-run" == parse(["--paper", "--dry-run"]).mode
    assert "paper" == parse(["--dry-run", "--paper"]).mode
    assert parse([]).mode is None


def test_the_last_of_verbose_and_silent_wins():
    parse = cli.parser(fetch.PROGRAM).parse_args

    assert "WARNING" == parse(["--verbose", "--silent"]).level
    assert "DEBUG" == parse(["--silent", "--verbose"]).level


def test_functions_run_in_order_then_stages(house):
    plan = cli.parser(fetch.PROGRAM).parse_intermixed_args(
        ["history", "--fn", "load_config", "--stage", "token", "--fn", "doctor", "impute"]
    ).plan  # fmt: skip

    assert ["load_config", "token", "doctor", "history", "impute"] == [task.name for task in plan]


def test_nothing_named_means_all(house):
    done = house.run("fetch", "--json", NSE_URL="http://nse.example")

    assert "NSE_URL" in json.loads(done.stdout)["error"]  # the index is asked first
    assert ("index", "token", "history", "impute") == tuple(t.name for t in fetch.PROGRAM.by_stage()["all"])


def test_stage_as_a_flag_still_works_and_says_that_it_is_deprecated(house):
    done = house.run("fetch", "--stage", "token")

    assert "fetch.py: --stage is deprecated; write the stage's name alone" in done.stderr
    assert "BROKER_MODE is not set" in done.stderr
    assert 2 == done.returncode


def test_the_configuration_is_printed_and_holds_no_secret(house):
    (house.folder / ".env").write_text("ZERODHA_API_SECRET=canary-77aa12\n")
    (house.folder / ".env").chmod(0o600)
    done = house.run("fetch", "--fn", "load_config")

    assert json.loads((ROOT / "config.json").read_text()) == json.loads(done.stdout)
    assert "canary" not in done.stdout + done.stderr
    assert (0, "") == (done.returncode, done.stderr)


def test_json_is_one_document_whatever_happens(house):
    good = house.run("fetch", "--json", "--fn", "persist_config", "--fn", "load_config")
    bad = house.run("fetch", "--json", "--fn", "load_config", "token")

    document = json.loads(good.stdout)
    assert (0, None, 1, "fetch") == tuple(
        document[key] for key in ("exit_code", "error", "schema_version", "program")
    )
    assert ["persist_config", "load_config"] == [result["task"] for result in document["results"]]
    document = json.loads(bad.stdout)
    assert (2, ["load_config"]) == (document["exit_code"], [r["task"] for r in document["results"]])
    assert document["error"] in bad.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_broken_configuration_is_exit_code_2_with_line_and_column(house, name):
    (house.folder / "config.json").write_text('{"timezone": "Asia/Kolkata",\n "index" "NIFTY50"}')
    done = house.run(name)

    assert 2 == done.returncode
    assert f"{name}.py: config.json:2:10: not JSON: expecting ':' delimiter\n" == done.stderr


def test_a_readable_env_file_is_exit_code_2_with_the_command_to_run(house):
    (house.folder / ".env").write_text("TZ=Asia/Kolkata\n")
    (house.folder / ".env").chmod(0o644)
    done = house.run("trade")

    assert 2 == done.returncode
    assert (
        "trade.py: .env holds secrets and others may read it (mode 0644); run: chmod 600 .env\n"
        == done.stderr
    )


def test_another_instance_is_exit_code_6_and_says_who(house):
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys, locks; from clock import SystemClock; from pathlib import Path\n"
         "with locks.held(Path('data/state/fetch.lock'), 'fetch.py', SystemClock()): print(flush=True); sys.stdin.read()"],
        cwd=house.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    holder.stdout.readline()
    refused = house.run("fetch", "--fn", "persist_config")
    holder.communicate()
    done = house.run("fetch", "--fn", "persist_config")

    assert 6 == refused.returncode
    assert f"pid {holder.pid}" in refused.stderr
    assert 0 == done.returncode


def test_a_read_only_place_is_one_sentence(house):
    (house.folder / "data").write_text("a file where the folder should be")
    done = house.run("fetch", "--fn", "persist_config")

    assert done.returncode in (1, 2)
    assert 1 == len(done.stderr.splitlines())
    assert "data" in done.stderr


def test_sigterm_ends_a_script_with_130(tmp_path):
    code = (
        "import cli, select\n"
        "def wait(run):\n"
        "    print('ready', flush=True)\n"
        "    while True: select.select([], [], [], 0.1)\n"  # a signal just before a pause would be slept over
        "cli.main(cli.Program('fetch', '', (cli.Task('wait', '', wait),), ('wait',), lambda parser: None), [])"
    )
    (tmp_path / "config.json").write_bytes((ROOT / "config.json").read_bytes())
    for number in (signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job behind & is born deaf to it
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)

        assert (130, "fetch.py: interrupted\n") == (process.returncode, errors)


def test_a_defect_of_ours_is_one_sentence_and_its_traceback_comes_with_verbose(tmp_path):
    code = (
        "import cli, sys\n"
        "def fail(run): raise KeyError('ZERODHA_ACCESS_TOKEN=abcdef123456')\n"
        "cli.main(cli.Program('fetch', '', (cli.Task('fail', '', fail),), ('fail',), lambda parser: None), sys.argv[1:])"
    )
    (tmp_path / "config.json").write_bytes((ROOT / "config.json").read_bytes())
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    quiet, verbose = (
        subprocess.run(
            [sys.executable, "-c", code, *args], cwd=tmp_path, env=env, capture_output=True, text=True
        )
        for args in ([], ["--verbose"])
    )

    assert (1, 1) == (quiet.returncode, verbose.returncode)
    assert "fetch.py: a defect of ours: KeyError" in quiet.stderr
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in verbose.stderr
    assert "abcdef123456" not in quiet.stderr + verbose.stderr


def test_a_reader_that_has_enough_is_no_failure(house):
    """The pipe's reader is gone before the first byte is written."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, str(ROOT / "fetch.py"), "--fn", "load_config"],
                          cwd=house.folder, stdout=writer, stderr=subprocess.PIPE, text=True)  # fmt: skip
    os.close(writer)

    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("limit", ["2.0", "4.5"])
def test_the_hash_of_the_settings_covers_the_loss_limit_that_ends_a_simulated_day(tmp_path, limit):
    (tmp_path / "config.json").write_text("{}")
    args = argparse.Namespace(config=str(tmp_path / "config.json"))
    default, usual, other = (
        train._settings_hash(cli.Run(args, SystemClock(), environ))
        for environ in ({}, {"DAILY_MAX_LOSS_R": "3"}, {"DAILY_MAX_LOSS_R": limit})
    )

    assert default == usual
    assert default != other
