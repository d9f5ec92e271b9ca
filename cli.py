"""How does a user talk to the four scripts? One command line, one set of exit codes, one voice.

A script is a Program: its tasks (`--fn NAME`, or a positional stage, the old way), its own flags,
and what `all` means. This file parses, prepares logging and settings, runs the tasks in order,
prints their answers (or one JSON document) on stdout and every error as one sentence on stderr.
Imports nothing heavy: `--help` must answer at once. Knows no task's work.
"""

import argparse
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from clock import Clock, SystemClock
from outcome import ConfigError, ExitCode, SuiteError

if TYPE_CHECKING:
    from environment import Environment
    from settings import Settings

VERSION = "0.1.0"
JSON_SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What a task found: for programs, and for people."""

    data: Any
    text: str
    code: ExitCode = ExitCode.DONE  # of work that was done and found something wrong


@dataclass(frozen=True)
class Run:
    """What a task is handed: the command line, the time, and the configuration when it asks."""

    args: argparse.Namespace
    clock: Clock
    environ: dict[str, str]

    @cached_property
    def settings(self) -> "Settings":
        from settings import load_settings

        return load_settings(self.config_path, today=self.clock.now().date())

    @property
    def config_path(self) -> Path:
        return Path(self.args.config)

    def environment(self, *wanted: str) -> "Environment":
        """The named values of .env (beside config.json) and the process; secrets are kept out of the logs."""
        from environment import load_environment
        from redaction import hide

        found = load_environment(wanted, self.config_path.parent / ".env", self.environ)
        for secret in found.secrets():
            hide(secret.reveal())
        return found


@dataclass(frozen=True, slots=True)
class Task:
    """One thing that a script can be told to do."""

    name: str
    what: str
    run: Callable[[Run], Answer | None]
    stage: str | None = None  # its positional name, where it has one
    only_stage: bool = False  # not callable by --fn
    exclusive: bool = False  # it writes: one such run of this script at a time
    only_looks: Callable[[argparse.Namespace], bool] = lambda _: False  # with these flags it does not write
    first_aid: bool = False  # it runs whatever is wrong with config.json and .env


@dataclass(frozen=True, slots=True)
class Program:
    """One of the four scripts."""

    name: str
    what: str
    tasks: tuple[Task, ...]
    everything: tuple[str, ...]  # the names of the tasks that `all`, or nothing at all, means
    add_flags: Callable[[argparse.ArgumentParser], None]
    examples: tuple[str, ...] = field(default=())

    def by_function(self) -> dict[str, Task]:
        return {task.name: task for task in self.tasks if not task.only_stage}

    def by_stage(self) -> dict[str, tuple[Task, ...]]:
        stages = {task.stage: (task,) for task in self.tasks if task.stage}
        return {**stages, "all": tuple(task for task in self.tasks if task.name in self.everything)}


def later(subject: str) -> Callable[[Run], None]:
    """An honest answer for what a coming version brings."""

    def answer(_: Run) -> None:
        raise SuiteError(f"{subject} is not part of version {VERSION}; CHANGELOG.md says what is")

    return answer


# --- running -----------------------------------------------------------------------------------


def main(program: Program, argv: Sequence[str] | None = None) -> None:
    """Run a script's command line and leave with its exit code."""
    args = parser(program).parse_intermixed_args(argv)
    try:
        with _sigterm_interrupts():
            code = _run(program, args)
        sys.stdout.flush()
    except BrokenPipeError:  # `fetch.py ... | head`: the reader has enough, which is no failure
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.DONE
    sys.exit(code)


def _run(program: Program, args: argparse.Namespace) -> ExitCode:
    results: list[dict[str, Any]] = []
    trouble: BaseException | None = None
    found = ExitCode.DONE
    try:
        found = _carry_out(program, run_of(args, os.environ), results)
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt) as caught:  # noqa: BLE001  (the last resort: said, never swallowed)
        trouble = caught
    code, sentence = _judged(trouble)
    code = code or found
    if trouble is not None:
        print(f"{program.name}.py: {sentence}", file=sys.stderr)
        if args.level == "DEBUG":
            print(_redacted("".join(traceback.format_exception(trouble))), file=sys.stderr)
    if args.json:
        _print_document(program, code, results, sentence)
    return code


def run_of(args: argparse.Namespace, environ: Mapping[str, str]) -> Run:
    """Under CLOCK_URL time is the local exchange's, whose days need not be ours."""
    clock: Clock = SystemClock()
    if environ.get("CLOCK_URL"):
        from followed_clock import clock_at

        clock = clock_at(environ)
    return Run(args, clock, dict(environ))


def _judged(trouble: BaseException | None) -> tuple[ExitCode, str | None]:
    match trouble:
        case None:
            return ExitCode.DONE, None
        case SuiteError():
            return trouble.exit_code, _redacted(str(trouble))
        case KeyboardInterrupt():
            return ExitCode.INTERRUPTED, "interrupted"
        case _:
            text = f"a defect of ours: {type(trouble).__name__}: {trouble}; --verbose shows where"
            return ExitCode.FAILED, _redacted(text)


def _carry_out(program: Program, run: Run, results: list[dict[str, Any]]) -> ExitCode:
    """The first code that is not DONE, of tasks that came to their end."""
    plan = run.args.plan or program.by_stage()["all"]
    code = ExitCode.DONE
    with suppress(*([ConfigError] if all(task.first_aid for task in plan) else [])):
        _start_logging(run)
    with ExitStack() as held:
        if any(task.exclusive and not task.only_looks(run.args) for task in plan):
            import locks

            path = run.settings.state / f"{program.name}.lock"
            held.enter_context(locks.held(path, f"{program.name}.py", run.clock))
        for task in plan:
            answer = task.run(run)
            results.append({"task": task.name, "result": None if answer is None else answer.data})
            if answer is not None:
                code = code or answer.code
                if not run.args.json:
                    print(answer.text)
    return code


def _start_logging(run: Run) -> None:
    import logs

    found = run.environment("LOG_LEVEL", "TZ")
    logs.configure(
        run.clock,
        level=getattr(logging, run.args.level or found.text("LOG_LEVEL") or "INFO"),
        folder=run.settings.state / "logs",
        zone=ZoneInfo(found.text("TZ") or run.settings.timezone),
        no_color="NO_COLOR" in run.environ,
        term=run.environ.get("TERM", ""),
    )


def _print_document(
    program: Program, code: ExitCode, results: list[dict[str, Any]], error: str | None
) -> None:
    document = {
        "schema_version": JSON_SCHEMA_VERSION,
        "program": program.name,
        "version": VERSION,
        "exit_code": int(code),
        "error": error,
        "results": results,
    }
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def _redacted(text: str) -> str:
    from redaction import redact

    return redact(text)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM ends a script as Ctrl-C does; trade.py, which must halt first, installs its own."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# --- parsing -----------------------------------------------------------------------------------


def parser(program: Program) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog=f"{program.name}.py",
        description=program.what,
        epilog=_epilog(program),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.set_defaults(plan=[])
    program.add_flags(made)
    _add_common_flags(made)
    _add_plan(made, program)
    return made


def _add_common_flags(parser: argparse.ArgumentParser) -> None:
    common = parser.add_argument_group("common")
    common.add_argument(
        "--verbose",
        dest="level",
        action="store_const",
        const="DEBUG",
        help="log DEBUG and above; the last of --verbose and --silent wins",
    )
    common.add_argument(
        "--silent",
        dest="level",
        action="store_const",
        const="WARNING",
        help="log WARNING and above; without either: LOG_LEVEL, or INFO",
    )
    common.add_argument("--json", action="store_true", help="one JSON document on stdout, logs on stderr")
    common.add_argument(
        "--config",
        default="config.json",
        metavar="PATH",
        help="the configuration; .env and all relative paths lie beside it",
    )
    common.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")


def _add_plan(parser: argparse.ArgumentParser, program: Program) -> None:
    functions, stages = program.by_function(), program.by_stage()
    parser.add_argument(
        "--fn",
        action=_AddToPlan,
        metavar="NAME",
        choices=None,
        default=argparse.SUPPRESS,
        type=_named({name: (task,) for name, task in functions.items()}),
        help="run this function; repeatable, in the order given (list below)",
    )
    parser.add_argument(
        "--stage",
        action=_AddToPlan,
        metavar="NAME",
        default=argparse.SUPPRESS,
        type=_named(stages),
        help="deprecated: write the stage without --stage",
    )
    parser.add_argument(
        "stages",
        action=_AddToPlan,
        nargs="*",
        metavar="STAGE",
        default=argparse.SUPPRESS,
        type=_named(stages),
        help="stages in the order given, after all --fn",
    )


class _AddToPlan(argparse.Action):
    """Functions and stages end up in one list, in the order in which they are met."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if option_string == "--stage":
            print(f"{parser.prog}: --stage is deprecated; write the stage's name alone", file=sys.stderr)
        chosen = values if option_string is None else [values]
        namespace.plan = [*namespace.plan, *(task for tasks in chosen for task in tasks)]


def _named(known: dict[str, tuple[Task, ...]]) -> Callable[[str], tuple[Task, ...]]:
    def find(name: str) -> tuple[Task, ...]:
        if name in known:
            return known[name]
        meant = get_close_matches(name, known, n=1)
        hint = f"; did you mean {meant[0]}?" if meant else ""
        raise argparse.ArgumentTypeError(f"{name!r} is not one of: {', '.join(known)}{hint}")

    return find


def _epilog(program: Program) -> str:
    functions = [f"  {task.name:22}{task.what}" for task in program.by_function().values()]
    stages = [f"  {task.stage or '':22}{task.what}" for task in program.tasks if task.stage]
    everything = f"  {'all':22}{', '.join(program.everything)}; also when nothing is named"
    parts = [
        "functions (--fn NAME):",
        *functions,
        "",
        "stages:",
        *stages,
        everything,
        "",
        "examples:",
        *(f"  python {program.name}.py {example}".rstrip() for example in program.examples),
        "",
        "exit codes: 0 done, 1 failed, 2 usage or configuration, 3 a gate refused, 4 broker or network,",
        "  5 data missing or stale, 6 another instance runs, 130 interrupted",
    ]
    return "\n".join(parts)
