"""Everyday words that may stand for each other in a question and in its answer."""

from __future__ import annotations

from harness.models.offline.terms import stem

_GROUPS = """
choose select pick decide determine prefer
remove delete drop evict discard purge erase
start begin launch spawn boot
stop end finish terminate halt exit shutdown
create make build construct generate produce
error failure fail exception fault crash
fast quick speed performance latency
slow overhead delay
big large size
limit maximum max cap bound restrict
minimum min least
allow permit enable support
forbid deny block disable prevent refuse
argument parameter option keyword
return yield output result
setting configuration configure option
default standard
save store persist write record
load read fetch retrieve get
change modify update alter edit
check verify validate test assert
send emit publish transmit
receive accept
wait block sleep pause
split divide partition
join combine merge concatenate
retry repeat again attempt
expire timeout ttl lifetime
purpose goal aim reason
benefit advantage
drawback disadvantage weakness
cost price expense
part component piece module
step stage phase
kind type sort category
show display print
find search locate look
safe secure security
parallel concurrent concurrency simultaneous
cheap inexpensive
user person people
call invoke invocation
own belong
replace substitute swap
connect connection open
close shut
install setup
require need must
"""


def _tabulate() -> dict[str, frozenset[str]]:
    table: dict[str, set[str]] = {}
    for line in _GROUPS.split("\n"):
        group = {stem(word) for word in line.split()}
        for term in group:
            table.setdefault(term, set()).update(group - {term})
    return {term: frozenset(others) for term, others in table.items()}


_TABLE = _tabulate()


def synonyms(term: str) -> frozenset[str]:
    """Return the stems that may stand for a stem; often none."""
    return _TABLE.get(term, frozenset())


def other_words(word: str) -> list[str]:
    """Return whole words that may stand for a word, as a search needs them."""
    wanted = stem(word)
    for line in _GROUPS.split("\n"):
        group = line.split()
        if wanted in map(stem, group):
            return [other for other in group if stem(other) != wanted]
    return []
