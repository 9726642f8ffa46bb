"""Whole messages, as a person sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inline_snapshot import snapshot

from harness.errors import Problem

Problems = Callable[..., Sequence[Problem]]


def test_all_faults_are_reported_in_the_order_of_the_file(problems: Problems):
    text = """\
harness: 1
name: demo
entry: leed
models:
  qwen: {api: openai-chat, model: qwen, stream: NO}
mcpServers:
  corpus: {module: toolservers.corpus, scope: team}
agents:
  lead:
    instructions: Answer.
    modle: qwen
    tools: [corpsu.search]
    delegates: [critic]
  critic:
    instructions: Judge.
    delegates: [lead]
limits: {tokens: 500kb, turns: '${TURNS}'}
"""
    found = problems(text)

    assert "\n".join(map(str, found)) == snapshot("""\
team.yaml:3:8: the entry agent 'leed' is not in 'agents'
  3 | entry: leed
    |        ^
  hint: did you mean 'lead'?
team.yaml:5:49: models.qwen.stream: expected true or false, got text 'NO'
  5 |   qwen: {api: openai-chat, model: qwen, stream: NO}
    |                                                 ^
  hint: write false
team.yaml:7:47: mcpServers.corpus.scope: expected 'shared', 'run' or 'agent', got text 'team'
  7 |   corpus: {module: toolservers.corpus, scope: team}
    |                                               ^
team.yaml:11:5: unknown key 'modle' in agents.lead
  11 |     modle: qwen
     |     ^
  hint: did you mean 'model'?
team.yaml:12:13: there is no server 'corpsu'
  12 |     tools: [corpsu.search]
     |             ^
  hint: did you mean 'corpus'?
team.yaml:16:17: agents delegate in a circle: lead -> critic -> lead
  16 |     delegates: [lead]
     |                 ^
  hint: let one of them report back instead of delegating
team.yaml:17:18: limits.tokens: expected a number of tokens, got text '500kb'
  17 | limits: {tokens: 500kb, turns: '${TURNS}'}
     |                  ^
  hint: write it as in: 500000, 500k or 2M
team.yaml:17:32: the variable TURNS is not set
  17 | limits: {tokens: 500kb, turns: '${TURNS}'}
     |                                ^
  hint: set TURNS in the environment, or give a default: ${TURNS:-…}\
""")


def test_a_syntax_error_stops_the_reading(problems: Problems):
    found = problems("harness: 1\nname: 'demo\nentry: lead\n")

    assert "\n".join(map(str, found)) == snapshot("""\
team.yaml:2:7: this quote is never closed
  2 | name: 'demo
    |       ^
  hint: add the closing quote\
""")


def test_an_override_is_its_own_place(problems: Problems):
    text = "harness: 1\nname: demo\nentry: lead\nagents:\n  lead: {instructions: Answer.}\n"

    found = problems(text, "agents.lead.modle=qwen", "limits.tokens=lots", "agents.lead.tools.3=x")

    assert "\n".join(map(str, found)) == snapshot("""\
--set agents.lead.modle=qwen: unknown key 'modle' in agents.lead
  hint: did you mean 'model'?
--set agents.lead.tools.3=x: agents.lead.tools: expected a list, got a mapping
--set limits.tokens=lots: limits.tokens: expected a number of tokens, got text 'lots'
  hint: write it as in: 500000, 500k or 2M\
""")


def test_a_duplicate_key_names_the_first(problems: Problems):
    found = problems("harness: 1\nname: demo\nname: again\n")

    assert "\n".join(map(str, found)) == snapshot("""\
team.yaml:3:1: duplicate key 'name'
  3 | name: again
    | ^
  hint: the first one is in line 2\
""")


def test_a_version_must_be_quoted(problems: Problems):
    text = (
        "harness: 1\nname: demo\ndescription: 1.10\nentry: lead\nagents:\n  lead: {instructions: Answer.}\n"
    )

    assert "\n".join(map(str, problems(text))) == snapshot("""\
team.yaml:3:14: description: 1.10 is a number here, but text is wanted
  3 | description: 1.10
    |              ^
  hint: write it in quotes: "1.10"\
""")
