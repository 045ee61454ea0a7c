# SPDX-License-Identifier: Apache-2.0
"""The gateway's metrics are summed up over buckets, codes and kinds."""

from tests.bench.store_counts import StoreCounts, parse_store_counts

METRICS = """\
# HELP SeaweedFS_s3_request_total Counter of s3 requests.
SeaweedFS_s3_request_total{bucket="a",code="200",type="GET"} 2
SeaweedFS_s3_request_total{bucket="b",code="404",type="PUT"} 3
SeaweedFS_s3_request_seconds_count{bucket="a",type="GET"} 99
SeaweedFS_s3_bucket_traffic_received_bytes_total{bucket="a"} 1e+06
SeaweedFS_s3_bucket_traffic_sent_bytes_total{bucket="a"} 2.5e+06
SeaweedFS_s3_bucket_traffic_sent_bytes_total{bucket="b"} 7
SeaweedFS_s3_in_flight_upload_bytes 5
"""


def test_counts_are_sums() -> None:
    assert parse_store_counts(METRICS) == StoreCounts(5, 1_000_000, 2_500_007)


def test_nothing_asked_is_nothing_counted() -> None:
    assert parse_store_counts("") == StoreCounts(0, 0, 0)


def test_what_came_since_is_a_difference() -> None:
    after, before = StoreCounts(5, 7, 9), StoreCounts(1, 2, 3)

    assert after.since(before) == StoreCounts(4, 5, 6)
