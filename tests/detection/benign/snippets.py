"""Source text as it stands in editors, forms, gists and forums: one to forty lines of real files, by language.

The classes are named `code-*`: a reader of the measurement judges them apart from plain values.
"""

import re

import text

# Class, folder, ending of the path, how many values.
FILES = [
    ("code-python", "usr/share/doc", ".py", 300),
    ("code-python", "usr/lib", ".py", 3000),
    ("code-js", "usr/share/wordpress/wp-includes/js", ".js", 1200),
    ("code-js", "usr/share/phpmyadmin/js", ".js", 800),
    ("code-js", "usr/share/javascript", ".js", 1000),
    ("code-php", "usr/share/wordpress", ".php", 2500),
    ("code-php", "usr/share/phpmyadmin", ".php", 800),
    ("code-php", "usr/share/roundcube", ".php", 800),
    ("code-css", "usr/share/wordpress", ".css", 800),
    ("code-css", "usr/share/javascript", ".css", 400),
    ("code-html", "usr/share/doc", ".html", 3000),
    ("code-html", "usr/share/roundcube", ".html", 300),
    ("code-template", "usr/share/phpmyadmin/templates", ".twig", 800),
    ("code-template", "usr/share/doc", ".j2", 200),
    ("code-vim", "usr/share/vim", ".vim", 1500),
    ("code-perl", "usr/share/perl", ".pod", 2500),
    ("code-ruby", "usr/share/rubygems-integration", ".rb", 1000),
    ("code-shell", "usr/share/bash-completion", "", 2000),
    ("code-yaml", "usr/share/rubygems-integration", ".yml", 600),
    ("code-svg", "usr/share/icons", ".svg", 800),
    ("code-xml", "usr/share/xml", "", 600),
    ("code-sql", "usr/share/phpmyadmin/sql", ".sql", 300),
    ("code-sql", "usr/share/roundcube/SQL", ".sql", 300),
    ("code-any", "usr/share/ruby-rouge", "", 1500),
    ("code-any", "usr/share/yasnippet-snippets", "", 1500),
    ("code-json", "usr/share/iso-codes", ".json", 500),
    ("code-json", "usr/share/wordpress", ".json", 600),
    ("code-restructured", "usr/share/doc", ".txt", 2500),
    ("code-restructured", "usr/share/doc", ".rst.gz", 500),
]

# Listings that manuals print: class, folder, how many values.
LISTINGS = [
    ("code-listing-postgresql", "usr/share/doc/postgresql-doc-15", 2500),
    ("code-listing-postgresql", "usr/share/doc/postgresql-doc-17", 2500),
    ("code-listing-python", "usr/share/doc/python3.11", 3000),
    ("code-listing-python", "usr/share/doc/python3.13", 3000),
    ("code-listing-django", "usr/share/doc/python-django-doc", 2000),
    ("code-listing-apache", "usr/share/doc/apache2-doc", 1200),
    ("code-listing-node", "usr/share/doc/nodejs", 2000),
    ("code-listing-debian", "usr/share/doc/developers-reference", 200),
    ("code-listing-debian", "usr/share/doc/debian-policy", 200),
    ("code-listing-docutils", "usr/share/doc/docutils-doc", 600),
    ("code-listing-sphinx", "usr/share/doc/sphinx-doc", 600),
    ("code-listing-r", "usr/share/R", 500),
]


def cut(random, source):
    """One to forty lines in a row."""
    lines = source.splitlines()
    count = random.choice([1, 1, 1, 2, 2, 3, 4, 6, 8, 12, 20, 30, 40])
    start = random.randrange(max(1, len(lines) - count // 2))
    piece = "\n".join(lines[start : start + count])
    return piece if 4 < len(piece.strip()) and len(piece) < 6000 else ""


def from_files(root, seeded, folder, ending, wanted):
    paths = text.files(root, folder, ending)
    paths.sort(key=lambda path: text.by_digest(path[len(root) :]))
    made = 0
    paths = paths[: max(400, wanted // 4)]
    each = max(2, -(-wanted * 2 // max(1, len(paths))))
    for path in paths:
        source = text.read(path)
        if not source:
            continue
        random = seeded(path[len(root) :])
        for _ in range(min(each, 60)):
            piece = cut(random, source)
            if piece:
                made += 1
                yield piece
        if made > wanted * 2:
            return


def from_listings(root, seeded, folder, wanted):
    paths = text.files(root, folder, ".html")
    paths.sort(key=lambda path: text.by_digest(path[len(root) :]))
    made = 0
    for path in paths[:1200]:
        random = seeded(path[len(root) :])
        for listing in text.unhtml(text.read(path))[1]:
            made += 1
            yield listing.strip("\n") if len(listing) < 3000 else cut(random, listing)
        if made > wanted * 3:
            return


def fenced(random, parts, codes):
    """Markdown as issues and chats have it: a sentence, a fence, a sentence."""
    for part in parts:
        code = random.choice(codes)
        tag = random.choice(["", "python", "js", "sql", "bash", "html", "json"])
        yield f"{part}\n\n```{tag}\n{code}\n```\n\n" + random.choice(["Thanks!", "Any ideas?", "- [ ] done\n- [x] tested", "> quoted\n\nSee #123.", ""])


def numbered(random, codes):
    """As diffs, REPL sessions, logs with line numbers, and indented quotes."""
    for code in codes:
        lines = code.splitlines()
        style = random.randrange(4)
        if style == 0:
            body = "".join(random.choice([" ", " ", "+", "-"]) + line + "\n" for line in lines)
            yield f"--- a/src/file\n+++ b/src/file\n@@ -{random.randint(1, 900)},{len(lines)} +{random.randint(1, 900)},{len(lines)} @@\n{body}"
        elif style == 1:
            yield "".join(f"{number:4} {line}\n" for number, line in enumerate(lines, random.randint(1, 500)))
        elif style == 2:
            yield "".join(f"> {line}\n" for line in lines)
        else:
            yield "".join(f"    {line}\n" for line in lines)


def classes(root, seeded):
    by_class = {}
    for name, folder, ending, wanted in FILES:
        pieces = list(from_files(root, seeded, folder, ending, wanted))
        by_class.setdefault(name, []).append((pieces, wanted))
    for name, folder, wanted in LISTINGS:
        by_class.setdefault(name, []).append((list(from_listings(root, seeded, folder, wanted)), wanted))
    everything = []
    for name, parts in sorted(by_class.items()):
        yield name, [piece for pieces, _ in parts for piece in pieces], sum(wanted for _, wanted in parts)
        everything += [piece for pieces, wanted in parts for piece in pieces[:wanted]]
    random = seeded("code-fenced")
    everything.sort(key=text.by_digest)
    comments = [found for piece in everything for found in re.findall(r"(?m)(?:#|//) ([A-Z][\w ,.'()-]{25,120})$", piece)]
    yield "code-fenced", list(fenced(random, comments[:2500], everything[:2500])), 2000
    yield "code-diff", list(numbered(random, everything[2500:5000])), 2000
