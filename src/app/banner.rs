//! The first thing a person sees: where the proxy is, what it trusts and does, and the line that
//! proves it.

use std::net::SocketAddr;

use crate::ca::CaStatus;
use crate::config::Config;
use crate::proxy::Gateway;
use crate::waf::Mode;

/// Prints the banner on standard output, and one machine-readable line a listener on standard
/// error.
pub fn print(config: &Config, gateway: &Gateway, ca: &CaStatus, listeners: &[SocketAddr]) {
    for addr in listeners {
        eprintln!("portward: listening on {addr}");
    }
    let snapshot = gateway.live.load();
    let (inbound, _) = snapshot.engine.thresholds();
    let mode = match snapshot.engine.mode() {
        Mode::Block => "block",
        Mode::Detect => "detect only",
    };
    let audit = match &config.audit.path {
        Some(path) => path.display().to_string(),
        None if config.audit.stdout => "standard output".to_owned(),
        None => "not kept".to_owned(),
    };
    let proxy = listeners.first().map_or_else(|| "127.0.0.1:8443".to_owned(), |addr| reachable(*addr));
    let pem = config.ca_dir.join("root.pem");
    let pem = pem.display();
    println!("Portward {} inspects on {proxy} (HTTP, HTTPS, SOCKS 5, redirected)", env!("CARGO_PKG_VERSION"));
    println!("  CA     {pem} (sha256 {}, until {})", &ca.sha256, ca.not_after.date());
    println!(
        "  rules  {} loaded, paranoia level {}, {mode} from score {inbound}",
        snapshot.engine.rules().count(),
        snapshot.engine.paranoia_level(),
    );
    println!("  audit  {audit}");
    if let Some(path) = &config.tls_key_log {
        let path = path.display();
        println!(
            "  KEYS   the secrets of every TLS session go to {path}: whoever has that file reads all traffic"
        );
        tracing::warn!(%path, "TLS key log: the secrets of every session of both legs are written down");
    }
    println!("See it work:");
    println!("  curl --proxy http://{proxy} --cacert {pem} https://example.com/");
    println!("See it block:");
    println!(
        "  curl --proxy http://{proxy} --cacert {pem} \
         'https://example.com/?id=1+UNION+SELECT+password+FROM+users'"
    );
}

/// An address that a client on this machine can use.
fn reachable(addr: SocketAddr) -> String {
    if addr.ip().is_unspecified() { format!("127.0.0.1:{}", addr.port()) } else { addr.to_string() }
}
