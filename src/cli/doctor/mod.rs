//! `portward doctor`: why something does not work, in words that a person at a help desk can use. Without a
//! host it looks at this installation. With one it walks the way that a connection would take, by the code
//! that would take it: policy, DNS, TCP, TLS, the leaf, HTTP. It sends at most one request, and only where
//! the origin proved who it is.
//!
//! Every wait is bounded by the limits of the configuration.

mod certificates;
mod client;
mod dns;
mod here;
mod http;
mod mint;
mod next;
mod path;
mod policy;
mod report;
mod tcp;
mod tls;
mod words;

use std::io::Write;
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use time::OffsetDateTime;

use crate::app::{self, StartError};
use crate::ca::{Ca, CaError};
use crate::config::{self, Config, Flags, System};
use crate::net::{Authority, Port};
use crate::origin::Dialer;
use crate::policy::Permit;
use crate::tls::probe::Roots;
use report::{Finding, Mark, Report, Section};

#[derive(Args, Debug)]
pub struct DoctorCommand {
    /// What to look at: HOST, HOST:PORT or an https:// URL [default port: 443]
    ///
    /// Without it, this installation is looked at.
    #[arg(value_name = "HOST[:PORT]", value_parser = target)]
    pub host: Option<Target>,
    /// Instead of a host: which clients refuse our CA and what would help, for all or for this address
    #[arg(long, value_name = "ADDR", num_args = 0..=1, conflicts_with = "host")]
    pub client: Option<Option<IpAddr>>,
    /// Judge policy as for a client at this address
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub from: IpAddr,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Print the particulars too
    #[arg(short, long)]
    pub verbose: bool,
    #[command(flatten)]
    pub flags: Flags,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub authority: Authority,
    /// An `http://` URL or port 80: no TLS is expected.
    pub plain: bool,
}

/// `HOST`, `HOST:PORT`, `[V6]:PORT`, a bare IPv6 address, or a URL of which host and port are taken.
fn target(text: &str) -> Result<Target, String> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        None => (None, text),
    };
    let default = match scheme.as_deref() {
        None | Some("https" | "wss") => Port::HTTPS,
        Some("http" | "ws") => Port::HTTP,
        Some(other) => return Err(format!("{other}:// is not HTTP; give a host and a port")),
    };
    let rest = match scheme {
        Some(_) => rest.split(['/', '?', '#']).next().unwrap_or(rest),
        None => rest,
    };
    let bare = rest.parse::<IpAddr>().ok().filter(IpAddr::is_ipv6);
    let authority = match bare {
        Some(ip) => Authority::new(ip.into(), default),
        None => Authority::parse(rest, Some(default)).map_err(|error| {
            if rest.contains('@') { "leave the user name out".to_owned() } else { error.to_string() }
        })?,
    };
    let plain = if scheme.is_some() { default == Port::HTTP } else { authority.port == Port::HTTP };
    Ok(Target { authority, plain })
}

/// What every section looks at.
pub struct Context<'a> {
    config: &'a Config,
    dialer: &'a Dialer,
    ca: Option<&'a Arc<Ca>>,
    roots: Roots,
    now: OffsetDateTime,
    /// Policy relays this host unread.
    tunnelled: bool,
}

/// Runs the command: 0 when nothing failed, 1 when something did, 2 when the configuration does not load.
pub fn run(command: &DoctorCommand, now: OffsetDateTime, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let config = config::load(&command.flags, &System::current())?;
    if let Some(client) = command.client {
        return client::run(&config, client, command.json, now, out);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = match &command.host {
        Some(target) => runtime.block_on(host(command, target, &config, now)),
        None => runtime.block_on(here::report(&config, now)),
    };
    report.write(command.json, command.verbose, out)?;
    Ok(ExitCode::from(u8::from(report.verdict() == Mark::Fail)))
}

/// The way to one host, from policy to the first answer.
async fn host(command: &DoctorCommand, target: &Target, config: &Config, now: OffsetDateTime) -> Report {
    let mut report = Report::new(Some(&target.authority), now);
    let (judged, permit) = policy::judge(config, command.from, target);
    report.add(policy::section(&judged, target));
    let opened = open_ca(config, now);
    let ca = opened.as_ref().ok().and_then(Option::as_ref);
    let dialer = match app::dialer(config, &config.limits, ca) {
        Ok(dialer) => dialer,
        Err(error) => {
            report.add(Section::new("origin", "Origins").with(no_dialer(&error)));
            return report;
        }
    };
    let at = Context {
        config,
        dialer: &dialer,
        ca,
        roots: Roots::of_verifier(&dialer.tls.verifier()),
        now,
        tunnelled: matches!(judged, policy::Judged::Tunnel(..)),
    };
    walk(&at, target, permit.as_ref(), &mut report).await;
    if let Err(error) = &opened {
        let finding =
            Finding::fail("ca_unusable", format!("The CA cannot be used: {error}.")).detail(error.fix());
        report.add(Section::new("ca", "The CA").with(finding));
    }
    report.next = next::steps(&report, Some(target));
    report
}

/// Each step is taken when the one before led somewhere.
async fn walk(at: &Context<'_>, target: &Target, permit: Option<&Permit>, report: &mut Report) {
    let dialled = permit.map_or(&target.authority, Permit::dial);
    let (section, answer) = dns::section(&at.dialer.resolver, dialled).await;
    report.add(section);
    let (Some(permit), Some(answer)) = (permit, answer) else { return };
    let (section, open) = tcp::section(permit, &answer, at.dialer.limits.connect_time).await;
    report.add(section);
    let environment = path::environment_proxy(|name| std::env::var(name).ok());
    let Some(open) = open else {
        report.add(path::section(None, false, environment));
        return;
    };
    if target.plain {
        report.add(http::section(at, target, permit, None).await);
        return;
    }
    let (section, seen) = tls::section(at, permit, open).await;
    let own = section.findings.iter().any(|finding| finding.code == "own_ca_loop");
    report.add(section);
    report.add(path::section(seen.chain.as_ref(), own, environment));
    // A server that is refused gets no request, and no leaf but for the page that says so.
    let Some(secured) = seen.secured else { return };
    let certificate = secured.facts.certificate.clone();
    report.add(http::section(at, target, permit, Some(secured)).await);
    if !at.tunnelled {
        report.add(mint::section(at, permit.server_name(), certificate.as_ref()));
    }
}

/// Why no origin can be reached, each cause by its own code.
fn no_dialer(error: &StartError) -> Finding {
    let (code, what) = match error {
        StartError::ClientCertificate(_) => {
            ("client_certificate_unusable", "A client certificate for servers cannot be used")
        }
        StartError::Resolver(_) => ("no_resolver", "Names cannot be looked up"),
        _ => ("no_roots", "Servers cannot be verified"),
    };
    Finding::fail(code, format!("{what}, and `run` would not start: {error}."))
}

/// The CA of the configuration, if it was made yet.
fn open_ca(config: &Config, now: OffsetDateTime) -> Result<Option<Arc<Ca>>, CaError> {
    let dir = app::ca_dir(config);
    if dir.exists() { dir.open(now).map(|ca| Some(Arc::new(ca))) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn every_way_to_write_an_address_is_read() {
        let cases = [
            ("example.com", "example.com:443", false),
            ("example.com:8443", "example.com:8443", false),
            ("https://example.com/path?a=b@c", "example.com:443", false),
            ("https://example.com:8443", "example.com:8443", false),
            ("http://example.com/", "example.com:80", true),
            ("http://example.com:443/", "example.com:443", true),
            ("example.com:80", "example.com:80", true),
            ("::1", "[::1]:443", false),
            ("[::1]:8443", "[::1]:8443", false),
            ("127.1", "127.0.0.1:443", false),
        ];
        for (text, authority, plain) in cases {
            let read = target(text).unwrap();
            assert_eq!((read.authority.to_string().as_str(), read.plain), (authority, plain), "{text}");
        }
        for wrong in ["", "ftp://x/", "a b", "x:0", "x:65536", "https://user@x/", "https://"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
