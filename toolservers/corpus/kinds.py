"""Which files a corpus takes in, and as what."""

from __future__ import annotations

import posixpath
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["markdown", "rst", "html", "text", "source", "data"]

_SUFFIXES: dict[Kind, str] = {
    "markdown": "md markdown mdown mkd mdx qmd rmd",
    "rst": "rst rest",
    "html": "html htm xhtml",
    "text": "txt text adoc asciidoc org tex bib log me 1 3 5 7 8 po srt vtt",
    "source": (
        "py pyi pyx pxd js jsx mjs cjs ts tsx mts cts vue svelte go rs java kt kts scala groovy gradle clj cljs ex "
        "exs erl hrl hs ml mli fs fsi fsx cs vb c h cc cpp cxx hh hpp hxx inl ipp m mm swift dart rb php pl pm t "
        "lua r jl nim zig v d pas f f90 f95 for asm s sh bash zsh fish ps1 psm1 bat cmd awk sed tcl vim el lisp scm "
        "rkt sql graphql gql proto thrift capnp css scss sass less cmake mk make bzl star nix tf hcl rego sol cu "
        "cuh glsl wgsl jinja j2 tmpl mako patch diff"
    ),
    "data": "json jsonl ndjson json5 jsonc yaml yml toml ini cfg conf properties env csv tsv xml xsd xsl svg plist",
}
_KIND_OF_SUFFIX: dict[str, Kind] = {
    suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()
}
_KIND_OF_NAME: dict[str, Kind] = {
    **dict.fromkeys(
        ("readme", "license", "copying", "authors", "changes", "changelog", "news", "todo"), "text"
    ),
    **dict.fromkeys(("notice", "install", "contributing", "contributors", "thanks", "version"), "text"),
    **dict.fromkeys(
        ("makefile", "gnumakefile", "dockerfile", "containerfile", "justfile", "rakefile"), "source"
    ),
    **dict.fromkeys(("gemfile", "procfile", "vagrantfile", "jenkinsfile", "build", "workspace"), "source"),
}
_FOLDERS_OF_TOOLS = (
    "node_modules bower_components __pycache__ venv virtualenv CVS __pypackages__ jspm_packages"
)
_SKIPPED_FOLDERS = frozenset(_FOLDERS_OF_TOOLS.split())
_LOCK_FILES = (
    "package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml poetry.lock uv.lock pdm.lock Cargo.lock "
    "composer.lock Gemfile.lock go.sum flake.lock"
)
_SKIPPED_FILES = frozenset(_LOCK_FILES.split())
_MINIFIED_ENDINGS = (".min.js", ".min.css", ".min.mjs", ".bundle.js", ".map", "-min.js", ".min.html")
_LONGEST_MEAN_LINE = 400


def kind_of(path: str) -> Kind | None:
    """The kind of the file by its name, or None where its name promises nothing readable."""
    name = posixpath.basename(path)
    if name in _SKIPPED_FILES or name.endswith(_MINIFIED_ENDINGS):
        return None
    stem, dot, suffix = name.rpartition(".")
    if dot and stem:
        return _KIND_OF_SUFFIX.get(suffix.lower())
    return _KIND_OF_NAME.get(name.lower())


def is_skipped_folder(name: str) -> bool:
    """Whether a folder of this name holds tools, copies or caches instead of the corpus's own text."""
    return name.startswith(".") or name in _SKIPPED_FOLDERS


def is_minified(size: int, line_count: int, kind: Kind) -> bool:
    """Whether source or data was squeezed for machines: few and very long lines."""
    return kind in ("source", "data") and size > 4000 and size / line_count > _LONGEST_MEAN_LINE
