//! What follows from leaves of several names, and from many leaves.

use std::fs;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{Client, Entry, get};
use crate::support::kinds::unverified;
use crate::support::netns::{CLIENT_NET, NetLab, ORIGIN, ORIGIN_NET, Redirect};
use crate::support::origin::{HELLO, Spec};
use crate::support::peer::{bare, run};
use crate::support::proxy::Setup;
use crate::support::{Http, within};

use super::clients::database;

/// A leaf with a second name lets a client send requests for that name on the first one's connection (RFC 9113 section
/// 9.1.1). Each is answered 421 and comes back on a connection of its own, where it is judged by its own name.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_another_name_of_the_leaf_is_misdirected_and_comes_back() {
    let origin = Spec::tls(&["origin.test", "second.test"]).start().await;
    let proxy = Setup::new().origin(&origin).route("second.test", 443, origin.addr).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let mut shared = client.https("origin.test", Http::H2).await.unwrap();
    assert_eq!(shared.send(get("https://origin.test/first")).await.text(), HELLO);
    let refused = shared.send(get("https://second.test/second")).await;
    assert_eq!(refused.status, 421, "{}", refused.text());
    // The connection goes on, and the client's second try is an ordinary one.
    assert_eq!(shared.send(get("https://origin.test/third")).await.text(), HELLO);
    assert_eq!(client.get(Http::H2, "https://second.test/second").await.text(), HELLO);
    let targets: Vec<String> = origin.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets.len(), 3, "{targets:?}");
}

/// A browser that knows both names' address, as behind a transparent proxy, does exactly that by itself.
#[tokio::test(flavor = "multi_thread")]
async fn chromium_reuses_a_connection_for_another_name_is_told_421_and_comes_back() {
    let net = Arc::new(NetLab::new(Redirect::Nat, 8443));
    let origin = Spec::tls(&["origin.test", "second.test"]).on(net.listen(443)).start().await;
    let proxy = Setup::strict()
        .behind(net.in_gateway())
        .args(["--allow-client", CLIENT_NET, "--allow-private", ORIGIN_NET])
        .args(["--resolve", "origin.test:10.200.2.2", "--resolve", "second.test:10.200.2.2"])
        .listen(&["0.0.0.0:8443"])
        .start()
        .await;
    let home = tempfile::tempdir().unwrap();
    database(&home.path().join(".pki/nssdb"), &proxy).await;
    let file = home.path().join("page.html");
    let ask = |url: &str| format!("fetch('{url}', {{ mode: 'no-cors', credentials: 'include' }})");
    let page = format!(
        "<!doctype html><title>asking</title><script>{}.then(() => {}).then(() => document.title = 'asked')</script>",
        ask("https://origin.test/first"),
        ask("https://second.test/second")
    );
    fs::write(&file, page).unwrap();
    let mut browser = bare(net.client_command("chromium"));
    browser.env("HOME", home.path()).env("XDG_CONFIG_HOME", home.path().join("config"));
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
    browser.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    browser.args(["--disable-default-apps", "--disable-extensions", "--disable-dev-shm-usage"]);
    browser.arg(format!("--user-data-dir={}", home.path().join("profile").display()));
    browser.arg(format!("--host-resolver-rules=MAP *.test {ORIGIN}"));
    browser.args(["--virtual-time-budget=10000", "--dump-dom"]).arg(format!("file://{}", file.display()));
    let page = run(browser).await.ok().text();
    assert!(page.contains("<title>asked</title>"), "{page}");
    let targets: Vec<String> = origin.seen().into_iter().map(|seen| seen.target).collect();
    assert!(targets.iter().any(|target| target.ends_with("/second")), "{targets:?}");
    // That it came by the first connection, and then by its own.
    proxy.record("the misdirected request", |r| r["reason"] == "misdirected" && r["status"] == 421).await;
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_flood_of_distinct_names_keeps_memory_bounded() {
    let origin = Spec::tls(&["*.flood.test", "origin.test"]).start().await;
    let everything = format!("*:443:127.0.0.1:{}", origin.addr.port());
    let proxy = Setup::new()
        .config("[limits]\nleaf_cache = 32\npool_per_client = 8\npool_per_key = 8")
        .args(["--resolve", &everything])
        .start()
        .await;
    let names = async |from: usize, to: usize| {
        let one = async |number: usize| {
            let name = format!("h{number}.flood.test");
            let mut stream = within("a handshake", unverified(&proxy, &name, origin.addr)).await?;
            // Asked for something, the connection to the origin is worth keeping for a while.
            let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            stream.flush().await?;
            within("an answer", stream.read_u8()).await
        };
        for number in (from..to).step_by(8) {
            let eight = (number..number + 8).map(one);
            for done in futures_util::future::join_all(eight).await {
                done.unwrap();
            }
        }
    };
    let sample = async |from: usize| {
        let mut seen = Vec::new();
        for at in (from..from + 2400).step_by(480) {
            names(at, at + 480).await;
            seen.push(proxy.rss());
        }
        seen
    };
    // A coarse bound. The tables that remember origins and clients (some 5 KB a name, 16,384 names at most) fill while
    // this runs, and the allocator holds 20 MB more or less at any time: some 180 MB in an unoptimised build. Leaves kept
    // for each name would come to 70 MB more.
    let (early, late) = (sample(0).await, sample(2400).await);
    assert!(*late.iter().min().unwrap() < 256 << 20, "{early:?}, and for as many names more {late:?}");
    // And it works still.
    let answer = Client::new(Entry::HttpProxy, &proxy).get(Http::H2, "https://origin.test/after").await;
    assert_eq!(answer.text(), HELLO);
}
