//! The doctor of this installation: who holds the port, whether the CA holds, and which programs' variables do not.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::{Desk, Report};
use crate::support::Closed;
use crate::support::origin::Raw;
use crate::support::peer::Ended;
use crate::support::proxy::Setup;

/// The doctor of an installation that listens there.
async fn here(desk: &Desk, listen: SocketAddr) -> Report {
    desk.ask(&["--listen", &listen.to_string(), "--audit-log", desk.path("audit.jsonl").to_str().unwrap()])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_the_port_is_told_from_portward() {
    let (desk, closed) = (Desk::new().await, Closed::new());
    let report = here(&desk, closed.addr).await;
    assert_eq!(report.marked("fail"), ["not_running"], "{:#}", report.json);
    assert!(report.advice("not_running").contains("portward run"));
    for code in ["configuration_ok", "rules_ok", "roots_ok", "ca_ok", "clock_ok", "disk_ok"] {
        report.finding(code);
    }

    let proxy = Setup::new().ca(desk.ca()).start().await;
    let report = here(&desk, proxy.addr()).await;
    assert_eq!(report.marked("fail"), [""; 0], "{:#}", report.json);
    let running = report.finding("running");
    assert!(
        running["data"]["holder"].as_str().unwrap().contains(&format!("pid {}", proxy.pid())),
        "{running:#}"
    );

    let other = Setup::new().start().await;
    let report = here(&desk, other.addr()).await;
    assert_eq!(report.marked("fail"), ["other_ca"], "{:#}", report.json);

    let stranger = Raw::plain(|mut wire, _| async move {
        // A ClientHello or a request; read to its end, for a close before that is a reset.
        wire.read().await;
        wire.write("HTTP/1.1 200 OK\r\nserver: nginx\r\n\r\n").await;
        wire.shutdown().await;
        wire.drained().await;
    })
    .await;
    let report = here(&desk, stranger.addr).await;
    assert_eq!(report.marked("fail"), ["stranger_on_port"], "{:#}", report.json);
    let pid = format!("pid {}", std::process::id());
    assert!(report.finding("stranger_on_port")["text"].as_str().unwrap().contains(&pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_others_can_read_and_one_that_is_not_there_are_told_with_the_way_out() {
    let (desk, closed) = (Desk::new().await, Closed::new());
    std::fs::set_permissions(desk.ca().join("root.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let report = here(&desk, closed.addr).await;
    assert_eq!(report.finding("ca_unusable")["mark"], "fail");
    assert!(report.advice("ca_unusable").contains("chmod 600"), "{:#}", report.json);
    std::fs::remove_dir_all(desk.ca()).unwrap();
    let report = here(&desk, closed.addr).await;
    assert_eq!(report.finding("no_ca")["mark"], "warn");
    assert!(!desk.ca().exists(), "looking makes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_that_contradict_each_other_are_found_here_and_in_running_programs() {
    let closed = Closed::new();
    let dead = format!("http://user:s3cret@{}", closed.addr);
    let desk = Desk::new()
        .await
        .env("https_proxy", &dead)
        .env("HTTPS_PROXY", "http://elsewhere.test:3128")
        .env("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem");
    let missing = desk.path("gone.pem").display().to_string();
    let program = Command::new("sleep").arg("60").env("NODE_EXTRA_CA_CERTS", &missing).spawn().unwrap();
    let waiting = Ended(program);
    let environ = PathBuf::from(format!("/proc/{}/environ", waiting.0.id()));
    let started =
        || std::fs::read(&environ).ok().filter(|text| text.windows(19).any(|w| w == b"NODE_EXTRA_CA_CERTS"));
    crate::support::until("the program's variables", started).await;
    let report = here(&desk, closed.addr).await;
    report.finding("environment_disagrees");
    report.finding("environment_dead_proxy");
    let told = report.finding("environment_missing_file")["text"].as_str().unwrap();
    assert!(told.contains("REQUESTS_CA_BUNDLE names /no/such/bundle.pem"), "{told}");
    let pid = format!("sleep (pid {})", waiting.0.id());
    let other = report
        .findings()
        .find(|f| f["data"]["programs"].as_array().is_some_and(|all| all.contains(&pid.as_str().into())));
    assert!(
        other.is_some_and(|f| f["mark"] == "warn" && f["text"].as_str().unwrap().contains(&missing)),
        "{:#}",
        report.json
    );
    assert!(!report.json.to_string().contains("s3cret"), "a password is shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_sees_elsewhere_is_not_called_missing_here() {
    let (desk, closed) = (Desk::new().await, Closed::new());
    // Relative to its own folder, and inside of a container.
    std::fs::create_dir(desk.path("app")).unwrap();
    std::fs::write(desk.path("app/roots.pem"), "").unwrap();
    let mut relative = Command::new("sleep");
    relative.arg("60").current_dir(desk.path("app")).env("SSL_CERT_FILE", "roots.pem");
    let mut contained = Command::new("unshare");
    contained.args(["--mount", "sleep", "60"]).env("SSL_CERT_FILE", "/only/in/the/container.pem");
    let mut seen = Command::new("sleep");
    seen.arg("60").env("SSL_CERT_FILE", "/no/such/roots.pem");
    let programs = [relative, contained, seen].map(|mut command| Ended(command.spawn().unwrap()));
    let pids = programs.each_ref().map(|program| program.0.id());
    crate::support::until("the programs to run", || {
        let runs = |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap().starts_with(b"sleep");
        pids.iter().all(runs).then_some(())
    })
    .await;
    let said = here(&desk, closed.addr).await.json.to_string();
    for (pid, named) in pids.into_iter().zip([false, false, true]) {
        assert_eq!(said.contains(&format!("(pid {pid})")), named, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_that_cannot_be_used_is_not_told_as_missing_roots() {
    let config =
        "[[origin.client_certificates]]\nhosts = [\"a.test\"]\ncertificate = \"bad\"\nkey = \"bad\"\n";
    let (desk, closed) = (Desk::new().await.config(config), Closed::new());
    std::fs::write(desk.path("bad"), "no certificate").unwrap();
    let report = here(&desk, closed.addr).await;
    assert_eq!(report.finding("client_certificate_unusable")["mark"], "fail");
    let report = desk.ask(&["a.test", "--resolve", "a.test:127.0.0.1"]).await;
    assert_eq!(report.finding("client_certificate_unusable")["mark"], "fail");
}
