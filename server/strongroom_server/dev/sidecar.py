# SPDX-License-Identifier: Apache-2.0
"""A sidecar beside a stack, as one would run beside a trainer: as `trainer`."""

import sys
from collections.abc import Callable

from strongroom.errors import Reason
from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.private_files import make_private_folder, write_if_changed
from strongroom_server.dev.probing import is_serving
from strongroom_server.dev.processes import ManagedProcess, ProcessSpec
from strongroom_server.dev.settings_files import sidecar_client, sidecar_settings

#: Its name in the stack, and that of its port.
SIDECAR = "sidecar"
_PORT = "sidecar-health"
_START_TIMEOUT_S = 60.0


class SidecarComponent:
    """The sidecar's process, and the settings of who calls through it."""

    name = SIDECAR

    def __init__(self, layout: StackLayout, addresses: AddressBook) -> None:
        self._layout = layout
        self._addresses = addresses

    @property
    def processes(self) -> tuple[ManagedProcess, ...]:
        """The sidecar's one process."""
        settings = str(self._layout.sidecar_settings)
        spec = ProcessSpec(
            name=SIDECAR,
            command=(
                *(sys.executable, "-I", "-m", "strongroom_server"),
                *("serve", "--role", "sidecar", "--config", settings),
            ),
            cwd=self._layout.sidecar,
            port=self._addresses.port(_PORT),
            stop_timeout_s=30.0,
        )
        return (ManagedProcess(spec, self._layout.root, Reason.TRANSPORT),)

    def up(self, report: Callable[[str], None]) -> None:
        """Write the settings, start the sidecar, and wait until it reaches central."""
        if self.processes[0].pid is None:
            self._addresses.choose((_PORT,))
        layout, addresses = self._layout, self._addresses
        make_private_folder(layout.sidecar)
        changed = write_if_changed(
            layout.sidecar_settings, sidecar_settings(layout, addresses)
        )
        write_if_changed(layout.sidecar_client, sidecar_client(layout))
        if changed and self.processes[0].stop():
            report("sidecar: settings changed, starting it anew")
        process = self.processes[0]
        process.start()
        process.wait_until(self._serves, _START_TIMEOUT_S, "did not serve")

    def health(self, process: ManagedProcess) -> str:  # noqa: ARG002
        """Say whether the sidecar's health service answers SERVING."""
        return "ok" if self._serves() else "not serving"

    def _serves(self) -> bool:
        return is_serving(self._addresses.port(_PORT))
