"""Who may call what."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.permissions import Permissions
from harness.team import PermissionSpec

RULES = [
    PermissionSpec(tool="files.read", allow="yes"),
    PermissionSpec(tool="files.*", agent="scout*", allow="no"),
    PermissionSpec(tool="files.delete", agent="lead", allow="no"),
]

names = st.sampled_from(["lead", "scout", "scout2", "clerk"])
tools = st.sampled_from(["files.read", "files.write", "files.delete", "web.get", "report"])
rules = st.lists(
    st.builds(
        PermissionSpec,
        tool=st.sampled_from(["*", "files.*", "files.read", "web.*", "*.get"]),
        agent=st.sampled_from(["*", "lead", "scout*", "clerk"]),
        allow=st.sampled_from(["yes", "no"]),
    ),
    max_size=5,
)


@pytest.mark.parametrize(
    ("lineage", "tool", "denial"),
    [
        (["lead"], "files.read", ""),
        (["lead"], "files.write", ""),
        (["lead"], "files.delete", "the team file denies files.delete to lead"),
        (["lead", "clerk"], "files.delete", "the team file denies files.delete to lead"),
        (["clerk"], "files.delete", ""),
        (["lead", "scout2"], "files.write", "the team file denies files.write to scout2"),
        (["lead", "scout2"], "files.read", ""),
    ],
)
def test_the_first_rule_that_matches_decides_for_each_agent(lineage: list[str], tool: str, denial: str):
    assert Permissions(RULES).denial(lineage, tool) == denial


def test_without_rules_everything_is_allowed():
    assert Permissions().denial(["lead"], "files.delete") == ""


@given(rules, st.lists(names, min_size=1, max_size=4), names, tools)
def test_working_for_others_never_widens_what_may_be_done(
    given_rules: list[PermissionSpec], lineage: list[str], child: str, tool: str
):
    permissions = Permissions(given_rules)

    if permissions.denial(lineage, tool) or permissions.denial([child], tool):
        assert permissions.denial([*lineage, child], tool)
    else:
        assert not permissions.denial([*lineage, child], tool)


@given(rules, names, tools)
def test_an_agent_is_denied_what_its_first_matching_rule_denies(
    given_rules: list[PermissionSpec], name: str, tool: str
):
    matching = [
        rule for rule in given_rules if fnmatchcase(name, rule.agent) and fnmatchcase(tool, rule.tool)
    ]

    assert bool(Permissions(given_rules).denial([name], tool)) == (
        bool(matching) and matching[0].allow == "no"
    )
