"""The places of a module where no change can matter, whatever the tests are.

Left out are docstrings, ``__all__``, annotations, what only type checkers run
(``if TYPE_CHECKING``), and calls of a logger. Of annotations, also of those that attrs and msgspec
read: what can be changed there is the ``|`` of a union, and no other operator makes a type of two.
"""

import ast
from collections.abc import Iterator, Sequence

__all__ = ["Place", "Span", "inside", "irrelevant_spans"]

Place = tuple[int, int]
"""Line, from 1, and column, from 0, in characters."""

Span = tuple[Place, Place]
"""Where something begins, and where it ends."""


def irrelevant_spans(source: str) -> list[Span]:
    """Return the places of a module where no change can matter."""
    lines = source.splitlines(keepends=True)

    def place(line: int, offset_bytes: int) -> Place:
        return line, len(lines[line - 1].encode()[:offset_bytes].decode())

    return [
        (place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset))
        for node in _irrelevant(ast.parse(source))
        if node.end_lineno is not None and node.end_col_offset is not None
    ]


def inside(span: Span, spans: Sequence[Span]) -> bool:
    """Return whether a span lies in one of these."""
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
