"""NetAdapt (https://arxiv.org/abs/1804.03230) as MobileNetV3 section 4.2 has it.

Step by step proposals that save enough latency take over the weights, are trained for a short time
and evaluated; the one that loses the least accuracy for the milliseconds it saves goes on.

Deviations: a step tries again only the places that were best when they were tried last, unless
`Plan.proposals` is 0; the last step need not save more than the budget asks; and the network of the
beginning is trained for the same short time before it is compared with.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config
from torch import nn

from mixnet_dense import checkpoints
from mixnet_dense.adapt.carry import carry_over
from mixnet_dense.adapt.choice import Row, budget_ms, choose, path, promising
from mixnet_dense.adapt.clock import Clock, build, with_arch
from mixnet_dense.adapt.together import Together
from mixnet_dense.adapt.trial import Trial
from mixnet_dense.backbones import MobileBackbone
from mixnet_dense.backbones.arch import Network
from mixnet_dense.backbones.found import read_network, write_network
from mixnet_dense.engine.config import check_packages, slips_named
from mixnet_dense.errors import InputError
from mixnet_dense.files import read_json, write_json
from mixnet_dense.progress import Progress
from mixnet_dense.weights.load import load_model


class Plan(NamedTuple):
    """How a search goes on.

    Attributes:
        budget: such as ``8ms`` or ``70%``.
        delta: the share of the first latency that each step saves at least.
        steps: of the short training of a proposal.
        proposals: see `choice.promising`.
        holdout: images of the training set to evaluate on.
    """

    budget: str
    delta: float
    steps: int
    proposals: int
    holdout: int


class Found(NamedTuple):
    """The end of a search: its rows, the table, its weights and latency, the budget in ms."""

    rows: list[Row]
    network: Network
    weights: Path
    ms: float
    target: float


class Search:
    """A search with its state in a folder.

    ``state.json`` has the settings and the rows, and each table that is tried a file. It is written
    after each trial, after the trial's weights. What follows from it is the same whenever the
    search was stopped.

    Args:
        config, checkpoint: the trained model.
        clock: None on all processes but the first.
        folder: for the state.

    Raises:
        InputError: see `load_model`; or the model's backbone is not of this package.
    """

    def __init__(
        self, config: Config, checkpoint: str, plan: Plan, clock: Clock | None, folder: Path,
        together: Together,
    ):  # fmt: skip
        self.config, self.plan, self.clock, self.folder = config, plan, clock, folder
        self.together, self.rows, self.checkpoint = together, [], checkpoint
        check_packages(config)
        with slips_named("config"):
            self.seed_model = load_model(config, checkpoint)
        if not isinstance(getattr(self.seed_model, "backbone", None), MobileBackbone):
            raise InputError("model.backbone: must be one of this package, with a table")
        self.trial = Trial(config, plan.steps, plan.holdout)

    def run(self, resume: bool) -> Found:
        """Search until the budget is met, or no proposal saves enough.

        Raises:
            InputError: see `choice.budget_ms`; or the state is of another search.
        """
        self.rows = self.together.first(lambda: self._begin(resume))
        if not self.rows[0]["chosen"]:
            self._try_all("the network as it is")
            self._choose(self.rows[0])
        first = self.rows[0]["measured_ms"]
        target = budget_ms(self.plan.budget, first)
        left = round(1000 * (path(self.rows)[-1]["measured_ms"] - target) / first)
        progress = Progress(max(1, left), "% of latency", scale=10)
        while (now := path(self.rows)[-1])["measured_ms"] > target:
            if self.rows[-1]["step"] == now["step"]:
                wanted = max(now["measured_ms"] - self.plan.delta * first, target)
                self.rows += self.together.first(lambda w=wanted: self._propose(w))
            if self.rows[-1]["step"] == now["step"]:
                break
            self._try_all(f"proposals of step {now['step'] + 1}")
            best = choose(self.rows)
            best["measured_ms"] = self.together.first(lambda b=best: self._measured(b))
            self._choose(best)
            if self.together.rank == 0:
                print(
                    f"step {best['step']}: {best['what']}: {best['measured_ms']:.2f} of "
                    f"{target:.2f} ms, accuracy {best['accuracy']:.4g}", flush=True,
                )  # fmt: skip
                less = max(0, round(1000 * (best["measured_ms"] - target) / first))
                if less < left:
                    progress.step(left - less)
                    left = less
        network = read_network(self._file(now, ".json"))
        return Found(self.rows, network, self._file(now, ".pth"), now["measured_ms"], target)

    # ------------------------------------------------------------------ on the first process

    def _begin(self, resume: bool) -> list[Row]:
        state = self.folder / "state.json"
        if state.exists() and not resume:
            raise InputError(f"{state}: is there already; --resume goes on, or another --work-dir")
        if state.exists():
            return self._read(state)
        network = self.seed_model.backbone.network
        ms = self.clock.whole(network)
        budget_ms(self.plan.budget, ms)
        row = _row(0, 0, "", "the network as it is", ms) | dict(measured_ms=ms)
        self._write_table(row, network)
        self._save([row])
        return [row]

    def _propose(self, wanted: float) -> list[Row]:
        now = path(self.rows)[-1]
        network = read_network(self._file(now, ".json"))

        def ms(table: Network) -> float:
            return self.clock.ms(table, network)

        found = promising(self.rows, network, ms, wanted, self.plan.proposals)
        new = []
        for number, (place, proposal) in enumerate(found):
            row = _row(now["step"] + 1, number, place, proposal.what, ms(proposal.network))
            self._write_table(row, proposal.network)
            new.append(row)
        self._save(self.rows + new)
        return new

    def _measured(self, row: Row) -> float:
        return self.clock.whole(read_network(self._file(row, ".json")))

    def _write_table(self, row: Row, network: Network) -> None:
        write_network(self._file(row, ".json"), network)

    def _settings(self) -> dict:
        text = json.dumps(self.config.to_dict(), default=str, sort_keys=True)
        where = self.clock.where
        return dict(
            config=f"{self.config.filename} {hashlib.sha256(text.encode()).hexdigest()[:12]}",
            checkpoint=str(self.checkpoint),
            **self.plan._asdict(),
            **where._asdict(),
            size=list(self.clock.size),
        )

    def _read(self, state: Path) -> list[Row]:
        content = read_json(state)
        try:
            old, rows = content["settings"], content["rows"]
            for name, value in self._settings().items():
                if old[name] != value:
                    raise InputError(f"{state}: has {name} {old[name]}, this search has {value}")
            if not rows or any(row.keys() != _row(0, 0, "", "", 0).keys() for row in rows):
                raise ValueError
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{state}: is not the state of a search") from error
        return rows

    def _save(self, rows: Sequence[Row]) -> None:
        write_json(self.folder / "state.json", dict(settings=self._settings(), rows=list(rows)))

    # ------------------------------------------------------------------ on all processes

    def _try_all(self, what: str) -> None:
        """Try what of the last step has no accuracy yet, each process its share."""
        pending = [row for row in self.rows if row["accuracy"] is None]
        size, rank = self.together.size, self.together.rank
        progress = Progress(len(pending), what) if pending and rank == 0 else None
        before = path(self.rows)
        for start in range(0, len(pending), size):
            wave = pending[start : start + size]
            own = self._accuracy(before, wave[rank]) if rank < len(wave) else None
            for row, accuracy in zip(wave, self.together.gather(own), strict=False):
                row["accuracy"] = accuracy
            if rank == 0:
                self._save(self.rows)
                progress.step(len(wave))

    def _accuracy(self, before: Sequence[Row], row: Row) -> float:
        model = self._build(row)
        if before:
            old = self._build(before[-1])
            old.load_state_dict(checkpoints.read(str(self._file(before[-1], ".pth")))[0])
        else:
            old = self.seed_model
        carry_over(old, model, self.config.model.backbone.get("partition", "equal"))
        self.trial.train_steps(model, row["step"])
        state = {key: value.cpu() for key, value in model.state_dict().items()}
        meta = dict(dataset_meta=self.seed_model.dataset_meta)
        checkpoints.write(str(self._file(row, ".pth")), state, meta)
        return self.trial.accuracy(model)

    def _build(self, row: Row) -> nn.Module:
        with slips_named("config"):
            return build(with_arch(self.config, self._file(row, ".json")))

    def _choose(self, best: Row) -> None:
        """Mark a row as chosen, and remove the weights and tables of the others."""
        best["chosen"] = True
        if self.together.rank == 0:
            self._save(self.rows)
        self.together.gather(None)  # nobody reads what is now removed
        for row in self.rows if self.together.rank == 0 else ():
            gone = not row["chosen"] or row["step"] < best["step"]
            for suffix in (".pth", ".json")[: 1 + (not row["chosen"])] if gone else ():
                self._file(row, suffix).unlink(missing_ok=True)

    def _file(self, row: Row, suffix: str) -> Path:
        return self.folder / f"step_{row['step']}_{row['proposal']}{suffix}"


def _row(step: int, proposal: int, place: str, what: str, ms: float) -> Row:
    return dict(
        step=step, proposal=proposal, place=place, what=what, latency_ms=ms, accuracy=None,
        chosen=False, measured_ms=None,
    )  # fmt: skip
