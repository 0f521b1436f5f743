//! T57 to T59: a CA that may issue for some names alone, one that ends, and one that is replaced under load.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::support::client::{Client, Entry, NoTunnel, get};
use crate::support::clock::Clock;
use crate::support::company::{Change, Company, corp_only};
use crate::support::origin::{Origin, Spec};
use crate::support::proxy::{Proxy, Setup, portward};
use crate::support::{Http, peer, pki, until, within};
use crate::tls_bar::Case;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("T57", "imported sub-CA permits corp.test; a host outside", "403 ca_constraints", || {
            constrained(Made::Imported, "deny")
        }),
        Case::new("T57", "ca init --permit corp.test; a host outside", "403 ca_constraints", || {
            constrained(Made::Here, "deny")
        }),
        Case::new("T57", "the same with outside_ca_constraints = tunnel", "tunnel ca_constraints", || {
            constrained(Made::Here, "tunnel")
        }),
        Case::new("T57", "a leaf forged outside the constraints", "refused by openssl, certtool", forged),
        Case::new("T58", "CA ends in 20 d", "warned in log and ca show", ends_soon),
        Case::new("T58", "CA ended before the start", "not started, ca_expired", ended),
        Case::new("T58", "CA ends while the proxy runs", "502 ca_expired", ends_in_flight),
        Case::new(
            "T59",
            "intermediate, then root replaced under load",
            "none dropped, both CAs served",
            rotated,
        ),
    ]
}

enum Made {
    Here,
    Imported,
}

/// The names of every leaf that was ever minted.
async fn minted(ca: &Path) -> Vec<String> {
    // Lines are gathered before they are written.
    until("the mint log", || {
        let log = portward(&["ca", "log", "--ca", ca.to_str()?, "-n", "1000", "--json"]);
        let text = String::from_utf8_lossy(&log.stdout).into_owned();
        let names: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .flat_map(|record| record["names"].as_array().unwrap().clone())
            .map(|name| name.as_str().unwrap().to_owned())
            .collect();
        (!names.is_empty()).then_some(names)
    })
    .await
}

async fn constrained(made: Made, outside: &str) -> String {
    let inside = Spec::tls(&["app.corp.test"]).start().await;
    let other = Spec::tls(&["elsewhere.test"]).start().await;
    let place = TempDir::with_prefix("portward-ca-").unwrap();
    let (ca, anchor, _company) = match made {
        Made::Imported => {
            let company = Company::new(corp_only);
            (company.imported(), company.root(), Some(company))
        }
        Made::Here => {
            let ca = place.path().join("ca");
            let done = portward(&["ca", "init", "--ca", ca.to_str().unwrap(), "--permit", "corp.test"]);
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            let root = CertificateDer::from_pem_file(ca.join("root.pem")).unwrap();
            (ca, root, None)
        }
    };
    let proxy = Setup::new()
        .ca(&ca)
        .route("app.corp.test", 443, inside.addr)
        .route("elsewhere.test", 443, other.addr)
        .config(&format!("[policy.fail]\noutside_ca_constraints = \"{outside}\""))
        .start()
        .await;
    let client = Client::new(Entry::HttpProxy, &proxy).trusting([anchor]);
    assert_eq!(client.get(Http::H2, "https://app.corp.test/").await.status, 200);
    let seen = match outside {
        "deny" => {
            let refused = client.tls("elsewhere.test", 443, &[Http::H2]).await.err().expect("no tunnel");
            assert!(refused.text().contains("elsewhere.test"), "{}", refused.text());
            // By SOCKS there is no page; the name shows in the ClientHello, and the answer is an alert.
            let mut socks = client.clone();
            socks.entry = Entry::Socks5;
            let refused_too = socks.tls("elsewhere.test", 443, &[Http::H2]).await.err().expect("no tunnel");
            assert!(matches!(refused_too, NoTunnel::Io(_)), "{refused_too:?}");
            let both = until("both records", || {
                let all = proxy.audit();
                let of: Vec<_> = all.into_iter().filter(|r| r["reason"] == "ca_constraints").collect();
                (of.len() == 2).then_some(of)
            })
            .await;
            assert!(both.iter().all(|record| record["verdict"] == "denied"), "{both:?}");
            assert_eq!((other.connections(), other.seen().len()), (0, 0), "nothing was dialled");
            format!("{} ca_constraints", refused.status())
        }
        _ => {
            let through = client.clone().trusting([pki::lab().root_der()]);
            assert_eq!(
                through.get(Http::H2, "https://elsewhere.test/").await.status,
                200,
                "the origin's own chain"
            );
            let record =
                proxy.record("the tunnel", |r| r["kind"] == "tunnel" || r["verdict"] == "tunnelled").await;
            assert!(record.to_string().contains("ca_constraints"), "{record}");
            "tunnel ca_constraints".to_owned()
        }
    };
    let names = minted(&ca).await;
    assert!(names.iter().all(|name| name.ends_with("corp.test")), "minted outside: {names:?}");
    seen
}

/// The CA's own key signs a leaf for a name outside, past all that Portward refuses: clients do not take it.
async fn forged() -> String {
    let place = TempDir::with_prefix("portward-ca-").unwrap();
    let dir = place.path();
    let ca = dir.join("ca");
    let done = portward(&[
        "ca",
        "init",
        "--ca",
        ca.to_str().unwrap(),
        "--permit",
        "corp.test",
        "--permit",
        "10.0.0.0/8",
    ]);
    assert!(done.status.success());
    let leaf = async |name: &str| {
        let script = format!(
            "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -subj / -out r.pem &&\n\
             printf 'subjectAltName=critical,{name}\\nextendedKeyUsage=serverAuth\\nkeyUsage=critical,digitalSignature\\n' >x &&\n\
             openssl x509 -req -in r.pem -CA ca/intermediate.pem -CAkey ca/intermediate.key -days 1 -extfile x -out leaf.pem"
        );
        let mut shell = peer::command("sh");
        shell.args(["-c", &script]).current_dir(dir);
        peer::run(shell).await.ok();
        let mut openssl = peer::command("openssl");
        openssl.args(["verify", "-purpose", "sslserver", "-CAfile", "ca/root.pem"]);
        openssl.args(["-untrusted", "ca/intermediate.pem", "leaf.pem"]).current_dir(dir);
        let openssl = peer::run(openssl).await;
        fs::write(
            dir.join("chain.pem"),
            fs::read_to_string(dir.join("leaf.pem")).unwrap()
                + &fs::read_to_string(ca.join("intermediate.pem")).unwrap()
                + &fs::read_to_string(ca.join("root.pem")).unwrap(),
        )
        .unwrap();
        let mut certtool = peer::command("certtool");
        certtool.args(["--verify", "--load-ca-certificate", "ca/root.pem", "--infile", "chain.pem"]);
        let certtool = peer::run({
            certtool.current_dir(dir);
            certtool
        })
        .await;
        (openssl.code, openssl.stderr, certtool.code)
    };
    for inside in ["DNS:app.corp.test", "DNS:corp.test", "IP:10.1.2.3"] {
        let (openssl, said, certtool) = leaf(inside).await;
        assert_eq!((openssl, certtool), (Some(0), Some(0)), "{inside}: {said}");
    }
    for outside in ["DNS:elsewhere.test", "DNS:corp.test.evil.test", "IP:192.0.2.1", "IP:2001:db8::1"] {
        let (openssl, said, certtool) = leaf(outside).await;
        assert!(openssl != Some(0) && said.contains("subtree violation"), "{outside}: {said}");
        assert_ne!(certtool, Some(0), "certtool takes {outside}");
    }
    "refused by openssl, certtool".to_owned()
}

fn in_20_days(params: &mut rcgen::CertificateParams) {
    params.not_after = OffsetDateTime::now_utc() + Duration::days(20);
}

async fn ends_soon() -> String {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let company = Company::new(in_20_days as Change);
    let ca = company.imported();
    let proxy = Setup::new().ca(&ca).origin(&origin).start().await;
    let line = proxy.stderr.line("the warning", |line| line.contains("ca_expires")).await;
    assert!(line.contains("WARN") && line.contains("portward ca rotate --root"), "{line}");
    let client = Client::new(Entry::HttpProxy, &proxy).trusting([company.root()]);
    assert_eq!(client.get(Http::H1, "https://origin.test/").await.status, 200, "until then it works");
    let shown = portward(&["ca", "show", "--ca", ca.to_str().unwrap(), "--json"]);
    assert_eq!(shown.status.code(), Some(1), "a finding");
    let status: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(status["warnings"][0]["code"], "ca_expires", "{status}");
    "warned in log and ca show".to_owned()
}

const DAY: i64 = 86_400;

async fn ended() -> String {
    let company = Company::new(in_20_days as Change);
    let ca = company.imported();
    let clock = Clock::new();
    clock.set(21 * DAY);
    let refused = Setup::new().ca(&ca).behind(clock.words()).refused();
    assert!(refused.stderr.contains("expired at"), "{}", refused.stderr);
    assert!(refused.stderr.contains("fix: portward ca rotate --root"), "{}", refused.stderr);
    let mut show = peer::command("env");
    show.args(&clock.words()[1..]).arg(env!("CARGO_BIN_EXE_portward"));
    show.args(["ca", "show", "--json", "--ca", ca.to_str().unwrap()]);
    let shown = peer::run(show).await;
    let error: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    format!("not started, {}", error["error"]["code"].as_str().unwrap())
}

async fn ends_in_flight() -> String {
    let origin = Spec::tls(&["origin.test"]).start().await;
    // The lab's certificates live a week: the CA ends before the origin's does.
    let company = Company::new(|params| params.not_after = OffsetDateTime::now_utc() + Duration::days(3));
    let ca = company.imported();
    let clock = Clock::new();
    let proxy = Setup::new().ca(&ca).origin(&origin).behind(clock.words()).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy).trusting([company.root()]);
    assert_eq!(client.get(Http::H1, "https://origin.test/before").await.status, 200);
    clock.set(4 * DAY);
    let refused = client.tls("origin.test", 443, &[Http::H1]).await.err().expect("no tunnel");
    assert!(refused.text().contains("portward ca show"), "{}", refused.text());
    // SOCKS has no page: the handshake ends with an alert, and nothing is relayed.
    let mut socks = client.clone();
    socks.entry = Entry::Socks5;
    let by_socks = socks.tls("origin.test", 443, &[Http::H1]).await.err().expect("no tunnel");
    assert!(matches!(by_socks, NoTunnel::Io(_)), "{by_socks:?}");
    let records = until("both records", || {
        let all = proxy.audit();
        let of: Vec<_> = all.into_iter().filter(|r| r["reason"] == "ca_expired").collect();
        (of.len() == 2).then_some(of)
    })
    .await;
    assert!(records.iter().all(|record| record["verdict"] == "failed"), "{records:?}");
    assert_eq!(origin.seen().len(), 1, "only the request from before");
    format!("{} ca_expired", refused.status())
}

/// The CA certificates that `portward ca export` hands out.
fn exported(ca: &Path) -> Vec<CertificateDer<'static>> {
    let out = portward(&["ca", "export", "--ca", ca.to_str().unwrap()]);
    CertificateDer::pem_slice_iter(&out.stdout).map(Result::unwrap).collect()
}

/// Who signed the leaf that a new connection is shown.
async fn issuer(client: &Client) -> String {
    let stream = client.tls("origin.test", 443, &[Http::H1]).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    X509Certificate::from_der(&chain[0]).unwrap().1.issuer().to_string()
}

async fn replaced(client: &Client, old: &str) -> String {
    let start = Instant::now();
    loop {
        let now = issuer(client).await;
        if now != old {
            return now;
        }
        assert!(start.elapsed() < crate::support::PATIENCE, "leaves are still signed by {old}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Connections that stay open and connections that come, until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(clients: &[Client]) -> Load {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = Vec::new();
        for client in clients {
            for http in Http::BOTH {
                for fresh in [true, false] {
                    let (client, stop, done) = (client.clone(), stop.clone(), done.clone());
                    tasks.push(tokio::spawn(async move {
                        let mut kept = client.https("origin.test", http).await.unwrap();
                        while !stop.load(Ordering::Acquire) {
                            // A panic here is a request that was dropped.
                            let answer = if fresh {
                                client.get(http, "https://origin.test/").await
                            } else {
                                kept.send(get("https://origin.test/")).await
                            };
                            assert_eq!(answer.status, 200);
                            done.fetch_add(1, Ordering::AcqRel);
                        }
                    }));
                }
            }
        }
        Load { stop, done, tasks }
    }

    /// Waits until every connection has had its turns.
    async fn goes_on(&self) {
        let before = self.done.load(Ordering::Acquire);
        until("requests under load", || {
            assert!(self.tasks.iter().all(|task| !task.is_finished()), "a client was dropped");
            (self.done.load(Ordering::Acquire) > before + 40).then_some(())
        })
        .await;
    }

    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Release);
        for task in self.tasks {
            within("a client", task).await.expect("no request was dropped");
        }
        self.done.load(Ordering::Acquire)
    }
}

fn rotate(proxy: &Proxy, more: &[&str]) {
    let ca = proxy.ca_dir();
    let done = portward(&[&["ca", "rotate", "--ca", ca.to_str().unwrap()], more].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

async fn rotated() -> String {
    let origin: Origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let old_root = proxy.ca();
    let old = Client::new(Entry::HttpProxy, &proxy).trusting(old_root.clone());
    let first = issuer(&old).await;
    let load = Load::start(&[old.clone(), old.clone()]);
    load.goes_on().await;

    // Nobody tells the running proxy; it sees the files.
    rotate(&proxy, &[]);
    let second = replaced(&old, &first).await;
    load.goes_on().await;

    rotate(&proxy, &["--root"]);
    replaced(&old, &second).await;
    load.goes_on().await;
    let new_root = proxy.ca();
    assert_ne!(new_root[0], old_root[0]);
    let new = Client::new(Entry::HttpProxy, &proxy).trusting(new_root.clone());
    let load_of_new = Load::start(&[new]);
    load_of_new.goes_on().await;
    load.goes_on().await;
    let both = exported(&proxy.ca_dir());
    assert_eq!(both, [new_root[0].clone(), old_root[0].clone()], "export hands out both");
    let total = load.end().await + load_of_new.end().await;
    assert!(total >= 160, "{total}");
    let failed: Vec<_> = proxy.audit().into_iter().filter(|r| r["verdict"] == "failed").collect();
    assert!(failed.is_empty(), "{failed:?}");
    "none dropped, both CAs served".to_owned()
}
