"""The messages of an ONNX file and their fields, as onnx.proto numbers them."""

from __future__ import annotations

from collections.abc import Mapping

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
# For each message: field number -> (name, wire type, whether it may repeat). A field whose name
# begins with `!` is refused, and the error names it.
Fields = Mapping[int, tuple[str, int, bool]]
MODEL: Fields = {
    1: ("ir_version", VARINT, False),
    2: ("producer_name", BYTES, False),
    3: ("producer_version", BYTES, False),
    4: ("domain", BYTES, False),
    5: ("model_version", VARINT, False),
    6: ("doc_string", BYTES, False),
    7: ("graph", BYTES, False),
    8: ("opset_import", BYTES, True),
    14: ("metadata_props", BYTES, True),
    20: ("!training_info", BYTES, True),
    25: ("!functions", BYTES, True),
    26: ("!configuration", BYTES, True),
}
OPSET: Fields = {1: ("domain", BYTES, False), 2: ("version", VARINT, False)}
GRAPH: Fields = {
    1: ("node", BYTES, True),
    2: ("name", BYTES, False),
    5: ("initializer", BYTES, True),
    10: ("doc_string", BYTES, False),
    11: ("input", BYTES, True),
    12: ("output", BYTES, True),
    13: ("value_info", BYTES, True),
    14: ("!quantization_annotation", BYTES, True),
    15: ("!sparse_initializer", BYTES, True),
    16: ("metadata_props", BYTES, True),
}
NODE: Fields = {
    1: ("input", BYTES, True),
    2: ("output", BYTES, True),
    3: ("name", BYTES, False),
    4: ("op_type", BYTES, False),
    5: ("attribute", BYTES, True),
    6: ("doc_string", BYTES, False),
    7: ("domain", BYTES, False),
    8: ("!overload", BYTES, False),
    9: ("metadata_props", BYTES, True),
    10: ("!device_configurations", BYTES, True),
}
ATTRIBUTE: Fields = {
    1: ("name", BYTES, False),
    2: ("f", FIXED32, False),
    3: ("i", VARINT, False),
    4: ("s", BYTES, False),
    5: ("!t (a tensor)", BYTES, False),
    6: ("!g (a graph in the graph)", BYTES, False),
    7: ("floats", FIXED32, True),
    8: ("ints", VARINT, True),
    9: ("!strings", BYTES, True),
    10: ("!tensors", BYTES, True),
    11: ("!graphs (graphs in the graph)", BYTES, True),
    13: ("doc_string", BYTES, False),
    14: ("!tp", BYTES, False),
    15: ("!type_protos", BYTES, True),
    20: ("type", VARINT, False),
    21: ("!ref_attr_name", BYTES, False),
    22: ("!sparse_tensor", BYTES, False),
    23: ("!sparse_tensors", BYTES, True),
}
TENSOR: Fields = {
    1: ("dims", VARINT, True),
    2: ("data_type", VARINT, False),
    3: ("!segment", BYTES, False),
    4: ("!float_data", FIXED32, True),
    5: ("!int32_data", VARINT, True),
    6: ("!string_data", BYTES, True),
    7: ("!int64_data", VARINT, True),
    8: ("name", BYTES, False),
    9: ("raw_data", BYTES, False),
    10: ("!double_data", FIXED64, True),
    11: ("!uint64_data", VARINT, True),
    12: ("doc_string", BYTES, False),
    13: ("!external_data", BYTES, True),
    14: ("data_location", VARINT, False),
    16: ("metadata_props", BYTES, True),
}
VALUE: Fields = {
    1: ("name", BYTES, False),
    2: ("type", BYTES, False),
    3: ("doc_string", BYTES, False),
    4: ("metadata_props", BYTES, True),
}
TYPE: Fields = {1: ("tensor_type", BYTES, False), 6: ("denotation", BYTES, False)}
TENSOR_TYPE: Fields = {1: ("elem_type", VARINT, False), 2: ("shape", BYTES, False)}
SHAPE: Fields = {1: ("dim", BYTES, True)}
DIM: Fields = {
    1: ("dim_value", VARINT, False),
    2: ("dim_param", BYTES, False),
    3: ("denotation", BYTES, False),
}
