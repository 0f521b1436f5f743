//! `portward doctor`: each thing that can be wrong between here and a server is told by its own stable code, in a
//! sentence, with what to do; and nothing is sent to a server that did not prove who it is.

mod here;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::dns::{Dns, Reply};
use crate::support::origin::{Raw, Spec};
use crate::support::peer;
use crate::support::pki::{self, Chain, Lab, Leaf};
use crate::support::proxy::{PORTWARD, Setup};
use crate::support::{Closed, Http, Tls};

/// A folder with a CA and the lab's root, from which the doctor is asked.
struct Desk {
    dir: TempDir,
    before: Vec<String>,
    env: Vec<(&'static str, String)>,
}

/// What the doctor said.
struct Report {
    code: Option<i32>,
    json: Value,
}

impl Desk {
    async fn new() -> Desk {
        let desk = Desk { dir: tempfile::tempdir().unwrap(), before: Vec::new(), env: Vec::new() };
        std::fs::write(desk.path("lab.pem"), pki::lab().root_pem()).unwrap();
        peer::run(desk.command(&["ca", "init", "--ca", desk.ca().to_str().unwrap()])).await.ok();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn ca(&self) -> PathBuf {
        self.path("ca")
    }

    /// Words that start it in another place.
    fn behind<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Desk {
        self.before = words.into_iter().map(Into::into).collect();
        self
    }

    fn env(mut self, name: &'static str, value: &str) -> Desk {
        self.env.push((name, value.to_owned()));
        self
    }

    fn config(self, toml: &str) -> Desk {
        std::fs::write(self.path("portward.toml"), toml).unwrap();
        self
    }

    fn command(&self, args: &[&str]) -> Command {
        let words: Vec<&str> =
            self.before.iter().map(String::as_str).chain([PORTWARD]).chain(args.iter().copied()).collect();
        let mut command = peer::command(words[0]);
        command
            .args(&words[1..])
            .current_dir(self.dir.path())
            .env("NO_COLOR", "1")
            .env("HOME", self.dir.path());
        for (name, value) in &self.env {
            command.env(name, value);
        }
        command
    }

    /// Asks with the flags given, and holds the answer against what is promised of every answer.
    async fn ask(&self, args: &[&str]) -> Report {
        let ca = self.ca();
        let all = [&["doctor", "--json", "--ca", ca.to_str().unwrap()], args].concat();
        let said = peer::run(self.command(&all)).await;
        let json: Value = serde_json::from_slice(&said.stdout)
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {said:?}"));
        let report = Report { code: said.code, json };
        report.keeps_its_form();
        report
    }

    /// Asks about `https://origin.test`, served there, with the lab's root trusted.
    async fn about(&self, origin: SocketAddr, more: &[&str]) -> Report {
        let resolve = format!("origin.test:443:{}:{}", origin.ip(), origin.port());
        let lab = self.path("lab.pem");
        let flags = ["origin.test", "--resolve", &resolve, "--allow-private", "127.0.0.0/8"];
        self.ask(&[&flags[..], &["--origin-ca", lab.to_str().unwrap()], more].concat()).await
    }
}

impl Report {
    fn sections(&self) -> impl Iterator<Item = (&str, &Vec<Value>)> {
        let sections = self.json["sections"].as_array().unwrap();
        sections
            .iter()
            .map(|section| (section["name"].as_str().unwrap(), section["findings"].as_array().unwrap()))
    }

    fn findings(&self) -> impl Iterator<Item = &Value> {
        self.sections().flat_map(|(_, findings)| findings)
    }

    fn codes(&self) -> Vec<&str> {
        self.findings().map(|finding| finding["code"].as_str().unwrap()).collect()
    }

    fn marked(&self, mark: &str) -> Vec<&str> {
        self.findings().filter(|f| f["mark"] == mark).map(|f| f["code"].as_str().unwrap()).collect()
    }

    fn finding(&self, code: &str) -> &Value {
        self.findings()
            .find(|finding| finding["code"] == code)
            .unwrap_or_else(|| panic!("no {code}: {:#}", self.json))
    }

    /// Lines that answer a finding.
    fn advice(&self, code: &str) -> String {
        let next = self.json["next"].as_array().unwrap();
        let step = next.iter().find(|step| step["code"] == code);
        step.unwrap_or_else(|| panic!("no advice for {code}: {:#}", self.json)).to_string()
    }

    /// The schema that scripts rely on, and the exit code.
    fn keeps_its_form(&self) {
        let json = &self.json;
        assert_eq!(json["doctor"], 1, "{json:#}");
        let verdict = json["verdict"].as_str().unwrap();
        assert!(json["summary"].is_string() && json["time"].is_string(), "{json:#}");
        assert!(json["target"].is_string() || json["target"].is_null(), "{json:#}");
        let mut worst = "ok";
        for finding in self.findings() {
            let (mark, code) = (finding["mark"].as_str().unwrap(), finding["code"].as_str().unwrap());
            assert!(
                code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{code}"
            );
            let text = finding["text"].as_str().unwrap();
            assert!(
                text.ends_with(['.', ')', '`']) && !text.contains("..") && text.len() > 12,
                "{code}: {text}"
            );
            assert!(!text.contains("Other(") && !text.contains("Error("), "{code} shows our insides: {text}");
            worst = match (mark, worst) {
                ("fail", _) | (_, "fail") => "fail",
                ("warn", _) | (_, "warn") => "warn",
                _ => "ok",
            };
        }
        assert_eq!(verdict, worst, "{json:#}");
        assert_eq!(self.code, Some(i32::from(verdict == "fail")), "{json:#}");
        for step in json["next"].as_array().unwrap() {
            assert!(self.codes().contains(&step["code"].as_str().unwrap()), "{step}");
            assert!(step["text"].as_str().unwrap().len() > 8, "{step}");
        }
    }
}

/// The names of a leaf, its flaw, what is told of it, the code of the refusal, and a word of the advice.
type Flaw<'a> = (Vec<&'a str>, Leaf, &'a [&'a str], &'a str, &'a str);

#[tokio::test(flavor = "multi_thread")]
async fn a_good_server_is_fine_from_policy_to_the_leaf_and_is_asked_once() {
    let origin = Spec::tls(&["origin.test", "*.origin.test"]).start().await;
    let desk = Desk::new().await;
    let report = desk.about(origin.addr, &[]).await;
    assert_eq!(report.json["verdict"], "ok", "{:#}", report.json);
    assert_eq!(report.json["target"], "origin.test:443");
    for code in [
        "policy_inspect",
        "dns_override",
        "tcp_open",
        "tls_version",
        "alpn_h2",
        "chain",
        "cert_valid",
        "name_ok",
        "trusted",
        "strong_certificate",
        "origin_accepted",
        "not_intercepted",
        "http_ok",
        "would_mint",
    ] {
        report.finding(code);
    }
    assert_eq!(report.finding("tls_version")["data"]["version"], "TLSv1.3");
    assert_eq!(report.finding("trusted")["data"]["anchor"]["given"], true);
    assert_eq!(report.finding("chain")["data"]["sent"], 2);
    let minted = &report.finding("would_mint")["data"]["certificate"];
    assert!(minted["names"].as_array().unwrap().contains(&"*.origin.test".into()), "{minted:#}");
    assert!(minted["issuer"].as_str().unwrap().contains("Portward"), "{minted:#}");
    assert!(report.json["next"].as_array().unwrap().is_empty());
    assert_eq!(origin.only().method, "HEAD");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roots_that_are_told_of_are_those_that_servers_are_verified_with() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let desk = Desk::new().await;
    let lab = desk.path("lab.pem");
    // The same root in the system's store and in the operator's file is the operator's, and stands first.
    let desk = desk.env("SSL_CERT_FILE", lab.to_str().unwrap());
    let report = desk.about(origin.addr, &[]).await;
    assert_eq!(report.finding("origin_accepted")["mark"], "ok");
    assert_eq!(report.finding("trusted")["data"]["anchor"]["by"], "operator");
    // Without the file it is the system's.
    let resolve = format!("origin.test:443:127.0.0.1:{}", origin.addr.port());
    let report = desk.ask(&["origin.test", "--resolve", &resolve, "--allow-private", "127.0.0.0/8"]).await;
    assert_eq!(report.finding("trusted")["data"]["anchor"]["by"], "system");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_speaks_is_told_in_every_version_and_protocol() {
    let desk = Desk::new().await;
    let older = Spec::tls(&["origin.test"]).versions(&[Tls::V12]).http(&[Http::H1]).start().await;
    let report = desk.about(older.addr, &[]).await;
    assert_eq!(report.finding("tls_version")["data"]["version"], "TLSv1.2");
    assert!(report.finding("tls_version")["text"].as_str().unwrap().contains("does not speak TLS 1.3"));
    report.finding("alpn_http11");
    assert_eq!((older.only().method.as_str(), report.code), ("HEAD", Some(0)));
    let only_h2 = Spec::tls(&["origin.test"]).http(&[Http::H2]).start().await;
    desk.about(only_h2.addr, &[]).await.finding("alpn_h2_only");
    let plain = Spec::plain().start().await;
    let resolve = format!("origin.test:80:127.0.0.1:{}", plain.addr.port());
    let report =
        desk.ask(&["http://origin.test/", "--resolve", &resolve, "--allow-private", "127.0.0.0/8"]).await;
    assert_eq!(
        (report.json["verdict"].as_str(), report.finding("http_ok")["data"]["status"].as_u64()),
        (Some("ok"), Some(200))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flaw_of_a_certificate_has_its_own_words_and_no_request_follows() {
    let desk = Desk::new().await;
    let good = || vec!["origin.test"];
    let cases: [Flaw; 10] = [
        (good(), Leaf::Expired, &["cert_expired"], "cert_expired", "renew"),
        (good(), Leaf::NotYetValid, &["cert_not_yet_valid"], "cert_not_yet_valid", "clock"),
        (good(), Leaf::OtherName, &["name_mismatch"], "name_mismatch", "name"),
        (good(), Leaf::CommonNameOnly, &["name_mismatch"], "name_mismatch", "name"),
        (good(), Leaf::SelfSigned, &["self_signed"], "self_signed", "--origin-ca"),
        (good(), Leaf::UnknownIssuer, &["unknown_issuer"], "unknown_issuer", "--origin-ca"),
        (
            good(),
            Leaf::IntermediateMissing,
            &["chain_incomplete"],
            "chain_incomplete",
            "http://ca.test/issuing.crt",
        ),
        (good(), Leaf::ClientAuthOnly, &["wrong_purpose"], "wrong_purpose", "policy.bypass"),
        (good(), Leaf::IsACa, &["ca_as_leaf"], "bad_certificate", "policy.bypass"),
        // Two at once: each is told.
        (vec!["other.test"], Leaf::Expired, &["cert_expired", "name_mismatch"], "cert_expired", "renew"),
    ];
    for (names, flaw, codes, refusal, advice) in cases {
        let origin = Spec::chain(pki::lab().leaf(&names, flaw)).start().await;
        let report = desk.about(origin.addr, &[]).await;
        let case = format!("{flaw:?}: {:#}", report.json);
        for code in codes {
            assert_eq!(report.finding(code)["mark"], "fail", "{case}");
        }
        let verdict =
            report.findings().find(|f| f["data"]["reason"] == refusal).unwrap_or_else(|| panic!("{case}"));
        assert_eq!(verdict["mark"], "fail", "{case}");
        let others: Vec<&str> =
            report.marked("fail").into_iter().filter(|code| !codes.contains(code)).collect();
        assert_eq!(others, [verdict["code"].as_str().unwrap()], "{case}");
        assert!(report.advice(codes[0]).contains(advice), "{case}");
        assert!(!report.codes().contains(&"would_mint"), "{case}");
        assert_eq!(origin.seen().len(), 0, "{case}");
    }
}

/// A leaf with this serial number under a root of its own, the root as PEM, and a list that withdraws 66.
fn withdrawn(serial: u64) -> (Chain, String, String) {
    use rcgen::{
        CertificateParams, CertificateRevocationListParams, KeyPair, KeyUsagePurpose, RevokedCertParams,
    };
    let now = time::OffsetDateTime::now_utc();
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(rcgen::DnType::CommonName, "A root with a list");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let root = rcgen::CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let mut leaf = CertificateParams::new(["origin.test".to_owned()]).unwrap();
    leaf.serial_number = Some(serial.into());
    leaf.not_before = now - time::Duration::days(1);
    leaf.not_after = now + time::Duration::days(60);
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    let cert = leaf.signed_by(&key, &root).unwrap();
    let list = CertificateRevocationListParams {
        this_update: now - time::Duration::hours(1),
        next_update: now + time::Duration::days(1),
        crl_number: 1u64.into(),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: 66u64.into(),
            revocation_time: now - time::Duration::hours(2),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&root).unwrap().pem().unwrap();
    (Chain::of(&[&cert], &key), root.pem(), list)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_is_told_from_one_that_was_not() {
    let desk = Desk::new().await.config("[origin]\ncrls = [\"list.crl\"]\nca_file = \"root.pem\"\n");
    for (serial, code, exit) in [(66, "revoked", 1), (67, "origin_accepted", 0)] {
        let (chain, root, list) = withdrawn(serial);
        std::fs::write(desk.path("root.pem"), root).unwrap();
        std::fs::write(desk.path("list.crl"), list).unwrap();
        let origin = Spec::chain(chain).start().await;
        let resolve = format!("origin.test:443:127.0.0.1:{}", origin.addr.port());
        let flags = ["origin.test", "--config", "portward.toml", "--resolve", &resolve];
        let report = desk.ask(&[&flags[..], &["--allow-private", "127.0.0.0/8"]].concat()).await;
        assert_eq!(report.code, Some(exit), "{:#}", report.json);
        let told = report.finding(code);
        let says = if serial == 66 { "was revoked" } else { "It was not revoked" };
        assert!(told["text"].as_str().unwrap().contains(says), "{told:#}");
        assert_eq!(origin.seen().len(), 1 - exit as usize, "a request goes to the good one alone");
        if serial == 66 {
            assert!(report.advice("revoked").contains("Do not use this server"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_are_open_closed_filtered_or_out_of_reach() {
    let desk = Desk::new().await;
    let closed = Closed::new();
    let report = desk.about(closed.addr, &[]).await;
    assert_eq!(report.marked("fail"), ["tcp_refused"]);
    assert!(report.advice("tcp_refused").contains("portward doctor origin.test:8443"));
    assert_eq!(report.finding("tcp_refused")["data"]["state"], "refused");

    // A network of its own, in which a firewall drops what comes to 443, and that leads nowhere else.
    let drops = "ip link set lo up && iptables -A INPUT -p tcp --dport 443 -j DROP && exec \"$@\"";
    let desk = Desk::new()
        .await
        .config("[limits]\nconnect_time = \"1s\"\n")
        .behind(["unshare", "-n", "sh", "-c", drops, "sh"]);
    let report =
        desk.ask(&["127.0.0.1", "--config", "portward.toml", "--allow-private", "127.0.0.0/8"]).await;
    assert_eq!(report.marked("fail"), ["tcp_filtered"]);
    assert!(report.advice("tcp_filtered").contains("firewall"));
    let report = desk.ask(&["192.0.2.7:8443", "--config", "portward.toml"]).await;
    assert_eq!(report.marked("fail"), ["tcp_unreachable"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_there_is_told_from_servers_that_do_not_answer() {
    let dns = Dns::start(|name| match name {
        "broken.test" => Reply::Failure,
        "silent.test" => Reply::Silence,
        "inside.test" => Reply::Addresses(vec![[10, 9, 8, 7].into()]),
        _ => Reply::NoSuchName,
    })
    .await;
    let desk = Desk::new().await.config("[limits]\nresolve_time = \"5s\"\n");
    let words = dns.behind(desk.dir.path());
    let desk = desk.behind(words);
    let cases = [
        ("missing.test", "dns_nxdomain"),
        ("broken.test", "dns_failed"),
        ("silent.test", "dns_timeout"),
        ("inside.test", "address_denied"),
    ];
    for (name, code) in cases {
        let report = desk.ask(&[name, "--config", "portward.toml"]).await;
        assert_eq!(report.marked("fail"), [code], "{name}: {:#}", report.json);
        let advice = report.advice(code);
        let wanted = if code == "address_denied" { "--allow-private 10.9.8.7" } else { "--resolve" };
        assert!(advice.contains(wanted), "{name}: {advice}");
        let server = dns.addr.ip().to_string();
        assert!(code == "address_denied" || report.finding(code)["text"].as_str().unwrap().contains(&server));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_instead_of_tls_is_named() {
    let desk = Desk::new().await.config("[limits]\norigin_handshake_time = \"5s\"\n");
    let ask = async |addr| desk.about(addr, &["--config", "portward.toml"]).await;
    let plain = Spec::plain().start().await;
    let report = ask(plain.addr).await;
    assert_eq!(report.marked("fail"), ["plain_http"], "{:#}", report.json);

    let ssh = Raw::plain(|mut wire, _| async move {
        wire.write("SSH-2.0-OpenSSH_9.2p1 Debian\r\n").await;
        wire.drained().await;
    })
    .await;
    let report = ask(ssh.addr).await;
    assert_eq!(report.marked("fail"), ["not_tls"], "{:#}", report.json);
    assert!(report.finding("not_tls")["text"].as_str().unwrap().contains("an SSH server"));
    assert!(report.advice("not_tls").contains("[[policy.bypass]]"));

    let silent = Raw::plain(|mut wire, _| async move { wire.drained().await }).await;
    assert_eq!(ask(silent.addr).await.marked("fail"), ["tls_silent"]);

    let closes = Raw::plain(|mut wire, _| async move {
        wire.tls_record().await;
    })
    .await;
    assert_eq!(ask(closes.addr).await.marked("fail"), ["tls_closed"]);

    let evil = Raw::plain(|mut wire, _| async move {
        wire.write("220 \x1b[31mmail\u{202e}\r\n").await;
        wire.drained().await;
    })
    .await;
    let report = ask(evil.addr).await;
    let text = report.finding("not_tls")["text"].as_str().unwrap();
    assert!(!text.contains(['\x1b', '\u{202e}']), "{text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_old_is_told_by_the_versions_it_speaks() {
    let desk = Desk::new().await;
    // Goes on with a ClientHello of TLS 1.0, and sends the alert protocol_version to any other.
    let old = Raw::plain(|mut wire, _| async move {
        let Some(hello) = wire.tls_record().await else { return };
        if hello[9..11] == [3, 1] {
            let mut body = vec![3, 1];
            body.extend([7; 32]);
            body.extend([0, 0x00, 0x2f, 0]);
            let len = body.len() as u8;
            wire.write([&[22, 3, 1, 0, len + 4, 2, 0, 0, len], body.as_slice()].concat()).await;
        } else {
            wire.write([21, 3, 1, 0, 2, 2, 70]).await;
        }
        wire.drained().await;
    })
    .await;
    let report = desk.about(old.addr, &[]).await;
    assert_eq!(report.marked("fail"), ["legacy_tls"], "{:#}", report.json);
    assert_eq!(report.finding("legacy_tls")["data"]["versions"], serde_json::json!(["TLS 1.0"]));
    assert!(report.advice("legacy_tls").contains("[[policy.bypass]]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_of_tls_1_1_and_one_of_static_rsa_are_legacy() {
    let desk = Desk::new().await;
    let chain = pki::lab().good(&["origin.test"]);
    std::fs::write(desk.path("chain.pem"), chain.pem()).unwrap();
    std::fs::write(desk.path("key.pem"), chain.key_pem()).unwrap();
    for (args, version) in [
        (vec!["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "TLS 1.1"),
        (vec!["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA"], "TLS 1.2"),
    ] {
        let mut server = peer::command("openssl");
        server.arg("s_server").args(args);
        server.arg("-key").arg(desk.path("key.pem")).arg("-cert").arg(desk.path("chain.pem"));
        let (_server, addr) = peer::s_server(server).await;
        let report = desk.about(addr, &[]).await;
        assert_eq!(report.marked("fail"), ["legacy_tls"], "{version}: {:#}", report.json);
        assert_eq!(report.finding("legacy_tls")["data"]["versions"][0], version, "{:#}", report.json);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_a_client_certificate_is_told() {
    // `s_server -www` never answers HEAD.
    let desk = Desk::new().await.config("[limits]\nfirst_byte_time = \"2s\"\n");
    let chain = pki::lab().good(&["origin.test"]);
    std::fs::write(desk.path("chain.pem"), chain.pem()).unwrap();
    std::fs::write(desk.path("key.pem"), chain.key_pem()).unwrap();
    for (ask, refused) in [("-verify", None), ("-Verify", Some("client_cert_required"))] {
        let mut server = peer::command("openssl");
        server.args(["s_server", "-www", "-tls1_2", ask, "1"]);
        server.arg("-key").arg(desk.path("key.pem")).arg("-cert").arg(desk.path("chain.pem"));
        server.arg("-cert_chain").arg(desk.path("chain.pem"));
        let (_server, addr) = peer::s_server(server).await;
        let report = desk.about(addr, &["--config", "portward.toml"]).await;
        let case = format!("{ask}: {:#}", report.json);
        match refused {
            None => {
                assert_eq!(report.finding("client_certificate")["mark"], "warn", "{case}");
                report.finding("origin_accepted");
                assert!(
                    report.advice("client_certificate").contains("[[origin.client_certificates]]"),
                    "{case}"
                );
            }
            Some(code) => {
                assert_eq!(report.finding(code)["mark"], "fail", "{case}");
                assert!(report.advice(code).contains("[[origin.client_certificates]]"), "{case}");
            }
        }
    }
}

const DENIES: &str = "[[policy.deny]]\nname = \"no-fun\"\nhosts = [\"origin.test\"]\nreason = \"by order\"\n";
const PASSES: &str = "[[policy.bypass]]\nname = \"bank\"\nhosts = [\"origin.test\"]\nreason = \"private\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_would_do_is_told_with_the_rule() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let with = async |toml: &str| Desk::new().await.config(toml);

    let report = with(DENIES).await.about(origin.addr, &["--config", "portward.toml"]).await;
    let denied = report.finding("policy_deny");
    assert_eq!(denied["data"]["reason"], "host_denied");
    assert!(denied["text"].as_str().unwrap().contains("`no-fun`: by order"), "{denied:#}");
    assert_eq!(report.marked("fail"), ["policy_deny"], "the server itself is fine: {:#}", report.json);

    let report = with(PASSES).await.about(origin.addr, &["--config", "portward.toml"]).await;
    let tunnel = report.finding("policy_tunnel");
    assert!(tunnel["text"].as_str().unwrap().contains("`bank`: private"), "{tunnel:#}");
    assert_eq!(report.json["verdict"], "ok");
    assert!(!report.codes().contains(&"would_mint"), "nothing is minted for what is not decrypted");

    let desk = Desk::new().await;
    let report =
        desk.ask(&["192.0.2.1:9443", "--resolve", "x.test:192.0.2.1", "--config", "/dev/null"]).await;
    assert_eq!(report.finding("policy_deny")["data"]["reason"], "port_denied");
    assert!(
        report.advice("policy_deny").contains("9443 = \\\"inspect\\\""),
        "{}",
        report.advice("policy_deny")
    );

    let before = origin.connections();
    let resolve = format!("origin.test:443:127.0.0.1:{}", origin.addr.port());
    let report = desk.ask(&["origin.test", "--resolve", &resolve]).await;
    assert_eq!(report.marked("fail"), ["address_denied"]);
    assert!(report.advice("address_denied").contains("--allow-private 127.0.0.1"));
    assert_eq!(origin.connections(), before, "the guard of inside addresses holds for the doctor too");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_ca_and_other_interceptors_on_the_way_are_recognised() {
    let proxy = Setup::new().start().await;
    let desk = Desk::new().await;
    let resolve = format!("loop.test:443:127.0.0.1:{}", proxy.addr().port());
    let ca = proxy.ca_dir().display().to_string();
    let args = [
        "doctor",
        "--json",
        "loop.test",
        "--ca",
        &ca,
        "--resolve",
        &resolve,
        "--allow-private",
        "127.0.0.0/8",
    ];
    let said = peer::run(desk.command(&args)).await;
    let report = Report { code: said.code, json: serde_json::from_slice(&said.stdout).unwrap() };
    report.keeps_its_form();
    assert_eq!(report.marked("fail"), ["own_ca_loop", "origin_refused"], "{:#}", report.json);
    assert!(report.advice("own_ca_loop").contains("--resolve loop.test:ADDR"));

    let other = Lab::new("Zscaler");
    std::fs::write(desk.path("zscaler.pem"), other.root_pem()).unwrap();
    let origin = Spec::chain(other.good(&["origin.test"])).start().await;
    let file = desk.path("zscaler.pem").display().to_string();
    let resolve = format!("origin.test:443:127.0.0.1:{}", origin.addr.port());
    let flags =
        ["origin.test", "--resolve", &resolve, "--allow-private", "127.0.0.0/8", "--origin-ca", &file];
    let report = desk.ask(&flags).await;
    assert_eq!(report.marked("warn"), ["intercepted"], "{:#}", report.json);
    assert_eq!(
        (report.code, &report.finding("intercepted")["data"]["product"]),
        (Some(0), &"Zscaler".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_sentences_with_marks_and_what_to_do_next() {
    let origin = Spec::chain(pki::lab().leaf(&["origin.test"], Leaf::Expired)).start().await;
    let desk = Desk::new().await;
    let (ca, lab) = (desk.ca().display().to_string(), desk.path("lab.pem").display().to_string());
    let resolve = format!("origin.test:443:127.0.0.1:{}", origin.addr.port());
    let flags = [
        "doctor",
        "origin.test",
        "--ca",
        &ca,
        "--resolve",
        &resolve,
        "--allow-private",
        "127.0.0.0/8",
        "--origin-ca",
        &lab,
    ];
    let said = peer::run(desk.command(&flags)).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let text = said.text();
    assert!(text.starts_with("origin.test:443: 1 thing is wrong\n"), "{text}");
    for line in [
        "\nPolicy\n  ok    ",
        "\nDNS\n  ok    ",
        "\nTCP\n  ok    ",
        "  FAIL  The certificate expired 24 hours ago",
        "\nWhat to do next\n  1.    ",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    for wrong in [
        &["doctor", "ftp://origin.test"][..],
        &["doctor", "a b"],
        &["doctor", "origin.test", "--config", "/no/such"],
    ] {
        assert_eq!(peer::run(desk.command(wrong)).await.code, Some(2), "{wrong:?}");
    }
}
