//! Other people's clients and servers, as Debian ships them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use crate::connect::gateway;
use crate::support::Http;
use crate::support::attack::receipt;
use crate::support::netns::{NetLab, ORIGIN, Redirect};
use crate::support::nginx::Nginx;
use crate::support::origin::{HELLO, Origin, PAGE, Spec};
use crate::support::peer::{Said, bare, command, run};
use crate::support::pki;
use crate::support::proxy::{PORTWARD, Proxy, Setup};

const EVIL: &str = "/item?id=1%20UNION%20SELECT%20password%20FROM%20users--";

async fn pair() -> (Origin, Proxy) {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    (origin, proxy)
}

/// The ways in that curl knows, each with its arguments.
fn curl_entries(proxy: &Proxy) -> Vec<(&'static str, Vec<String>)> {
    let (addr, ca) = (proxy.addr(), proxy.ca_pem().display().to_string());
    vec![
        ("http", vec!["--proxy".into(), format!("http://{addr}")]),
        ("https", vec!["--proxy".into(), format!("https://{addr}"), "--proxy-cacert".into(), ca]),
        ("socks5h", vec!["--socks5-hostname".into(), addr.to_string()]),
    ]
}

async fn curl(proxy: &Proxy, entry: &[String], args: &[&str]) -> Said {
    let mut curl = command("curl");
    curl.args(["-sS", "--max-time", "60", "--cacert"]).arg(proxy.ca_pem()).args(entry).args(args);
    run(curl).await
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_reads_and_is_blocked_through_every_entry_in_both_versions() {
    let (origin, proxy) = pair().await;
    let mut cases = 0;
    for (name, entry) in curl_entries(&proxy) {
        for (version, shown) in [("--http1.1", "1.1"), ("--http2", "2")] {
            let case = format!("{name} {version}");
            let said =
                curl(&proxy, &entry, &[version, "-w", "%{http_version}", "https://origin.test/"]).await.ok();
            assert_eq!(said.text(), format!("{HELLO}{shown}"), "{case}");
            let before = origin.seen().len();
            let url = format!("https://origin.test{EVIL}");
            let said = curl(&proxy, &entry, &[version, "-w", "%{http_code}", &url]).await.ok();
            assert!(
                said.text().ends_with("403") && receipt(&said.text()).is_some(),
                "{case}: {}",
                said.text()
            );
            assert_eq!(origin.seen().len(), before, "{case}: it arrived");
            cases += 1;
        }
    }
    assert_eq!(cases, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_uploads_downloads_and_waits_for_100() {
    let (origin, proxy) = pair().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("upload");
    fs::write(&file, crate::support::origin::pattern(0, 100_000).repeat(30)).unwrap();
    let len = 3_000_000;
    for (name, entry) in curl_entries(&proxy) {
        for version in ["--http1.1", "--http2"] {
            let case = format!("{name} {version}");
            let upload = format!("@{}", file.display());
            let plain = ["-H", "content-type: application/octet-stream"];
            let args =
                [&[version, "--data-binary", &upload][..], &plain, &["https://origin.test/upload"]].concat();
            assert_eq!(curl(&proxy, &entry, &args).await.ok().text(), HELLO, "{case}");
            assert_eq!(origin.seen().pop().unwrap().body_len, len, "{case}");
            // curl sends Expect by itself for a body of this size in HTTP/1.1; and again chunked, from a pipe.
            let args = [
                &[version, "-T", file.to_str().unwrap()][..],
                &plain,
                &["-H", "Expect: 100-continue"],
                &["https://origin.test/put"],
            ]
            .concat();
            assert_eq!(curl(&proxy, &entry, &args).await.ok().text(), HELLO, "{case}");
            let seen = origin.seen().pop().unwrap();
            assert_eq!((seen.method.as_str(), seen.body_len), ("PUT", len), "{case}");
            let out = dir.path().join("download");
            let args = [version, "-o", out.to_str().unwrap(), "https://origin.test/bytes/5000000"];
            curl(&proxy, &entry, &args).await.ok();
            assert!(crate::support::origin::is_pattern(&fs::read(&out).unwrap(), 0), "{case}");
            assert_eq!(fs::metadata(&out).unwrap().len(), 5_000_000, "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_undoes_the_codings_it_asked_for_and_opens_a_websocket() {
    let (origin, proxy) = pair().await;
    for (name, entry) in curl_entries(&proxy) {
        for path in ["/gzip", "/deflate", "/zstd"] {
            let url = format!("https://origin.test{path}");
            assert_eq!(
                curl(&proxy, &entry, &["--compressed", &url]).await.ok().text(),
                PAGE,
                "{name} {path}"
            );
        }
        let upgrade = [
            "--http1.1",
            "-i",
            "-H",
            "Connection: Upgrade",
            "-H",
            "Upgrade: websocket",
            "-H",
            "Sec-WebSocket-Version: 13",
            "-H",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "--max-time",
            "3",
            "https://origin.test/ws",
        ];
        // curl 7.88 has no WebSocket of its own: it shows the 101 and waits until its time is up.
        let said = curl(&proxy, &entry, &upgrade).await;
        assert!(said.text().starts_with("HTTP/1.") && said.text().contains(" 101 "), "{name}: {said:?}");
    }
    assert!(origin.seen().iter().any(|seen| seen.target == "/ws"));
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_is_told_what_is_wrong_with_an_origins_certificate() {
    let origin = Spec::chain(pki::lab().leaf(&["origin.test"], pki::Leaf::Expired)).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    for (name, entry) in curl_entries(&proxy) {
        let said = curl(&proxy, &entry, &["-w", "%{http_code}", "https://origin.test/"]).await.ok();
        assert!(said.text().ends_with("502") && said.text().contains("expired"), "{name}: {}", said.text());
    }
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_in_redirected_traffic_needs_to_know_nothing() {
    for redirect in [Redirect::Nat, Redirect::Tproxy] {
        let net = Arc::new(NetLab::new(redirect, 8443));
        let origin = Spec::tls(&["origin.test"]).on(net.listen(443)).start().await;
        let proxy = gateway(&net, redirect).await;
        for version in ["--http1.1", "--http2"] {
            for (target, code) in [("/", "200"), (EVIL, "403")] {
                let mut curl = bare(net.client_command("curl"));
                curl.args(["-sS", "--max-time", "30", version, "--cacert"]).arg(proxy.ca_pem());
                curl.args(["--resolve", &format!("origin.test:443:{ORIGIN}"), "-w", "%{http_code}"]);
                curl.arg(format!("https://origin.test{target}"));
                let said = run(curl).await.ok();
                assert!(said.text().ends_with(code), "{redirect:?} {version} {target}: {}", said.text());
            }
        }
        assert_eq!(origin.seen().len(), 2, "{redirect:?}: the attacks did not arrive");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_as_origin_serves_through_us_in_both_versions_and_codings() {
    for (number, http) in [(1, Http::H1), (2, Http::H2)] {
        let nginx = Nginx::start(http, number).await;
        let proxy = Setup::new().route("origin.test", 8443, nginx.addr).start().await;
        let page = PAGE.repeat(50);
        for (name, entry) in curl_entries(&proxy) {
            for version in ["--http1.1", "--http2"] {
                let case = format!("{name} {version}, nginx {http:?}");
                for (path, coding) in
                    [("/page.html", "none"), ("/gz/page.html", "gzip"), ("/br/page.html", "br")]
                {
                    let url = format!("https://origin.test:8443{path}");
                    let asked = if coding == "none" { "identity" } else { coding };
                    let accept = format!("Accept-Encoding: {asked}");
                    let plain =
                        curl(&proxy, &entry, &[version, "--compressed", "-H", &accept, &url]).await.ok();
                    assert_eq!(plain.text(), page, "{case} {path}");
                    let head =
                        curl(&proxy, &entry, &[version, "-D", "-", "-o", "/dev/null", "-H", &accept, &url])
                            .await
                            .ok()
                            .text()
                            .to_lowercase();
                    let coded = head.contains(&format!("content-encoding: {coding}"));
                    assert_eq!(coded, coding != "none", "{case} {path}: {head}");
                }
                let url = "https://origin.test:8443/big.bin";
                assert_eq!(
                    curl(&proxy, &entry, &[version, url]).await.ok().stdout.len(),
                    6_000_000,
                    "{case}"
                );
                let url = "https://origin.test:8443/post";
                let posted = curl(&proxy, &entry, &[version, "-d", "a=1&b=2", url]).await.ok();
                assert_eq!(posted.text(), "posted\n", "{case}");
                let url = format!("https://origin.test:8443{EVIL}");
                let blocked = curl(&proxy, &entry, &[version, "-w", "%{http_code}", &url]).await.ok();
                assert!(blocked.text().ends_with("403"), "{case}");
            }
        }
        let log = nginx.access();
        assert!(log.contains("page.html") && !log.contains("UNION"), "{log}");
        assert_eq!(log.contains("HTTP/2.0"), http == Http::H2, "{log}");
    }
}

/// The home of a person whose NSS database trusts the proxy's CA.
async fn browser_home(proxy: &Proxy) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let database = home.path().join(".pki/nssdb");
    fs::create_dir_all(&database).unwrap();
    let database = format!("sql:{}", database.display());
    let mut make = command("certutil");
    make.args(["-N", "-d", &database, "--empty-password"]);
    run(make).await.ok();
    let mut add = command("certutil");
    add.args(["-A", "-d", &database, "-n", "Portward", "-t", "C,,", "-i"]).arg(proxy.ca_pem());
    run(add).await.ok();
    home
}

async fn chromium(proxy: &Proxy, home: &TempDir, url: &str) -> String {
    let mut browser = command("chromium");
    browser.env("HOME", home.path()).env("XDG_CONFIG_HOME", home.path().join("config"));
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
    browser.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    browser.args([
        "--disable-default-apps",
        "--disable-extensions",
        "--disable-dev-shm-usage",
        "--virtual-time-budget=10000",
    ]);
    browser.arg(format!("--user-data-dir={}", home.path().join("profile").display()));
    browser.arg(format!("--proxy-server=http://{}", proxy.addr()));
    browser.args(["--dump-dom", url]);
    run(browser).await.ok().text()
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_loads_a_page_and_shows_the_block_page() {
    let (origin, proxy) = pair().await;
    let home = browser_home(&proxy).await;
    let page = chromium(&proxy, &home, "https://origin.test/plain").await;
    assert!(page.contains("An innocent page of an honest origin"), "{page}");
    let seen = origin.seen();
    let first = seen.iter().find(|seen| seen.target.ends_with("/plain")).expect("the page was asked for");
    assert!(first.headers["user-agent"].to_str().unwrap().contains("Chrome"), "{first:?}");
    let blocked = chromium(&proxy, &home, &format!("https://origin.test{EVIL}")).await;
    assert!(blocked.contains("id=\"portward-block\""), "{blocked}");
    let id = receipt(&blocked).expect("a receipt on the page");
    proxy.record("the block", |r| r["id"] == id.as_str()).await;
    assert!(!origin.seen().iter().any(|seen| seen.target.contains("UNION")), "the attack arrived");
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_as_a_client_sees_a_chain_that_verifies_in_both_versions() {
    let (_origin, proxy) = pair().await;
    for version in ["-tls1_2", "-tls1_3"] {
        let mut client = command("sh");
        let script = format!(
            "printf 'GET /openssl HTTP/1.1\\r\\nHost: origin.test\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client \
             -proxy {} -connect origin.test:443 -servername origin.test -verify_return_error -verify_hostname origin.test \
             -CAfile {} {version} -ign_eof",
            proxy.addr(),
            proxy.ca_pem().display()
        );
        client.args(["-c", &script]);
        let said = run(client).await.ok().text();
        assert!(said.contains("Verify return code: 0 (ok)"), "{version}: {said}");
        assert!(said.contains("hello from the origin"), "{version}: {said}");
        assert!(said.contains(if version == "-tls1_2" { "TLSv1.2" } else { "TLSv1.3" }), "{said}");
    }
    for version in ["-tls1", "-tls1_1"] {
        let mut client = command("openssl");
        client.args([
            "s_client",
            "-proxy",
            &proxy.addr().to_string(),
            "-connect",
            "origin.test:443",
            version,
        ]);
        client.args(["-cipher", "ALL:@SECLEVEL=0"]);
        let said = run(client).await;
        assert_ne!(said.code, Some(0), "{version}: {}", said.text());
    }
}

/// The output of `portward env` for this proxy, as a shell line.
fn with_environment(proxy: &Proxy, script: &str) -> Command {
    let mut shell = command("sh");
    let line = format!(
        "eval \"$('{PORTWARD}' env --ca '{}' --proxy 'http://{}')\" && {script}",
        proxy.ca_dir().display(),
        proxy.addr()
    );
    shell.args(["-c", &line]);
    shell
}

#[tokio::test(flavor = "multi_thread")]
async fn python_requests_works_with_the_printed_environment() {
    let (origin, proxy) = pair().await;
    let script = format!(
        "import requests\n\
         s = requests.Session()\n\
         r = s.get('https://origin.test/python', params={{'q': 'plain words'}})\n\
         print(r.status_code, r.text.strip())\n\
         r = s.post('https://origin.test/echo', json={{'a': [1, 2, 3], 'b': 'text'}})\n\
         print(r.status_code, r.json())\n\
         r = s.get('https://origin.test{EVIL}', headers={{'Accept': 'application/json'}})\n\
         print(r.status_code, r.json()['status'])\n"
    );
    let dir = tempfile::tempdir().unwrap();
    let file: PathBuf = dir.path().join("client.py");
    fs::write(&file, script).unwrap();
    let said = run(with_environment(&proxy, &format!("/usr/bin/python3 {}", file.display()))).await.ok();
    let lines: Vec<String> = said.text().lines().map(String::from).collect();
    assert_eq!(lines, ["200 hello from the origin", "200 {'a': [1, 2, 3], 'b': 'text'}", "403 403"]);
    assert_eq!(origin.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn node_works_with_the_printed_environment() {
    let (origin, proxy) = pair().await;
    // Node 20 heeds no proxy variable by itself: CONNECT by hand, its CA from the environment.
    let script = format!(
        "const http = require('http'), https = require('https');\n\
         const proxy = new URL(process.env.HTTPS_PROXY);\n\
         const get = (path, done) => http.request({{ host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: 'origin.test:443' }})\n\
           .on('connect', (res, socket) => {{\n\
             https.get({{ host: 'origin.test', path, socket, agent: false, servername: 'origin.test' }}, (r) => {{\n\
               let text = ''; r.on('data', (d) => text += d).on('end', () => {{ console.log(r.statusCode, text.trim().split('\\n')[0]); done(); }});\n\
             }});\n\
           }}).end();\n\
         get('/node', () => get('{EVIL}', () => process.exit(0)));\n"
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("client.js");
    fs::write(&file, script).unwrap();
    let said = run(with_environment(&proxy, &format!("node {}", file.display()))).await.ok();
    let lines: Vec<String> = said.text().lines().map(String::from).collect();
    assert_eq!(lines[0], "200 hello from the origin", "{said:?}");
    assert!(lines[1].starts_with("403 "), "{said:?}");
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn git_and_wget_which_have_another_tls_library_work_with_the_printed_environment() {
    let (origin, proxy) = pair().await;
    let said = run(with_environment(
        &proxy,
        "wget -qO- --ca-certificate=\"$SSL_CERT_FILE\" https://origin.test/wget",
    ))
    .await
    .ok();
    assert_eq!(said.text(), HELLO);
    // Our origin is no repository; that git says so shows that it trusted the certificate and got an answer.
    let said = run(with_environment(&proxy, "git ls-remote https://origin.test/repository.git")).await;
    assert!(!said.stderr.to_lowercase().contains("certificate"), "{said:?}");
    assert!(
        origin.seen().iter().any(|seen| seen.target.contains("/repository.git/info/refs")),
        "{:#?}",
        origin.seen()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nghttp_multiplexes_over_our_http_2() {
    let net = Arc::new(NetLab::new(Redirect::Nat, 8443));
    let origin = Spec::tls(&["origin.test"]).on(net.listen(443)).start().await;
    let _proxy = gateway(&net, Redirect::Nat).await;
    // Many streams on one connection, by an HTTP/2 library that is not ours, over redirected traffic.
    let mut load = bare(net.client_command("h2load"));
    load.args([
        "-n",
        "400",
        "-c",
        "4",
        "-m",
        "20",
        &format!("--connect-to={ORIGIN}:443"),
        "https://origin.test/h2load",
    ]);
    let said = run(load).await.ok().text();
    assert!(said.contains("400 succeeded, 0 failed, 0 errored"), "{said}");
    assert_eq!(origin.seen().len(), 400);
}
