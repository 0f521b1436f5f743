"""Values that browsers and programs send by themselves: single cookies, single parameters, whole bodies, addresses.

Filled from the templates of shapes.py and bodies.py, and taken apart as a server would: rules see the parts.
"""

import json
import re
import urllib.parse

import bodies
import fill
import shapes
import text

TYPED = {
    "typed-prices": "§price§", "typed-dates": "§date§", "typed-addresses-web": "§url§", "typed-mail": "§email§", "typed-jwt": "§jwt§", "typed-colors": "§color§",
    "typed-uuid": "§uuid§", "typed-hex": "§hex32§", "typed-base64": "§bb60§", "typed-base64url": "§bu90§", "typed-floats": "-§float§", "typed-passwords": "§noise14§",
    "typed-lz": "§lz200§", "typed-names": "§name§", "typed-ids": "§upper3§-§dig6§/§low4§", "typed-coordinates": "§lat§,§lat§",
}

FORMATS = {
    "typed-phones": ["+49 (0)30 §dig7§-§dig2§", "(§dig3§) §dig3§-§dig4§ x§dig2§", "0§dig3§/§dig6§", "+1-§dig3§-§dig3§-§dig4§;ext=§dig3§", "tel:+44 20 §dig4§ §dig4§", "00§dig11§"],
    "typed-measures": ["5' §small§\"", "§small§\" x 8\" x 3/4\"", "§small§' §small§'' N, 7° 12' E", "§float§ °C", "§small§ m²", "§small§ < x < §int§", "±§float§ %", "1:§dig3§ 000", "§small§kg/m^3", "Ø §small§ mm", "§small§/§small§ = §frac§", "#§dig4§; §small§ pcs", "M§small§x§small§ (10/pack)"],
    "typed-maths": ["a < §small§ && c > §small§", "§small§ = §small§", "x^2 + §small§x - §small§ = 0", "(§small§ + §small§) * §small§ / (1 - §frac§)", "§small§ <> §small§", "f(x) = sin(x) + §frac§", "if x > §small§ or y < §small§ then §word§", "P(A|B) = §frac§; P(B) > 0", "|x| <= §small§", "sum_{i=1}^{n} a_i >= §small§", "\\frac{§small§}{x} \\cdot \\sqrt{§small§}", "$$x' = §small§ - x''$$", "§small§ != §small§ || true", "1 or §small§ more", "§small§ and §small§ make §int§", "NOT (§small§ > §small§)", "§small§%2 == 0", "x in (§small§, §small§)", "5 > §small§ - §frac§ -- see above"],
    "typed-paths": ["C:\\Users\\§word§\\Documents\\§words§.docx", "C:\\Program Files (x86)\\§word§\\bin\\§word§.exe", "\\\\server\\share$\\§word§\\§words§.xlsx", "/home/§word§/.config/§word§/config.toml", "../§word§/§word§.md", "../../src/§word§.ts", "./node_modules/.bin/§word§", "~/Downloads/§words§ (1).zip", "/var/log/§word§/error.log", "/usr/local/bin/§word§ --help", "file:///C:/§word§/§word§.html", "s3://§word§-bucket/§word§/*.parquet", "/etc/§word§.conf", "D:\\§word§.txt", "src/main/java/com/§word§/§word§.java:§dig3§", "smb://nas/§word§", "~user/public_html", "%APPDATA%\\§word§", "$HOME/bin/§word§", "${project.basedir}/src/§word§"],
    "typed-commands": ["npm install --save-dev @types/§word§", "git commit -am \"§words§\"", "docker run --rm -it -p 8080:80 §word§:latest", "kubectl get pods -n §word§", "sudo apt-get install §word§", "pip install §word§==1.2.§small§", "cargo run --release -- --§word§", "ls -la | grep §word§", "cd ~/§word§ && make", "curl https://§host§/install.sh", "find . -name '*.§word§' -type f", "cat §word§.txt | sort | uniq -c", "python manage.py migrate; python manage.py runserver", "ping §host§", "how to use tar -xzf §word§.tar.gz", "chmod +x §word§.sh", "rm -rf node_modules/ && npm ci", "ps aux | grep §word§", "echo $PATH", "ssh -L 8080:localhost:80 §word§@§host§"],
    "typed-sql-questions": ["how to select from §word§ where §word§ is null", "select top 10 §words§", "union select committee on §words§", "SQL left join vs inner join §word§", "what does drop table §word§ do", "insert into §word§ values example", "delete from §word§ where id = §small§", "order by §word§ desc limit §small§", "group by having count(*) > §small§", "difference between UNION and UNION ALL in §word§", "sql case when §word§ then 1 else 0 end", "like '%§word§%' not working", "update §word§ set §word§ = '§name§'", "or 1 of the §words§", "select * from §word§", "\"§word§\" and \"§word§\" or '§word§'", "exec sp_§word§ error", "create table if not exists §word§ (id int primary key)", "null or empty §word§ --help", "§word§ between §small§ and §int§"],
    "typed-addresses": ["§small§ rue de l'§word§", "§int§ O'Farrell St., Apt. #§small§", "c/o §name§; 2nd floor", "Straße des 17. Juni §small§/§small§", "P.O. Box §dig4§ & Co.", "§name§'s Place, 1/2 §word§ Rd", "Piazza dell'§word§, §small§", "〒100-000§small§ 東京都千代田区§small§-§small§", "ул. Ленина, д. §small§, кв. §int§", "Calle 8 #§small§-§small§ Sur", "Flat §small§; The Old Mill, King's Lynn", "§int§ N. Main St (rear entrance) -- ring twice"],
    "typed-products": ["§word§'s §words§ 12\" (black/white)", "AT&T §words§", "§words§ <NEW> 50% off!", "USB-C -> HDMI §word§ | 4K@60Hz", "§name§: \"§words§\" [DVD]", "Ben & Jerry's §words§ (2x500ml)", "§word§® §words§™ – §small§\" – §price§", "M&M's; §words§", "Levi's 501 W§small§/L§small§", "Toys \"R\" Us §words§", "C++ & C#: §words§", "Chanel N°5 §small§ml", "'§words§' by §name§", "3/4\"-16 UNF §word§", "{§word§} %s §words§", "*** §words§ ***", "<3 §words§ <3", "$$$ §words§ $$$", "§words§ = §words§?", "(§words§) OR (§words§)"],
    "typed-search": ["\"§words§\" -§word§ site:§host§", "§word§ OR §word§ AND (§word§)", "how to fix §word§ error 0x§hex8§", "what is §word§'s §word§?", "§word§ filetype:pdf intitle:§word§", "§word§ vs §word§", "is:open is:pr author:@me label:\"§words§\"", "from:§word§ has:attachment before:2024/01/01", "c++ std::vector<int> §word§", "<§word§> tag html", "javascript: the §words§", "onclick vs onload §word§", "alert(§word§) not working", "why does eval() §words§", "${§word§} in bash", "{{ §word§ }} django template", "cat /proc/cpuinfo §word§", "windows system32 §word§.dll missing", "etc passwd file explained", "php include §word§.php", "document.cookie §word§", "xss cheat sheet", "what is sql injection", "sleep(§small§) python", "base64 decode §bu12§", "§name§ songs", "§word§ && §word§ || §word§", "#§word§ #§word§ 2025 🎉", "§word§ & §word§ gmbh", "near me; open now", "5 > 3 §word§", "it's §word§ -- isn't it?", "l'§word§ d'§word§", "rock 'n' roll §word§", "¿qué es §word§?", "[§word§] §words§", "§words§ (§words§)", "title:§word~2^4§".replace("~2^4§", "§~2^4"), "§word§/§word§", "@§word§ §words§"],
    "typed-data-urls": ["data:image/png;base64,iVBORw0KGgo§bb300§", "data:image/svg+xml;base64,B⟦<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 24 24\"><path fill=\"§color§\" d=\"M§small§ §small§h§small§v§small§z\"/></svg>⟧", "data:image/svg+xml,E⟦<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'><circle cx='4' cy='4' r='3' fill='§color§'/></svg>⟧", "data:text/csv;charset=utf-8,E⟦a;b\n1;§name§⟧", "data:application/pdf;base64,JVBERi0xLjc§bb200§", "data:image/jpeg;base64,/9j/4AAQSkZJRgABAQ§bb400§", "data:font/woff2;base64,d09GMgABAAAAA§bb300§"],
    "typed-templates": ["Hello {{first_name}}, your order #{{order.id}} has shipped", "Dear ${customer.name},", "Hi %%FIRSTNAME%%, §sentence§", "<%= @user.name %> §words§", "{% if user.is_authenticated %}§words§{% endif %}", "#{§word§}: §words§", "[[§word§]] §words§", "{{#if §word§}}§words§{{/if}}", "*|FNAME|* §words§", "$§{§word§}".replace("$§", "$"), "{0} of {1} §word§", "%(§word§)s / %d", "{{ '§words§' | translate }}", "{{ price | currency:'EUR' }}", "@§word§({ §word§: §small§ })", "<b>{{§word§}}</b> &nbsp; §words§", "${env:§word§}/bin", "$(§word§)\\lib", "%{§word§}", "{§word§: '§words§', n: §small§}"],
    "typed-queries": ["(&(objectClass=user)(|(sAMAccountName=§word§)(mail=§word§*)))", "Name eq 'O''Brien' and Price gt §small§", "startswith(Name,'§word§') or contains(tolower(City),'§word§')", "{\"$gt\": §small§, \"$lt\": §int§}", "{\"status\":{\"$in\":[\"open\",\"paid\"]}}", "project = ABC AND status in (Open, \"In Progress\") ORDER BY created DESC", "index=main §word§ | stats count by host | sort -count", "sum(rate(http_requests_total{job=\"§word§\"}[5m])) by (le)", "{app=\"§word§\"} |= \"error\" | json", "title:(§word§ OR \"§words§\") AND NOT tag:x*", "//div[@class='§word§']/a[contains(text(),'§word§')]", "/html/body/table/tr[§small§]/td[2]", "$.store.book[?(@.price < §small§)].title", ".items[] | select(.name == \"§word§\") | .id", "div.§word§ > ul li:nth-child(2n+1)::before", "*/§small§ 0 1,15 * 1-5", "0 0 * * * /usr/bin/§word§.sh >/dev/null 2>&1", "^(?:\\+\\d{1,3})?[-. (]*\\d{3}[-. )]*$", "(a|b)*c+?[^\\]]{2,§small§}\\b", "s/§word§/§word§/g", "=IF(AND(A1>5,B1<\"x\"),SUM(C1:C10)*1.19,\"n/a\")", "=HYPERLINK(\"https://§host§\",\"§words§\")", "*[_type == \"post\" && slug.current == $slug][0]{title}", "AzureActivity | where Level != \"Info\" | summarize count() by Caller", "fields @timestamp, @message | filter @message like /§word§/ | limit §small§", "where=1=1", "STATE_NAME = 'Texas' AND POP > §int§", "price:[10 TO §int§] AND color:red", "inStock:true AND NOT tags:'§word§'"],
}


def cookies(one):
    name, _, value = one.partition("=")
    return urllib.parse.unquote(name), urllib.parse.unquote(value)


def parameters(address):
    for name, value in urllib.parse.parse_qsl(address.split("?", 1)[1].split("#")[0] if "?" in address else "", keep_blank_values=False):
        if len(value) > 3:
            yield value


def leaves(value):
    """The strings of a JSON value."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif isinstance(value, str) and len(value) > 3:
        yield value


def of_bodies(made):
    """Whole bodies, the values of forms, and the strings in JSON: three lists."""
    whole, form, strings = [], [], []
    for content_type, body in made:
        if isinstance(body, list):
            form += [part for _, part in body if isinstance(part, str)]
        elif content_type == bodies.FORM and not body.startswith("{"):
            form += [value for _, value in urllib.parse.parse_qsl(body) if len(value) > 3]
        else:
            whole.append(body)
            for line in body.split("\n"):
                try:
                    strings += leaves(json.loads(line))
                except ValueError:
                    pass
    return whole, form, strings


def agents(root):
    """User agents of real clients, from the test data of the user agent parsers' shared core."""
    found = []
    for path in text.files(root, "usr/share/uap-core", ".yaml"):
        if "/tests/" in path or "test_resources" in path:
            for double, single in re.findall(r"(?m)user_agent_string: *(?:\"((?:[^\"\\]|\\.)*)\"|'((?:[^']|'')*)')", text.read(path, 6_000_000)):
                found.append(double.replace('\\"', '"') if double else single.replace("''", "'"))
    # Tools that look for holes name themselves; they are what rules on scanners are for.
    return [one for one in found if one.isprintable() and re.match(r"(Mozilla/5\.0 \((?!compatible)|Opera/|Dalvik/|okhttp|[A-Z]\w+/[\d.]+ CFNetwork)", one)]


def classes(root, seeded):
    filler = fill.Fill(seeded("fill"), root)
    yield "web-cookies", [cookies(filler(one))[1] for one in shapes.COOKIES for _ in range(14)], 2_600
    addresses = [filler(one) for one in shapes.ADDRESSES for _ in range(24)]
    yield "web-parameters", [value for one in addresses for value in parameters(one)], 9_000
    yield "web-addresses", addresses[::3], 1_000
    made = [(content_type, [(name, filler(part) if isinstance(part, str) else "") for name, part in body] if isinstance(body, list) else filler(body))
            for _, _, content_type, body in bodies.BODIES for _ in range(24)]
    whole, form, strings = of_bodies(made)
    yield "web-form-fields", form, 3_000
    yield "web-json-strings", strings, 5_000
    yield "code-web-bodies", [one for one in whole if one.isprintable() or one[0] in "{[<"], 1_000
    yield "web-user-agents", agents(root), 5_000
    for name, template in TYPED.items():
        yield name, [filler(template) for _ in range(700)], 600
    for name, templates in FORMATS.items():
        yield name, [filler(one) for one in templates for _ in range(1_400 // len(templates))], 1_200
    yield "names", filler.names, 2_500
