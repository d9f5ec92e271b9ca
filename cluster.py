"""How are cells worked off where one machine is outgrown? As tasks of Ray, here or on a cluster.

Every machine of the cluster has this suite, the same configuration and the same candles at the same place
(a shared folder, say); a cell refuses to work on others. Results come back over Ray and are written by the
one that asked, so the files are those that Local makes.
"""

import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from cells import Result, Work
from outcome import DataError, NetworkError

STORE_BYTES = 128 * 1024 * 1024  # results are small; Ray's own choice is a third of the memory
KNOCK_S = 5.0
TRIES = 2  # of a cell whose machine went away


class Cluster:
    """A Ray cluster at an address, or one that lives on this machine as long as the work."""

    def __init__(self, address: str | None, jobs: int) -> None:
        self._address, self._jobs = address, jobs

    def results(self, work: Work, cells: Sequence[Any]) -> Iterator[tuple[int, Result]]:
        """As they are done, with the cell's number."""
        if not cells:
            return
        ray = self._begun()
        try:
            task = ray.remote(num_cpus=1, max_retries=TRIES)(_carried_out)
            waiting = {task.remote(work, cell): number for number, cell in enumerate(cells)}
            while waiting:
                ready, _ = ray.wait(list(waiting), num_returns=1)
                for each in ready:
                    yield waiting.pop(each), _answered(ray, each)
        finally:
            ray.shutdown()

    def _begun(self) -> Any:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if not self._address:
            # Otherwise a cluster of one listens on the machine's outer address, even if told 127.0.0.1.
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        try:
            import ray
        except ModuleNotFoundError:
            raise DataError("--backend ray needs Ray; install it with: make extra-tune") from None
        if self._address:
            _knock(self._address)
            ray.init(address=self._address, log_to_driver=False)
        else:
            ray.init(
                num_cpus=self._jobs, object_store_memory=STORE_BYTES, include_dashboard=False,
                log_to_driver=False,
            )  # fmt: skip
        return ray


def _knock(address: str) -> None:
    """Ray itself asks a dead address for more than eight minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), KNOCK_S).close()
    except (OSError, ValueError) as error:
        text = f"no Ray cluster answers at {address} ({error}); HOST:PORT is what ray start --head says"
        raise NetworkError(text) from error


def _carried_out(work: Work, cell: Any) -> Result:
    return work(cell)


def _answered(ray: Any, task: Any) -> Result:
    """Its result, or what it failed with, as if it had happened here."""
    try:
        found: Result = ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:  # not ours: a machine went away, and again
        text = f"the cluster lost a cell ({error}); run it again, what is done stays done"
        raise NetworkError(text) from error
    return found
