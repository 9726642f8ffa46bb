"""What may be quoted, and how it reads once it is cleaned."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.models.offline.cleaning import clean
from harness.models.offline.sentences import split_units

MARKDOWN = """\
# Cache

The cache keeps pages, e.g. those of
a book, for 3.5 minutes. Then it
drops them.

- **Size**: at most `4 GB` per node
- see [the guide](https://example.org/a_(b)) for more
  than one node

| Setting | Default | Meaning |
|---|---|---|
| ttl | 60 | Seconds a page lives |

```python
cache = open_cache(ttl=60)
```
"""

PYTHON = '''\
def shorten(text, width,
            *, placeholder="..."):
    """Collapse and truncate the given text.

    The text first has its whitespace
    collapsed.
    """
    return text[:width]
'''


def texts(text: str, *, code: bool = False) -> list[str]:
    return [unit.text for unit in split_units(text, code=code) if unit.kind != "fragment"]


def test_markdown_is_cut_into_whole_sentences_items_rows_and_code_lines():
    assert texts(MARKDOWN) == [
        "The cache keeps pages, e.g. those of\na book, for 3.5 minutes.",
        "Then it\ndrops them.",
        "**Size**: at most `4 GB` per node",
        "see [the guide](https://example.org/a_(b)) for more\n  than one node",
        "| ttl | 60 | Seconds a page lives |",
        "cache = open_cache(ttl=60)",
    ]
    assert {unit.heading for unit in split_units(MARKDOWN)} == {"Cache"}


def test_source_is_cut_into_signatures_and_documentation():
    units = split_units(PYTHON, code=True)

    assert [unit.text for unit in units[:3]] == [
        'def shorten(text, width,\n            *, placeholder="..."):',
        "Collapse and truncate the given text.",
        "The text first has its whitespace\n    collapsed.",
    ]
    assert [unit.defines for unit in units[:3]] == ["shorten", "shorten", ""]


def test_quotes_are_cleaned_of_markup_and_line_wraps():
    assert [clean(text) for text in texts(MARKDOWN)[:5]] == [
        "The cache keeps pages, e.g. those of a book, for 3.5 minutes.",
        "Then it drops them.",
        "Size: at most `4 GB` per node.",
        "See the guide for more than one node.",
        "ttl: 60; Seconds a page lives.",
    ]


def test_a_passage_that_begins_or_ends_within_a_sentence_offers_no_half_of_it():
    passage = (
        "of the cache is full.\nPages are then dropped. The oldest page\ngoes first unless it is pinned by"
    )

    assert texts(passage) == ["Pages are then dropped."]


@given(st.text(alphabet=st.sampled_from(list("ab .?!|-*#`\n>\"'_()[]:=é数")), max_size=300), st.booleans())
def test_every_unit_is_a_verbatim_slice_and_units_do_not_overlap(text: str, code: bool):
    units = split_units(text, code=code)

    assert all(text[unit.start : unit.end] == unit.text for unit in units)
    assert all(unit.text.strip() for unit in units)
    assert all(first.end <= second.start for first, second in zip(units, units[1:], strict=False))
