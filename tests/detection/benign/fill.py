"""Fills templates of web traffic: `§uuid§` becomes a random UUID, `E⟦...⟧` the percent-encoding of what it holds.

A token may end in a number, which is its length: `§hex32§`. Wrappers nest: E percent-encodes, B is base64, U base64url,
J what stands between quotes in JSON, D deflate and base64 (SAML), H the entities of HTML.
"""

import base64
import html
import json
import re
import urllib.parse
import zlib

import text

HOSTS = ["www.example.com", "shop.example.co.uk", "app.example.io", "news.example.de", "cdn.example.net", "m.example.org", "blog.example.fr", "api.example.cloud", "example.ne.jp",
         "login.example.com", "localhost:3000", "127.0.0.1:8080", "staging.internal.example:8443"]
AGENTS = ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
          "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Safari/605.1.15",
          "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
          "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1",
          "Mozilla/5.0 (Linux; Android 14; SM-S918B Build/UP1A.231005.007; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/131.0.6778.39 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/492.0.0.66.109;]"]
LATIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Fill:
    def __init__(self, random, root):
        self.random = random
        words = text.read(f"{root}/usr/share/dict/american-english", 3_000_000).split()
        self.words = [word for word in words if word.isascii()]
        self.names = names(root)
        self.sentences = sentences(root)

    def __call__(self, template):
        while True:
            found = re.search(r"§([a-z]+)(\d*)§", template)
            if not found:
                break
            template = template[: found.start()] + self.token(found[1], found[2]) + template[found.end() :]
        while True:
            found = re.search(r"([A-Z])⟦([^⟦⟧]*)⟧", template)
            if not found:
                return template
            template = template[: found.start()] + wrap(found[1], found[2]) + template[found.end() :]

    def token(self, name, length):
        random = self.random
        number = int(length) if length else 16
        if name == "hex":
            return "%0*x" % (number, random.getrandbits(4 * number))
        if name == "upper":
            return "".join(random.choice(LATIN[26:]) for _ in range(number))
        if name == "an":
            return "".join(random.choice(LATIN) for _ in range(number))
        if name == "low":
            return "".join(random.choice(LATIN[:26] + LATIN[52:]) for _ in range(number))
        if name == "dig":
            return str(random.randrange(1, 10)) + "".join(random.choice(LATIN[52:]) for _ in range(number - 1))
        if name in ("bb", "bu", "pb"):
            raw = random.randbytes(number)
            return (base64.b64encode(raw) if name == "bb" else base64.urlsafe_b64encode(raw).rstrip(b"=")).decode()
        if name == "noise":
            # What scripts pack with printable characters (LZ-string, sensor data).
            return "".join(chr(random.randrange(0x20, 0x7F)) for _ in range(number)).replace("§", "")
        if name == "lz":
            return "".join(random.choice(LATIN + "+-$") for _ in range(number))
        return str(getattr(self, "make_" + name)())

    def make_epoch(self):
        return 1_690_000_000 + self.random.randrange(60_000_000)

    def make_ms(self):
        return self.make_epoch() * 1000 + self.random.randrange(1000)

    def make_float(self):
        return f"{self.random.random() * 1000:.{self.random.randint(1, 10)}f}"

    def make_frac(self):
        return repr(self.random.random())

    def make_int(self):
        return self.random.choice([0, 1, 2, 3, 10, 25, 100, self.random.randrange(10_000), self.random.randrange(10**9)])

    def make_small(self):
        return self.random.randrange(0, 20)

    def make_bool(self):
        return self.random.choice(["true", "false"])

    def make_uuid(self):
        text = "%032x" % self.random.getrandbits(128)
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"

    def make_ip(self):
        return f"203.0.113.{self.random.randrange(1, 255)}"

    def make_word(self):
        return self.random.choice(self.words).lower().replace("'", "")

    def make_words(self):
        return " ".join(self.random.choice(self.words) for _ in range(self.random.randint(1, 5)))

    def make_slug(self):
        return "-".join(self.make_word() for _ in range(self.random.randint(1, 6)))

    def make_sentence(self):
        return self.random.choice(self.sentences)

    def make_title(self):
        site = self.random.choice(["Example", "The Example Times", "Müller & Söhne", "Shop | Example", "Example – Home"])
        return self.sentence_start() + self.random.choice([" | ", " - ", " – ", " :: ", " » ", " • "]) + site

    def sentence_start(self):
        return " ".join(self.make_sentence().split()[: self.random.randint(2, 9)])

    def make_name(self):
        return self.random.choice(self.names)

    def make_email(self):
        local = re.sub(r"\W+", self.random.choice([".", "_", "-", "+"]), self.make_name().lower()).strip("._-+")
        return f"{local}@{self.random.choice(['example.com', 'example.org', 'mail.example.net', 'gmail.example'])}"

    def make_host(self):
        return self.random.choice(HOSTS)

    def make_path(self):
        parts = [self.random.choice([self.make_slug(), self.make_word(), self.token("dig", "6"), self.token("hex", "8")]) for _ in range(self.random.randint(0, 4))]
        return "/" + "/".join(parts) + (self.random.choice(["", "/", ".html", ".php", ".aspx", "/index.jsp"]) if parts else "")

    def make_query(self):
        names = ["id", "q", "page", "utm_source", "utm_campaign", "gclid", "fbclid", "ref", "lang", "v", "sort", "filter", "category", "redirect_uri", "_", "sid", "t", "color", "size", "tab", "msclkid"]
        values = [str(self.make_int()), self.make_word(), urllib.parse.quote_plus(self.make_words()), self.token("bu", "30"), self.make_uuid(), self.make_slug()]
        return "&".join(f"{self.random.choice(names)}={self.random.choice(values)}" for _ in range(self.random.randint(1, 6)))

    def make_url(self):
        return f"https://{self.make_host()}{self.make_path()}" + (f"?{self.make_query()}" if self.random.random() < 0.6 else "") + self.random.choice(["", "", "", "#top", "#/route/1?x=y"])

    def make_agent(self):
        return self.random.choice(AGENTS)

    def make_lang(self):
        return self.random.choice(["en-US", "de-DE", "fr", "es-ES", "pt-BR", "ja", "zh-CN", "ru-RU", "en-GB"])

    def make_iso(self):
        random = self.random
        return f"202{random.randint(3, 6)}-{random.randint(1, 12):02}-{random.randint(1, 28):02}T{random.randint(0, 23):02}:{random.randint(0, 59):02}:{random.randint(0, 59):02}.{random.randint(0, 999):03}Z"

    def make_date(self):
        random = self.random
        day, month, year = random.randint(1, 28), random.randint(1, 12), random.randint(1950, 2026)
        return random.choice([f"{year}-{month:02}-{day:02}", f"{day}.{month}.{year}", f"{month}/{day}/{year}", f"{year}年{month}月{day}日", f"{day:02}/{month:02}/{year} 10:30 AM"])

    def make_price(self):
        amount = f"{self.random.randrange(0, 5000)}.{self.random.randrange(100):02}"
        return self.random.choice([f"${amount}", f"{amount.replace('.', ',')} €", f"£{amount}", f"US$ {amount}", amount, f"¥{amount[:-3]}", f"{amount} USD", f"-{amount}"])

    def make_screen(self):
        return self.random.choice(["1920x1080", "2560x1440", "390x844", "412x915", "1366x768"])

    def make_color(self):
        return f"#{self.random.getrandbits(24):06x}"

    def make_lat(self):
        return f"{self.random.uniform(-85, 85):.6f}"

    def make_jwt(self):
        claims = {"iss": f"https://{self.make_host()}/", "sub": f"auth0|{self.token('hex', '24')}", "aud": [self.token("an", "32")], "exp": self.make_epoch(), "name": self.make_name(), "scope": "openid profile email"}
        head = base64.urlsafe_b64encode(json.dumps({"alg": "RS256", "typ": "JWT", "kid": self.token("bu", "15")}).encode()).rstrip(b"=").decode()
        return f"{head}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}.{self.token('bu', '256')}"


def wrap(kind, inner):
    if kind == "E":
        return urllib.parse.quote(inner, safe="")
    if kind == "P":
        return urllib.parse.quote_plus(inner)
    if kind == "B":
        return base64.b64encode(inner.encode()).decode()
    if kind == "U":
        return base64.urlsafe_b64encode(inner.encode()).rstrip(b"=").decode()
    if kind == "J":
        return json.dumps(inner, ensure_ascii=False)[1:-1]
    if kind == "D":
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return base64.b64encode(packer.compress(inner.encode()) + packer.flush()).decode()
    if kind == "H":
        return html.escape(inner)
    raise ValueError(kind)


def lists(source, key):
    """The entries under a key in one of the locale files of Ruby's faker: a YAML list in either of its forms."""
    found = []
    for inline, block in re.findall(rf"(?m)^ +{key}: *(?:\[(.*?)\]|((?:\n +- .*)+))", source):
        parts = re.findall(r"\"([^\"]*)\"|'((?:[^']|'')*)'|([^,\[\]\s][^,\[\]]*)", inline) if inline else [(line, "", "") for line in re.findall(r"- (.*)", block)]
        for double, single, bare in parts:
            value = (double or single.replace("''", "'") or bare).strip().strip("\"'")
            if value and "#{" not in value:
                found.append(value)
    return found


def locales(root):
    for path in text.files(root, "usr/share/rubygems-integration", ".yml"):
        if "/locales/" in path:
            yield text.read(path, 800_000)


def names(root):
    found = []
    for source in locales(root):
        first = sum((lists(source, key)[:60] for key in ["first_name", "male_first_name", "female_first_name"]), [])
        last = lists(source, "last_name")[:80] + lists(source, "male_last_name")[:40]
        if first and last:
            found += [f"{first[at % len(first)]} {last[(at * 7) % len(last)]}" for at in range(60)]
    made = ["Conan O'Brien", "Miles O'Keeffe", "Beverly D'Angelo", "Jean-Luc Picard", "Anne-Marie O'Connor-Smith", "Sinéad O’Connor", "Gabriele D'Annunzio", "M'Baku", "Tomás Ó Sé", "Dr. Martin Luther King, Jr.",
            "'t Hooft", "van 't Hof", "Ng'ang'a", "Nguyễn Thị Minh Khai", "X Æ A-12", "Jennifer Null", "Robert \"Bob\" Smith", "Smith & Wesson", "Ben & Jerry's", "Dell'Acqua", "L'Oréal", "Toys \"R\" Us", "AC/DC", "Guns N' Roses", "P!nk", "Ke$ha", "Yahoo!"]
    return found + made * 3


def sentences(root):
    found = []
    for path in text.files(root, "usr/share/man/man1")[::7] + text.files(root, "usr/share/man/de/man1")[::5] + text.files(root, "usr/share/man/ja/man1")[::9]:
        found += list(text.sentences(text.paragraphs(text.roff(text.read(path)))))[:6]
    return [one for one in found if "§" not in one and "⟦" not in one]
