"""The programs whose requests are recorded, and how each is made to send them. Each has a home of its own."""

import json
import os
import subprocess

# These are recorded where they are installed; the others have to be there.
OPTIONAL = {"npm", "pip"}


def run(arguments, home, seconds=60, allow_failure=False, **more):
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "CARGO_HOME", "RUSTUP_HOME", "LANG")}
    environment.update(HOME=home, NO_PROXY="127.0.0.1", GIT_CONFIG_NOSYSTEM="1", **more.pop("env", {}))
    done = subprocess.run(arguments, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=seconds, check=False, **more)
    if done.returncode and not allow_failure:
        raise OSError(f"{arguments[0]} ended with {done.returncode}: {done.stderr.decode('utf-8', 'replace')[-300:]}")


def chromium(home, base, site):
    for page in ["/page", "/doc/apache2-doc/manual/en/", "/doc/sqlite3-doc/index.html", "/doc/postgresql-doc-15/html/index.html", "/doc/nodejs/api/all.html"]:
        run(["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
             f"--user-data-dir={home}/chromium", "--virtual-time-budget=40000" if page == "/page" else "--virtual-time-budget=3000", "--dump-dom", base + page], home, 90)


def curl(home, base, site):
    """Arguments go through a file, many to a run, so that one process sends them all."""
    lines = []
    for at, value in enumerate(site.values[:900]):
        quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
        lines.append([
            f'url = "{base}/search"\nget\ndata-urlencode = "q={quoted}"',
            f'url = "{base}/form"\ndata-urlencode = "comment={quoted}"\ndata = "id={at}&ok=1"',
            f'url = "{base}/upload"\nform-string = "text={quoted}"\nform = "n={at}"\ncookie = "sid={at}; theme=dark"',
            f'url = "{base}/api"\njson = "{json.dumps({"text": value}).replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34))}"\nuser = "a:b{at}"',
        ][at % 4] + '\nreferer = "https://www.example.com/"\noutput = "/dev/null"\nsilent')
    path = os.path.join(home, "curl")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\nnext\n".join(lines))
    run(["curl", "--config", path], home, 90)
    name = "/v2/library/tiny"
    run(["curl", "-s", f"{base}/v2/", f"{base}/token?service=registry.example.com&scope=repository:library/tiny:pull", "-H", "Accept: application/vnd.oci.image.index.v1+json", f"{base}{name}/manifests/latest",
         f"{base}{name}/blobs/sha256:{'ab' * 32}"], home)
    run(["curl", "-s", "-X", "PATCH", "-H", "Content-Type: application/octet-stream", "-H", "Content-Range: 0-4", "--data-binary", "layer", f"{base}{name}/blobs/uploads/1?_state=abc"], home)


def wget(home, base, site):
    run(["wget", "-q", "-r", "-l", "2", "-np", "-nd", "-P", f"{home}/wget", "--delete-after", "--quota=12m", f"{base}/doc/apache2-doc/manual/en/index.html", f"{base}/doc/bash-doc/"], home, 60, allow_failure=True)


def git(home, base, site):
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    bare = f"{home}/git/tiny.git"
    run(["git", "init", "-q", "--bare", "-b", "main", bare], home)
    run(["git", "-C", bare, "config", "http.receivepack", "true"], home)
    work = f"{home}/work"
    run(["git", "clone", "-q", f"{base}/git/tiny.git", work], home)
    for at, value in enumerate(site.values[:12]):
        with open(f"{work}/file{at % 3}.txt", "a", encoding="utf-8") as file:
            file.write(value + "\n")
        run(["git", "-C", work, "add", "-A"], home)
        run(["git", "-C", work, *identity, "commit", "-q", "--allow-empty", "-m", value[:200].strip() or "x"], home)
        run(["git", "-C", work, "push", "-q", "origin", f"HEAD:refs/heads/{'main' if at % 2 else f'feature/{at}'}"], home)
    run(["git", "clone", "-q", "--depth", "1", f"{base}/git/tiny.git", f"{home}/shallow"], home)
    run(["git", "-C", work, "fetch", "-q", "--prune", "--tags"], home)
    run(["git", "ls-remote", f"{base}/git/tiny.git"], home)


NODE = """
const values = JSON.parse(require("fs").readFileSync(process.argv[1])), base = process.argv[2];
(async () => { for (let at = 0; at < 400; at++) { const text = values[at * 3 % values.length];
  const url = new URL("/api/v1/things/" + at, base); url.searchParams.set("q", text.slice(0, 80)); url.searchParams.append("tags[]", "a b");
  const form = new FormData(); form.set("text", text); form.set("file", new Blob([text]), "notes (1).md");
  const made = [{}, {method: "POST", headers: {"content-type": "application/json", authorization: "Bearer " + Buffer.from(text.slice(0, 30)).toString("base64url")}, body: JSON.stringify({text, list: [text.slice(0, 9)]})}, {method: "PUT", body: form}, {method: "POST", body: new URLSearchParams({text})}][at % 4];
  await (await fetch(url, made)).text(); } })();
"""


def node(home, base, site):
    run(["node", "-e", NODE, values_file(home, site), base], home, 60)


PYTHON = """
import json, re, sys, requests
def plain(text): return re.sub(r"[^\\w -]+", " ", text)[:30].strip()
values, base = json.load(open(sys.argv[1])), sys.argv[2]
session = requests.Session()
session.cookies.set("prefs", json.dumps({"theme": "dark"}))
session.headers["X-Api-Key"] = "ab12"
for at in range(400):
    text = values[(at * 5 + 1) % len(values)]
    if at % 4 == 0: session.get(base + "/search", params={"q": text, "page": at, "fields[]": ["id", "name"]})
    if at % 4 == 1: session.post(base + "/form", data={"text": text, "n": at}, auth=("a", "b"))
    if at % 4 == 2: session.post(base + "/upload", files={"file": (plain(text) + ".csv", "a;b\\n1;" + text, "text/csv")}, data={"text": text})
    if at % 4 == 3: session.patch(base + "/api/" + requests.utils.quote(plain(text), safe=""), json={"text": text, "tags": text.split()[:5]})
"""


def python_requests(home, base, site):
    run(["/usr/bin/python3", "-c", PYTHON, values_file(home, site), base], home, 60)


def values_file(home, site):
    path = os.path.join(home, "values.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(site.values, file)
    return path


def apt(home, base, site):
    at = os.path.join(home, "apt")
    for folder in ["lists/partial", "archives/partial", "parts"]:
        os.makedirs(f"{at}/{folder}")
    with open(f"{at}/list", "w", encoding="utf-8") as file:
        file.write(f"deb [trusted=yes] {base}/debian bookworm main contrib\ndeb [trusted=yes arch=amd64] {base}/debian bookworm-updates main\n")
    options = ["-o", f"Dir::Etc::SourceList={at}/list", "-o", f"Dir::Etc::SourceParts={at}/parts", "-o", f"Dir::State::Lists={at}/lists", "-o", f"Dir::Cache::Archives={at}/archives", "-o", "APT::Sandbox::User=root",
               "-o", f"Dir::Cache::pkgcache={at}/p.bin", "-o", f"Dir::Cache::srcpkgcache={at}/s.bin", "-o", "Acquire::http::Proxy=DIRECT", "-o", "Acquire::AllowInsecureRepositories=1", "-o", "Acquire::Languages=de,en"]
    run(["apt-get", "-q", *options, "update"], home, 60, allow_failure=True)
    run(["apt-get", "-q", *options, "download", "--allow-unauthenticated", "tiny"], home, 60, allow_failure=True, cwd=at)


def cargo(home, base, site):
    at = os.path.join(home, "crate")
    os.makedirs(f"{at}/src")
    os.makedirs(f"{at}/.cargo")
    with open(f"{at}/Cargo.toml", "w", encoding="utf-8") as file:
        file.write('[package]\nname = "user"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\ntiny = { version = "1", registry = "here" }\n')
    with open(f"{at}/src/lib.rs", "w", encoding="utf-8"):
        pass
    with open(f"{at}/.cargo/config.toml", "w", encoding="utf-8") as file:
        file.write(f'[registries.here]\nindex = "sparse+{base}/index/"\n')
    run(["cargo", "fetch", "-q"], home, 60, cwd=at, env={"CARGO_HOME": f"{home}/cargo", "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", os.path.expanduser("~/.rustup"))})


def npm(home, base, site):
    at = os.path.join(home, "npm")
    os.makedirs(at)
    with open(f"{at}/package.json", "w", encoding="utf-8") as file:
        json.dump({"name": "user", "version": "1.0.0", "dependencies": {"left": "^1.0.0", "@scope/right": "1.x"}}, file)
    run(["npm", "install", "--registry", f"{base}/npm/", "--no-fund", "--no-update-notifier"], home, 60, allow_failure=True, cwd=at)
    run(["npm", "search", "left pad", "--registry", f"{base}/npm/"], home, 30, allow_failure=True, cwd=at)


def pip(home, base, site):
    run(["pip", "download", "--no-deps", "--no-cache-dir", "-d", f"{home}/pip", "--index-url", f"{base}/simple/", "--trusted-host", "127.0.0.1", "tiny"], home, 60, allow_failure=True)


CLIENTS = {"chromium": chromium, "curl": curl, "wget": wget, "git": git, "node": node, "python-requests": python_requests, "apt": apt, "cargo": cargo, "npm": npm, "pip": pip}
