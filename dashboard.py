"""What happens, and why? Shows the journal and the files, changes nothing.

Holds no broker credentials and imports neither the broker nor torch.
"""

import argparse

import cli
import flags


def main() -> None:
    cli.main(PROGRAM)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="TEXT",
        help="address to bind; anything but loopback warns (default: 127.0.0.1)",
    )
    parser.add_argument(
        "--port",
        type=flags.whole(1, 65_535),
        default=8000,
        metavar="INT",
        help="port to bind (default: 8000)",
    )


PAGES = "the dashboard"

PROGRAM = cli.Program(
    name="dashboard",
    what="Show what the trader does and why, on a local web page.",
    tasks=(
        cli.Task("serve", "serve the pages until interrupted", cli.later(PAGES), stage="serve"),
        cli.Task("dump_metrics", "print the metrics and leave", cli.later(PAGES), stage="dump-metrics"),
    ),
    everything=("serve",),
    add_flags=_add_flags,
    examples=("", "--port 8080", "--fn dump_metrics --json"),
)

if __name__ == "__main__":
    main()
