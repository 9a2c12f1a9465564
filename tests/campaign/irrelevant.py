"""The parts of a module where a mutation cannot matter, whatever the tests are.

These are docstrings, ``__all__``, annotations, code for type checkers only (``if TYPE_CHECKING``),
and calls of a logger. Annotations that attrs and msgspec read are included: a mutation can only
replace the ``|`` of a union there, and no other operator combines two types.
"""

import ast
from collections.abc import Iterator, Sequence

__all__ = ["Place", "Span", "inside", "irrelevant_spans"]

Place = tuple[int, int]
"""Line, from 1, and column in characters, from 0."""

Span = tuple[Place, Place]
"""Begin and end, the end not included."""


def irrelevant_spans(source: str) -> list[Span]:
    """Return the spans of a module where a mutation cannot matter."""
    lines = source.splitlines(keepends=True)

    def place(line: int, offset_bytes: int) -> Place:
        return line, len(lines[line - 1].encode()[:offset_bytes].decode())

    return [
        (place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset))
        for node in _irrelevant(ast.parse(source))
        if node.end_lineno is not None and node.end_col_offset is not None
    ]


def inside(span: Span, spans: Sequence[Span]) -> bool:
    """Return whether a span lies within one of these spans."""
    return any(start <= span[0] and span[1] <= end for start, end in spans)


def _irrelevant(tree: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    for node in ast.walk(tree):
        annotation = getattr(node, "annotation", None) or getattr(node, "returns", None)
        if isinstance(annotation, ast.expr):
            yield annotation
        if isinstance(node, ast.stmt) and _cannot_matter(node):
            yield node


def _cannot_matter(statement: ast.stmt) -> bool:
    match statement:
        case (
            ast.Assign(targets=[ast.Name(id="__all__")])
            | ast.If(test=ast.Name(id="TYPE_CHECKING"))
            | ast.Expr(value=ast.Constant(value=str()))
            | ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="_logger" | "logger"))))
        ):
            return True
    return False
