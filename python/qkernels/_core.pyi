# Written by scripts/make_stubs.py from the extension's signatures.
"""
The C++ core of qkernels; use the functions of the package instead.
"""
from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import typing
__all__: list[str] = ['Activations', 'FormatInfo', 'GGUF', 'GGUFTensor', 'KVCache', 'Llama', 'Sampler', 'Weights', 'as_tensor', 'attention', 'attention_scores', 'can_quantize', 'check_gated', 'check_mapped', 'cpu_info', 'dequantize', 'force_isa', 'format_info', 'formats', 'get_rows', 'integer_group', 'isa', 'isas', 'kept_columns', 'know_torch', 'linear', 'quantize', 'quantize_activations', 'raw_ints', 'raw_scales', 'read_pass', 'read_variants', 'rmsnorm_linear', 'rope', 'set_threads', 'store', 'stream_gemv', 'stream_layouts', 'swiglu_ffn', 'swiglu_proj', 'takes_importance', 'threads']
class Weights:
    """
    A view of quantised weights, of shape (..., k).
    """
    def __init__(self, data: typing.Any, fmt: typing.Any, k: typing.SupportsIndex | None) -> None:
        ...
    def __reduce__(self) -> typing.Any:
        ...
    def pack(self, threads: typing.SupportsIndex, huge_pages: bool) -> Weights:
        """
        The same weights in this ISA's panels.
        """
    def unpack(self, threads: typing.SupportsIndex) -> numpy.typing.NDArray[numpy.uint8]:
        """
        The native blocks, (n, row_bytes).
        """
    @property
    def fmt(self) -> str:
        ...
    @property
    def isa(self) -> str | None:
        """
        The ISA that the weights were packed for; None where they are not packed.
        """
    @property
    def k(self) -> int:
        ...
    @property
    def n(self) -> int:
        ...
    @property
    def panel_rows(self) -> int:
        """
        Rows that lie together; 1 natively.
        """
    @property
    def row_bytes(self) -> int:
        ...
    @property
    def shape(self) -> tuple[int, ...]:
        ...
class FormatInfo:
    """
    What a format says of itself.
    """
    def __reduce__(self) -> typing.Any:
        ...
    @property
    def block(self) -> int:
        """
        Weights a block.
        """
    @property
    def block_bytes(self) -> int:
        ...
    @property
    def file_type(self) -> int | None:
        """
        What general.file_type is of a file of it; None where there is no number.
        """
    @property
    def gguf_id(self) -> int | None:
        """
        Its ggml_type; None of a format without one.
        """
    @property
    def group(self) -> int | None:
        """
        Weights that share a scale; None of floats.
        """
    @property
    def integers(self) -> str | None:
        """
        What its integers are without their scales; None of floats.
        """
    @property
    def is_float(self) -> bool:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def panel_bytes(self) -> int:
        """
        What packed weights have of a block.
        """
class Activations:
    """
    x quantised once, accepted as x by every product.
    """
    def __copy__(self) -> typing.Any:
        ...
    def __deepcopy__(self, memo: typing.Any) -> typing.Any:
        ...
    def __reduce__(self) -> typing.Any:
        """
        Refused: another process may have another ISA.
        """
    @property
    def act(self) -> str:
        """
        How x is held: 'int16', 'float32' or 'int8'.
        """
    @property
    def framework(self) -> str:
        """
        What products with it return: 'numpy' or 'torch' arrays.
        """
    @property
    def isa(self) -> str:
        """
        The ISA whose kernels read it.
        """
    @property
    def nbytes(self) -> int:
        """
        The memory it takes, in bytes.
        """
    @property
    def shape(self) -> tuple[int, ...]:
        """
        The shape (..., k) of x.
        """
class KVCache:
    """
    Keys and values of one layer, which grow by appending.
    """
    def __init__(self, kv_heads: typing.SupportsIndex, head_dim: typing.SupportsIndex, capacity: typing.SupportsIndex, dtype: typing.Any) -> None:
        ...
    def __reduce__(self) -> typing.Any:
        ...
    def append(self, k: typing.Any, v: typing.Any, threads: typing.SupportsIndex) -> None:
        """
        Appends keys and values of shape (kv_heads, tokens, head_dim).
        """
    def attend(self, q: typing.Any, scale: typing.SupportsFloat | typing.SupportsIndex | None, causal: bool, out: typing.Any, threads: typing.SupportsIndex) -> typing.Any:
        """
        Attention of queries (heads, m, head_dim).
        """
    def contents(self) -> tuple[numpy.ndarray[typing.Any, typing.Any], numpy.ndarray[typing.Any, typing.Any]]:
        """
        Copies of its keys and values, in float32.
        """
    def truncate(self, length: typing.SupportsIndex) -> None:
        """
        Forgets the positions from `length` on.
        """
    @property
    def capacity(self) -> int:
        ...
    @property
    def dtype(self) -> str:
        ...
    @property
    def head_dim(self) -> int:
        ...
    @property
    def kv_heads(self) -> int:
        ...
    @property
    def length(self) -> int:
        ...
    @property
    def nbytes(self) -> int:
        ...
class GGUFTensor:
    """
    An entry of a GGUF file's tensor table.
    """
    def __reduce__(self) -> typing.Any:
        ...
    @property
    def fault(self) -> str | None:
        ...
    @property
    def fmt(self) -> str | None:
        ...
    @property
    def nbytes(self) -> int | None:
        ...
    @property
    def offset(self) -> int:
        ...
    @property
    def shape(self) -> tuple[int, ...]:
        ...
    @property
    def stored(self) -> tuple[int, ...]:
        ...
    @property
    def type_id(self) -> int:
        ...
    @property
    def type_name(self) -> str | None:
        ...
    @property
    def unread(self) -> str | None:
        ...
class GGUF:
    """
    An open GGUF file: keys and tensors by index.
    """
    def __init__(self, path: typing.Any, mmap: bool) -> None:
        ...
    def __reduce__(self) -> typing.Any:
        ...
    def elements(self, index: typing.SupportsIndex) -> numpy.ndarray[typing.Any, typing.Any]:
        """
        A tensor of a scalar type in its own shape and dtype; bf16 as uint16.
        """
    def find_key(self, key: str) -> int:
        """
        The index of a key, or -1.
        """
    def find_tensor(self, name: str) -> int:
        """
        The index of a tensor, or -1.
        """
    def keys(self) -> list[str]:
        ...
    def raw_tensor(self, index: typing.SupportsIndex) -> numpy.ndarray[typing.Any, typing.Any]:
        """
        The bytes of a tensor of any type; of an unknown one, up to the next tensor.
        """
    def raw_value(self, key: typing.SupportsIndex) -> numpy.ndarray[typing.Any, typing.Any]:
        """
        A metadata value as the file has it, from the id of its type on.
        """
    def rows(self, index: typing.SupportsIndex) -> numpy.ndarray[typing.Any, typing.Any]:
        """
        The blocks of a tensor's rows, uint8 (..., row_bytes).
        """
    def tensor(self, index: typing.SupportsIndex) -> GGUFTensor:
        ...
    def tensor_names(self) -> list[str]:
        ...
    def value(self, key: typing.SupportsIndex, most: typing.SupportsIndex | None = None) -> typing.Any:
        """
        A metadata value: str, int, float, bool, or a list of one of them or of lists; at most so many elements of an array.
        """
    def value_type(self, key: typing.SupportsIndex) -> tuple[str, int | None, int]:
        """
        The name of a value's type, the length of an array or None, and the bytes it takes.
        """
    @property
    def alignment(self) -> int:
        ...
    @property
    def data_begin(self) -> int:
        ...
    @property
    def key_count(self) -> int:
        ...
    @property
    def nbytes(self) -> int:
        ...
    @property
    def tensor_count(self) -> int:
        ...
    @property
    def version(self) -> int:
        ...
class Sampler:
    """
    Chooses tokens from logits.
    """
    def __init__(self, temperature: typing.SupportsFloat | typing.SupportsIndex, top_k: typing.SupportsIndex, top_p: typing.SupportsFloat | typing.SupportsIndex, min_p: typing.SupportsFloat | typing.SupportsIndex, repetition_penalty: typing.SupportsFloat | typing.SupportsIndex, repeat_last: typing.SupportsIndex, seed: typing.SupportsIndex) -> None:
        ...
    def __reduce__(self) -> typing.Any:
        ...
    def accept(self, token: typing.SupportsIndex) -> None:
        """
        Enters a token into the window of the repetition penalty.
        """
    def choose(self, logits: typing.Annotated[numpy.typing.ArrayLike, numpy.float32]) -> int:
        """
        A token for logits of shape (vocabulary,); ValueError where they hold NaN.
        """
class Llama:
    """
    A model, its cache of keys and values, and its workspace.
    """
    def __init__(self, config: dict[str, typing.Any], tensors: dict[str, typing.Any], cache: str, context: typing.SupportsIndex, act: typing.Any, threads: typing.SupportsIndex) -> None:
        ...
    def __reduce__(self) -> typing.Any:
        ...
    def cache_bytes(self, position: typing.SupportsIndex) -> int:
        """
        The bytes of keys and values before a position.
        """
    def forward(self, tokens: collections.abc.Sequence[typing.SupportsIndex], logits: str) -> typing.Any:
        """
        Appends tokens; the logits of the 'last' or of 'all' of them, or 'none'.
        """
    def profile(self) -> dict[str, float]:
        """
        Seconds by operator since the last call.
        """
    def sample(self, sampler: Sampler) -> int:
        """
        A token from the logits of the last one, which the sampler accepts.
        """
    def step(self, token: typing.SupportsIndex, sampler: Sampler) -> int:
        """
        Appends one token and returns the next, which the sampler accepts.
        """
    def truncate(self, position: typing.SupportsIndex) -> None:
        """
        Forgets the tokens from `position` on.
        """
    @property
    def batch(self) -> int:
        ...
    @property
    def context(self) -> int:
        ...
    @property
    def position(self) -> int:
        ...
    @property
    def vocabulary(self) -> int:
        ...
    @property
    def weight_bytes(self) -> int:
        ...
def as_tensor(array: typing.Any) -> typing.Any:
    """
    A torch tensor over an array's memory.
    """
def attention(q: typing.Any, k: typing.Any, v: typing.Any, scale: typing.SupportsFloat | typing.SupportsIndex | None, causal: bool, out: typing.Any, threads: typing.SupportsIndex) -> typing.Any:
    """
    softmax(scale * q @ k.T) @ v by heads.
    """
def attention_scores(q: typing.Any, k: typing.Any, scale: typing.SupportsFloat | typing.SupportsIndex | None, causal: bool, out: typing.Any, threads: typing.SupportsIndex) -> typing.Any:
    """
    softmax(scale * q @ k.T) by heads.
    """
def can_quantize(fmt: typing.Any) -> bool:
    """
    Whether weights can be quantised to a format.
    """
def check_gated(n: typing.SupportsIndex, bias: typing.Any, act: typing.Any, out: typing.Any, weights: collections.abc.Sequence[Weights]) -> typing.Any:
    """
    Checks a product of n rows that is made in parts; its bias in float32, or None.
    """
def check_mapped(data: numpy.ndarray[typing.Any, typing.Any]) -> None:
    """
    ValueError where memory of an array has been cut off the file that it is mapped from: what
    was read there since were zeros.
    """
def cpu_info() -> dict[str, typing.Any]:
    """
    The CPU's name, features and usable processors.
    """
def dequantize(weights: Weights, out: typing.Any, threads: typing.SupportsIndex) -> None:
    """
    Decodes weights into out.
    """
def force_isa(name: str) -> None:
    """
    Makes `name` the ISA in use; ValueError when this build or this CPU lacks it.
    """
def format_info(fmt: typing.Any) -> FormatInfo:
    """
    What a format says of itself.
    """
def formats() -> list[str]:
    """
    The names of the formats of this build.
    """
def get_rows(weights: Weights, ids: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], out: typing.Any, threads: typing.SupportsIndex) -> None:
    """
    Decodes the rows `ids` into out, of shape (*ids.shape, k).
    """
def integer_group(weights: Weights) -> int:
    """
    Weights that share a scale.
    """
def isa() -> str:
    """
    The ISA in use.
    """
def isas(*, all: bool = False, for_tests: bool = False) -> list[str]:
    """
    The ISAs that this CPU runs, worst first; those too that are never chosen when `for_tests`, all that were built when `all`.
    """
def kept_columns(x: typing.Any, keep: typing.Annotated[numpy.typing.ArrayLike, numpy.bool], block_k: typing.SupportsIndex, gather: bool) -> numpy.ndarray[typing.Any, typing.Any]:
    """
    x of shape (k,) in float32, with zeros in the blocks of columns whose `keep` is False, or without those when `gather`.
    """
def know_torch(tensor: typing.Any, parameter: typing.Any, dtypes: dict[typing.Any, str], forward_ad: typing.Any, is_grad_enabled: typing.Any, from_numpy: typing.Any, count_write: typing.Any) -> None:
    """
    Hands over what the core needs to read and make torch tensors.
    """
def linear(weights: Weights, x: typing.Any, bias: typing.Any, act: typing.Any, out: typing.Any, threads: typing.SupportsIndex, vector: bool) -> typing.Any:
    """
    x @ weights.T + bias for x of shape (..., k), or (k,) alone when `vector`.
    """
def quantize(a: typing.Any, fmt: typing.Any, imatrix: typing.Any, pad: bool, threads: typing.SupportsIndex, first_row: typing.SupportsIndex = 0) -> numpy.typing.NDArray[numpy.uint8]:
    """
    The blocks of weights (..., k), uint8 (..., row_bytes).
    """
def quantize_activations(x: typing.Any, act: typing.Any, threads: typing.SupportsIndex) -> Activations:
    """
    Quantises x, of shape (..., k).
    """
def raw_ints(weights: Weights, threads: typing.SupportsIndex) -> numpy.typing.NDArray[numpy.int8]:
    """
    The integers of weights without their scales, of the weights' shape.
    """
def raw_scales(weights: Weights, threads: typing.SupportsIndex) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32]]:
    """
    (scales, mins) with which weight = scale * integer + min, one a group of a row.
    """
def read_pass(data: typing.Any, variant: typing.Any, threads: typing.SupportsIndex) -> int:
    """
    Reads uint8 data once and returns the sum modulo 2^64 of its 64-bit words, the last one
    completed with zero bytes.
    """
def read_variants() -> list[str]:
    """
    The names of the ways in which `read_pass` walks.
    """
def rmsnorm_linear(weights: Weights, x: typing.Any, gains: typing.Any, eps: typing.SupportsFloat | typing.SupportsIndex, bias: typing.Any, residual: typing.Any, act: typing.Any, out: typing.Any, threads: typing.SupportsIndex) -> typing.Any:
    """
    rmsnorm(x) @ weights.T + bias + residual for x of shape (..., k).
    """
def rope(x: typing.Any, positions: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], base: typing.SupportsFloat | typing.SupportsIndex, kind: typing.Any, scale: typing.SupportsFloat | typing.SupportsIndex, factors: typing.Any, out: typing.Any, threads: typing.SupportsIndex) -> typing.Any:
    """
    Rotary position embedding of x of shape (..., tokens, head_dim).
    """
def set_threads(threads: typing.SupportsIndex) -> None:
    """
    Sets the default number of threads.
    """
def store(values: typing.Annotated[numpy.typing.ArrayLike, numpy.float32], out: typing.Any) -> None:
    """
    Writes a vector of floats to out.
    """
def stream_gemv(weights: typing.Any, x: typing.Any, kernel: typing.Any, prefetch: typing.SupportsIndex, first: typing.SupportsIndex, iterations: typing.SupportsIndex) -> tuple[float, numpy.typing.NDArray[numpy.int32]]:
    """
    Multiplies x, int8 (k,), by copy first, first + 1, ... of the weights, int8 (copies,
    groups, pieces, rows, bytes): the seconds that took, and the last product.
    """
def stream_layouts() -> dict[str, tuple[int, int]]:
    """
    How the weights of each streaming kernel lie: rows that lie together, and the bytes of
    each in turn, or 0 where rows stay whole.
    """
def swiglu_ffn(gate: Weights, up: Weights, down: Weights, x: typing.Any, gains: typing.Any, eps: typing.SupportsFloat | typing.SupportsIndex, residual: typing.Any, act: typing.Any, out: typing.Any, threads: typing.SupportsIndex) -> typing.Any:
    """
    swiglu_proj(rmsnorm(x)) @ down.T + residual for x of shape (..., k).
    """
def swiglu_proj(gate: Weights, up: Weights, x: typing.Any, act: typing.Any, out: typing.Any, threads: typing.SupportsIndex) -> typing.Any:
    """
    silu(x @ gate.T) * (x @ up.T) for x of shape (..., k).
    """
def takes_importance(fmt: typing.Any) -> bool:
    """
    Whether a format's blocks depend on an importance matrix.
    """
def threads() -> int:
    """
    The default number of threads.
    """
__version__: str = '0.1.0'
