"""Carrier ``train``: Ray Train's workers learn one stream together; this Tune trainable waits for their reports.

A rendezvous actor passes one report per task and hands back whether to go on, so that stopping works as in the direct
carrier. Checkpoints and records are the same files; a lost worker ends the trial, and Tune's retry goes on from its last task.
"""

from __future__ import annotations

import threading
from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device

from trainables.crashes import last_lines
from trainables.direct import ReusedTrainable, ending, surroundings_of
from trainables.resources import Resources
from trainables.worker_group import WorkerGroup

POLL_SECONDS = 0.1
CLOSED = ("closed by peer", "reset by peer", "Connection closed by remote")  # gloo and NCCL, of a worker that went
WAITING_CPUS = 0.01  # held by the trial itself, which only waits; taken from its workers so that all fit together


class WorkersLost(Exception):
    """A worker went, or none reported; the run can be given out again."""


@ray.remote(num_cpus=0)
class Rendezvous:
    """One slot for a report and one for its answer."""

    def __init__(self) -> None:
        self.report: dict[str, Any] | None = None
        self.answer: bool | None = None

    def offer(self, report: dict[str, Any]) -> None:
        self.report, self.answer = report, None

    def take(self) -> dict[str, Any] | None:
        report, self.report = self.report, None
        return report

    def reply(self, go_on: bool) -> None:
        self.answer = go_on

    def verdict(self) -> bool | None:
        return self.answer


class WorkersTrainable(ReusedTrainable):
    """The same results as ``StreamTrainable``; ``resources.workers`` processes with ``cpus`` and ``gpus`` each do the work."""

    def setup(self, config: dict[str, Any]) -> None:
        self.rendezvous = Rendezvous.remote()  # type: ignore[attr-defined]
        self.failure: BaseException | None = None
        self.finished = False
        self.answered = True
        resources = Resources(**config["resources"])
        per_worker = {
            "CPU": max(WAITING_CPUS, resources.cpus - WAITING_CPUS),
            **({"GPU": resources.gpus} if resources.gpus else {}),
        }
        trainer = TorchTrainer(
            learn,
            train_loop_config={**config, "rendezvous": self.rendezvous},
            scaling_config=ScalingConfig(
                num_workers=resources.workers, use_gpu=bool(resources.gpus), resources_per_worker=per_worker
            ),
            run_config=RunConfig(
                name=f"codyra-{self.trial_id}", storage_path=self.logdir, failure_config=FailureConfig(max_failures=0)
            ),
        )
        self.thread = threading.Thread(target=self._fit, args=(trainer,), daemon=True)
        self.thread.start()

    def _fit(self, trainer: Any) -> None:
        try:
            trainer.fit()
        except Exception as error:
            self.failure = error

    def step(self) -> dict[str, Any]:
        if not self.answered:
            ray.get(self.rendezvous.reply.remote(True))
        while True:
            alive = self.thread.is_alive()
            report: dict[str, Any] | None = ray.get(self.rendezvous.take.remote())
            if report is not None:
                self.answered = bool(report["done"])
                return report
            if not alive:
                return {"error": own_mistake(self.failure), "done": True}
            self.thread.join(POLL_SECONDS)

    def cleanup(self) -> None:
        """Called when the trial ends or is stopped: workers that wait for an answer store the run as stopped."""
        if not self.answered:
            ray.get(self.rendezvous.reply.remote(False))
        self.thread.join()
        ray.kill(self.rendezvous)


def learn(config: dict[str, Any]) -> None:
    """What every worker does: the whole stream, its share of every batch; the first one reports."""
    import time
    from dataclasses import replace

    import torch
    from ray.train import get_context

    from suite.config import RunConfig as StreamConfig
    from suite.config import validate
    from suite.errors import SuiteError
    from suite.runs.record import Record
    from suite.runs.validation_view import validation_view
    from trainables.memory_bound import bound_memory
    from trainables.run import stream_reports

    resources = Resources(**config["resources"])
    torch.set_num_threads(max(1, int(resources.cpus)))
    bound_memory(resources)
    context = get_context()
    group = WorkerGroup(context.get_world_rank(), context.get_world_size(), resources.shard_frozen)
    run_context = replace(surroundings_of(config, "train"), group=group)
    if config["device"] == "auto":
        run_context = replace(run_context, device=str(get_device()))
    rendezvous = config["rendezvous"]

    def say(report: dict[str, Any]) -> bool:
        """Offer a report and wait for the answer, on the first worker; all get it."""

        def ask() -> bool:
            ray.get(rendezvous.offer.remote(report))
            while not report["done"]:
                answer = ray.get(rendezvous.verdict.remote())
                if answer is not None:
                    return bool(answer)
                time.sleep(POLL_SECONDS)
            return False

        return group.from_first(ask)

    reports = stream_reports(validate(StreamConfig, config["run"], where="trial"), run_context)
    try:
        while True:
            report = next(reports)
            done = report.record.status == "finished"
            if not say({"view": validation_view(report.record).as_text(), "done": done}):
                reports.close()
                return
    except StopIteration as end:
        record: Record = end.value
        say({"view": validation_view(record).as_text(), "done": True})
    except (SuiteError, OSError, RuntimeError, MemoryError) as error:
        if group.leads:
            ray.get(rendezvous.offer.remote(ending(error)))
        else:
            raise


def own_mistake(failure: BaseException | None) -> str:
    """The last lines of what a worker's own code raised.

    Raises:
        WorkersLost: a worker went, also where the others only noticed that its connection closed.
    """
    told = [
        str(error)
        for error in getattr(failure, "worker_failures", {}).values()
        if type(error).__name__ == "UserExceptionWithTraceback"
    ]
    own = [text for text in told if not any(sign in text for sign in CLOSED)]
    if not own:
        # In one line: the lines of a traceback would be read as the error's own.
        raise WorkersLost(" ".join(str(failure).split())[-2000:])
    return last_lines(own[0])
