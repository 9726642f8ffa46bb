"""Counting tokens with and without a vocabulary at hand, never with the network."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.models.tokens import TokenCounter, encoding_name, estimate, token_counter

VOCABULARY = "fb374d419588a4632f3f557e76b4b70aebbca790"
PROSE = "The orchestrator plans the work and hands each part to an agent of its own. " * 20

WHEEL = importlib.util.find_spec("rs_bpe") is not None
needs_wheel = pytest.mark.skipif(not WHEEL, reason="rs-bpe, the extra `tokens`, is not installed here")
without_wheel = pytest.mark.skipif(WHEEL, reason="rs-bpe counts where it is installed")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make any download fail at once and visibly: nothing listens at this proxy."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")


def count_in_new_process(code: str, **environment: str) -> str:
    """Run `code` in a fresh interpreter, since a vocabulary is looked for once per process."""
    completed = subprocess.run(
        [sys.executable, "-c", f"from harness.models.tokens import token_counter\n{code}"],
        env={
            "PATH": "",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "http_proxy": "http://127.0.0.1:1",
            "https_proxy": "http://127.0.0.1:1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return completed.stdout.strip()


@without_wheel
@pytest.mark.parametrize(
    "content", [None, b"", b"IQ== 0\n", b"\xff" * 1000], ids=["none", "empty", "short", "broken"]
)
def test_without_a_sound_vocabulary_tokens_are_estimated(tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / VOCABULARY).write_bytes(content)
    code = "c = token_counter('gpt-4o'); print(c.source, c('hello world'))"
    assert count_in_new_process(code, TIKTOKEN_CACHE_DIR=str(tmp_path)) == "estimate 2"
    assert content is None or (tmp_path / VOCABULARY).read_bytes() == content


@without_wheel
def test_an_empty_cache_folder_name_means_no_cache():
    assert count_in_new_process("print(token_counter().source)", TIKTOKEN_CACHE_DIR="") == "estimate"


def test_importing_and_making_a_counter_loads_no_vocabulary():
    code = "import sys; token_counter('gpt-4o'); print('tiktoken' in sys.modules)"
    assert count_in_new_process(code) == "False"


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("gpt-5", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("", "o200k_base"),
        ("Qwen/Qwen3-8B", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("openai/gpt-4-0613", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("gpt-35-turbo", "cl100k_base"),
        ("ft:gpt-4:org", "cl100k_base"),
        ("ft:gpt-4o:org", "o200k_base"),
    ],
)
def test_each_model_has_its_vocabulary(model: str, encoding: str):
    assert encoding_name(model) == encoding


@given(st.text())
def test_only_an_empty_text_has_no_tokens(text: str):
    assert (estimate(text) == 0) == (text == "")


@given(st.text(), st.text())
def test_more_text_never_has_fewer_tokens(text: str, more: str):
    assert estimate(text + more) >= estimate(text)


@pytest.mark.parametrize(
    ("text", "fewest", "most"),
    [
        (PROSE, 0.18, 0.28),
        ('{"query": "x", "limit": 10, "offset": 0}' * 20, 0.25, 0.5),
        ("天気がいいから散歩しましょう。" * 20, 0.5, 1.2),
        ("Все счастливые семьи похожи друг на друга. " * 20, 0.25, 0.6),
    ],
    ids=["English", "JSON", "Japanese", "Russian"],
)
def test_an_estimate_is_plausible_for_its_script(text: str, fewest: float, most: float):
    assert fewest <= estimate(text) / len(text) <= most


def test_half_a_surrogate_pair_is_counted_too():
    assert estimate("\ud83d") == 1


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    "text", ["a" * 1_000_000, " " * 1_000_000, "ab " * 300_000, "天" * 300_000, "\ud83d"]
)
def test_pathological_texts_are_counted_in_time(text: str):
    assert token_counter()(text) >= 1


@pytest.mark.usefixtures("no_network")
def test_counting_is_exact_where_the_vocabulary_is_at_hand():
    counter = TokenCounter("gpt-4o")
    if counter.source == "estimate":
        pytest.skip("o200k_base is not in tiktoken's cache on this machine")
    assert counter("hello world") == 2


@needs_wheel
@pytest.mark.parametrize(
    ("model", "text", "tokens"),
    [
        ("gpt-5.2", "hello world", 2),
        ("gpt-5.2", "x = {'a': [1,2,3]}\n" * 300, 3600),
        ("gpt-5.2", "\u4f60\u597d" * 5000, 5000),
        ("gpt-4", "\u4f60\u597d" * 5000, 10_000),
        ("gpt-4", "hello \ud800", 2),
    ],
)
def test_without_a_cache_the_wheel_that_carries_a_vocabulary_counts(model: str, text: str, tokens: int):
    code = f"c = token_counter({model!r}); print(c({text!r}), c.source != 'estimate')"

    assert count_in_new_process(code, TIKTOKEN_CACHE_DIR="") == f"{tokens} True"


@needs_wheel
@pytest.mark.parametrize("text", ["a" * 200_000, " " * 200_000, "\u4f60" * 100_000, "0" * 200_000])
def test_it_takes_a_time_that_is_linear_in_the_length(text: str):
    code = f"c = token_counter(); c('x'); import time; t = time.perf_counter(); c({text[0]!r} * {len(text)}); print(time.perf_counter() - t < 2)"

    assert count_in_new_process(code, TIKTOKEN_CACHE_DIR="") == "True"
