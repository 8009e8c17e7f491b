"""Read what an ONNX file holds, without the `onnx` package and before any runtime sees it.

ONNX is a protocol buffer (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). This reads only
what must be known to refuse a file: versions, operators, inputs, outputs, where the weights lie. It
is stricter than the format: a message field that is not listed here, occurs twice where once is
meant, or has another wire type is refused, since what another reader would make of it is then
unknown. Nothing here recurses, and every count is bounded.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from mien.errors import BundleError

MAX_FIELDS = 100_000  # in the whole file; a network of a hundred layers has some ten thousand
MAX_NODES = 2_000
MAX_TENSORS = 4_000
MAX_RANK = 8
MAX_TEXT = 1_024  # bytes of a name
MAX_DIM = 1 << 26
IR_VERSIONS = range(7, 14)
OPSETS = range(13, 24)

# What feed-forward image networks are made of: no control flow, nothing that makes a tensor of a
# size found in a tensor, no file, no text, no randomness.
OPERATORS = frozenset(
    """Add AveragePool BatchNormalization Cast Clip Concat Conv DequantizeLinear Div Flatten Gather Gemm
    GlobalAveragePool HardSigmoid HardSwish Identity LeakyRelu MatMul MaxPool Mul PRelu QuantizeLinear ReduceMean Relu
    Reshape Shape Sigmoid Slice Softmax Sqrt Squeeze Sub Transpose Unsqueeze""".split()
)
DTYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16"}
_ITEM_BYTES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Message -> field number -> (name, wire type, may repeat). `!` before a name: known, and refused
# with that name.
_Fields = Mapping[int, tuple[str, int, bool]]
_MODEL: _Fields = {
    1: ("ir_version", _VARINT, False),
    2: ("producer_name", _BYTES, False),
    3: ("producer_version", _BYTES, False),
    4: ("domain", _BYTES, False),
    5: ("model_version", _VARINT, False),
    6: ("doc_string", _BYTES, False),
    7: ("graph", _BYTES, False),
    8: ("opset_import", _BYTES, True),
    14: ("metadata_props", _BYTES, True),
    20: ("!training_info", _BYTES, True),
    25: ("!functions", _BYTES, True),
    26: ("!configuration", _BYTES, True),
}
_OPSET: _Fields = {1: ("domain", _BYTES, False), 2: ("version", _VARINT, False)}
_GRAPH: _Fields = {
    1: ("node", _BYTES, True),
    2: ("name", _BYTES, False),
    5: ("initializer", _BYTES, True),
    10: ("doc_string", _BYTES, False),
    11: ("input", _BYTES, True),
    12: ("output", _BYTES, True),
    13: ("value_info", _BYTES, True),
    14: ("!quantization_annotation", _BYTES, True),
    15: ("!sparse_initializer", _BYTES, True),
    16: ("metadata_props", _BYTES, True),
}
_NODE: _Fields = {
    1: ("input", _BYTES, True),
    2: ("output", _BYTES, True),
    3: ("name", _BYTES, False),
    4: ("op_type", _BYTES, False),
    5: ("attribute", _BYTES, True),
    6: ("doc_string", _BYTES, False),
    7: ("domain", _BYTES, False),
    8: ("!overload", _BYTES, False),
    9: ("metadata_props", _BYTES, True),
    10: ("!device_configurations", _BYTES, True),
}
_ATTRIBUTE: _Fields = {
    1: ("name", _BYTES, False),
    2: ("f", _FIXED32, False),
    3: ("i", _VARINT, False),
    4: ("s", _BYTES, False),
    5: ("!t (a tensor)", _BYTES, False),
    6: ("!g (a graph in the graph)", _BYTES, False),
    7: ("floats", _FIXED32, True),
    8: ("ints", _VARINT, True),
    9: ("!strings", _BYTES, True),
    10: ("!tensors", _BYTES, True),
    11: ("!graphs (graphs in the graph)", _BYTES, True),
    13: ("doc_string", _BYTES, False),
    14: ("!tp", _BYTES, False),
    15: ("!type_protos", _BYTES, True),
    20: ("type", _VARINT, False),
    21: ("!ref_attr_name", _BYTES, False),
    22: ("!sparse_tensor", _BYTES, False),
    23: ("!sparse_tensors", _BYTES, True),
}
_TENSOR: _Fields = {
    1: ("dims", _VARINT, True),
    2: ("data_type", _VARINT, False),
    3: ("!segment", _BYTES, False),
    4: ("!float_data", _FIXED32, True),
    5: ("!int32_data", _VARINT, True),
    6: ("!string_data", _BYTES, True),
    7: ("!int64_data", _VARINT, True),
    8: ("name", _BYTES, False),
    9: ("raw_data", _BYTES, False),
    10: ("!double_data", _FIXED64, True),
    11: ("!uint64_data", _VARINT, True),
    12: ("doc_string", _BYTES, False),
    13: ("!external_data", _BYTES, True),
    14: ("data_location", _VARINT, False),
    16: ("metadata_props", _BYTES, True),
}
_VALUE: _Fields = {
    1: ("name", _BYTES, False),
    2: ("type", _BYTES, False),
    3: ("doc_string", _BYTES, False),
    4: ("metadata_props", _BYTES, True),
}
_TYPE: _Fields = {1: ("tensor_type", _BYTES, False), 6: ("denotation", _BYTES, False)}
_TENSOR_TYPE: _Fields = {1: ("elem_type", _VARINT, False), 2: ("shape", _BYTES, False)}
_SHAPE: _Fields = {1: ("dim", _BYTES, True)}
_DIM: _Fields = {
    1: ("dim_value", _VARINT, False),
    2: ("dim_param", _BYTES, False),
    3: ("denotation", _BYTES, False),
}


@dataclass(frozen=True)
class Value:
    """An input or output: its name, numpy's name of its type, and its shape, None where a size is
    free.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class OnnxFile:
    """What an ONNX file holds.

    Attributes:
        ir_version, opset: Versions of the format and of the operators.
        operators: Name -> how many nodes.
        inputs, outputs: Of the graph.
        num_weights: Numbers in all its stored tensors.
    """

    ir_version: int
    opset: int
    operators: Mapping[str, int]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    num_weights: int


def read_onnx(model: bytes, where: str | os.PathLike[str]) -> OnnxFile:
    """Read and check an ONNX file.

    Args:
        model: Its bytes.
        where: What it is called in errors.

    Raises:
        BundleError: naming the field, if it is no whole ONNX file, or holds anything but one plain
            graph of the operators in `OPERATORS`, of known versions, with all its weights inside.
    """
    return _Reader(where).model(memoryview(model))


class _Reader:
    def __init__(self, where: str | os.PathLike[str]) -> None:
        self.where = where
        self.num_fields = 0

    def refuse(self, field: str, came: str, expected: str) -> BundleError:
        return BundleError(self.where, f"model.onnx: {field}", came=came, expected=expected)

    # The wire format: https://protobuf.dev/programming-guides/encoding/

    def varint(self, data: memoryview, at: int, field: str) -> tuple[int, int]:
        value = 0
        for i in range(10):
            if at + i >= len(data):
                raise self.refuse(field, "an end of the file inside a number", "a whole file")
            byte = data[at + i]
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                return value & (1 << 64) - 1, at + i + 1
        raise self.refuse(field, "a number of more than 10 bytes", "an ONNX file")

    def fields(
        self, data: memoryview, known: _Fields, path: str
    ) -> Iterator[tuple[str, int | memoryview]]:
        """Name and value of each field of one message, in file order."""
        at, seen = 0, set()
        while at < len(data):
            self.num_fields += 1
            if self.num_fields > MAX_FIELDS:
                raise self.refuse(path, f"more than {MAX_FIELDS} fields", "a network")
            key, at = self.varint(data, at, path)
            number, wire = key >> 3, key & 7
            if number not in known:
                raise self.refuse(
                    path, f"field number {number}", "an ONNX file with the fields mien knows"
                )
            name, wanted, repeats = known[number]
            field = f"{path}.{name.lstrip('!')}"
            if name.startswith("!"):
                raise self.refuse(field, "one", "none: mien's models do without it")
            packed = repeats and wanted != _BYTES and wire == _BYTES
            if wire != wanted and not packed:
                raise self.refuse(field, f"wire type {wire}", str(wanted))
            if not repeats:
                if name in seen:
                    raise self.refuse(field, "it twice", "it once")
                seen.add(name)
            if wire == _VARINT:
                value, at = self.varint(data, at, field)
                yield name, value
                continue
            if wire == _BYTES:
                size, at = self.varint(data, at, field)
            else:
                size = 8 if wire == _FIXED64 else 4
            if size > len(data) - at:
                raise self.refuse(
                    field, f"{len(data) - at} bytes where {size} are announced", "a whole file"
                )
            part, at = data[at : at + size], at + size
            if packed:
                yield from self.unpacked(part, name, wanted, field)
            else:
                yield name, part

    def unpacked(
        self, part: memoryview, name: str, wire: int, field: str
    ) -> Iterator[tuple[str, int | memoryview]]:
        at = 0
        while at < len(part):
            self.num_fields += 1
            if self.num_fields > MAX_FIELDS:
                raise self.refuse(field, f"more than {MAX_FIELDS} fields", "a network")
            if wire == _VARINT:
                value, at = self.varint(part, at, field)
                yield name, value
            else:
                yield name, part[at : at + 4]
                at += 4

    def text(self, value: int | memoryview, field: str) -> str:
        if isinstance(value, int) or len(value) > MAX_TEXT:
            raise self.refuse(field, "a name too long", f"at most {MAX_TEXT} bytes")
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.refuse(field, "bytes that are no UTF-8", "a name") from error

    # The messages

    def model(self, data: memoryview) -> OnnxFile:
        ir_version, graph, opsets = 0, None, list[tuple[str, int]]()
        for name, value in self.fields(data, _MODEL, "model"):
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
        for name, value in self.fields(data, _OPSET, "opset_import"):
            if name == "domain":
                domain = self.text(value, "opset_import.domain")
            else:
                version = _int(value)
        return ("" if domain == "ai.onnx" else domain), version

    def graph(self, data: memoryview, ir_version: int, opset: int) -> OnnxFile:
        operators: dict[str, int] = {}
        inputs, outputs, num_tensors, num_weights = list[Value](), list[Value](), 0, 0
        for name, value in self.fields(data, _GRAPH, "graph"):
            if name == "node":
                operator = self.node(_bytes(value), sum(operators.values()))
                operators[operator] = operators.get(operator, 0) + 1
            elif name == "initializer":
                num_weights += self.tensor(_bytes(value), num_tensors)
                num_tensors += 1
            elif name in ("input", "output", "value_info"):
                found = self.value(_bytes(value), f"graph.{name}")
                {"input": inputs, "output": outputs}.get(name, []).append(found)
        for field, num, most in (
            ("graph.node", sum(operators.values()), MAX_NODES),
            ("graph.initializer", num_tensors, MAX_TENSORS),
        ):
            if not 1 <= num <= most:
                raise self.refuse(field, str(num), f"1 to {most}")
        return OnnxFile(ir_version, opset, operators, tuple(inputs), tuple(outputs), num_weights)

    def node(self, data: memoryview, index: int) -> str:
        path = f"graph.node[{index}]"
        if index >= MAX_NODES:
            raise self.refuse("graph.node", f"more than {MAX_NODES}", f"at most {MAX_NODES}")
        operator = domain = ""
        for name, value in self.fields(data, _NODE, path):
            if name == "op_type":
                operator = self.text(value, f"{path}.op_type")
            elif name == "domain":
                domain = self.text(value, f"{path}.domain")
            elif name == "attribute":
                for _ in self.fields(_bytes(value), _ATTRIBUTE, f"{path}.attribute"):
                    pass  # the names and wire types are the check
            elif name in ("input", "output"):
                self.text(value, f"{path}.{name}")
        if domain not in ("", "ai.onnx"):
            raise self.refuse(f"{path}.domain", repr(domain), "'': ONNX's own operators")
        if operator not in OPERATORS:
            raise self.refuse(
                f"{path}.op_type", repr(operator), "one of " + ", ".join(sorted(OPERATORS))
            )
        return operator

    def tensor(self, data: memoryview, index: int) -> int:
        path = f"graph.initializer[{index}]"
        if index >= MAX_TENSORS:
            raise self.refuse(
                "graph.initializer", f"more than {MAX_TENSORS}", f"at most {MAX_TENSORS}"
            )
        dims, kind, location, size = list[int](), 0, 0, 0
        for name, value in self.fields(data, _TENSOR, path):
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
        return num

    def dim(self, value: int, field: str) -> int:
        if value > MAX_DIM:
            raise self.refuse(field, str(value), f"at most {MAX_DIM}")
        return value

    def value(self, data: memoryview, path: str) -> Value:
        called, kind, shape = "", 0, None
        for name, value in self.fields(data, _VALUE, path):
            if name == "name":
                called = self.text(value, f"{path}.name")
            elif name == "type":
                for part, tensor_type in self.fields(_bytes(value), _TYPE, f"{path}.type"):
                    if part == "tensor_type":
                        kind, shape = self.tensor_type(
                            _bytes(tensor_type), f"{path}.type.tensor_type"
                        )
        if kind not in DTYPES:
            raise self.refuse(
                f"{path}.type", f"element type {kind}", "one of " + ", ".join(DTYPES.values())
            )
        return Value(called, DTYPES[kind], shape)

    def tensor_type(self, data: memoryview, path: str) -> tuple[int, tuple[int | None, ...] | None]:
        kind, shape = 0, None
        for name, value in self.fields(data, _TENSOR_TYPE, path):
            if name == "elem_type":
                kind = _int(value)
                continue
            dims = list[int | None]()
            for _, dim in self.fields(_bytes(value), _SHAPE, f"{path}.shape"):
                size = None
                for part, number in self.fields(_bytes(dim), _DIM, f"{path}.shape.dim"):
                    if part == "dim_value":
                        size = self.dim(_int(number), f"{path}.shape.dim")
                dims.append(size)
                if len(dims) > MAX_RANK:
                    raise self.refuse(
                        f"{path}.shape", f"more than {MAX_RANK} dims", f"at most {MAX_RANK}"
                    )
            shape = tuple(dims)
        return kind, shape


# The tables above decide which of the two a field is; these tell the type checker.
def _int(value: int | memoryview) -> int:
    return cast(int, value)


def _bytes(value: int | memoryview) -> memoryview:
    return cast(memoryview, value)
