"""Errors and models travel between processes, and the package is light to import."""

import pickle
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given

import mastostream
from mastostream import exceptions
from mastostream.core.analyses import built_in
from mastostream.testing.strategies import posts

ERRORS = [getattr(exceptions, name) for name in exceptions.__all__]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_survives_pickle(kind: type[Exception]) -> None:
    error = kind("a", "b") if kind is exceptions.MissingExtraError else kind("a")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error)


def test_a_missing_extra_names_the_command() -> None:
    error = exceptions.MissingExtraError("Kafka", "kafka")
    assert "pip install 'mastostream[kafka]'" in str(error)


@given(posts())
def test_posts_and_records_survive_pickle(post: mastostream.Post) -> None:
    for model in (
        post,
        mastostream.engagement_record(post),
        mastostream.hashtag_record(post),
        mastostream.Rejected(raw=b"x", reasons=("y",)),
        mastostream.Window(
            start=datetime(2024, 1, 1, tzinfo=UTC),
            end=datetime(2024, 1, 2, tzinfo=UTC),
            observed_at=datetime(2024, 1, 3, tzinfo=UTC),
        ),
    ):
        assert pickle.loads(pickle.dumps(model)) == model


def test_built_in_analyses_survive_pickle() -> None:
    for mode, names in (
        ("stream", ("full", "language")),
        ("sql", ("engagement", "language", "users", "count", "dashboard", "trends")),
    ):
        for name in names:
            for analysis in built_in(mode, name):
                assert pickle.loads(pickle.dumps(analysis)).name == analysis.name


def test_the_import_loads_no_vendor_package() -> None:
    code = "import sys, mastostream; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    vendors = {
        "mastodon",
        "aiohttp",
        "websockets",
        "requests",
        "cattrs",
        "click",
        "rich",
        "uvicorn",
        "starlette",
        "fsspec",
        "sqlite3",
        "confluent_kafka",
        "pyflink",
        "elasticsearch",
        "pydoop",
        "hypothesis",
    }
    assert not loaded & vendors


def test_every_public_name_is_there_and_documented() -> None:
    for name in mastostream.__all__:
        assert getattr(mastostream, name).__doc__


@pytest.mark.parametrize("arguments", [{}, {"function": len, "aggregate": 1}])
def test_an_analysis_is_either_per_post_or_windowed(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="either function or aggregate"):
        mastostream.Analysis(name="a", **arguments)  # type: ignore[arg-type]  # the point


@pytest.mark.parametrize("name", ["", "../up", "a b", "a/b", "x" * 101, "a\n"])
def test_a_name_is_safe_for_topics_and_files(name: str) -> None:
    with pytest.raises(ValueError, match="expected a name"):
        mastostream.Analysis(name=name, function=len)  # type: ignore[arg-type]  # never called
