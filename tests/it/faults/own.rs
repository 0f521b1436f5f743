//! What the proxy answers to requests for itself (F50, F40, F43): it has no interface of its own, so that whatever
//! Host a page in a browser makes a name of, and however it comes in, there is nothing behind it but refusals.

use tokio::io::AsyncWriteExt;

use super::{Case, Seen};
use crate::support::Http;
use crate::support::client::{Client, Entry, rest};
use crate::support::proxy::{Proxy, Setup};

const NOTHING: &str = "refused, nothing of its own";

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("F50", "requests for the proxy itself, whatever the Host", NOTHING, asked_directly),
        Case::new("F50", "requests for its own address, through itself", NOTHING, asked_through_itself),
        Case::new("F50", "one listener, and no other", "one", listeners),
    ]
}

const PATHS: [&str; 8] =
    ["/", "/admin", "/api/config", "/metrics", "/healthz", "/ca.pem", "/proxy.pac", "/?q=1"];

/// Hosts that a page could have: the address, what resolves to it, what rebinding made of a name.
fn hosts(proxy: &Proxy) -> Vec<String> {
    let (addr, port) = (proxy.addr(), proxy.addr().port());
    let named =
        ["localhost", "localhost.", "portward", "portward.localhost", "rebound.test", "[::1]", "0.0.0.0"];
    let mut hosts: Vec<String> = named.iter().map(|name| format!("{name}:{port}")).collect();
    hosts.extend(named.map(String::from));
    hosts.push(addr.to_string());
    hosts
}

/// A refusal: an error of ours that shares nothing with other origins and has none of our state.
fn refused(answer: &[u8], ca: &str) -> Option<String> {
    let text = String::from_utf8_lossy(answer).into_owned();
    let low = text.to_lowercase();
    let status: u16 = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let open = low.contains("access-control-allow") || low.contains("set-cookie") || text.contains(ca);
    (!(matches!(status, 400 | 403 | 405 | 421 | 508)) || open).then_some(text)
}

async fn asked_directly() -> Seen {
    let proxy = Setup::new().start().await;
    let ca = std::fs::read_to_string(proxy.ca_pem()).unwrap();
    let ca = ca.lines().nth(1).unwrap();
    let (mut asked, mut wrong) = (0, Vec::new());
    for entry in [Entry::HttpProxy, Entry::HttpsProxy] {
        for host in hosts(&proxy) {
            for (number, path) in PATHS.iter().enumerate() {
                // A browser on another page sends the first, a form the second, a check before it the third.
                let method = ["GET", "POST", "OPTIONS"][number % 3];
                let origin = if number % 2 == 0 { "http://evil.test" } else { "null" };
                let head = format!(
                    "{method} {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nSec-Fetch-Site: cross-site\r\n\
                     Content-Length: 0\r\nConnection: close\r\n\r\n"
                );
                let mut stream = Client::new(entry, &proxy).dial().await.unwrap();
                stream.write_all(head.as_bytes()).await.unwrap();
                asked += 1;
                if let Some(text) = refused(&rest(&mut stream).await, ca) {
                    wrong.push(format!("{entry:?} {method} {path} {host}: {text}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {asked}: {}", wrong.len(), wrong[0]);
    // Each is known of.
    let last = proxy.record("the last of them", |r| r["status"] == 400 && r["kind"] == "exchange").await;
    Seen { told: NOTHING.into(), figures: format!("({asked} requests, recorded as {})", last["reason"]) }
}

async fn asked_through_itself() -> Seen {
    // Below those that the system gives out, so that nobody is given it between here and the start.
    let first = 20_000 + (std::process::id() % 10_000) as u16;
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let any = (first..32_000).find(free).unwrap();
    // Even where policy lists the port and lets loopback be dialled.
    let config = format!("[policy.ports]\n{any} = \"inspect\"\n443 = \"inspect\"");
    let resolve = format!("rebound.test:{any}:127.0.0.1");
    let setup = Setup::new().config(&config).args(["--resolve", &resolve]);
    let proxy = setup.listen(&[&format!("127.0.0.1:{any}")]).start().await;
    let ca = std::fs::read_to_string(proxy.ca_pem()).unwrap();
    let ca = ca.lines().nth(1).unwrap();
    let mut told = Vec::new();
    let names =
        ["127.0.0.1", "localhost", "rebound.test", "2130706433", "0x7f.1", "0.0.0.0", "[::ffff:127.0.0.1]"];
    for name in names {
        for path in PATHS {
            let mut stream = Client::new(Entry::HttpProxy, &proxy).dial().await.unwrap();
            let head = format!(
                "GET http://{name}:{any}{path} HTTP/1.1\r\nHost: {name}:{any}\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let answer = rest(&mut stream).await;
            assert_eq!(refused(&answer, ca), None, "{name}{path}");
            told.push(String::from_utf8_lossy(&answer)[9..12].to_owned());
        }
        for entry in [Entry::HttpProxy, Entry::HttpsProxy, Entry::Socks5] {
            let client = Client::new(entry, &proxy);
            let bare = name.trim_matches(['[', ']']);
            let tunnel = client.tunnel(if entry == Entry::Socks5 { bare } else { name }, any).await;
            // An entry may say yes before it dials; then there must be nothing behind it.
            if let Ok(mut stream) = tunnel {
                let head = format!("GET /admin HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).await;
                let answer = rest(&mut stream).await;
                assert!(answer.is_empty() || refused(&answer, ca).is_none(), "{entry:?} {name}");
            }
            let tls = client
                .careless()
                .tls(if entry == Entry::Socks5 { bare } else { name }, any, &[Http::H1])
                .await;
            if let Ok(mut stream) = tls {
                let head = format!("GET /admin HTTP/1.1\r\nHost: {name}:{any}\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).await;
                let answer = rest(&mut stream).await;
                assert_eq!(refused(&answer, ca), None, "{entry:?} {name} over TLS");
            }
        }
    }
    told.sort();
    told.dedup();
    let own = proxy.audit().iter().filter(|r| r["reason"] == "own_listener").count();
    let figures = format!("({} names, statuses {}, {own} as own_listener)", names.len(), told.join(" "));
    Seen::judged(own > 0, NOTHING, figures)
}

/// Sockets that the process listens on, of any kind: what is not asked for is not there.
async fn listeners() -> Seen {
    let proxy = Setup::new().start().await;
    let pid = proxy.pid();
    let own: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    assert!(!own.is_empty());
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // State 0A is LISTEN; the tenth field is the inode.
            if fields[3] == "0A" && own.iter().any(|inode| inode == fields[9]) {
                found.push(format!("{table} {}", fields[1]));
            }
        }
    }
    for table in ["udp", "udp6"] {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap();
        let mine = |line: &&str| own.iter().any(|inode| line.split_whitespace().nth(9) == Some(inode));
        found.extend(text.lines().skip(1).filter(mine).map(|line| format!("{table} {line}")));
    }
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/unix")).unwrap();
    // Flags with the tenth thousand are those of a socket that listens (__SO_ACCEPTCON).
    let mine = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[3] == "00010000" && own.iter().any(|inode| fields[6] == inode)
    };
    found.extend(text.lines().skip(1).filter(mine).map(String::from));
    let figures = format!("({})", found.join(", "));
    Seen::judged(found.len() == 1, "one", figures)
}
