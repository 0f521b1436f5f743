//! The process killed while it writes, and started again at once (F39): it is back within seconds, and nothing that
//! it keeps is torn.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{Case, Measured, Seen, size};
use crate::support::client::{Client, Entry, get};
use crate::support::origin::{HELLO, Origin, Spec};
use crate::support::proxy::{Proxy, Setup, portward};
use crate::support::{Http, own_ip, until};

const BACK: &str = "back at once, nothing torn";

/// Processor time until the proxy listens again; how long that takes by the clock is told, and is a matter of what else
/// the machine does. Six clients are at it as soon as it listens, and what they ask for is in it: 0.4 s is usual, 3 s were seen.
/// A debug build compiles the rules slowly.
const START: Duration =
    if cfg!(debug_assertions) { Duration::from_secs(60) } else { Duration::from_secs(10) };

pub fn cases() -> Vec<Case> {
    vec![Case::new("F39", "kill -9 in the middle of writing, and a start", BACK, kills)]
}

async fn start(home: &Path, listen: &str, origin: &Origin) -> Proxy {
    let state = format!("state_dir = {:?}", home.join("state").display().to_string());
    let setup = Setup::new().config(&state).ca(home.join("ca")).listen(&[listen]);
    let audit = home.join("audit.jsonl").display().to_string();
    let everything = format!("*:443:127.0.0.1:{}", origin.addr.port());
    setup.audit_log(&audit).args(["--resolve", &everything]).start().await
}

/// Keeps the logs busy: new names mint leaves, and each request writes a record.
async fn busy(client: Client, number: u64, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        let host = format!("n{number}x{}.kill.test", turn % 50);
        turn += 1;
        // Killed in the middle of anything.
        let Ok(mut connection) = client.https(&host, Http::H1).await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        for _ in 0..5 {
            let Ok(answer) = connection.try_send(get(&format!("https://{host}/{turn}"))).await else { break };
            assert_eq!(answer.text(), HELLO);
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn kills() -> Measured {
    let many = size(5, 200);
    let origin = Spec::tls(&["*.kill.test"]).start().await;
    let home = tempfile::tempdir().unwrap();
    // An address of its own: the port is not given to anybody else between two lives.
    let mut proxy = start(home.path(), &format!("{}:0", own_ip()), &origin).await;
    let listen = proxy.addr().to_string();
    let root = std::fs::read(proxy.ca_pem()).unwrap();
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..6 {
        let client = Client::new(Entry::HttpProxy, &proxy);
        tasks.spawn(busy(client, number, Arc::clone(&stop), Arc::clone(&done)));
    }
    let (mut starts, mut work) = (Vec::new(), Duration::ZERO);
    let mut at = 0x2545_f491_4f6c_dd1du64;
    for _ in 0..many {
        let served = done.load(Ordering::Relaxed);
        until("traffic", || (done.load(Ordering::Relaxed) > served + 20).then_some(())).await;
        // Somewhere in the middle: where is a matter of chance, and different each time.
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        tokio::time::sleep(Duration::from_millis(at >> 58)).await;
        proxy.signal(Signal::SIGKILL);
        proxy.ended().await;
        let began = Instant::now();
        proxy = start(home.path(), &listen, &origin).await;
        starts.push(began.elapsed());
        work = work.max(Duration::from_secs_f64(proxy.cpu()));
    }
    let served = done.load(Ordering::Relaxed);
    until("traffic after the last", || (done.load(Ordering::Relaxed) > served + 20).then_some(())).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.ended().await.success());
    let (records, torn) = records(&home.path().join("audit.jsonl"));
    let ca = home.path().join("ca");
    let verify = portward(&["ca", "log", "verify", "--ca", ca.to_str().unwrap()]);
    let same = std::fs::read(ca.join("root.pem")).unwrap() == root;
    let table = std::fs::read(home.path().join("state/clients.json")).unwrap_or_default();
    let table = serde_json::from_slice::<Value>(&table).is_ok();
    let served = done.load(Ordering::Relaxed);
    starts.sort();
    let (middle, slowest) = (starts[many / 2], starts[many - 1]);
    let figures = format!(
        "({many} kills, {served} served, {records} records, {torn} lines cut short, mint log verifies: {:?}, starts in \
         {middle:.2?}, {slowest:.2?} at most, with {work:.2?} of a processor at most)",
        verify.status.code()
    );
    // What waited to be written is lost with the process, 20 ms at most; a line is cut at most where it was killed.
    let good = torn <= many && records > 0 && verify.status.success() && same && table;
    Seen::judged(good && work < START, BACK, figures).recovered(slowest)
}

/// Whole records, each of its own, and lines that were cut: nothing else may be there.
fn records(log: &Path) -> (usize, usize) {
    let text = std::fs::read_to_string(log).unwrap();
    let (mut ids, mut torn) = (HashSet::new(), 0);
    for line in text.lines() {
        match serde_json::from_str::<Value>(line) {
            Ok(record) if record["kind"] == "gap" => {}
            Ok(record) => assert!(ids.insert(record["id"].as_str().unwrap().to_owned()), "twice: {line}"),
            // The front of a record, and nothing glued to it.
            Err(_) => {
                assert!(line.starts_with("{\"id\":") && line.matches("{\"id\":").count() == 1, "{line}");
                torn += 1;
            }
        }
    }
    (ids.len(), torn)
}
