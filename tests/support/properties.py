# SPDX-License-Identifier: Apache-2.0
"""How properties are tried: the same examples on every machine and every run."""

from hypothesis import HealthCheck, settings

#: For cheap properties, such as parsers.
QUICK = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow],
)
#: For properties that encrypt, sign or store something.
COSTLY = settings(QUICK, max_examples=40)
