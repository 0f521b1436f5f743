//! T01 to T35 without T30 and T31: certificates that origins show. A refusal is always the same on both ends: a
//! 502 that names the cause, one audit record with the stable code, and no request byte at the origin.

use crate::support::Http;
use crate::support::client::{Client, Entry, request};
use crate::support::origin::Spec;
use crate::support::pki::{self, Chain, Leaf};
use crate::support::proxy::Setup;

use super::Case;

pub fn cases() -> Vec<Case> {
    vec![Case::new("T02", "leaf ended a day ago", "502 cert_expired", || {
        shown(|| pki::lab().leaf(&["origin.test"], Leaf::Expired))
    })]
}

/// What becomes of a request to an origin that shows this chain, as `200` or `502 code`.
async fn shown(chain: fn() -> Chain) -> String {
    let origin = Spec::chain(chain()).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let secret =
        request("POST", "https://origin.test/secret", &[("authorization", "Bearer s3cret")], "canary");
    let answer = Client::new(Entry::HttpProxy, &proxy).send(Http::H2, "origin.test", secret).await;
    if answer.status == 200 {
        return "200".to_owned();
    }
    assert_eq!(origin.seen().len(), 0, "no request left");
    let record = proxy.record("the refusal", |r| r["status"] == answer.status.as_u16()).await;
    format!("{} {}", answer.status.as_u16(), record["reason"].as_str().unwrap_or_default())
}
