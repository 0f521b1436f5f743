"""What the recorded clients find: pages of documentation, a page that does what pages do, and registries in miniature."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import urllib.parse
import zipfile

TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png", ".json": "application/json"}

SCRIPT = r"""
const values = VALUES, done = [];
const pick = at => values[at % values.length];
document.cookie = "_ga=GA1.2.123456789.1700000000; path=/";
document.cookie = "prefs=" + encodeURIComponent(JSON.stringify({theme: "dark", q: pick(1)})) + "; path=/";
document.cookie = "last=" + escape(pick(3).slice(0, 60)) + "; path=/";
localStorage.setItem("x", "1");
async function one(at) {
  const text = pick(at), other = pick(at + 7);
  switch (at % 12) {
    case 0: return fetch("/search?" + new URLSearchParams({q: text, page: at, sort: "price:asc"}));
    case 1: return fetch("/api/items", {method: "POST", headers: {"Content-Type": "application/json", "X-CSRF-Token": crypto.randomUUID()}, body: JSON.stringify({title: text, tags: [other.slice(0, 20)], at: new Date(1.7e12 + at * 1e6), nested: {html: document.body.innerHTML.slice(0, 400)}})});
    case 2: { const form = new FormData(); form.set("title", text); form.set("body", "<p>" + other.replace(/&/g, "&amp;").replace(/</g, "&lt;") + "</p>"); form.set("file", new Blob([text + "\n" + other], {type: "text/plain"}), text.replace(/[^\p{L}\d -]+/gu, "_").slice(0, 20) + ".txt"); return fetch("/upload", {method: "POST", body: form}); }
    case 3: return fetch("/form", {method: "POST", body: new URLSearchParams([["name", text.slice(0, 60)], ["message", other], ["items[0][sku]", "A-" + at], ["_token", crypto.randomUUID()]])});
    case 4: return navigator.sendBeacon("/beacon?v=2&dl=" + encodeURIComponent(location.href) + "&dt=" + encodeURIComponent(text), JSON.stringify({event: "view", text: other, perf: performance.timing, ua: navigator.userAgent}));
    case 5: return new Promise(end => { const image = new Image(); image.onload = image.onerror = end; image.src = "/pixel.gif?e=" + encodeURIComponent(btoa(unescape(encodeURIComponent(JSON.stringify({t: text, r: document.referrer}))))) + "&_=" + at; });
    case 6: return new Promise(end => { const call = new XMLHttpRequest(); call.onloadend = end; call.open("PUT", "/rest/" + encodeURIComponent(text.replace(/[^\p{L}\d -]+/gu, " ").slice(0, 40).trim()) + "?fields=id,name&filter[name]=" + encodeURIComponent(other.slice(0, 60))); call.setRequestHeader("Content-Type", "text/plain"); call.send(text); });
    case 7: return fetch("/graphql", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({operationName: "Find", query: "query Find($q: String!, $n: Int = 10) {\n  find(text: $q, first: $n) { edges { node { id title } } }\n}", variables: {q: text, n: at}})});
    case 8: return fetch("/go?next=" + encodeURIComponent(location.origin + "/page?x=" + encodeURIComponent(text)) + "&state=" + btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(48)))).replace(/\+/g, "-").replace(/\//g, "_"));
    case 9: return fetch("/collect", {method: "POST", headers: {"Content-Type": "application/octet-stream"}, body: crypto.getRandomValues(new Uint8Array(300))});
    case 10: return fetch("/editor", {method: "PATCH", headers: {"Content-Type": "application/json"}, body: JSON.stringify({ops: [{insert: text}, {insert: other, attributes: {link: location.href}}], markdown: "# " + text + "\n\n```\n" + other + "\n```\n"})});
    default: return fetch("/suggest?callback=jQuery" + at + "_17000000&term=" + text.slice(0, 12) + "&_=" + at);
  }
}
(async () => {
  const events = new EventSource("/events?channel=" + encodeURIComponent(pick(5).slice(0, 30)));
  for (let at = 0; at < COUNT; at += 6) await Promise.allSettled([0, 1, 2, 3, 4, 5].map(more => one(at + more)));
  const inline = document.createElement("script"); inline.textContent = "1"; document.body.append(inline);
  for (let at = 0; at < 12; at++) { const frame = document.createElement("iframe"); frame.name = "f" + at; document.body.append(frame); const form = document.createElement("form"); form.target = frame.name; form.method = at % 2 ? "post" : "get"; form.action = "/submit"; if (at % 3 == 1) form.enctype = "multipart/form-data"; for (const name of ["q", "comment", "csrf"]) { const field = document.createElement("textarea"); field.name = name; field.value = pick(at * 5 + name.length); form.append(field); } document.body.append(form); form.submit(); }
  await new Promise(end => setTimeout(end, 1500)); events.close(); document.title = "done";
})();
"""


class Site:
    """Called with a request; answers (status, type, content, more headers)."""

    def __init__(self, root, home, values):
        self.root, self.home, self.values = root, home, values
        self.wheel = wheel()
        self.tarball = tarball("package", {"package.json": json.dumps({"name": "left", "version": "1.0.0"}), "index.js": "module.exports = 1\n"})
        self.crate = tarball("tiny-1.0.0", {"Cargo.toml": '[package]\nname = "tiny"\nversion = "1.0.0"\nedition = "2021"\n', "src/lib.rs": ""})

    def __call__(self, method, target, headers, body):
        path, _, query = target.partition("?")
        path = urllib.parse.unquote(path)
        first = path.split("/")[1] if "/" in path else ""
        made = getattr(self, "of_" + first.replace("-", "_").replace(".", "_").replace("@", ""), None)
        if made:
            return made(method, path, query, headers, body)
        if first in ("doc", "javascript", "wordpress", "icons"):
            return self.file(os.path.join(self.root, "usr/share", path.lstrip("/")))
        return 200, "application/json", b'{"ok":true}', [("Set-Cookie", "sid=s%3A" + hashlib.sha256(target.encode()).hexdigest()[:24] + "; Path=/; HttpOnly"), ("Access-Control-Allow-Origin", "*")]

    def file(self, path):
        path = os.path.normpath(path)
        if os.path.isdir(path):
            path = os.path.join(path, "index.html")
        if not path.startswith(self.root) or not os.path.isfile(path):
            return 404, "text/html", b"<title>Not found</title>", []
        with open(path, "rb") as file:
            return 200, TYPES.get(os.path.splitext(path)[1], "application/octet-stream"), file.read(2_000_000), [("ETag", '"1-2"'), ("Last-Modified", "Fri, 03 Jan 2025 09:04:22 GMT")]

    def of_page(self, method, path, query, headers, body):
        script = SCRIPT.replace("VALUES", json.dumps(self.values).replace("</", "<\\/")).replace("COUNT", "1320")
        policy = ("Content-Security-Policy", "script-src 'self' 'nonce-abc'; style-src 'self'; report-uri /csp-report")
        page = f"""<!doctype html><html lang=de><head><meta charset=utf-8><title>A page</title><link rel=stylesheet href="/page.css?v=1"><link rel="icon" href="/favicon.ico?x=%20y">
<link rel=preload as=font crossorigin href="/fonts/a-b_c~1.woff2"><style>body {{ color: red }}</style></head><body><img srcset="/i/a,w_100.png 1x, /i/a,w_200.png 2x" src="/i/a.png"><a href="javascript:void(0)" onclick="return false">x</a>
<script nonce=abc>{script}</script><script src="/blocked.js?a=1&b=2"></script></body></html>"""
        return 200, "text/html; charset=utf-8", page.encode(), [policy]

    def of_events(self, *_):
        return 200, "text/event-stream", b"retry: 900\n\nid: 7\ndata: x\n\n", []

    def of_go(self, method, path, query, headers, body):
        return 302, "text/plain", b"", [("Location", "/landed?from=" + urllib.parse.quote(query[:200]))]

    # Package registries, each with one small package.

    def of_simple(self, method, path, query, headers, body):
        digest = hashlib.sha256(self.wheel).hexdigest()
        page = f'<!doctype html><a href="/files/tiny-1.0-py3-none-any.whl#sha256={digest}">tiny-1.0-py3-none-any.whl</a>'
        return (200 if "tiny" in path else 404), "text/html", page.encode(), []

    def of_files(self, *_):
        return 200, "application/zip", self.wheel, []

    def of_npm(self, method, path, query, headers, body):
        if path.endswith(".tgz"):
            return 200, "application/octet-stream", self.tarball, []
        if "/-/" in path:
            return 200, "application/json", b"{}", []
        name = path[len("/npm/") :]
        base = f"http://{headers['host']}/npm/{name}"
        answer = {"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {"name": name, "version": "1.0.0", "dist": {"tarball": f"{base}/-/left-1.0.0.tgz", "shasum": hashlib.sha1(self.tarball).hexdigest()}}}}
        return 200, "application/json", json.dumps(answer).encode(), []

    def of_index(self, method, path, query, headers, body):
        if path.endswith("config.json"):
            return 200, "application/json", json.dumps({"dl": f"http://{headers['host']}/crates/{{crate}}/{{version}}/download"}).encode(), []
        if path.endswith("/tiny"):
            entry = {"name": "tiny", "vers": "1.0.0", "deps": [], "cksum": hashlib.sha256(self.crate).hexdigest(), "features": {}, "yanked": False}
            return 200, "text/plain", json.dumps(entry).encode() + b"\n", [("ETag", '"x1"')]
        return 404, "text/plain", b"", []

    def of_crates(self, *_):
        return 200, "application/x-tar", self.crate, []

    def of_debian(self, method, path, query, headers, body):
        if path.endswith("Packages.gz") or path.endswith("Packages"):
            entry = b"Package: tiny\nVersion: 1.0-1~deb12u1+b1\nArchitecture: all\nMaintainer: A <a@example.com>\nFilename: pool/main/t/tiny/tiny_1.0-1~deb12u1+b1_all.deb\nSize: 4\nSHA256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\nDescription: tiny\n\n"
            return 200, "text/plain", gzip.compress(entry, mtime=0) if path.endswith(".gz") else entry, []
        if path.endswith(".deb"):
            return 200, "application/vnd.debian.binary-package", b"test", []
        return 404, "text/plain", b"", []

    def of_git(self, method, path, query, headers, body):
        """git's own CGI program: http-backend."""
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        at = {"GIT_PROJECT_ROOT": self.home, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": method, "CONTENT_TYPE": headers.get("content-type", ""),
              "REMOTE_USER": "a", "REMOTE_ADDR": "127.0.0.1", "GIT_PROTOCOL": headers.get("git-protocol", ""), "PATH": os.environ["PATH"], "HOME": self.home, "CONTENT_LENGTH": str(len(body))}
        ran = subprocess.run(["git", "http-backend"], input=body, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=at, timeout=20, check=False)
        head, _, content = ran.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line)
        return fields.get("Status", "200").split()[0], fields.get("Content-Type", "text/plain"), content, []


def tarball(folder, files):
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(content.encode())
            tar.addfile(entry, io.BytesIO(content.encode()))
    return out.getvalue()


def wheel():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in [("tiny.py", ""), ("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"), ("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"), ("tiny-1.0.dist-info/RECORD", "")]:
            file.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()
