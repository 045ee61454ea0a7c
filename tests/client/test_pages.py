# SPDX-License-Identifier: Apache-2.0
"""Listings of a server that never ends them: they end all the same."""

from collections.abc import Callable

import pytest

from strongroom.client import catalog
from strongroom.errors import InternalError
from strongroom.v1 import artifact_service_pb2 as pb

Answer = Callable[[str], pb.ListProjectsResponse]


def listed(answer: Answer) -> list[str]:
    found = catalog._pages(answer, lambda page: iter(page.projects))
    return [project.name for project in found]


def page(*names: str, token: str = "") -> pb.ListProjectsResponse:
    projects = [pb.Project(name=name) for name in names]
    return pb.ListProjectsResponse(projects=projects, next_page_token=token)


def test_pages_are_joined_up_to_the_one_without_a_token() -> None:
    pages = {"": page("a", token="1"), "1": page("b", token="2"), "2": page()}

    assert listed(lambda token: pages[token]) == ["a", "b"]


@pytest.mark.parametrize(
    "answer",
    [
        lambda token: page("a", token="same"),
        lambda token: page(token=f"{token}x"),
    ],
    ids=["the same token again", "empty pages with new tokens"],
)
def test_pages_that_lead_nowhere_are_an_error(answer: Answer) -> None:
    with pytest.raises(InternalError):
        listed(answer)


def test_no_list_has_more_pages_than_any_list_can_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalog, "MAX_PAGES", 50)

    with pytest.raises(InternalError):
        listed(lambda token: page("a", token=f"{token}x"))
