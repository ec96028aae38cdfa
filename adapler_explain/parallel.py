"""Several processes at one job: who one is, what all agree on, and starting them.

A job is told by the environment (``RANK``, ``WORLD_SIZE``, …), as torchrun and :func:`start` set it. Every process
makes the same plan; each does its share of it, and what was summed or gathered is the same everywhere.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

# torch is imported where it is needed: the command line starts without it.

Thing = TypeVar("Thing")
# The process that started this one as one of several.
STARTER = "ADAPLER_STARTER"


@dataclass(frozen=True)
class World:
    """The processes of a job.

    Attributes:
        rank: this one's number, from 0.
        size: how many there are.
        device: the torch device of this one.
    """

    rank: int
    size: int
    device: str

    @property
    def is_first(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0

    def share(self, things: Sequence[Thing]) -> Sequence[Thing]:
        """This process's share of ``things``: every ``size``-th."""
        return things[self.rank :: self.size]

    def wait(self) -> None:
        """Return when every process is here."""
        if self.size > 1:
            import torch

            torch.distributed.barrier()

    def add_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Replace each parameter's gradient by its sum over the processes; None counts as 0."""
        if self.size == 1:
            return
        import torch

        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        torch.distributed.all_reduce(flat)
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def gather(self, thing: Thing) -> list[Thing]:
        """What every process gave, in the order of their ranks."""
        if self.size == 1:
            return [thing]
        import torch

        gathered: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(gathered, thing)
        return gathered


def world(device: str) -> World:
    """The processes of this job, connected; each has a GPU of its own where ``device`` is ``cuda``."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return World(0, 1, device)
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=torch.device(device).type == "cpu")
    return World(state.process_index, state.num_processes, str(state.device))


def is_first_process() -> bool:
    """Whether this process is the only one of its job or the one that speaks for it."""
    return os.environ.get("RANK", "0") == "0"


def is_started() -> bool:
    """Whether this process is one of several of a job already."""
    return "RANK" in os.environ


def end_with_starter() -> None:
    """Where :func:`start` started this process: end it soon after that process is gone, however it went."""
    starter = os.environ.get(STARTER)

    def watch() -> None:
        while os.getppid() == int(starter or 0):
            time.sleep(0.2)
        os._exit(128 + signal.SIGTERM)

    # Windows has no parents that change: there the starter's own signals end the others.
    if starter and os.name == "posix":
        threading.Thread(target=watch, daemon=True).start()


def has_lost_another(error: Exception) -> bool:
    """Whether ``error`` only says that another process of the job has gone, which has a word of its own to say."""
    text = str(error).lower()
    return is_started() and any(sign in text for sign in ("gloo", "nccl", "connection closed by peer"))


def start(command: Sequence[str], count: int) -> int:
    """Run the command line ``command`` of this program as ``count`` processes of one job on this machine.

    Where one fails, or this process is ended, the others are stopped. Threads are shared out unless
    ``OMP_NUM_THREADS`` says how many each has.

    Returns:
        The exit code of the first that failed, else 0.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = str(max(1, (os.cpu_count() or 1) // count))
    shared = {"OMP_NUM_THREADS": threads, **os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), STARTER: str(os.getpid())}
    program = [sys.executable, "-m", "adapler_explain.cli", *command]
    workers: list[subprocess.Popen[bytes]] = []
    # Only the main thread may set what a signal does.
    mine = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number)) if mine else None
    try:
        for rank in range(count):
            workers.append(subprocess.Popen(program, env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}))
        return _first_failure(workers)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
        if mine:
            signal.signal(signal.SIGTERM, before)


def _first_failure(workers: Sequence[subprocess.Popen[bytes]]) -> int:
    running = list(workers)
    while running:
        for worker in running:
            try:
                code = worker.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            running.remove(worker)
            if code:
                return code if code > 0 else 128 - code
            break
    return 0
