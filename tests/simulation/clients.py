# SPDX-License-Identifier: Apache-2.0
"""Clients: each makes some calls, one after the other, and repeats what failed.

A client is another process than the server: when the server is gone, it goes on
with the same request id on whatever server answers next.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, TypeVar

from strongroom.errors import Reason, StrongroomError
from strongroom.format.names import ArtifactName
from strongroom_server.core.records import Caller
from tests.simulation.machine import Engine, Machines
from tests.simulation.model import Model, check_error
from tests.simulation.schedule import Call, CrashError, Task

Result = TypeVar("Result")

CALLER: Final = Caller("spiffe://test/ns/a/sa/b/job/c", "0" * 32, "log-1")
ARTIFACTS: Final = (ArtifactName("demo", "one"), ArtifactName("demo", "two"))
REFS: Final = ("prod", "next")
HOUR_S: Final = 3600.0
_ATTEMPTS: Final = 4

#: Reasons that anybody may meet who names what nobody has made yet.
ABSENT: Final = (
    Reason.PROJECT_NOT_FOUND,
    Reason.ARTIFACT_NOT_FOUND,
    Reason.VERSION_NOT_FOUND,
    Reason.REF_NOT_FOUND,
)


class ClientGoneError(BaseException):
    """The client has hung up; its call ends in the middle."""


@dataclass
class Lost:
    """A call that came to nothing, as far as the client can tell."""

    error: StrongroomError | None


@dataclass
class Client:
    """One client.

    Attributes:
        name: In the trace.
        machines: The servers that it may ask.
        model: What it tells of what it did.
        is_slow: Days may pass while it does something.
    """

    name: str
    machines: Machines
    model: Model
    is_slow: bool = False

    @property
    def random(self) -> Random:
        """The seed's randomness."""
        return self.machines.random

    @property
    def now(self) -> int:
        """The step by which calls are ordered."""
        return self.machines.scheduler.steps

    def chance(self, probability: float) -> bool:
        """Tell whether something happens that has this probability."""
        return self.random.random() < probability

    def artifact(self) -> ArtifactName:
        """Return any artifact, mostly the same one."""
        return ARTIFACTS[0 if self.chance(0.7) else 1]

    def linger(self, probability: float) -> None:
        """Let hours or days pass, if this client is slow."""
        if self.is_slow and self.chance(probability):
            self.machines.scheduler.sleep(60 * HOUR_S * self.random.random())

    def ask(
        self,
        send: Callable[[Engine], Result],
        allowed: tuple[Reason, ...] = (),
        repeated: tuple[Reason, ...] = (),
    ) -> Result | Lost:
        """Make a call until it succeeds, or is refused, or the client gives up.

        Args:
            send: Makes the call.
            allowed: Refusals that end it.
            repeated: Refusals after which it is to be made again.

        Returns:
            What the call returned, or `Lost`: with an error, one that was allowed;
            without one, nobody knows what the call did.
        """
        scheduler = self.machines.scheduler
        task = scheduler.running()
        for _ in range(_ATTEMPTS):
            server = self.machines.pick()
            if server.engine is None:
                scheduler.sleep(1.0)
                continue
            call = Call(scheduler.now_s)
            task.process, task.call = server, call
            try:
                return send(server.engine)
            except CrashError:
                pass  # the connection broke
            except ClientGoneError:
                return Lost(None)
            except StrongroomError as error:
                if error.reason in allowed:
                    return Lost(error)
                self._look_at(error, call, repeated)
            finally:
                _hang_up(task)
            scheduler.sleep(self.random.random())
        return Lost(None)

    def _look_at(
        self, error: StrongroomError, call: Call, repeated: tuple[Reason, ...]
    ) -> None:
        if error.reason in repeated:
            self.machines.calls[f"refused: {error.reason}"] += 1
        else:
            check_error(error, call, self.machines.scheduler.now_s)


def _hang_up(task: Task) -> None:
    task.process = task.call = None
