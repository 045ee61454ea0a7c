# SPDX-License-Identifier: Apache-2.0
"""Data sets in a strongroom, read by many ranks and workers, and gone on with exactly.

    data = StreamedDataset(ArtifactDataset(client, "demo/texts@7"))
    loader = ResumableLoader(data, batch_size=32, num_workers=4)
    for batch in loader:
        ...
    state = loader.state_dict()  # with the checkpoint; any world size can go on

Everything pickles, and each process makes its own connection, so that workers may be
forked, spawned or made by a fork server.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from numbers import Integral
from typing import Any, Final, Protocol

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from strongroom.client import Client
from strongroom.errors import InvalidArgumentError
from strongroom.format.names import Uri, parse_uri
from strongroom.integrations.device_batches import on_device
from strongroom.integrations.readers import TravellingReader
from strongroom.values import FileRange

#: Of states; another number is another meaning.
_STATE_VERSION: Final = 1
#: What an order is made from besides the seed, so that epochs differ.
_EPOCH_STRIDE: Final = 1_000_003


class Samples(Protocol):
    """Whatever has a length and samples by number, and pickles."""

    def __len__(self) -> int:
        """Return how many samples there are."""
        ...

    def __getitem__(self, index: int, /) -> Any:  # noqa: ANN401 - a sample is anything
        """Return one sample."""
        ...


class RecordDataset(Dataset[bytes]):
    """Records of one length, from one file or many, as a map-style data set.

    Such as token ids: with `record_bytes=2 * 2048`, a sample is 2,048 tokens of 16
    bits. A remainder at a file's end is left out. Only the bytes of a record are moved.
    """

    def __init__(self, client: Client, uri: str, record_bytes: int) -> None:
        """List the files.

        Args:
            client: Reads the files; not closed by the data set.
            uri: `project/artifact[@version]`, a file or a directory of it.
            record_bytes: The length of a record.

        Raises:
            InvalidArgumentError: The length is not positive.
            NotFoundError: There is no such artifact, version or path.
        """
        if record_bytes < 1:
            message = f"records of {record_bytes} bytes"
            raise InvalidArgumentError(message)
        parsed = parse_uri(uri)
        self.record_bytes = record_bytes
        self.version = client.show(str(Uri(parsed.artifact, parsed.selector)))
        self._reader = TravellingReader(client, self.version)
        if parsed.path and not parsed.path.endswith("/"):
            files = [client.find_file(f"{self.version.uri}/{parsed.path}")[1]]
        else:
            files = list(client.list_files(f"{self.version.uri}/{parsed.path}"))
        self.files = tuple(files)
        counts = (file.size_bytes // record_bytes for file in self.files)
        self._ends = tuple(accumulate(counts))

    def __len__(self) -> int:
        """Return how many records there are."""
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> bytes:
        """Return one record, verified.

        Raises:
            IndexError: There is none of this number.
            IntegrityError: Its stored bytes are damaged.
        """
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[bytes]:
        """Return records, asked for at once; neighbours are read as one."""
        places = sorted((self._place(index), at) for at, index in enumerate(indices))
        found: list[bytes] = [b""] * len(indices)
        size = self.record_bytes
        runs = list(_runs(places))
        contents = self._reader.read_many([self._range_of(run) for run in runs])
        for run, data in zip(runs, contents, strict=True):
            begin = run[0][0][1] * size
            for (_, number), at in run:
                start = number * size - begin
                found[at] = data[start : start + size]
        return found

    def _range_of(self, run: "list[_Placed]") -> FileRange:
        (file, first), _ = run[0]
        last = run[-1][0][1]
        size = self.record_bytes
        path = self.files[file].path
        return FileRange(path, offset=first * size, length=(last + 1 - first) * size)

    def _place(self, index: int) -> tuple[int, int]:
        """Return the number of the file, and that of the record in it."""
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            message = f"record {index} of {len(self)}"
            raise IndexError(message)
        file = bisect_right(self._ends, number)
        return file, number - (self._ends[file - 1] if file else 0)


_Placed = tuple[tuple[int, int], int]


def _runs(places: Sequence[_Placed]) -> Iterator[list[_Placed]]:
    """Yield what lies together: the same file, and no gap."""
    run: list[_Placed] = []
    for place in places:
        (file, number), _ = place
        if run and (run[-1][0][0] != file or number - run[-1][0][1] > 1):
            yield run
            run = []
        run.append(place)
    if run:
        yield run


class StreamedDataset(IterableDataset[Any]):
    """Samples in the order of a seed, each given to one worker of one rank.

    The order depends on the seed, the epoch and the samples alone; ranks and workers
    take turns in it. So what is left of an epoch after any number of steps can be
    shared out anew among another number of ranks and workers: no sample comes twice,
    and none is left out.
    """

    def __init__(
        self,
        samples: Samples,
        *,
        rank: int | None = None,
        world_size: int | None = None,
        seed: int = 0,
        shuffle: bool = True,
        even: bool = False,
    ) -> None:
        """Say what to read, and who reads beside us.

        Args:
            samples: A map-style data set that pickles.
            rank: Ours; that of `torch.distributed`, or 0 without it, unless given.
            world_size: How many ranks there are; likewise.
            seed: Of the order; the same on all ranks.
            shuffle: Whether the order is a random one.
            even: Whether to leave out the last few samples of an epoch, so that all
                workers of all ranks get as many, and no rank waits for another.

        Raises:
            InvalidArgumentError: There is no such rank, or the seed is no integer.
        """
        super().__init__()
        self.samples = samples
        self.rank = _own_rank() if rank is None else rank
        self.world_size = _own_world_size() if world_size is None else world_size
        if not 0 <= self.rank < self.world_size:
            message = f"rank {self.rank} of {self.world_size}"
            raise InvalidArgumentError(message)
        _check_is(seed, Integral, "an integer as the seed")
        self.seed = int(seed)
        self.shuffle = shuffle
        self.even = even
        #: How many processes read for this rank; `ResumableLoader` says it.
        self.workers = 1
        self.epoch = 0
        #: What was taken of the epoch, by those who went before: for each time, how
        #: many took turns, and how many samples each of them took.
        self._taken: list[list[int]] = []

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch, from its start."""
        self.epoch = epoch
        self._taken = []

    def __len__(self) -> int:
        """Return how many samples of the epoch are left for this rank."""
        return sum(self.shares())

    def shares(self) -> list[int]:
        """Return how many samples of the epoch are left for each of our workers."""
        left = self._left()
        return [
            len(self._share(left, worker, self.workers))
            for worker in range(self.workers)
        ]

    def __iter__(self) -> Iterator[Any]:
        """Yield this worker's samples of what is left of the epoch."""
        worker = get_worker_info()
        number, count = (worker.id, worker.num_workers) if worker else (0, 1)
        for index in self._share(self._left(), number, count).tolist():
            yield self.samples[index]

    def state_dict(self, taken_by_each: Sequence[int] = ()) -> dict[str, Any]:
        """Return what is needed to go on, in numbers and text.

        Args:
            taken_by_each: How many samples each worker of each rank took since the
                epoch began, or was gone on with: rank 0's workers first.
        """
        rounds = [list(counts) for counts in self._taken]
        if any(taken_by_each):
            rounds.append(list(taken_by_each))
        return {
            "version": _STATE_VERSION,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "even": self.even,
            "epoch": self.epoch,
            "sample_count": len(self.samples),
            "taken": rounds,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another run was, whatever its world size.

        Raises:
            InvalidArgumentError: The state is of other samples, of another order, or
                of a release that wrote it otherwise.
        """
        _check_is(state, Mapping, "the state of a data set")
        ours = self.state_dict()
        for name in ("version", "seed", "shuffle", "even", "sample_count"):
            if state.get(name) != ours[name]:
                message = f"the state has {name} {state.get(name)!r}, not {ours[name]}"
                raise InvalidArgumentError(
                    message,
                    hint="Make the data set as the run did that saved the state.",
                    setting=name,
                )
        self.epoch = state["epoch"]
        self._taken = [list(counts) for counts in state["taken"]]

    def _left(self) -> torch.Tensor:
        """Return the numbers of the samples that are left, in order."""
        count = len(self.samples)
        if self.shuffle:
            generator = torch.Generator()
            generator.manual_seed((self.seed * _EPOCH_STRIDE + self.epoch) % 2**63)
            order = torch.randperm(count, generator=generator)
        else:
            order = torch.arange(count)
        for counts in self._taken:
            turn = torch.arange(len(order))
            took = torch.tensor(counts)
            order = order[turn // len(counts) >= took[turn % len(counts)]]
        return order

    def _share(self, left: torch.Tensor, worker: int, workers: int) -> torch.Tensor:
        """Return what one worker of this rank reads of what is left."""
        parts = self.world_size * workers
        end = len(left) // parts * parts if self.even else len(left)
        return left[self.rank * workers + worker : end : parts]


class ResumableLoader:
    """A `DataLoader` over a `StreamedDataset` that knows what the training has had.

    Loaders ask workers for more than the training has taken, so a data set alone
    cannot say where the training is. All ranks take as many steps; state is saved
    between steps. Each `for` is one epoch, or what is left of it.
    """

    def __init__(
        self,
        dataset: StreamedDataset,
        *,
        batch_size: int = 1,
        num_workers: int = 0,
        device: "str | torch.device | None" = None,
        **options: Any,  # noqa: ANN401 - as torch has them
    ) -> None:
        """Make the loader.

        Args:
            dataset: What to read.
            batch_size: How many samples a step takes on each rank.
            num_workers: How many processes read for this rank; 0 means this one.
            device: Where batches go; to a GPU from locked memory, each while the one
                before it is worked on. Nowhere, unless given.
            options: What else `DataLoader` takes, such as `collate_fn` and
                `multiprocessing_context`; `forkserver` is the safest of them.
                `persistent_workers` is False and `in_order` True, whatever is said.
        """
        _check_is(dataset, StreamedDataset, "a StreamedDataset(samples)")
        self.dataset = dataset
        self.batch_size = batch_size
        dataset.workers = max(1, num_workers)
        # A worker that stayed alive would not hear of the next epoch, and batches
        # that overtake one another could not be counted.
        options |= {"persistent_workers": False, "in_order": True}
        self.device = None if device is None else torch.device(device)
        if self.device is not None and self.device.type == "cuda":
            options.setdefault("pin_memory", True)
        self._loader: DataLoader[Any] = DataLoader(
            dataset, batch_size=batch_size, num_workers=num_workers, **options
        )
        self._steps = 0

    def __len__(self) -> int:
        """Return how many steps were left when the epoch was begun or gone on with."""
        # A worker's last batch may be a smaller one, or is dropped.
        rest = 0 if self._loader.drop_last else self.batch_size - 1
        return sum((share + rest) // self.batch_size for share in self.dataset.shares())

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches that are left of the epoch; then the next one begins."""
        self._absorb()
        batches: Iterable[Any] = self._loader
        if self.device is not None:
            batches = on_device(batches, self.device)
        for batch in batches:
            self._steps += 1
            yield batch
        self._steps = 0
        self.dataset.set_epoch(self.dataset.epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """Return where the training is, after the batch that it has got last."""
        return self.dataset.state_dict(self._taken())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another run was, whatever its world size and its workers.

        Raises:
            InvalidArgumentError: As of `StreamedDataset.load_state_dict`.
        """
        self._steps = 0
        self.dataset.load_state_dict(state)

    def _taken(self) -> list[int]:
        """Return how many samples each worker has given, on every rank alike.

        Batches come from the workers in turns, beginning with the first one.
        """
        each = [
            self.batch_size * len(range(worker, self._steps, self.dataset.workers))
            for worker in range(self.dataset.workers)
        ]
        return each * self.dataset.world_size

    def _absorb(self) -> None:
        """Count what an iteration that was broken off has taken."""
        self.dataset.load_state_dict(self.state_dict())
        self._steps = 0


def _check_is(value: object, kind: type, wanted: str) -> None:
    if not isinstance(value, kind):
        message = f"{type(value).__name__} is given in place of {wanted}"
        raise InvalidArgumentError(message)


def _own_rank() -> int:
    is_one = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() if is_one else 0


def _own_world_size() -> int:
    is_one = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if is_one else 1
