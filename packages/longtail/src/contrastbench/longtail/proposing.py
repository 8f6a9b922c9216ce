"""The network that proposes and what it proposes, made once and shared by all runs that need the same.

They are kept in the cache folder, ``longtail/networks/<key>`` and ``longtail/proposals/<key>``. A key is made of all
that determines what is there: the network, the data by content, the schedule, the seed, the options, the versions and
the source of the host. Of several processes that need the same at once, one makes it and the others wait.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from contrastbench.core.data.cache import cache_dir, require_writable
from contrastbench.core.errors import InputError, unknown_name
from contrastbench.longtail.contrast import Pictures
from contrastbench.longtail.store import ProposalStore, fingerprint

_log = logging.getLogger(__name__)

_HOSTS = ("detectron2", "torchvision")

Report = Callable[[int, int], None]


class ProposalNetwork:
    """A class-agnostic network: trained in the shared folder, once, and asked for proposals, once.

    Args:
        host: ``"torchvision"`` or ``"detectron2"``.
        network: the host's ``network`` mapping.
        data: what it is trained on; of one class.
        schedule: the host's ``schedule`` mapping.
        options: how proposals are made, as :class:`~contrastbench.core.hosts.proposing.ProposalOptions`.
        seed: of its training.
        threads: of the CPU.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        shared: folder of networks and proposals; None for ``longtail`` in the cache folder.

    Raises:
        InputError: an unknown host, or options of it that are unknown or impossible.
    """

    def __init__(
        self,
        host: str,
        network: Mapping[str, Any],
        data: Mapping[str, Any],
        schedule: Mapping[str, Any],
        options: Mapping[str, Any],
        seed: int,
        threads: int | None,
        device: str,
        shared: str | Path | None = None,
    ) -> None:
        if host not in _HOSTS:
            raise unknown_name("host", host, _HOSTS)
        from contrastbench.core.hosts.proposing import ProposalOptions

        self.host, self.shared = host, shared
        self.options = ProposalOptions.read(options)
        self.training = import_module(f"contrastbench.core.hosts.{host}").InstanceTraining(
            network, data, schedule, seed=seed, threads=threads, device=device
        )

    @property
    def iterations(self) -> int:
        """Steps of its training."""
        return int(self.training.schedule.iterations)

    def folder(self) -> Path:
        """Return the folder of the trained network, made if need be."""
        training = self.training
        made_of = {
            "data": training.fingerprint(),
            "size": list(training.data.get("size") or ()),
            "network": {**training.network},
            "schedule": repr(training.schedule),
            "seed": training.seed,
            "threads": training.threads,
            "device": training.device.type,
            **self._versions(),
        }
        folder = self._shared() / "networks" / _digest(made_of)
        require_writable(folder, "name another folder for what runs share")
        return folder

    def train(self, report: Report = lambda done, total: None) -> dict[str, Any]:
        """Train it where it is not trained yet, going on where another run was interrupted.

        Returns:
            The metrics of its training, as of the host's ``InstanceTraining``.
        """
        folder = self.folder()
        with _alone(folder):
            found: dict[str, Any] = self.training.run(folder, report)
        report(self.iterations, self.iterations)
        return found

    def store(self, data: str, split: str, size: Iterable[int] | None) -> ProposalStore:
        """Return where the proposals of a split are kept, whether or not they are there.

        Args:
            data: fingerprint of the data that proposals are made for.
            split: of these.
            size: what images are brought to; None for their own.
        """
        weights = torch.load(self.folder() / "weights.pth", map_location="cpu", weights_only=True)
        state = weights.get("state_dict", weights.get("model"))
        of = {**vars(self.options), "split": split, "size": list(size or ()), **self._versions()}
        return ProposalStore(self._shared() / "proposals", fingerprint(state, data, of))

    def propose(
        self, pictures: Pictures, store: ProposalStore, device: torch.device, report: Callable[[int], None]
    ) -> None:
        """Fill a store with the proposals of the images that are missing in it.

        Args:
            pictures: of the split.
            store: as of :meth:`store`.
            device: what the network runs on.
            report: called with images done.
        """
        with _alone(store.folder):
            missing = set(store.missing(image["id"] for image in pictures.images))
            if missing:
                host = import_module(f"contrastbench.core.hosts.{self.host}.proposing")
                propose = host.load_proposer(self.training, self.folder(), device)
            for place, image in enumerate(pictures.images):
                if image["id"] in missing:
                    # One at a time, so that which others were missing makes no difference.
                    [found] = propose([pictures[place]], self.options)
                    store.write(image["id"], *found)
                report(place + 1)

    def _shared(self) -> Path:
        return cache_dir() / "longtail" if self.shared is None else Path(self.shared).expanduser()

    def _versions(self) -> dict[str, str]:
        found = {name: version(name) for name in {"torch", "torchvision", self.host}}
        return {"host": self.host, "source": _source(self.host), **found}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder; it goes with the process that holds it, however that ends."""
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except TimeoutError:
        _log.info("waiting for another process that is making '%s'", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _source(host: str) -> str:
    """Return a digest of the source of what trains and proposes."""
    spec = find_spec("contrastbench.core.hosts")
    if spec is None or spec.origin is None:
        raise InputError("contrastbench.core is not installed as files; install contrastbench-core")
    hosts = Path(spec.origin).parent
    digest = sha256()
    for folder in sorted({hosts, hosts / host, hosts / "torchvision"}):
        for file in sorted(folder.glob("*.py")):
            digest.update(f"{file.relative_to(hosts).as_posix()}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def _digest(value: Mapping[str, Any]) -> str:
    return sha256(json.dumps(value, sort_keys=True, default=list).encode()).hexdigest()[:16]
