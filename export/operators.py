"""The two operators that are ours: `dreamvla::BlockMask` and `dreamvla::MaskedAttention`.

Each exists three times with the same meaning: as a PyTorch operator (so that wrappers run in
eager mode), as an ONNX node written by the exporter, and as a model-local ONNX function of
standard operators, so that every runtime runs the file. A back end with a fused kernel replaces
the node and takes the codes and the table instead of the mask.
"""

from __future__ import annotations

import onnx
import torch
from onnx.parser import parse_function
from torch import Tensor

from dreamvla_edge.model.mask import additive, reads

DOMAIN = "dreamvla"
OPSET, IR_VERSION = 20, 10


@torch.library.custom_op("dreamvla::block_mask", mutates_args=())
def block_mask(
    reader_kind: Tensor,
    reader_slot: Tensor,
    read_kind: Tensor,
    read_slot: Tensor,
    table: list[int],
) -> Tensor:
    """Additive mask (T, M): 0 where a table row allows reading, -inf elsewhere.

    reader_*: (T) int32 codes; read_*: (M) int32 codes; table: rows of four, flattened.
    """
    rows = torch.tensor(table).reshape(-1, 4)
    return additive(reads(rows, reader_kind, reader_slot, read_kind, read_slot))


@block_mask.register_fake
def _(
    reader_kind: Tensor,
    reader_slot: Tensor,
    read_kind: Tensor,
    read_slot: Tensor,
    table: list[int],
) -> Tensor:
    return torch.empty(reader_kind.shape[0], read_kind.shape[0])


@torch.library.custom_op("dreamvla::masked_attention", mutates_args=())
def masked_attention(
    q: Tensor, past_k: Tensor, past_v: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float
) -> Tensor:
    """softmax(scale·q·[past_k; k]ᵀ + mask)·[past_v; v].

    q (H, M, d); past_* (H, N, d); k, v (H, T, d); mask (M, N+T) additive → (H, M, d).
    """
    keys, values = torch.cat([past_k, k], 1), torch.cat([past_v, v], 1)
    scores = (q * scale) @ keys.transpose(1, 2) + mask
    return scores.softmax(-1) @ values


@masked_attention.register_fake
def _(
    q: Tensor, past_k: Tensor, past_v: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float
) -> Tensor:
    return torch.empty_like(q)


# The mask is float32, attention of any type: a quantized bundle has it in halves.
# A reader of another kind gets a slot above every bound, a token of another kind one below, so
# two comparisons per table row decide. Tensor names are unique across functions because
# TensorRT before 10.8 mixes up equal names.
_BLOCK_MASK = f"""
<opset_import: ["" : {OPSET}], domain: "{DOMAIN}">
BlockMask <table> (bm_reader_kind, bm_reader_slot, bm_read_kind, bm_read_slot) => (bm_mask)
{{
  bm_flat = Constant <value_ints: ints = @table> ()
  bm_shape = Constant <value = int64[4] {{-1, 4, 1, 1}}> ()
  bm_rows64 = Reshape (bm_flat, bm_shape)
  bm_rows = Cast <to = 6> (bm_rows64)
  bm_sizes = Constant <value = int64[4] {{1, 1, 1, 1}}> ()
  bm_c0, bm_c1, bm_c2, bm_c3 = Split <axis = 1> (bm_rows, bm_sizes)
  bm_axis1 = Constant <value = int64[1] {{1}}> ()
  bm_reader = Squeeze (bm_c0, bm_axis1)
  bm_read = Squeeze (bm_c1, bm_axis1)
  bm_first = Squeeze (bm_c2, bm_axis1)
  bm_last = Squeeze (bm_c3, bm_axis1)
  bm_above = Constant <value = int32 {{1000000}}> ()
  bm_below = Constant <value = int32 {{-1000000}}> ()
  bm_reader_kinds = Unsqueeze (bm_reader_kind, bm_axis1)
  bm_reader_slots = Unsqueeze (bm_reader_slot, bm_axis1)
  bm_reader_is = Equal (bm_reader_kinds, bm_reader)
  bm_reader_at = Where (bm_reader_is, bm_reader_slots, bm_above)
  bm_lower = Add (bm_reader_at, bm_first)
  bm_upper = Add (bm_reader_at, bm_last)
  bm_read_is = Equal (bm_read_kind, bm_read)
  bm_read_at = Where (bm_read_is, bm_read_slot, bm_below)
  bm_not_before = GreaterOrEqual (bm_read_at, bm_lower)
  bm_not_after = LessOrEqual (bm_read_at, bm_upper)
  bm_hit = And (bm_not_before, bm_not_after)
  bm_hits = Cast <to = 1> (bm_hit)
  bm_axis0 = Constant <value = int64[1] {{0}}> ()
  bm_any = ReduceMax <keepdims = 0> (bm_hits, bm_axis0)
  bm_allowed = Cast <to = 9> (bm_any)
  bm_open = Constant <value = float {{0}}> ()
  bm_closed = Constant <value = float {{-inf}}> ()
  bm_mask = Where (bm_allowed, bm_open, bm_closed)
}}
"""

_MASKED_ATTENTION = f"""
<opset_import: ["" : {OPSET}], domain: "{DOMAIN}">
MaskedAttention <scale> (ma_q, ma_past_k, ma_past_v, ma_k, ma_v, ma_mask) => (ma_out)
{{
  ma_factor = Constant <value_float: float = @scale> ()
  ma_scale = CastLike (ma_factor, ma_q)
  ma_scaled = Mul (ma_q, ma_scale)
  ma_keys = Concat <axis = 1> (ma_past_k, ma_k)
  ma_columns = Transpose <perm = [0, 2, 1]> (ma_keys)
  ma_scores = MatMul (ma_scaled, ma_columns)
  ma_bias = CastLike (ma_mask, ma_q)
  ma_biased = Add (ma_scores, ma_bias)
  ma_weights = Softmax <axis = -1> (ma_biased)
  ma_values = Concat <axis = 1> (ma_past_v, ma_v)
  ma_out = MatMul (ma_weights, ma_values)
}}
"""


def functions() -> list[onnx.FunctionProto]:
    """The model-local functions, to be appended to a model that uses the nodes."""
    return [parse_function(text) for text in (_BLOCK_MASK, _MASKED_ATTENTION)]
