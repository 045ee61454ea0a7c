# SPDX-License-Identifier: Apache-2.0
"""What is done to the cluster: kills at odd moments, bad weather, deleted indexes."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from strongroom.errors import StrongroomError
from tests.chaos.cluster import Cluster
from tests.chaos.model import Model
from tests.chaos.proxy import CALM, Odds

#: The weather changes: some of the time all is calm, so that work gets done.
S3_ODDS: Final = (
    CALM,
    Odds(error=0.02, delay=0.01, reset=0.002, cut=0.002),
    Odds(error=0.08, delay=0.05, reset=0.01, cut=0.01, stall=0.0005),
)
VAULT_ODDS: Final = (CALM, Odds(delay=0.05, reset=0.02), Odds(reset=0.05, stall=0.002))
#: How often the store and Vault are hit; of the rest, each server as often.
STORE_SHARE: Final = 0.15
VAULT_SHARE: Final = 0.2
#: How often a server that is killed, or another one that runs, loses its index.
DEAD_INDEX_CHANCE: Final = 0.4
LIVE_INDEX_CHANCE: Final = 0.1
#: How long a part that is to be killed may take to be up.
PATIENCE_S: Final = 5.0
#: Kills that found nothing alive may come so much later than the run's end.
GRACE_S: Final = 120.0


class Harm:
    """Hurts a cluster on a schedule that follows from a seed."""

    def __init__(self, cluster: Cluster, model: Model, *, seed: int) -> None:
        self._cluster = cluster
        self._model = model
        self._dice = random.Random(f"{seed}/harm")
        self._menders = ThreadPoolExecutor(len(cluster.parts))
        self._ends = threading.Event()
        self.index_deletions = 0

    def do(self, *, seconds: float, kills: int) -> None:
        """Kill so many processes at random moments, and change the weather each time.

        Parts are mended beside; what is down cannot be killed, so another one is.
        """
        started = time.monotonic()
        moments = sorted(self._dice.uniform(0, seconds) for _ in range(kills))
        for count, moment in enumerate(moments):
            time.sleep(max(0.0, started + moment - time.monotonic()))
            self._cluster.set_odds(
                s3=self._dice.choice(S3_ODDS), vault=self._dice.choice(VAULT_ODDS)
            )
            while not self._kill_one():
                if time.monotonic() > started + seconds + GRACE_S:
                    self._model.problem(f"only {count} of {kills} kills hit anything")
                    return
            if self._dice.random() < LIVE_INDEX_CHANCE:
                self._drop_index(self._dice.randrange(self._cluster.count))
        time.sleep(max(0.0, started + seconds - time.monotonic()))

    def close(self) -> None:
        """Wait for what is being mended."""
        self._ends.set()
        self._menders.shutdown(wait=False, cancel_futures=True)

    def _kill_one(self) -> bool:
        """Kill a process of a random part, and have it mended beside.

        A part that is not up has some time: else what comes back sooner than others
        would be hit more often.
        """
        part = self._choose()
        which, drops = self._dice.randrange(4), self._dice.random() < DEAD_INDEX_CHANCE
        deadline = time.monotonic() + PATIENCE_S
        while not self._kill(part, which=which, drops_index=drops):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        self._menders.submit(self._mend, part)
        return True

    def _kill(self, part: str, *, which: int, drops_index: bool) -> bool:
        with self._cluster.alone_with(part) as is_alone:
            if not is_alone or not self._cluster.is_up(part):
                return False
            killed = self._cluster.kill(part, which=which)
            self._model.note("killed", process=killed, part=part)
            if drops_index and part.startswith("server-"):
                self._drop_index(int(part.removeprefix("server-")))
        return True

    def _choose(self) -> str:
        draw = self._dice.random()
        if draw < STORE_SHARE:
            return "store"
        if draw < STORE_SHARE + VAULT_SHARE:
            return "vault"
        return f"server-{self._dice.randrange(self._cluster.count)}"

    def _mend(self, part: str) -> None:
        """Bring a part back; what does not come in time is tried again."""
        while not self._ends.is_set():
            try:
                with self._cluster.alone_with(part) as is_alone:
                    if is_alone:
                        self._cluster.mend(part)
                        self._model.note("mended", part=part)
                        return
            except StrongroomError as error:
                self._model.note("not mended", part=part, error=str(error))
            self._ends.wait(0.2)

    def _drop_index(self, number: int) -> None:
        if self._cluster.drop_index(number):
            self.index_deletions += 1
            self._model.note("index deleted", server=number)
