"""What is wrong with this installation, and what mends it? `fetch.py --fn doctor`.

Every check of health.py is made, whatever the others find; only what cannot be told before something else is
mended is left open, and says so. Each ends in one line and, where something is to be done, the command that
does it. The exit code is that of the worst: a broken installation, then the configuration, the broker, the
data. What deserves a look and stops nobody changes no exit code.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import health
from cli import Answer, Run
from health import Finding
from outcome import ConfigError, ExitCode, SuiteError

WORST_FIRST: Final = (ExitCode.FAILED, ExitCode.USAGE, ExitCode.BROKER, ExitCode.DATA)
WIDE: Final = 160


@dataclass(frozen=True, slots=True)
class Check:
    """`remedy`: of an error whose own words do not name one. `needs`: what must be right before it."""

    name: str
    look: Callable[[Run], Finding]
    remedy: str
    needs: tuple[str, ...] = ()


def examine(run: Run) -> Answer:
    found: dict[str, Finding] = {}
    for check in _checks():
        found[check.name] = _looked(check, run, found)
    codes = {finding.code for finding in found.values()}
    worst = next((code for code in WORST_FIRST if code in codes), ExitCode.DONE)
    return Answer([_as_json(name, finding) for name, finding in found.items()], _as_table(found), worst)


def _looked(check: Check, run: Run, found: Mapping[str, Finding]) -> Finding:
    first = [name for name in check.needs if found[name].code]
    if first:
        return Finding(f"cannot be told before {first[0]} is right", is_open=True)
    try:
        return check.look(run)
    except SuiteError as error:
        code = error.exit_code if error.exit_code in WORST_FIRST else ExitCode.FAILED
        return Finding(*_parted(error, check.remedy), code)
    except Exception as error:  # noqa: BLE001  a missing package or a defect must not hide the other checks
        return Finding(f"{type(error).__name__}: {error}", check.remedy, ExitCode.FAILED)


def _parted(error: SuiteError, remedy: str) -> tuple[str, str]:
    """What is wrong, and what to do. Errors of configuration are lists, with one remedy for all."""
    said, _, own = str(error).rpartition("; ")
    if isinstance(error, ConfigError) or not said:
        return " ".join(str(error).split()), remedy
    return said, own


def _checks() -> Iterator[Check]:
    settings, env = "config.json", ".env"
    yield Check("python", health.python, health.SET_UP)
    yield Check("packages", health.packages, health.SET_UP)
    yield Check(
        settings, health.config, "mend what it names; config/config.schema.json tells what is allowed"
    )
    yield Check(env, health.dot_env, "mend what it names; .env.example explains each line")
    yield Check("disk", health.disk, "free some space", (settings,))
    yield Check("folders", health.folders, "make them writable", (settings,))
    yield Check("broker", health.broker, "check .env, the internet connection and KITE_API_URL", (env,))
    yield Check("clock", health.clock, "check the internet connection")
    yield Check("token", health.token, health.LOG_IN, (settings, env, "broker"))
    yield Check("nse", health.nse, "check the internet connection; a list kept before is used meanwhile")
    yield Check("calendar", health.calendar, "mend the file that it names, or: git checkout config")
    yield Check("charges", health.charges, "mend the file that it names, or: git checkout config")
    yield Check("candles", health.candles, "python fetch.py history impute", (settings, "calendar"))
    yield Check("features", health.features, "python fetch.py impute", (settings, "calendar"))
    yield Check("winner", health.winner, "python train.py", (settings,))
    yield Check("loss limit", health.for_live, "set DAILY_MAX_LOSS_R=3.0 in .env", (settings, env))
    yield Check(
        "dashboard", health.dashboard, "openssl rand -hex 32, as DASHBOARD_AUTH_TOKEN into .env", (env,)
    )


def _as_json(name: str, finding: Finding) -> dict[str, Any]:
    return {
        "check": name,
        "state": finding.state.lower(),
        "said": finding.said,
        "remedy": finding.remedy or None,
        "exit_code": int(finding.code),
    }


def _as_table(found: dict[str, Finding]) -> str:
    lines = []
    for name, finding in found.items():
        said = finding.said if len(finding.said) <= WIDE else f"{finding.said[:WIDE]} ... (--json has it all)"
        lines.append(f"{finding.state:7}{name:14}{said}")
        if finding.remedy:
            lines.append(f"{'':21}-> {finding.remedy}")
    count = Counter(finding.state for finding in found.values())
    lines.append(
        f"\n{len(found)} checks: " + ", ".join(f"{number} {state}" for state, number in count.items())
    )
    return "\n".join(lines)
