//! Files that are not as they should be: rules that are too large or half written (F32), replaced every second under
//! load (F33), and what another release wrote (F53).

use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Case, Measured, Seen, size};
use crate::reload::{in_force, replace, rule, start};
use crate::support::client::{Client, Entry, get};
use crate::support::origin::{HELLO, Spec};
use crate::support::proxy::{Proxy, Setup, portward};
use crate::support::{Http, within};

const OLD_ONES: &str = "the old rules stay, cheap, said why";

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("F32", "a rule file of 100 MB, running and at check", OLD_ONES, huge),
        Case::new(
            "F32",
            "a rule file written a piece at a time, over and over",
            "one whole set at any time",
            pieces,
        ),
        Case::new("F33", "a reload each second under load", "nothing dropped, nothing kept", each_second),
        Case::new("F53", "a table of clients by a later release", "not read, kept, said", later_table),
        Case::new(
            "F53",
            "a configuration with a key of a later release",
            "refused with its place",
            later_key,
        ),
        Case::new("F53", "rules with a key of a later release", "refused with its place", later_rules),
        Case::new(
            "F53",
            "an audit log and a mint log with lines of other releases",
            "gone on behind",
            other_lines,
        ),
    ]
}

async fn huge() -> Measured {
    let (_origin, proxy) = start().await;
    let (before, cpu) = (proxy.rss(), proxy.cpu());
    // Rules as they should be, and far too many: only the size is wrong.
    let path = proxy.dir().join("own.json");
    let next = proxy.dir().join("next.json");
    let text = rule("beta");
    let mut file = fs::File::create(&next).unwrap();
    file.write_all(&text.as_bytes()[..1]).unwrap();
    let room = vec![b' '; 1 << 20];
    (0..100).for_each(|_| file.write_all(&room).unwrap());
    file.write_all(&text.as_bytes()[1..]).unwrap();
    fs::rename(&next, &path).unwrap();
    proxy.signal(Signal::SIGHUP);
    let said = proxy.stderr.line("what is wrong", |line| line.contains("not reloaded")).await;
    in_force(&proxy, "alpha", "beta").await;
    let grown = proxy.peak_rss().saturating_sub(before);
    let check = portward(&["check", "--rules", path.to_str().unwrap()]);
    let checked =
        String::from_utf8_lossy(&check.stderr).into_owned() + &String::from_utf8_lossy(&check.stdout);
    let told = [said.as_str(), &checked]
        .iter()
        .all(|text| text.contains("own.json") && text.contains("larger than"));
    // And a whole one is taken again.
    replace(&proxy, "own.json", &rule("gamma"));
    in_force(&proxy, "gamma", "alpha").await;
    let figures = format!(
        "({} KiB, {:.2} CPU-s, check exits {:?}, said: {})",
        grown >> 10,
        proxy.cpu() - cpu,
        check.status.code(),
        said.split("cannot be read").last().unwrap_or_default().trim()
    );
    let good = told && check.status.code() != Some(0) && grown < 200 << 20;
    Seen::judged(good, OLD_ONES, figures).grown(grown)
}

/// Editors and copies that write in place: at any moment there is a part of the file.
async fn pieces() -> Seen {
    let (_origin, mut proxy) = start().await;
    let path = proxy.dir().join("own.json");
    let client = Client::new(Entry::HttpProxy, &proxy);
    let (mut other, mut asked, mut halves) = (0, 0, 0);
    for (new, old) in [("beta", "alpha"), ("alpha", "beta")] {
        let text = rule(new);
        let mut file = fs::File::create(&path).unwrap();
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(text.len() / 3 + 1).collect();
        let (last, first) = pieces.split_last().unwrap();
        let mut written = 0;
        for piece in first {
            written += piece.len();
            // Where such a half breaks off is where it ends.
            let place = format!("own.json:1:{written}:");
            let told = || proxy.stderr.all().iter().filter(|line| line.contains(&place)).count();
            let before = told();
            file.write_all(piece).unwrap();
            file.flush().unwrap();
            // The proxy does read this half, and what was in force stays so meanwhile.
            halves += 1;
            within("a half to be refused", async {
                while told() == before {
                    let blocked = client.get(Http::H1, &format!("https://origin.test/?q={old}")).await.status;
                    let passed = client.get(Http::H1, &format!("https://origin.test/?q={new}")).await.status;
                    asked += 2;
                    other += usize::from((blocked.as_u16(), passed.as_u16()) != (403, 200));
                }
            })
            .await;
        }
        file.write_all(last).unwrap();
        drop(file);
        in_force(&proxy, new, old).await;
    }
    let figures =
        format!("({asked} requests while {halves} halves were read and refused, {other} by other rules)");
    Seen::judged(other == 0 && asked > 0 && proxy.running(), "one whole set at any time", figures)
}

async fn each_second() -> Measured {
    let seconds = size(5, 600);
    let (origin, proxy) = start().await;
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..4 {
        let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
        let client = Client::new(Entry::HttpProxy, &proxy);
        tasks.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let mut connection = client.https("origin.test", Http::BOTH[number % 2]).await.unwrap();
                for _ in 0..20 {
                    let answer = connection.send(get("https://origin.test/?q=harmless")).await;
                    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, HELLO));
                    served.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    let (mut before, mut turns) = (0, 0);
    let mut again = tokio::time::interval(Duration::from_secs(1));
    for turn in 0..seconds {
        again.tick().await;
        let (new, old) = if turn % 2 == 0 { ("beta", "alpha") } else { ("alpha", "beta") };
        replace(&proxy, "own.json", &rule(new));
        proxy.signal(Signal::SIGHUP);
        in_force(&proxy, new, old).await;
        turns += 1;
        if turn == 1 {
            // Two sets live side by side while one is built: from here on nothing more may come.
            before = proxy.rss();
        }
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let grown = proxy.rss().saturating_sub(before);
    let served = served.load(Ordering::Relaxed);
    let arrived = origin.seen().iter().filter(|seen| seen.target.ends_with("harmless")).count();
    let figures = format!("({turns} reloads, {served} requests, {} KiB)", grown >> 10);
    let good = served == arrived && served > turns && grown < 64 << 20;
    Seen::judged(good, "nothing dropped, nothing kept", figures).grown(grown)
}

/// A proxy whose state is in a folder of its own, where a file lies already.
async fn with_state(file: &str, text: &str) -> (Proxy, crate::support::origin::Origin) {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let setup = Setup::new();
    let state = setup.dir().join("state");
    fs::create_dir(&state).unwrap();
    fs::write(state.join(file), text).unwrap();
    let setup = setup.config(&format!("state_dir = {:?}", state.display().to_string()));
    (setup.origin(&origin).start().await, origin)
}

async fn later_table() -> Seen {
    let mut told = Vec::new();
    for text in [
        r#"{"version":2,"cases":[],"more":{"of":"it"}}"#,
        r#"{"version":1,"cases":[],"a_later_key":true}"#,
        r#"{"version":1,"cases":["#,
    ] {
        let (mut proxy, _origin) = with_state("clients.json", text).await;
        proxy.stderr.line("that it is not used", |line| line.contains("clients.json")).await;
        let answer = Client::new(Entry::HttpProxy, &proxy).get(Http::H1, "https://origin.test/").await;
        proxy.signal(Signal::SIGTERM);
        let ended = proxy.ended().await.success();
        let kept = fs::read_to_string(proxy.dir().join("state/clients.json.unread")).unwrap_or_default();
        told.push((answer.status.as_u16(), ended, kept == text));
    }
    let figures = format!("({told:?})");
    Seen::judged(told.iter().all(|told| *told == (200, true, true)), "not read, kept, said", figures)
}

async fn later_key() -> Seen {
    let mut told = Vec::new();
    for config in [
        "[limits]\nheader_time = \"5s\"\na_later_limit = 3\n",
        "[a_later_part]\non = true\n",
        "version = 2\n",
    ] {
        let refused = Setup::new().config(config).refused();
        let key = config
            .split(['\n', '[', ']', ' '])
            .find(|word| word.contains("later") || *word == "version")
            .unwrap();
        let placed = refused.stderr.contains("portward.toml:") && refused.stderr.contains(key);
        told.push((refused.code, placed, refused.stderr.lines().next().unwrap_or_default().to_owned()));
    }
    let figures = format!("({})", told[0].2);
    let good = told.iter().all(|(code, placed, _)| *code == Some(2) && *placed);
    Seen::judged(good, "refused with its place", if good { figures } else { format!("{told:?}") })
}

async fn later_rules() -> Seen {
    let file = rule("alpha").replacen("{\"name\"", "{\"a_later_key\":[1],\"name\"", 1);
    let setup = Setup::new().file("own.json", &file);
    assert!(file.contains("a_later_key"), "{file}");
    let refused = setup.args(["--rules", "{dir}/own.json"]).refused();
    let placed = refused.stderr.contains("own.json:1:") && refused.stderr.contains("a_later_key");
    let line = refused.stderr.lines().find(|line| line.contains("own.json")).unwrap_or_default();
    let figures = format!("(exit {:?}: {line})", refused.code);
    Seen::judged(placed && refused.code == Some(2), "refused with its place", figures)
}

/// Logs are only ever added to: what another release wrote in them stays, and what we add can be read.
async fn other_lines() -> Seen {
    const LATER: &str = "{\"kind\":\"a_later_kind\",\"time\":\"2031-01-01T00:00:00.000Z\",\"id\":7}\n";
    let origin = Spec::tls(&["origin.test"]).start().await;
    let home = tempfile::tempdir().unwrap();
    let (audit, ca) = (home.path().join("audit.jsonl"), home.path().join("ca"));
    fs::write(&audit, LATER).unwrap();
    let mut told = Vec::new();
    for life in 0..2 {
        let setup = Setup::new().ca(&ca).audit_log(audit.to_str().unwrap());
        let mut proxy = setup.origin(&origin).start().await;
        let url = format!("https://origin.test/{life}");
        assert_eq!(Client::new(Entry::HttpProxy, &proxy).get(Http::H1, &url).await.text(), HELLO);
        let record = proxy.record("ours", |r| r["url"] == url.as_str()).await;
        // Which is found among the others.
        let found =
            portward(&["explain", record["id"].as_str().unwrap(), "--audit-log", audit.to_str().unwrap()]);
        told.push(found.status.code());
        proxy.signal(Signal::SIGTERM);
        proxy.ended().await;
        fs::OpenOptions::new().append(true).open(&audit).unwrap().write_all(LATER.as_bytes()).unwrap();
    }
    let text = fs::read_to_string(&audit).unwrap();
    let kept = text.starts_with(LATER) && text.matches("a_later_kind").count() == 3;
    let verify = portward(&["ca", "log", "verify", "--ca", ca.to_str().unwrap()]);
    let figures =
        format!("(explain exits {told:?}, the mint log of two lives verifies: {:?})", verify.status.code());
    Seen::judged(kept && verify.status.success() && told == [Some(0), Some(0)], "gone on behind", figures)
}
