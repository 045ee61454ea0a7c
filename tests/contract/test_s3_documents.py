# SPDX-License-Identifier: Apache-2.0
"""XML of S3: what it says, and what is refused before it is parsed."""

import pytest

from strongroom_server.adapters.s3.documents import NoDocumentError, parse_document

NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
BOMB = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<Error><Code>&b;</Code></Error>"""


@pytest.mark.parametrize("namespace", ["", NAMESPACE])
@pytest.mark.parametrize("head", ["", '<?xml version="1.0" encoding="UTF-8"?>\n'])
def test_parts_are_named_without_their_namespace(namespace: str, head: str) -> None:
    data = (
        f"{head}<List{namespace}><Is>true</Is><Row><Key>a&lt;!ü</Key><Size/></Row>"
        "<Other><Key>x</Key></Other><Row><Key>b</Key></Row></List>"
    )

    document = parse_document(data.encode(), "List")

    assert document.text("Is") == "true"
    assert document.text("Not") == ""
    assert list(document.rows("Row")) == [{"Key": "a<!ü", "Size": ""}, {"Key": "b"}]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<Error>",
        b"<Error/><Error/>",
        b"<html><body>Bad gateway</body></html>",
        b"<Error>\xff</Error>",
        b"<Error>&unknown;</Error>",
        b"<Error><![CDATA[x]]></Error>",
        BOMB.encode(),
        BOMB.encode("utf-16"),
        BOMB.encode("utf-7"),
        BOMB.replace('"1.0"', '"1.0" encoding="utf-7"').encode("utf-7"),
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><Error/>',
        f"<Error>{'<a>' * 100}</Error>".encode(),
    ],
)
def test_what_is_no_such_document_is_refused(data: bytes) -> None:
    with pytest.raises(NoDocumentError):
        parse_document(data, "Error")
