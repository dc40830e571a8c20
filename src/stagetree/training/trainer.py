"""The one subclass of ``transformers.Trainer``: our batches, loss, optimiser and checkpoints."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments, get_scheduler

from stagetree.core.errors import TrialFailed
from stagetree.models.quiet import quiet
from stagetree.training import checkpoint, numerics, randomness, ranks, sharding
from stagetree.training.adversarial import Adversary
from stagetree.training.batches import ROWS, TEACHER_LOGITS
from stagetree.training.config import Schedule, TrainingConfig
from stagetree.training.dropout import FastDropout
from stagetree.training.freezing import parameter_groups
from stagetree.training.penalties import Penalty, r_drop
from stagetree.training.recompute import Recompute
from stagetree.training.schedule import decay_steps, warmup_steps
from stagetree.training.steps import Steps
from stagetree.training.trunk import TRAIN, Trunk

if TYPE_CHECKING:
    from torch.utils.data import Sampler
    from transformers import PreTrainedModel, TrainerCallback

    from stagetree.training.batches import Collate, Rows
    from stagetree.training.objectives import Objective

TRAINER_STATE = "trainer_state.json"


class StageTrainer(Trainer):  # type: ignore[misc]
    """Trains one stage.

    Args:
        model: The model.
        rows: Training rows.
        sampler: The order of the rows; its ``set_epoch`` is called before each pass.
        collate: Makes batches of rows.
        objective: The loss.
        config: The stage's training options.
        steps: How many steps of which size.
        arithmetic: Resolved numerics.
        seed: Seed of dropout.
        directory: Where Trainer may write; it writes nothing by itself.
        evaluated: Called as ``evaluated(trainer)`` where the model is to be evaluated.
        saved: Called as ``saved(trainer)`` where a checkpoint is to be written.
        callbacks: What else happens between steps.
        trunk: Gives the outputs of frozen layers.
    """

    def __init__(
        self,
        *,
        model: PreTrainedModel,
        rows: Rows,
        sampler: Sampler[int],
        collate: Collate,
        objective: Objective,
        config: TrainingConfig,
        steps: Steps,
        arithmetic: str,
        seed: int,
        directory: Path,
        evaluated: Callable[[StageTrainer], None],
        saved: Callable[[StageTrainer], None],
        callbacks: list[TrainerCallback],
        trunk: Trunk | None = None,
    ) -> None:
        self._config = config
        self._steps = steps
        self._sampler = sampler
        self._objective = objective
        self.trunk = trunk or Trunk(model, {}, collate, arithmetic, whole=True, store=None)
        self._arithmetic = arithmetic
        self._dropout = FastDropout(randomness.seed_of(seed, ranks.number()))
        self._weights = list(model.parameters())
        self._evaluated = evaluated
        self._saved = saved
        _forget_precision()
        super().__init__(
            model=model,
            args=arguments(config, steps, seed, directory),
            data_collator=collate,
            train_dataset=rows,
            compute_loss_func=objective,
            callbacks=callbacks,
        )
        self.loss_is_scaled_for_ga = True
        self.remove_callback(PrinterCallback)
        self._adversary = Adversary(self.model, config.adversarial)
        self._recompute = Recompute(self.model, self._dropout, config.gradient_checkpointing)
        self._penalty = Penalty(self.model, config)
        self._share = 1.0
        self._recent_loss = torch.zeros((), device=self.args.device)
        self._recent_from = 0

    def create_accelerator_and_postprocess(self) -> None:
        """Make the accelerator, without the collection of garbage (0.3 s) at the start."""
        super().create_accelerator_and_postprocess()
        accelerator: Any = self.accelerator
        accelerator.free_memory = lambda *objects: list(objects)
        if ranks.sharded():  # it sees to its gradients by itself
            accelerator.prepare_model = lambda model, **options: model

    def _move_model_to_device(self, model: Any, device: torch.device) -> None:
        if not ranks.sharded():  # whole it may not fit; its parts are moved one by one
            super()._move_model_to_device(model, device)

    def release(self) -> None:
        """Let go of model, optimiser and data, which a cycle through callbacks would keep."""
        self._recompute.stop()
        self.callback_handler.callbacks.clear()
        self._weights.clear()
        for holder in (self, self.callback_handler):
            holder.model = holder.optimizer = holder.lr_scheduler = None
        self.callback_handler.train_dataloader = None
        self.model_wrapped = self.accelerator = None

    def recent_logs(self) -> dict[str, float]:
        """Return the mean loss since the last call, over all processes, and the learning rate.

        Raises:
            TrialFailed: The loss is not a finite number.
        """
        step = self.state.global_step
        loss = ranks.mean(self._recent_loss.item() / max(1, step - self._recent_from))
        self._recent_loss.zero_()
        self._recent_from = step
        self.refuse_nan("loss", loss)
        return {"loss": loss, "learning_rate": self._get_learning_rate()}

    def refuse_nan(self, what: str, value: float) -> None:
        """Stop the trial when ``value`` is not a finite number.

        Raises:
            TrialFailed: It is not.
        """
        if not math.isfinite(value):
            raise TrialFailed(
                f"{what} is {value} at step {self.state.global_step} of {self._steps.total}, "
                f"learning_rate={self._config.learning_rate:g}; lower the stage's learning_rate"
            )

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Make AdamW over all parameters: without an adapter any of them may train later."""
        if ranks.sharded():
            sharding.shard(self.model, self.args.device)
            self._weights = list(self.model.parameters())
        config = self._config
        self.optimizer = torch.optim.AdamW(
            parameter_groups(
                self.model if model is None else model,
                config.learning_rate,
                config.layer_decay,
                config.weight_decay,
                frozen=not config.adapter.active,
            ),
            lr=config.learning_rate,
            betas=(config.adam_beta1, config.adam_beta2),
            eps=config.adam_epsilon,
            fused=True,
        )
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Make the schedule of the learning rate."""
        config = self._config
        decay = {
            "num_decay_steps": decay_steps(config, num_training_steps),
            "decay_type": "linear",
        }
        names = {Schedule.constant: "constant_with_warmup"}
        self.lr_scheduler = get_scheduler(
            names.get(config.schedule, config.schedule.value),
            optimizer=self.optimizer if optimizer is None else optimizer,
            num_warmup_steps=warmup_steps(config, num_training_steps),
            num_training_steps=num_training_steps,
            scheduler_specific_kwargs=decay
            if config.schedule is Schedule.warmup_stable_decay
            else None,
        )
        return self.lr_scheduler

    def autocast_smart_context_manager(self, cache_enabled: bool | None = True) -> Any:
        """Run the forward pass in the stage's numerics."""
        return numerics.autocast(self._arithmetic, self.args.device.type)

    def compute_loss_context_manager(self) -> Any:
        """Run the forward pass in the stage's numerics, on a CPU with faster dropout."""
        stack = super().compute_loss_context_manager()
        if self.args.device.type == "cpu":
            stack.enter_context(self._dropout)
        return stack

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the objective's loss, over the labelled positions of the whole step.

        Penalties on weights count once a step, whatever the number of micro-batches.
        """
        extras = {name: inputs.pop(name) for name in list(inputs) if name in _NOT_FOR_THE_MODEL}

        def forward() -> Any:
            return model(**inputs, **self._objective.asks)

        def objective(outputs: Any) -> torch.Tensor:
            return self._objective(outputs, extras["labels"], {**inputs, **extras})

        with self.trunk.feeding(TRAIN, extras.get(ROWS), inputs):
            if self._config.r_drop:
                loss, outputs = r_drop(forward, objective, extras["labels"], self._config.r_drop)
            else:
                outputs = forward()
                loss = objective(outputs)
        # The positions are those of all processes, whose gradients are averaged.
        loss = loss * ranks.count() / torch.clamp(torch.as_tensor(num_items_in_batch), min=1)
        accelerator: Any = self.accelerator
        if self._penalty and accelerator.sync_gradients:
            loss = loss + self._penalty()
        if self._share != 1:
            loss = loss * self._share
        return (loss, outputs) if return_outputs else loss

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """Make one forward and backward pass; a loss that is not a number ends the trial."""
        if self._adversary:
            loss = self._adversarial_step(model, inputs, num_items_in_batch)
        else:
            loss = super().training_step(model, inputs, num_items_in_batch)
        self._recent_loss += loss
        if loss.device.type == "cpu":
            self.refuse_nan("loss", loss.item())
        return loss

    def _adversarial_step(self, model: Any, inputs: Any, items: Any) -> torch.Tensor:
        def learn(share: float) -> Any:
            self._share = share
            try:
                return super(StageTrainer, self).training_step(model, dict(inputs), items)
            finally:
                self._share = 1.0

        def loss() -> Any:
            with self.compute_loss_context_manager():
                return self.compute_loss(model, self._prepare_inputs(dict(inputs)), False, items)

        return self._adversary.learn(inputs.get("attention_mask"), learn, loss)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Have the model evaluated."""
        self.control.should_evaluate = False
        self.refuse_nan("loss", self._recent_loss.item())
        self._evaluated(self)
        return {}

    def save_run(self, directory: Path) -> None:
        """Write all that a resume needs beside the weights; every process must call it."""
        own = {"randomness": randomness.states(), "dropout": self._dropout.state()}
        states = ranks.everyone(own)
        optimizer = checkpoint.save_optimizer(self.optimizer, directory / checkpoint.OPTIMIZER)
        if not ranks.leads():
            return
        run = {
            "optimizer": optimizer,
            "schedule": checkpoint.save_schedule(self.lr_scheduler),
            **states[0],
            **({"others": states[1:]} if len(states) > 1 else {}),
        }
        (directory / checkpoint.RUN).write_text(json.dumps(run), encoding="utf-8")
        self.state.save_to_json(str(directory / TRAINER_STATE))

    def get_train_dataloader(self) -> Any:
        """Return batches of the rows, of which the sampler gives each process its share."""
        if ranks.count() == 1:
            return super().get_train_dataloader()
        loader = DataLoader(
            self.train_dataset,
            batch_size=self._train_batch_size,
            sampler=self._sampler,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        # As for a process alone: nothing is left to share out.
        device = self.args.device
        return prepare_data_loader(loader, device, num_processes=1, put_on_device=True)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self._sampler

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self._saved(self)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        directory = Path(resume_from_checkpoint)
        weights = directory / checkpoint.MODEL
        state = json.loads((directory / TRAINER_STATE).read_text(encoding="utf-8"))
        self._recent_from = int(state["global_step"])
        target = self.model if model is None else model
        checkpoint.load_weights(target, weights, frozen=not self._config.adapter.active)

    def _init_training_state(self, *args: Any, **kwargs: Any) -> Any:
        with quiet():  # a resume may have another micro-batch size, which Trainer warns about
            return super()._init_training_state(*args, **kwargs)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            _load_optimizer_and_schedule(self.optimizer, self.lr_scheduler, Path(checkpoint))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            run = _run(Path(checkpoint))
            if ranks.number():
                run = run["others"][ranks.number() - 1]
            randomness.restore(run["randomness"])
            self._dropout.restore(run["dropout"])

    def _clip_grad_norm(self, model: Any) -> torch.Tensor:
        """Clip gradients; those that are short enough are not even multiplied by one."""
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        norm = sharding.whole(torch.nn.utils.get_total_norm(gradients))
        if norm > self._config.max_grad_norm:
            torch.nn.utils.clip_grads_with_norm_(self._weights, self._config.max_grad_norm, norm)
        return norm

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        return grad_norm

    def floating_point_ops(self, inputs: Any) -> int:
        """Count nothing; the count costs time at every step and nobody reads it."""
        return 0


_NOT_FOR_THE_MODEL = frozenset({"labels", TEACHER_LOGITS, ROWS})


def arguments(
    config: TrainingConfig, steps: Steps, seed: int, directory: Path
) -> TrainingArguments:
    """Return Trainer's own options; what it would print, log or save by itself is off."""
    together = ranks.count() > 1
    return TrainingArguments(
        output_dir=str(directory),
        max_steps=steps.total,
        per_device_train_batch_size=steps.micro_batch,
        gradient_accumulation_steps=steps.accumulation,
        max_grad_norm=config.max_grad_norm,
        learning_rate=config.learning_rate,
        optim="adamw_torch_fused",
        seed=randomness.seed_of(seed, ranks.number()),
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=torch.cuda.is_available(),
        average_tokens_across_devices=together,
        ddp_find_unused_parameters=not config.gradient_checkpointing,
        ddp_broadcast_buffers=False,
        use_cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available()),
    )


def _forget_precision() -> None:
    """Let an Accelerator of another precision, made earlier in this process, be no hindrance."""
    from accelerate.state import AcceleratorState

    if AcceleratorState._shared_state.get("_mixed_precision", "no") != "no":
        AcceleratorState._reset_state()


def _run(directory: Path) -> Mapping[str, Any]:
    run: Mapping[str, Any] = json.loads((directory / checkpoint.RUN).read_text(encoding="utf-8"))
    return run


def _load_optimizer_and_schedule(optimizer: Any, schedule: Any, directory: Path) -> None:
    run = _run(directory)
    checkpoint.load_optimizer(optimizer, directory / checkpoint.OPTIMIZER, run["optimizer"])
    checkpoint.load_schedule(schedule, run["schedule"])
