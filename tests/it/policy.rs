//! Policy decides from names, addresses and people; each decision says which rule made it.

use crate::support::client::{Client, Entry, get};
use crate::support::origin::{HELLO, Spec};
use crate::support::proxy::Setup;
use crate::support::{Closed, Http};

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_host_is_denied_through_every_entry() {
    let origin = Spec::tls(&["origin.test", "www.origin.test", "other.test"]).start().await;
    let deny = "[[policy.deny]]\nname = \"no origin\"\nhosts = [\".origin.test\"]\nreason = \"ticket 4711\"";
    let proxy = Setup::new()
        .config(deny)
        .origin(&origin)
        .route("www.origin.test", 443, origin.addr)
        .route("other.test", 443, origin.addr)
        .start()
        .await;
    for entry in Entry::EXPLICIT {
        for host in ["origin.test", "www.origin.test", "ORIGIN.test", "origin.test."] {
            let refused = Client::new(entry, &proxy).tunnel(host, 443).await.err();
            let refused = refused.unwrap_or_else(|| panic!("{entry:?}: {host} was not denied"));
            if entry != Entry::Socks5 {
                assert_eq!(refused.status(), 403, "{entry:?} {host}");
            }
        }
        assert_eq!(
            Client::new(entry, &proxy).get(Http::H1, "https://other.test/").await.text(),
            HELLO,
            "{entry:?}"
        );
    }
    assert_eq!(origin.seen().len(), 3, "only the other host");
    let record = proxy.record("the denial", |r| r["verdict"] == "denied").await;
    assert_eq!(record["reason"], "host_denied", "{record}");
    assert!(record["sentence"].to_string().contains("no origin"), "the record names the rule: {record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_list_of_allowed_hosts_nothing_else_is_reached() {
    let origin = Spec::tls(&["origin.test", "other.test"]).start().await;
    let allow = "[[policy.allow]]\nname = \"the one\"\nhosts = [\"origin.test\"]";
    let proxy =
        Setup::new().config(allow).origin(&origin).route("other.test", 443, origin.addr).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    assert_eq!(client.get(Http::H2, "https://origin.test/").await.text(), HELLO);
    assert_eq!(client.tunnel("other.test", 443).await.err().unwrap().status(), 403);
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_belong_together_may_share_a_connection_when_policy_says_so() {
    let origin = Spec::tls(&["origin.test", "shop.test"]).start().await;
    let config = "[[policy.fronting_allow]]\ntargets = [\"origin.test\"]\nhosts = [\"shop.test\"]";
    let proxy =
        Setup::new().config(config).origin(&origin).route("shop.test", 443, origin.addr).start().await;
    for http in Http::BOTH {
        let client = Client::new(Entry::HttpProxy, &proxy);
        let mut connection = client.https("origin.test", http).await.unwrap();
        assert_eq!(connection.send(get("https://shop.test/together")).await.status, 200, "{http:?}");
    }
    let seen = origin.seen();
    assert_eq!(seen.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_origin_can_be_a_broken_handshake_instead_of_a_page() {
    let closed = Closed::new();
    let proxy = Setup::new()
        .config("[policy.fail]\norigin_error = \"refuse\"")
        .route("origin.test", 443, closed.addr)
        .start()
        .await;
    let refused = Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H1).await;
    assert!(refused.is_err(), "no certificate is minted for a host that is not there");
    proxy.record("the dead origin", |r| r["reason"] == "origin_refused").await;
}
