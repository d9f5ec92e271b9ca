"""How is a frame of nothing but full packets of shares read without a loop? Turned once, by column.

For whoever reads every tick of fifty shares: decode_frame of wire.py makes records and looks at each price,
this copies the frame once with its bytes turned. Prices are looked at by `sound` alone, which keeps to the
same rules; whoever trades on a column asks it. Any other frame is decode_frame's.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from kite.units import MOST_PRICE_PAISE
from kite.wire import FULL, FULL_HEAD, LEVEL, LEVELS, PRICED, SEGMENT_NSE, UINT16, DepthRow, FullPacket

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_STRIDE = UINT16.size + FULL.size
_WORD = 4
_ASKS = FULL_HEAD + LEVELS * LEVEL
_ROWS: Mapping[str, int | slice] = {
    **{name: at for at, name in enumerate(FullPacket._fields[:FULL_HEAD])},
    **{f"bid_{name}": slice(FULL_HEAD + at, _ASKS, LEVEL) for at, name in enumerate(DepthRow._fields)},
    **{f"ask_{name}": slice(_ASKS + at, None, LEVEL) for at, name in enumerate(DepthRow._fields)},
}
_DEPTH_QTY, _DEPTH_PRICE = slice(FULL_HEAD, None, LEVEL), slice(FULL_HEAD + 1, None, LEVEL)
# Of a whole day each of the first stands at or below its neighbour of the second.
_LOWS, _HIGHS = (
    [FullPacket._fields.index(name) for name in names]
    for names in (("low", "low", "open", "last"), ("open", "last", "high", "high"))
)
_PRICES = sorted(PRICED[FullPacket])
_LENGTH, _SEGMENT = UINT16.pack(FULL.size), bytes((SEGMENT_NSE,))


class Columns:
    """Each field an array of uint32 with a place for each packet: `["last"]`; of the depth `["bid_price"]`
    with five rows, best first. A level without price or quantity is none. Cast before you subtract."""

    __slots__ = ("_words",)

    def __init__(self, words: "NDArray[np.uint32]") -> None:
        self._words = words

    def __getitem__(self, field: str) -> "NDArray[np.uint32]":
        found: NDArray[np.uint32] = self._words[_ROWS[field]]
        if field.endswith("_orders"):
            found = found // 2**16  # 16 bits, with their padding a word
        return found

    def __len__(self) -> int:
        return int(self._words.shape[1])

    def sound(self) -> "NDArray[np.bool_]":
        """Which packets decode_packet lets through."""
        import numpy as np

        words, untraded = self._words, (self["open"] | self["high"] | self["low"]) == 0
        is_whole = np.logical_and.reduce(words.take(_LOWS, 0) <= words.take(_HIGHS, 0)) & (self["low"] > 0)
        is_small = np.maximum.reduce(words.take(_PRICES, 0)) <= MOST_PRICE_PAISE
        is_absurd_deep = (words[_DEPTH_PRICE] > MOST_PRICE_PAISE) & (words[_DEPTH_QTY] > 0)
        is_priced = (self["last"] > 0) & is_small & ~np.logical_or.reduce(is_absurd_deep)
        sound: NDArray[np.bool_] = is_priced & (is_whole | untraded)
        return sound


def columns(message: bytes) -> Columns | None:
    """None where anything else than full packets of NSE's shares is in it, unsound frames included."""
    count, rest = divmod(len(message) - UINT16.size, _STRIDE)
    if rest or count <= 0 or UINT16.unpack_from(message)[0] != count:
        return None
    # Every packet's length and segment at once: bytes that lie one stride apart.
    is_full = message[2::_STRIDE] == _LENGTH[:1] * count and message[3::_STRIDE] == _LENGTH[1:] * count
    if not is_full or message[7::_STRIDE] != _SEGMENT * count:
        return None
    array, big_endian, native = _numpy()
    words = array((FULL.size // _WORD, count), big_endian, message, 2 * UINT16.size, (_WORD, _STRIDE))
    return Columns(words.astype(native, order="C"))


@cache
def _numpy() -> tuple[Any, Any, Any]:
    import numpy as np  # here: whoever only speaks to the broker never loads it

    return np.ndarray, np.dtype(">u4"), np.dtype(np.uint32)
