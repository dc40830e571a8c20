"""Differences between what two models compute inside, a number for each row.

Every function takes a mask ``real`` of shape (rows, length), true at tokens and false at padding,
and means over real tokens only, so that what a row is padded to changes nothing.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional


def hidden_difference(
    student: torch.Tensor, teacher: torch.Tensor, real: torch.Tensor
) -> torch.Tensor:
    """Return the mean squared difference of hidden states, over tokens and width: (rows,).

    Args:
        student: (rows, length, width), projected to the teacher's width.
        teacher: (rows, length, width).
        real: Where tokens are.
    """
    return _over_tokens((student - teacher).square().mean(dim=-1), real)


def attention_scores(queries: torch.Tensor, keys: torch.Tensor, heads: int) -> torch.Tensor:
    """Return scaled products of queries and keys: (rows, heads, length, length).

    Args:
        queries: (rows, length, width).
        keys: (rows, length, width).
        heads: Into how many heads the width is divided.
    """
    query, key = _divided(queries, heads), _divided(keys, heads)
    return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])


def log_attention(scores: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Return log probabilities over real tokens: the shape of ``scores``."""
    lowest = torch.finfo(scores.dtype).min
    return functional.log_softmax(scores.masked_fill(~real[:, None, None], lowest), dim=-1)


def attention_difference(
    student: torch.Tensor, teacher: torch.Tensor, real: torch.Tensor
) -> torch.Tensor:
    """Return the mean squared difference, over heads and pairs of tokens: (rows,).

    Args:
        student: Scores or probabilities, (rows, heads, length, length).
        teacher: The same of the teacher.
        real: Where tokens are.
    """
    pairs = (student - teacher).square().mean(dim=1) * real[:, None]
    return _over_tokens(pairs.sum(dim=-1) / real.sum(dim=-1, keepdim=True), real)


def relation_divergence(
    student: torch.Tensor, teacher: torch.Tensor, real: torch.Tensor
) -> torch.Tensor:
    """Return KL(teacher || student) of relations, meant over heads and tokens: (rows,).

    This is the loss of MiniLM (Wang et al. 2020, arXiv 2002.10957; 2021, arXiv 2012.15828).

    Args:
        student: Scores (rows, heads, length, length).
        teacher: Scores of as many heads.
        real: Where tokens are.
    """
    theirs, ours = log_attention(teacher, real), log_attention(student, real)
    divergence = (theirs.exp() * (theirs - ours)).sum(dim=-1)
    return _over_tokens(divergence.mean(dim=1), real)


def _divided(values: torch.Tensor, heads: int) -> torch.Tensor:
    rows, length, _ = values.shape
    return values.view(rows, length, heads, -1).transpose(1, 2)


def _over_tokens(values: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    return (values * real).sum(dim=-1) / real.sum(dim=-1)
