//! Every client that a person may have works: inside `portward exec` with nothing installed, or after `portward trust
//! install`. Each is proved both ways: it gets its answer, the origin saw it come, and without the trust it fails.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::clients::{Client, Ground, Stores, isolated};
use crate::support::origin::Spec;
use crate::support::peer::{Ended, Said, run};
use crate::support::proxy::{PORTWARD, Setup};

#[tokio::test(flavor = "multi_thread")]
async fn curl_and_wget_work_inside_exec() {
    let ground = Ground::new().await;
    ground.needs_exec(&ground.curl()).await;
    ground.needs_exec(&ground.wget()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wget_keeps_its_users_settings_inside_exec() {
    let ground = Ground::new().await;
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(".wgetrc"), "user_agent = settings-of-the-user\n").unwrap();
    let (ca, url) = (ground.proxy.ca_dir(), format!("http://{}", ground.proxy.addr()));
    let words = [PORTWARD, "exec", "--ca", ca.to_str().unwrap(), "--proxy", &url, "--"];
    ground.works(&ground.wget(), &words, &[], home.path()).await;
    assert_eq!(ground.site.seen()[0].headers["user-agent"], "settings-of-the-user");
}

#[tokio::test(flavor = "multi_thread")]
async fn git_clones_inside_exec() {
    let ground = Ground::new().await;
    ground.needs_exec(&ground.git()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_and_pip_work_inside_exec() {
    let ground = Ground::new().await;
    ground.needs_exec(&ground.urllib()).await;
    ground.needs_exec(&ground.requests()).await;
    ground.needs_exec(&ground.pip()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_and_npm_work_inside_exec() {
    let ground = Ground::new().await;
    ground.needs_exec(&ground.node()).await;
    ground.needs_exec(&ground.npm()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn java_works_inside_exec() {
    let ground = Ground::new().await;
    ground.needs_exec(&ground.java()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_tells_a_stranger_on_the_port_from_the_portward_with_this_ca() {
    let ground = Ground::new().await;
    let home = tempfile::tempdir().unwrap();
    let stranger = Setup::new().start().await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let not_tls = Spec::plain().start().await;
    for (addr, ours) in [
        (ground.proxy.addr(), true),
        (stranger.addr(), false),
        (not_tls.addr, false),
        (silent.local_addr().unwrap(), false),
    ] {
        let (ca, url) = (ground.proxy.ca_dir(), format!("http://{addr}"));
        let args = ["exec", "--ca", ca.to_str().unwrap(), "--proxy", &url, "--", "echo", "ran"];
        let said = run(isolated(PORTWARD, home.path(), &args)).await.ok();
        assert_eq!(said.text(), "ran\n");
        assert_eq!(!said.stderr.contains("does not prove to be"), ours, "{addr}: {}", said.stderr);
    }
}

/// `portward trust VERB` for the ground's CA, behind `words`.
async fn trust(ground: &Ground, words: &[String], home: &Path, verb: &[&str]) -> Said {
    let ca = ground.proxy.ca_dir();
    let mut all: Vec<&str> = words.iter().map(String::as_str).collect();
    all.extend([PORTWARD, "trust", "--ca", ca.to_str().unwrap()]);
    all.extend(verb);
    run(isolated(all[0], home, &all[1..])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_uses_the_systems_store_works_after_trust_install_and_not_before_or_after() {
    let ground = Ground::new().await;
    let stores = Stores::new();
    let inside = stores.inside();
    let words: Vec<&str> = inside.iter().map(String::as_str).collect();
    let home = tempfile::tempdir().unwrap();
    let proxy = ground.proxy_only();
    let clients = [
        ground.curl(),
        ground.wget(),
        ground.git(),
        ground.urllib(),
        ground.requests(),
        ground.pip(),
        ground.java(),
    ];
    for client in &clients {
        ground.fails(client, &words, &proxy, home.path()).await;
    }
    let said = trust(&ground, &inside, home.path(), &["install", "--store", "system,java"]).await.ok().text();
    assert_eq!(said.matches("proved by a TLS handshake of").count(), 2, "{said}");
    for client in &clients {
        ground.works(client, &words, &proxy, home.path()).await;
    }
    trust(&ground, &inside, home.path(), &["remove", "--store", "system,java"]).await.ok();
    for client in [ground.curl(), ground.git(), ground.java()] {
        ground.fails(&client, &words, &proxy, home.path()).await;
    }
}

/// Opens a page of the origin without a window, as this home's user.
fn browse(home: &Path, client: &Client) -> Ended {
    let mut command = isolated("sh", home, &["-c", &format!("exec {}", client.line)]);
    // A group: a browser's helpers would outlive it.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ended(command.spawn().unwrap())
}

/// Looks again until there is something: a browser's start takes longer than any other step of a test.
async fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let started = std::time::Instant::now();
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(started.elapsed() < Duration::from_secs(90), "{what} did nothing");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The browser must show the page: it asks the origin for it.
async fn trusts(ground: &Ground, home: &Path, client: &Client) {
    ground.site.forget();
    let _browser = browse(home, client);
    eventually(client.name, || ground.site.saw(client.asks).then_some(())).await;
    println!("{:<16} after trust install: works", client.name);
}

/// The browser must end the handshake itself, and the origin is not asked.
async fn distrusts(ground: &Ground, home: &Path, client: &Client) {
    ground.site.forget();
    let before = ground.proxy.audit().len();
    let _browser = browse(home, client);
    let refused = |record: &&serde_json::Value| {
        record["target"] == "origin.test:443" && record["kind"] == "connect" && record["verdict"] == "failed"
    };
    let record =
        eventually(client.name, || ground.proxy.audit().into_iter().skip(before).find(|r| refused(&r))).await;
    assert!(!ground.site.saw(client.asks), "{} trusts a CA that nobody gave it", client.name);
    println!("{:<16} without trust: {}", client.name, record["sentence"]);
}

fn chromium(ground: &Ground, home: &Path) -> Client {
    let line = format!(
        "chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync \
         --disable-background-networking --disable-component-update --disable-default-apps --disable-extensions \
         --disable-dev-shm-usage --virtual-time-budget=10000 --user-data-dir='{}' --proxy-server=http://{} \
         --dump-dom https://origin.test/chromium",
        home.join("chromium").display(),
        ground.proxy.addr()
    );
    Client { name: "Chromium", line, says: "", asks: "/chromium" }
}

fn firefox(home: &Path) -> Client {
    let profile = home.join(".mozilla/firefox/test.default");
    let line = format!(
        "firefox-esr --headless --no-remote --profile '{}' --screenshot '{}' https://origin.test/firefox",
        profile.display(),
        home.join("page.png").display()
    );
    Client { name: "Firefox ESR", line, says: "", asks: "/firefox" }
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_and_firefox_work_after_trust_install_and_not_before_or_after() {
    let ground = Ground::new().await;
    let home = tempfile::tempdir().unwrap();
    let profile = home.path().join(".mozilla/firefox/test.default");
    fs::create_dir_all(&profile).unwrap();
    let addr = ground.proxy.addr();
    let prefs = format!(
        "user_pref('network.proxy.type', 1);\nuser_pref('network.proxy.ssl', '{0}');\nuser_pref('network.proxy.ssl_port', {1});\n\
         user_pref('network.proxy.http', '{0}');\nuser_pref('network.proxy.http_port', {1});\n\
         user_pref('browser.shell.checkDefaultBrowser', false);\nuser_pref('app.update.enabled', false);\n\
         user_pref('datareporting.policy.dataSubmissionEnabled', false);\nuser_pref('browser.aboutwelcome.enabled', false);\n\
         user_pref('network.captive-portal-service.enabled', false);\nuser_pref('network.connectivity-service.enabled', false);\n\
         user_pref('browser.region.update.enabled', false);\nuser_pref('services.settings.server', 'data:,');\n\
         user_pref('security.pki.mitm_canary_issuer.enabled', false);\nuser_pref('toolkit.telemetry.server', '');\n",
        addr.ip(),
        addr.port()
    );
    fs::write(profile.join("user.js"), prefs).unwrap();
    let browsers = [chromium(&ground, home.path()), firefox(home.path())];
    // The first start of Firefox makes its database.
    for browser in &browsers {
        distrusts(&ground, home.path(), browser).await;
    }
    let said = trust(&ground, &[], home.path(), &["install", "--store", "nss"]).await.ok().text();
    assert_eq!(said.matches("proved by a TLS handshake of NSS").count(), 2, "{said}");
    for browser in &browsers {
        trusts(&ground, home.path(), browser).await;
    }
    trust(&ground, &[], home.path(), &["remove", "--store", "nss"]).await.ok();
    for browser in &browsers {
        distrusts(&ground, home.path(), browser).await;
    }
}
