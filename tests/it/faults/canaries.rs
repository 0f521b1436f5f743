//! Clients side by side, each with a secret of its own in every part of its request (F52): a secret is at its own
//! place at the origin, in its own answer and in its own record, and nowhere else.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tokio::io::AsyncWriteExt;

use super::{Case, Seen, size};
use crate::support::client::{Client, Entry, request, rest};
use crate::support::origin::{Origin, Spec};
use crate::support::proxy::{Proxy, Setup};
use crate::support::{Http, until};

const KEPT: &str = "each in its own flow and record";

pub fn cases() -> Vec<Case> {
    vec![Case::new(
        "F52",
        "interleaved clients with canaries, every version, some blocked",
        KEPT,
        interleaved,
    )]
}

/// A client's secret, that no other text has in it. Letters, for a long number may pass for that of a card, which the
/// audit log does not keep.
fn canary(number: usize) -> String {
    let hash = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let letters: String =
        hash.to_be_bytes().iter().flat_map(|byte| [byte >> 4, byte & 15]).map(letter).collect();
    format!("canary{number:06}x{letters}")
}

fn letter(of: u8) -> char {
    char::from(b'a' + of)
}

/// Every secret in a text.
fn canaries(text: &str) -> Vec<String> {
    text.match_indices("canary").filter_map(|(at, _)| text.get(at..at + 29)).map(str::to_owned).collect()
}

/// One in this many is an attack.
const ATTACKS: usize = 8;

/// One client: a connection, a request, what came back.
async fn one(proxy: &Proxy, number: usize) -> Result<(), String> {
    let own = canary(number);
    let attack = number % ATTACKS == 3;
    let target =
        format!("/echo/{own}{}", if attack { "?q=1+UNION+SELECT+password+FROM+users--" } else { "" });
    let client = Client::new(Entry::HttpProxy, proxy);
    let text = match number % 10 {
        // TLS costs much more than plain HTTP: enough of it in both versions.
        turn @ (0 | 1) => {
            let http = Http::BOTH[turn];
            let url = format!("https://origin.test{target}");
            let fields = [("x-own", own.as_str()), ("cookie", own.as_str()), ("content-type", "text/plain")];
            let ask = request("POST", &url, &fields, own.clone());
            let answer = client.send(http, "origin.test", ask).await;
            format!("{} {}\n{:?}\n{}", answer.status.as_u16(), answer.status, answer.headers, answer.text())
        }
        _ => {
            let mut stream = client.dial().await.map_err(|error| error.to_string())?;
            let head = format!(
                "POST http://origin.test{target} HTTP/1.1\r\nHost: origin.test\r\nX-Own: {own}\r\nCookie: {own}\r\n\
                 Content-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{own}",
                own.len()
            );
            stream.write_all(head.as_bytes()).await.map_err(|error| error.to_string())?;
            String::from_utf8_lossy(&rest(&mut stream).await).replacen("HTTP/1.1 ", "", 1)
        }
    };
    let found = canaries(&text);
    let status = if attack { "403" } else { "200" };
    if !text.starts_with(status) || found.iter().any(|found| *found != own) || (found.is_empty() && !attack) {
        return Err(format!("{own} got {text}"));
    }
    Ok(())
}

/// What an origin saw belongs together.
fn mixed(origin: &Origin) -> Vec<String> {
    let mut wrong = Vec::new();
    for seen in origin.seen() {
        let text = format!("{} {:?} {}", seen.target, seen.headers, String::from_utf8_lossy(&seen.body));
        let mut found = canaries(&text);
        // In the target, two fields and the body.
        if found.len() != 4 {
            wrong.push(format!("{} of 4 canaries: {text}", found.len()));
        }
        found.dedup();
        if found.len() != 1 {
            wrong.push(format!("mixed: {text}"));
        }
    }
    wrong
}

async fn interleaved() -> Seen {
    let many = size(2_000, 10_000);
    let (plain, tls) = (Spec::plain().start().await, Spec::tls(&["origin.test"]).start().await);
    let setup = Setup::new().route("origin.test", 80, plain.addr).route("origin.test", 443, tls.addr);
    let proxy = Arc::new(setup.start().await);
    let began = std::time::Instant::now();
    let wrong: Vec<String> = stream::iter(0..many)
        .map(|number| {
            let proxy = Arc::clone(&proxy);
            async move { tokio::spawn(async move { one(&proxy, number).await }).await.unwrap() }
        })
        .buffer_unordered(64)
        .filter_map(async |done| done.err())
        .collect()
        .await;
    assert!(wrong.is_empty(), "{} of {many}: {}", wrong.len(), wrong[0]);
    let took = began.elapsed();
    let wrong = [mixed(&plain), mixed(&tls)].concat();
    assert!(wrong.is_empty(), "{} at an origin: {}", wrong.len(), wrong[0]);
    let attacks = (0..many).filter(|number| number % ATTACKS == 3).count();
    let arrived = plain.seen().len() + tls.seen().len();
    // Nothing of a blocked request arrived, and every other did once.
    assert_eq!(arrived, many - attacks);
    until("a record of each", || {
        let text = std::fs::read_to_string(proxy.audit_path()).unwrap();
        (text.matches("\"kind\":\"exchange\"").count() >= many).then_some(())
    })
    .await;
    let mut records: HashMap<String, usize> = HashMap::new();
    for record in proxy.audit().iter().filter(|r| r["kind"] == "exchange") {
        let text = record.to_string();
        let mut found = canaries(&text);
        found.dedup();
        assert_eq!(found.len(), 1, "{text}");
        *records.entry(found.remove(0)).or_default() += 1;
    }
    let once = (0..many).filter(|number| records.get(&canary(*number)) == Some(&1)).count();
    let figures = format!(
        "({many} clients, 64 at a time, {attacks} blocked, {once} records of one's own, {:.0} a second)",
        many as f64 / took.as_secs_f64()
    );
    Seen::judged(once == many && records.len() == many, KEPT, figures)
}
