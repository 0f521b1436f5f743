//! T04 and T12 to T16: what a certificate proves.

use rcgen::SanType;

use super::{Case, Setup, Show, Spec, ask_address};
use crate::support::forge::{Ca, authority, dns, server};

pub fn cases() -> Vec<Case> {
    let mismatch = "502 name_mismatch";
    let ia5 = |text: &str| text.try_into().unwrap();
    let mut cases = vec![
        Case::new("T04", "names another host", mismatch, || show(vec![dns("elsewhere.test")], "origin.test")),
        Case::new("T12", "the common name alone", mismatch, || show(Vec::new(), "origin.test")),
        Case::new("T13", "a URI alone", mismatch, move || {
            show(vec![SanType::URI(ia5("https://origin.test/"))], "origin.test")
        }),
        Case::new("T13", "a mail address alone", mismatch, move || {
            show(vec![SanType::Rfc822Name(ia5("origin.test"))], "origin.test")
        }),
        Case::new("T14", "a NUL in the name", "502 bad_certificate", || {
            show(vec![dns("origin.test\0.evil")], "origin.test")
        }),
        Case::new("T14", "a NUL in a second name", "502 bad_certificate", || {
            show(vec![dns("origin.test"), dns("origin.test\0.evil")], "origin.test")
        }),
    ];
    for (pattern, host) in [
        ("*", "origin.test"),
        ("*.test", "a.b.test"),
        ("*.*.b.test", "a.c.b.test"),
        ("wild-*.b.test", "wild-a.b.test"),
        ("*.origin.test", "origin.test"),
        ("w*.origin.test", "www.origin.test"),
    ] {
        cases.push(Case::new("T15", format!("{pattern} for {host}"), mismatch, move || {
            show(vec![dns(pattern)], host)
        }));
    }
    cases.extend([
        Case::new("T16", "127.0.0.1 by iPAddress", "200", || address("127.0.0.1", by_address("127.0.0.1"))),
        Case::new("T16", "127.0.0.1 by dNSName", mismatch, || address("127.0.0.1", vec![dns("127.0.0.1")])),
        Case::new("T16", "127.0.0.1 by the address of another", mismatch, || {
            address("127.0.0.1", by_address("127.0.0.2"))
        }),
        Case::new("T16", "127.0.0.1 by the mapped IPv6 address", mismatch, || {
            address("127.0.0.1", by_address("::ffff:127.0.0.1"))
        }),
        Case::new("T16", "[::1] by iPAddress", "200", || address("[::1]", by_address("::1"))),
        Case::new("T16", "[0:0:0:0:0:0:0:1] by iPAddress", "200", || {
            address("[0:0:0:0:0:0:0:1]", by_address("::1"))
        }),
        Case::new("T16", "[::1] by dNSName", mismatch, || address("[::1]", vec![dns("::1")])),
    ]);
    cases
}

fn by_address(ip: &str) -> Vec<SanType> {
    vec![SanType::IpAddress(ip.parse().unwrap())]
}

async fn show(names: Vec<SanType>, host: &'static str) -> String {
    let ca = Ca::root(authority("Lab"));
    let mut params = server(&["origin.test"]);
    params.subject_alt_names = names;
    Show::new(ca.sign(params).chain(&[]), &ca).host(host).seen().await
}

async fn address(shown: &'static str, names: Vec<SanType>) -> String {
    let ca = Ca::root(authority("Lab"));
    let mut params = server(&["origin.test"]);
    params.subject_alt_names = names;
    let on = if shown.starts_with('[') { "[::1]:0" } else { "127.0.0.1:0" };
    let listener = std::net::TcpListener::bind(on).unwrap();
    let origin = Spec::chain(ca.sign(params).chain(&[])).on(listener).start().await;
    ask_address(Setup::new().public_roots(), &ca.pem(), &origin, shown).await
}
