//! Clients that refuse our CA: each kind of refusal is told apart, the finding says what it means, and the rule that it
//! prints works when a person adds it. With the clients as Debian ships them.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::client::{Client, Entry};
use crate::support::origin::{HELLO, Origin, Spec};
use crate::support::peer::{command, run};
use crate::support::proxy::{PORTWARD, Proxy, Setup};
use crate::support::{Http, until};

const HOSTS: [&str; 2] = ["origin.test", "other.test"];

async fn pair() -> (Origin, Proxy) {
    let origin = Spec::tls(&HOSTS).start().await;
    let mut setup = Setup::new().config("log = \"info\"");
    for host in HOSTS {
        setup = setup.route(host, 443, origin.addr);
    }
    (origin, setup.start().await)
}

/// `portward doctor --client` beside the proxy.
fn doctor(proxy: &Proxy, more: &[&str]) -> Output {
    Command::new(PORTWARD)
        .args(["doctor", "--client"])
        .args(more)
        .arg("--config")
        .arg(proxy.dir().join("portward.toml"))
        .arg("--ca")
        .arg(proxy.ca_dir())
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

/// Waits until the proxy wrote a finding that `is` says is the one.
async fn finding(proxy: &Proxy, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    until(what, || {
        let said = doctor(proxy, &["--json"]);
        let answer: Value = serde_json::from_slice(&said.stdout).ok()?;
        let found = answer["findings"].as_array()?.iter().find(|finding| is(finding))?.clone();
        assert_eq!(said.status.code(), Some(1), "a finding is exit code 1");
        Some(found)
    })
    .await
}

fn curl(proxy: &Proxy, args: &[&str]) -> Command {
    let mut curl = command("curl");
    curl.args(["-sS", "--max-time", "30", "--proxy"]).arg(format!("http://{}", proxy.addr())).args(args);
    curl
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_the_ca_is_told_to_get_it() {
    let (origin, proxy) = pair().await;
    let nobody = doctor(&proxy, &[]);
    assert_eq!(nobody.status.code(), Some(0), "{}", String::from_utf8_lossy(&nobody.stderr));
    for host in HOSTS {
        assert_eq!(run(curl(&proxy, &[&format!("https://{host}/")])).await.code, Some(60));
    }
    assert_eq!(origin.seen().len(), 0);
    let record = proxy.record("the refusal", |r| r["client_leg"]["distrust"] == "certain").await;
    assert_eq!(
        (&record["reason"], &record["stage"]),
        (&"client_tls".into(), &"intercept".into()),
        "{record}"
    );
    assert!(record["client_leg"]["ja4"].as_str().is_some_and(|ja4| ja4.starts_with("t13d")), "{record}");
    let found = finding(&proxy, "curl", |f| f["refusals"] == 2).await;
    assert_eq!((&found["cause"], &found["certainty"]), (&"untrusting".into(), &"certain".into()), "{found}");
    let sentence = found["sentence"].as_str().unwrap();
    assert!(sentence.contains("refuses our CA everywhere") && sentence.contains("2 alerts"), "{sentence}");
    assert!(found["advice"].to_string().contains("portward trust install"), "{found}");
    // Said once in the log, at the first alert.
    proxy.stderr.line("the warning", |line| line.contains("WARN") && line.contains("refuses our CA")).await;
    proxy.stderr.line("the rule", |line| line.contains("[[policy.bypass]]")).await;
    let told = proxy.stderr.all().iter().filter(|line| line.contains("refuses our CA (")).count();
    assert!(told <= 1, "{}", proxy.stderr.text());
    // In words, for one client and for one that was never there.
    let said = doctor(&proxy, &["127.0.0.1"]);
    assert_eq!(said.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&said.stdout).contains("[[policy.bypass]]"));
    assert_eq!(doctor(&proxy, &["192.0.2.9"]).status.code(), Some(0));
    // With the CA the finding is over.
    let ca = proxy.ca_pem().display().to_string();
    for host in HOSTS {
        run(curl(&proxy, &["--cacert", &ca, &format!("https://{host}/")])).await.ok();
    }
    until("the finding to be over", || (doctor(&proxy, &[]).status.code() == Some(0)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_application_is_recognised_and_its_rule_works() {
    let (origin, proxy) = pair().await;
    // One program (the same TLS library, so the same JA4) that trusts the CA and pins one host.
    let program = Client::new(Entry::HttpProxy, &proxy);
    assert_eq!(program.get(Http::H1, "https://other.test/").await.text(), HELLO);
    let pinned = program.clone().trusting([crate::support::pki::lab().root_der()]);
    for _ in 0..3 {
        assert!(pinned.tls("origin.test", 443, &[Http::H1]).await.is_err());
    }
    let found = finding(&proxy, "the pin", |f| f["refusals"] == 3).await;
    assert_eq!((&found["cause"], &found["certainty"]), (&"pinned".into(), &"certain".into()), "{found}");
    assert_eq!(found["hosts"], serde_json::json!(["origin.test"]));
    let line = proxy.stderr.line("the warning", |line| line.contains("pinned application")).await;
    assert!(line.contains("127.0.0.1 refuses our CA for host origin.test"), "{line}");
    assert_eq!(origin.seen().len(), 1, "nothing is bypassed by itself");
    // A person adds the rule, as printed.
    let rule = found["rule"].as_str().unwrap();
    let file = proxy.dir().join("portward.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{config}\n{rule}")).unwrap();
    proxy.stderr.line("the reload", |line| line.contains("reloaded")).await;
    assert_eq!(pinned.get(Http::H1, "https://origin.test/").await.text(), HELLO);
    let record = proxy.record("the bypass", |r| r["verdict"] == "bypassed").await;
    assert_eq!(record["policy_rule"], "origin.test unread for 127.0.0.1", "{record}");
    // The other host stays inspected.
    let inspected = program.tls("other.test", 443, &[Http::H1]).await.unwrap();
    let shown = inspected.get_ref().1.peer_certificates().unwrap().last().unwrap().to_vec();
    assert_ne!(shown, crate::support::pki::lab().root_der().to_vec());
}

/// What each client's refusal looks like from our side; `certain`, `probable` or `silent`.
async fn refusal(name: &str, mut client: impl FnMut(&Proxy) -> Command) -> String {
    let (origin, proxy) = pair().await;
    for _ in 0..3 {
        let said = run(client(&proxy)).await;
        assert_ne!(said.code, Some(0), "{name} must refuse: {}", said.text());
    }
    assert_eq!(origin.seen().len(), 0, "{name}");
    let found = finding(&proxy, name, |f| f["refusals"] == 3).await;
    assert_eq!(found["cause"], "untrusting", "{name}: {found}");
    found["certainty"].as_str().unwrap().to_owned()
}

const NODE: &str = r#"
const [host, port] = process.argv[1].split(":");
const http = require("http"), tls = require("tls");
http.request({ host, port, method: "CONNECT", path: "origin.test:443" })
  .on("connect", (_, socket) => tls.connect({ socket, servername: "origin.test" }, () => process.exit(0))
    .on("error", () => process.exit(7)))
  .end();
"#;

const JAVA: &str = r#"
import java.net.*;
public class Ask {
    public static void main(String[] at) throws Exception {
        Proxy proxy = new Proxy(Proxy.Type.HTTP, new InetSocketAddress(at[0], Integer.parseInt(at[1])));
        try {
            new URL("https://origin.test/").openConnection(proxy).getInputStream().read();
        } catch (javax.net.ssl.SSLException refused) {
            System.exit(7);
        }
    }
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_client_is_recognised_by_how_it_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let java = dir.path().join("Ask.java");
    std::fs::write(&java, JAVA).unwrap();
    let mut seen = Vec::new();
    let openssl = |proxy: &Proxy| {
        let mut openssl = command("openssl");
        let at = proxy.addr().to_string();
        openssl.args(["s_client", "-proxy", &at, "-connect", "origin.test:443", "-verify_return_error"]);
        openssl
    };
    seen.push(("openssl s_client", refusal("openssl s_client", openssl).await));
    let wget = |proxy: &Proxy| {
        let mut wget = command("wget");
        wget.args(["-q", "-t", "1", "-T", "20", "-O", "-", "https://origin.test/"]);
        wget.env("https_proxy", format!("http://{}", proxy.addr()));
        wget
    };
    seen.push(("wget", refusal("wget", wget).await));
    let node = |proxy: &Proxy| {
        let mut node = command("node");
        node.args(["-e", NODE]).arg(proxy.addr().to_string());
        node
    };
    seen.push(("node", refusal("node", node).await));
    let python = |proxy: &Proxy| {
        let mut python = command("python3");
        python.args(["-c", "import urllib.request as u; u.urlopen('https://origin.test/', timeout=20)"]);
        python.env("https_proxy", format!("http://{}", proxy.addr()));
        python
    };
    seen.push(("python", refusal("python", python).await));
    let ask = |proxy: &Proxy| {
        let mut ask = command("java");
        let addr = proxy.addr();
        ask.arg(&java).arg(addr.ip().to_string()).arg(addr.port().to_string());
        ask
    };
    seen.push(("java", refusal("java", ask).await));
    // A pin that curl looks at when the handshake is done and the chain was good.
    let pin = |proxy: &Proxy| {
        let ca = proxy.ca_pem().display().to_string();
        let pin = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        curl(proxy, &["--cacert", &ca, "--pinnedpubkey", pin, "https://origin.test/"])
    };
    seen.push(("curl with a pin", refusal("curl with a pin", pin).await));
    for (client, certainty) in &seen {
        println!("{client:<20} {certainty}");
    }
    let of = |name: &str| seen.iter().find(|(client, _)| *client == name).unwrap().1.clone();
    for alerting in ["openssl s_client", "python"] {
        assert_eq!(of(alerting), "certain", "{alerting}");
    }
    // These two leave in the middle of it, or right behind it.
    for leaving in ["node", "java"] {
        assert!(matches!(of(leaving).as_str(), "certain" | "probable" | "silent"), "{leaving}");
    }
    assert_eq!(of("wget"), "silent");
    assert_eq!(of("curl with a pin"), "silent");
}
