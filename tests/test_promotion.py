"""May it become the winner, is the winner always whole, and is every attempt counted?"""

import hashlib
import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import experiments
import locks
import luck
import promotion
import winner
from checkpoint import Stored, read, write
from clock import SystemClock
from experiments import Attempt, Tried
from outcome import BusyError, DataError, ExitCode
from promotion import LEVEL, judged, lower_bound
from report_summary import DAYS_LEAST
from tests.conftest import ROOT
from tests.test_checkpoint import BAD_DISK, CARD, KILLED, NO_SPACE, stopped_everywhere

CLOCK = SystemClock()
AT = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
FIFTY = tuple(date(2026, 1, 1) + timedelta(days=n) for n in range(50))

# --- the verdict ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """A record of so many days; every trade earns the same."""

    name: str
    daily_r: Sequence[float]
    trades: int = 200
    avg_reward: float = 0.5
    days: Sequence[date] = FIFTY


@dataclass(frozen=True)
class Times:
    count: int = 1
    variance: float | None = None


def of_sharpe(ratio: float, seed: int = 0, days: int = 50) -> list[float]:
    """Days of exactly that mean over their spread."""
    noise = np.random.default_rng(seed).normal(size=days)
    return list((noise - noise.mean()) / noise.std(ddof=1) + ratio)


GOOD = Given("policy", of_sharpe(1.5))
OUT = Given("stay_out", [0.0] * 50, 0, 0.0)
POOR = Given("buy_and_hold", of_sharpe(-0.2, 1), 50, -0.01)
BEFORE = Given("winner", of_sharpe(0.1, 2), 100, 0.1)


def unmet(verdict: promotion.Verdict) -> list[str]:
    return [reason.name for reason in verdict.reasons if not reason.is_met]


def test_a_record_that_is_good_in_every_respect_is_promoted_and_every_reason_is_given():
    verdict = judged(GOOD, BEFORE, [OUT, POOR], Times(3, 0.2))
    names = [reason.name for reason in verdict.reasons]

    assert verdict.is_promoted
    assert [
        "trades",
        "days",
        "above zero",
        "avg_reward",
        "above winner",
        "deflated Sharpe",
        "above stay_out",
        "above buy_and_hold",
    ] == names
    assert verdict.text.startswith("promoted\n  yes 200 trades in 50 sessions; at least 30 are needed\n")
    assert json.loads(json.dumps(verdict.as_json(), allow_nan=False))["is_promoted"]


def test_without_a_winner_there_is_nothing_to_compare_with_it():
    verdict = judged(GOOD, None, [OUT, POOR], Times())

    assert verdict.is_promoted
    assert not {"avg_reward", "above winner"} & {reason.name for reason in verdict.reasons}


FEW_DAYS = [*of_sharpe(1.5)[:19], *[0.0] * 31]
WANTING: dict[str, tuple[Given, Given | None, Times, list[str], str]] = {
    "29 trades": (replace(GOOD, trades=29), BEFORE, Times(), ["trades"], "29 trades in 50 sessions; at least 30 are needed"),
    "trades on 19 days": (replace(GOOD, daily_r=[*[3.0, 2.0] * 9, 3.0, *[0.0] * 31]), None, Times(), ["days"], "19 sessions with trades; at least 20 are needed"),
    "a mean that may be luck": (replace(GOOD, daily_r=of_sharpe(0.35)), None, Times(), ["above zero"], "net R a day +0.350, not below -0"),
    "no better than the winner per trade": (replace(GOOD, avg_reward=0.1), BEFORE, Times(), ["avg_reward"], "mean net R per trade +0.1000; more than the current winner's +0.1000 is needed"),
    "hardly better than the winner a day": (GOOD, replace(BEFORE, daily_r=[r - 0.2 * (n % 2) for n, r in enumerate(of_sharpe(1.5))]), Times(), [], ""),
    "better than the winner by luck": (GOOD, replace(BEFORE, daily_r=of_sharpe(1.3, 5)), Times(), ["above winner"], "net R a day more than the current winner's: +0.200, not below -0"),
    "found after many attempts": (replace(GOOD, daily_r=of_sharpe(0.6)), None, Times(500, 0.04), ["deflated Sharpe"], " after 500 attempts; at least 0.95 is needed"),
}  # fmt: skip


@pytest.mark.parametrize("name", WANTING)
def test_what_is_wanting_is_said_with_its_value_and_its_threshold(name):
    candidate, before, tried, names, sentence = WANTING[name]
    verdict = judged(candidate, before, [OUT, POOR], tried)

    assert names == unmet(verdict)
    assert (not names) == verdict.is_promoted
    assert not names or any(sentence in reason.sentence for reason in verdict.reasons if not reason.is_met)


def test_one_baseline_that_earns_as_much_is_enough_to_refuse():
    verdict = judged(GOOD, None, [OUT, POOR, Given("sma_cross", GOOD.daily_r)], Times())

    assert ["above sma_cross"] == unmet(verdict)
    assert "net R a day +1.500; more than sma_cross's +1.500 is needed" in verdict.text


def test_all_that_is_wanting_is_said_at_once():
    nothing = Given("policy", [0.0] * 50, 0, 0.0)
    verdict = judged(nothing, BEFORE, [OUT], Times(2, 0.0))

    assert [
        "trades",
        "days",
        "above zero",
        "avg_reward",
        "above winner",
        "deflated Sharpe",
        "above stay_out",
    ] == unmet(verdict)
    assert "the days have no spread to tell it from luck by" in verdict.text
    assert "NO  no deflated Sharpe ratio after 2 attempts" in verdict.text


@pytest.mark.parametrize("gain", [0.7, 3.0])
def test_days_that_are_all_the_same_are_no_evidence(gain):
    """Of fifty times 0.7 the rounding alone leaves a spread, and by that they would be far above zero."""
    verdict = judged(Given("policy", [gain] * 50), None, [OUT], Times())

    assert "above zero" in unmet(verdict)
    assert "the days have no spread to tell it from luck by" in verdict.text


def test_a_winner_that_lost_meanwhile_does_not_let_a_bad_candidate_in():
    """Better than something bad is not good."""
    bad = Given("policy", of_sharpe(-0.5), 200, -0.2)
    worse = Given("winner", of_sharpe(-3.0, 9), 100, -0.5)

    assert ["above zero", "deflated Sharpe", "above stay_out"] == unmet(judged(bad, worse, [OUT], Times()))


def test_records_of_other_days_are_not_compared():
    with pytest.raises(ValueError, match="winner was judged on other days than policy"):
        judged(GOOD, replace(BEFORE, days=FIFTY[1:]), [], Times())
    with pytest.raises(ValueError, match="stay_out was judged on other days"):
        judged(GOOD, None, [replace(OUT, days=FIFTY[::-1])], Times())
    with pytest.raises(ValueError, match="the candidate itself is one"):
        judged(GOOD, None, [], Times(0))


def test_a_value_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="daily R"):
        judged(replace(GOOD, daily_r=[math.nan, *GOOD.daily_r[1:]]), None, [], Times())


def test_of_few_attempts_that_look_alike_chance_is_expected_all_the_same():
    """Two attempts of nearly the same record tell nothing of how far apart worthless ones would lie."""
    record = replace(GOOD, daily_r=of_sharpe(0.6))
    few, known = (judged(record, None, [], Times(count, 1e-6)) for count in (9, 10))
    chance = luck.deflated_sharpe(record.daily_r, 9)
    value = next(reason.value for reason in few.reasons if reason.name == "deflated Sharpe")

    assert chance is not None
    assert chance.probability == value
    assert next(r.value for r in known.reasons if r.name == "deflated Sharpe") > value  # type: ignore[operator]


@settings(max_examples=8, deadline=None)
@given(ratio=st.floats(-1, 3), seed=st.integers(0, 50), scale=st.floats(0.01, 100))
def test_a_better_record_in_any_unit_is_never_refused_where_a_worse_one_passes(ratio, seed, scale):
    daily = of_sharpe(ratio, seed)
    low, higher = lower_bound(daily), lower_bound([scale * (r + 0.25) for r in daily])

    assert low is not None
    assert higher is not None
    assert low < float(np.mean(daily))
    assert math.isclose(scale * (low + 0.25), higher, rel_tol=1e-6, abs_tol=1e-6 * scale)


def test_the_same_record_gets_the_same_verdict():
    assert judged(GOOD, BEFORE, [OUT], Times()) == judged(GOOD, BEFORE, [OUT], Times())


# --- is it luck? ----------------------------------------------------------------------------------------

NOISE: dict[str, Callable[[np.random.Generator], Any]] = {
    "normal": lambda rng: rng.normal(size=50),
    "t(3)": lambda rng: rng.standard_t(3, 50),
    "half of the days quiet": lambda rng: np.where(rng.random(50) < 0.5, rng.standard_t(4, 50), 0.0),
    "losers of 1 R and few large winners": lambda rng: np.array([
        np.where(rng.random(m) < 0.4, rng.exponential(1.5, m), -1.0).sum() for m in rng.poisson(3, 50)]),
    "small winners and few large losers": lambda rng: 1 - rng.exponential(size=50),
}  # fmt: skip


@pytest.mark.parametrize("name", NOISE)
def test_days_without_an_edge_are_promoted_less_than_once_in_a_hundred(name, monkeypatch):
    monkeypatch.setattr(promotion, "RESAMPLES", 2_000)  # in whole: the figures of promotion.py
    rng = np.random.default_rng(7)
    series = (NOISE[name](rng).tolist() for _ in range(200))
    promoted = sum(judged(replace(GOOD, daily_r=daily), None, [OUT], Times()).is_promoted for daily in series)

    assert promoted <= 1


@pytest.mark.parametrize(("ratio", "least"), [(1.5, 20), (1.0, 20), (0.6, 12)])
def test_an_edge_is_seen(ratio, least, monkeypatch):
    """1.5 is what the strong planted edge gives."""
    monkeypatch.setattr(promotion, "RESAMPLES", 4_000)
    rng = np.random.default_rng(3)
    found = [
        judged(replace(GOOD, daily_r=list(rng.standard_t(4, 50) / 2**0.5 + ratio)), None, [OUT], Times())
        for _ in range(20)
    ]

    assert sum(verdict.is_promoted for verdict in found) >= least


def test_the_level_is_not_loosened_by_accident():
    """One in four hundred by the interval alone, beside the conditions that stand around it."""
    assert (0.995, 0.95, 30, 20) == (
        LEVEL,
        promotion.DEFLATED_LEAST,
        promotion.TRADES_LEAST,
        DAYS_LEAST,
    )


# --- models/winner --------------------------------------------------------------------------------------


def stored(weights: bytes) -> Stored:
    return Stored(Path("model.pt"), weights, replace(CARD, steps=len(weights)))


def promote(folder: Path, weights: bytes, reward: float = 0.2) -> str:
    return winner.promote(folder, stored(weights), reward, AT, CLOCK, {"verdict": ["fine"]})


def as_told(folder: Path) -> bytes | None:
    """As any program sees it that knows the contract and nothing of us."""
    model, metrics = folder / "model.pt", folder / "metrics.json"
    if not model.exists() and not metrics.exists():
        return None
    told = json.loads(metrics.read_text())

    assert {"avg_reward", "evaluated_at", "steps", "model_hash"} <= told.keys()
    assert hashlib.sha256(model.read_bytes()).hexdigest() == told["model_hash"]
    return model.read_bytes()


def test_the_promoted_model_lies_where_the_contract_says(tmp_path):
    version = promote(tmp_path, b"one", 0.25)
    told = json.loads((tmp_path / "metrics.json").read_text())
    found = winner.load(tmp_path)

    assert b"one" == as_told(tmp_path) == found.stored.weights
    assert (0.25, AT.isoformat(), 3, ["fine"], None) == tuple(
        told[name] for name in ("avg_reward", "evaluated_at", "steps", "verdict", "previous")
    )
    assert (0.25, version, 0.35) == (found.avg_reward, found.version, found.card.margin)
    assert b"one" == read(tmp_path / "model.pt").weights


def test_earlier_winners_are_kept_and_rolled_back_to_one_by_one(tmp_path):
    for weights in (b"one", b"two", b"three"):
        promote(tmp_path, weights)
    seen = [as_told(tmp_path)]
    for _ in range(2):
        winner.rollback(tmp_path, CLOCK)
        seen.append(as_told(tmp_path))

    assert [b"three", b"two", b"one"] == seen
    assert ["0001", "0002", "0003"] == [version[:4] for version in winner.versions(tmp_path)]
    with pytest.raises(DataError, match="no earlier winner to go back to, nothing is changed"):
        winner.rollback(tmp_path, CLOCK)
    assert b"one" == as_told(tmp_path)


def test_after_a_rollback_the_one_that_was_put_away_is_not_the_way_back(tmp_path):
    for weights in (b"one", b"bad"):
        promote(tmp_path, weights)
    winner.rollback(tmp_path, CLOCK)
    promote(tmp_path, b"three")
    winner.rollback(tmp_path, CLOCK)

    assert b"one" == as_told(tmp_path)


def test_without_any_winner_there_is_nothing_to_load_or_to_go_back_to(tmp_path):
    folder = tmp_path / "winner"
    with pytest.raises(DataError, match=r"model\.pt: no model; promote a model: python train\.py"):
        winner.load(folder)
    with pytest.raises(DataError, match="no earlier winner"):
        winner.rollback(folder, CLOCK)

    assert not winner.is_there(folder)


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a corrupt model": (lambda f: (f / "model.pt").write_bytes(b"tw0"), r"model\.pt: does not match its card's hash"),
    "metrics of another model": (lambda f: edit(f, model_hash="0" * 64), r"metrics\.json: tells of another model than model\.pt"),
    "metrics without a reward": (lambda f: edit(f, avg_reward=None), r"metrics\.json: no metrics of a winner"),
    "a reward that is no number": (lambda f: edit(f, avg_reward=math.nan), r"avg_reward is nan, not a number"),
    "an evaluation at no time": (lambda f: edit(f, evaluated_at="yesterday"), r"no metrics of a winner \(Invalid isoformat"),
    "torn metrics": (lambda f: (f / "metrics.json").write_text('{"avg'), r"no metrics of a winner"),
    "no metrics": (lambda f: (f / "current" / "metrics.json").unlink(), r"metrics\.json: missing, so nobody knows"),
    "no card": (lambda f: (f / "current" / "model.pt.json").unlink(), r"no card, so nobody knows what model\.pt is"),
    "no model": (lambda f: (f / "current" / "model.pt").unlink(), r"model\.pt: no model; promote"),
    "no version at all": (lambda f: shutil.rmtree((f / "current").resolve()), r"model\.pt: no model; promote"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_winner_is_refused_by_name_and_rolled_back_from(name, tmp_path):
    promote(tmp_path, b"one")
    promote(tmp_path, b"two")
    damage, sentence = DAMAGE[name]
    damage(tmp_path)
    with pytest.raises(DataError, match=sentence) as failure:
        winner.load(tmp_path)

    assert ExitCode.DATA == failure.value.exit_code
    winner.rollback(tmp_path, CLOCK)
    assert b"one" == winner.load(tmp_path).stored.weights == as_told(tmp_path)


def test_a_damaged_earlier_winner_is_passed_over(tmp_path):
    for weights in (b"one", b"two", b"three"):
        promote(tmp_path, weights)
    (tmp_path / "history" / winner.versions(tmp_path)[1] / "model.pt").write_bytes(b"tw0")
    winner.rollback(tmp_path, CLOCK)

    assert b"one" == as_told(tmp_path)


def test_with_all_earlier_ones_damaged_nothing_is_changed_and_each_is_named(tmp_path):
    for weights in (b"one", b"two"):
        promote(tmp_path, weights)
    (tmp_path / "history" / winner.versions(tmp_path)[0] / "model.pt").write_bytes(b"0ne")
    with pytest.raises(DataError, match=r"nothing is changed; .*0001-.*model\.pt: does not match its card"):
        winner.rollback(tmp_path, CLOCK)

    assert b"two" == as_told(tmp_path)


def put_by_hand(folder: Path, weights: bytes) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "model.pt").write_bytes(weights)
    told = {"avg_reward": 0.1, "evaluated_at": "2026-01-01T00:00:00+00:00", "steps": 1,
            "model_hash": hashlib.sha256(weights).hexdigest()}  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(told))


def test_files_put_there_by_hand_are_kept_when_they_are_replaced(tmp_path):
    put_by_hand(tmp_path, b"by hand")
    metrics = (tmp_path / "metrics.json").read_bytes()
    promote(tmp_path, b"one")
    kept = tmp_path / "history" / winner.versions(tmp_path)[0]

    assert b"one" == as_told(tmp_path)
    assert (b"by hand", metrics) == ((kept / "model.pt").read_bytes(), (kept / "metrics.json").read_bytes())


def test_a_copy_that_followed_the_links_is_a_winner_and_can_be_followed_by_another(tmp_path):
    """As a backup or a container's image may make it: no link is left."""
    promote(tmp_path / "a", b"one")
    promote(tmp_path / "a", b"two")
    shutil.copytree(tmp_path / "a", tmp_path / "b", symlinks=False)
    copied = winner.load(tmp_path / "b")
    promote(tmp_path / "b", b"three")
    seen = [as_told(tmp_path / "b")]
    winner.rollback(tmp_path / "b", CLOCK)

    assert (None, b"two") == (copied.version, copied.stored.weights)
    assert [b"three", b"two"] == [*seen, as_told(tmp_path / "b")]


def test_a_second_promotion_at_once_is_refused_and_the_first_one_s_winner_stands(tmp_path):
    promote(tmp_path, b"one")
    with locks.held(tmp_path / winner.LOCK, "promotion", CLOCK):
        with pytest.raises(BusyError, match="another promotion is running") as refused:
            promote(tmp_path, b"two")
        with pytest.raises(BusyError):
            winner.rollback(tmp_path, CLOCK)

    assert ExitCode.BUSY == refused.value.exit_code
    assert b"one" == as_told(tmp_path)
    assert 1 == len(winner.versions(tmp_path))


RACING = """
import sys
from pathlib import Path
from tests.test_promotion import promote
from outcome import BusyError
done = 0
for turn in range(12):
    try:
        promote(Path(sys.argv[1]), f"{sys.argv[2]} {turn}".encode())
        done += 1
    except BusyError:
        pass
print(done)
"""


def test_two_processes_that_promote_at_once_leave_as_many_versions_as_promotions(tmp_path):
    commands = [[sys.executable, "-c", RACING, str(tmp_path), name] for name in ("a", "b")]
    running = [subprocess.Popen(c, cwd=ROOT, stdout=subprocess.PIPE, text=True) for c in commands]
    while any(process.poll() is None for process in running):
        if winner.is_there(tmp_path):
            winner.load(tmp_path)
    done = [int(process.communicate(timeout=60)[0]) for process in running]

    assert sum(done) == len(winner.versions(tmp_path))
    assert as_told(tmp_path) is not None


def test_a_mistake_in_what_is_told_leaves_the_old_winner_and_no_trace(tmp_path):
    promote(tmp_path, b"one")
    with pytest.raises(TypeError):
        winner.promote(tmp_path, stored(b"two"), 0.2, AT, CLOCK, {"days": {1, 2}})
    with pytest.raises(ValueError, match="avg_reward nan"):
        promote(tmp_path, b"two", math.nan)

    assert b"one" == as_told(tmp_path)
    assert 1 == len(list((tmp_path / "history").iterdir()))


# --- stopped on the way ---------------------------------------------------------------------------------

PROMOTE = """
card = checkpoint.read_card(folder / "old.pt")
stored = checkpoint.Stored(folder / "old.pt", b"two", card)
winner.promote(folder, stored, 0.3, datetime(2026, 11, 20, tzinfo=UTC), SystemClock())
"""
ROLL_BACK = "winner.rollback(folder, SystemClock())"
STARTS: dict[str, tuple[list[bytes] | None, str, list[bytes | None]]] = {
    "over a winner": ([b"one"], PROMOTE, [b"one", b"two"]),
    "the first one": ([], PROMOTE, [None, b"two"]),
    "over files put there by hand": (None, PROMOTE, [b"by hand", b"two"]),
    "back": ([b"one", b"bad"], ROLL_BACK, [b"bad", b"one"]),
}


def start(folder: Path, name: str) -> tuple[str, list[bytes | None]]:
    weights, action, allowed = STARTS[name]
    folder.mkdir()
    for each in weights or []:
        promote(folder, each)
    if weights is None:
        put_by_hand(folder, b"by hand")
    write(folder / "old.pt", b"old", CARD)  # the card that PROMOTE takes
    return action, allowed


@pytest.mark.parametrize("how", [KILLED, NO_SPACE])
@pytest.mark.parametrize("name", STARTS)
def test_whatever_call_it_is_stopped_at_one_whole_winner_is_in_force(name, how, tmp_path):
    action, allowed = start(tmp_path / "base", name)
    found = []
    for folder, said in stopped_everywhere(tmp_path / "base", tmp_path / "out", how, action):
        found.append(as_told(folder))

        assert found[-1] in allowed
        assert how == KILLED or said.startswith(("WriteError: ", "ConfigError: ")) or found[-1] == allowed[1]
        if how == KILLED:  # then nobody cleared up
            promote(folder, b"the next")
            assert b"the next" == as_told(folder)
            kept = [path for path in (folder / "history").iterdir() if not path.name.endswith("byhand")]
            assert all((path / "metrics.json").exists() for path in kept), (
                "what was unfinished is cleared away"
            )
        if how == KILLED and found[-1] in (b"one", b"two"):
            winner.rollback(folder, CLOCK)
            assert found[-1] == as_told(folder)

    assert set(allowed) == set(found)
    assert how != KILLED or found == sorted(found, key=allowed.index), "once the new one is there it stays"


IN_ORDER = """
import os
from pathlib import Path
told = []
def noted(name, real):
    def call(*args, **named):
        told.append((name, os.readlink(f"/proc/self/fd/{args[0]}") if name == "fsync" else str(args[1])))
        return real(*args, **named)
    return call
for name in ("fsync", "replace"):
    setattr(os, name, noted(name, getattr(os, name)))
from tests.test_promotion import promote
import sys
promote(Path(sys.argv[1]), b"two")
print("\\n".join(f"{name} {Path(path).relative_to(sys.argv[1])}" for name, path in told))
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc to name what is forced to the disk")
def test_everything_is_on_the_disk_before_the_one_rename_that_puts_it_in_force(tmp_path):
    """Or a power cut could keep the rename and lose the model, or the names that lead to it."""
    done = subprocess.run(
        [sys.executable, "-c", IN_ORDER, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    calls = done.stdout.splitlines()
    version = winner.versions(tmp_path)[-1]
    commit, named = calls.index("replace current"), calls.index("replace metrics.json")
    last_written = max(n for n, call in enumerate(calls) if call.startswith(f"replace history/{version}/"))

    assert f"fsync history/{version}" in calls[last_written:commit]
    assert "fsync history" in calls[last_written:commit]
    assert "fsync ." in calls[named:commit]
    assert "fsync ." in calls[commit:]
    assert 3 <= sum(call.startswith(f"fsync history/{version}/") for call in calls[:commit])


LIMITED = """
import resource, sys
from pathlib import Path
from tests.test_promotion import *
from files import WriteError
folder, (limit, model, told) = Path(sys.argv[1]), map(int, sys.argv[2:])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    winner.promote(folder, stored(b"t" * model), 0.3, AT, CLOCK, {"told": "t" * told})
except WriteError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("what", "limit", "model", "told"),
    [
        ("model.pt", 0, 5, 0),
        ("model.pt", 4, 5, 0),
        ("model.pt.json", 512, 5, 0),
        ("metrics.json", 900, 5, 2_000),
        ("model.pt", 9_999, 10_000, 0),
    ],
)
def test_a_file_that_does_not_fit_leaves_the_old_winner_and_no_trace(what, limit, model, told, tmp_path):
    promote(tmp_path, b"one")
    command = [sys.executable, "-c", LIMITED, str(tmp_path), str(limit), str(model), str(told)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30).stdout

    assert f"/{what}" in said.split(": ")[0]
    assert "raise the limit (ulimit -f); the old file stands" in said
    assert b"one" == as_told(tmp_path)
    assert 1 == len(list((tmp_path / "history").iterdir()))


CAN_MOUNT = shutil.which("unshare") and 0 == subprocess.run(
    ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True
).returncode  # fmt: skip
FULL = """
import sys
from pathlib import Path
from tests.test_promotion import as_told, promote
from files import WriteError
folder, said = Path(sys.argv[1]), []
promote(folder, b"one" * 3_000)
for room in range(16):
    promoted = as_told(folder)
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass
        file.truncate(max(0, file.tell() - 4096 * room))
    try:
        promote(folder, b"two" * 3_000 + bytes([room]))
        said.append("done")
        assert as_told(folder) != promoted
    except WriteError as error:
        said.append("full" if "free some space" in str(error) else str(error))
        assert as_told(folder) == promoted
    filler.unlink()
print(" ".join(said))
"""


@pytest.mark.skipif(not CAN_MOUNT, reason="a small disk cannot be mounted here")
def test_a_disk_that_is_really_full_leaves_the_old_winner_whole(tmp_path):
    inside = f'mount -t tmpfs -o size=512k none "{tmp_path}" && exec "$0" -c "$1" "{tmp_path}"'
    command = ["unshare", "-rm", "sh", "-c", inside, sys.executable, FULL]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    said = done.stdout.split()

    assert ("", 16) == (done.stderr, len(said))
    assert {"full", "done"} == set(said)
    assert said == sorted(said, reverse=True), "full while there is too little room, done from then on"


class Promotions(RuleBasedStateMachine):
    """Any order of promotions and rollbacks is what a stack of names would say."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=self.base))
        self.behind: dict[bytes, bytes | None] = {}
        self.now: bytes | None = None

    base = ""

    @rule()
    def promote_another(self) -> None:
        weights = f"model {len(self.behind)}".encode()
        promote(self.folder, weights)
        self.behind[weights], self.now = self.now, weights

    @rule()
    def roll_back(self) -> None:
        before = self.behind.get(self.now) if self.now else None
        if before is None:
            with pytest.raises(DataError):
                winner.rollback(self.folder, CLOCK)
        else:
            winner.rollback(self.folder, CLOCK)
            self.now = before

    @invariant()
    def the_winner_is_the_one_on_top(self) -> None:
        assert self.now == as_told(self.folder)
        assert self.now is None or self.now == winner.load(self.folder).stored.weights


def test_any_order_of_promotions_and_rollbacks(tmp_path):
    from hypothesis.stateful import run_state_machine_as_test

    Promotions.base = str(tmp_path)
    run_state_machine_as_test(
        Promotions, settings=settings(max_examples=10, stateful_step_count=10, deadline=None)
    )


# --- the experiment log ---------------------------------------------------------------------------------

ATTEMPT = Attempt(
    model_hash="m1", inputs={"settings": "s", "data": "d", "code": "c"}, seed=1, steps=300,
    first_day=FIFTY[0], last_day=FIFTY[-1], daily_sharpe=0.1, scores={"avg_reward": 0.2}, outcome="refused",
    reasons=("29 trades",),
)  # fmt: skip


def log_of(folder: Path, count: int) -> Path:
    path = folder / "experiments.jsonl"
    for n in range(1, count + 1):
        experiments.add(path, replace(ATTEMPT, model_hash=f"m{n}", daily_sharpe=n / 10), CLOCK)
    return path


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_every_attempt_is_a_line_and_their_spread_is_known(tmp_path):
    path = log_of(tmp_path, 5)
    told = [json.loads(line) for line in lines(path)]
    found = experiments.attempts(path)

    assert [1, 2, 3, 4, 5] == [each["number"] for each in told]
    assert ("m3", "refused", ["29 trades"], "2026-01-01") == tuple(
        told[2][k] for k in ("model_hash", "outcome", "reasons", "first_day")
    )
    assert Tried(5, pytest.approx(float(np.var([0.1, 0.2, 0.3, 0.4, 0.5], ddof=1)))) == found  # type: ignore[arg-type]
    assert 6 == experiments.add(path, replace(ATTEMPT, model_hash="m6"), CLOCK)


def test_without_a_log_nothing_was_tried(tmp_path):
    path = tmp_path / "experiments.jsonl"

    assert Tried(0, None) == experiments.attempts(path)
    assert Tried(1, None) == experiments.attempts(path, ATTEMPT)
    assert not path.exists()


def test_the_same_weights_on_the_same_data_are_one_attempt_and_on_other_data_another(tmp_path):
    path = log_of(tmp_path, 3)
    experiments.add(path, replace(ATTEMPT, model_hash="m3", daily_sharpe=0.3, outcome="passed"), CLOCK)
    moved = replace(ATTEMPT, model_hash="m3", last_day=date(2026, 6, 1))
    other = replace(ATTEMPT, model_hash="m3", inputs={**ATTEMPT.inputs, "data": "d2"})

    assert (3, 3, 4, 4) == (
        experiments.attempts(path).count,
        experiments.attempts(path, replace(ATTEMPT, model_hash="m3")).count,
        experiments.attempts(path, moved).count,
        experiments.attempts(path, other).count,
    )


def test_a_candidate_without_a_sharpe_ratio_counts_as_one_of_zero(tmp_path):
    path = log_of(tmp_path, 1)
    experiments.add(path, replace(ATTEMPT, model_hash="m2", daily_sharpe=None), CLOCK)

    assert Tried(2, pytest.approx(0.005)) == experiments.attempts(path)  # type: ignore[arg-type]


TAMPERED: dict[str, tuple[Callable[[list[bytes]], list[bytes]], int, str]] = {
    "one taken out": (lambda found: [*found[:2], *found[3:]], 5, "jsonl:3: 1 line was removed before this one"),
    "two taken out": (lambda found: [found[0], *found[3:]], 5, "jsonl:2: 2 lines were removed before this one"),
    "the first taken out": (lambda found: found[1:], 5, "jsonl:1: 1 line was removed before this one"),
    "the last taken off": (lambda found: found[:-1], 5, "1 line was removed at the end"),
    "all but the first taken off": (lambda found: found[:1], 5, "4 lines were removed at the end"),
    "everything": (lambda _: [], 5, "5 lines were removed at the end"),
    "one made better": (lambda found: [*found[:2], found[2].replace(b"0.3", b"0.9"), *found[3:]], 5, "jsonl:4: not the line that was written after"),
    "the last made better": (lambda found: [*found[:4], found[4].replace(b"0.5", b"0.9")], 5, "line 5 was changed after it was written"),
    "two exchanged": (lambda found: [found[0], found[2], found[1], *found[3:]], 5, "not the line that was written after"),
    "one of no sense": (lambda found: [*found[:2], b"hello\n", *found[3:]], 5, "jsonl:3: no whole line, torn by a crash or damaged"),
    "one of no number": (lambda found: [*found[:2], found[2].replace(b"0.3", b"NaN"), *found[3:]], 5, "jsonl:3: no whole line"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_taken_out_or_changed_is_said_and_counts_all_the_same(name, tmp_path):
    path = log_of(tmp_path, 5)
    tamper, least, sentence = TAMPERED[name]
    path.write_bytes(b"".join(tamper(lines(path))))
    found = experiments.attempts(path)

    assert found.count >= least
    assert any(sentence in note for note in found.notes)
    experiments.add(path, replace(ATTEMPT, model_hash="m9"), CLOCK)
    again = experiments.attempts(path)
    assert again.count == found.count + 1
    assert again.notes, "what is missing is not forgotten by the next line"


def test_without_the_head_it_is_said_that_the_end_is_not_known(tmp_path):
    path = log_of(tmp_path, 3)
    (tmp_path / "experiments.jsonl.head").unlink()

    assert 3 == experiments.attempts(path).count
    assert ["missing or damaged, so lines taken off the end would not be noticed"] == [
        note.split(": ")[1] for note in experiments.attempts(path).notes
    ]


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(1, 10_000), more=st.integers(0, 2))
def test_a_line_torn_anywhere_is_said_counted_and_hides_no_other(tmp_path_factory, cut, more):
    """A crash leaves the first bytes of the line, and the head as it was before."""
    path = log_of(tmp_path_factory.mktemp("log"), 3)
    head = path.with_name(f"{path.name}.head")
    before = head.read_bytes()
    experiments.add(path, replace(ATTEMPT, model_hash="m4", daily_sharpe=0.4), CLOCK)
    *whole, last = lines(path)
    torn = last[: cut % len(last)]
    path.write_bytes(b"".join(whole) + torn)
    head.write_bytes(before)
    for n in range(more):
        experiments.add(path, replace(ATTEMPT, model_hash=f"n{n}", daily_sharpe=0.2), CLOCK)
    found = experiments.attempts(path)
    is_complete = torn == last[:-1]

    assert 3 + bool(torn) + more == found.count
    assert bool(found.notes) == (bool(torn) and not is_complete)
    assert all("jsonl:4: no whole line, torn by a crash" in note for note in found.notes)


def test_two_that_write_at_once_write_one_after_the_other(tmp_path):
    text = (
        "import sys; from pathlib import Path; from tests.test_promotion import *\n"
        "for n in range(15): experiments.add(Path(sys.argv[1]), replace(ATTEMPT, model_hash=sys.argv[2] + str(n)), CLOCK)"
    )
    path = tmp_path / "experiments.jsonl"
    commands = [[sys.executable, "-c", text, str(path), name] for name in ("a", "b")]
    running = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for command in commands]
    said = [process.communicate(timeout=60)[1] for process in running]

    assert ["", ""] == said
    assert (30, ()) == (experiments.attempts(path).count, experiments.attempts(path).notes)


class Patience:
    """A clock that counts what it was asked to wait."""

    def __init__(self) -> None:
        self.waited = 0.0

    def now(self) -> datetime:
        return AT

    def monotonic(self) -> float:
        return self.waited

    def wait(self, seconds: float) -> None:
        self.waited += seconds


def test_who_holds_the_log_for_long_is_named_in_the_end(tmp_path):
    path, clock = log_of(tmp_path, 1), Patience()
    with (
        locks.held(tmp_path / "experiments.jsonl.lock", "another", CLOCK),
        pytest.raises(BusyError, match="pid"),
    ):
        experiments.add(path, ATTEMPT, clock)

    assert 5 == pytest.approx(clock.waited)
    assert 1 == experiments.attempts(path).count


ADD = """
attempt = experiments.Attempt(model_hash="m9", inputs={}, seed=1, steps=1, first_day="2026-01-01", last_day="2026-02-19",
                              daily_sharpe=0.1, scores={}, outcome="refused")
experiments.add(folder / "experiments.jsonl", attempt, SystemClock())
"""


@pytest.mark.parametrize("how", [KILLED, NO_SPACE, BAD_DISK])
def test_whatever_call_it_is_stopped_at_no_earlier_attempt_is_lost(how, tmp_path):
    log_of(tmp_path / "base", 3)
    (tmp_path / "base" / "experiments.jsonl.lock").write_bytes(b"")
    counts = []
    for folder, said in stopped_everywhere(tmp_path / "base", tmp_path / "out", how, ADD):
        found = experiments.attempts(folder / "experiments.jsonl")
        counts.append(found.count)

        assert () == found.notes
        assert found.count in (3, 4)
        assert said.startswith(("WriteError", "ConfigError")) or found.count == 4 or how == KILLED
        experiments.add(folder / "experiments.jsonl", replace(ATTEMPT, model_hash="m8"), CLOCK)
        assert () == experiments.attempts(folder / "experiments.jsonl").notes

    assert {3, 4} == set(counts)


NO_ROOM = """
import resource, sys
from pathlib import Path
from tests.test_promotion import *
from files import WriteError
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + int(sys.argv[2]),) * 2)
try:
    experiments.add(path, replace(ATTEMPT, model_hash="m9"), CLOCK)
except WriteError as error:
    print(error)
"""


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_line_that_does_not_fit_is_taken_back_and_said(room, tmp_path):
    path = log_of(tmp_path, 3)
    before = path.read_bytes()
    command = [sys.executable, "-c", NO_ROOM, str(path), str(room)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)

    assert ("the attempt is not logged" in done.stdout, "") == (True, done.stderr)
    assert before == path.read_bytes()
    assert (3, ()) == (experiments.attempts(path).count, experiments.attempts(path).notes)


def test_a_log_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path):
    (tmp_path / "experiments.jsonl").mkdir()
    with pytest.raises(DataError, match="nobody knows how many candidates were tried"):
        experiments.attempts(tmp_path / "experiments.jsonl")


def test_the_verdict_takes_the_log_and_the_measures_as_they_are(tmp_path):
    """By what they are made of, not by what a test says they are."""
    tried = experiments.attempts(log_of(tmp_path, 2), ATTEMPT)

    assert judged(GOOD, None, [OUT], tried).is_promoted
