//! T36 to T47, T50 and T51: versions, suites, groups and handshakes on both legs.

mod client_auth;
mod hello;
mod hostile;
mod legacy;
mod legs;
mod scanners;
mod server;

use super::Case;
use crate::support::client::Answer;
use crate::support::proxy::Proxy;

pub fn cases() -> Vec<Case> {
    let mut cases = legacy::cases();
    cases.extend(hostile::cases());
    cases.extend(hello::cases());
    cases.extend(legs::cases());
    cases.extend(client_auth::cases());
    cases.extend(scanners::cases());
    cases
}

/// A refusal as the client and the audit record have it: `502 code`.
async fn refused(proxy: &Proxy, answer: &Answer) -> String {
    let status = answer.status.as_u16();
    let record = proxy.record("the refusal", |r| r["status"] == status).await;
    let code = record["reason"].as_str().unwrap_or_default();
    assert!(
        answer.text().contains(code) || answer.header("proxy-status").contains(code),
        "the page has the code"
    );
    format!("{status} {code}")
}
