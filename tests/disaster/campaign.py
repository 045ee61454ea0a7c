# SPDX-License-Identifier: Apache-2.0
"""Lets disasters happen, one after another, and looks what is there afterwards."""

from collections.abc import Generator, Sequence

from tests.disaster.outcome import Outcome, Recovery, point_of
from tests.disaster.scenarios import SCENARIOS
from tests.disaster.site import CommandFailedError, Site, running_site


def strike(site: Site, name: str) -> Outcome:
    """Let one disaster happen, recover from it, and look what is there."""
    recovery, error = Recovery(), ""
    site.commands.clear()
    try:
        SCENARIOS[name](site, recovery)
    except CommandFailedError as failure:
        error = str(failure)
    contents = site.contents
    contents.forget(recovery.lost)
    return Outcome(
        name,
        recovery.seconds,
        point_of(contents.versions, recovery.lost),
        len(contents.versions),
        tuple(recovery.seen) if error else (*recovery.seen, *contents.lost()),
        tuple(recovery.notes),
        error,
    )


def disasters(
    names: Sequence[str], *, one_site: bool
) -> Generator[tuple[Outcome, Site], None, None]:
    """Yield how each scenario ended: on a site of its own, or on one for all."""
    if not one_site:
        for name in names:
            with running_site(thorough=True) as site:
                yield strike(site, name), site
        return
    with running_site() as site:
        for name in names:
            yield strike(site, name), site
