"""How PyTorch operators become ONNX nodes where the exporter's own way is not ours."""

# onnxscript turns these bodies into graphs; its stubs do not know that tensors have one type.
# mypy: disable-error-code="type-var, return-value, no-any-return"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnxscript
import torch
from onnxscript import FLOAT, INT32, opset18

from .operators import DOMAIN

_domain = onnxscript.values.Opset(DOMAIN, 1)


@onnxscript.script(_domain, default_opset=opset18)
def _block_mask_node(
    reader_kind: INT32, reader_slot: INT32, read_kind: INT32, read_slot: INT32, table: list[int]
) -> FLOAT:
    return _domain.BlockMask(reader_kind, reader_slot, read_kind, read_slot, table=table)


@onnxscript.script(_domain, default_opset=opset18)
def _masked_attention_node(
    q: FLOAT, past_k: FLOAT, past_v: FLOAT, k: FLOAT, v: FLOAT, mask: FLOAT, scale: float
) -> FLOAT:
    return _domain.MaskedAttention(q, past_k, past_v, k, v, mask, scale=scale)


@onnxscript.script(default_opset=opset18)
def _plain_attention(q: FLOAT, k: FLOAT, v: FLOAT, scale: float) -> FLOAT:
    keys = opset18.Transpose(k, perm=[0, 1, 3, 2])
    scores = opset18.MatMul(opset18.Mul(q, opset18.Constant(value_float=scale)), keys)
    return opset18.MatMul(opset18.Softmax(scores, axis=-1), v)


@onnxscript.script(default_opset=opset18)
def _biased_attention(q: FLOAT, k: FLOAT, v: FLOAT, bias: FLOAT, scale: float) -> FLOAT:
    keys = opset18.Transpose(k, perm=[0, 1, 3, 2])
    scores = opset18.MatMul(opset18.Mul(q, opset18.Constant(value_float=scale)), keys)
    return opset18.MatMul(opset18.Softmax(opset18.Add(scores, bias), axis=-1), v)


def _attention_nodes(q: Any, k: Any, v: Any, attn_mask: Any = None, *_: Any, **__: Any) -> Any:
    """Attention of the towers without PyTorch's guard for rows that read nothing.

    PyTorch's own translation adds IsNaN and Where for such rows; these networks have none.
    """
    scale = float(q.shape[-1]) ** -0.5
    if attn_mask is None:
        return _plain_attention(q, k, v, scale=scale)
    return _biased_attention(q, k, v, attn_mask, scale=scale)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.dreamvla.block_mask.default: _block_mask_node,
    torch.ops.dreamvla.masked_attention.default: _masked_attention_node,
    torch.ops.aten.scaled_dot_product_attention.default: _attention_nodes,
}
