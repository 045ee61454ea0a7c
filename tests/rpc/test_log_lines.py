# SPDX-License-Identifier: Apache-2.0
"""Log lines: in order, whole, at once where they alarm, and none lost at the end."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from strongroom_server import telemetry
from strongroom_server.telemetry import LineHandler

PATIENCE_S = 10.0


class Written(io.StringIO):
    """A stream that says when something was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.was_written = threading.Event()

    def flush(self) -> None:
        self.was_written.set()


@contextmanager
def logging_to(handler: LineHandler) -> Iterator[logging.Logger]:
    logger = logging.Logger("strongroom_server.test")  # noqa: LOG001 (known to nobody)
    logger.addHandler(handler)
    try:
        yield logger
    finally:
        handler.close()


def test_lines_that_alarm_nobody_are_written_soon() -> None:
    stream = Written()
    with logging_to(LineHandler(stream)) as logger:
        logger.info("one")
        logger.info("two")
        assert stream.was_written.wait(PATIENCE_S)
        stream.was_written.clear()
        logger.info("three")
        assert stream.was_written.wait(PATIENCE_S)

    assert stream.getvalue().split() == ["one", "two", "three"]


def test_a_warning_is_written_at_once_behind_what_came_before() -> None:
    stream = Written()
    with logging_to(LineHandler(stream, linger_s=3600)) as logger:
        logger.info("one")
        logger.warning("two")

        assert stream.getvalue() == "one\ntwo\n"


def test_a_line_that_cannot_be_made_fails_nobody_and_is_told_of() -> None:
    stream = Written()
    with logging_to(LineHandler(stream, linger_s=3600)) as logger:
        logger.warning("%d", "secret")

    [line] = map(json.loads, stream.getvalue().splitlines())
    assert (line["event"], line["logger"]) == ("log", logger.name)
    assert line["message"].startswith("the line of test_log_lines:")
    assert line["message"].endswith("cannot be made: TypeError")
    assert "secret" not in stream.getvalue()


def test_so_many_lines_wait_and_no_more() -> None:
    stream = Written()
    with logging_to(LineHandler(stream, linger_s=3600)) as logger:
        for number in range(telemetry.MAX_LINES):
            logger.info("%d", number)

        assert len(stream.getvalue().split()) == telemetry.MAX_LINES


def test_what_waits_is_written_at_the_end() -> None:
    stream = Written()
    with logging_to(LineHandler(stream, linger_s=3600)) as logger:
        logger.info("last")
        # As `logging.shutdown` does.
        for handler in logger.handlers:
            handler.flush()

    assert stream.getvalue() == "last\n"


def test_lines_of_many_threads_are_all_there_and_whole() -> None:
    stream = Written()
    handler = LineHandler(stream)
    with logging_to(handler) as logger:

        def work(first: int) -> None:
            for number in range(first, first + 500):
                logger.log(
                    logging.INFO if number % 50 else logging.WARNING, "%d", number
                )

        threads = [threading.Thread(target=work, args=(n * 500,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        handler.flush()

    assert sorted(map(int, stream.getvalue().split())) == list(range(2000))


def test_a_stream_that_nobody_reads_fails_no_call() -> None:
    stream = Written()
    stream.close()
    with logging_to(LineHandler(stream)) as logger:
        logger.warning("unheard")


def test_lines_of_others_are_json_too() -> None:
    stream = Written()
    handler = LineHandler(stream)
    record = logging.LogRecord("grpc", logging.WARNING, "", 0, "odd %s", ("x",), None)
    handler.handle(record)

    line = json.loads(stream.getvalue())
    assert line["event"] == "log"
    assert (line["logger"], line["message"]) == ("grpc", "odd x")
