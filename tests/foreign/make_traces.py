"""Makes the traces in `traces/`: a lead asks a researcher, who looks two things up, in somebody else's framework.

    python make_traces.py NAME FILE     with the interpreter of an environment that holds the framework

    NAME            needs
    pydantic-ai     pydantic-ai-slim[openai]
    openai-agents   openai-agents, openinference-instrumentation-openai-agents
    langgraph       langchain, langchain-openai, openinference-instrumentation-langchain
    traceloop       langchain, langchain-openai, opentelemetry-instrumentation-langchain
    smolagents      smolagents[openai], openinference-instrumentation-smolagents

and opentelemetry-sdk with opentelemetry-exporter-otlp-proto-http in each. The model is a script behind a local
HTTP server; nothing else is spoken to.
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

QUESTION = "How high is the tower, and who built it?"
FACTS = {"tower-height": "The tower is 324 m high.", "tower-builder": "It was built by Atelier-71."}
LEAD = "You lead. Ask the researcher, then answer."
RESEARCHER = "You research. Look things up by key."


class Model(BaseHTTPRequestHandler):
    """Answers `/chat/completions` by what tools it is offered and how many results it has seen."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        names = [tool["function"]["name"] for tool in asked.get("tools", [])]
        seen = sum(1 for message in asked["messages"] if message["role"] in ("tool", "tool-response"))
        message = {"role": "assistant", "content": None}
        text = json.dumps(asked["messages"])
        seen += sum("Observation:" in json.dumps(message) for message in asked["messages"][2:])
        if "lookup" in names and seen < len(FACTS):
            message["tool_calls"] = [call(f"call_look_{seen}", "lookup", {"key": list(FACTS)[seen]})]
        elif "ask_researcher" in names and seen == 0:
            schema = asked["tools"][names.index("ask_researcher")]["function"]["parameters"]
            message["tool_calls"] = [call("call_ask", "ask_researcher", {schema["required"][0]: QUESTION})]
        elif "final_answer" in names:
            said = (
                "324 m, by Atelier-71."
                if "lookup" in names
                else "The tower is 324 m high; Atelier-71 built it."
            )
            message["tool_calls"] = [call(f"call_final_{len(text)}", "final_answer", {"answer": said})]
        elif "lookup" in names:
            message["content"] = "324 m, by Atelier-71."
        else:
            message["content"] = "The tower is 324 m high; Atelier-71 built it."
        usage = {"prompt_tokens": len(text) // 4, "completion_tokens": 20}
        usage["total_tokens"] = sum(usage.values())
        reason = "tool_calls" if "tool_calls" in message else "stop"
        answer = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "scripted-1",
        }
        choice = {"index": 0, "message": message, "finish_reason": reason}
        body = json.dumps({**answer, "choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def call(identity, name, arguments):
    return {
        "id": identity,
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }


def traced(path):
    """Return a tracer provider that writes OTLP to a file: protobuf if its name says so, else JSON lines."""
    from google.protobuf.json_format import MessageToJson
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

    class File(SpanExporter):
        def export(self, spans):
            request = encode_spans(spans)
            with open(path, "ab") as file:
                if path.endswith(".pb"):
                    file.write(request.SerializeToString())
                else:
                    file.write(MessageToJson(request, indent=None).encode() + b"\n")
            return SpanExportResult.SUCCESS

    provider = TracerProvider(resource=Resource({"service.name": "example"}))
    provider.add_span_processor(SimpleSpanProcessor(File()))
    return provider


def pydantic_ai(base, provider):
    from pydantic_ai import Agent
    from pydantic_ai.models.instrumented import InstrumentationSettings
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))
    model = OpenAIChatModel("scripted-1", provider=OpenAIProvider(base_url=base, api_key="none"))
    researcher = Agent(model, name="researcher", instructions=RESEARCHER)
    lead = Agent(model, name="lead", instructions=LEAD)

    @researcher.tool_plain
    def lookup(key: str) -> str:
        """Look a fact up."""
        return FACTS[key]

    @lead.tool_plain
    async def ask_researcher(question: str) -> str:
        """Ask the researcher."""
        return (await researcher.run(question)).output

    print(lead.run_sync(QUESTION).output)


def openai_agents(base, provider):
    from openai import AsyncOpenAI
    from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor

    from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_trace_processors

    set_trace_processors([])
    OpenAIAgentsInstrumentor().instrument(tracer_provider=provider)
    model = OpenAIChatCompletionsModel("scripted-1", AsyncOpenAI(base_url=base, api_key="none"))

    @function_tool
    def lookup(key: str) -> str:
        """Look a fact up."""
        return FACTS[key]

    researcher = Agent(name="researcher", instructions=RESEARCHER, model=model, tools=[lookup])
    ask = researcher.as_tool("ask_researcher", "Ask the researcher.")
    lead = Agent(name="lead", instructions=LEAD, model=model, tools=[ask])
    print(Runner.run_sync(lead, QUESTION).final_output)


def langgraph(base, provider, *, instrument=None):
    os.environ.update({"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false"})
    if instrument is None:
        from openinference.instrumentation.langchain import LangChainInstrumentor

        LangChainInstrumentor().instrument(tracer_provider=provider)
    from langchain.agents import create_agent
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="scripted-1", base_url=base, api_key="none")

    @tool
    def lookup(key: str) -> str:
        """Look a fact up."""
        return FACTS[key]

    researcher = create_agent(model, tools=[lookup], system_prompt=RESEARCHER, name="researcher")

    @tool
    def ask_researcher(question: str) -> str:
        """Ask the researcher."""
        done = researcher.invoke({"messages": [{"role": "user", "content": question}]})
        return done["messages"][-1].text

    lead = create_agent(model, tools=[ask_researcher], system_prompt=LEAD, name="lead")
    print(lead.invoke({"messages": [{"role": "user", "content": QUESTION}]})["messages"][-1].text)


def traceloop(base, provider):
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    LangchainInstrumentor().instrument(tracer_provider=provider)
    langgraph(base, provider, instrument="traceloop")


def smolagents(base, provider):
    from openinference.instrumentation.smolagents import SmolagentsInstrumentor
    from smolagents import OpenAIServerModel, ToolCallingAgent, tool

    SmolagentsInstrumentor().instrument(tracer_provider=provider)
    model = OpenAIServerModel("scripted-1", api_base=base, api_key="none")

    @tool
    def lookup(key: str) -> str:
        """Look a fact up.

        Args:
            key: Its key.
        """
        return FACTS[key]

    researcher = ToolCallingAgent(
        [lookup], model, name="researcher", description=RESEARCHER, verbosity_level=0
    )

    @tool
    def ask_researcher(question: str) -> str:
        """Ask the researcher.

        Args:
            question: What to find out.
        """
        return researcher.run(question)

    print(ToolCallingAgent([ask_researcher], model, name="lead", verbosity_level=0).run(QUESTION))


DRIVERS = {
    "pydantic-ai": pydantic_ai,
    "openai-agents": openai_agents,
    "langgraph": langgraph,
    "traceloop": traceloop,
    "smolagents": smolagents,
}


def main(name, path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    provider = traced(path)
    try:
        DRIVERS[name](f"http://127.0.0.1:{server.server_port}/v1", provider)
    finally:
        provider.shutdown()
        server.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
