"""What is a strategy, how is one found, and how is it asked bar by bar?

A strategy is a file with three names; docs/strategies.md shows how to write one.

    PARAMETERS            a NamedTuple class of whole and decimal numbers, each with a default
    state_size(p)         how many cells of memory a ticker needs, cell 0 included
    step(state, p, session_bar, open, high, low, close, volume) -> (action, confidence)

`step` is called once for every closed bar of one ticker, in order. It sees that bar, the ticker's own
row of floats and nothing else, so it cannot look ahead, and the same code object serves live, event by
event and, compiled, a simulation of years. Two names are optional: `objection(p)` answers what is wrong
with the parameters ("" for nothing), `explain(state, p)` says in CPython why the last step answered so.

Knows no clock, no compiler and no caller.
"""

import json
import math
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from difflib import get_close_matches
from hashlib import sha256
from inspect import Parameter, signature
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Protocol, get_type_hints
from zlib import crc32

from outcome import ConfigError, SuiteError
from rulebook.hours import ist_day
from rulebook.records import Action, Bar, Decision

State = MutableSequence[float]
Step = Callable[[State, Any, int, int, int, int, int, int], tuple[int, float]]

FOLDER = Path(__file__).resolve().parent
GUIDE = "docs/strategies.md shows how to write one"

# What each function of a strategy file takes, in this order; an underscore around a name is allowed.
TAKES = {
    "state_size": ("p",),
    "step": ("state", "p", "session_bar", "open", "high", "low", "close", "volume"),
}
TAKES_OPTIONAL = {"objection": ("p",), "explain": ("state", "p")}
EXACT = 2**53  # beyond it a float64 cell no longer holds every whole number

ACTIONS = {1: Action.BUY, -1: Action.SELL, 0: Action.HOLD}
HELD = Decision(Action.HOLD, 0.0)


class Observes(Protocol):
    """Whatever answers a set of closed bars with decisions: an Observer, or a loaded model."""

    def observe(self, bars: Mapping[str, Bar]) -> dict[str, Decision]: ...


@dataclass(frozen=True, slots=True)
class Strategy:
    """A strategy file and the parameters it is to run with."""

    name: str
    parameters: Any  # an instance of the file's own PARAMETERS
    step: Step
    state_size: Callable[[Any], int]
    source: bytes = field(repr=False)
    objection: Callable[[Any], str] | None = None
    explain: Callable[[State, Any], dict[str, float]] | None = None

    @property
    def hash(self) -> str:
        """Stands in every report and decision: the same twelve letters, the same file and parameters."""
        return sha256(self.source + b"\0" + self.parameters_json.encode()).hexdigest()[:12]

    @property
    def parameters_json(self) -> str:
        return json.dumps(self.parameters._asdict(), sort_keys=True)

    def new_state(self, ticker: str) -> "array[float]":
        """A ticker's memory before its first bar: the ticker's number in cell 0, then zeros.

        An array because it turns what is stored into float64 at once, as compiled code does; a list
        would keep a whole number whole and the two would part at the first -0.0.
        """
        state = array("d", bytes(8 * self.state_size(self.parameters)))
        state[0] = ticker_number(ticker)
        return state


def ticker_number(ticker: str) -> int:
    """A number of 32 bits for that name: the same in every universe, whoever else is traded."""
    return crc32(ticker.encode())


# --- event by event ------------------------------------------------------------------------------


class Observer:
    """A strategy asked with bars as they close; keeps a row of memory for each ticker."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self._memories: dict[str, _Memory] = {}

    def observe(self, bars: Mapping[str, Bar]) -> dict[str, Decision]:
        """A decision for every ticker given; a filled bar is not shown to step and gets HOLD."""
        return {ticker: HELD if bar.filled else self._decide(ticker, bar) for ticker, bar in bars.items()}

    def explain(self, ticker: str) -> dict[str, float]:
        """Why the last decision about that ticker; empty where there was none or the file does not say."""
        explain = self.strategy.explain
        if explain is None or ticker not in self._memories:
            return {}
        return explain(self._memories[ticker].state, self.strategy.parameters)

    def _decide(self, ticker: str, bar: Bar) -> Decision:
        memory = self._memories.get(ticker)
        if memory is None:
            memory = self._memories[ticker] = _Memory(self.strategy.new_state(ticker))
        session_bar = memory.next_bar(bar)
        action, confidence = self.strategy.step(
            memory.state, self.strategy.parameters, session_bar,
            bar.open, bar.high, bar.low, bar.close, bar.volume,
        )  # fmt: skip
        if action == 0 and confidence == 0:
            return HELD
        return self._decision(bar, action, confidence)

    def _decision(self, bar: Bar, action: int, confidence: float) -> Decision:
        if action not in ACTIONS or not 0 <= confidence <= 1:
            raise SuiteError(
                f"strategy {self.strategy.name} answered ({action}, {confidence}) for {bar.ticker} at "
                f"{bar.opened_at}; the action must be 1, -1 or 0 and the confidence within [0, 1]"
            )
        return Decision(ACTIONS[action], confidence)


@dataclass(slots=True)
class _Memory:
    """One ticker's row, and where its day has got to."""

    state: "array[float]"
    session_bar: int = -1
    day: date | None = None
    last: datetime | None = None

    def next_bar(self, bar: Bar) -> int:
        """The number of this bar within its day, counted over the bars that step has seen."""
        assert self.last is None or bar.opened_at > self.last, f"{bar.ticker}: {bar.opened_at} out of order"
        day = ist_day(bar.opened_at)
        self.session_bar = self.session_bar + 1 if day == self.day else 0
        self.day, self.last = day, bar.opened_at
        return self.session_bar


# --- parameters ------------------------------------------------------------------------------------


def with_parameters(strategy: Strategy, changes: Mapping[str, Any]) -> Strategy:
    """The same strategy with some parameters changed; everything wrong with them is said at once."""
    hints = _number_types(type(strategy.parameters))
    problems = [_unknown(key, hints, "parameter") for key in changes if key not in hints]
    problems += [_wrong_type(key, hints[key], changes[key]) for key in changes if key in hints]
    if any(problems):
        raise ConfigError(f"strategy {strategy.name}: " + "; ".join(filter(None, problems)))
    # A float parameter given as 2 becomes 2.0: one type, so one hash and one compilation.
    values = {key: hints[key](value) for key, value in changes.items()}
    return _accepted(replace(strategy, parameters=strategy.parameters._replace(**values)))


def read_parameters(strategy: Strategy, text: str) -> Strategy:
    """With parameters as JSON, such as `parameters_json` wrote or the user typed."""
    try:
        changes = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"strategy {strategy.name}: parameters are not JSON: {error.msg.lower()}") from None
    if not isinstance(changes, dict):
        raise ConfigError(f'strategy {strategy.name}: parameters must be one JSON object, {{"name": number}}')
    return with_parameters(strategy, changes)


def _unknown(key: str, known: Iterable[str], what: str) -> str:
    names = sorted(known)
    meant = get_close_matches(key, names, n=1)
    hint = f"did you mean {meant[0]}? " if meant else ""
    return f"unknown {what} {key!r}; {hint}known: {', '.join(names) or 'none'}"


def _wrong_type(key: str, wanted: type, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int if wanted is int else int | float):
        kind = "a whole number" if wanted is int else "a number"
        return f"{key}: {value!r} is not {kind}"
    # Also refuses NaN and infinity, which have no place in JSON.
    return "" if abs(value) <= EXACT else f"{key}: {value!r} is out of range"


def _number_types(parameters: type) -> dict[str, type]:
    return get_type_hints(parameters)


def _accepted(strategy: Strategy) -> Strategy:
    """The strategy itself, once its own file has agreed to the parameters."""
    objection = strategy.objection(strategy.parameters) if strategy.objection else ""
    if objection:
        raise ConfigError(f"strategy {strategy.name}: {objection}")
    size = strategy.state_size(strategy.parameters)
    if not isinstance(size, int) or size < 1:
        raise ConfigError(f"strategy {strategy.name}: state_size answered {size!r}; cell 0 alone makes 1")
    return strategy


# --- finding one -------------------------------------------------------------------------------------


def known() -> tuple[str, ...]:
    """The names of the files in this folder."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_")))


def find(name: str | Path) -> Strategy:
    """The strategy of that name in this folder, or of that path (it has a slash or ends in .py)."""
    text = str(name)
    is_path = "/" in text or text.endswith(".py")
    if not is_path and text not in known():
        raise ConfigError(_unknown(text, known(), "strategy") + "; your own is given by its path")
    path = Path(text) if is_path else FOLDER / f"{text}.py"
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"strategy {path} cannot be read: {(error.strerror or str(error)).lower()}"
        ) from None
    return _strategy_of(path, source, _load(path, source))


def _load(path: Path, source: bytes) -> ModuleType:
    """The module of exactly these bytes, made once.

    Not by import: that may answer with a module loaded before the file was edited, or with a .pyc that
    is told apart by seconds and size only, and the hash would then name code that does not run.
    """
    file = str(path.resolve())
    # One name for one place, whatever stands there: caches of compiled code refer to PARAMETERS by it.
    name = f"strategies.found.{path.stem}_{crc32(file.encode()):08x}"
    loaded = sys.modules.get(name)
    if loaded is None or loaded.__dict__["__source__"] != source:
        loaded = ModuleType(name)
        loaded.__dict__.update(__file__=file, __source__=source)
        _run(path, source, loaded)
    return loaded


def _run(path: Path, source: bytes, module: ModuleType) -> None:
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module  # while it runs, as import does: typing looks hints up there
    try:
        code = compile(source, module.__dict__["__file__"], "exec", dont_inherit=True)
        exec(code, vars(module))  # noqa: S102 (what an import does)
    except Exception as error:  # a user's file may raise anything
        if before is None:
            del sys.modules[module.__name__]
        else:
            sys.modules[module.__name__] = before
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ConfigError(
            f"strategy {path}{line} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def _strategy_of(path: Path, source: bytes, module: ModuleType) -> Strategy:
    names = vars(module)
    problems = "; ".join(_problems(names))
    if problems:
        raise ConfigError(f"strategy {path}: {problems}; {GUIDE}")
    return _accepted(
        Strategy(
            name=path.stem,
            parameters=names["PARAMETERS"](),
            step=names["step"],
            state_size=names["state_size"],
            source=source,
            objection=names.get("objection"),
            explain=names.get("explain"),
        )
    )


def _problems(names: Mapping[str, Any]) -> Iterator[str]:
    """What keeps a file with these names from being a strategy."""
    missing = [name for name in ("PARAMETERS", *TAKES) if name not in names]
    if missing:
        yield f"it lacks {', '.join(missing)}"
    if "PARAMETERS" in names:
        yield from _wrong_parameters(names["PARAMETERS"])
    for name, wanted in {**TAKES, **TAKES_OPTIONAL}.items():
        if name in names and _taken_by(names[name]) != wanted:
            yield f"{name} must be a plain function ({', '.join(wanted)})"


def _taken_by(function: Any) -> tuple[str, ...]:
    """Names of its parameters without underscores, or nothing where it is no plain function."""
    if not isinstance(function, FunctionType):
        return ()
    parameters = signature(function).parameters.values()
    if any(p.kind is not Parameter.POSITIONAL_OR_KEYWORD for p in parameters):
        return ()
    return tuple(p.name.strip("_") for p in parameters)


def _wrong_parameters(parameters: Any) -> Iterator[str]:
    if not (
        isinstance(parameters, type) and issubclass(parameters, tuple) and hasattr(parameters, "_fields")
    ):
        yield "PARAMETERS must be a typing.NamedTuple class"
        return
    defaults: Mapping[str, Any] = getattr(parameters, "_field_defaults", {})
    for name, hint in _number_types(parameters).items():
        if name not in defaults:
            yield f"PARAMETERS.{name} has no default"
        elif (
            hint not in (int, float) or type(defaults[name]) is not hint or not math.isfinite(defaults[name])
        ):
            yield f"PARAMETERS.{name} must be an int or a float with a default of that type"
