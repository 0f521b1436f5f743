//! Told to stop, the proxy finishes what it began and begins nothing more; told twice, it stops at once.

use std::time::Instant;

use http_body_util::BodyExt;
use nix::sys::signal::Signal;
use tokio::net::TcpStream;

use crate::support::client::{Client, Entry, get};
use crate::support::origin::{EVENTS, HELLO, Spec};
use crate::support::proxy::Setup;
use crate::support::{Http, own_ip, until, within};

#[tokio::test(flavor = "multi_thread")]
pub async fn an_exchange_under_way_is_finished_before_the_end() {
    for http in Http::BOTH {
        let origin = Spec::tls(&["origin.test"]).start().await;
        // An address of its own: its port is nobody's when it has closed it.
        let listen = format!("{}:0", own_ip());
        let mut proxy = Setup::new().listen(&[&listen]).origin(&origin).start().await;
        let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", http).await.unwrap();
        let response = connection.start(get("https://origin.test/sse")).await.unwrap();
        let mut body = response.into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), EVENTS[0].as_bytes());
        proxy.signal(Signal::SIGTERM);
        // From now on nobody new is let in.
        until("the listener to close", || std::net::TcpStream::connect(proxy.addr()).is_err().then_some(()))
            .await;
        assert!(proxy.running(), "{http:?}: it left in the middle of an answer");
        origin.release();
        let second = within("the rest of the answer", body.collect()).await.unwrap().to_bytes();
        assert_eq!(second, EVENTS[1].as_bytes(), "{http:?}");
        let status = proxy.ended().await;
        assert!(status.success(), "{http:?}: {status}");
        let records: Vec<_> = proxy.audit().into_iter().filter(|r| r["kind"] == "exchange").collect();
        assert_eq!(records.len(), 1, "{records:#?}");
        assert_eq!(records[0]["verdict"], "passed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_hold_up_the_end() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let mut proxy = Setup::new().origin(&origin).start().await;
    let mut held = Vec::new();
    for number in 0..10 {
        let mut connection =
            Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::BOTH[number % 2]).await.unwrap();
        assert_eq!(connection.send(get("https://origin.test/")).await.text(), HELLO);
        held.push(connection);
    }
    let silent = TcpStream::connect(proxy.addr()).await.unwrap();
    let started = Instant::now();
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.ended().await.success());
    assert!(started.elapsed().as_secs() < 25, "idle connections held it for {:?}", started.elapsed());
    drop((held, silent));
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_second_signal_ends_at_once_and_still_writes_the_records() {
    for second in [Signal::SIGTERM, Signal::SIGINT] {
        let origin = Spec::tls(&["origin.test"]).start().await;
        // An address of its own: its port is nobody's when it has closed it.
        let listen = format!("{}:0", own_ip());
        let mut proxy = Setup::new().listen(&[&listen]).origin(&origin).start().await;
        let mut connection =
            Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H1).await.unwrap();
        let response = connection.start(get("https://origin.test/sse")).await.unwrap();
        proxy.signal(Signal::SIGTERM);
        until("the listener to close", || std::net::TcpStream::connect(proxy.addr()).is_err().then_some(()))
            .await;
        let started = Instant::now();
        proxy.signal(second);
        proxy.ended().await;
        assert!(started.elapsed().as_secs() < 20, "{second}: {:?}", started.elapsed());
        drop(response);
        let records: Vec<_> = proxy.audit().into_iter().filter(|r| r["kind"] == "exchange").collect();
        assert_eq!(records.len(), 1, "{second}: the cut exchange has its record");
    }
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_drain_ends_at_its_deadline() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let mut proxy = Setup::new().config("[limits]\ndrain_time = \"500ms\"").origin(&origin).start().await;
    let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H2).await.unwrap();
    let response = connection.start(get("https://origin.test/sse")).await.unwrap();
    let started = Instant::now();
    proxy.signal(Signal::SIGTERM);
    proxy.ended().await;
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    drop(response);
    let record = proxy.record("the cut exchange", |r| r["kind"] == "exchange").await;
    assert_eq!(record["verdict"], "failed", "{record}");
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_restart_takes_over_address_and_ca_at_once() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let home = tempfile::tempdir().unwrap();
    let ca = home.path().join("ca");
    let mut addr = format!("{}:0", own_ip());
    let mut served = 0;
    for life in 0..3 {
        // The same address and the same CA, at once: no waiting for old connections.
        let mut proxy = Setup::new().ca(&ca).listen(&[&addr]).origin(&origin).start().await;
        addr = proxy.addr().to_string();
        for turn in 0..10 {
            let url = format!("https://origin.test/{life}/{turn}");
            assert_eq!(Client::new(Entry::HttpProxy, &proxy).get(Http::H1, &url).await.text(), HELLO);
            served += 1;
        }
        proxy.signal(Signal::SIGTERM);
        assert!(proxy.ended().await.success());
    }
    assert_eq!((served, origin.seen().len()), (30, 30));
}
