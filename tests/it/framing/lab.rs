//! One line of the table as data: the bytes a client sends, the bytes its origin answers, and what each end must
//! have got. Every row has an origin of its own and a host name of its own, behind one proxy.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tokio::io::AsyncWriteExt;

use crate::support::client::{Client, Entry, rest};
use crate::support::origin::{Raw, Wire};
use crate::support::proxy::{Proxy, Setup};

/// What the origin says where a row does not tell.
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[derive(Clone, Debug)]
pub struct Row {
    pub clause: &'static str,
    pub what: &'static str,
    /// Statuses the client gets, a semicolon, whole requests the origin gets. `broken` is an answer that ends before
    /// its framing says, `none` a connection that is closed without one.
    pub expected: &'static str,
    send: Vec<u8>,
    reply: Vec<u8>,
    origin: Vec<String>,
    not_origin: Vec<String>,
    client: Vec<String>,
    not_client: Vec<String>,
    /// The origin closes after its answer.
    closes: bool,
    /// Absolute-form to the proxy, not origin-form in a tunnel.
    proxied: bool,
    /// The client ends its half of the connection, so that a proxy that keeps its own open ends it.
    half_close: bool,
    /// Connections on which the origin gets something.
    connections: Option<usize>,
}

/// A request in a tunnel; `{h}` is the origin's name. One that is to be refused must also be closed upon.
pub fn row(clause: &'static str, what: &'static str, send: impl AsRef<[u8]>, expected: &'static str) -> Row {
    Row {
        clause,
        what,
        expected,
        send: send.as_ref().to_vec(),
        reply: OK.into(),
        origin: Vec::new(),
        not_origin: Vec::new(),
        client: Vec::new(),
        not_client: Vec::new(),
        closes: false,
        proxied: false,
        half_close: !["400;", "501;"].iter().any(|refused| expected.contains(refused)),
        connections: None,
    }
}

/// The usual request with `fields` (lines with their ends) and whatever follows the head.
pub fn post(clause: &'static str, what: &'static str, tail: impl AsRef<[u8]>, expected: &'static str) -> Row {
    row(clause, what, [b"POST /r HTTP/1.1\r\nHost: {h}\r\n", tail.as_ref()].concat(), expected)
}

/// A GET that is answered with `reply`.
pub fn answered(
    clause: &'static str,
    what: &'static str,
    reply: impl AsRef<[u8]>,
    expected: &'static str,
) -> Row {
    let mut row = row(clause, what, "GET /r HTTP/1.1\r\nHost: {h}\r\n\r\n", expected);
    row.reply = reply.as_ref().to_vec();
    row
}

impl Row {
    pub fn proxied(mut self) -> Row {
        self.proxied = true;
        self
    }
    pub fn reply(mut self, reply: impl AsRef<[u8]>) -> Row {
        self.reply = reply.as_ref().to_vec();
        self
    }
    pub fn closes(mut self) -> Row {
        self.closes = true;
        self
    }
    pub fn half_close(mut self, does: bool) -> Row {
        self.half_close = does;
        self
    }
    pub fn connections(mut self, count: usize) -> Row {
        self.connections = Some(count);
        self
    }
    /// The origin's bytes have these.
    pub fn origin<const N: usize>(mut self, has: [&str; N]) -> Row {
        self.origin.extend(has.map(String::from));
        self
    }
    pub fn not_origin<const N: usize>(mut self, has: [&str; N]) -> Row {
        self.not_origin.extend(has.map(String::from));
        self
    }
    pub fn client<const N: usize>(mut self, has: [&str; N]) -> Row {
        self.client.extend(has.map(String::from));
        self
    }
    pub fn not_client<const N: usize>(mut self, has: [&str; N]) -> Row {
        self.not_client.extend(has.map(String::from));
        self
    }
}

/// One message taken off a connection.
#[derive(Debug)]
pub struct Message {
    pub head: String,
    pub complete: bool,
}

impl Message {
    pub fn status(&self) -> u16 {
        self.head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Request,
    /// Whether each answers a HEAD.
    Response {
        head: bool,
    },
}

/// Reads messages strictly, the way the last in a chain would.
pub fn messages(bytes: &[u8], kind: Kind) -> Vec<Message> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let Some(end) = bytes[at..].windows(4).position(|w| w == b"\r\n\r\n") else {
            let head = String::from_utf8_lossy(&bytes[at..]).into_owned();
            out.push(Message { head, complete: false });
            break;
        };
        let head = String::from_utf8_lossy(&bytes[at..at + end + 2]).into_owned();
        let body = at + end + 4;
        let field = |name: &str| crate::support::client::field(&head, name).map(str::to_owned);
        let status: u16 = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
        let bodiless = match kind {
            Kind::Request => false,
            Kind::Response { head } => head || status < 200 || matches!(status, 204 | 304),
        };
        let end = if bodiless {
            Some(body)
        } else if field("transfer-encoding").is_some() {
            chunks(bytes, body)
        } else if let Some(length) = field("content-length") {
            let end = body + length.parse::<usize>().unwrap_or(usize::MAX / 2);
            (end <= bytes.len()).then_some(end)
        } else {
            Some(if kind == Kind::Request { body } else { bytes.len() })
        };
        out.push(Message { head, complete: end.is_some() });
        at = end.unwrap_or(bytes.len());
    }
    out
}

/// Where a chunked body ends.
fn chunks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let line = bytes.get(at..)?.windows(2).position(|w| w == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[at..at + line]).ok()?, 16).ok()?;
        at += line + 2;
        if size > 0 {
            at += size + 2;
            continue;
        }
        loop {
            let line = bytes.get(at..)?.windows(2).position(|w| w == b"\r\n")?;
            at += line + 2;
            if line == 0 {
                return Some(at);
            }
        }
    }
}

/// An origin that answers every whole request the same.
pub async fn answer(mut wire: Wire, reply: Vec<u8>, closes: bool) {
    let (mut all, mut answered) = (Vec::new(), 0);
    while let Some(part) = wire.read().await {
        all.extend(part);
        let due = messages(&all, Kind::Request).iter().filter(|m| m.complete).count();
        while answered < due {
            wire.write(&reply).await;
            answered += 1;
            if closes {
                wire.shutdown().await;
                return wire.drained().await;
            }
        }
    }
}

/// Runs rows against one proxy; what was seen, in their order.
pub async fn run(rows: &[Row]) -> Vec<String> {
    let mut origins = Vec::new();
    let mut setup = Setup::new().arg("--no-core-rules");
    for (number, row) in rows.iter().enumerate() {
        let row = Arc::new(row.clone());
        let origin = Raw::plain(move |wire, _| {
            let row = Arc::clone(&row);
            async move { answer(wire, row.reply.clone(), row.closes).await }
        })
        .await;
        setup = setup.route(&host(number), 80, origin.addr);
        origins.push(origin);
    }
    let proxy = setup.start().await;
    let got: Vec<Option<Vec<u8>>> = stream::iter(rows.iter().enumerate())
        .map(|(number, row)| ask(&proxy, row, host(number)))
        .buffered(8)
        .collect()
        .await;
    // The origins are looked at when all is done: what was under way when its client had the answer has arrived.
    let ends = rows.iter().zip(got).zip(&origins).enumerate();
    ends.map(|(number, ((row, got), origin))| tell(row, &host(number), got, origin)).collect()
}

fn host(number: usize) -> String {
    format!("row{number}.test")
}

/// Everything the client gets; `None` when its connection stays open.
async fn ask(proxy: &Proxy, row: &Row, host: String) -> Option<Vec<u8>> {
    let mut stream = match row.proxied {
        true => Client::new(Entry::HttpProxy, proxy).dial().await.unwrap(),
        false => Client::new(Entry::Socks5, proxy).tunnel(&host, 80).await.unwrap(),
    };
    let send = replace(&row.send, b"{h}", host.as_bytes());
    // A proxy that has refused may close before everything is written.
    let _ = stream.write_all(&send).await;
    let _ = stream.flush().await;
    if row.half_close {
        let _ = stream.shutdown().await;
    }
    tokio::time::timeout(std::time::Duration::from_secs(25), rest(&mut stream)).await.ok()
}

/// What both ends got, in the words of the row.
fn tell(row: &Row, host: &str, got: Option<Vec<u8>>, origin: &Raw) -> String {
    let Some(got) = got else { return "the connection stays open".to_owned() };
    let fill = |text: &str| text.replace("{h}", host);
    let head = row.send.starts_with(b"HEAD ");
    let answers = messages(&got, Kind::Response { head });
    let mut seen: Vec<String> = answers
        .iter()
        .map(|m| format!("{}{}", m.status(), if m.complete { "" } else { " broken" }))
        .collect();
    if row.expected.starts_with("broken") && answers.last().is_none_or(|last| !last.complete) {
        // How much of it had been passed on by then is a matter of time.
        seen = vec!["broken".to_owned()];
    } else if seen.is_empty() {
        seen.push("none".to_owned());
    }
    let received = origin.received();
    let asked: Vec<Message> = received.iter().flat_map(|bytes| messages(bytes, Kind::Request)).collect();
    let whole = asked.iter().filter(|m| m.complete).count();
    let mut out = format!("{}; {whole}", seen.join(" "));
    let used = received.iter().filter(|bytes| !bytes.is_empty()).count();
    if row.connections.is_some_and(|count| count != used) {
        out.push_str(&format!(", on {used} connections"));
    }
    let (at_origin, at_client) = (readable(&received.concat()), readable(&got));
    for (wanted, all, text, side) in [
        (true, &row.origin, &at_origin, "origin"),
        (false, &row.not_origin, &at_origin, "origin"),
        (true, &row.client, &at_client, "client"),
        (false, &row.not_client, &at_client, "client"),
    ] {
        // Names of fields are the same in every case.
        for piece in all.iter().map(|piece| fill(piece)) {
            if text.to_lowercase().contains(&piece.to_lowercase()) != wanted {
                let how = if wanted { "lacks" } else { "has" };
                out.push_str(&format!(", {side} {how} {piece:?} in {text:?}"));
            }
        }
    }
    out
}

/// As text, without the proxy's name in `Via`: its digits are chosen by chance, so any short piece may be in it.
fn readable(bytes: &[u8]) -> String {
    let text: String = bytes.iter().map(|b| *b as char).collect();
    let mut pieces = text.split("portward-");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out.push_str("portward-X");
        out.push_str(piece.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    out
}

fn replace(bytes: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), bytes);
    while let Some(at) = rest.windows(what.len()).position(|w| w == what) {
        out.extend([&rest[..at], by].concat());
        rest = &rest[at + what.len()..];
    }
    out.extend(rest);
    out
}
