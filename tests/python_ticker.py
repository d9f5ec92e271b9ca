"""The broker's own Python ticker, unmodified, in a process of its own: its reactor runs once and for all.

Run by tests/test_exchange_sessions.py with the ready line and a token; prints what it heard as JSON.
"""

import json
import sys

from kiteconnect import KiteTicker

INFY = 408065


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    ready, token = json.loads(sys.argv[1]), sys.argv[2]
    ticker = KiteTicker(ready["api_key"], token, root=ready["kite_ws_url"], reconnect=False)
    told: dict[str, object] = {}

    def on_connect(ws: KiteTicker, _: object) -> None:
        ws.subscribe([INFY])
        ws.set_mode(ws.MODE_FULL, [INFY])
        say("subscribed")

    def on_ticks(_: KiteTicker, ticks: list[dict[str, object]]) -> None:
        for tick in ticks:
            if tick["mode"] == "full":
                told["tick"] = tick
        finish()

    def on_order_update(_: KiteTicker, order: dict[str, object]) -> None:
        told["order"] = order
        finish()

    def finish() -> None:
        if len(told) == 2:
            say(json.dumps(told, default=str))
            ticker.close()
            ticker.stop()

    ticker.on_connect, ticker.on_ticks, ticker.on_order_update = on_connect, on_ticks, on_order_update
    ticker.connect()


if __name__ == "__main__":
    main()
