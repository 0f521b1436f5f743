"""Whole requests of editors: pens, notebooks, gists, questions, wikis, blogs, mail, chats with models, translators.

What is in them is real: source text and prose of the other classes, as it stands there, several in one request.
"""

import html
import json
import urllib.parse

SOURCES = ["code-python", "code-js", "code-php", "code-perl", "code-ruby", "code-any", "code-listing-python", "code-listing-node", "code-listing-django", "code-vim", "code-yaml"]
PROSE = ["prose-manual-paragraphs", "prose-pages-paragraphs", "prose-dictionary", "prose-changes", "prose-fortunes", "prose-de", "prose-fr", "prose-ja", "prose-ru", "prose-es", "prose-tr"]
FORM = "application/x-www-form-urlencoded; charset=UTF-8"
JSON = "application/json"


class Desk:
    """Hands out pieces of the classes that were made before."""

    def __init__(self, random, taken):
        self.random, self.taken = random, taken

    def code(self, *names):
        return self.random.choice(self.taken[self.random.choice(names or SOURCES)])

    def prose(self, count):
        return [self.random.choice(self.taken[name]) for name in [self.random.choice(PROSE)] for _ in range(count)]

    def title(self):
        return self.random.choice(self.taken["prose-word-groups"])


def pen(desk):
    item = {"title": desk.title(), "html": desk.code("code-html", "code-svg"), "css": desk.code("code-css"), "js": desk.code("code-js"), "tags": ["demo"], "private": False}
    return "POST", "/pen/save", JSON, json.dumps({"item": item})


def notebook(desk):
    cells = []
    for at in range(desk.random.randint(2, 8)):
        source = desk.code("code-python", "code-listing-python") if at % 2 else "## " + "\n\n".join(desk.prose(1))
        cells.append({"cell_type": "code" if at % 2 else "markdown", "metadata": {}, "source": source.splitlines(True), **({"outputs": [{"output_type": "stream", "name": "stdout", "text": desk.prose(1)}], "execution_count": at} if at % 2 else {})})
    return "PUT", "/api/contents/work/analysis.ipynb?1700000000", JSON, json.dumps({"type": "notebook", "format": "json", "content": {"cells": cells, "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4}}, ensure_ascii=False)


def gist(desk):
    fields = [("authenticity_token", "x" * 40), ("gist[description]", desk.title()), ("gist[contents][][name]", "notes.md"), ("gist[contents][][value]", desk.code()), ("gist[contents][][value]", desk.code()), ("gist[public]", "1")]
    return "POST", "/gists", FORM, urllib.parse.urlencode(fields)


def question(desk):
    text = "\n\n".join([*desk.prose(1), "    " + desk.code().replace("\n", "\n    "), *desk.prose(1), "```\n" + desk.code() + "\n```"])
    return "POST", "/questions/ask/submit", FORM, urllib.parse.urlencode([("title", desk.title()), ("post-text", text), ("tagnames", "python sql c++ .net"), ("fkey", "0f" * 16)])


def wiki(desk):
    text = f"== {desk.title()} ==\n" + "\n\n".join(f"{part}<ref name=\"a\">{{{{cite web|url=https://www.example.com/?a=1&b=2|title=x}}}}</ref> [[File:A.png|thumb|b]]" for part in desk.prose(4)) + f"\n<syntaxhighlight lang=\"c\">\n{desk.code()}\n</syntaxhighlight>\n{{{{Infobox|a=1|b='''x'''}}}}\n"
    return "POST", "/index.php?title=Help:A&action=submit", "multipart/form-data", [("wpTextbox1", text), ("wpSummary", f"/* {desk.title()} */ typo"), ("wpEditToken", "ab12+\\"), ("wpSave", "Save page")]


def blog(desk):
    parts = [f"<p style=\"text-align:left\">{html.escape(part)}</p>" for part in desk.prose(6)] + [f"<pre><code class=\"language-js\">{html.escape(desk.code())}</code></pre>", "<p><a href=\"https://www.example.com/?x=1&amp;y=2\">x</a><br /><img src=\"/a.png\" alt=\"\" /></p>", "<h2>&nbsp;</h2>"]
    return "POST", "/admin/articles/12", FORM, urllib.parse.urlencode([("title", desk.title()), ("body", "\n".join(parts)), ("status", "draft"), ("_method", "PUT")])


def mail(desk):
    quoted = "".join(f"<blockquote type=\"cite\" style=\"margin:0 0 0 .8ex\">{html.escape(part)}</blockquote>" for part in desk.prose(2))
    body = f"<html><head><style>p.x {{ margin: 0 }}</style></head><body dir=\"auto\"><div>{html.escape(desk.prose(1)[0])}</div>{quoted}<div>-- <br>{html.escape(desk.title())}</div></body></html>"
    return "POST", "/mail/send", JSON, json.dumps({"to": ["\"O'Brien, Ann\" <ann@example.com>"], "subject": "Re: " + desk.title(), "html": body, "text": desk.random.choice(desk.taken["prose-mail"])}, ensure_ascii=False)


def model(desk):
    messages = [{"role": "user", "content": f"{desk.prose(1)[0]}\n\n```\n{desk.code()}\n```\nWhat is wrong here?"}, {"role": "assistant", "content": "\n\n".join([*desk.prose(2), f"```python\n{desk.code()}\n```"])}, {"role": "user", "content": desk.title() + "?"}]
    return "POST", "/v1/chat/completions", JSON, json.dumps({"model": "m", "messages": messages, "stream": True})


def logs(desk):
    return "POST", "/ingest?source=app", "application/x-ndjson", "".join(json.dumps({"@timestamp": "2025-01-03T10:04:22Z", "level": "warn", "message": part, "host": {"name": "a-1"}}) + "\n" for part in desk.prose(12))


def checker(desk):
    return "POST", "/v2/check", FORM, urllib.parse.urlencode([("data", json.dumps({"annotation": [{"text": part} for part in desk.prose(5)]}, ensure_ascii=False)), ("language", "auto"), ("enabledRules", "A,B")])


def translator(desk):
    return "POST", "/jsonrpc?method=handle_jobs", JSON, json.dumps({"jsonrpc": "2.0", "method": "handle_jobs", "params": {"jobs": [{"kind": "default", "sentences": [{"text": part, "id": at}]} for at, part in enumerate(desk.prose(4))], "timestamp": 1700000000000}, "id": 7})


def raw(desk):
    return "POST", "/format?lang=auto", "text/plain;charset=UTF-8", desk.code()


def replay(desk):
    return "POST", "/record/events", JSON, json.dumps({"events": [{"type": 3, "data": {"adds": [{"html": desk.code("code-html"), "style": desk.code("code-css")}]}}, {"type": 5, "data": {"text": desk.prose(2)}}]})


KINDS = [pen, notebook, gist, question, wiki, blog, mail, model, logs, checker, translator, raw, replay]


def made(random, taken, each):
    desk = Desk(random, taken)
    for _ in range(each):
        for kind in KINDS:
            yield kind(desk)
