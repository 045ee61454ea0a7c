# SPDX-License-Identifier: Apache-2.0
"""What others wrote cannot look like the screen that it stands on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.cli.quoting import BAR, COLUMNS, barred, columns_of, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", '""'),
        ("it is bad", '"it is bad"'),
        ("naïve 模型", '"naïve 模型"'),
        ('say "yes"', r'"say \"yes\""'),
        ("a\\b", r'"a\\b"'),
        (r"\u{20}", r'"\\u{20}"'),
        ("a  b", r'"a \u{20}b"'),
        ("a\nb\t", r'"a\u{a}b\u{9}"'),
        ("\x1b[2J", r'"\u{1b}[2J"'),
        ("a\u3164\u2800\u115fb", r'"a\u{3164}\u{2800}\u{115f}b"'),
        ("a\u200b\u202e\u00a0", r'"a\u{200b}\u{202e}\u{a0}"'),
        ("a\u2003\ufe0f", r'"a\u{2003}\u{fe0f}"'),
    ],
)  # fmt: skip
def test_a_text_is_quoted(text: str, shown: str) -> None:
    assert quoted(text) == shown


@given(st.text(), st.text())
def test_no_two_texts_look_the_same(one: str, other: str) -> None:
    assert (quoted(one) == quoted(other)) == (one == other)


@given(st.text(max_size=400))
def test_every_line_is_short_and_behind_a_bar(text: str) -> None:
    lines = list(barred(text))

    assert all(line.startswith(BAR) for line in lines)
    assert all(columns_of(line) <= len(BAR) + COLUMNS for line in lines)
    assert "".join(line.removeprefix(BAR) for line in lines) == quoted(text)
    assert all(line.isprintable() and "  " not in line for line in lines)
