# SPDX-License-Identifier: Apache-2.0
"""XML as S3 answers it: parsed in C, without entities, of one namespace."""

from collections.abc import Iterator
from http.client import HTTPException

# The parser is expat; what makes XML dangerous is refused before it begins.
from xml.etree import ElementTree as ET


class NoDocumentError(HTTPException):
    """What came is not the document that was asked for: it may be half of it."""


class Document:
    """An element of an answer. Its parts are named without their namespace."""

    def __init__(self, element: ET.Element) -> None:
        self._element = element
        #: Where names begin, behind the namespace's.
        self._start = element.tag.find("}") + 1

    @property
    def name(self) -> str:
        """What it is."""
        return self._element.tag[self._start :]

    def rows(self, name: str) -> Iterator[dict[str, str]]:
        """Yield the texts of each part of that name, by their names."""
        start = self._start
        for element in self._element.iterfind(self._named(name)):
            yield {part.tag[start:]: part.text or "" for part in element}

    def text(self, name: str) -> str:
        """Return the text of a part, or ""."""
        return self._element.findtext(self._named(name)) or ""

    def _named(self, name: str) -> str:
        return self._element.tag[: self._start] + name


def parse_document(data: bytes, name: str) -> Document:
    """Return the document of this name that an answer is.

    Raises:
        NoDocumentError: It is another one, or none.
    """
    try:
        text = data.decode()
        # No answer has declarations of a document type, comments or CDATA, and it is
        # by the first of them that entities expand. The text's own encoding is not
        # asked, so nothing hides behind it.
        if "<!" in text:
            message = "it has declarations"
            raise NoDocumentError(message)
        document = Document(ET.fromstring(text))  # noqa: S314 - see above
    except (UnicodeDecodeError, ET.ParseError) as error:
        message = "it is no XML"
        raise NoDocumentError(message) from error
    if document.name != name:
        message = f"it is no {name}"
        raise NoDocumentError(message)
    return document
