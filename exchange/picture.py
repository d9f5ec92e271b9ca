"""How does the synthetic market look? `python -m exchange.picture > docs/market.svg` draws its facts.

Four panels of one sample: the day's shape, what volatility and returns remember, the tails, and one morning
as a client sees it. `python -m exchange.picture table` prints the figures as the rows of docs/market.md.
The same numbers draw the same bytes.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from math import ceil, erfc, log10, sqrt
from pathlib import Path

from exchange.stylised import DEVIATIONS, LAGS, SAMPLE, Facts, facts, ordinary_days, panel
from exchange.synthetic import SyntheticMarket
from facts import read_calendar
from rulebook.hours import Calendar

SEED, SPAN, DAY = 7, (date(2026, 1, 1), date(2026, 3, 31)), date(2026, 11, 20)
CONFIG = Path(__file__).resolve().parent.parent / "config"

WIDTH, HEIGHT, MARGIN, LEGEND = 460, 250, 46, 18
INK, GRID = "#444", "#ddd"
COLOURS = ("#1f6fb2", "#c8553d", "#4b8f4b", "#8a6bb0")

Line = tuple[str, Sequence[tuple[float, float]]]
Range = tuple[float, float]
Scale = Callable[[float], float]


def measured(calendar: Calendar) -> Facts:
    """Of the sample that the document shows and the test bounds."""
    return facts(panel(SyntheticMarket(SEED, calendar), SAMPLE, ordinary_days(calendar, *SPAN)))


def table(found: Facts) -> list[str]:
    """The figures as rows of Markdown."""
    first, last = 0, len(LAGS) - 1
    rows = (
        ("volatility of a day, close to close", _percent(found.daily_volatility.mean())),
        ("volatility of the first bar, in parts of the mean bar's", f"{found.volatility_by_time[0]:.2f}"),
        ("volume of the first and the last bar, in parts of the mean bar's",
         f"{found.volume_by_time[0]:.2f} and {found.volume_by_time[-1]:.2f}"),
        ("volume of a bar and its size, correlation", f"{found.volume_with_volatility:.2f}"),
        ("kurtosis of a bar and of a session", f"{found.kurtosis_bar:.1f} and {found.kurtosis_session:.1f}"),
        ("autocorrelation of returns, one bar", f"{found.autocorrelation[first]:.3f}"),
        (f"autocorrelation of their size, {LAGS[first]} and {LAGS[last]} bars",
         f"{found.clustering[first]:.3f} and {found.clustering[last]:.3f}"),
        ("correlation of stocks of different industries", f"{found.across_industries:.2f}"),
        ("correlation of stocks of one industry", f"{found.within_industries:.2f}"),
        ("the night's gap, in parts of the session's move", f"{found.gap_to_session:.2f}"),
    )  # fmt: skip
    return [f"| {what} | {figure} |" for what, figure in rows]


def drawn(found: Facts, market: SyntheticMarket) -> str:
    panels = (_of_the_day(found), _memory(found), _tails(found), _morning(market))
    body = [
        f'<g transform="translate({number % 2 * WIDTH},{number // 2 * HEIGHT})">{one}</g>'
        for number, one in enumerate(panels)
    ]
    size = f'width="{2 * WIDTH}" height="{2 * HEIGHT}" viewBox="0 0 {2 * WIDTH} {2 * HEIGHT}"'
    font = 'font-family="sans-serif" font-size="11"'
    sheet = '<rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>', sheet, *body, "</svg>\n"])


# --- panels ---------------------------------------------------------------------------------------


def _of_the_day(found: Facts) -> str:
    hours = [9.25 + bar / 12 for bar in range(len(found.volume_by_time))]
    lines = (
        ("volume", list(zip(hours, found.volume_by_time.tolist(), strict=True))),
        ("volatility", list(zip(hours, found.volatility_by_time.tolist(), strict=True))),
    )
    return _panel("Five-minute bars by hour, in parts of the mean", lines, "{:.1f}".format)


def _memory(found: Facts) -> str:
    lines = (
        ("size of returns", list(zip(LAGS, found.clustering.tolist(), strict=True))),
        ("returns", list(zip(LAGS, found.autocorrelation.tolist(), strict=True))),
    )
    return _panel("Autocorrelation by lag, in bars", lines, "{:.2f}".format)


def _tails(found: Facts) -> str:
    shares = [
        (k, log10(max(share, 1e-6))) for k, share in zip(DEVIATIONS, found.beyond.tolist(), strict=True)
    ]
    gaussian = [(k, log10(max(erfc(k / sqrt(2)), 1e-6))) for k in DEVIATIONS]
    lines = (("bars", shares), ("Gaussian", gaussian))
    return _panel("Share of bars beyond so many standard deviations", lines, _power)


def _morning(market: SyntheticMarket) -> str:
    lines = []
    for ticker in ("NIFTY 50", *SAMPLE[:4:2], SAMPLE[4]):
        tape = market.tape(ticker, DAY)
        rows = range(0, len(tape.seconds), 60)
        path = [(tape.seconds[row] / 3600, (tape.lasts[row] / tape.lasts[0] - 1) * 100) for row in rows]
        lines.append((ticker, path))
    return _panel(f"{DAY}: percent since the open, by hour", lines, "{:.1f}".format)


def _panel(title: str, lines: Sequence[Line], y_text: Callable[[float], str]) -> str:
    xs = [x for _, points in lines for x, _ in points]
    ys = [y for _, points in lines for _, y in points]
    x_range, y_range = (min(xs), max(xs)), (min(*ys, 0.0), max(ys))
    x_at, y_at = _scale(x_range, MARGIN, WIDTH - 14), _scale(y_range, HEIGHT - 24, MARGIN)
    parts = [
        f'<text x="{MARGIN}" y="16" fill="{INK}" font-weight="bold">{title}</text>',
        *_hours_or_lags(x_range, x_at),
        *_rungs(y_range, y_at, y_text),
    ]
    for number, (label, points) in enumerate(lines):
        colour, path = COLOURS[number], " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>')
        parts.append(f'<text x="{MARGIN + number * 100}" y="{16 + LEGEND}" fill="{colour}">{label}</text>')
    return "".join(parts)


def _hours_or_lags(x_range: Range, at: Scale) -> Iterator[str]:
    """Whole numbers, a dozen at most."""
    for x in range(ceil(x_range[0]), int(x_range[1]) + 1, 1 + int(x_range[1] - x_range[0]) // 12):
        yield f'<text x="{at(x):.1f}" y="{HEIGHT - 8}" fill="{INK}" text-anchor="middle">{x}</text>'


def _rungs(y_range: Range, at: Scale, text: Callable[[float], str]) -> Iterator[str]:
    for step in range(5):
        y = y_range[0] + (y_range[1] - y_range[0]) * step / 4
        height, ends = f"{at(y):.1f}", f'x1="{MARGIN}" x2="{WIDTH - 14}"'
        yield f'<line {ends} y1="{height}" y2="{height}" stroke="{GRID}"/>'
        yield f'<text x="{MARGIN - 5}" y="{height}" dy="4" fill="{INK}" text-anchor="end">{text(y)}</text>'


def _scale(values: Range, start: float, end: float) -> Scale:
    low, high = values
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _power(exponent: float) -> str:
    return f"{10**exponent:.0e}".replace("e-0", "e-").replace("e+00", "")


def _percent(share: float) -> str:
    return f"{share * 100:.2f} %"


def main(arguments: Sequence[str]) -> None:
    calendar = read_calendar(CONFIG)
    found = measured(calendar)
    wants_table = list(arguments) == ["table"]
    text = "\n".join(table(found)) + "\n" if wants_table else drawn(found, SyntheticMarket(SEED, calendar))
    sys.stdout.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
