# SPDX-License-Identifier: Apache-2.0
"""`Saving`: the part of `Client` that saves checkpoints behind a training's back."""

from typing import TYPE_CHECKING, cast

from strongroom._channel.caller import Caller
from strongroom.client.catalog import parse_artifact
from strongroom.client.runs import Runs

if TYPE_CHECKING:
    from strongroom.client.checkpoint_loading import Reading
    from strongroom.client.checkpoints import Checkpoints
    from strongroom.client.saves import WhenBusy


class Saving(Runs):
    """The part of `Client` that saves checkpoints."""

    _caller: Caller

    def checkpoints(
        self,
        artifact: str,
        *,
        when_busy: "WhenBusy" = "wait",
        wait_s: float = 600.0,
        retry_s: float = 600.0,
    ) -> "Checkpoints":
        """Return what saves and loads the checkpoints of an artifact; sends nothing.

        ```
        with client.checkpoints("demo/run") as checkpoints:
            checkpoints.prepare(model.state_dict())
            ...
            checkpoints.save(model.state_dict(), step=step, state=sampler.state_dict())
        ```

        Args:
            artifact: `project/artifact`; made by the first save if it is missing.
            when_busy: What a save does while two others are on their way: it waits
                (`wait`), or is refused (`refuse`).
            wait_s: How long it waits at most.
            retry_s: How long from `save` on it is tried again while the server is not
                there; once in any case.

        Raises:
            InvalidArgumentError: A name or a setting is malformed.
        """
        # For those who save.
        from strongroom.client.checkpoints import Checkpoints  # noqa: PLC0415
        from strongroom.client.saves import SaveSettings  # noqa: PLC0415

        settings = SaveSettings(when_busy, wait_s, retry_s)
        # The whole client, of which this is a part, reads.
        reading = cast("Reading", self)
        name = parse_artifact(artifact)
        return Checkpoints(reading, self._caller, name, settings)
