"""A chat-completions server on loopback whose replies a test scripts, faults included."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GOOD = "{'pred': 'yes', 'score': 4}"
PROMPT_TOKENS, REPLY_TOKENS = 100, 10
REFUSED = {"400", "401", "403", "404", "429", "500", "no credit"}
HANG = 30.0


class JudgeServer:
    """`behave(prompt, number)` names what the `number`-th request (from 1) with that user text gets.

    ok | 301 | 400 | 401 | 403 | 404 | 429 | 500 | no credit | refuses:PARAMETER | broken | schema | half | slow |
    hang | parts | null | silent usage | long | cut | refusal | text:...; requests are counted per text.
    A server that `refuses` a parameter answers well to a request without it.
    """

    def __init__(self, behave):
        self.behave = behave
        self.requests = Counter()
        self.headers = []
        self.bodies = []
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()

    @contextmanager
    def running(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                outer.handle(self)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            self.closing.set()
            server.shutdown()
            server.server_close()

    def handle(self, request):
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        prompt = body["messages"][1]["content"]
        with self.lock:
            self.requests[prompt] += 1
            number = self.requests[prompt]
            self.headers.append({name.title(): value for name, value in request.headers.items()})
            self.bodies.append(body)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            self.reply(request, self.behave(prompt, number), body)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with self.lock:
                self.in_flight -= 1

    def reply(self, request, how, body):
        if how.startswith("refuses:"):
            parameter = how.removeprefix("refuses:")
            if parameter in body:
                words = f"Unsupported parameter: '{parameter}' is not supported with this model."
                return self.send(request, 400, refusal(words, "unsupported_parameter"))
            how = "ok"
        if how == "301":
            return self.send(request, 301, "", {"Location": "http://127.0.0.1:9/v1"})
        if how in REFUSED:
            status = 429 if how == "no credit" else int(how)
            words = "You exceeded your current quota" if how == "no credit" else "refused"
            code = "insufficient_quota" if how == "no credit" else None
            extra = {"Retry-After": "0.01"} if how == "429" else {}
            return self.send(request, status, refusal(f"{words} {request.headers.get('Authorization')}", code), extra)
        if how == "broken":
            return self.send(request, 200, '{"choices": [')
        if how == "schema":
            return self.send(request, 200, '{"choices": [], "note": "no reply"}')
        if how == "half":
            content = completion(GOOD).encode()
            request.send_response(200)
            request.send_header("Content-Length", str(len(content)))
            request.end_headers()
            request.wfile.write(content[: len(content) // 2])
            request.wfile.flush()
            request.close_connection = True
            return None
        if how == "hang":
            self.closing.wait(HANG)
            request.close_connection = True
            return None
        if how == "slow":
            time.sleep(0.2)
        return self.send(request, 200, spoken(how))

    def send(self, request, status, text, extra=None):
        content = text.encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        for name, value in (extra or {}).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)


def refusal(words, code):
    return json.dumps({"error": {"message": words, "type": "invalid_request_error", "code": code}})


def spoken(how):
    """The completion of a server that speaks, well or not."""
    match how.partition(":"):
        case "text", _, text:
            return completion(text)
        case "parts", _, _:
            return completion([{"type": "text", "text": GOOD[:10]}, {"type": "text", "text": GOOD[10:]}])
        case "null", _, _:
            return completion(None)
        case "silent usage", _, _:
            return completion(GOOD, usage=None)
        case "long", _, _:
            return completion(GOOD, tokens=5000)
        case "cut", _, _:
            return completion("<think>The reply says {'pred': 'no', 'score': 1}, but", finish="length", tokens=64)
        case "thinks", _, _:
            return completion("<think>Perhaps {'pred': 'no', 'score': 1}?</think>" + GOOD)
        case "refusal", _, _:
            return completion(None, refusal="I cannot judge this.")
    return completion(GOOD)


def completion(content, finish="stop", tokens=REPLY_TOKENS, **more):
    message = {"role": "assistant", "content": content}
    if "refusal" in more:
        message["refusal"] = more["refusal"]
    body = {
        "model": "judge-2024-01-01",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens, "total_tokens": PROMPT_TOKENS + tokens},
    }
    if "usage" in more:
        del body["usage"]
    return json.dumps(body)
