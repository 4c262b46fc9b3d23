"""Line charts as SVG text, for the pages in docs/ (no library: a few dozen lines of markup)."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 170, 40, 50
COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b83280", "#718096", "#975a16", "#2c7a7b")
Series = dict[str, list[tuple[float, float]]]


def _ticks(low: float, high: float, *, log: bool) -> list[float]:
    """Return round numbers along an axis."""
    if log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        return [10.0**n for n in range(first, last + 1) if low <= 10.0**n <= high * 1.001]
    step = 10 ** math.floor(math.log10((high - low) or 1))
    if (high - low) / step < 4:
        step /= 2
    first = math.ceil(low / step)
    return [n * step for n in range(first, int(high / step) + 1)]


class _Axis:
    """Maps values of one axis to places of the picture."""

    def __init__(self, values: list[float], start: float, end: float, *, log: bool) -> None:
        self.log = log
        self.low = min(values) if log else min(0.0, *values)
        self.high = max(values) * (1.0 if log else 1.05) or 1.0
        if self.high <= self.low:
            self.high = self.low + 1
        self._start, self._end = start, end

    def place(self, value: float) -> float:
        if self.log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self._start + part * (self._end - self._start)

    def ticks(self) -> list[float]:
        return _ticks(self.low, self.high, log=self.log)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:g}"


def line_chart(
    title: str, x_name: str, y_name: str, series: Series, *, log_x: bool = False,
    log_y: bool = False,
) -> str:
    """Draw one line per series; return the SVG."""
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x_axis = _Axis(xs, LEFT, WIDTH - RIGHT, log=log_x)
    y_axis = _Axis(ys, HEIGHT - BOTTOM, TOP, log=log_y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
    ]
    for tick in x_axis.ticks():
        x = x_axis.place(tick)
        parts.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_number(tick)}'
            "</text>"
        )
    for tick in y_axis.ticks():
        y = y_axis.place(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#eee"/>')
        parts.append(
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>'
        )
    parts += _legend(series, x_axis, y_axis)
    middle = (LEFT + WIDTH - RIGHT) / 2
    place = f'x="{middle}" y="{HEIGHT - 12}"'
    parts.append(f'<text {place} text-anchor="middle">{escape(x_name)}</text>')
    parts.append(
        f'<text transform="translate(16 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_name)}</text></svg>"
    )
    return "\n".join(parts) + "\n"


def _legend(series: Series, x_axis: _Axis, y_axis: _Axis) -> list[str]:
    """Draw the lines and their names."""
    parts = []
    for number, (name, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [(x_axis.place(x), y_axis.place(y)) for x, y in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        y = TOP + 14 + 18 * number
        start = WIDTH - RIGHT + 12
        parts.append(f'<path d="M{start} {y - 4}h18" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{start + 24}" y="{y}">{escape(name)}</text>')
    return parts


def write(path: Path, svg: str) -> None:
    """Save a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg, encoding="utf-8")
