//! What to do about what was found: for each finding that has a remedy, a sentence and the command or
//! the lines of configuration as they would be typed.

use super::Target;
use super::report::{Finding, Mark, Report, Step};
use crate::net::{Authority, Host, Port};

/// More steps than this nobody follows.
const STEPS: usize = 6;

/// Steps for everything that is not fine, in the order of the findings, each once.
pub fn steps(report: &Report, target: Option<&Target>) -> Vec<Step> {
    let mut out: Vec<Step> = Vec::new();
    for finding in report.findings().filter(|finding| finding.mark != Mark::Ok) {
        let known = finding.remedy.clone();
        let Some((text, lines)) = known.or_else(|| remedy(finding, target?)) else { continue };
        if !out.iter().any(|step| step.text == text) && out.len() < STEPS {
            out.push(Step { code: finding.code, text, lines });
        }
    }
    out
}

type Remedy = (String, Vec<String>);

fn say(text: impl Into<String>, lines: &[String]) -> Option<Remedy> {
    Some((text.into(), lines.to_vec()))
}

fn remedy(finding: &Finding, target: &Target) -> Option<Remedy> {
    let data = |name: &str| finding.data.get(name).and_then(|value| value.as_str()).unwrap_or_default();
    let Authority { host, port } = &target.authority;
    policy(finding, target).or_else(|| match finding.code {
        "dns_nxdomain" | "dns_no_address" => say(
            "Check the spelling. For a name inside your network, see that this machine asks your name server \
             (/etc/resolv.conf), or give the address yourself:",
            &[again(target, &format!("--resolve {host}:ADDR"))],
        ),
        "dns_timeout" | "dns_failed" => say(
            "See whether this machine can reach its name server (UDP and TCP port 53); another one goes into \
             /etc/resolv.conf. To go on without it:",
            &[again(target, &format!("--resolve {host}:ADDR"))],
        ),
        "tcp_refused" => say(refused(*port), &other_port(host, *port)),
        "tcp_filtered" => say(
            format!(
                "Ask whoever runs the firewall for TCP from this machine to {}. From another network, the same \
                 command tells which side filters.",
                data("address")
            ),
            &[],
        ),
        "tcp_unreachable" => say(
            "This machine has no way there: look at its routes, and whether it has IPv6 at all.",
            &[format!("ip route get {}", address_of(data("address")))],
        ),
        "plain_http" => say(plain_text(*port), &[format!("http://{}/", target.authority.host_field(Port::HTTP))]),
        "not_tls" | "no_common_protocol" => say(
            "This service is not HTTPS, so it cannot be inspected. If clients need it, let it pass unread:",
            &bypass(host, "not HTTPS"),
        ),
        "tls_silent" | "tls_closed" | "tls_alert" | "tls_failed" | "http_failed" | "http_timeout" => say(
            "Try it from a machine in another network, and on the server itself: if it works there, a device \
             between here and there is in the way.",
            &[],
        ),
        "legacy_tls" => say(
            "The server should learn TLS 1.2 with AEAD suites, or 1.3. Until it does, let its connections pass \
             unread, at the risk of who uses it:",
            &bypass(host, "speaks legacy TLS only"),
        ),
        _ => certificate(finding, target),
    })
}

/// The remedies of what policy said.
fn policy(finding: &Finding, target: &Target) -> Option<Remedy> {
    let Authority { host, port } = &target.authority;
    let reason = finding.data.get("reason").and_then(|value| value.as_str()).unwrap_or_default();
    if !matches!(finding.code, "policy_deny" | "address_denied") {
        return None;
    }
    match reason {
        "port_denied" => say(
            "If connections to this port are meant to be, name it in the configuration (`tunnel` instead of \
             `inspect` for what is not HTTPS):",
            &["[policy.ports]".to_owned(), format!("{port} = \"inspect\"")],
        ),
        "address_denied" | "local_name" => {
            let net = match finding.data.get("address").and_then(|value| value.as_str()) {
                Some(address) => address.to_owned(),
                None => host.ip().map_or_else(|| "127.0.0.0/8".to_owned(), |ip| ip.to_string()),
            };
            let allow = format!("--allow-private {net}");
            say(
                "If this inside address is meant to be reached, allow it (`allow_private` under [policy] in the \
                 configuration), and see how it goes from there:",
                &[again(target, &allow), format!("portward run {allow}")],
            )
        }
        "host_denied" => say("A rule of [[policy.deny]] in the configuration says so; change it there.", &[]),
        "host_not_allowed" => say(
            "There is a list of allowed hosts, and this one is not on it. To add it:",
            &["[[policy.allow]]".to_owned(), format!("name = \"{host}\""), format!("hosts = [\"{host}\"]")],
        ),
        "client_not_allowed" => {
            say("Let that network's clients in:", &["portward run --allow-client CIDR".to_owned()])
        }
        "own_listener" => say(
            "This address is Portward itself. Without a host, this command looks after it:",
            &["portward doctor".to_owned()],
        ),
        _ => None,
    }
}

/// The remedies of certificates and of what is behind them.
fn certificate(finding: &Finding, target: &Target) -> Option<Remedy> {
    let host = &target.authority.host;
    let text = |name: &str| finding.data.get(name).and_then(|value| value.as_str());
    match finding.code {
        "cert_expired" | "cert_expires_soon" => say(
            "Whoever runs the server has to renew the certificate. If many hosts seem expired, this machine's clock \
             is wrong: see `date -u`.",
            &[],
        ),
        "cert_not_yet_valid" | "clock_skew" => say(
            "See whether this machine's clock is right:",
            &["timedatectl status".to_owned(), "date -u".to_owned()],
        ),
        "name_mismatch" => say(
            "Use a name that the certificate is for, or have the server's certificate made for this one. If the \
             name is right, it leads to the wrong machine: look at the address under DNS.",
            &[],
        ),
        "self_signed" => say(
            "If the server is yours, get its certificate in a way that you trust (not over this connection), and \
             trust that one:",
            &[again(target, "--origin-ca FILE.pem"), "portward run --origin-ca FILE.pem".to_owned()],
        ),
        "unknown_issuer" => say(
            format!(
                "If the issuer{} is your own or your company's, trust its root:",
                text("missing").map(|name| format!(" ({name})")).unwrap_or_default()
            ),
            &[again(target, "--origin-ca ROOT.pem"), "portward run --origin-ca ROOT.pem".to_owned()],
        ),
        "chain_incomplete" => {
            let url = finding.data["fetch"][0].as_str();
            let at = url.map(|url| format!(", to be had at {url},")).unwrap_or_default();
            say(
                format!(
                    "The server has to send the intermediate certificate{at} after its own (nginx: \
                     `ssl_certificate` with the full chain). Browsers that have seen it elsewhere hide this \
                     mistake. Until it is mended, give it to Portward:"
                ),
                &["portward run --origin-ca INTERMEDIATE.pem".to_owned()],
            )
        }
        "revoked" => {
            say("Do not use this server until its certificate is replaced: its key may be stolen.", &[])
        }
        "revocation_unknown" | "staple_bad" => say(
            "The configuration refuses certificates of which nobody says whether they were revoked. Give it the CA's \
             revocation list, or let them pass with a mark:",
            &["[origin]".to_owned(), "crls = [\"FILE.crl\"]".to_owned(), "revocation = \"soft\"".to_owned()],
        ),
        "distrusted_key" => say(
            "A stranger has a key in this chain, and can pretend to be any server. Find out which product put its root \
             there, and remove it.",
            &[],
        ),
        "own_ca_loop" => say(
            "Take this proxy out of its own way: the name must lead to the server itself. Look at the address under \
             DNS, and at redirection rules that catch Portward's own traffic.",
            &[again(target, &format!("--resolve {host}:ADDR"))],
        ),
        "intercepted" => say(
            "Two interceptors in a row help nobody: let that product leave this machine's traffic alone, or give \
             Portward its root with --origin-ca.",
            &[],
        ),
        "weak_key" | "wrong_purpose" | "ca_as_leaf" | "bad_certificate" | "bad_signature"
        | "staple_missing" | "no_purpose" | "root_expired" => say(
            "Whoever runs the server has to have its certificate made anew. If it must be used meanwhile, let it pass \
             unread; the client then judges it:",
            &bypass(host, "broken certificate"),
        ),
        "client_certificate" | "client_cert_required" => say(
            "Give Portward a certificate for this server; or name it under [[policy.bypass]], and clients show it \
             their own:",
            &[
                "[[origin.client_certificates]]".to_owned(),
                format!("hosts = [\"{host}\"]"),
                "certificate = \"FILE.pem\"".to_owned(),
                "key = \"FILE.key\"".to_owned(),
            ],
        ),
        "mint_not_permitted" => {
            say("Our CA may not speak for this host. Let it pass unread:", &bypass(host, "outside our CA"))
        }
        "no_ca" => say("Make the CA now, or let the first start do it:", &["portward ca init".to_owned()]),
        "mint_failed" | "mint_no_time" | "ca_unusable" => {
            let fix = finding.details.first().cloned();
            say("Mend the CA:", &fix.into_iter().collect::<Vec<_>>())
        }
        _ => None,
    }
}

fn refused(port: Port) -> String {
    match port.get() {
        443 | 8443 => {
            "See whether the service runs on that machine, and on which port: HTTPS is on 443 or 8443."
                .to_owned()
        }
        _ => "See whether the service runs on that machine, and on which port.".to_owned(),
    }
}

/// The other of the two usual ports.
fn other_port(host: &Host, port: Port) -> Vec<String> {
    match port.get() {
        443 => vec![format!("portward doctor {host}:8443")],
        8443 => vec![format!("portward doctor {host}")],
        _ => Vec::new(),
    }
}

fn plain_text(port: Port) -> String {
    match port.get() {
        443 | 8443 => {
            "The server has to switch TLS on for this port. Until then it is reached without TLS, and \
                       everybody on the way can read along:"
                .to_owned()
        }
        _ => "Use a http:// address for this port; Portward inspects that too:".to_owned(),
    }
}

/// The same question once more, with something added.
fn again(target: &Target, more: &str) -> String {
    let authority = &target.authority;
    let shown = match (target.plain, authority.port) {
        (true, Port::HTTP) | (false, _) if authority.port != Port::HTTPS => authority.to_string(),
        (true, _) => format!("http://{authority}/"),
        (false, _) => authority.host.to_string(),
    };
    format!("portward doctor {shown} {more}")
}

fn bypass(host: &Host, why: &str) -> Vec<String> {
    vec![
        "[[policy.bypass]]".to_owned(),
        format!("name = \"{host}\""),
        format!("hosts = [\"{host}\"]"),
        format!("reason = \"{why}\""),
    ]
}

/// `10.0.0.1:443` without its port.
fn address_of(socket: &str) -> String {
    socket.parse::<std::net::SocketAddr>().map_or_else(|_| socket.to_owned(), |addr| addr.ip().to_string())
}
