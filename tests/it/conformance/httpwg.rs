//! `httpwg`: 107 cases of what RFC 9113 asks of a server, on the port that clients have as their HTTPS proxy and inside
//! a tunnel that is looked into. The program speaks HTTP/2 over TCP and no TLS, so each connection goes through a door.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::tool;
use crate::support::Http;
use crate::support::client::{Client, Entry};
use crate::support::door::Door;
use crate::support::origin::{Spec, Stream};
use crate::support::peer;
use crate::support::proxy::Setup;

const CASES: usize = 107;
const LEAST: usize = 103;

/// What need not pass, and why. They may pass: it is a matter of which comes first.
const DECLARED: &[(&str, &str)] = &[(
    "7. error codes :: sends goaway frame with unknown error code",
    "a client that says GOAWAY with no stream open is done (RFC 9113 section 6.8): the connection is closed, whatever \
     the code; a PING that comes in time is answered before",
)];

/// Runs all cases against a door; prints them and returns how many passed, and those that should have and did not.
async fn run(title: &str, door: &Door) -> (usize, Vec<String>) {
    let mut httpwg = tool("httpwg");
    httpwg.args(["--address", &door.addr.to_string(), "--verbose"]);
    // Bounds on a wait that fails: no case waits where all is well.
    httpwg.args(["--frame-timeout", "10000", "--connect-timeout", "10000"]);
    let said = peer::run_within(Duration::from_secs(180), httpwg).await;
    let lines = |prefix: &str| -> Vec<String> {
        let found = said.stderr.lines().filter_map(|line| line.strip_prefix(prefix));
        let mut found: Vec<String> = found.map(|name| name.replace("RFC 9113 :: ", "")).collect();
        found.sort();
        found
    };
    let (all, passed) = (lines("🔷 Running test: "), lines("✅ Test passed: "));
    println!("{title}");
    let mut failed = Vec::new();
    for name in &all {
        let declared = DECLARED.iter().find(|(known, _)| known == name);
        match (passed.contains(name), declared) {
            (true, _) => println!("ok   {name}"),
            (false, Some((_, why))) => println!("decl {name}\n     declared: {why}"),
            (false, None) => {
                println!("FAIL {name}");
                failed.push(name.clone());
            }
        }
    }
    println!("{title}: {} of {} passed", passed.len(), all.len());
    if !failed.is_empty() {
        println!("{}", said.stderr);
    }
    assert_eq!(all.len(), CASES, "{}", said.stderr);
    (passed.len(), failed)
}

/// The program asks for `http` whatever the connection is. Inside TLS that is refused as it should be, and would stand
/// for what each case is about: so `:scheme: http` becomes `https`, index 6 of the static table index 7 (RFC 7541
/// appendix A), where it stands between the method and the path.
fn asking_for_https(mut tunnel: Box<dyn Stream>) -> Box<dyn Stream> {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let (mut from_tool, mut to_tool) = tokio::io::split(&mut far);
        let (mut from_proxy, mut to_proxy) = tokio::io::split(&mut tunnel);
        let there = async {
            let mut buf = vec![0; 64 * 1024];
            while let Ok(n @ 1..) = from_tool.read(&mut buf).await {
                for at in 0..n.saturating_sub(2) {
                    if buf[at..at + 3] == [0x83, 0x86, 0x84] {
                        buf[at + 1] = 0x87;
                    }
                }
                if to_proxy.write_all(&buf[..n]).await.is_err() || to_proxy.flush().await.is_err() {
                    break;
                }
            }
            let _ = to_proxy.shutdown().await;
        };
        let back = async {
            // The end is the end, with a word of TLS's about it or without.
            let _ = tokio::io::copy(&mut from_proxy, &mut to_tool).await;
            let _ = to_tool.shutdown().await;
        };
        tokio::join!(there, back);
    });
    Box::new(near)
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_of_http_2_on_the_proxys_own_port() {
    let origin = Spec::plain().start().await;
    let proxy = Setup::new().route("localhost", 80, origin.addr).start().await;
    let client = Client::new(Entry::HttpsProxy, &proxy);
    let door = Door::through(move || {
        let client = client.clone();
        async move { client.dial_tls(Http::H2).await.ok() }
    })
    .await;
    let (passed, failed) = run("httpwg, HTTPS proxy", &door).await;
    assert!(!origin.seen().is_empty(), "nothing reached the origin");
    assert!(failed.is_empty() && passed >= LEAST, "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_of_http_2_inside_a_tunnel() {
    for origin_http in Http::BOTH {
        let origin = Spec::tls(&["localhost"]).http(&[origin_http]).start().await;
        let proxy = Setup::new().route("localhost", 443, origin.addr).start().await;
        let client = Client::new(Entry::HttpProxy, &proxy);
        let door = Door::through(move || {
            let client = client.clone();
            async move {
                let tls = client.tls("localhost", 443, &[Http::H2]).await.ok()?;
                Some(asking_for_https(Box::new(tls)))
            }
        })
        .await;
        let (passed, failed) = run(&format!("httpwg, tunnel, origin {origin_http:?}"), &door).await;
        assert!(!origin.seen().is_empty(), "nothing reached the origin");
        assert!(failed.is_empty() && passed >= LEAST, "{failed:?}");
    }
}
