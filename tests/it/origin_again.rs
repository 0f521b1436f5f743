//! A connection that was kept may end just when it is used again. A request that nobody acted on, or that does no harm
//! twice, is then sent once more on a fresh one; every other is not, and none is sent a third time.

use serde_json::Value;

use crate::support::client::{Client, Entry, get, request};
use crate::support::frames::*;
use crate::support::origin::{Raw, Wire};
use crate::support::proxy::{Proxy, Setup};
use crate::support::{Http, within};

const DONE: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// How often an origin was asked for this.
fn times(origin: &Raw, what: &str) -> usize {
    let count = |bytes: &Vec<u8>| memchr::memmem::find_iter(bytes, what).count();
    origin.received().iter().map(count).sum()
}

/// Its first connection answers one request; what comes next gets `said`, and the end. So does the first request on
/// every other connection, unless these are `good`.
async fn h1(host: &str, said: &'static str, good: bool) -> Raw {
    Raw::tls(host, move |mut wire, index| async move {
        let mut asked = 0;
        while wire.head().await.is_some() {
            asked += 1;
            if if index == 0 { asked > 1 } else { !good } {
                wire.write(said).await;
                wire.shutdown().await;
                return wire.drained().await;
            }
            wire.write(DONE).await;
        }
    })
    .await
}

/// One proxy before all these, because it takes its time to start.
async fn proxy(origins: &[(String, Raw)]) -> Proxy {
    let route = |setup: Setup, (host, origin): &(String, Raw)| setup.route(host, 443, origin.addr);
    origins.iter().fold(Setup::new(), route).start().await
}

/// A client whose first request was answered, so that there is a connection to use again, and the answer to its second.
async fn second(proxy: &Proxy, host: &str, http: Http, method: &str, body: &str) -> u16 {
    let mut connection = Client::new(Entry::HttpProxy, proxy).https(host, http).await.unwrap();
    let first = get(&format!("https://{host}/first"));
    assert!(within("the first", connection.try_send(first)).await.unwrap().status.is_success(), "{host}");
    let asked = request(method, &format!("https://{host}/second"), &[], body.to_owned());
    within(method, connection.try_send(asked)).await.unwrap().status.as_u16()
}

async fn told(proxy: &Proxy, host: &str) -> Value {
    let url = format!("https://{host}/second");
    let of_second = |record: &Value| record["url"] == url.as_str();
    proxy.record("the second", of_second).await["origin_leg"]["resent"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_no_harm_twice_is_sent_again_and_nothing_else() {
    let cases = [
        ("GET", "", 2),
        ("HEAD", "", 2),
        ("OPTIONS", "", 2),
        ("DELETE", "", 2),
        ("PUT", "the new state", 2),
        ("POST", "", 1),
        ("POST", "amount=1", 1),
        ("PATCH", "", 1),
    ];
    let cases: Vec<_> = Http::BOTH.into_iter().flat_map(|http| cases.map(|case| (http, case))).collect();
    let mut origins = Vec::new();
    for number in 0..cases.len() {
        let host = format!("o{number}.test");
        origins.push((host.clone(), h1(&host, "", true).await));
    }
    let proxy = proxy(&origins).await;
    for ((http, (method, body, expect)), (host, origin)) in cases.into_iter().zip(&origins) {
        let case = format!("{method} {body:?}, {http:?}");
        let status = second(&proxy, host, http, method, body).await;
        assert_eq!(times(origin, &format!("{method} /second ")), expect, "{case}");
        assert_eq!(status, if expect == 2 { 204 } else { 502 }, "{case}");
        let resent = if expect == 2 { "closed".into() } else { Value::Null };
        assert_eq!(told(&proxy, host).await, resent, "{case}");
        assert_eq!(origin.connections(), expect, "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_whole_the_second_time_and_one_that_is_not_kept_goes_once() {
    let origins = [("short", 1000, 2), ("long", 200_000, 1)];
    for (name, length, expect) in origins {
        let body = "x".repeat(length) + "end of it";
        let host = format!("{name}.test");
        let origins = [(host.clone(), h1(&host, "", true).await)];
        let (proxy, origin) = (proxy(&origins).await, &origins[0].1);
        let status = second(&proxy, &host, Http::H1, "PUT", &body).await;
        assert_eq!((times(origin, "PUT /second "), status), (expect, if expect == 2 { 204 } else { 502 }));
        if expect == 2 {
            let whole = || (origin.received()[1].ends_with(body.as_bytes())).then_some(());
            crate::support::until("the body", whole).await;
            assert_eq!(told(&proxy, &host).await, "closed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_began_is_not_asked_for_again_and_two_attempts_are_all() {
    let cases = [
        ("HTTP/1.1 2", true, 1),
        ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", true, 1),
        ("nothing of the kind\r\n\r\n", true, 1),
        ("", false, 2),
    ];
    let cases: Vec<_> = Http::BOTH.into_iter().flat_map(|http| cases.map(|case| (http, case))).collect();
    let mut origins = Vec::new();
    for (number, (_, (said, good, _))) in cases.iter().enumerate() {
        let host = format!("o{number}.test");
        origins.push((host.clone(), h1(&host, said, *good).await));
    }
    let proxy = proxy(&origins).await;
    for ((http, (said, _, expect)), (host, origin)) in cases.into_iter().zip(&origins) {
        assert_eq!(second(&proxy, host, http, "GET", "").await, 502, "{said:?}");
        assert_eq!(times(origin, "GET /second "), expect, "{said:?}, {http:?}");
        let resent = if expect == 2 { "closed".into() } else { Value::Null };
        assert_eq!(told(&proxy, host).await, resent, "{said:?}");
    }
}

/// An origin of HTTP/2 by hand. The `bad` request of the first connection gets `reply`, and the end where it is empty.
async fn h2(host: &str, reply: Vec<u8>, bad: usize) -> Raw {
    Raw::tls_for(Http::H2, host, move |mut wire: Wire, index| {
        let reply = reply.clone();
        async move {
            let (mut all, mut answered) = (Vec::new(), 0);
            wire.write(frame(SETTINGS, 0, 0, &[])).await;
            while let Some(part) = wire.read().await {
                all.extend(part);
                let asked: Vec<_> = came(&all).into_iter().filter(|(kind, _)| *kind == HEADERS).collect();
                for (_, stream) in &asked[answered..] {
                    answered += 1;
                    if index == 0 && answered == bad {
                        if reply.is_empty() {
                            wire.shutdown().await;
                            return wire.drained().await;
                        }
                        wire.write(&reply).await;
                    } else {
                        // 204 (RFC 7541 appendix A).
                        wire.write(frame(HEADERS, END_HEADERS | END_STREAM, *stream, &[0x89])).await;
                    }
                }
            }
        }
    })
    .await
}

fn asked(origin: &Raw) -> usize {
    let requests = |bytes: &Vec<u8>| came(bytes).iter().filter(|(kind, _)| *kind == HEADERS).count();
    origin.received().iter().map(requests).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_2_what_was_refused_or_left_out_is_sent_again_with_its_body() {
    let goaway = |last: u32| frame(GOAWAY, 0, 0, &[last.to_be_bytes(), 0u32.to_be_bytes()].concat());
    let refused = |stream: u32| frame(RST_STREAM, 0, stream, &7u32.to_be_bytes());
    let cancelled = frame(RST_STREAM, 0, 3, &8u32.to_be_bytes());
    let cases = [
        ("refused", refused(3), "POST", "unprocessed"),
        ("left out", goaway(1), "POST", "unprocessed"),
        ("left out", goaway(1), "GET", "unprocessed"),
        ("cancelled", cancelled.clone(), "POST", ""),
        ("cancelled", cancelled, "GET", ""),
        ("closed", Vec::new(), "GET", "closed"),
        ("closed", Vec::new(), "POST", ""),
        ("closed", Vec::new(), "PUT", "closed"),
    ];
    let mut origins = Vec::new();
    for (number, (_, reply, ..)) in cases.iter().enumerate() {
        let host = format!("o{number}.test");
        origins.push((host.clone(), h2(&host, reply.clone(), 2).await));
    }
    let proxy = proxy(&origins).await;
    for ((what, _, method, resent), (host, origin)) in cases.into_iter().zip(&origins) {
        let case = format!("{what}, {method}");
        let body = if method == "GET" { "" } else { "amount=1" };
        let status = second(&proxy, host, Http::H2, method, body).await;
        let again = usize::from(!resent.is_empty());
        assert_eq!((status, asked(origin)), (if again == 1 { 204 } else { 502 }, 2 + again), "{case}");
        assert_eq!(told(&proxy, host).await, if again == 1 { resent.into() } else { Value::Null }, "{case}");
        if again == 1 && !body.is_empty() {
            let whole =
                || (memchr::memmem::find(&origin.received()[1], body.as_bytes()).is_some()).then_some(());
            crate::support::until("the body, once more", whole).await;
        }
    }
}
