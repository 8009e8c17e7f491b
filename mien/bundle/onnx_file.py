"""Check an ONNX file before any runtime opens it, without the `onnx` package.

Unchecked, a model could read files of this machine, or end or hang the process (docs/log.md). ONNX
is a protocol buffer (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). Only what decides
whether to refuse a file is read: versions, operators, inputs, outputs, and where the weights are.
The check is stricter than the format: it refuses a field that is not listed in `onnx_fields`,
occurs twice where once is allowed, or has another wire type, because another reader might
understand it differently. Nothing here recurses, and every count is bounded.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from mien.bundle.onnx_fields import (
    ATTRIBUTE,
    BYTES,
    DIM,
    FIXED64,
    GRAPH,
    MODEL,
    NODE,
    OPSET,
    SHAPE,
    TENSOR,
    TENSOR_TYPE,
    TYPE,
    VALUE,
    VARINT,
    Fields,
)
from mien.errors import BundleError

MAX_FIELDS = 100_000  # in the whole file; a network of a hundred layers has some ten thousand
MAX_NODES = 2_000
MAX_TENSORS = 4_000
MAX_RANK = 8
MAX_TEXT = 1_024  # bytes of a name
MAX_DIM = 1 << 26
IR_VERSIONS = range(7, 14)
OPSETS = range(13, 24)

# What feed-forward image networks are made of: no control flow, no tensor whose size comes from
# another tensor's values, no files, no text, no randomness.
OPERATORS = frozenset(
    """Add AveragePool BatchNormalization Cast Clip Concat Conv DequantizeLinear Div Flatten Gather
    Gemm GlobalAveragePool HardSigmoid HardSwish Identity LeakyRelu MatMul MaxPool Mul PRelu
    QuantizeLinear ReduceMean Relu
    Reshape Shape Sigmoid Slice Softmax Sqrt Squeeze Sub Transpose Unsqueeze""".split()
)
DTYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16"}
_ITEM_BYTES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2}


@dataclass(frozen=True)
class Value:
    """An input or output: its name, numpy dtype and shape, with None for a free size."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class OnnxFile:
    """The contents of an ONNX file.

    Attributes:
        ir_version, opset: Versions of the format and of the operators.
        operators: Name -> number of nodes.
        inputs, outputs: Those of the graph.
    """

    ir_version: int
    opset: int
    operators: Mapping[str, int]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


def read_onnx(model: bytes, where: str | os.PathLike[str]) -> OnnxFile:
    """Read and check an ONNX file.

    Args:
        model: Its bytes.
        where: Its name in errors.

    Raises:
        BundleError: naming the field, if the file is damaged, of an unknown version, or holds
            anything but one graph of `OPERATORS` with all its weights inside.
    """
    return _Reader(where).model(memoryview(model))


class _Reader:
    def __init__(self, where: str | os.PathLike[str]) -> None:
        self.where = where
        self.num_fields = 0

    def refuse(self, field: str, got: str, expected: str) -> BundleError:
        return BundleError(self.where, f"model.onnx: {field}", got=got, expected=expected)

    # The wire format: https://protobuf.dev/programming-guides/encoding/

    def varint(self, data: memoryview, offset: int, field: str) -> tuple[int, int]:
        value = 0
        for i in range(10):
            if offset + i >= len(data):
                raise self.refuse(field, "a file that ends inside a number", "a complete file")
            byte = data[offset + i]
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                return value & (1 << 64) - 1, offset + i + 1
        raise self.refuse(field, "a number of more than 10 bytes", "an ONNX file")

    def fields(
        self, data: memoryview, table: Fields, path: str
    ) -> Iterator[tuple[str, int | memoryview]]:
        """Name and value of each field of one message, in file order."""
        offset, names = 0, set()
        while offset < len(data):
            self.num_fields += 1
            if self.num_fields > MAX_FIELDS:
                raise self.refuse(path, f"more than {MAX_FIELDS} fields", "a network")
            key, offset = self.varint(data, offset, path)
            number, wire = key >> 3, key & 7
            if number not in table:
                raise self.refuse(path, f"field number {number}", "only fields that mien knows")
            name, expected_wire, repeats = table[number]
            field = f"{path}.{name.lstrip('!')}"
            if name.startswith("!"):
                raise self.refuse(field, "such a field", "none: mien's models do without it")
            is_packed = repeats and expected_wire != BYTES and wire == BYTES
            if wire != expected_wire and not is_packed:
                raise self.refuse(field, f"wire type {wire}", f"wire type {expected_wire}")
            if not repeats:
                if name in names:
                    raise self.refuse(field, "the field twice", "it once")
                names.add(name)
            if wire == VARINT:
                value, offset = self.varint(data, offset, field)
                yield name, value
                continue
            if wire == BYTES:
                size, offset = self.varint(data, offset, field)
            else:
                size = 8 if wire == FIXED64 else 4
            if size > len(data) - offset:
                raise self.refuse(
                    field,
                    f"{len(data) - offset} bytes where {size} are announced",
                    "a complete file",
                )
            part, offset = data[offset : offset + size], offset + size
            if is_packed:
                yield from self.unpacked(part, name, expected_wire, field)
            else:
                yield name, part

    def unpacked(
        self, part: memoryview, name: str, wire: int, field: str
    ) -> Iterator[tuple[str, int | memoryview]]:
        offset = 0
        while offset < len(part):
            self.num_fields += 1
            if self.num_fields > MAX_FIELDS:
                raise self.refuse(field, f"more than {MAX_FIELDS} fields", "a network")
            if wire == VARINT:
                value, offset = self.varint(part, offset, field)
                yield name, value
            else:
                yield name, part[offset : offset + 4]
                offset += 4

    def text(self, value: int | memoryview, field: str) -> str:
        if isinstance(value, int) or len(value) > MAX_TEXT:
            raise self.refuse(field, "a name that is too long", f"at most {MAX_TEXT} bytes")
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.refuse(field, "bytes that are not UTF-8", "a name") from error

    # The messages

    def model(self, data: memoryview) -> OnnxFile:
        ir_version, graph, opsets = 0, None, list[tuple[str, int]]()
        for name, value in self.fields(data, MODEL, "model"):
            if name == "ir_version":
                ir_version = _int(value)
            elif name == "graph":
                graph = _bytes(value)
            elif name == "opset_import":
                opsets.append(self.opset(_bytes(value)))
        if ir_version not in IR_VERSIONS:
            raise self.refuse(
                "ir_version", str(ir_version), f"{IR_VERSIONS[0]} to {IR_VERSIONS[-1]}"
            )
        if graph is None:
            raise self.refuse("graph", "none", "one")
        if len(opsets) != 1 or opsets[0][0] != "":
            names = ", ".join(repr(domain) for domain, _ in opsets[:8]) or "none"
            raise self.refuse(
                "opset_import", f"the domains {names}", "only ONNX's own operators, the domain ''"
            )
        if opsets[0][1] not in OPSETS:
            raise self.refuse(
                "opset_import", f"opset {opsets[0][1]}", f"{OPSETS[0]} to {OPSETS[-1]}"
            )
        return self.graph(graph, ir_version, opsets[0][1])

    def opset(self, data: memoryview) -> tuple[str, int]:
        domain, version = "", 0
        for name, value in self.fields(data, OPSET, "opset_import"):
            if name == "domain":
                domain = self.text(value, "opset_import.domain")
            else:
                version = _int(value)
        return ("" if domain == "ai.onnx" else domain), version

    def graph(self, data: memoryview, ir_version: int, opset: int) -> OnnxFile:
        operators: dict[str, int] = {}
        inputs, outputs, num_tensors = list[Value](), list[Value](), 0
        for name, value in self.fields(data, GRAPH, "graph"):
            if name == "node":
                operator = self.node(_bytes(value), sum(operators.values()))
                operators[operator] = operators.get(operator, 0) + 1
            elif name == "initializer":
                self.tensor(_bytes(value), num_tensors)
                num_tensors += 1
            elif name in ("input", "output", "value_info"):
                value_info = self.value(_bytes(value), f"graph.{name}")
                {"input": inputs, "output": outputs}.get(name, []).append(value_info)
        for field, num, limit in (
            ("graph.node", sum(operators.values()), MAX_NODES),
            ("graph.initializer", num_tensors, MAX_TENSORS),
        ):
            if not 1 <= num <= limit:
                raise self.refuse(field, str(num), f"1 to {limit}")
        return OnnxFile(ir_version, opset, operators, tuple(inputs), tuple(outputs))

    def node(self, data: memoryview, index: int) -> str:
        path = f"graph.node[{index}]"
        if index >= MAX_NODES:
            raise self.refuse("graph.node", f"more than {MAX_NODES}", f"at most {MAX_NODES}")
        operator = domain = ""
        for name, value in self.fields(data, NODE, path):
            if name == "op_type":
                operator = self.text(value, f"{path}.op_type")
            elif name == "domain":
                domain = self.text(value, f"{path}.domain")
            elif name == "attribute":
                for _ in self.fields(_bytes(value), ATTRIBUTE, f"{path}.attribute"):
                    pass  # reading checks the field numbers and wire types, which is all we need
            elif name in ("input", "output"):
                self.text(value, f"{path}.{name}")
        if domain not in ("", "ai.onnx"):
            raise self.refuse(f"{path}.domain", repr(domain), "'': ONNX's own operators")
        if operator not in OPERATORS:
            raise self.refuse(
                f"{path}.op_type", repr(operator), "one of " + ", ".join(sorted(OPERATORS))
            )
        return operator

    def tensor(self, data: memoryview, index: int) -> None:
        path = f"graph.initializer[{index}]"
        if index >= MAX_TENSORS:
            raise self.refuse(
                "graph.initializer", f"more than {MAX_TENSORS}", f"at most {MAX_TENSORS}"
            )
        dims, kind, location, size = list[int](), 0, 0, 0
        for name, value in self.fields(data, TENSOR, path):
            if name == "dims":
                dims.append(self.dim(_int(value), f"{path}.dims"))
                if len(dims) > MAX_RANK:
                    raise self.refuse(
                        f"{path}.dims", f"more than {MAX_RANK}", f"at most {MAX_RANK}"
                    )
            elif name == "data_type":
                kind = _int(value)
            elif name == "data_location":
                location = _int(value)
            elif name == "raw_data":
                size = len(_bytes(value))
        if location:
            raise self.refuse(
                f"{path}.data_location", "external data", "all weights inside model.onnx"
            )
        num = math.prod(dims)
        if kind not in _ITEM_BYTES:
            raise self.refuse(
                f"{path}.data_type", str(kind), "one of " + ", ".join(DTYPES.values())
            )
        if size != num * _ITEM_BYTES[kind]:
            raise self.refuse(
                f"{path}.raw_data", f"{size} bytes", f"{num * _ITEM_BYTES[kind]}, as its dims say"
            )

    def dim(self, value: int, field: str) -> int:
        if value > MAX_DIM:
            raise self.refuse(field, str(value), f"at most {MAX_DIM}")
        return value

    def value(self, data: memoryview, path: str) -> Value:
        tensor_name, kind, shape = "", 0, None
        for name, value in self.fields(data, VALUE, path):
            if name == "name":
                tensor_name = self.text(value, f"{path}.name")
            elif name == "type":
                for part, tensor_type in self.fields(_bytes(value), TYPE, f"{path}.type"):
                    if part == "tensor_type":
                        kind, shape = self.tensor_type(
                            _bytes(tensor_type), f"{path}.type.tensor_type"
                        )
        if kind not in DTYPES:
            raise self.refuse(
                f"{path}.type", f"element type {kind}", "one of " + ", ".join(DTYPES.values())
            )
        return Value(tensor_name, DTYPES[kind], shape)

    def tensor_type(self, data: memoryview, path: str) -> tuple[int, tuple[int | None, ...] | None]:
        kind, shape = 0, None
        for name, value in self.fields(data, TENSOR_TYPE, path):
            if name == "elem_type":
                kind = _int(value)
                continue
            dims = list[int | None]()
            for _, dim in self.fields(_bytes(value), SHAPE, f"{path}.shape"):
                size = None
                for part, number in self.fields(_bytes(dim), DIM, f"{path}.shape.dim"):
                    if part == "dim_value":
                        size = self.dim(_int(number), f"{path}.shape.dim")
                dims.append(size)
                if len(dims) > MAX_RANK:
                    raise self.refuse(
                        f"{path}.shape", f"more than {MAX_RANK} dims", f"at most {MAX_RANK}"
                    )
            shape = tuple(dims)
        return kind, shape


# The tables decide whether a field is a number or bytes; these two tell the type checker.
def _int(value: int | memoryview) -> int:
    return cast(int, value)


def _bytes(value: int | memoryview) -> memoryview:
    return cast(memoryview, value)
