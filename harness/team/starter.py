"""The team file that `harness init` writes."""

from __future__ import annotations

_STARTER = """\
# yaml-language-server: $schema=./harness.schema.json
# A small research team. It runs as it is, with no key and no network:
#
#     harness run team.yaml "Which files describe the design?"
#
harness: 1                        # the version of this file format
name: deep-research
description: Researches a question in a folder of documents and answers with citations.
entry: lead                       # the agent that receives your task

models:
  default: {api: offline}         # rules, not a language model: good for trying things out
  # To use a real model, put these lines in place of the one above. Any server with the OpenAI
  # chat completions API will do: vLLM, Ollama, llama.cpp, or a provider.
  # default:
  #   api: openai-chat
  #   base_url: ${LLM_BASE_URL:-http://127.0.0.1:8000/v1}
  #   api_key: ${LLM_API_KEY:-}
  #   model: Qwen/Qwen3-8B
  #   context_window: 32k

mcpServers:                       # blocks from Claude Desktop, Cursor or VS Code work here too
  corpus:                         # searches and reads the documents below `root`
    module: toolservers.corpus
    args: {root: .}
  # files: {command: npx, args: [-y, "@modelcontextprotocol/server-filesystem", "${workspaceFolder}"]}

agents:                           # `use` takes a ready agent; what stands beside it overrides it
  lead:
    use: orchestrator
    delegates: [researcher, critic, writer]
    output: {citations: required}
  researcher:
    use: researcher
    tools: [corpus]
  critic:
    use: critic
    tools: [corpus]
  writer:
    use: writer

limits: {tokens: 500k, minutes: 10, depth: 2, parallel: 4}
"""


def starter_team() -> str:
    """Return the text of a complete, commented team file that runs offline in any folder."""
    return _STARTER
