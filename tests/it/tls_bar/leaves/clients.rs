//! Leaves before the clients of the world: each is given every kind of name.

use std::fs;
use std::path::Path;

use crate::support::kinds::{Site, Sites, shown};
use crate::support::lint::findings;
use crate::support::origin::{HELLO, Spec};
use crate::support::peer::{Said, command, run};
use crate::support::proxy::{Proxy, Setup, portward};

use super::Case;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("T52", "openssl verify -x509_strict, s_client", "accepted", openssl),
        Case::new("T52", "GnuTLS: certtool --verify, wget", "accepted", gnutls),
        Case::new("T52", "NSS: vfychain", "accepted", nss),
        Case::new("T52", "Chromium", "accepted", chromium),
        Case::new("T52", "Firefox ESR", "accepted", firefox),
        Case::new("T52", "Java", "accepted", java),
        Case::new("T52", "clients that verify RSA alone", "an RSA leaf, accepted", rsa),
        Case::new("T52", "an RSA CA, clients that know RSA alone", "an RSA leaf, accepted", rsa_authority),
    ]
}

fn accepted(refused: Vec<String>) -> String {
    if refused.is_empty() { "accepted".into() } else { refused.join("; ") }
}

/// A peer's complaint about a site, if it has one.
fn complaint(site: &Site, said: &Said) -> Option<String> {
    (said.code != Some(0)).then(|| format!("{}: {} {}", site.name, said.text().trim(), said.stderr.trim()))
}

async fn openssl() -> String {
    let sites = Sites::start(Setup::new()).await;
    let mut refused = Vec::new();
    for site in &sites.all {
        let (_, file) = sites.chain_file(site).await;
        let check = if site.is_address() { "-verify_ip" } else { "-verify_hostname" };
        let mut verify = command("openssl");
        verify.args(["verify", "-x509_strict", "-purpose", "sslserver", check, &site.name, "-CAfile"]);
        verify.arg(sites.proxy.ca_pem()).arg("-untrusted").arg(&file).arg(&file);
        refused.extend(complaint(site, &run(verify).await));
        let mut client = command("openssl");
        client.args(["s_client", "-proxy", &sites.proxy.addr().to_string(), "-connect", &site.authority]);
        client.args(["-verify_return_error", check, &site.name, "-CAfile"]).arg(sites.proxy.ca_pem());
        if site.is_address() {
            client.arg("-noservername");
        } else {
            client.args(["-servername", &site.name]);
        }
        let said = run(client).await;
        refused.extend(complaint(site, &said));
        assert!(said.text().contains("Verify return code: 0 (ok)"), "{}: {}", site.name, said.text());
    }
    accepted(refused)
}

async fn gnutls() -> String {
    let sites = Sites::start(Setup::new()).await;
    let mut refused = Vec::new();
    for site in &sites.all {
        let (_, file) = sites.chain_file(site).await;
        let mut verify = command("certtool");
        verify.args(["--verify", "--verify-purpose", "1.3.6.1.5.5.7.3.1", "--load-ca-certificate"]);
        verify.arg(sites.proxy.ca_pem()).arg("--infile").arg(&file);
        verify.arg(format!("--verify-hostname={}", site.name));
        let said = run(verify).await;
        refused.extend(complaint(site, &said));
        assert!(!said.text().contains("Not verified"), "{}: {}", site.name, said.text());
        if site.name == "::1" {
            // wget 1.21 asks a proxy for `::1:443` without the brackets, which is no authority.
            continue;
        }
        // Its handshake and its check of the name, in a client that has no other TLS library.
        let mut wget = command("wget");
        wget.env("https_proxy", format!("http://{}", sites.proxy.addr()));
        wget.args(["-q", "-O", "-", "--tries=1", "--ca-certificate"]).arg(sites.proxy.ca_pem());
        wget.arg(format!("{}/wget", site.url));
        let said = run(wget).await;
        refused.extend(complaint(site, &said));
    }
    let unseen = sites.unseen("/wget").into_iter().filter(|name| *name != "::1");
    refused.extend(unseen.map(|name| format!("{name}: not asked for")));
    accepted(refused)
}

/// An NSS database that trusts the proxy's CA for servers, in a folder.
pub async fn database(folder: &Path, proxy: &Proxy) -> String {
    fs::create_dir_all(folder).unwrap();
    let database = format!("sql:{}", folder.display());
    let mut make = command("certutil");
    make.args(["-N", "-d", &database, "--empty-password"]);
    run(make).await.ok();
    let mut add = command("certutil");
    add.args(["-A", "-d", &database, "-n", "Portward", "-t", "C,,", "-i"]).arg(proxy.ca_pem());
    run(add).await.ok();
    database
}

async fn nss() -> String {
    let sites = Sites::start(Setup::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path(), &sites.proxy).await;
    let mut refused = Vec::new();
    for site in &sites.all {
        let (chain, _) = sites.chain_file(site).await;
        let mut verify = command("vfychain");
        verify.args(["-d", &database, "-pp", "-u", "1"]);
        for (number, der) in chain.iter().enumerate() {
            let file = folder.path().join(format!("{number}.der"));
            fs::write(&file, der).unwrap();
            verify.arg(file);
        }
        let said = run(verify).await;
        refused.extend(complaint(site, &said));
        assert!(said.stderr.contains("Chain is good!"), "{}: {said:?}", site.name);
    }
    accepted(refused)
}

/// A page that asks every site for a script. It lies on the disk, so that only the sites' own certificates count.
fn page(sites: &Sites, folder: &Path) -> String {
    let scripts: Vec<String> =
        sites.all.iter().map(|site| format!("<script src=\"{}/browser.js\"></script>", site.url)).collect();
    let file = folder.join("page.html");
    fs::write(&file, format!("<!doctype html><title>sites</title>{}", scripts.join("\n"))).unwrap();
    format!("file://{}", file.display())
}

async fn chromium() -> String {
    let sites = Sites::start(Setup::new()).await;
    let home = tempfile::tempdir().unwrap();
    database(&home.path().join(".pki/nssdb"), &sites.proxy).await;
    let mut browser = command("chromium");
    browser.env("HOME", home.path()).env("XDG_CONFIG_HOME", home.path().join("config"));
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
    browser.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    browser.args(["--disable-default-apps", "--disable-extensions", "--disable-dev-shm-usage"]);
    browser.arg(format!("--user-data-dir={}", home.path().join("profile").display()));
    browser.arg(format!("--proxy-server=http://{}", sites.proxy.addr()));
    // It asks loopback addresses by itself otherwise.
    browser.args(["--proxy-bypass-list=<-loopback>", "--virtual-time-budget=10000", "--dump-dom"]);
    browser.arg(page(&sites, home.path()));
    let said = run(browser).await.ok();
    let unseen = sites.unseen("/browser.js");
    accepted(unseen.into_iter().map(|name| format!("{name}: not asked for; {}", said.stderr)).collect())
}

async fn firefox() -> String {
    let sites = Sites::start(Setup::new()).await;
    let home = tempfile::tempdir().unwrap();
    let profile = home.path().join("profile");
    database(&profile, &sites.proxy).await;
    let (host, port) = (sites.proxy.addr().ip(), sites.proxy.addr().port());
    let mut settings = format!(
        "user_pref(\"network.proxy.type\", 1);\n\
         user_pref(\"network.proxy.http\", \"{host}\");\nuser_pref(\"network.proxy.http_port\", {port});\n\
         user_pref(\"network.proxy.ssl\", \"{host}\");\nuser_pref(\"network.proxy.ssl_port\", {port});\n\
         user_pref(\"network.proxy.no_proxies_on\", \"\");\nuser_pref(\"network.trr.mode\", 5);\n\
         user_pref(\"services.settings.server\", \"data:,\");\n\
         user_pref(\"network.proxy.allow_hijacking_localhost\", true);\n"
    );
    // What it would ask the world for by itself.
    for off in [
        "network.captive-portal-service.enabled",
        "network.connectivity-service.enabled",
        "browser.safebrowsing.malware.enabled",
        "browser.safebrowsing.phishing.enabled",
        "datareporting.policy.dataSubmissionEnabled",
        "app.update.enabled",
        "app.normandy.enabled",
        "toolkit.telemetry.enabled",
        "browser.shell.checkDefaultBrowser",
    ] {
        settings.push_str(&format!("user_pref(\"{off}\", false);\n"));
    }
    fs::write(profile.join("user.js"), settings).unwrap();
    let mut browser = command("firefox-esr");
    browser.env("HOME", home.path()).args(["--headless", "--no-remote", "--profile"]).arg(&profile);
    browser.arg("--screenshot").arg(home.path().join("page.png")).arg(page(&sites, home.path()));
    let said = run(browser).await.ok();
    let unseen = sites.unseen("/browser.js");
    accepted(unseen.into_iter().map(|name| format!("{name}: not asked for; {}", said.stderr)).collect())
}

async fn java() -> String {
    let sites = Sites::start(Setup::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("trust.p12");
    let mut import = command("keytool");
    import.args(["-importcert", "-noprompt", "-alias", "portward", "-storetype", "PKCS12"]);
    import.args(["-storepass", "changeit", "-keystore"]).arg(&store).arg("-file").arg(sites.proxy.ca_pem());
    run(import).await.ok();
    let source = folder.path().join("Ask.java");
    fs::write(&source, JAVA).unwrap();
    let mut java = command("java");
    java.arg(format!("-Djavax.net.ssl.trustStore={}", store.display()));
    java.args(["-Djavax.net.ssl.trustStorePassword=changeit", "-XX:TieredStopAtLevel=1"]);
    java.arg(&source).arg(sites.proxy.addr().port().to_string());
    java.args(sites.all.iter().map(|site| format!("{}/java", site.url)));
    let said = run(java).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let mut refused: Vec<String> =
        said.text().lines().filter(|line| !line.starts_with("200 ")).map(str::to_owned).collect();
    refused.extend(sites.unseen("/java").into_iter().map(|name| format!("{name}: not asked for")));
    accepted(refused)
}

/// Asks for each address through the proxy, with Java's own TLS and its own check of names.
const JAVA: &str = r#"
import java.net.*;
import javax.net.ssl.HttpsURLConnection;

public class Ask {
    public static void main(String[] args) throws Exception {
        int port = Integer.parseInt(args[0]);
        Proxy proxy = new Proxy(Proxy.Type.HTTP, new InetSocketAddress("127.0.0.1", port));
        for (int i = 1; i < args.length; i++) {
            try {
                var connection = (HttpsURLConnection) new URL(args[i]).openConnection(proxy);
                connection.setConnectTimeout(20000);
                connection.setReadTimeout(20000);
                System.out.println(connection.getResponseCode() + " " + args[i]);
            } catch (Exception refused) {
                System.out.println(args[i] + ": " + refused);
            }
        }
    }
}
"#;

/// What a TLS client without ECDSA is asked to do, in both versions.
const RSA_ALONE: [&[&str]; 3] = [
    &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"],
    &["-tls1_2", "-sigalgs", "RSA-PSS+SHA256:RSA+SHA256"],
    &["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256:rsa_pkcs1_sha256"],
];

/// Asks for a page with openssl, and says which key signed the handshake.
async fn by_openssl(proxy: &Proxy, arguments: &[&str]) -> String {
    let script = format!(
        "printf 'GET /rsa HTTP/1.1\\r\\nHost: origin.test\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client \
         -proxy {} -connect origin.test:443 -servername origin.test -verify_return_error \
         -verify_hostname origin.test -CAfile {} -ign_eof {}",
        proxy.addr(),
        proxy.ca_pem().display(),
        arguments.join(" ")
    );
    let mut client = command("sh");
    client.args(["-c", &script]);
    let said = run(client).await;
    let text = said.text();
    if !text.contains("Verify return code: 0 (ok)") || !text.contains(HELLO.trim()) {
        return format!("refused: {said:?}");
    }
    let signed = text.lines().find_map(|line| line.strip_prefix("Peer signature type: "));
    signed.unwrap_or("none").to_owned()
}

async fn rsa() -> String {
    let origin = Spec::tls(&["origin.test", "*.wild.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    for arguments in RSA_ALONE {
        let signed = by_openssl(&proxy, arguments).await;
        if !signed.starts_with("RSA") {
            return format!("{arguments:?}: {signed}");
        }
    }
    // Beside it everybody else gets ECDSA, from the same host.
    for arguments in [&["-tls1_2"][..], &["-tls1_3"]] {
        assert_eq!(by_openssl(&proxy, arguments).await, "ECDSA", "{arguments:?}");
    }
    let mut client = command("openssl");
    client.args([
        "s_client",
        "-proxy",
        &proxy.addr().to_string(),
        "-connect",
        "origin.test:443",
        "-showcerts",
    ]);
    client.args(["-servername", "origin.test"]).args(RSA_ALONE[2]);
    let text = run(client).await.ok().text();
    let chain: Vec<_> = rustls::pki_types::pem::PemObject::pem_slice_iter(text.as_bytes())
        .map(|cert| cert.expect("a certificate"))
        .collect();
    let found = findings(&chain, &proxy.ca()[0], "origin.test");
    if found.is_empty() { "an RSA leaf, accepted".into() } else { found.join("; ") }
}

/// A client that knows RSA alone cannot verify our own P-256 CA either; with an RSA CA all of the chain is RSA.
async fn rsa_authority() -> String {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (ca, cert, key) = (at("ca"), at("company.pem"), at("company.key"));
    let mut make = command("openssl");
    make.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=Company"]);
    make.args(["-addext", "basicConstraints=critical,CA:TRUE,pathlen:0"]);
    make.args(["-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", &key, "-out", &cert]);
    run(make).await.ok();
    let imported = portward(&["ca", "import", "--cert", &cert, "--key", &key, "--ca", &ca]);
    assert!(String::from_utf8_lossy(&imported.stdout).contains("Imported"), "{imported:?}");
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().ca(&ca).origin(&origin).start().await;
    for arguments in RSA_ALONE {
        let signed = by_openssl(&proxy, arguments).await;
        if !signed.starts_with("RSA") {
            return format!("{arguments:?}: {signed}");
        }
    }
    // GnuTLS holds the CA's signatures against the client's algorithms too.
    let mut wget = command("wget");
    wget.env("https_proxy", format!("http://{}", proxy.addr()));
    wget.args([
        "-q",
        "-O",
        "-",
        "--tries=1",
        "--ciphers=NORMAL:-SIGN-ALL:+SIGN-RSA-SHA256:+SIGN-RSA-PSS-RSAE-SHA256",
    ]);
    wget.arg("--ca-certificate").arg(proxy.ca_pem()).arg("https://origin.test/wget");
    let said = run(wget).await;
    if said.text() != HELLO {
        return format!("GnuTLS: {said:?}");
    }
    let chain = shown(&proxy, "origin.test", origin.addr).await.unwrap();
    let found = findings(&chain, &proxy.ca()[0], "origin.test");
    if found.is_empty() { "an RSA leaf, accepted".into() } else { found.join("; ") }
}
