//! The TLS key log: whoever asks for it by name can read a recording of both legs, and everybody is told so.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::client::{Client, Connection, Entry, get};
use crate::support::door::Door;
use crate::support::origin::Spec;
use crate::support::pcap::pcap;
use crate::support::proxy::{Setup, portward};
use crate::support::relay::{Heard, Relay};
use crate::support::{Http, Tls, peer};

/// What tshark reads of HTTP in a recording, with or without the secrets.
async fn read(dir: &Path, heard: &Heard, keys: Option<&Path>) -> String {
    let file = dir.join("recording.pcap");
    std::fs::write(&file, pcap(heard)).unwrap();
    let mut command = peer::command("tshark");
    command.arg("-r").arg(&file).args([
        "-Y",
        "http",
        "-T",
        "fields",
        "-e",
        "http.request.uri",
        "-e",
        "http.response.code",
    ]);
    if let Some(keys) = keys {
        command.arg("-o").arg(format!("tls.keylog_file:{}", keys.display()));
    }
    command.env("HOME", dir);
    peer::run(command).await.ok().text().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn wireshark_reads_a_recording_of_each_leg_with_the_key_log() {
    for version in Tls::BOTH {
        let origin = Spec::tls(&["origin.test"]).versions(&[version]).start().await;
        let behind = Relay::start(origin.addr).await;
        let setup =
            Setup::new().route("origin.test", 443, behind.addr).args(["--tls-key-log", "{dir}/keys.log"]);
        let proxy = setup.start().await;
        let client = Client::new(Entry::HttpProxy, &proxy).versions(&[version]);
        let door = Door::to(client.clone(), "origin.test").await;
        let before = Relay::start(door.addr).await;
        let socket = Box::new(tokio::net::TcpStream::connect(before.addr).await.unwrap());
        let stream = client.tls_over(socket, "origin.test", &[Http::H1]).await.unwrap();
        let mut connection = Connection::over(stream, Http::H1).await;
        assert_eq!(connection.send(get("https://origin.test/secret?path")).await.status, 200);

        let keys = proxy.dir().join("keys.log");
        assert_eq!(std::fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o600);
        for (leg, relay) in [("client", &before), ("origin", &behind)] {
            let heard = relay.heard();
            assert_eq!(read(proxy.dir(), &heard, None).await, "", "{leg} {version:?}: it is encrypted");
            let seen = read(proxy.dir(), &heard, Some(&keys)).await;
            assert_eq!(seen, "/secret?path 200", "{leg} {version:?}");
        }
        // Whoever looks knows: at the start, and for each request.
        proxy.stdout.line("the banner", |line| line.contains("KEYS") && line.contains("keys.log")).await;
        let record = proxy.record("the request", |r| r["status"] == 200).await;
        assert_eq!(record["keys_logged"], true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_variable_alone_logs_no_keys() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let setup = Setup::new().origin(&origin);
    let keys = setup.dir().join("keys.log");
    let proxy = setup.behind(["env".to_owned(), format!("SSLKEYLOGFILE={}", keys.display())]).start().await;
    let answer = Client::new(Entry::HttpProxy, &proxy).get(Http::H1, "https://origin.test/").await;
    assert_eq!(answer.status, 200);
    let record = proxy.record("the request", |r| r["status"] == 200).await;
    assert!(record.get("keys_logged").is_none() && !keys.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_log_that_others_can_read_is_refused_and_check_tells_of_one() {
    let setup = Setup::new().file("keys.log", "").args(["--tls-key-log", "{dir}/keys.log"]);
    std::fs::set_permissions(setup.dir().join("keys.log"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = setup.refused();
    assert!(refused.stderr.contains("fix: chmod 600"), "{}", refused.stderr);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("portward.toml");
    std::fs::write(&file, "[tls]\nkey_log = \"keys.log\"\n").unwrap();
    let checked =
        portward(&["check", "--config", file.to_str().unwrap(), "--ca", dir.path().to_str().unwrap()]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        said.contains("key_log = ") && said.contains("keys.log"),
        "{said} {}",
        String::from_utf8_lossy(&checked.stderr)
    );
}
