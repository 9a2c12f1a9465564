"""All mutations of the package's Python modules, by cosmic-ray.

Cosmic-ray because it is a library: it lists every mutation of a module with its place, and makes
one of them as text. (mutmut has no such list: it changes functions only, and runs them from copies
of its own making that it switches inside one process.)

Of cosmic-ray's operators, those that need arguments are left out, and so is the one that puts a
name which exists nowhere in the place of an exception: any linter finds that, so it would only
flatter.
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
    """One change.

    Attributes:
        path: of the module, from the root.
        operator: cosmic-ray's name of the change.
        occurrence: cosmic-ray's number of the place, counted once an operator and module.
        span: the place.
    """

    path: Path
    operator: str
    occurrence: int
    span: Span


def all_mutations(root: Path) -> list[Mutation]:
    """Return every mutation of ``src/mastostream`` that could matter, in a fixed order."""
    return [
        mutation
        for module in sorted((root / "src/mastostream").rglob("*.py"))
        for mutation in _mutations(module.relative_to(root), module.read_text("utf-8"))
    ]


def drawn(root: Path, count: int, seed: int) -> list[Break]:
    """Return so many mutations as breaks: uniformly over all that can be compiled."""
    chosen = draw(all_mutations(root), count, seed, partial(_is_program, root))
    return [_as_break(root, mutation) for mutation in chosen]


def _mutations(path: Path, source: str) -> list[Mutation]:
    spans = irrelevant_spans(source)
    nodes = [
        node
        for node in ast_nodes(get_ast(source))
        if node.type not in _NEVER_CHANGED and getattr(node, "value", None) not in _PUNCTUATION
    ]
    found = []
    for name in sorted(set(operator_names()) - _LEFT_OUT):
        operator = get_operator(name)
        if operator.arguments():
            continue
        positions = [span for node in nodes for span in operator().mutation_positions(node)]
        found += [
            Mutation(path, name, occurrence, span)
            for occurrence, span in enumerate(positions)
            if not inside(span, spans)
        ]
    return found


def _mutated(source: str, mutation: Mutation) -> str | None:
    text: str | None = mutate_code(source, get_operator(mutation.operator)(), mutation.occurrence)
    return text


def _is_program(root: Path, mutation: Mutation) -> bool:
    """Whether the change gives another program: some, of ``*`` in a signature, give none."""
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
    """Return the lines that differ, without what surrounds them."""
    changes = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    gone, new = (" ".join(line[2:].strip() for line in changes if line[0] == sign) for sign in "-+")
    return gone, new or "(nothing)"
