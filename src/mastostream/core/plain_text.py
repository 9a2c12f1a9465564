"""The text of a post's HTML, as somebody reads it who looks at the post."""

import re
from functools import cache
from html import unescape
from typing import Final

__all__ = ["plain_text"]

# What the tokenizer of the HTML standard (https://html.spec.whatwg.org/#tokenization) takes for one
# token that is no text. The time is linear for any input: no two loops compete for the same
# characters, and what is never closed goes on to the end of the input, so that nothing is tried
# again from the next `<`.
_SPACE: Final = r"[\t\n\f\r\ ]"
_END_OF_NAME: Final = r"(?= [\t\n\f\r\ />] )"
# The rest of a tag after its name. The first branch is the form that all software writes, which it
# takes a third of the time to match; the second is the whole grammar.
_ATTRIBUTES: Final = rf"""
    (?:
        [^"'>=]*+ (?: (?<= [^\t\n\f\r\ /"] ) ="[^"]*+" [^"'>=]*+ )*+ >
      | (?:
            (?: {_SPACE} | / )++
          | [^\t\n\f\r\ />] [^\t\n\f\r\ />=]*+
            (?:
                {_SPACE}*+ = {_SPACE}*+
                (?: "[^"]*+ (?: " | \Z ) | '[^']*+ (?: ' | \Z ) | [^\t\n\f\r\ >]++ )?+
            )?+
        )*+
        (?: > | \Z )
    )
"""
# The elements of which Mastodon's `PlainTextFormatter` (4.5) removes all that is in them, and
# `template`, which no browser shows.
_UNSEEN: Final = r"(?i: iframe|math|noembed|noframes|noscript|script|style|svg|template|xmp )"
_QUOTE_INLINE: Final = rf"""
    (?=
        {_SPACE} (?: [^>]*? {_SPACE} )?
        class=" (?: [^"<>]* {_SPACE} )? quote-inline (?: {_SPACE} | " )
    )
"""
_OUTSIDE_SPANS: Final = "(?: [^<]++ | (?! </?span | </p> ) < )"
_MARKUP: Final = rf"""
    < (?:
        !-- (?: -?> | (?s: .*? ) (?: --!?> | \Z ) )  # a comment
      | (?: [!?] | / (?![a-zA-Z]) ) [^>]*+ (?: > | \Z )  # a "bogus comment"
      | (?= [imnstxIMNSTX] ) (?P<unseen> {_UNSEEN} ) {_END_OF_NAME} {_ATTRIBUTES}
        (?s: .*? ) (?: </ (?i: (?P=unseen) ) {_END_OF_NAME} {_ATTRIBUTES} | \Z )
      | p {_QUOTE_INLINE} {_ATTRIBUTES} (?s: .*? ) (?= </p> | <p [\t\n\f\r\ >] | \Z )
      | span {_QUOTE_INLINE} {_ATTRIBUTES}
        (?:
            {_OUTSIDE_SPANS}
          | <span {_END_OF_NAME} {_ATTRIBUTES} {_OUTSIDE_SPANS}* </span>  # as in shortened links
        )*
        (?: </span> )?
      | (?P<name> /?[a-zA-Z] [^\t\n\f\r\ />]*+ ) {_ATTRIBUTES}
    )
"""
# At the edges of these elements a line ends, as in a browser's `innerText`; at those of a paragraph
# a blank line comes, too.
_BLOCKS: Final = re.findall(
    r"\w+",
    """
    address article aside blockquote center dd details div dl dt fieldset figcaption figure footer
    form h1 h2 h3 h4 h5 h6 header hr li main nav ol p pre section summary table td th tr ul
    """,
)
_LINES: Final = {tag: 1 + (name == "p") for name in _BLOCKS for tag in (name, f"/{name}")}
# Python's `unescape` fails for numbers of more than 4,300 digits; the highest code point has seven.
_LEADING_ZEROS: Final = re.compile("&#0+(?=[0-9])")
_TOO_HIGH: Final = re.compile("&#[0-9]{8,};?")


def plain_text(html: str) -> str:
    r"""Return the text of a post's HTML: what a reader of Mastodon's web client sees of it.

    Tags are removed, entities are replaced, and nothing comes in the place of an inline tag:
    ``un<b>believ</b>able`` is one word and ``@<span>bob</span>`` is ``@bob``. ``<br>`` becomes
    ``\n``, as does the edge of a block such as an item of a list; between paragraphs is a blank
    line, ``\n\n``. Other white space is kept, as the web client shows it, but not at the edges of
    blocks.

    Links are whole: the parts of an address that the web client hides (``class="invisible"``) are
    kept, and it adds no ellipsis. Two things are left out: elements that are not shown (scripts,
    styles and comments, among others), and the line ``RE: https://...`` (``class="quote-inline"``)
    by which servers tell software without quotes which post is quoted.

    Never raises, and takes linear time, whatever the input is: what is left open ends with the
    input, as the HTML standard says. The text is not safe to print or to put into HTML again.

    Args:
        html: ``Post.content``, or any other HTML from a server, such as the note of an account.
    """
    if "\0" in html:
        html = html.replace("\0", "")
    if "\r" in html:
        html = html.replace("\r\n", "\n").replace("\r", "\n")
    pieces = _markup().split(html)
    if "&" in html:
        pieces[::3] = [_unescape(text) for text in pieces[::3]]
    pieces += (None, "/p", "")  # the end of the input ends the last block
    result: list[str] = []
    block = [pieces[0]]
    lines = 0
    for tag, text in zip(pieces[2::3], pieces[3::3], strict=True):
        name = tag and tag.lower()
        if name in _LINES:
            if shown := "".join(block).strip(" \t\n\f"):
                if result:
                    result.append("\n" * lines)
                result.append(shown)
                lines = 0
            lines = max(lines, _LINES[name])
            block = [text]
        else:
            if name == "br":
                block.append("\n")
            block.append(text)
    return "".join(result)


@cache
def _markup() -> re.Pattern[str]:
    """Return what matches all that is no text; made at first use, in 4 ms."""
    return re.compile(_MARKUP, re.VERBOSE)


def _unescape(text: str) -> str:
    if "&#" in text:
        text = _TOO_HIGH.sub("\ufffd", _LEADING_ZEROS.sub("&#", text))
    return unescape(text)
