"""How questions are split into parts that stand alone."""

from __future__ import annotations

import pytest

from harness.models.offline.questions import split_question


def asked(text: str) -> list[str]:
    return [part.text for part in split_question(text) if part.asked]


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        (
            "How does the cache work and why?",
            ["How does the cache work?", "Why does the cache work?"],
        ),
        (
            "What does sqlite3.connect do and which arguments does it take?",
            ["What does sqlite3.connect do?", "Which arguments does sqlite3.connect take?"],
        ),
        (
            "What are the costs, limits and failure modes of Ray?",
            [
                "What are the costs of Ray?",
                "What are the limits of Ray?",
                "What are the failure modes of Ray?",
            ],
        ),
        (
            "How does the server handle errors, retries and timeouts?",
            [
                "How does the server handle errors?",
                "How does the server handle retries?",
                "How does the server handle timeouts?",
            ],
        ),
        (
            "Compare DBOS and Ray in terms of durability.",
            [
                "What is DBOS like in terms of durability?",
                "What is Ray like in terms of durability?",
                "Compare DBOS and Ray in terms of durability.",
            ],
        ),
        (
            "What is the difference between TCP and UDP?",
            [
                "What is TCP and how does it work?",
                "What is UDP and how does it work?",
                "What is the difference between TCP and UDP?",
            ],
        ),
        (
            "Which exploits rewrite the tests and how are they detected?",
            ["Which exploits rewrite the tests?", "How are exploits detected?"],
        ),
        (
            "My server has 4 GB. It crashes. How many workers should I start? What is a sane timeout?",
            ["How many workers should I start?", "What is a sane timeout?"],
        ),
        ("1. What is a journal?\n2. Who writes it?", ["What is a journal?", "Who writes journal?"]),
    ],
)
def test_a_question_is_split_into_parts_that_stand_alone(question: str, parts: list[str]):
    assert asked(question) == parts


def test_a_simple_question_gets_background_that_nobody_asked_for():
    first, second = split_question("How many tokens fit into the window?")

    assert (first.asked, second.asked) == (True, False)
    assert "tokens" in second.text


@pytest.mark.parametrize("text", ["", "  \n", "?!", "🙂🙂", "why?", "and the of"])
def test_what_says_nothing_has_no_parts(text: str):
    assert split_question(text) == ()


def test_there_are_never_more_than_five_parts():
    assert len(split_question(" ".join(f"What is thing{number}?" for number in range(50)))) == 5
