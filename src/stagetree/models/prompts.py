"""Virtual tokens that a frozen model attends to: prefix and prompt tuning.

A *prefix* is keys and values in front of every attention (Li and Liang 2021, arXiv 2101.00190; for
encoders Liu et al. 2022, "P-Tuning v2", arXiv 2110.07602). A *prompt* is embeddings among those of
the words (Lester et al. 2021, arXiv 2104.08691). ``peft`` has both, but its prefixes need a model
that takes a cache (DistilBERT does not), and its prompts shift the first token, from which a
sentence is classified, and the outputs; here every model of ``transformers``' attention interface
gets a prefix, and outputs keep their places.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stagetree.core.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from transformers import PreTrainedModel

ATTENTION = "stagetree_prefix"
"""Name of the attention that looks at prefixes."""

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_KEYS, _VALUES, _PROMPT = "prefix_keys", "prefix_values", "prompt"
_SPREAD = 0.02
_BEFORE = "_before_virtual_tokens"


def attach(model: PreTrainedModel, method: str, tokens: int) -> dict[str, torch.nn.Parameter]:
    """Put new virtual tokens, drawn from the global random state, on a model.

    Args:
        model: The model; it is changed, but for its weights.
        method: ``prefix`` or ``prompt``.
        tokens: How many.

    Returns:
        The new parameters, by their names in the model.

    Raises:
        ModelError: The model cannot take them.
    """
    if model.config.is_encoder_decoder:
        raise ModelError(
            f"{type(model).__name__} is an encoder and a decoder, which take no {method}; "
            "choose adapter.method=lora"
        )
    before = {name for name, _ in model.named_parameters()}
    usual = model.config._attn_implementation
    handles = _prefix(model, tokens) if method == "prefix" else _prompt(model, tokens)
    setattr(model, _BEFORE, (usual, handles))
    return {name: weight for name, weight in model.named_parameters() if name not in before}


def detach(model: PreTrainedModel, parameters: dict[str, torch.nn.Parameter]) -> None:
    """Take virtual tokens off a model."""
    usual, handles = getattr(model, _BEFORE)
    for handle in handles:
        handle.remove()
    delattr(model, _BEFORE)
    for name in parameters:
        owner, _, own = name.rpartition(".")
        delattr(model.get_submodule(owner), own)
    if model.config._attn_implementation == ATTENTION:
        model.set_attn_implementation(usual)


def save(
    directory: Path, method: str, tokens: int, parameters: dict[str, torch.nn.Parameter]
) -> None:
    """Write virtual tokens to a new directory."""
    from safetensors.torch import save_file

    directory.mkdir()
    save_file(
        {name: weight.detach().contiguous() for name, weight in parameters.items()},
        directory / WEIGHTS,
    )
    settings = {"method": method, "virtual_tokens": tokens}
    (directory / CONFIG).write_text(json.dumps(settings, indent=2), encoding="utf-8")


def load(model: PreTrainedModel, directory: Path) -> None:
    """Put the virtual tokens of :func:`save` on a model.

    Raises:
        ModelError: The files cannot be read, or are of another model.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        settings = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
        stored = load_file(directory / WEIGHTS)
        with torch.random.fork_rng(devices=[]):
            added = attach(model, settings["method"], settings["virtual_tokens"])
        for name, weight in added.items():
            weight.data.copy_(stored[name])
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"cannot read the adapter in {directory}: {error!r}") from error


def _prefix(model: PreTrainedModel, tokens: int) -> list[Any]:
    import torch

    _register()
    usual = model.config._attn_implementation
    model.set_attn_implementation(ATTENTION)
    for module, (heads, width) in _attentions(model).items():
        for name in (_KEYS, _VALUES):
            first = torch.randn(heads, tokens, width, device=model.device) * _SPREAD
            module.register_parameter(name, torch.nn.Parameter(first))
    if not any(name.endswith(_KEYS) for name, _ in model.named_parameters()):
        model.set_attn_implementation(usual)
        raise ModelError(
            f"{type(model).__name__} cannot take a prefix: its attention is not that of "
            "transformers' interface; choose adapter.method=prompt or lora"
        )
    return [model.register_forward_pre_hook(_refuse_other_attention)]


def _refuse_other_attention(model: Any, inputs: Any) -> None:
    if model.config._attn_implementation != ATTENTION:
        raise ModelError(
            f"expected attention {ATTENTION!r}, which looks at the prefix, but got "
            f"{model.config._attn_implementation!r}; attention maps of a model with a prefix "
            "cannot be had"
        )


def _attentions(model: PreTrainedModel) -> dict[Any, tuple[int, int]]:
    """Return every module that attends, with its number of key heads and their width."""
    import torch

    seen: dict[Any, tuple[int, int]] = {}
    training = model.training
    _watchers.append(seen)
    try:
        with torch.no_grad():
            model.eval()(input_ids=torch.zeros(1, 2, dtype=torch.long, device=model.device))
    finally:
        _watchers.pop()
        model.train(training)
    return seen


_watchers: list[dict[Any, tuple[int, int]]] = []


def _register() -> None:
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    def mask(*args: Any, **options: Any) -> Any:
        # Causality must not be left to a flag: a prefix makes the keys more than the queries.
        return sdpa_mask(*args, **{**options, "allow_is_causal_skip": False})

    AttentionInterface.register(ATTENTION, _attend)
    AttentionMaskInterface.register(ATTENTION, mask)


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> Any:
    """Attend to the module's prefix and to what is there."""
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if _watchers:
        _watchers[-1][module] = (key.shape[1], key.shape[-1])
    keys = getattr(module, _KEYS, None)
    if keys is not None:
        rows = key.shape[0]
        key = torch.cat((keys.to(key.dtype).expand(rows, -1, -1, -1), key), 2)
        values = getattr(module, _VALUES).to(value.dtype)
        value = torch.cat((values.expand(rows, -1, -1, -1), value), 2)
        if attention_mask is not None:
            seen = True if attention_mask.dtype == torch.bool else 0.0
            shape = (*attention_mask.shape[:-1], keys.shape[1])
            attention_mask = torch.cat((attention_mask.new_full(shape, seen), attention_mask), -1)
        options["is_causal"] = False
    return sdpa_attention_forward(module, query, key, value, attention_mask, **options)


def _prompt(model: PreTrainedModel, tokens: int) -> list[Any]:
    import torch

    base, embedding = model.base_model, model.get_input_embeddings()
    if base is model:
        raise ModelError(f"{type(model).__name__} cannot take a prompt; choose adapter.method=lora")
    words = torch.randint(len(embedding.weight), (tokens,)).to(model.device)
    first = embedding.weight.detach()[words].clone()
    base.register_parameter(_PROMPT, torch.nn.Parameter(first))
    return [
        base.register_forward_pre_hook(_insert(tokens), with_kwargs=True),
        base.register_forward_hook(_leave_out(tokens)),
    ]


def _insert(tokens: int) -> Any:
    """Return a hook that puts the prompt after the first token, whose output heads read."""
    import torch

    def insert(base: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        given = dict(kwargs)
        ids = args[0] if args else given.pop("input_ids")
        embedded = base.get_input_embeddings()(ids)
        prompt = getattr(base, _PROMPT).to(embedded.dtype).expand(len(ids), -1, -1)
        given["inputs_embeds"] = torch.cat((embedded[:, :1], prompt, embedded[:, 1:]), 1)
        room = getattr(base.config, "max_position_embeddings", None)
        if room is not None and given["inputs_embeds"].shape[1] > room:
            raise ModelError(
                f"{tokens} virtual tokens and an input of {ids.shape[1]} are more than the "
                f"{room} positions of the model; lower max_length or adapter.virtual_tokens"
            )
        mask = args[1] if len(args) > 1 else given.get("attention_mask")
        given["attention_mask"] = _widened(torch.ones_like(ids) if mask is None else mask, tokens)
        if given.get("token_type_ids") is not None:
            given["token_type_ids"] = _widened(given["token_type_ids"], tokens)
        return (), given

    return insert


def _widened(ids: torch.Tensor, tokens: int) -> torch.Tensor:
    """Repeat what stands at the first position for the prompt after it."""
    import torch

    return torch.cat((ids[:, :1], ids[:, :1].expand(-1, tokens), ids[:, 1:]), 1)


def _leave_out(tokens: int) -> Any:
    """Return a hook that takes the prompt's positions out of the outputs."""
    import torch

    def shorter(states: torch.Tensor) -> torch.Tensor:
        return torch.cat((states[:, :1], states[:, 1 + tokens :]), 1)

    def leave_out(base: Any, args: Any, output: Any) -> Any:
        output["last_hidden_state"] = shorter(output.last_hidden_state)
        if output.get("hidden_states") is not None:
            output["hidden_states"] = tuple(shorter(states) for states in output.hidden_states)
        return output

    return leave_out
