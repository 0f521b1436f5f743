#!/usr/bin/env python3
"""Records requests that real programs make: each speaks to a small server on loopback, which keeps the bytes.

    record.py PACKAGES OUT

Chromium, curl, wget, git, Node, Python's requests, apt, cargo, and npm and pip when they are installed. Nothing leaves
this machine: every name is 127.0.0.1, and the clients' homes are below a temporary folder. One class for each client.
"""

import base64
import json
import os
import random
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading

import clients
import pages

MOST_BODY = 2_000_000


class Recorder(socketserver.ThreadingTCPServer):
    """Keeps what was sent, by the client whose turn it is."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, site):
        super().__init__(("127.0.0.1", 0), Connection)
        self.site = site
        self.turn = "none"
        self.kept = {}
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def keep(self, raw):
        with self.lock:
            self.kept.setdefault(self.turn, {})[raw] = None


class Connection(socketserver.StreamRequestHandler):
    timeout = 20

    def handle(self):
        try:
            while self.one():
                pass
        except (OSError, ValueError):
            pass

    def one(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline(65_536)
            if not line:
                return False
            head += line
        line, *fields = head.decode("latin-1").split("\r\n")[:-2]
        method, target, _ = line.split(" ", 2)
        headers = {name.lower(): value.strip() for name, value in (field.split(":", 1) for field in fields)}
        if headers.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self.body(headers)
        kept = head
        if "transfer-encoding" in headers:
            # Measured requests have their length in front: the same message, RFC 9112 section 7.1.
            kept = head[:-2] + f"Content-Length: {len(body)}\r\n\r\n".encode()
            kept = b"\r\n".join(one for one in kept.split(b"\r\n") if not one.lower().startswith(b"transfer-encoding:"))
        self.server.keep(kept + body)
        status, kind, content, more = self.server.site(method, target, headers, body)
        answer = f"HTTP/1.1 {status} OK\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in more) + "\r\n"
        self.wfile.write(answer.encode() + (b"" if method == "HEAD" else content))
        return headers.get("connection", "").lower() != "close"

    def body(self, headers):
        if "transfer-encoding" in headers:
            out = b""
            while True:
                size = int(self.rfile.readline(64).split(b";")[0], 16)
                out += self.rfile.read(size)
                self.rfile.readline(8)
                if size == 0:
                    return out
        return self.rfile.read(min(int(headers.get("content-length", "0")), MOST_BODY))


def values(out, wanted):
    """Values of the benign classes, for clients to send: those that forms and search boxes see."""
    found = []
    for name in ["prose-word-groups", "prose-comments", "typed-search", "prose-mail", "names", "typed-products", "prose-ja", "prose-ru", "typed-paths", "code-fenced", "typed-addresses", "interface-texts"]:
        path = os.path.join(out, f"{name}.jsonl")
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            found += [json.loads(line)["value"] for line in file.read().splitlines()[: wanted // 12]]
    found = [one.encode("utf-8", "replace").decode() for one in found if len(one) < 3_000]
    random.Random("recorded").shuffle(found)
    return found


def main():
    root, out = sys.argv[1], sys.argv[2]
    with tempfile.TemporaryDirectory(prefix="portward-record-") as home:
        site = pages.Site(root, home, values(out, 1_600))
        recorder = Recorder(site)
        port = recorder.server_address[1]
        problems = []
        for name, drive in clients.CLIENTS.items():
            if name in clients.OPTIONAL and not shutil.which(name):
                print(f"  {name} is not installed", file=sys.stderr)
                continue
            recorder.turn = name
            try:
                drive(home, f"http://127.0.0.1:{port}", site)
            except (OSError, subprocess.SubprocessError) as error:
                problems.append(f"{name}: {error}")
            made = recorder.kept.get(name, {})
            print(f"  {name}: {len(made)} requests", file=sys.stderr)
            if not made:
                problems.append(f"{name} sent nothing")
        recorder.shutdown()
    total = 0
    for name, made in recorder.kept.items():
        if name == "none":
            continue
        with open(os.path.join(out, f"recorded-{name}.jsonl"), "w", encoding="utf-8") as file:
            for raw in made:
                raw = raw.replace(f"127.0.0.1:{port}".encode(), b"www.example.com").replace(f"127.0.0.1%3A{port}".encode(), b"www.example.com")
                file.write(json.dumps({"request_base64": base64.b64encode(raw).decode()}) + "\n")
        total += len(made)
    print(f"{total} recorded requests")
    if problems:
        sys.exit("record.py: " + "; ".join(problems))


if __name__ == "__main__":
    main()
