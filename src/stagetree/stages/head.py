"""Taking one task out of a model for several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from omegaconf import MISSING

from stagetree.core.errors import ModelError
from stagetree.stages.base import STAGES, Stage, StageConfig, StageContext

if TYPE_CHECKING:
    from stagetree.models.forms.multitask import MultitaskRunner


@dataclass
class HeadConfig(StageConfig):
    """Options of ``head``.

    Attributes:
        kind: ``head``.
        task: Name of the task, one of ``task.tasks``.
    """

    kind: str = "head"
    task: str = MISSING


@STAGES.register("head")
class PickHead(Stage):
    """Gives the encoder with one head as a plain model; later stages see its task only."""

    kind: ClassVar[str] = "head"
    Config: ClassVar[type[StageConfig]] = HeadConfig
    needs_input: ClassVar[bool] = True
    several_heads: ClassVar[bool] = True

    @classmethod
    def narrows(cls, config: Any) -> str | None:
        """See :meth:`Stage.narrows`."""
        return str(config.task)

    @classmethod
    def run(cls, config: Any, context: StageContext) -> None:
        """See :meth:`Stage.run`."""
        from stagetree.models.load import load

        runner: MultitaskRunner | Any = load(context.inputs["input"], device="cpu")
        if not hasattr(runner, "export"):
            raise ModelError(
                f"expected the input of {context.name!r} to be a model with several heads but got "
                f"one of form {runner.form!r}"
            )
        runner.export(config.task, context.output)
        context.stepped(1, 1, {})
