"""The text of HTML: what a reader sees, whoever wrote the HTML."""

import html
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser, LexborNode

from mastostream import Post, decode, plain_text

LINK = (
    '<a href="https://www.example.org/a/long/path?with=a&amp;query#and-a-fragment" target="_blank"'
    ' rel="nofollow noopener" translate="no"><span class="invisible">https://www.</span>'
    '<span class="ellipsis">example.org/a/long/path?with=a</span>'
    '<span class="invisible">&amp;query#and-a-fragment</span></a>'
)
MENTION = (
    '<span class="h-card" translate="no"><a href="https://example.org/@bob" class="u-url mention">'
    "@<span>bob</span></a></span>"
)
HASHTAG = '<a href="https://a.example/tags/news" class="mention" rel="tag">#<span>news</span></a>'
URL = "https://www.example.org/a/long/path?with=a&query#and-a-fragment"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", ""),
        ("no HTML at all", "no HTML at all"),
        (f"<p>{MENTION} hello</p>", "@bob hello"),
        (f"<p>See {LINK}.</p>", f"See {URL}."),
        (f"<p>C# and F# {HASHTAG}</p>", "C# and F# #news"),
        ("<p>un<b>believ</b>able <em>and</em> <del>so</del> on</p>", "unbelievable and so on"),
        ("<p>one<br />two<br>three<BR/>four</p>", "one\ntwo\nthree\nfour"),
        ("<p>one</p><p>two<br>three</p><p></p><p>four</p>", "one\n\ntwo\nthree\n\nfour"),
        ("<p>one</p>\n <p>two</p>\r\n", "one\n\ntwo"),
        ("<div>one</div><div>two</div>three", "one\ntwo\nthree"),
        ("<p>Two:</p><ul><li>one</li><li>two</li></ul><p>end</p>", "Two:\n\none\ntwo\n\nend"),
        ("<ul><li><p>one</p></li><li><p>two</p></li></ul>", "one\n\ntwo"),
        ("<blockquote><p>said</p></blockquote><p>so</p>", "said\n\nso"),
        ("<pre><code>if a:\n    b  c</code></pre>", "if a:\n    b  c"),
        ("<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>", "漢(kan)"),
        ("&lt;b&gt; &amp;amp; &#39;&#x2764;&quot;&eacute;&nbsp;&hellip;", "<b> &amp; '❤\"é\xa0…"),
        ("AT&T &unknown; &am<b></b>p; 100 &", "AT&T &unknown; &amp; 100 &"),
        ("می&zwnj;خواهم", "می\u200cخواهم"),
        ("I <3 you, a < b > c", "I <3 you, a < b > c"),
    ],
)
def test_the_text_is_what_a_reader_sees(content: str, text: str) -> None:
    assert plain_text(content) == text


@pytest.mark.parametrize(
    "content",
    [
        f'<p class="quote-inline">RE: {LINK}</p><p>So true.</p>',
        f'<p class="u-x quote-inline">RE: {LINK}<p>So true.</p>',
        f'<p>So true.<span class="quote-inline"><br/><br/>RE: <a href="{URL}">{URL}</a></span></p>',
        f'<p>So true.<span lang="en" class="quote-inline"><br><br>RE: {LINK}</span></p>',
        '<p>So true.<span class="quote-inline"><br>RE: https://example.org/1</p>',
    ],
)
def test_the_fallback_of_a_quote_is_left_out(content: str) -> None:
    assert plain_text(content) == "So true."


def test_what_only_resembles_the_fallback_of_a_quote_stays() -> None:
    content = (
        '<pre class="quote-inline">a</pre><p class="no-quote-inline">b</p><p>quote-inline</p>'
        '<p title="a class quote-inline">c</p>'
    )
    assert plain_text(content) == "a\n\nb\n\nquote-inline\n\nc"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a<script>if (b < c) '</p>'</script>d", "ad"),
        ("a<STYLE media='x'>p > b {}</style >c", "ac"),
        ("a<svg><path d=''/><text>b</text></svg><math><mi>c</mi></math>d", "ad"),
        ("a<!-- <p>b -- > --!>c<!doctype html>d<?xml e?>f</ g>h<!-->i", "acdfhi"),
        ("a<b title='>' alt = \">\"class=x>c", "ac"),
        ('a<b ="c>d">e', 'ad">e'),
        ('a<b c="d"="e>f">g', 'af">g'),
        ("a<b c='d>e", "a"),
        ("a<script>b", "a"),
        ("a<!--b->c", "a"),
        ("a\0b<\0b>c", "abc"),
        ("&#65;&#0000000000065;&#0;&#999999999a;&#xD800;", "AA\ufffd\ufffda;\ufffd"),
    ],
)
def test_odd_markup_is_read_as_browsers_read_it(content: str, text: str) -> None:
    assert plain_text(content) == text


BIG = 200_000


@pytest.mark.parametrize(
    "content",
    [
        "<" * BIG,
        "<a" * BIG,
        "</" * BIG,
        "<a " * BIG,
        "<a b='" * BIG,
        '<a b="c" d=' * BIG,
        "<a" + " b=c" * BIG,
        "<a" + ' b="' * BIG,
        "<!--" * BIG,
        "<!" * BIG,
        "<script>" * BIG,
        "<svg></math>" * BIG,
        '<p class="quote-inline">' * BIG,
        '<span class="quote-inline">' * BIG,
        '<span class="quote-inline"><span>' * BIG,
        "<p" + ' class="x' * BIG,
        "<p" + " class=x" * BIG,
        '<p class="' + "quote- " * BIG,
        "<p " * BIG,
        "<b><p>" * BIG,
        "&" * BIG,
        "&#" + "9" * BIG,
        "&#" + "0" * BIG,
        "&#x" + "f" * BIG,
        "&lt" * BIG,
        "\0" * BIG,
        "\r" * BIG,
        " " * BIG + "<p>" + " " * BIG,
    ],
    ids=lambda content: content[:20],
)
def test_a_hostile_text_takes_no_time(content: str) -> None:
    plain_text(content)


@given(st.text(st.sampled_from("<>&#\"'=/!-? \n\0abp;x1")))
def test_nothing_makes_it_fail(content: str) -> None:
    plain_text(content)


LINES = st.text(st.sampled_from("ab<>&\"' #é日;"), min_size=1).map(str.strip).filter(bool)


@given(st.lists(st.lists(LINES, min_size=1), min_size=1))
def test_what_an_author_wrote_comes_back_from_mastodon_s_html(
    paragraphs: list[list[str]],
) -> None:
    """Mastodon makes paragraphs of blank lines, and ``<br />`` of others."""
    text = "\n\n".join("\n".join(lines) for lines in paragraphs)
    written = "".join(f"<p>{html.escape(text)}</p>" for text in text.split("\n\n"))
    assert plain_text(written.replace("\n", "<br />")) == text


BLOCKS = frozenset({"blockquote", "div", "h1", "li", "ol", "p", "pre", "ul"})


def inner_text(content: str) -> str:
    """Return the ``innerText`` of the HTML standard, of the tree that a parser of HTML builds.

    White space is kept, as by the style sheet of Mastodon's web client, but at the edges of blocks.
    """
    body = LexborHTMLParser(content).body
    assert body is not None
    for node in body.css("script, style"):
        node.decompose()
    result = line = ""
    breaks = 0
    for item in (*items_of(body), 1):
        if isinstance(item, str):
            line += item
            continue
        if line := line.strip("\t\n\f\r "):
            result += "\n" * (breaks if result else 0) + line
            line, breaks = "", 0
        breaks = max(breaks, item)
    return result


def items_of(node: LexborNode) -> Iterator[str | int]:
    """Yield what the standard calls items: texts, and how many lines a block ends."""
    if node.tag == "-text":
        yield node.text(deep=False)
    elif node.tag == "br":
        yield "\n"
    lines = 2 if node.tag == "p" else int(node.tag in BLOCKS)
    if lines:
        yield lines
    if "quote-inline" not in (node.attributes.get("class") or "").split():
        for child in node.iter(include_text=True):
            yield from items_of(child)
    if lines:
        yield lines


def test_the_text_of_a_real_status_is_what_a_parser_of_html_finds(corpus: Sequence[bytes]) -> None:
    posts = [post for status in corpus if isinstance(post := decode(status), Post)]
    different = [
        post.content for post in posts if plain_text(post.content) != inner_text(post.content)
    ]
    assert not different, f"{len(different)} of {len(posts)}, the first: {different[0]!r}"


TEXTS = st.sampled_from(
    ["a", "b c", "#news", " ", "\n", "é日", "&amp;", "&lt;p&gt;", "&#39;", "&nbsp;", "&am", "1 < 2"]
)


def elements(names: str, inside: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    attributes = st.sampled_from(["", ' class="invisible"', " title='>'", " lang=en"])
    return st.builds(
        "<{0}{1}>{2}</{0}>".format,
        st.sampled_from(names.split()),
        attributes,
        st.lists(inside, max_size=4).map("".join),
    )


LINE_BREAKS = st.sampled_from(["<br>", "<br />"])
FALLBACKS = st.builds(
    '<span class="quote-inline">{}</span>'.format,
    st.lists(TEXTS | LINE_BREAKS | elements("a span", TEXTS), max_size=4).map("".join),
)
INLINE = st.recursive(
    TEXTS | LINE_BREAKS | FALLBACKS | st.sampled_from(["<!-- - -->", "<style>p > b</style>"]),
    lambda inline: elements("b em span", inline),
    max_leaves=5,
)
PARAGRAPHS = st.builds("<p{}>{}</p>".format, st.sampled_from(["", ' class="quote-inline"']), INLINE)
FLOW = st.recursive(
    INLINE | PARAGRAPHS | elements("h1", INLINE),
    lambda flow: elements("blockquote div", flow) | elements("ul ol", elements("li", flow)),
    max_leaves=10,
)


@given(st.lists(FLOW, max_size=4).map("".join))
def test_the_text_of_well_formed_html_is_what_a_parser_of_html_finds(content: str) -> None:
    assert plain_text(content) == inner_text(content)


# No `<`, letter and `>` may come together to an element that has rules of its own.
MARKUP = st.sampled_from(
    [
        *("<", ">", "/", "=", "'", '"', "&", "#", ";", "!", "?", "-", "--", " ", "\n", "x", "lt"),
        *("<b", "</b", "<p>", "</p>", "<!--", "-->", "<b x=", "<script>", "</script>", "</script"),
    ]
)


@given(st.lists(MARKUP).map("".join))
@example("<b/=x>y")
@example("<b x='y'z=\"'>\">a")
def test_of_broken_html_the_same_characters_stay_as_in_a_parser_of_html(content: str) -> None:
    """Where lines end may differ: a browser has elements where tags are missing."""
    assert "".join(plain_text(content).split()) == "".join(inner_text(content).split())
