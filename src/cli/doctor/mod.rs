//! `portward doctor`: why something does not work, in words that a person at a help desk can use. With a
//! host it walks the way that a connection would take, by the code that would take it: policy, DNS, TCP,
//! TLS, the leaf, HTTP. It sends at most one request, and only where the origin proved who it is.
//!
//! Every wait is bounded by the limits of the configuration. Nothing is changed, nothing is written.

mod policy;
mod report;

use std::io::Write;
use std::net::IpAddr;
use std::process::ExitCode;

use clap::Args;
use time::OffsetDateTime;

use crate::app;
use crate::config::{self, Config, Flags, System};
use crate::net::{Authority, Port};
use report::{Mark, Report};

#[derive(Args, Debug)]
pub struct DoctorCommand {
    /// What to look at: HOST, HOST:PORT or an https:// URL [default port: 443]
    #[arg(value_name = "HOST[:PORT]", value_parser = target)]
    pub host: Target,
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

/// Runs the command: 0 when nothing failed, 1 when something did, 2 when the configuration does not load.
pub fn run(command: &DoctorCommand, now: OffsetDateTime, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let config = config::load(&command.flags, &System::current())?;
    let report = examine(command, &command.host, &config, now);
    report.write(command.json, command.verbose, out)?;
    Ok(ExitCode::from(u8::from(report.verdict() == Mark::Fail)))
}

fn examine(command: &DoctorCommand, target: &Target, config: &Config, now: OffsetDateTime) -> Report {
    let mut report = Report::new(Some(&target.authority), now);
    let policy = app::policy(config, &config.listen);
    let answer = policy::judge(&policy, command.from, target);
    report.add(policy::section(&answer, target));
    report
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
