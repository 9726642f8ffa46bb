from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import StoreError
from harness.events import FORMAT, AgentRunStarted, EntryAppended, Event, RunFinished, RunStarted, TurnStarted
from harness.journal import decode, encode
from harness.journal.codec import INLINE_BELOW, references
from harness.messages import ToolDefinition, user

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just("$content"), inner, max_size=3)
    ),
    max_leaves=5,
)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(),
    int: st.integers(),
    float: NUMBERS,
    bool: st.booleans(),
    type(None): st.none(),
    Any: JSON,
    Mapping[str, Any]: st.dictionaries(st.text() | st.just("$content"), JSON, max_size=3),
}


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    if hint in PLAIN:
        return PLAIN[hint]
    if dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint)
        return st.builds(
            hint, **{field.name: values_of(hints[field.name]) for field in dataclasses.fields(hint)}
        )
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return st.sampled_from(arguments)
    if get_origin(hint) in (Union, UnionType):
        return st.one_of(map(values_of, arguments))
    if get_origin(hint) is Mapping:
        return st.dictionaries(*map(values_of, arguments), max_size=3)
    assert get_origin(hint) is tuple
    assert arguments[1] is ...
    return st.lists(values_of(arguments[0]), max_size=3).map(tuple)


def there_and_back(event: Event) -> Event:
    body, contents = encode(event)
    return decode(event.type, body, dict(contents).__getitem__)


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_what_is_decoded_is_what_was_encoded(kind: type[Event]):
    # Newer formats are refused, which is a promise of its own.
    @given(values_of(kind).filter(lambda event: getattr(event, "format", FORMAT) <= FORMAT))
    def for_every_event(event: Event):
        again = there_and_back(event)
        assert again == event
        # `==` would let 1 pass for True and 1.0.
        assert repr(again) == repr(event)

    for_every_event()


def test_content_is_cut_out_by_its_hash_and_the_rest_stays():
    event = EntryAppended(agent="lead", entry=0, origin="task", message=user("word " * 80), tokens=80)

    body, [(key, content)] = encode(event)

    assert (len(key), content.count(b"word")) == (32, 80)
    assert b"word" not in body
    assert encode(dataclasses.replace(event, agent="critic", entry=7))[1] == [(key, content)]


@pytest.mark.parametrize("output", ["word " * 80, "\ud800 " * 80])
def test_every_reference_to_content_can_be_found_without_decoding(output: str):
    body, [(key, _)] = encode(RunFinished(run_id="run", stop_reason="done", output=output, error="\udfff"))

    assert references(body) == [key]


def test_short_content_stays_inline_unless_it_looks_like_a_reference():
    def contents(output: Any) -> int:
        return len(encode(RunFinished(run_id="run", stop_reason="done", output=output))[1])

    fits = INLINE_BELOW - len('""') - 1
    assert contents("x" * fits) == 0
    assert contents("x" * (fits + 1)) == 1
    assert contents({"$content": "x"}) == 1


@pytest.mark.parametrize(
    "output", ["\ud800 is half a pair", 10**30, {"$content": -(2**64)}, {"deep": ["\udfff" * 50]}]
)
def test_what_orjson_refuses_comes_back_too(output: Any):
    event = RunFinished(run_id="run", stop_reason="done", output=output)

    assert there_and_back(event) == event


def test_any_mapping_can_be_written():
    event = dataclasses.replace(
        STARTED, team=MappingProxyType({"harness": 1, "agents": MappingProxyType({})})
    )

    assert there_and_back(event) == dataclasses.replace(STARTED, team={"harness": 1, "agents": {}})


def test_the_hash_of_tools_does_not_depend_on_what_was_asked_of_them():
    tools = (ToolDefinition("corpus.search", "Search the corpus for words."),)
    event = AgentRunStarted(
        agent="lead", name="lead", description="", model="m", provider="p", tools=tools, brief=None, depth=0
    )
    before = encode(event)

    assert tools[0].wire_name == "corpus__search"
    assert encode(event) == before


def test_an_event_that_has_no_json_form_is_refused_where_it_is_made():
    with pytest.raises(TypeError, match="no JSON form"):
        encode(RunFinished(run_id="run", stop_reason="done", output=object()))


def test_an_unknown_type_asks_for_a_newer_harness():
    with pytest.raises(StoreError, match="'dream.started', which needs a newer harness"):
        decode("dream.started", b"{}", {}.__getitem__)


def test_a_newer_format_names_the_version_that_wrote_it():
    body, contents = encode(dataclasses.replace(STARTED, format=FORMAT + 1, harness_version="9.0"))

    with pytest.raises(StoreError, match=f"written by harness 9.0 in format {FORMAT + 1}"):
        decode("run.started", body, dict(contents).__getitem__)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"agent": 1}', b'{"agent": "lead"}'])
def test_a_damaged_event_is_a_store_error(body: bytes):
    with pytest.raises(StoreError, match="turn.started.*damaged"):
        decode(TurnStarted(agent="", turn=0).type, body, {}.__getitem__)


STARTED = RunStarted(
    team_name="t", team_digest="d", team={}, task=user("Why?"), entry="lead", harness_version="0.1.0"
)
