#!/usr/bin/env python3
"""Writes the benign side of the measurement: values in classes, one JSON object on each line, and whole requests.

    generate.py PACKAGES OUT

PACKAGES is where the Debian packages of packages.txt are unpacked. The same packages give the same files on every
run: every class has its own generator of random numbers, seeded with its name. Nothing goes over the network, and
text is real; made shapes are those that real clients send, and everyday.py has what people write into them.
"""

import json
import os
import random
import sys
import time

import everyday
import prose
import snippets
import traffic
import web
from text import by_digest

MODULES = [prose, snippets, web, everyday]


def seeded(name):
    return random.Random(f"portward {name}")


def main():
    root, out = sys.argv[1].rstrip("/"), sys.argv[2]
    os.makedirs(out, exist_ok=True)
    seen = set()
    taken = {}
    total = 0
    for module in MODULES:
        started = time.monotonic()
        values = 0
        for name, made, most in module.classes(root, seeded):
            fresh = []
            for value in made:
                if value.strip() and len(value) <= 20_000 and value not in seen:
                    seen.add(value)
                    fresh.append(value)
            # Which are taken depends on each value alone: a package's next version changes little.
            fresh.sort(key=by_digest)
            # What is not taken may come again in another class.
            seen.difference_update(fresh[most:])
            with open(os.path.join(out, f"{name}.jsonl"), "w", encoding="utf-8", errors="surrogateescape") as file:
                for value in fresh[:most]:
                    file.write(json.dumps({"value": value}, ensure_ascii=False) + "\n")
            if not fresh:
                print(f"  nothing in {name}", file=sys.stderr)
            taken[name] = fresh[:most]
            values += len(taken[name])
        total += values
        print(f"  {module.__name__}: {values} values in {time.monotonic() - started:.1f} s", file=sys.stderr)
    count = 0
    for name, lines in traffic.lines(traffic.requests(root, seeded, 6_000, taken)).items():
        with open(os.path.join(out, f"{name}.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(dict.fromkeys(lines))
        count += len(lines)
    print(f"{total} values, {count} requests")


if __name__ == "__main__":
    main()
