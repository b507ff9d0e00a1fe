"""A chat-completions server on loopback whose replies a test scripts, faults included."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GOOD = "{'pred': 'yes', 'score': 4}"


class JudgeServer:
    """`behave(prompt, number)` names what the `number`-th request (from 1) with that user text gets.

    ok | 429 | 500 | 400 | 401 | broken | schema | half | slow | hang | text:...; requests are counted per text.
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
            self.headers.append(dict(request.headers))
            self.bodies.append(body)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            self.reply(request, self.behave(prompt, number))
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with self.lock:
                self.in_flight -= 1

    def reply(self, request, how):
        if how in ("429", "500", "400", "401"):
            error = {"error": {"message": f"refused {request.headers.get('Authorization')}"}}
            extra = {"Retry-After": "0"} if how == "429" else {}
            return self.send(request, int(how), json.dumps(error), extra)
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
            self.closing.wait(30)
            request.close_connection = True
            return None
        if how == "slow":
            time.sleep(0.2)
        text = how.removeprefix("text:") if how.startswith("text:") else GOOD
        return self.send(request, 200, completion(text))

    def send(self, request, status, text, extra=None):
        content = text.encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        for name, value in (extra or {}).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)


def completion(text):
    return json.dumps(
        {
            "model": "judge-2024-01-01",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }
    )
