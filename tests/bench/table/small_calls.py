# SPDX-License-Identifier: Apache-2.0
"""What a call costs beside one to a server that does nothing: U1, L1 to L4, W3."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import boto3
import grpc
from botocore.config import Config

import strongroom
from strongroom.config import NO_FILE, ClientSettings, load_settings
from strongroom_server.dev.layout import StackLayout
from tests.bench.bench_calls import run_load, running_server
from tests.bench.measuring import MIB, BenchError, Watched, say
from tests.bench.stacks import PEER_BUCKET, BenchStack, plain_environment
from tests.bench.table.echo_server import FLOW, SAY
from tests.bench.table.profiles import Again, note_missed, profile_missed
from tests.bench.table.random_file import write_random
from tests.bench.table.rows import Aim, Row, at_most, compare
from tests.bench.table.settings import BenchSettings
from tests.rpc.authority import DEVELOPER, SERVER, Authority

ROOT: Final = Path(__file__).resolve().parents[3]
BARE: Final = "bare gRPC"
_CALL_S: Final = 30.0
#: How often something of microseconds is done, of which the median counts.
_TIMES: Final = 200
#: Projects that are opened for the first time in each round.
_COLD: Final = 8
_COLD_BYTES: Final = 50 * 1024
_STREAM_MIB: Final = 256
_ARTIFACT: Final = "bench/small-calls"

_IMPORT: Final = """
import time
began = time.perf_counter()
{code}
print(time.perf_counter() - began)
"""
_OURS: Final = "import strongroom; strongroom.connect()"
_BOTO3: Final = "import boto3; boto3.client('s3')"


@dataclass(frozen=True, slots=True)
class Echo:
    """A server that does nothing, and who may call it."""

    endpoint: str
    folder: Path

    @contextlib.contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        """Connect."""
        credentials = grpc.ssl_channel_credentials(
            *(
                (self.folder / name).read_bytes()
                for name in ("ca.crt", "tls.key", "tls.crt")
            )
        )
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.secure_channel(self.endpoint, credentials, options) as channel:
            yield channel


def measure(stack: BenchStack, work: Path, settings: BenchSettings) -> list[Row]:
    """Measure every pair, round by round."""
    ours = load_settings(config_file=StackLayout(stack.root).client_settings)
    _push(ours, work)
    rows: list[Row] = []
    with running_echo(work) as echo:
        for case in (_unary, _opening, _connecting, _streaming):
            rows += case(stack, ours, echo, settings)
            say(f"{case.__name__.removeprefix('_')}: done")
    rows = profile_missed(rows, settings, stack.watched, _again(stack, ours, settings))
    rows += _cold_opening(stack, ours, settings)
    rows += _importing(ours, settings)
    return rows


def _again(
    stack: BenchStack, ours: ClientSettings, settings: BenchSettings
) -> dict[str, Again]:
    def call(_before: tuple[str, ...]) -> None:
        folder = StackLayout(stack.root).client("developer")
        run_load(ours.endpoint, folder, "info", 16, settings.seconds)

    def open_files(_before: tuple[str, ...]) -> None:
        with strongroom.Client(ours) as client:
            _p50_ms(lambda: client.open(f"{_ARTIFACT}/data.bin").close())

    def connect(_before: tuple[str, ...]) -> None:
        for _ in range(_TIMES):
            with strongroom.Client(ours) as client:
                client.server_info()

    def stream(_before: tuple[str, ...]) -> None:
        buffer = memoryview(bytearray(_STREAM_MIB * MIB))
        with strongroom.Client(replace(ours, shared_socket=NO_FILE)) as client:
            client.read_into(f"{_ARTIFACT}/data.bin", buffer)

    return {
        "U1": Again(call),
        "L1": Again(open_files),
        "L3": Again(connect),
        "W3": Again(stream),
    }


def _push(settings: ClientSettings, work: Path) -> None:
    folder = work / "small-calls"
    folder.mkdir()
    write_random(folder / "data.bin", _STREAM_MIB * MIB)
    with strongroom.Client(settings) as client:
        client.push(folder, _ARTIFACT, kind="dataset")


def _unary(
    stack: BenchStack, ours: ClientSettings, echo: Echo, settings: BenchSettings
) -> list[Row]:
    folder = StackLayout(stack.root).client("developer")
    rows = []
    for clients in (1, 16):
        mine, bare = list[float](), list[float]()
        for _ in range(settings.round_count):
            for endpoint, certificates, call, rates in (
                (ours.endpoint, folder, "info", mine),
                (echo.endpoint, echo.folder, "echo", bare),
            ):
                taken = run_load(
                    endpoint, certificates, call, clients, settings.seconds
                )
                rates.append(len(taken["micros"]) / taken["seconds"])
        case = f"U1 unary calls of {clients} clients"
        rows.append(compare(case, "calls/s", mine, (BARE, bare), Aim(0.75, 0.9)))
    return rows


def _opening(
    _stack: BenchStack, ours: ClientSettings, echo: Echo, settings: BenchSettings
) -> list[Row]:
    mine, bare = list[float](), list[float]()
    with strongroom.Client(ours) as client, echo.channel() as channel:
        call: Any = channel.unary_unary(SAY)
        for _ in range(settings.round_count):
            mine.append(_p50_ms(lambda: client.open(f"{_ARTIFACT}/data.bin").close()))
            bare.append(_p50_ms(lambda: call(b"hello", timeout=_CALL_S)))
    case = "L1 open a file of a known version"
    return [compare(case, "ms", mine, (BARE, bare), at_most(2.5, 1.5))]


def _connecting(
    _stack: BenchStack, ours: ClientSettings, echo: Echo, settings: BenchSettings
) -> list[Row]:
    def mine() -> None:
        with strongroom.Client(ours) as client:
            client.server_info()

    def bare() -> None:
        with echo.channel() as channel:
            call: Any = channel.unary_unary(SAY)
            call(b"hello", timeout=_CALL_S)

    pairs = [
        (_p50_ms(mine, 20), _p50_ms(bare, 20)) for _ in range(settings.round_count)
    ]
    case = "L3 connect and call once"
    return [
        compare(case, "ms", [a for a, _ in pairs], (BARE, [b for _, b in pairs]),
                at_most(1.3, 1.1))
    ]  # fmt: skip


def _streaming(
    _stack: BenchStack, ours: ClientSettings, echo: Echo, settings: BenchSettings
) -> list[Row]:
    mine, bare = list[float](), list[float]()
    buffer = memoryview(bytearray(_STREAM_MIB * MIB))
    # No shared memory: this is the way of those who have none.
    remote = replace(ours, shared_socket=NO_FILE)
    with strongroom.Client(remote) as client, echo.channel() as channel:
        flow: Any = channel.unary_stream(FLOW)
        for _ in range(settings.round_count):
            began = time.perf_counter()
            client.read_into(f"{_ARTIFACT}/data.bin", buffer)
            mine.append(_STREAM_MIB / 1024 / (time.perf_counter() - began))
            began, at = time.perf_counter(), 0
            for block in flow(str(_STREAM_MIB).encode(), timeout=_CALL_S):
                buffer[at : at + len(block)] = block
                at += len(block)
            bare.append(_STREAM_MIB / 1024 / (time.perf_counter() - began))
    case = f"W3 {_STREAM_MIB} MiB by a gRPC stream, warm"
    return [compare(case, "GiB/s", mine, (BARE, bare), Aim(0.85, 0.95))]


def _cold_opening(
    stack: BenchStack, ours: ClientSettings, settings: BenchSettings
) -> list[Row]:
    """Open files whose keys no server has yet, beside a HEAD and a GET."""
    folder = stack.root / "cold"
    folder.mkdir()
    write_random(folder / "data.bin", _COLD_BYTES)
    peer = _s3(stack)
    peer.put_object(Bucket=PEER_BUCKET, Key="cold", Body=bytes(_COLD_BYTES))

    def head_and_get() -> None:
        peer.head_object(Bucket=PEER_BUCKET, Key="cold")
        peer.get_object(Bucket=PEER_BUCKET, Key="cold")["Body"].read()

    mine, theirs = list[float](), list[float]()
    with strongroom.Client(ours) as client:
        for place in range(_COLD + 1):
            client.push(folder, f"cold-{place}/data", kind="dataset")
    for turn in range(settings.round_count):
        # A server that was just started remembers nothing.
        with running_server(stack, "both on", f"cold-{turn}") as server:
            mine.append(_open_cold(replace(ours, endpoint=server.endpoint)))
            theirs.append(_p50_ms(head_and_get, 20))
    case = "L2 open for the first time and read 50 KiB"
    aim = at_most(1.5, 1.0)
    rows = [compare(case, "ms", mine, ("boto3 HEAD and GET", theirs), aim)]
    with running_server(stack, "both on", "cold-again") as server:
        cold = replace(ours, endpoint=server.endpoint)
        again = Again(lambda _before: _drop(_open_cold(cold)))
        return profile_missed(rows, settings, Watched(server.pid, ()), {"L2": again})


def _open_cold(settings: ClientSettings) -> float:
    """Open files whose keys the server has not yet; return the median in ms."""
    taken = []
    with strongroom.Client(settings) as client:
        for place in range(_COLD + 1):
            began = time.perf_counter()
            with client.open(f"cold-{place}/data/data.bin") as file:
                file.read()
            taken.append(1000 * (time.perf_counter() - began))
    # The first one finds the server's own modules cold.
    return median(taken[1:])


def _drop(value: float) -> None:
    """Measure for the profile alone."""
    del value


def _importing(ours: ClientSettings, settings: BenchSettings) -> list[Row]:
    pairs = [
        (_import_ms(_OURS, ours), _import_ms(_BOTO3, ours))
        for _ in range(max(5, settings.round_count))
    ]
    case = "L4 import and make a client"
    aim, mine = at_most(0.35, 0.25), [a for a, _ in pairs]
    row = compare(case, "ms", mine, ("boto3", [b for _, b in pairs]), aim)
    lines = _python(_OURS, ours, "-X", "importtime").stderr.splitlines()[1:]
    # Each has its own microseconds, those with what it imports, and a name.
    lines.sort(key=lambda line: -int(line.split(":")[1].split("|")[0]))
    return note_missed([row], settings, "L4", "\n".join([case, *lines[:40]]) + "\n")


def _import_ms(code: str, ours: ClientSettings) -> float:
    return 1000 * float(_python(_IMPORT.format(code=code), ours).stdout)


def _python(
    code: str, ours: ClientSettings, *options: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        env={
            **plain_environment(),
            "STRONGROOM_CONFIG": str(ours.source or ""),
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise BenchError(done.stderr[-2000:])
    return done


def _p50_ms(call: Callable[[], object], times: int = _TIMES) -> float:
    call()
    taken = list[float]()
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - began))
    return median(taken)


def _s3(stack: BenchStack) -> Any:  # noqa: ANN401 (boto3 has no types)
    return boto3.client(
        "s3",
        endpoint_url=stack.endpoint,
        aws_access_key_id=stack.credentials.access_key,
        aws_secret_access_key=stack.credentials.secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )


@contextlib.contextmanager
def running_echo(work: Path) -> Iterator[Echo]:
    """Run the server that does nothing."""
    folder = work / "echo"
    authority = Authority()
    for name, sans in (
        ("server", (SERVER, "dns:localhost", "ip:127.0.0.1")),
        ("client", (DEVELOPER,)),
    ):
        issued = authority.issue(*sans)
        below = folder / name
        below.mkdir(parents=True)
        (below / "ca.crt").write_bytes(authority.ca_pem)
        (below / "tls.crt").write_bytes(issued.chain_pem)
        (below / "tls.key").write_bytes(issued.private_key_pem)
    command = (sys.executable, "-m", "tests.bench.table.echo_server")
    with subprocess.Popen(
        [*command, str(folder / "server")],
        cwd=ROOT,
        env=plain_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            port = int(json.loads(process.stdout.readline() or "0"))
            yield Echo(f"127.0.0.1:{port}", folder / "client")
        finally:
            process.kill()
