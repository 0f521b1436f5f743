"""Plain text out of what Debian packages hold: manual pages, HTML, fortunes, dictionaries, message catalogues.

Nothing here renders well; it only gets the words out in the order in which a person would read them.
"""

import gzip
import hashlib
import html
import os
import re
import struct
from random import Random

ENTITY = {
    "(aq": "'", "(dq": '"', "(co": "©", "(bu": "•", "(em": "—", "(en": "–", "(lq": "“", "(rq": "”", "(oq": "‘",
    "(cq": "’", "(ti": "~", "(ha": "^", "(rs": "\\", "(ga": "`", "(bv": "|", "(->": "→", "(<-": "←", "(>=": "≥",
    "(<=": "≤", "(mu": "×", "(+-": "±", "(de": "°", "(ss": "ß", "(Po": "£", "(Eu": "€", "(sc": "§", "(rg": "®",
}


def by_digest(value):
    """An order that looks random and depends on each value alone."""
    return hashlib.sha1(value.encode("utf-8", "surrogateescape")).digest()


def files(root, folder, ending="", limit=None):
    """Files below root/folder whose path ends so, in one order on every machine."""
    found = []
    for at, folders, names in os.walk(os.path.join(root, folder)):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(at, name)
            if path.endswith(ending) and os.path.isfile(path) and not os.path.islink(path):
                found.append(path)
                if limit and len(found) >= limit:
                    return found
    return found


def read(path, most=400_000):
    """A file's text, or nothing when it is not UTF-8."""
    try:
        with (gzip.open if path.endswith((".gz", ".dz")) else open)(path, "rb") as file:
            raw = file.read(most)
    except (OSError, EOFError):
        return ""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character that the limit cut in half is not a wrong file.
        return raw[: error.start].decode("utf-8") if error.start > len(raw) - 4 and len(raw) == most else ""


def roff(source):
    """A manual page without its markup; an empty line where a paragraph ends."""
    lines = []
    for line in source.splitlines():
        if line.startswith(('.\\"', "'\\\"")):
            continue
        if re.match(r"\.(TH|SH|SS|PP|P|LP|TP|IP|sp|nf|fi|RS|RE|br|EX|EE|Pp|It|Sh|Ss)\b", line):
            lines.append("")
            continue
        if re.match(r"\.(B|I|BR|BI|IR|RB|RI|IB|SM|SB)\b", line):
            alternating = len(line.split(" ", 1)[0]) == 3
            words = re.findall(r'"([^"]*)"|(\S+)', line.split(" ", 1)[1] if " " in line else "")
            line = ("" if alternating else " ").join(quoted or bare for quoted, bare in words)
        elif line.startswith((".", "'")):
            continue
        line = re.sub(r"\\f(\[\w*\]|\(..|\w)", "", line)
        line = re.sub(r"\\s[-+]?\d", "", line)
        line = re.sub(r"\\\[aq\]", "'", line)
        line = re.sub(r"\\\[u([0-9A-F]{4,5})\]", lambda found: chr(int(found[1], 16)), line)
        line = re.sub(r"\\(\(..)", lambda found: ENTITY.get(found[1], ""), line)
        line = re.sub(r"\\\*\(..|\\\*\[\w+\]|\\[&|^:/,%cu]", "", line)
        lines.append(line.replace("\\-", "-").replace("\\e", "\\").replace("\\ ", " ").replace("\\~", " ").replace("\\'", "'"))
    return "\n".join(lines)


def unhtml(source):
    """The text of a page, and what it shows in <pre>: (text, listings)."""
    source = re.sub(r"(?is)<(script|style|head)\b.*?</\1>", " ", source)
    listings = [html.unescape(re.sub(r"<[^>]*>", "", found)) for found in re.findall(r"(?is)<pre\b[^>]*>(.*?)</pre>", source)]
    source = re.sub(r"(?is)<pre\b.*?</pre>", "\n\n", source)
    source = re.sub(r"(?i)</?(p|div|li|dt|dd|h\d|tr|table|ul|ol|dl|section|blockquote)\b[^>]*>", "\n\n", source)
    return html.unescape(re.sub(r"<[^>]*>", "", source)), listings


def paragraphs(text, least=30, most=2500):
    for part in re.split(r"\n\s*\n", text):
        part = re.sub(r"\s+", " ", part).strip()
        if least <= len(part) <= most:
            yield part


def sentences(parts):
    for part in parts:
        for one in re.split(r"(?<=[.!?。！？])\s*(?=[^\s.!?])", part):
            if 12 <= len(one) <= 400:
                yield one.strip()


def word_groups(parts, most=7):
    """Some words in a row, as people type into search boxes and titles."""
    for part in parts:
        random = Random(part)
        words = part.split()
        if len(words) >= 2:
            count = random.randint(1, min(most, len(words)))
            start = random.randrange(len(words) - count + 1)
            group = " ".join(words[start : start + count])
            yield random.choice([group, group.lower(), group.strip(".,;:()").lower()])


def fortunes(path):
    return [one.strip("\n") for one in re.split(r"(?m)^%\s*$", read(path)) if one.strip()]


def catalogue(path):
    """The translations in a .mo file (GNU gettext manual, section 10.3)."""
    with open(path, "rb") as file:
        raw = file.read()
    if len(raw) < 28 or raw[:4] != b"\xde\x12\x04\x95":
        return
    count, _, at = struct.unpack("<III", raw[8:20])
    for index in range(1, count):
        length, offset = struct.unpack("<II", raw[at + 8 * index : at + 8 * index + 8])
        for one in raw[offset : offset + length].split(b"\0"):
            text = one.decode("utf-8", "replace")
            if text.strip():
                yield text
