"""Whole requests in the shape of browsers, apps and services, filled from the templates of shapes.py, bodies.py and exchanges.py.

Every address and body comes with the headers and a jar of cookies that such a client would send. Requests that real
clients of this machine made are recorded by record.py; these are for the products no local client produces.
"""

import base64
import urllib.parse

import bodies
import editors
import exchanges
import fill
import shapes

AGENTS = [
    ("browser", "§agent§"),
    ("browser", "§agent§"),
    ("browser", "§agent§"),
    ("app", "ExampleShop/8.14.2 (iPhone; iOS 17.6.1; Scale/3.00)"),
    ("app", "okhttp/4.12.0"),
    ("app", "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/AP1A.240505.004)"),
    ("app", "python-requests/2.32.3"),
    ("app", "axios/1.7.7"),
    ("app", "Go-http-client/1.1"),
    ("app", "Java/17.0.9"),
    ("app", "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)"),
    ("app", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"),
]

BROWSER = [
    "sec-ch-ua: \"Google Chrome\";v=\"131\", \"Chromium\";v=\"131\", \"Not_A Brand\";v=\"24\"",
    "sec-ch-ua-mobile: ?0",
    "sec-ch-ua-platform: \"Windows\"",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Mode: cors",
    "Sec-Fetch-Dest: empty",
    "Accept-Language: de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Cache-Control: max-age=0",
    "Priority: u=1, i",
    "Referer: §url§",
    "DNT: 1",
    "Sec-GPC: 1",
]

SOMETIMES = [
    "X-Requested-With: XMLHttpRequest",
    "Authorization: Bearer §jwt§",
    "Authorization: Basic B⟦§word§:§noise12§⟧",
    "If-None-Match: W/\"§hex16§-§bb18§\"",
    "If-Modified-Since: Fri, 03 Jan 2025 09:04:22 GMT",
    "Origin: https://§host§",
    "traceparent: 00-§hex32§-§hex16§-01",
    "baggage: sentry-environment=production,sentry-release=§hex40§,sentry-public_key=§hex32§,sentry-trace_id=§hex32§",
    "newrelic: B⟦{\"v\":[0,1],\"d\":{\"ty\":\"Browser\",\"ac\":\"§dig6§\",\"ap\":\"§dig9§\",\"id\":\"§hex16§\",\"tr\":\"§hex32§\",\"ti\":§ms§}}⟧",
    "x-client-data: CJa2yQEIprbJAQipncoBCN§bb30§",
    "X-XSRF-TOKEN: §bu90§",
    "X-WP-Nonce: §hex10§",
    "X-Forwarded-For: §ip§, 10.0.0.§small§",
    "Range: bytes=0-§dig6§",
    "X-Amz-Target: DynamoDB_20120810.Query",
    "Prefer: odata.include-annotations=\"*\"",
    "SOAPAction: \"http://example.com/orders/FindOrders\"",
    "X-OWA-UrlPostData: E⟦{\"__type\":\"FindItemJsonRequest:#Exchange\",\"Body\":{\"ItemShape\":{\"BaseShape\":\"IdOnly\"},\"Restriction\":null}}⟧",
    "hx-current-url: §url§",
    "Next-Router-State-Tree: E⟦[\"\",{\"children\":[[\"lang\",\"de\",\"d\"],{\"children\":[\"(shop)\",{\"children\":[\"__PAGE__?{\\\"q\\\":\\\"§words§\\\"}\",{}]}]}]},\"$undefined\",\"$undefined\",true]⟧",
    "X-ASBD-ID: §dig6§",
    "Cookie2: $Version=1",
    "Via: 1.1 vegur, 1.1 varnish (Varnish/6.0)",
    "X-Goog-Visitor-Id: E⟦§bb30§⟧",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept: application/json, text/plain, */*",
    "Accept: application/vnd.github+json; charset=utf-8",
]


def jar(filler, random):
    """One site's cookies: a few to many, as consent and analytics leave them."""
    count = random.choice([0, 1, 2, 3, 5, 8, 12, 20, 30])
    return "; ".join(filler(one) for one in random.sample(shapes.COOKIES, count))


def multipart(written, random, parts):
    boundary = random.choice(["----WebKitFormBoundary", "---------------------------"]) + "%016x" % random.getrandbits(64)
    out = b""
    for name, value in parts:
        disposition = f'form-data; name="{name}"'
        if isinstance(value, tuple):
            file, kind, content = value
            file = written(file).replace('"', "%22")
            disposition += f'; filename="{file}"\r\nContent-Type: {kind}'
            # Images and documents are bytes, not text.
            value = written(content).encode("latin-1", "replace") if kind != "text/csv" else written(content).encode()
        else:
            value = written(value).encode()
        out += f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + value + b"\r\n"
    return f"multipart/form-data; boundary={boundary}", out + f"--{boundary}--\r\n".encode()


def request(filler, random, method, address, content_type=None, body=None, is_template=True):
    # What people wrote is taken as it stands.
    written = filler if is_template else str
    host = "www.example.com"
    # A client writes what may not stand in a target in percent encoding; brackets, bars and quotes some leave as they are.
    address = urllib.parse.quote(filler(address), safe="%/?&=;:@!$'()*+,-._~[]|{}^`").split("#")[0]
    kind, agent = random.choice(AGENTS)
    lines = [f"{method} {address} HTTP/1.1", f"Host: {host}", f"User-Agent: {filler(agent)}"]
    if kind == "browser":
        lines += [filler(one) for one in BROWSER if random.random() < 0.8]
    lines += [filler(one) for one in random.sample(SOMETIMES, random.choice([0, 1, 1, 2, 3]))]
    cookies = jar(filler, random)
    if cookies:
        lines.append(f"Cookie: {cookies}")
    content = b""
    if body is not None:
        if isinstance(body, list):
            content_type, content = multipart(written, random, body)
        else:
            # Bodies of bytes are written with one character for each byte.
            text = written(body)
            content = text.encode("latin-1", "replace") if "proto" in content_type else text.encode()
            if "boundary=batch_" in content_type:
                content_type = "multipart/mixed; boundary=batch_x"
        lines += [f"Content-Type: {filler(content_type)}", f"Content-Length: {len(content)}"]
    head = "\r\n".join(dict.fromkeys(lines)) + "\r\n\r\n"
    return head.encode("utf-8", "replace") + content


def requests(root, seeded, wanted, taken):
    """(class, request) for about so many requests, half with a body."""
    random = seeded("requests")
    filler = fill.Fill(random, root)
    for _ in range(-(-wanted // 2 // len(shapes.ADDRESSES))):
        for address in shapes.ADDRESSES:
            yield "requests-addresses", request(filler, random, "GET", address)
    for _ in range(-(-wanted // 2 // len(bodies.BODIES))):
        for method, address, content_type, body in bodies.BODIES:
            yield "requests-bodies", request(filler, random, method, address, content_type, body)
    for method, address, content_type, body in editors.made(seeded("editors"), taken, 70):
        yield "requests-editors", request(filler, random, method, address, content_type, body, is_template=False)
    # A few of each: what differs between them is what is around.
    for _ in range(8):
        for address in exchanges.ADDRESSES:
            yield "requests-everyday", request(filler, random, "GET", address)
        for method, address, content_type, body in exchanges.BODIES:
            yield "requests-everyday", request(filler, random, method, address, content_type, body)


def lines(made):
    """One JSON object for each request, by class."""
    by_class = {}
    for name, raw in made:
        by_class.setdefault(name, []).append('{"request_base64": "' + base64.b64encode(raw).decode() + '"}\n')
    return by_class
