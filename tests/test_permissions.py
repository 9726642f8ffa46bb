"""Who may call what, and when a person is asked."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.permissions import Permissions, ProposedCall, Verdict
from harness.team import PermissionSpec

RULES = [
    PermissionSpec(tool="files.read", allow="yes"),
    PermissionSpec(tool="files.*", agent="scout*", allow="no"),
    PermissionSpec(tool="files.delete", agent="lead", allow="no", reason="nothing is thrown away"),
    PermissionSpec(tool="mail.*", agent="clerk", allow="ask", expires="24h", reason="mail leaves the house"),
    PermissionSpec(tool="mail.*", agent="lead", allow="ask", expires="1h"),
]
STRICTNESS = ["yes", "ask", "no"]

names = st.sampled_from(["lead", "scout", "scout2", "clerk"])
calls = st.builds(
    ProposedCall,
    tool=st.sampled_from(["files.read", "files.write", "files.delete", "web.get"]),
    arguments=st.fixed_dictionaries({}, optional={"path": st.sampled_from(["/tmp/a", "/etc/b"])}),
    effect=st.sampled_from(["read", "once"]),
)
rules = st.lists(
    st.builds(
        PermissionSpec,
        tool=st.sampled_from(["*", "files.*", "files.read", "web.*", "*.get"]),
        agent=st.sampled_from(["*", "lead", "scout*", "clerk"]),
        effect=st.sampled_from([None, "once", ["read", "once"]]),
        when=st.sampled_from([{"path": "/tmp/*"}, {"path": {"not": "/tmp/*"}}]),
        allow=st.sampled_from(STRICTNESS),
    ),
    max_size=5,
)


def call(tool: str, **arguments: Any) -> ProposedCall:
    return ProposedCall(tool, arguments, "once")


def matches(condition: Any, allow: str, **arguments: Any) -> bool:
    """Whether one rule with one condition decides about a call with these arguments."""
    path, wanted = condition
    rule = PermissionSpec.model_validate({"tool": "desk.act", "when": {path: wanted}, "allow": allow})
    # A second rule gives another verdict than the first, so it shows which of them matched.
    rest = PermissionSpec(tool="*", allow="no" if allow == "yes" else "yes")
    return Permissions([rule, rest]).verdict(["lead"], call("desk.act", **arguments)).allow == allow


@pytest.mark.parametrize(
    ("lineage", "tool", "verdict"),
    [
        (["lead"], "files.read", Verdict("yes")),
        (["lead"], "files.write", Verdict("yes")),
        (
            ["lead"],
            "files.delete",
            Verdict(
                "no", "the team file denies files.delete to lead (permissions[2]): nothing is thrown away"
            ),
        ),
        (["clerk"], "files.delete", Verdict("yes")),
        (
            ["lead", "scout2"],
            "files.write",
            Verdict("no", "the team file denies files.write to scout2 (permissions[1])"),
        ),
        (["lead", "scout2"], "files.read", Verdict("yes")),
        (["clerk"], "mail.send", Verdict("ask", "mail leaves the house", 86_400)),
        (["lead"], "mail.send", Verdict("ask", "permissions[4] asks before lead calls mail.send", 3_600)),
    ],
)
def test_the_first_rule_that_matches_decides_for_each_agent(lineage: list[str], tool: str, verdict: Verdict):
    assert Permissions(RULES).verdict(lineage, call(tool)) == verdict


def test_one_question_gives_the_reasons_of_all_who_ask_and_waits_the_shortest_time():
    assert Permissions(RULES).verdict(["lead", "clerk"], call("mail.send")) == Verdict(
        "ask", "permissions[4] asks before lead calls mail.send; mail leaves the house", 3_600
    )


def test_without_rules_everything_is_allowed():
    assert Permissions().verdict(["lead"], call("files.delete")) == Verdict("yes")


def test_a_rule_may_be_about_calls_with_certain_effects_only():
    permissions = Permissions([PermissionSpec(tool="*", effect=["keyed", "once"], allow="ask")])

    asked = {
        effect: permissions.verdict(["lead"], ProposedCall("a.b", {}, effect)).allow
        for effect in ("read", "idempotent", "keyed", "once")
    }

    assert asked == {"read": "yes", "idempotent": "yes", "keyed": "ask", "once": "ask"}


@pytest.mark.parametrize(
    ("wanted", "value", "fits"),
    [
        ("prod", "prod", True),
        ("prod", "production", False),
        ("*@example.com", "a@example.com", True),
        ("*@example.com", "a@example.com.evil.net", False),
        ("rm *", "rm\n-rf", False),
        ("*secret*", "a\nsecret\nb", True),
        ("12*", 123, True),
        ("true", True, True),
        (5, 5, True),
        (5, 5.0, True),
        (5, "5", True),
        (1, True, False),
        (True, True, True),
        (True, 1, False),
        (True, "True", False),
        (["a*", 7], 7, True),
        (["a*", 7], "abc", True),
        (["a*", 7], "b", False),
        ({"above": 100}, 100, False),
        ({"above": 100}, 100.5, True),
        ({"above": 100}, "250", True),
        ({"above": 100}, 10**400, True),
        ({"above": 100}, "much", False),
        ({"above": 0}, True, False),
        ({"above": 10, "below": 20}, 15, True),
        ({"above": 10, "below": 20}, 25, False),
        ({"not": "main"}, "topic", True),
        ({"not": ["main", "release/*"]}, "release/2", False),
        ({"is": "/srv/*", "not": "*.key"}, "/srv/a.key", False),
        ({"is": "/srv/*", "not": "*.key"}, "/srv/a.txt", True),
        ("*", {"a": 1}, False),
    ],
)
@pytest.mark.parametrize("allow", ["yes", "no"])
def test_an_argument_is_tested_by_its_value(wanted: Any, value: Any, fits: bool, allow: str):
    assert matches(("x", wanted), allow, x=value) == fits


@pytest.mark.parametrize("allow", ["yes", "ask", "no"])
@pytest.mark.parametrize("missing", [{}, {"x": None}, {"x": []}, {"x": {}}, {"y": 1}])
def test_an_argument_that_is_not_given_satisfies_only_not(missing: dict[str, Any], allow: str):
    assert not matches(("x", "*"), allow, **missing)
    assert not matches(("x", {"below": 5}), allow, **missing)
    assert not matches(("x", {"is": "*", "not": "a"}), allow, **missing)
    assert matches(("x", {"not": "a"}), allow, **missing)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("to.address", True),
        ("items.1.amount", True),
        ("items.0.amount", False),
        ("items.2.amount", False),
        ("items.amount", True),
        ("grid.0.1", True),
        ("to.address.more", False),
        ("to", False),
        ("items", False),
    ],
)
def test_a_path_leads_through_mappings_and_lists(path: str, found: bool):
    arguments = {"to": {"address": "9"}, "items": [{"amount": 1}, {"amount": 9}], "grid": [[1, 9]]}

    assert matches((path, 9), "no", **arguments) == found


def test_all_items_must_fit_a_rule_that_allows_and_one_is_enough_for_any_other():
    mixed, ours = ["a@ours.com", "b@theirs.com"], ["a@ours.com", "b@ours.com"]

    assert matches(("to", "*@ours.com"), "yes", to=ours)
    assert not matches(("to", "*@ours.com"), "yes", to=mixed)
    assert matches(("to", "*@theirs.com"), "ask", to=mixed)
    assert matches(("to", "*@theirs.com"), "no", to=mixed)
    assert matches(("to", {"not": "*@ours.com"}), "no", to=mixed)
    assert not matches(("to", {"not": "*@theirs.com"}), "yes", to=mixed)
    assert not matches(("items.amount", {"below": 5}), "yes", items=[{"amount": 1}, {}])


@pytest.mark.parametrize(
    "path",
    ["/tmp/../etc/passwd", "/tmp/x/../../etc/passwd", "/tmp/./..//etc/passwd", "//etc/passwd", "\\tmp\\..\\etc\\passwd"],
)  # fmt: skip
def test_a_path_is_judged_by_where_it_leads(path: str):
    assert matches(("path", "/etc/*"), "no", path=path)
    assert not matches(("path", "/tmp/*"), "yes", path=path)
    assert not matches(("path", {"not": "/etc/*"}), "yes", path=path)


@pytest.mark.parametrize("path", ["/tmp/a", "/tmp/a/../b", "/tmp/a//b/", "/tmp/", "/tmp/..a/b", "/tmp/a..b"])
def test_a_path_that_stays_where_it_may_be_is_allowed(path: str):
    assert matches(("path", "/tmp/*"), "yes", path=path)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [("https://x.org/a", True), ("https://x.org/a/../b", True), ("https://x.org/../y.net/a", False)],
)
def test_a_url_is_judged_like_a_path(url: str, allowed: bool):
    assert matches(("url", "https://x.org/*"), "yes", url=url) == allowed


def test_arguments_of_any_depth_are_judged():
    deep: Any = "secret"
    for _ in range(5_000):
        deep = [deep]

    assert matches(("x", "secret"), "no", x=deep)


@given(rules, st.lists(names, min_size=1, max_size=4), names, calls)
def test_working_for_others_never_widens_what_may_be_done(
    given_rules: list[PermissionSpec], lineage: list[str], child: str, call: ProposedCall
):
    permissions = Permissions(given_rules)
    alone = [permissions.verdict(who, call).allow for who in (lineage, [child])]

    together = permissions.verdict([*lineage, child], call).allow

    assert together == max(alone, key=STRICTNESS.index)


@given(rules, names, calls)
def test_an_agent_may_do_what_its_first_matching_rule_says(
    given_rules: list[PermissionSpec], name: str, call: ProposedCall
):
    path = call.arguments.get("path", "")
    matching = [
        rule.allow
        for rule in given_rules
        if fnmatchcase(name, rule.agent)
        and fnmatchcase(call.tool, rule.tool)
        and call.effect in (rule.effect or [call.effect])
        and path.startswith("/tmp/") == bool(rule.when["path"].one_of)
    ]

    assert Permissions(given_rules).verdict([name], call).allow == (matching or ["yes"])[0]
