"""Read the tensors of a TorchScript archive, as OpenAI published its CLIPs, without running anything in it.

Such an archive names classes of its own and holds their code, so neither PyTorch's safe reader takes it
nor would its ordinary one be safe. Here the pickled tree is followed opcode by opcode: classes and calls
stay mere names, and only a tensor's description (storage, shape, strides) has a meaning.
"""

from __future__ import annotations

import pickletools
import struct
import zipfile
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from advclip_gui.engine.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST_TREE: Final = 1 << 26
_DEEPEST: Final = 64
_NOT_WEIGHTS: Final = frozenset({"attn_mask", "input_resolution", "context_length", "vocab_size"})
_STORAGES: Final = {
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch FloatStorage": torch.float32,
    "torch DoubleStorage": torch.float64,
    "torch LongStorage": torch.int64,
    "torch IntStorage": torch.int32,
    "torch BoolStorage": torch.bool,
    "torch ByteStorage": torch.uint8,
}
_CONSTANTS: Final[dict[str, Any]] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_SCALARS: Final = frozenset(
    {"BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1",
     "BINFLOAT", "FLOAT", "BINSTRING", "SHORT_BINSTRING", "STRING"}
)  # fmt: skip


@dataclass(slots=True)
class _Name:
    """A class or function, by its name only."""

    name: str


@dataclass(slots=True)
class _Object:
    """Something made by calling a name that was not called."""

    name: str
    arguments: Any
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Storage:
    """A reference to a block of numbers."""

    dtype: torch.dtype
    key: str
    count: int


class _Mark:
    """Where a run of values begins on the stack."""


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Return the parameters and buffers of a TorchScript archive by their names in the module.

    Raises:
        CheckpointError: it is no such archive, is damaged, or describes tensors outside its data.
        OSError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            inside = {info.filename.partition("/")[2]: info for info in archive.infolist()}
            if inside["data.pkl"].file_size > _LARGEST_TREE:
                raise ValueError("its tree is far too large")
            root = _follow(archive.read(inside["data.pkl"]))
            made: dict[str, Tensor] = {}
            _collect(root, "", archive, inside, made, {})
    except (zipfile.BadZipFile, KeyError, IndexError, ValueError, TypeError, AttributeError,
            struct.error, RuntimeError, RecursionError) as error:  # fmt: skip
        raise CheckpointError(
            f"{path.name} is a TorchScript archive that cannot be read ({error}).",
            "Load it on a machine you trust it on, and save its state dict as .safetensors.",
        ) from error
    if not made:
        raise CheckpointError(f"{path.name} is a TorchScript archive without tensors.")
    return made


def _follow(tree: bytes) -> Any:
    """Build the tree of an archive from its opcodes; an opcode that has no place in one ends it."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    opcode: Any
    argument: Any
    for opcode, argument, _ in pickletools.genops(tree):
        name: str = opcode.name
        if name == "STOP":
            return stack.pop()
        if name in {"PROTO", "FRAME"}:
            continue
        if name in _SCALARS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in {"BINPUT", "LONG_BINPUT", "PUT"}:
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in {"BINGET", "LONG_BINGET", "GET"}:
            stack.append(memo[argument])
        else:
            _step(name, argument, stack)
    raise ValueError("its tree is cut off")


def _step(name: str, argument: Any, stack: list[Any]) -> None:
    """Carry out an opcode that builds something from the stack."""
    if name == "GLOBAL":
        stack.append(_Name(argument))
    elif name == "MARK":
        stack.append(_Mark())
    elif name == "EMPTY_TUPLE":
        stack.append(())
    elif name == "EMPTY_LIST":
        stack.append([])
    elif name == "EMPTY_DICT":
        stack.append({})
    elif name in {"TUPLE1", "TUPLE2", "TUPLE3"}:
        count = int(name[-1])
        stack[-count:] = [tuple(stack[-count:])]
    elif name == "TUPLE":
        values = _since_mark(stack)
        stack.append(tuple(values))
    elif name == "BINPERSID":
        stack.append(_storage(stack.pop()))
    elif name in {"REDUCE", "NEWOBJ"}:
        arguments, called = stack.pop(), stack.pop()
        stack.append(_Object(called.name, arguments))
    elif name == "BUILD":
        state = stack.pop()
        if isinstance(state, dict):
            stack[-1].state.update(state)
    elif name in {"SETITEM", "SETITEMS"}:
        values = _since_mark(stack) if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
        stack[-1].update(zip(values[::2], values[1::2], strict=True))
    elif name in {"APPEND", "APPENDS"}:
        values = _since_mark(stack) if name == "APPENDS" else [stack.pop()]
        stack[-1].extend(values)
    else:
        raise ValueError(f"its tree holds the opcode {name}")


def _since_mark(stack: list[Any]) -> list[Any]:
    values = []
    while not isinstance(value := stack.pop(), _Mark):
        values.append(value)
    return values[::-1]


def _storage(reference: Any) -> _Storage:
    kind, dtype, key, _, count = reference
    if kind != "storage" or dtype.name not in _STORAGES:
        raise ValueError("it refers to numbers of an unknown kind")
    return _Storage(_STORAGES[dtype.name], str(key), int(count))


def _collect(
    node: Any,
    path: str,
    archive: zipfile.ZipFile,
    inside: dict[str, zipfile.ZipInfo],
    made: dict[str, Tensor],
    blocks: dict[str, Tensor],
) -> None:
    """Walk the modules and put each tensor under its name."""
    if path.count(".") > _DEEPEST:
        raise ValueError("its modules are nested without end")
    for name, value in node.state.items():
        if name in _NOT_WEIGHTS or not isinstance(value, _Object):
            continue
        inner = f"{path}{name}"
        if value.name.startswith("torch._utils _rebuild_parameter"):
            value = value.arguments[0]
        if value.name == "torch._utils _rebuild_tensor_v2":
            made[inner] = _tensor(value.arguments, archive, inside, blocks)
        elif value.state:
            _collect(value, f"{inner}.", archive, inside, made, blocks)


def _tensor(
    arguments: Any,
    archive: zipfile.ZipFile,
    inside: dict[str, zipfile.ZipInfo],
    blocks: dict[str, Tensor],
) -> Tensor:
    storage, offset, shape, strides = arguments[:4]
    if storage.key not in blocks:
        info = inside[f"data/{storage.key}"]
        if info.file_size != storage.count * storage.dtype.itemsize:
            raise ValueError("its data are shorter or longer than described")
        content = bytearray(archive.read(info))
        blocks[storage.key] = torch.frombuffer(content, dtype=storage.dtype) if content else torch.empty(0)
    reach = offset + 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if prod(shape) and not (0 <= offset < reach <= storage.count):
        raise ValueError("a tensor lies outside its data")
    return blocks[storage.key].as_strided(tuple(shape), tuple(strides), offset).clone()
