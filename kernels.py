"""What does the encoder compute many million times? Causal taps along time, and a norm, as plain loops.

Arrays are channel first, time and everything else behind it in one run of memory, so that each inner loop
adds long neighbouring runs: fast.py compiles it to code that works on eight or sixteen numbers at once. Of
64 windows of 256 bars and 76 channels the taps take a twentieth of the time of torch's grouped convolution,
backwards included (bench/learning.py). The numbers are 32 bits; sums may be added in any order.
"""

from typing import Any

import numpy as np

EPSILON = np.float32(1e-5)
AT_ONCE = 4  # taps for each visit of a result


def taps(x: Any, weight: Any, unit: int, ahead: bool, y: Any) -> None:
    """y[c, n, j] += weight[c, k] * x[c, n, j - s] of every tap k, where s is its distance in time: the last
    tap's is 0, each before it is `unit` places further back, or `ahead`. Outside of x there are zeros."""
    channels, count, length = x.shape
    last = weight.shape[1] - 1
    for c in range(channels):
        for n in range(count):
            k = 0
            while k <= last:
                top = min(min(k + AT_ONCE - 1, last) * unit, length)
                if k + AT_ONCE <= last + 1:
                    _four(x[c, n], weight[c], last - k, k * unit, unit, top, ahead, y[c, n])
                for each in range(k, min(k + AT_ONCE, last + 1)):
                    is_whole = k + AT_ONCE > last + 1
                    end = length if is_whole else top
                    _edge(x[c, n], weight[c, last - each], each * unit, end, ahead, is_whole, y[c, n])
                k += AT_ONCE


def _four(x: Any, weight: Any, k: int, first: int, unit: int, top: int, ahead: bool, y: Any) -> None:
    """Four neighbouring taps where all of them stay inside; `top` is the furthest one's distance."""
    length = len(x) - top
    if length <= 0:
        return
    a, b, c, d = weight[k], weight[k - 1], weight[k - 2], weight[k - 3]
    start = 0 if ahead else top
    step = unit if ahead else -unit
    place = start + (first if ahead else -first)
    found = y[start : start + length]
    xa, xb = x[place : place + length], x[place + step : place + step + length]
    xc, xd = x[place + 2 * step : place + 2 * step + length], x[place + 3 * step : place + 3 * step + length]
    for j in range(length):
        found[j] += a * xa[j] + b * xb[j] + c * xc[j] + d * xd[j]


def _edge(x: Any, weight: Any, distance: int, end: int, ahead: bool, is_whole: bool, y: Any) -> None:
    """One tap over what four together leave out, or over everything where there are no four."""
    length = end - distance
    if length <= 0:
        return
    if ahead:
        start = 0 if is_whole else len(x) - end
        found, read = y[start : start + length], x[start + distance : start + distance + length]
    else:
        found, read = y[distance:end], x[:length]
    for j in range(length):
        found[j] += weight * read[j]


def tap_slopes(x: Any, slope: Any, unit: int, weight: Any) -> None:
    """The loss's slope in each weight of `taps`, from its slope in each result."""
    channels, count, length = x.shape
    last = weight.shape[1] - 1
    for c in range(channels):
        for k in range(last + 1):
            distance = (last - k) * unit
            total = np.float32(0)
            for n in range(count):
                if distance < length:
                    total += _product(slope[c, n, distance:], x[c, n, : length - distance])
            weight[c, k] = total


def _product(a: Any, b: Any) -> Any:
    total = np.float32(0)
    for j in range(len(a)):
        total += a[j] * b[j]
    return total


def add_normed(x: Any, h: Any, gain: Any, shift: Any, mean: Any, inverse: Any, y: Any) -> None:
    """y = x + (h less its mean over the channels) over its deviation, times gain, plus shift."""
    channels, length = h.shape
    mean[:], inverse[:] = np.float32(0), np.float32(0)
    for c in range(channels):
        row = h[c]
        for j in range(length):
            mean[j] += row[j]
    part = np.float32(1) / np.float32(channels)
    for j in range(length):
        mean[j] *= part
    for c in range(channels):
        row = h[c]
        for j in range(length):
            apart = row[j] - mean[j]
            inverse[j] += apart * apart
    for j in range(length):
        inverse[j] = np.float32(1) / np.sqrt(inverse[j] * part + EPSILON)
    for c in range(channels):
        row, before, found, a, b = h[c], x[c], y[c], gain[c], shift[c]
        for j in range(length):
            found[j] = before[j] + (row[j] - mean[j]) * inverse[j] * a + b


def norm_slopes(
    h: Any, slope: Any, gain: Any, mean: Any, inverse: Any, sums: Any, of_h: Any, of_gain: Any, of_shift: Any
) -> None:
    """The loss's slopes in h, gain and shift of `add_normed`; `sums` is room for two rows."""
    channels, length = h.shape
    plain, along = sums[0], sums[1]
    plain[:], along[:] = np.float32(0), np.float32(0)
    for c in range(channels):
        row, given, a = h[c], slope[c], gain[c]
        by_gain, by_shift = np.float32(0), np.float32(0)
        for j in range(length):
            normed = (row[j] - mean[j]) * inverse[j]
            plain[j] += given[j] * a
            along[j] += given[j] * a * normed
            by_gain += given[j] * normed
            by_shift += given[j]
        of_gain[c] += by_gain
        of_shift[c] += by_shift
    part = np.float32(1) / np.float32(channels)
    for c in range(channels):
        row, given, found, a = h[c], slope[c], of_h[c], gain[c]
        for j in range(length):
            normed = (row[j] - mean[j]) * inverse[j]
            found[j] = inverse[j] * (given[j] * a - (plain[j] + normed * along[j]) * part)
