# SPDX-License-Identifier: Apache-2.0
"""Requests to S3 are signed as botocore signs them. No store is asked."""

from dataclasses import replace
from datetime import timedelta

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.s3 import S3Settings
from strongroom_server.adapters.s3.connections import S3Request
from strongroom_server.adapters.s3.signing import S3Signer, parse_endpoint, query_of
from tests.support.clock import ManualClock

SETTINGS = S3Settings(
    endpoint="https://s3.test.strongroom.internal:443",
    region="eu-west-1",
    bucket="models",
    access_key="AKIA",
    secret_key="secret",
)


def as_botocore(
    monkeypatch: pytest.MonkeyPatch,
    clock: ManualClock,
    settings: S3Settings,
    request: AWSRequest,
) -> dict[str, str]:
    """Return the headers of a request that botocore signed, names in lower case."""
    monkeypatch.setattr(
        "botocore.auth.get_current_datetime", lambda: clock.now().replace(tzinfo=None)
    )
    credentials = Credentials(
        settings.access_key, settings.secret_key, settings.session_token or None
    )
    S3SigV4Auth(credentials, "s3", settings.region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@pytest.mark.parametrize("token", ["", "a+/= token"])
@pytest.mark.parametrize(
    "asked",
    [
        S3Request("GET", "", {"versions": "", "prefix": "a b/ü+&=", "key-marker": "~"}),
        S3Request("GET", "a b/ü+~", {"versionId": "3/L4k+cp~_-.=="}, {"range": "x"}),
        S3Request("PUT", "k", headers={"if-none-match": "*", "x-amz-acl": "AA="}),
        S3Request("PUT", "k", {"retention": "", "versionId": "1"}),
        S3Request("HEAD", "k", {"versionId": "null"}),
    ],
    ids=lambda asked: f"{asked.method} {asked.key}",
)
def test_a_request_is_signed_as_botocore_signs_it(
    monkeypatch: pytest.MonkeyPatch, token: str, asked: S3Request
) -> None:
    clock = ManualClock()
    settings = replace(SETTINGS, session_token=token)
    signer = S3Signer(settings, clock)

    path = signer.path(asked.key)
    found = signer.signed(asked.method, path, query_of(asked.query), asked.headers)

    request = AWSRequest(
        asked.method,
        "https://s3.test.strongroom.internal" + path,
        params=dict(asked.query),
        headers={**asked.headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"},
    )
    monkeypatch.setattr(S3SigV4Auth, "_should_sha256_sign_payload", lambda *_: False)
    expected = as_botocore(monkeypatch, clock, settings, request)
    assert found.pop("host") == "s3.test.strongroom.internal"
    assert found == expected


def test_a_key_of_yesterday_is_not_used_today() -> None:
    clock = ManualClock()
    kept, fresh = S3Signer(SETTINGS, clock), S3Signer(SETTINGS, clock)
    kept.signed("GET", "/", "", {})
    clock.advance(timedelta(days=1).total_seconds())

    assert kept.signed("GET", "/", "", {}) == fresh.signed("GET", "/", "", {})


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("http://127.0.0.1:8333", "127.0.0.1:8333", ""),
        ("http://[::1]:80/", "[::1]", ""),
        ("https://s3.test:443/behind/this/", "s3.test", "/behind/this"),
        ("https://s3.test:80", "s3.test:80", ""),
    ],
)
def test_an_endpoint_may_have_a_port_and_a_path(url: str, host: str, path: str) -> None:
    endpoint = parse_endpoint(url)

    assert (endpoint.host, endpoint.path) == (host, path)
    signer = S3Signer(replace(SETTINGS, endpoint=url), ManualClock())
    assert signer.path("a/b") == f"{path}/models/a/b"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "not a url",
        "http://",
        "ftp://127.0.0.1/",
        "http://127.0.0.1:99999",
        "http://[::1",
        "http://user:password@127.0.0.1",
        "http://127.0.0.1/?x=1",
        "http://127.0.0.1/#x",
        "http://bücher.test",
    ],
)
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(PreconditionError) as caught:
        S3Signer(replace(SETTINGS, endpoint=url), ManualClock())

    assert caught.value.reason is Reason.STORE_UNSUITABLE
    assert "password" not in caught.value.message
