//! Every client that a person may have works: inside `portward exec` with nothing installed, or after `portward trust
//! install`. Each is proved both ways: it gets its answer, the origin saw it come, and without the trust it fails.

use std::fs;

use crate::support::clients::{Client, Ground, Stores, isolated};
use crate::support::peer::{Said, run};
use crate::support::proxy::PORTWARD;

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

/// `portward trust VERB` for the ground's CA, behind `words`.
async fn trust(ground: &Ground, words: &[String], home: &std::path::Path, verb: &[&str]) -> Said {
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

/// A browser that opens one page of the origin, without a window, as this home's user.
async fn browse(ground: &Ground, home: &std::path::Path, client: &Client) -> Said {
    run(isolated("sh", home, &["-c", &client.line])).await.also(&ground.site, client)
}

trait Also {
    fn also(self, site: &crate::support::site::Site, client: &Client) -> Said;
}

impl Also for Said {
    /// Tells what the browser did.
    fn also(self, site: &crate::support::site::Site, client: &Client) -> Said {
        println!(
            "{:<16} the origin was {}",
            client.name,
            if site.saw(client.asks) { "asked" } else { "not asked" }
        );
        self
    }
}

fn chromium(ground: &Ground, home: &std::path::Path) -> Client {
    let line = format!(
        "chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync \
         --disable-background-networking --disable-component-update --disable-default-apps --disable-extensions \
         --disable-dev-shm-usage --virtual-time-budget=10000 --user-data-dir='{}' --proxy-server=http://{} \
         --dump-dom https://origin.test/chromium",
        home.join("chromium").display(),
        ground.proxy.addr()
    );
    Client { name: "Chromium", line, says: "a page of the origin", asks: "/chromium" }
}

fn firefox(home: &std::path::Path) -> Client {
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
         user_pref('network.captive-portal-service.enabled', false);\nuser_pref('network.connectivity-service.enabled', false);\n",
        addr.ip(),
        addr.port()
    );
    fs::write(profile.join("user.js"), prefs).unwrap();
    let browsers = [chromium(&ground, home.path()), firefox(home.path())];
    // The first start of Firefox makes its database; neither gets a page.
    for browser in &browsers {
        browse(&ground, home.path(), browser).await;
        assert!(!ground.site.saw(browser.asks), "{} trusts a CA that nobody gave it", browser.name);
    }
    let said = trust(&ground, &[], home.path(), &["install", "--store", "nss"]).await.ok().text();
    assert_eq!(said.matches("proved by a TLS handshake of NSS").count(), 2, "{said}");
    for browser in &browsers {
        let said = browse(&ground, home.path(), browser).await.ok();
        assert!(said.text().contains(browser.says), "{}: {}", browser.name, said.text());
        assert!(ground.site.saw(browser.asks), "{}: {:?}", browser.name, said.stderr);
    }
    trust(&ground, &[], home.path(), &["remove", "--store", "nss"]).await.ok();
    ground.site.forget();
    for browser in &browsers {
        browse(&ground, home.path(), browser).await;
        assert!(!ground.site.saw(browser.asks), "{} still trusts it", browser.name);
    }
}
