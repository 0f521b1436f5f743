"""Text that people read and write: English, other languages, interface texts, words, names of everything."""

import re

import text

ENGLISH_HTML = ["usr/share/doc/apache2-doc/manual/en", "usr/share/doc/sqlite3-doc", "usr/share/doc/debian-faq", "usr/share/doc/postgresql-doc-15",
                "usr/share/doc/postgresql-doc-17", "usr/share/doc/python-django-doc", "usr/share/doc/git", "usr/share/doc/nodejs"]
LANGUAGES = ["de", "fr", "es", "it", "ja", "ru", "zh_CN", "zh_TW", "pl", "pt_BR", "tr"]


def some(values, most):
    return sorted(dict.fromkeys(values), key=text.by_digest)[:most]


def english(root, seeded):
    random = seeded("prose")
    manuals = []
    for section in range(1, 9):
        for path in text.files(root, f"usr/share/man/man{section}"):
            manuals += text.paragraphs(text.roff(text.read(path)))
    manuals = some(manuals, 12_000)
    pages = []
    for folder in ENGLISH_HTML:
        paths = text.files(root, folder, ".html")
        paths.sort(key=lambda path: text.by_digest(path[len(root) :]))
        for path in paths[:250]:
            pages += text.paragraphs(text.unhtml(text.read(path))[0])
    pages = some(pages, 12_000)
    changes = []
    for path in text.files(root, "usr/share/doc"):
        if re.search(r"/(README|changelog|NEWS|TODO|copyright|AUTHORS|THANKS|INSTALL)[^/]*$", path):
            changes += text.paragraphs(text.read(path, 60_000))
    changes = some(changes, 8_000)
    dictionary = []
    for name in ["jargon", "foldoc"]:
        dictionary += text.paragraphs(text.read(f"{root}/usr/share/dictd/{name}.dict.dz", 4_000_000))
    dictionary = some(dictionary, 8_000)
    cookies = [one for path in text.files(root, "usr/share/games/fortunes") if "." not in path.rsplit("/", 1)[1] and path.count("/") == root.count("/") + 5
               for one in text.fortunes(path)]
    yield "prose-manual-paragraphs", manuals, 7_000
    yield "prose-manual-sentences", text.sentences(manuals[:6_000]), 7_000
    yield "prose-pages-paragraphs", pages, 7_000
    yield "prose-pages-sentences", text.sentences(pages[:6_000]), 7_000
    yield "prose-changes", changes, 5_000
    yield "prose-dictionary", dictionary, 5_000
    yield "prose-fortunes", cookies, 9_000
    everything = manuals + pages + changes + dictionary + cookies
    everything.sort(key=text.by_digest)
    yield "prose-word-groups", text.word_groups(everything), 9_000
    yield "prose-mail", mail(random, everything), 2_500
    yield "prose-comments", comments(random, list(text.sentences(everything[:9_000]))), 4_000


def other_languages(root, seeded):
    for language in LANGUAGES:
        random = seeded(language)
        parts = []
        for path in text.files(root, f"usr/share/man/{language}"):
            parts += text.paragraphs(text.roff(text.read(path)), least=12)
        parts = some(parts, 1_500)
        yield f"prose-{language}", parts + list(text.sentences(parts)) + list(text.word_groups(parts)), 2_000
    for name, folder in [("interface-texts", "usr/share/wordpress"), ("interface-names", "usr/share/locale")]:
        random = seeded(name)
        paths = text.files(root, folder, ".mo") + text.files(root, "var/lib/wordpress", ".mo")
        paths.sort(key=lambda path: text.by_digest(path[len(root) :]))
        values = []
        for path in paths[:160]:
            values += some(text.catalogue(path), 120)
        yield name, values, 6_000
    words = []
    for name in ["american-english", "french", "ngerman"]:
        words += text.read(f"{root}/usr/share/dict/{name}", 3_000_000).split()
    words += [line.split("/")[0] for line in text.read(f"{root}/usr/share/hunspell/ar.dic", 400_000).splitlines()]
    random = seeded("words")
    yield "words", random.sample(words, 6_000), 4_000
    yield "words-several", (" ".join(random.sample(words, random.randint(2, 5))) for _ in range(4_000)), 3_000


SIGN_OFF = ["Best regards", "Kind regards,", "Cheers", "Thanks!", "-- ", "Viele Grüße", "Cordialement,", "Sent from my iPhone", "Mit freundlichen Grüßen"]


def mail(random, parts):
    """Messages with quotes, headers of the quoted message, and footers."""
    parts = [part for part in parts if 40 < len(part) < 900]
    names = ["Ann O'Hara", "Jörg Müller", "Siobhán D'Arcy", "Li Wei", "Marie-Claire Dupont", "bob", "Sales & Support"]
    for _ in range(2_600):
        first, second, third = random.sample(parts, 3)
        quoted = "\n".join("> " + line for line in re.findall(r".{1,72}(?:\s|$)", second))
        name = random.choice(names)
        address = re.sub(r"\W+", ".", name.lower()) + "@example." + random.choice(["com", "org", "net", "co.uk"])
        yield (
            f"Hi {name.split()[0]},\n\n{first}\n\n"
            + random.choice([
                f"On {random.choice(['Mon', 'Tue', 'Fri'])}, {random.randint(1, 28)} Nov 2025 at {random.randint(0, 23):02}:{random.randint(0, 59):02}, {name} <{address}> wrote:\n{quoted}\n\n",
                f"-----Original Message-----\nFrom: {name} [mailto:{address}]\nTo: team@example.com; {address}\nSubject: RE: {third[:40]}\n\n{second}\n\n",
                f"________________________________\nFrom: {name} <{address}>\nSent: Friday 3 January 2025 10:04 AM\n\n{second}\n\n",
                "",
            ])
            + random.choice(SIGN_OFF) + f"\n{name}\n" + random.choice(["", "--\nTel. +49 (0)30 1234-567 | www.example.com | Amtsgericht X, HRB 1234 B\n", f"* {third[:60]} *\n"])
        )


FACES = [":-)", ";-)", ":)", ":(", "<3", "</3", ">:(", ">_<", "^_^", "-_-", "xD", ":P", "\\o/", "o_O", "¯\\_(ツ)_/¯", "(╯°□°)╯︵ ┻━┻", "😂", "🎉🎉", "👍🏽", "/shrug", "/me waves", "@here", "@everyone", "#monday",
         "<@U024BE7LH>", "<#C024BE7LR|general>", "`code`", "**bold**", "~~no~~", "||spoiler||", "lol", "brb", "w/", "b/c", "&amp;", "=>", "->", "<--", "<==", "!!!1", "???", "...", "--", ";)", "1/2", "50%", "$5", "q&a", "and/or"]


def comments(random, sentences):
    """Chat lines, comments, reviews: a sentence and what people put around it."""
    for one in sentences[:6_000]:
        style = random.randrange(6)
        if style == 0:
            yield f"{one.rstrip('.')} {random.choice(FACES)}"
        elif style == 1:
            yield f"{random.choice(FACES)} {one.lower()} {random.choice(FACES)}"
        elif style == 2:
            yield f"[{random.randint(0, 23):02}:{random.randint(0, 59):02}] <{random.choice(['anna', 'bob_', '|away', 'x^2'])}> {one}"
        elif style == 3:
            yield f"“{one}” " + random.choice(["— so true!", "– that's it.", "<- this", "+1", "(sic)"])
        elif style == 4:
            yield f"@{random.choice(['anna', 'o.brien', 'dev-team'])}: {one} {random.choice(FACES)} #{random.choice(['tips', 'help', 'sql', 'c++', 'node.js'])}"
        else:
            yield one.replace(" and ", " & ").replace(" is not ", " isn't ").replace(" not ", " n't ").replace("greater than", ">").replace("less than", "<").replace(" or ", " | ")


def classes(root, seeded):
    yield from english(root, seeded)
    yield from other_languages(root, seeded)
