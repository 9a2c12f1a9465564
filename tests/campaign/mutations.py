"""All mutations of the package's Python modules, by cosmic-ray.

Cosmic-ray is used because it is a library: it lists every mutation of a module with its place, and
returns the text of the mutated module. (mutmut has no such list. It mutates functions only, and
switches between its own copies of them inside one process.)

Two kinds of cosmic-ray's operators are left out: those that need arguments, and the one that
replaces an exception by a name that does not exist. Any linter finds the latter, so it would make
the tests look better than they are.
"""

import difflib
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import attrs
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

from .broken import Break
from .drawing import draw
from .irrelevant import Span, inside, irrelevant_spans

__all__ = ["Mutation", "all_mutations", "drawn"]

_LEFT_OUT = {"core/ExceptionReplacer"}
_NEVER_CHANGED = {"name", "string", "newline", "endmarker", "fstring_string"}
_PUNCTUATION = set("()[]{},:.=;@") | {"->", ":="}


@attrs.frozen
class Mutation:
    """One mutation.

    Attributes:
        path: path of the module, relative to the project's root.
        operator: cosmic-ray's name of the mutation operator.
        occurrence: cosmic-ray's number of the place, counted from 0 for each operator and module.
        span: the place in the module.
    """

    path: Path
    operator: str
    occurrence: int
    span: Span


def all_mutations(root: Path) -> list[Mutation]:
    """Return every mutation of ``src/mastostream`` that can matter, in a fixed order."""
    return [
        mutation
        for module in sorted((root / "src/mastostream").rglob("*.py"))
        for mutation in _mutations(module.relative_to(root), module.read_text("utf-8"))
    ]


def drawn(root: Path, count: int, seed: int) -> list[Break]:
    """Return ``count`` mutations as breaks, drawn uniformly from all that can be compiled."""
    chosen = draw(all_mutations(root), count, seed, partial(_is_program, root))
    return [_as_break(root, mutation) for mutation in chosen]


def _mutations(path: Path, source: str) -> list[Mutation]:
    spans = irrelevant_spans(source)
    nodes = [
        node
        for node in ast_nodes(get_ast(source))
        if node.type not in _NEVER_CHANGED and getattr(node, "value", None) not in _PUNCTUATION
    ]
    mutations = []
    for name in sorted(set(operator_names()) - _LEFT_OUT):
        operator = get_operator(name)
        if operator.arguments():
            continue
        positions = [span for node in nodes for span in operator().mutation_positions(node)]
        mutations += [
            Mutation(path, name, occurrence, span)
            for occurrence, span in enumerate(positions)
            if not inside(span, spans)
        ]
    return mutations


def _mutated(source: str, mutation: Mutation) -> str | None:
    text: str | None = mutate_code(source, get_operator(mutation.operator)(), mutation.occurrence)
    return text


def _is_program(root: Path, mutation: Mutation) -> bool:
    """Whether the mutation gives another valid program; a changed ``*`` in a signature does not."""
    source = (root / mutation.path).read_text("utf-8")
    text = _mutated(source, mutation)
    if text is None or text == source:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            compile(text, mutation.path, "exec")
    except SyntaxError:
        return False
    return True


def _as_break(root: Path, mutation: Mutation) -> Break:
    source = (root / mutation.path).read_text("utf-8")
    text = _mutated(source, mutation)
    assert text is not None  # it was drawn because there is one
    line = mutation.span[0][0]
    before, after = _difference(source.splitlines(), text.splitlines())
    kind = mutation.operator.partition("/")[2]
    return Break(mutation.path, f"{kind}: {before} -> {after}", line, text)


def _difference(before: Sequence[str], after: Sequence[str]) -> tuple[str, str]:
    """Return the lines that differ, before and after, each joined to one line."""
    changes = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    removed, added = (
        " ".join(line[2:].strip() for line in changes if line[0] == sign) for sign in "-+"
    )
    return removed, added or "(nothing)"
