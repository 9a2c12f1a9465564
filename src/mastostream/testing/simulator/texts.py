"""Generated text of posts and profiles: languages, hashtags, names and HTML."""

import random
from collections.abc import Sequence
from html import escape
from typing import Final

__all__ = ["LANGUAGES", "TAGS", "content", "language", "profile_note", "tag", "user_name"]

LANGUAGES: Final = {
    "en": "the morning train runs late again but coffee helps and birds sing over quiet roofs",
    "de": "der Morgen beginnt langsam doch der Kaffee hilft und Vögel singen über stillen Dächern",
    "ja": "今朝 は 電車 が 遅れ 珈琲 を 飲み 窓 から 鳥 の 声 を 聞く",
    "fr": "le matin commence doucement mais le café aide et les oiseaux chantent près du pont",
    "es": "la mañana empieza despacio pero el café ayuda y los pájaros cantan junto al río",
    "pt": "a manhã começa devagar mas o café ajuda e os pássaros cantam perto da praia",
    "nl": "de ochtend begint rustig maar koffie helpt en vogels zingen boven het stille water",
    "ru": "утро начинается медленно но кофе помогает и птицы поют над тихим городом",
    "ar": "الصباح يبدأ ببطء لكن القهوة تساعد والطيور تغني فوق المدينة الهادئة",
    "ko": "아침 은 천천히 시작 되고 커피 한 잔 과 새 소리 가 좋다",
    "zh": "早晨 慢慢 开始 咖啡 很 香 鸟儿 在 安静 的 屋顶 上 唱歌",
}
_LANGUAGE_WEIGHTS: Final = (40, 14, 14, 8, 7, 4, 4, 3, 2, 2, 2)
"""Relative shares of the languages, in the order of ``LANGUAGES``."""
TAGS: Final = (
    "news",
    "python",
    "caturday",
    "photography",
    "climate",
    "art",
    "music",
    "fediverse",
    "science",
    "football",
    "bücher",
    "日本",
    "books",
    "gardening",
    "linux",
    "cooking",
    "history",
    "opensource",
    "hiking",
    "movies",
    "weather",
    "trains",
    "astronomy",
    "knitting",
)
_QUESTION_MARKS: Final = {"ja": "？", "zh": "？", "ar": "؟"}  # noqa: RUF001 - their own
"""The question marks of languages that do not use ``?``."""

_ASKED_EVERY: Final = 9
"""A sentence is a question if its number of words is a multiple of this: an eighth of all are."""

_EMOJI: Final = "🙂🐈📷🌧🎉☕🚲🌻"
_SYLLABLES: Final = ("ka", "lo", "mi", "ren", "sa", "tu", "vel", "dor", "ni", "pax", "or", "zen")


def language(rng: random.Random) -> str:
    """Draw a language by its share of all posts."""
    return rng.choices(tuple(LANGUAGES), _LANGUAGE_WEIGHTS)[0]


def tag(rng: random.Random) -> str:
    """Draw a hashtag: a few are popular, most are rare (a Pareto distribution)."""
    number = int(rng.paretovariate(0.8)) - 1
    return TAGS[number] if number < len(TAGS) else rng.choice(TAGS)


def user_name(rng: random.Random) -> str:
    """Draw a user name that no real account has."""
    return "sim_" + "".join(rng.choices(_SYLLABLES, k=3)) + str(rng.randrange(100))


def sentence(rng: random.Random, spoken: str, words: int) -> str:
    """Return this many words of a language at random; some ask, some end with an emoji."""
    text = " ".join(rng.choices(LANGUAGES[spoken].split(), k=words))
    if words % _ASKED_EVERY == 0:
        text += _QUESTION_MARKS.get(spoken, "?")
    return text + (f" {rng.choice(_EMOJI)}" if rng.random() < 0.3 else "")


def profile_note(rng: random.Random, host: str) -> str:
    """Return the HTML of a profile, about as long as a real one."""
    parts = [f"<p>{escape(sentence(rng, 'en', 14))}</p>" for _ in range(9)]
    return "".join(parts) + _anchor(host, rng.choice(TAGS))


def content(rng: random.Random, spoken: str, tags: Sequence[str], host: str) -> str:
    """Return the HTML of a post, as Mastodon writes it."""
    text = escape(sentence(rng, spoken, rng.randrange(6, 40)))
    return f"<p>{text}</p><p>{' '.join(_anchor(host, tag) for tag in tags)}</p>"


def _anchor(host: str, tag: str) -> str:
    return (
        f'<a href="https://{host}/tags/{tag}" class="mention hashtag" rel="tag">'
        f"#<span>{tag}</span></a>"
    )
