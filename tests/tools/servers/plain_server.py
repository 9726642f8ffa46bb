"""An MCP server written by hand, so that it starts in no time and can misbehave in every way.

    python plain_server.py '{"banner": 3, "tools": [...], "exit": 3, ...}'

The options are those of `OPTIONS`. Without any it is well-behaved. It speaks the protocol of 2025-11-25.
"""

import json
import os
import subprocess
import sys
import time

OPTIONS = {
    "banner": 0,  # lines of noise on stdout before anything else
    "stderr": 0,  # bytes of noise on stderr before anything else, and again at each call of `echo`
    "say": "",  # a line on stderr before anything else
    "exit": None,  # end at once with this exit code
    "silent": False,  # never answer anything
    "deaf": False,  # keep running when the input is closed
    "stubborn": False,  # ... and when asked to terminate
    "grandchild": "",  # a file for the id of a process that is started before anything else
    "pages": None,  # pages of the listing, each {"tools": [...], "next": cursor or null}, by cursor
    "starts": "",  # a file that gets a line at each start
    "tools": None,  # the listing, instead of every tool there is
}

NAMES = [
    "echo",
    "pid",
    "crash",
    "crash_first_time",
    "hold",
    "release",
    "cancelled",
    "progress",
    "spawn",
    "environment",
    "directory",
    "big",
    "structured",
    "mismatch",
    "picture",
    "refuse",
    "deny_with_code",
    "close_output",
    "meta",
    "duplicate",
    "duplicate",
    "mixed",
    "ask_until",
    "ask_and_hang",
    "ask_and_report",
    "report_now",
    "asked",
]


class Server:
    def __init__(self, options):
        unknown = set(options) - set(OPTIONS)
        assert not unknown, unknown
        self.options = OPTIONS | options
        self.held = []
        self.cancelled = []
        self.asked = {}

    def serve(self):
        self.misbehave()
        for line in sys.stdin:
            if self.options["silent"]:
                continue
            message = json.loads(line)
            if "method" not in message:
                self.asked[message["id"]](message.get("result", {}).get("action", "error"))
            elif message["method"] == "notifications/cancelled":
                self.cancelled.append(message["params"]["requestId"])
            elif "id" in message:
                self.answer(message["id"], message["method"], message.get("params") or {})
        while self.options["deaf"]:
            time.sleep(60)

    def misbehave(self):
        options = self.options
        if options["starts"]:
            with open(options["starts"], "a") as file:
                file.write("started\n")
        if options["stubborn"]:
            import signal

            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if options["grandchild"]:
            with open(options["grandchild"], "w") as file:
                file.write(str(self.spawn()))
        for number in range(options["banner"]):
            print(f"*** noise {number} {{ not json }} ***", flush=True)
        self.flood()
        if options["say"]:
            print(options["say"], file=sys.stderr, flush=True)
        if options["exit"] is not None:
            sys.exit(options["exit"])

    def flood(self):
        for _ in range(self.options["stderr"] // 1000):
            sys.stderr.write("x" * 999 + "\n")
        sys.stderr.flush()

    def answer(self, number, method, params):
        if method == "initialize":
            info = {"name": "plain", "version": "1"}
            version = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
            self.send({"id": number, "result": version})
        elif method == "tools/list":
            self.send({"id": number, "result": self.listing(params.get("cursor"))})
        elif method == "tools/call":
            name, arguments = params["name"], params.get("arguments") or {}
            getattr(self, f"tool_{name}")(number, params.get("_meta") or {}, **arguments)
        else:
            self.send({"id": number, "error": {"code": -32601, "message": "Method not found"}})

    def listing(self, cursor):
        if self.options["pages"] is not None:
            page = self.options["pages"][cursor or ""]
            return {"tools": page["tools"]} | ({"nextCursor": page["next"]} if page["next"] else {})
        if self.options["tools"] is not None:
            return {"tools": self.options["tools"]}
        return {"tools": [described(name, place) for place, name in enumerate(NAMES)]}

    def send(self, message):
        sys.stdout.write(json.dumps({"jsonrpc": "2.0"} | message) + "\n")
        sys.stdout.flush()

    def text(self, number, text, **more):
        self.send({"id": number, "result": {"content": [{"type": "text", "text": str(text)}]} | more})

    def report(self, meta, done, total=None, message=""):
        if "progressToken" in meta:
            params = {"progressToken": meta["progressToken"], "progress": done, "message": message}
            params |= {} if total is None else {"total": total}
            self.send({"method": "notifications/progress", "params": params})

    def spawn(self):
        quiet = subprocess.DEVNULL
        return subprocess.Popen(["sleep", "300"], stdin=quiet, stdout=quiet, stderr=quiet).pid

    def tool_echo(self, number, meta, text=""):
        self.flood()
        self.text(number, text)

    def tool_pid(self, number, meta):
        self.text(number, os.getpid())

    def tool_crash(self, number, meta):
        self.report(meta, 1)
        print("the disk is on fire", file=sys.stderr, flush=True)
        os._exit(3)

    def tool_crash_first_time(self, number, meta, ledger):
        with open(ledger, "a") as file:
            file.write("ran\n")
        with open(ledger) as file:
            times = len(file.readlines())
        if times == 1:
            os._exit(3)
        self.text(number, f"ran {times} times")

    def tool_hold(self, number, meta):
        self.held.append(number)
        self.report(meta, len(self.held))

    def tool_release(self, number, meta):
        held, self.held = self.held, []
        for waiting in held:
            if waiting not in self.cancelled:
                self.text(waiting, f"released {len(held)}")
        self.text(number, len(held))

    def tool_cancelled(self, number, meta):
        self.text(number, len(self.cancelled))

    def tool_progress(self, number, meta, steps, seconds):
        for step in range(steps):
            time.sleep(seconds)
            self.report(meta, step + 1, steps, f"step {step + 1}")
        self.text(number, "done")

    def tool_spawn(self, number, meta):
        self.text(number, self.spawn())

    def tool_environment(self, number, meta):
        self.text(number, json.dumps(dict(os.environ)))

    def tool_directory(self, number, meta):
        self.text(number, os.getcwd())

    def tool_big(self, number, meta, size):
        self.text(number, "x" * size)

    def tool_structured(self, number, meta):
        self.send({"id": number, "result": {"content": [], "structuredContent": {"n": 7}}})

    def tool_mismatch(self, number, meta):
        self.text(number, "seven", structuredContent={"n": "seven"})

    def tool_picture(self, number, meta):
        picture = {"type": "image", "data": "aGk=", "mimeType": "image/jpeg"}
        self.send({"id": number, "result": {"content": [{"type": "text", "text": "a picture"}, picture]}})

    def tool_refuse(self, number, meta):
        self.text(number, "no such file", isError=True)

    def tool_deny_with_code(self, number, meta, code):
        self.send({"id": number, "error": {"code": code, "message": "not today"}})

    def tool_close_output(self, number, meta):
        os.close(1)

    def tool_meta(self, number, meta):
        self.text(number, json.dumps(meta))

    def tool_duplicate(self, number, meta):
        self.text(number, "one of two")

    def ask(self, then):
        """Ask a person, and do what is to be done then with what comes back."""
        number = f"question-{len(self.asked)}"
        self.asked[number] = then
        form = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
        params = {"message": "Go?", "requestedSchema": form}
        self.send({"id": number, "method": "elicitation/create", "params": params})

    def tool_ask_until(self, number, meta, path):
        self.ask(lambda action: None)
        while not os.path.exists(path):
            time.sleep(0.01)
        self.text(number, "nobody said anything")

    def tool_ask_and_hang(self, number, meta):
        self.ask(lambda action: None)

    def tool_ask_and_report(self, number, meta):
        def then(action):
            self.report(meta, 2, 2, "heard")
            self.text(number, action)

        self.asking = meta
        self.ask(then)

    def tool_report_now(self, number, meta):
        self.report(self.asking, 1, 2, "asking")
        self.text(number, "done")

    def tool_asked(self, number, meta):
        self.text(number, len(self.asked))

    def tool_mixed(self, number, meta):
        link = {"type": "resource_link", "name": "notes", "uri": "file:///notes.txt"}
        inside = {"type": "resource", "resource": {"uri": "file:///a", "text": "inside"}}
        sound = {"type": "audio", "data": "aGk=", "mimeType": "audio/wav"}
        self.send({"id": number, "result": {"content": [link, inside, sound]}})


def described(name, place):
    tool = {"name": name, "description": f"{name}, number {place}", "inputSchema": {"type": "object"}}
    if name == "mismatch":
        shape = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        tool["outputSchema"] = shape
    if name in ("pid", "crash_first_time"):
        tool["annotations"] = {"readOnlyHint": True}
    if name == "echo":
        tool["annotations"] = {"idempotentHint": True}
    return tool


if __name__ == "__main__":
    Server(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}).serve()
