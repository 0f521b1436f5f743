//! Rules and configuration are replaced whole or not at all, under load, without dropping anything.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::signal::Signal;

use crate::support::client::{Client, Entry, get};
use crate::support::origin::{HELLO, Spec};
use crate::support::proxy::{Proxy, Setup};
use crate::support::{Http, until, within};

/// A rule set that blocks one word.
pub fn rule(word: &str) -> String {
    serde_json::json!({
        "name": "own", "version": "1.0.0",
        "rules": [{
            "id": 900001, "phase": "request_headers", "message": "a word", "severity": "critical",
            "when": { "variables": ["args"], "operator": { "contains": word } },
            "then": ["block"],
            "examples": { "match": [format!("GET /?q={word}")], "no_match": ["GET /?q=other"] },
        }],
    })
    .to_string()
}

async fn status(proxy: &Proxy, word: &str) -> u16 {
    Client::new(Entry::HttpProxy, proxy)
        .get(Http::H1, &format!("https://origin.test/?q={word}"))
        .await
        .status
        .as_u16()
}

/// Waits until the word is blocked and the other is not.
pub async fn in_force(proxy: &Proxy, blocked: &str, passed: &str) {
    within("the new rules", async {
        let mut again = tokio::time::interval(std::time::Duration::from_millis(30));
        loop {
            again.tick().await;
            if status(proxy, blocked).await == 403 && status(proxy, passed).await == 200 {
                return;
            }
        }
    })
    .await;
}

/// Puts a file in the place of another as editors do.
pub fn replace(proxy: &Proxy, name: &str, text: &str) {
    let next = proxy.dir().join(format!(".{name}.next"));
    fs::write(&next, text).unwrap();
    fs::rename(next, proxy.dir().join(name)).unwrap();
}

pub async fn start() -> (crate::support::origin::Origin, Proxy) {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let setup =
        Setup::new().file("own.json", rule("alpha")).arg("--rules").arg("{dir}/own.json").origin(&origin);
    let proxy = setup.config("[rules]\ncore = true").start().await;
    assert_eq!((status(&proxy, "alpha").await, status(&proxy, "beta").await), (403, 200));
    (origin, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_rule_file_is_in_force_without_being_told() {
    let (_origin, proxy) = start().await;
    replace(&proxy, "own.json", &rule("beta"));
    in_force(&proxy, "beta", "alpha").await;
    // Written in place as well as renamed over.
    fs::write(proxy.dir().join("own.json"), rule("gamma")).unwrap();
    in_force(&proxy, "gamma", "beta").await;
}

#[tokio::test(flavor = "multi_thread")]
pub async fn sighup_reloads_rules_and_configuration() {
    let (_origin, proxy) = start().await;
    fs::write(proxy.dir().join("own.json"), rule("beta")).unwrap();
    let deny = "[rules]\ncore = true\n[[policy.deny]]\nname = \"later\"\nhosts = [\"other.test\"]\n";
    fs::write(proxy.dir().join("portward.toml"), deny).unwrap();
    proxy.signal(Signal::SIGHUP);
    in_force(&proxy, "beta", "alpha").await;
    let refused = Client::new(Entry::HttpProxy, &proxy).tunnel("other.test", 443).await.err().unwrap();
    assert_eq!(refused.status(), 403);
    proxy.record("the new denial", |r| r["reason"] == "host_denied").await;
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_broken_rule_file_leaves_the_old_rules_in_force_and_says_where_it_is_broken() {
    let (_origin, mut proxy) = start().await;
    let unknown = rule("beta").replace("\"contains\"", "\"contians\"");
    let cases = [
        ("half a file", rule("beta")[..60].to_string()),
        ("an unknown operator", unknown),
        ("nothing", String::new()),
        ("another kind of file", "# portward rules\n".into()),
        ("nested too deep", "[".repeat(100_000)),
        ("a bad expression", rule("beta").replace("{\"contains\":\"beta\"}", "{\"rx\":\"(unclosed\"}")),
    ];
    let (mut old, mut next) = ("alpha", "gamma");
    for (case, text) in cases {
        let told = || proxy.stderr.all().iter().filter(|line| line.contains("own.json:")).count();
        let before = told();
        replace(&proxy, "own.json", &text);
        proxy.signal(Signal::SIGHUP);
        until(case, || (told() > before).then_some(())).await;
        assert_eq!((status(&proxy, old).await, status(&proxy, "beta").await), (403, 200), "{case}");
        // And a whole one is taken again; from then on nothing more is said of the broken one.
        replace(&proxy, "own.json", &rule(next));
        in_force(&proxy, next, old).await;
        (old, next) = (next, old);
    }
    assert!(proxy.running());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_changes_nothing() {
    let (_origin, proxy) = start().await;
    fs::write(proxy.dir().join("own.json"), rule("beta")).unwrap();
    fs::write(proxy.dir().join("portward.toml"), "[rules]\ncoer = true\n").unwrap();
    proxy.signal(Signal::SIGHUP);
    proxy
        .stderr
        .line("the mistake's place", |line| line.contains("portward.toml:2:1") || line.contains("coer"))
        .await;
    assert_eq!(status(&proxy, "other").await, 200);
    // The start would refuse it; the running proxy keeps what it has until it is mended.
    fs::write(proxy.dir().join("portward.toml"), "[rules]\ncore = true\n").unwrap();
    proxy.signal(Signal::SIGHUP);
    in_force(&proxy, "beta", "alpha").await;
}

#[tokio::test(flavor = "multi_thread")]
pub async fn reloads_under_load_drop_nothing_and_every_request_sees_one_whole_set() {
    let (origin, proxy) = start().await;
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..4 {
        let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
        let client = Client::new(Entry::HttpProxy, &proxy);
        tasks.spawn(async move {
            let http = Http::BOTH[number % 2];
            while !stop.load(Ordering::Relaxed) {
                let mut connection = client.https("origin.test", http).await.unwrap();
                for _ in 0..10 {
                    let answer = connection.send(get("https://origin.test/?q=harmless")).await;
                    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, HELLO));
                    served.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    for turn in 0..10 {
        let (new, old) = if turn % 2 == 0 { ("beta", "alpha") } else { ("alpha", "beta") };
        replace(&proxy, "own.json", &rule(new));
        if turn % 3 == 0 {
            proxy.signal(Signal::SIGHUP);
        }
        in_force(&proxy, new, old).await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let served = served.load(Ordering::Relaxed);
    println!("10 reloads under {served} requests");
    assert!(served > 40);
    assert_eq!(origin.seen().iter().filter(|seen| seen.target.ends_with("harmless")).count(), served);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_began_before_a_reload_goes_on_after_it() {
    let (origin, proxy) = start().await;
    let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H2).await.unwrap();
    let response = connection.start(get("https://origin.test/sse")).await.unwrap();
    replace(&proxy, "own.json", &rule("beta"));
    in_force(&proxy, "beta", "alpha").await;
    origin.release();
    let answer = crate::support::client::whole(response).await.unwrap();
    assert_eq!(answer.text(), crate::support::origin::EVENTS.concat());
}
