//! Benign exchanges as real clients send them: from a fixed seed, each different from all others in
//! its path, arguments, cookies, and bodies, and in whatever of its header fields differs between
//! clients. A memory of values that were seen before finds nothing to remember.

/// One exchange, the same bytes for every candidate.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub method: &'static str,
    pub target: String,
    pub fields: Vec<(&'static str, String)>,
    pub body: String,
    pub status: u16,
    pub response_fields: Vec<(&'static str, String)>,
    pub response_body: String,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Static,
    Arguments,
    Form,
    Json,
    Page,
}

impl Kind {
    pub const ALL: [Kind; 5] = [Kind::Static, Kind::Arguments, Kind::Form, Kind::Json, Kind::Page];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Static => "GET static",
            Kind::Arguments => "GET, 3 arguments",
            Kind::Form => "form, 1 KB",
            Kind::Json => "JSON, 1 KB, 51 leaves",
            Kind::Page => "HTML response, 16 KB",
        }
    }
}

/// Splitmix64: the same sequence on every machine.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

const WORDS: &[&str] = &[
    "harbour",
    "morning",
    "window",
    "garden",
    "letter",
    "paper",
    "quiet",
    "river",
    "market",
    "station",
    "the",
    "a",
    "of",
    "and",
    "in",
    "for",
    "with",
    "from",
    "under",
    "between",
    "before",
    "after",
    "about",
    "order",
    "select",
    "table",
    "update",
    "where",
    "group",
    "union",
    "script",
    "image",
    "style",
    "system",
    "open",
    "close",
    "fresh",
    "warm",
    "early",
    "late",
    "small",
    "large",
    "green",
    "blue",
    "bread",
    "coffee",
    "bicycle",
    "ferry",
    "ticket",
    "journey",
    "friend",
    "family",
    "weather",
    "winter",
    "summer",
    "Monday",
    "Friday",
    "please",
    "thanks",
    "would",
    "could",
    "should",
    "deliver",
    "arrive",
    "return",
    "replace",
    "question",
    "answer",
    "reason",
    "second",
    "third",
    "price",
    "offer",
    "account",
    "number",
    "service",
    "we",
    "they",
    "our",
    "your",
    "is",
    "are",
    "was",
    "has",
    "not",
    "only",
    "very",
    "room",
    "view",
    "street",
    "bridge",
    "corner",
    "neighbour",
    "carpet",
    "kitchen",
    "shelf",
    "lamp",
    "wood",
    "glass",
    "colour",
];
const NAMES: &[&str] = &[
    "Anna", "Bela", "Chidi", "Dmitri", "Elif", "Farah", "Goran", "Hanako", "Ines", "Joao", "Katya", "Liam",
    "Maeve", "Noor", "Oskar", "Priya", "Quentin", "Rosa", "Sven", "Tomasz", "Uma", "Viktor", "Wen", "Yusuf",
];
const SURNAMES: &[&str] = &[
    "O'Neill",
    "Kowalski",
    "Okafor",
    "Nakamura",
    "Fernandes",
    "Lindqvist",
    "Haddad",
    "Petrov",
    "Moreau",
    "D'Angelo",
    "Schmidt",
    "van Dijk",
    "Silva",
    "Novak",
    "Hughes",
    "Bergmann",
    "Rossi",
    "Yilmaz",
];
const CITIES: &[&str] = &[
    "Porto", "Gdansk", "Lagos", "Kyoto", "Bergen", "Lyon", "Izmir", "Cork", "Split", "Ghent", "Turku",
    "Malaga", "Bristol", "Leipzig", "Tampere", "Aarhus",
];
const LANGUAGES: &[&str] = &["en-GB", "de-DE", "fr-FR", "pl-PL", "pt-PT", "nl-NL", "tr-TR", "fi-FI", "es-ES"];
const KINDS: &[&str] = &["css", "js", "woff2", "svg", "webp", "png"];

fn words(dice: &mut Dice, count: u64) -> String {
    let mut text = String::new();
    for number in 0..count {
        if number > 0 {
            text.push_str(if dice.below(9) == 0 { ", " } else { " " });
        }
        text.push_str(dice.one(WORDS));
    }
    text
}

fn slug(dice: &mut Dice) -> String {
    format!("{}-{}-{}", dice.one(WORDS), dice.one(WORDS), dice.below(1_000_000)).to_lowercase()
}

fn date(dice: &mut Dice) -> String {
    format!("20{}-{:02}-{:02}", 20 + dice.below(9), 1 + dice.below(12), 1 + dice.below(28))
}

fn uuid(dice: &mut Dice) -> String {
    let (one, two) = (dice.next(), dice.next());
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        one >> 32,
        one & 0xffff,
        (one >> 16) & 0xfff,
        two & 0xfff,
        two >> 16
    )
}

fn phone(dice: &mut Dice) -> String {
    format!("+{} {} {}", 30 + dice.below(60), 100 + dice.below(900), 1_000_000 + dice.below(9_000_000))
}

fn email(dice: &mut Dice) -> String {
    let (name, word) = (dice.one(NAMES).to_lowercase(), dice.one(WORDS).to_lowercase());
    format!("{name}.{word}{}@mail.example", dice.below(100_000))
}

fn name(dice: &mut Dice) -> String {
    format!("{} {}", dice.one(NAMES), dice.one(SURNAMES))
}

fn price(dice: &mut Dice) -> String {
    format!("{}.{:02}", dice.below(500), dice.below(100))
}

/// As a browser writes form values.
fn encoded(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

/// The fields that a browser sends with everything.
fn browser(dice: &mut Dice) -> Vec<(&'static str, String)> {
    let language = dice.one(LANGUAGES);
    let agent = match dice.below(3) {
        0 => format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/{}.0.{}.{} Safari/537.36",
            120 + dice.below(22),
            6000 + dice.below(1500),
            dice.below(200)
        ),
        1 => format!(
            "Mozilla/5.0 (X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.{1}",
            115 + dice.below(30),
            dice.below(40)
        ),
        _ => format!(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_{}) AppleWebKit/605.1.{} (KHTML, like Gecko) \
             Version/17.{} Safari/605.1.{}",
            dice.below(9),
            dice.below(100),
            dice.below(9),
            dice.below(100)
        ),
    };
    vec![
        ("Host", "www.harbour.example".to_owned()),
        ("User-Agent", agent),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8".to_owned()),
        ("Accept-Language", format!("{language},{};q=0.{}", &language[..2], 1 + dice.below(9))),
        ("Accept-Encoding", "gzip, deflate, br".to_owned()),
        ("Referer", format!("https://www.harbour.example/{}?page={}", slug(dice), dice.below(10_000))),
        (
            "Cookie",
            format!(
                "session={:016x}; theme={}; seen={}; basket={}",
                dice.next(),
                dice.one(&["dark", "light"]),
                dice.below(10_000_000),
                uuid(dice)
            ),
        ),
        ("Connection", "keep-alive".to_owned()),
    ]
}

/// The exchange that this kind and seed stand for.
pub fn exchange(kind: Kind, seed: u64) -> Exchange {
    let dice = &mut Dice::new(seed.wrapping_mul(8).wrapping_add(kind as u64));
    dice.next();
    let mut exchange = Exchange {
        method: "GET",
        target: String::new(),
        fields: browser(dice),
        body: String::new(),
        status: 200,
        response_fields: vec![
            ("Content-Type", "image/webp".to_owned()),
            ("Cache-Control", "max-age=600".to_owned()),
            ("ETag", format!("\"{:016x}\"", dice.next())),
        ],
        response_body: String::new(),
    };
    match kind {
        Kind::Static => {
            let hash = dice.next();
            exchange.target =
                format!("/assets/{}/{}.{hash:016x}.{}", date(dice), slug(dice), dice.one(KINDS));
        }
        Kind::Arguments => {
            exchange.target = format!(
                "/search?q={}&page={}&sort={}",
                encoded(&format!("{} {}", words(dice, 3), dice.below(100_000))),
                dice.below(1_000_000),
                slug(dice)
            );
        }
        Kind::Form => {
            exchange.target = format!("/orders/{}", slug(dice));
            posted(&mut exchange, "application/x-www-form-urlencoded", form(dice));
        }
        Kind::Json => {
            exchange.target = format!("/api/orders/{}", dice.below(100_000_000));
            posted(&mut exchange, "application/json", json(dice));
        }
        Kind::Page => {
            exchange.target = format!("/articles/{}", slug(dice));
            exchange.response_body = page(dice, 16 * 1024);
            exchange.response_fields[0].1 = "text/html; charset=utf-8".to_owned();
            exchange.response_fields.push(("Content-Length", exchange.response_body.len().to_string()));
        }
    }
    exchange
}

fn posted(exchange: &mut Exchange, content_type: &str, body: String) {
    exchange.method = "POST";
    exchange.fields.push(("Content-Type", content_type.to_owned()));
    exchange.fields.push(("Content-Length", body.len().to_string()));
    exchange.body = body;
}

/// An order form, 1 KB of it: a dozen short fields and a remark.
fn form(dice: &mut Dice) -> String {
    let mut fields = vec![
        ("name", name(dice)),
        ("email", email(dice)),
        ("phone", phone(dice)),
        ("street", format!("{} {}, flat {}", dice.one(SURNAMES), dice.below(300), dice.below(90))),
        ("city", dice.one(CITIES).to_owned()),
        ("postcode", format!("{:05}", dice.below(100_000))),
        ("deliver_on", date(dice)),
        ("quantity", dice.below(1_000_000).to_string()),
        ("price", price(dice)),
        ("coupon", format!("{:X}", dice.next() >> 24)),
        ("csrf_token", format!("{:016x}{:016x}", dice.next(), dice.next())),
    ];
    let spent: usize = fields.iter().map(|(name, value)| name.len() + encoded(value).len() + 2).sum();
    let mut remark = String::new();
    while encoded(&remark).len() + spent < 1024 - 30 {
        remark.push_str(&words(dice, 4));
        remark.push_str(dice.one(&[". ", "! ", "? ", "; ", " - ", ": "]));
    }
    fields.push(("remark", remark.trim_end().to_owned()));
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    pairs.join("&")
}

/// An order with 51 leaves in some 1 KB: 8 lines of 5 leaves and 11 around them.
fn json(dice: &mut Dice) -> String {
    let lines: Vec<serde_json::Value> = (0..8)
        .map(|_| {
            serde_json::json!({
                "id": dice.below(100_000_000),
                "what": slug(dice),
                "n": dice.below(10_000),
                "each": dice.below(1_000_000) as f64 / 100.0,
                "gift": dice.below(2) == 0,
            })
        })
        .collect();
    let order = serde_json::json!({
        "order": uuid(dice),
        "customer": { "name": name(dice), "email": email(dice), "since": date(dice) },
        "to": { "street": format!("{} {}", dice.one(SURNAMES), dice.below(300)), "city": dice.one(CITIES),
                "code": format!("{:05}", dice.below(100_000)) },
        "total": dice.below(10_000_000) as f64 / 100.0,
        "note": words(dice, 6),
        "sent": dice.below(2) == 0,
        "at": format!("{}T{:02}:{:02}:00Z", date(dice), dice.below(24), dice.below(60)),
        "lines": lines,
    });
    order.to_string()
}

/// An article with its navigation, as a shop or newspaper sends it.
fn page(dice: &mut Dice, length: usize) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{}</title>\n\
         <link rel=\"stylesheet\" href=\"/assets/{:x}.css\">\n<script src=\"/assets/{:x}.js\" defer></script>\n\
         </head>\n<body>\n",
        words(dice, 4),
        dice.next(),
        dice.next()
    );
    while out.len() < length {
        let part = format!(
            "<article class=\"card\" id=\"a{}\">\n<h2><a href=\"/articles/{}\">{}</a></h2>\n\
             <img src=\"/images/{:x}.webp\" alt=\"{}\" width=\"{}\" height=\"{}\">\n\
             <p>{}. {} &amp; {}.</p>\n<span class=\"price\">{} EUR</span> <time datetime=\"{}\"></time>\n\
             </article>\n",
            dice.below(1_000_000),
            slug(dice),
            words(dice, 5),
            dice.next(),
            words(dice, 3),
            dice.below(2000),
            dice.below(2000),
            words(dice, 25),
            words(dice, 12),
            words(dice, 6),
            price(dice),
            date(dice),
        );
        out.push_str(&part);
    }
    out.push_str("</body>\n</html>\n");
    out
}

/// The exchanges as the other side reads them; its source tells how.
pub fn written(exchanges: &[Exchange]) -> Vec<u8> {
    fn number(out: &mut Vec<u8>, number: usize) {
        out.extend_from_slice(&(number as u32).to_le_bytes());
    }
    fn text(out: &mut Vec<u8>, text: &str) {
        number(out, text.len());
        out.extend_from_slice(text.as_bytes());
    }
    fn fields(out: &mut Vec<u8>, fields: &[(&'static str, String)]) {
        number(out, fields.len());
        for (name, value) in fields {
            text(out, name);
            text(out, value);
        }
    }
    let mut out = Vec::new();
    for exchange in exchanges {
        text(&mut out, exchange.method);
        text(&mut out, &exchange.target);
        fields(&mut out, &exchange.fields);
        text(&mut out, &exchange.body);
        number(&mut out, usize::from(exchange.status));
        fields(&mut out, &exchange.response_fields);
        text(&mut out, &exchange.response_body);
    }
    out
}
