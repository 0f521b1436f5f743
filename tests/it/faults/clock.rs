//! The system's clock set forward and back under a running proxy (F36).

use std::time::Instant;

use http_body_util::BodyExt;
use time::OffsetDateTime;
use tokio::io::AsyncWriteExt;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Case, Seen};
use crate::support::client::{Client, Entry, get, rest};
use crate::support::clock::Clock;
use crate::support::forge::{Ca, authority, server};
use crate::support::kinds::unverified;
use crate::support::origin::{EVENTS, HELLO, Origin, Spec};
use crate::support::proxy::{Proxy, Setup};
use crate::support::{Http, until, within};

const DAY: i64 = 86_400;
/// Where the clock is set to, one after the other.
const STEPS: [i64; 5] = [400 * DAY, -400 * DAY, 0, -3600, 0];

const STEADY: &str = "timers steady, leaves of their day, told";

pub fn cases() -> Vec<Case> {
    vec![Case::new("F36", "the clock: 400 days on, 400 back, an hour back", STEADY, jumps)]
}

/// An origin whose certificate is good on all of these days.
async fn origin() -> (Origin, String) {
    let now = OffsetDateTime::now_utc();
    let dates = (now - time::Duration::days(900), now + time::Duration::days(900));
    let mut params = authority("A root of five years");
    (params.not_before, params.not_after) = dates;
    let root = Ca::root(params);
    let mut params = server(&["origin.test"]);
    (params.not_before, params.not_after) = dates;
    let chain = root.sign(params).chain(&[&root]);
    (Spec::chain(chain).start().await, root.pem())
}

/// What a new connection gets: an answer with a leaf that is good on that day, or a refusal with its reason.
async fn asked(proxy: &Proxy, origin: &Origin, ahead: i64) -> String {
    let url = format!("https://origin.test/at/{ahead}");
    let mut stream = match unverified(proxy, "origin.test", origin.addr).await {
        Ok(stream) => stream,
        Err(error) => return format!("no TLS: {error}"),
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap().to_vec();
    let ask = format!("GET /at/{ahead} HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    let there = OffsetDateTime::now_utc().unix_timestamp() + ahead;
    let good =
        leaf.validity().not_before.timestamp() <= there && there <= leaf.validity().not_after.timestamp();
    if answer.starts_with("HTTP/1.1 200") && answer.ends_with(HELLO) {
        return if good { "200".to_owned() } else { "200 with a leaf of another day".to_owned() };
    }
    let record = proxy.record(&url, |r| r["url"] == url.as_str()).await;
    format!("{} {}", record["status"], record["reason"].as_str().unwrap_or_default())
}

async fn jumps() -> Seen {
    let (origin, root) = origin().await;
    let clock = Clock::new();
    let setup = Setup::new().public_roots().file("lab.pem", root).args(["--origin-ca", "{dir}/lab.pem"]);
    let config = "[limits]\nfirst_byte_time = \"4s\"\nbody_idle = \"100s\"\ntunnel_idle = \"100s\"";
    let proxy = setup.config(config).behind(clock.words()).origin(&origin).start().await;
    let mut told = vec![asked(&proxy, &origin, 0).await];
    let careless = Client::new(Entry::HttpProxy, &proxy).careless();
    // A stream that is open all the time.
    let mut stream = careless.https("origin.test", Http::H2).await.unwrap();
    let mut body = stream.start(get("https://origin.test/sse")).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), EVENTS[0].as_bytes());
    // Connected today: on a day when our CA is not good yet, nobody is.
    let mut connected = Vec::new();
    for _ in 0..STEPS.len() {
        connected.push(careless.https("origin.test", Http::H1).await.unwrap());
    }
    let mut waits = Vec::new();
    for ahead in STEPS {
        // Somebody waits for an answer that does not come, while the clock is set.
        let mut waiting = connected.pop().unwrap();
        let before = origin.seen().len();
        let began = Instant::now();
        let held = tokio::spawn(async move { waiting.send(get("https://origin.test/held")).await.status });
        until("the request at the origin", || (origin.seen().len() > before).then_some(())).await;
        clock.set(ahead);
        told.push(asked(&proxy, &origin, ahead).await);
        assert_eq!(within("the end of a wait", held).await.unwrap(), 504);
        waits.push(began.elapsed());
    }
    origin.release();
    // Released for those who gave up as well: the stream's own turn comes.
    (0..16).for_each(|_| origin.release());
    let rest = within("the rest of the stream", body.collect()).await;
    let whole = rest.is_ok_and(|rest| rest.to_bytes() == EVENTS[1].as_bytes());
    let jumps = until("a record of each jump", || {
        let records = proxy.audit();
        let jumps = records.iter().filter(|r| r["kind"] == "clock_jump");
        let jumps: Vec<i64> = jumps.map(|r| r["seconds"].as_i64().unwrap()).collect();
        (jumps.len() >= STEPS.len()).then_some(jumps)
    })
    .await;
    let steps: Vec<i64> = STEPS.iter().scan(0, |at, to| Some(to - std::mem::replace(at, *to))).collect();
    let flagged =
        jumps.len() == steps.len() && jumps.iter().zip(&steps).all(|(seen, step)| (seen - step).abs() < 60);
    let timely = waits.iter().all(|wait| (3..25).contains(&wait.as_secs()));
    let today = [0, 3, 4, 5].iter().all(|&n| told[n] == "200");
    // Our own CA is of today: before that it signs nothing, and says so.
    let other = told[1] == "200" && !told[2].starts_with("200");
    let figures = format!("({}; jumps {jumps:?}; stream {whole}; waits {waits:.1?})", told.join(", "));
    Seen::judged(flagged && timely && today && other && whole, STEADY, figures)
}
