"""How did a training go? Its looks as a picture: loss, and what validation earned, over the steps."""

from collections.abc import Sequence

from fitting import Look

WIDTH, HEIGHT, LEFT, TOP, GAP = 640, 130, 70, 26, 46
INK, GRID, LOSS, EARNED = "#333333", "#dddddd", "#1f6feb", "#1a7f37"


def drawn(looks: Sequence[Look]) -> str:
    """An SVG of two curves; the best look is marked."""
    steps = [float(look.step) for look in looks]
    earned = [look.r_a_day for look in looks]
    best = earned.index(max(earned))
    total = 2 * (HEIGHT + GAP) + TOP
    body = [
        *_panel(steps, [look.loss for look in looks], TOP, "loss while teaching", LOSS, None),
        *_panel(steps, earned, TOP + HEIGHT + GAP, "validation, net R a day", EARNED, best),
    ]
    size = f'width="{WIDTH + LEFT + 20}" height="{total}" viewBox="0 0 {WIDTH + LEFT + 20} {total}"'
    sheet = '<rect width="100%" height="100%" fill="white"/>'
    start = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    return "\n".join([start, sheet, *body, "</svg>\n"])


def _panel(
    x: Sequence[float], y: Sequence[float], top: int, title: str, colour: str, marked: int | None
) -> list[str]:
    low, high = min(*y, 0.0) if marked is not None else min(y), max(y)
    span, last = (high - low) or 1.0, max(x)

    def place(across: float, up: float) -> tuple[float, float]:
        return LEFT + WIDTH * across / last, top + HEIGHT * (1 - (up - low) / span)

    points = [place(a, b) for a, b in zip(x, y, strict=True)]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    found = [_said(LEFT, top - 8, "start", title)]
    for value in (low, high):
        height = place(0, value)[1]
        found.append(f'<path d="M{LEFT} {height:.1f}h{WIDTH}" stroke="{GRID}"/>')
        found.append(_said(LEFT - 6, height + 4, "end", f"{value:.3g}"))
    found.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
    found.append(_said(LEFT + WIDTH, top + HEIGHT + 16, "end", f"step {last:,.0f}"))
    if marked is not None:
        across, up = points[marked]
        found.append(f'<circle cx="{across:.1f}" cy="{up:.1f}" r="4" fill="{colour}"/>')
        found.append(_said(across, up - 8, "middle", f"{y[marked]:+.2f}"))
    return found


def _said(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}">{text}</text>'
