"""What can be learned from the candles, and is it good enough to trade? Replay, fit, judge, promote.

Promotes a winner only on evidence from days that training never saw. Knows no broker.
"""

import argparse

import cli


def main() -> None:
    cli.main(PROGRAM)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--steps", type=cli.whole(1, 100_000_000), metavar="N", help="gradient steps, at most"
    )
    parser.add_argument(
        "--batch-size",
        type=cli.whole(1, 65_536),
        default=512,
        metavar="N",
        help="transitions a step (default: 512)",
    )
    parser.add_argument(
        "--lr",
        type=cli.between(0, 1),
        default=3e-4,
        metavar="F",
        help="learning rate of AdamW (default: 3e-4)",
    )
    parser.add_argument(
        "--gamma",
        type=cli.between(0, 1),
        default=0.99,
        metavar="F",
        help="discount where there is a bootstrap (default: 0.99)",
    )
    parser.add_argument("--checkpoint-path", metavar="PATH", help="go on from this file, and write it")
    parser.add_argument("--strategy", metavar="NAME", help="for backtest: a file of strategies/, or model")


LEARNER, SIMULATION = "the learner", "the simulation"

PROGRAM = cli.Program(
    name="train",
    what="Teach a Dueling Double DQN on downloaded history and promote a winner only on evidence.",
    tasks=(
        cli.Task("build_model", "print the layer table, parameters, multiply-adds", cli.later(LEARNER)),
        cli.Task("load_ckpt", "load --checkpoint-path into the model", cli.later(LEARNER)),
        cli.Task("make_features", "compute what the model sees", cli.later(LEARNER), stage="features"),
        cli.Task(
            "make_train_replay",
            "transitions of the training days",
            cli.later(LEARNER),
            stage="populate-train",
        ),
        cli.Task(
            "backtrace_train",
            "trace rewards back over each closed trade",
            cli.later(LEARNER),
            stage="backtrace-train",
        ),
        cli.Task("fit", "train", cli.later(LEARNER), stage="train", exclusive=True),
        cli.Task(
            "make_holdout_replay", "transitions of the holdout", cli.later(LEARNER), stage="populate-holdout"
        ),
        cli.Task(
            "backtrace_holdout",
            "trace rewards back, on the holdout",
            cli.later(LEARNER),
            stage="backtrace-holdout",
        ),
        cli.Task("eval", "score the greedy policy on the holdout", cli.later(LEARNER), stage="evaluate"),
        cli.Task(
            "promote",
            "make it the winner if the evidence says so",
            cli.later(LEARNER),
            stage="promote",
            exclusive=True,
        ),
        cli.Task(
            "backtest", "any strategy or the winner over the holdout, with real costs", cli.later(SIMULATION)
        ),
        cli.Task(
            "lookahead_check",
            "recompute on cut and altered futures, compare bit for bit",
            cli.later(SIMULATION),
        ),
        cli.Task("certify", "score the learner on markets with a known edge", cli.later(LEARNER)),
        cli.Task("roll_holdout", "freeze a rolling holdout to dates", cli.later(LEARNER), exclusive=True),
        cli.Task("walk_forward", "folds and seeds, here or on a cluster", cli.later(LEARNER)),
        cli.Task("tune", "search hyper-parameters", cli.later(LEARNER)),
        cli.Task("rollback", "put the previous winner back", cli.later(LEARNER), exclusive=True),
    ),
    everything=(
        "make_features",
        "make_train_replay",
        "backtrace_train",
        "fit",
        "make_holdout_replay",
        "backtrace_holdout",
        "eval",
        "promote",
    ),
    add_flags=_add_flags,
    examples=("", "--steps 2000 --fn fit", "--fn backtest --strategy sma_cross"),
)

if __name__ == "__main__":
    main()
