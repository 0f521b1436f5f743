//! What is asked of a configuration before it is used: everything that is wrong is found in one run, each thing with
//! its place and its remedy.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::error::Problem;
use super::file::FileScan;
use super::value::{FromText, Size};
use super::written::{Written, locate};
use super::{Config, Place, RulesConfig, category};
use crate::net::Limits;
use crate::policy;

/// No more threads than this: each costs memory, and far fewer are ever useful.
const MAX_WORKERS: usize = 1024;

/// Shorter than this a leaf is minted again and again, and ends while a page is read.
const MIN_LEAF_LIFETIME: Duration = Duration::from_secs(600);

/// Collects everything that is wrong, so that one run tells all of it.
pub(super) struct Problems<'a> {
    pub(super) written: &'a Written,
    pub(super) list: Vec<Problem>,
}

impl Problems<'_> {
    /// Adds a problem about a setting; when the file holds it, the place is told.
    pub(super) fn add(&mut self, keys: &[&str], problem: Problem) {
        let Written { shown, text, .. } = self.written;
        let place = locate(text, keys).map(|span| Place::at(shown, text, span.start));
        self.list.push(problem.at(place));
    }

    pub(super) fn listeners(&mut self, config: &Config) {
        let transparent = config.transparent.iter().map(|t| t.listen);
        if config.listen.is_empty() && config.transparent.is_empty() {
            self.add(
                &["listen"],
                Problem::new("there is nothing to listen on").help("give --listen 127.0.0.1:8443"),
            );
        }
        let mut seen = BTreeSet::new();
        for addr in config.listen.iter().copied().chain(transparent.clone()) {
            if addr.port() != 0 && !seen.insert(addr) {
                self.add(&["listen"], Problem::new(format!("{addr} is listened on twice")));
            }
        }
        if !config.policy.client_networks.is_empty() {
            return;
        }
        if let Some(addr) = config.listen.iter().find(|addr| is_open(addr))
            && config.auth_file.is_none()
        {
            self.add(
                &["listen"],
                Problem::new(format!(
                    "listening on {addr} would let every machine that reaches it use this proxy"
                ))
                .help(
                    "say who may: --allow-client CIDR for networks, or --auth-file FILE for names and passwords; \
                     or listen on 127.0.0.1",
                ),
            );
        }
        if let Some(addr) = transparent.into_iter().find(is_open) {
            self.add(
                &["transparent"],
                Problem::new(format!(
                    "listening for redirected traffic on {addr} would serve every machine that reaches it"
                ))
                .help("say which may with --allow-client CIDR; redirected clients cannot authenticate"),
            );
        }
    }

    pub(super) fn files(&mut self, config: &Config) {
        let Config { auth_file, origin, rules, .. } = config;
        let single = [
            (&["clients", "auth_file"], "--auth-file", auth_file.as_ref()),
            (&["origin", "ca_file"], "--origin-ca", origin.verify.ca_file.as_ref()),
        ];
        for (keys, flag, path) in single {
            match path.map(|path| (path, std::fs::metadata(path))) {
                Some((path, Err(error))) => {
                    let what = format!("the file {} for {flag} cannot be read: {error}", path.display());
                    self.add(keys, Problem::new(what));
                }
                Some((path, Ok(meta))) if meta.is_dir() => {
                    let what = format!("{} for {flag} is a directory, not a file", path.display());
                    self.add(keys, Problem::new(what));
                }
                _ => {}
            }
        }
        for path in &origin.verify.crls {
            if let Err(error) = std::fs::metadata(path) {
                let what = format!("the revocation lists {} cannot be read: {error}", path.display());
                self.add(&["origin", "crls"], Problem::new(what));
            }
        }
        for given in &origin.client_certificates {
            if given.rule.hosts.is_empty() {
                let what = "a client certificate without `hosts` would be shown to every server that asks";
                self.add(&["origin", "client_certificates"], Problem::new(what).help("name the hosts"));
            }
        }
        for path in &rules.paths {
            if let Err(error) = std::fs::metadata(path) {
                let what = format!("the rules {} cannot be read: {error}", path.display());
                self.add(&["rules", "paths"], Problem::new(what));
            }
        }
        if let Some(path) = &config.audit.path
            && path.is_dir()
        {
            let what = format!("the audit log {} is a directory", path.display());
            self.add(&["audit", "path"], Problem::new(what).help("name a file in it"));
        }
    }

    pub(super) fn rules(&mut self, rules: &RulesConfig) {
        if let Some(level) = rules.paranoia_level
            && !(1..=4).contains(&level)
        {
            let what = format!("paranoia level {level} does not exist");
            self.add(&["rules", "paranoia_level"], Problem::new(what).help("use 1 (few false alarms) to 4"));
        }
        let thresholds = [
            ("inbound_threshold", rules.inbound_threshold),
            ("outbound_threshold", rules.outbound_threshold),
        ];
        for (key, value) in thresholds {
            if let Some(value) = value.filter(|value| *value < 1) {
                let what = format!("{key} {value} would block everything");
                self.add(
                    &["rules", key],
                    Problem::new(what).help("use 1 or more; 5 is usual inbound, 4 outbound"),
                );
            }
        }
    }

    pub(super) fn policy(&mut self, policy: &policy::Config) {
        for (key, rules) in [("deny", &policy.deny), ("allow", &policy.allow), ("bypass", &policy.bypass)] {
            let mut names = BTreeSet::new();
            for rule in rules {
                if rule.name.trim().is_empty() {
                    self.add(
                        &["policy", key],
                        Problem::new(format!("a rule of [[policy.{key}]] has an empty name")),
                    );
                } else if !names.insert(&rule.name) {
                    let what = format!("two rules of [[policy.{key}]] are named `{}`", rule.name);
                    self.add(
                        &["policy", key],
                        Problem::new(what).help("audit records name rules: keep names apart"),
                    );
                }
                for problem in category::unknown(key, rule, &policy.categories) {
                    self.add(&["policy", key], problem);
                }
                let anywhere = rule.hosts.is_empty() && rule.categories.is_empty();
                if anywhere && rule.clients.is_empty() && rule.identities.is_empty() {
                    let what = format!("rule `{}` of [[policy.{key}]] would hold for everything", rule.name);
                    let help = "give `hosts`, `categories`, `clients` or `identities`; `hosts = [\"*\"]` if everything is meant";
                    self.add(&["policy", key], Problem::new(what).help(help));
                }
            }
        }
        let written: &Written = self.written;
        for (key, problem) in category::expiries(&written.file.policy) {
            self.add(&["policy", key], problem);
        }
        for rule in &policy.fronting_allow {
            if rule.targets.is_empty() || rule.hosts.is_empty() {
                let what = "a rule of [[policy.fronting_allow]] has no `targets` or no `hosts`";
                self.add(&["policy", "fronting_allow"], Problem::new(what));
            }
        }
    }

    pub(super) fn leaf_lifetime(&mut self, lifetime: Duration) {
        let range = MIN_LEAF_LIFETIME..=crate::ca::MAX_LEAF_LIFETIME.unsigned_abs();
        if !range.contains(&lifetime) {
            let what = "leaf_lifetime is 10m at least, or clients meet a leaf at its end, and 47d at most, \
                        which public CAs are bound to as well";
            self.add(&["ca", "leaf_lifetime"], Problem::new(what));
        }
    }

    pub(super) fn limits(&mut self, limits: &Limits) {
        let mut need = |ok: bool, key: &str, what: String| {
            if !ok {
                self.add(&["limits", key], Problem::new(what));
            }
        };
        let size = |bytes: usize| Size(bytes as u64).to_text();
        // RFC 9112 section 3 asks for request lines of 8000 octets at least; a ClientHello with
        // post-quantum key shares needs the 16 KiB of one TLS record.
        need(limits.uri_bytes >= 1024, "uri_bytes", "uri_bytes under 1KiB breaks ordinary links".to_owned());
        need(
            limits.head_bytes >= limits.uri_bytes,
            "head_bytes",
            format!(
                "head_bytes ({}) must hold a target of uri_bytes ({})",
                size(limits.head_bytes),
                size(limits.uri_bytes)
            ),
        );
        need(
            limits.head_bytes >= 8192,
            "head_bytes",
            "head_bytes under 8KiB is less than HTTP needs".to_owned(),
        );
        need(
            limits.classify_bytes >= 16 * 1024,
            "classify_bytes",
            "classify_bytes under 16KiB is less than a ClientHello may need".to_owned(),
        );
        need(
            limits.decoded_bytes >= limits.request_window.max(limits.response_window),
            "decoded_bytes",
            format!(
                "decoded_bytes ({}) must be at least the inspection windows ({} and {})",
                size(limits.decoded_bytes),
                size(limits.request_window),
                size(limits.response_window)
            ),
        );
        need(
            limits.per_client <= limits.connections,
            "per_client",
            format!(
                "per_client ({}) is more than connections in all ({})",
                limits.per_client, limits.connections
            ),
        );
        need(
            limits.pool_per_key <= limits.pool_total,
            "pool_per_key",
            format!("pool_per_key ({}) is more than pool_total ({})", limits.pool_per_key, limits.pool_total),
        );
    }

    pub(super) fn scan(&mut self, config: &Config) {
        let FileScan { clamd, icap, icap_upload, .. } = &self.written.file.scan;
        if clamd.is_some() && (icap.is_some() || icap_upload.is_some()) {
            let what = "clamd and icap are two scanners; one of them scans";
            self.add(&["scan", "icap"], Problem::new(what).help("leave one of them out"));
        } else if icap.is_none() && icap_upload.is_some() {
            let what = "icap_upload is for uploads only";
            self.add(
                &["scan", "icap_upload"],
                Problem::new(what).help("name the service for downloads with icap"),
            );
        }
        if config.scan.service.is_some() {
            self.scans_something(config);
        }
        // Each is a file descriptor here and at least one at the scanner.
        if config.scan.connections > 4096 {
            let what = format!("{} connections to the scanner are more than 4096", config.scan.connections);
            self.add(
                &["scan", "connections"],
                Problem::new(what).help("use 4096 or fewer; 32 is the default"),
            );
        }
    }

    fn scans_something(&mut self, config: &Config) {
        let (time, first) = (config.scan.time, config.limits.first_byte_time);
        if time >= first {
            // The origin waits for the last byte of an upload while the scanner has it.
            let what =
                format!("scan.time ({time:?}) must be shorter than limits.first_byte_time ({first:?})");
            self.add(&["scan", "time"], Problem::new(what).help("lower the one or raise the other"));
        }
        if config.scan.directions.is_empty() {
            let what = "nothing would be scanned: directions is empty";
            let help = "name download, upload or both; to scan nothing, leave clamd and icap out";
            self.add(&["scan", "directions"], Problem::new(what).help(help));
        }
    }

    pub(super) fn rest(&mut self, config: &Config) {
        if let Some(workers) = config.workers.filter(|workers| *workers > MAX_WORKERS) {
            let what = format!("{workers} worker threads are more than {MAX_WORKERS}");
            self.add(&["workers"], Problem::new(what).help("leave `workers` out for one per core"));
        }
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&config.log) {
            let what = format!("{:?} is not a log filter: {error}", config.log);
            self.add(&["log"], Problem::new(what).help("use error, warn, info, debug or trace"));
        }
        if config.audit.max_bytes < 64 * 1024 {
            let what = "audit files under 64KiB would rotate with every few records";
            self.add(&["audit", "max_size"], Problem::new(what));
        }
    }
}

/// Reachable from other machines.
fn is_open(addr: &SocketAddr) -> bool {
    !crate::net::authority::unmap(addr.ip()).is_loopback()
}
