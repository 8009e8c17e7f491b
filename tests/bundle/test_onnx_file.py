from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from toy_bundle import rewrite, toy_model, write_toy

from mien.bundle import open_bundle
from mien.bundle.onnx_file import MAX_NODES, OPERATORS, Value, read_onnx
from mien.errors import BundleError

# The wire format by hand, for files that the onnx package would not write.


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def entry(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


HEAD = entry(1, 8) + entry(8, entry(2, 15))  # versions that are known


def refused(model: bytes | onnx.ModelProto, field: str) -> BundleError:
    data = model if isinstance(model, bytes) else model.SerializeToString()
    with pytest.raises(BundleError) as caught:
        read_onnx(data, "toy")
    assert caught.value.field.startswith(f"model.onnx: {field}"), str(caught.value)
    return caught.value


def changed(change: Callable[[onnx.ModelProto], object]) -> onnx.ModelProto:
    model = toy_model()
    change(model)
    return model


def test_reads_what_the_onnx_package_reads() -> None:
    model = toy_model(("expression", "mood"))
    found = read_onnx(model.SerializeToString(), "toy")
    assert (found.ir_version, found.opset) == (8, 15)
    assert found.operators == {"Reshape": 1, "MatMul": 2}
    assert found.inputs == (Value("faces", "float32", (None, 48, 48, 1)),)
    assert found.outputs == (
        Value("expression", "float32", (None, 7)),
        Value("mood", "float32", (None, 2)),
    )


def test_every_operator_of_the_list_exists_in_onnx() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
    assert len(OPERATORS) > 30 and known >= OPERATORS
    # Nothing that holds a graph, or makes tensors whose size another tensor's values decide.
    assert not OPERATORS & {
        "If",
        "Loop",
        "Scan",
        "ConstantOfShape",
        "Expand",
        "Tile",
        "Resize",
        "Range",
        "Pad",
    }


def far_tensor(path: str) -> Callable[[onnx.ModelProto], object]:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[1]
        onnx.external_data_helper.set_external_data(tensor, path)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL

    return change


def body() -> onnx.GraphProto:
    return helper.make_graph([], "inside", [], [])


def add_attribute(value: object) -> Callable[[onnx.ModelProto], object]:
    return lambda model: model.graph.node[0].attribute.append(helper.make_attribute("body", value))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (far_tensor("/etc/passwd"), "graph.initializer[1].external_data"),
        (far_tensor("../weights.bin"), "graph.initializer[1].external_data"),
        (lambda m: setattr(m.graph.initializer[0], "data_location", 1),
         "graph.initializer[0].data_location"),
        (lambda m: setattr(m.graph.node[0], "op_type", "Loop"), "graph.node[0].op_type"),
        (lambda m: setattr(m.graph.node[1], "op_type", ""), "graph.node[1].op_type"),
        (lambda m: setattr(m.graph.node[1], "domain", "com.evil"), "graph.node[1].domain"),
        (lambda m: setattr(m.graph.node[1], "op_type", "x" * 2000), "graph.node[1].op_type"),
        (add_attribute(body()), "graph.node[0].attribute.g"),
        (add_attribute([body()]), "graph.node[0].attribute.gr"),
        (lambda m: setattr(m.opset_import[0], "version", 99), "opset_import"),
        (lambda m: setattr(m.opset_import[0], "version", 9), "opset_import"),
        (lambda m: m.opset_import.append(helper.make_opsetid("com.microsoft", 1)), "opset_import"),
        (lambda m: m.ClearField("opset_import"), "opset_import"),
        (lambda m: setattr(m, "ir_version", 99), "ir_version"),
        (lambda m: setattr(m, "ir_version", 3), "ir_version"),
        (lambda m: m.ClearField("graph"), "graph"),
        (lambda m: m.graph.ClearField("node"), "graph.node"),
        (lambda m: m.functions.add(), "model.functions"),
        (lambda m: m.training_info.add(), "model.training_info"),
        (lambda m: m.graph.sparse_initializer.add(), "graph.sparse_initializer"),
        (lambda m: m.graph.initializer[1].dims.append(1 << 62), "graph.initializer[1].dims"),
        (lambda m: m.graph.initializer[1].dims.append(-1), "graph.initializer[1].dims"),
        (lambda m: m.graph.initializer[1].dims.append(2), "graph.initializer[1].raw_data"),
        (lambda m: m.graph.initializer[1].dims.extend([1] * 9), "graph.initializer[1].dims"),
        (lambda m: m.graph.initializer[1].dims.append(0), "graph.initializer[1].raw_data"),
        (lambda m: setattr(m.graph.initializer[1], "data_type", TensorProto.STRING),
         "graph.initializer[1].data_type"),
        (lambda m: m.graph.initializer[1].float_data.append(1), "graph.initializer[1].float_data"),
        (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 8), "graph.input.type"),
        (lambda m: m.graph.input[0].ClearField("type"), "graph.input.type"),
        (lambda m: m.graph.input[0].type.sequence_type.SetInParent(), "graph.input.type"),
        (lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 1 << 62),
         "graph.input.type"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(change: Callable[[onnx.ModelProto], object], field: str) -> None:
    refused(changed(change), field)


def test_three_thousand_functions_deep_is_refused() -> None:
    model = toy_model()
    for i in range(3000):
        node = helper.make_node(f"f{i + 1}", ["x"], ["y"], domain="local")
        model.functions.append(
            helper.make_function(
                "local", f"f{i}", ["x"], ["y"], [node], [helper.make_opsetid("", 15)]
            )
        )
    refused(model, "model.functions")


def test_graphs_in_graphs_a_thousand_deep_are_refused() -> None:
    inner = b""
    for _ in range(1000):
        inner = entry(1, entry(4, b"If") + entry(5, entry(6, inner)))
    refused(HEAD + entry(7, inner), "graph.node[0].attribute.g")


def test_too_many_nodes_and_fields_are_refused_soon() -> None:
    refused(HEAD + entry(7, entry(1, entry(4, b"Relu")) * (MAX_NODES + 1)), "graph.node")
    nothing = HEAD + entry(7, entry(16, b"") * 1_000_000)
    refused(nothing, "graph")
    refused(
        HEAD + entry(7, entry(1, entry(5, entry(8, b"\x01" * 1_000_000)))),
        "graph.node[0].attribute",
    )


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "ir_version"),
        (b"\x80" * 11, "model"),
        (b"\x80", "model"),
        (entry(1, 8) + entry(1, 8), "model.ir_version"),
        (entry(1, 8) + entry(7, b"") + entry(7, b""), "model.graph"),
        (varint(7 << 3 | 2) + varint(100) + b"short", "model.graph"),
        (varint(7 << 3 | 2) + varint((1 << 64) - 1), "model.graph"),
        (varint(1 << 3 | 5) + b"abcd", "model.ir_version"),
        (varint(7 << 3 | 3), "model.graph"),
        (entry(99, b""), "model"),
        (varint(0), "model"),
        (HEAD + entry(7, entry(1, entry(4, b"\xff\xfe"))), "graph.node[0].op_type"),
        (HEAD + entry(7, entry(1, entry(5, varint(2 << 3 | 5) + b"abc"))),
         "graph.node[0].attribute.f"),
        (b"\x89HDF\r\n\x1a\n", "model"),
        (b"TFL3" * 100, "model"),
        (struct.pack("<Q", 2) + b'{"a":{"dtype":"F32"}}', "model"),
    ],
)  # fmt: skip
def test_what_is_no_onnx(data: bytes, field: str) -> None:
    refused(data, field)


def test_every_truncation_is_refused() -> None:
    data = toy_model().SerializeToString()
    places = sorted(
        {
            *range(300),
            *np.linspace(0, len(data) - 1, 300).astype(int),
            *range(len(data) - 40, len(data)),
        }
    )
    whole = 0
    for cut in places:
        try:
            read_onnx(data[:cut], "toy")
            whole += 1
        except BundleError:
            pass
    assert whole == 0


def test_two_thousand_mutations_are_read_or_refused() -> None:
    """Flips, splices and insertions: a BundleError or an answer, never another exception."""
    generator = np.random.default_rng(0)
    data = toy_model().SerializeToString()
    structure = [*range(140), *range(len(data) - 200, len(data))]  # the rest is weights
    num_refused = 0
    for _ in range(2000):
        mutated = bytearray(data)
        for _ in range(generator.integers(1, 4)):
            at = structure[generator.integers(len(structure))]
            kind = generator.integers(3)
            if kind == 0:
                mutated[at] ^= 1 << generator.integers(8)
            elif kind == 1:
                del mutated[at : at + generator.integers(1, 9)]
                mutated += bytes(8)
            else:
                mutated[at:at] = generator.bytes(generator.integers(1, 6))
        try:
            read_onnx(bytes(mutated), "toy")
        except BundleError:
            num_refused += 1
    assert 1000 < num_refused < 2000


def test_a_bundle_with_a_strange_network_is_refused_with_hashes_that_fit(tmp_path: Path) -> None:
    """The reader stands between the file and ONNX Runtime."""
    write_toy(tmp_path / "toy")
    for change, field in (
        (
            lambda m: setattr(m.graph.node[1], "op_type", "Scan"),
            "model.onnx: graph.node[1].op_type",
        ),
        (lambda m: setattr(m.graph.input[0], "name", "pixels"), "model.onnx: graph.input"),
        (lambda m: m.graph.input.append(m.graph.input[0]), "model.onnx: graph.input"),
        (lambda m: setattr(m.graph.output[0], "name", "other"), "model.onnx: graph.output"),
        (lambda m: m.graph.output.append(m.graph.output[0]), "model.onnx: graph.output"),
        (
            lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 1),
            "model.onnx: graph.input",
        ),
    ):
        rewrite(tmp_path / "toy", model=changed(change).SerializeToString())
        with pytest.raises(BundleError) as caught:
            open_bundle(tmp_path / "toy")
        assert caught.value.field == field


def test_a_foreign_network_is_refused() -> None:
    """A network as PyTorch exports it, say: other inputs, another batch axis, weights stored in
    another form.
    """
    weights = numpy_helper.from_array(np.zeros((3, 3), np.float64), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [], [], [weights]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    refused(model, "graph.initializer[0].data_type")
