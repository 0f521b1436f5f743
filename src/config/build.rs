//! Written to usable: the file, with environment and flags over it, becomes a [`Config`] or the
//! list of everything that is wrong. Also the way back, which `portward check` prints.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::category;
use super::choice;
use super::error::{Problem, from_toml};
use super::file::*;
use super::value::{FromText, Size, Text};
use super::{
    AuditConfig, CaPlace, Config, ConfigError, Flags, OriginConfig, Place, RulesConfig, System, Transparent,
};
use crate::net::Limits;
use crate::policy::{self, FrontingRule, Rule};
use crate::scan;
use crate::tls::client_certificate::ClientCertificateFile;
use crate::tls::verify;

/// No more threads than this: each costs memory, and far fewer are ever useful.
const MAX_WORKERS: usize = 1024;

/// A minted leaf's life, unless the file says otherwise.
const LEAF_LIFETIME: Duration = crate::ca::LEAF_LIFETIME.unsigned_abs();

/// Shorter than this a leaf is minted again and again, and ends while a page is read.
const MIN_LEAF_LIFETIME: Duration = Duration::from_secs(600);

/// Configuration files are read whole; one of this size is not a configuration.
const MAX_FILE: u64 = 4 << 20;

/// Reads the file that the flags name, or the one that is found, and puts the flags over it.
pub fn load(flags: &Flags, system: &System) -> Result<Config, ConfigError> {
    let path = flags.config.as_ref().map(|path| system.cwd.join(path)).or_else(|| system.config_file());
    let written = match &path {
        None => Written::default(),
        Some(path) => Written::read(path, path.strip_prefix(&system.cwd).unwrap_or(path))?,
    };
    written.build(flags, system)
}

/// Where the CA is and what unlocks its keys, as [`load`] would find them; what else is wrong with the configuration
/// does not matter here.
pub fn load_ca(flags: &Flags, system: &System) -> Result<CaPlace, ConfigError> {
    let named = flags.config.as_ref().map(|path| system.cwd.join(path));
    let found = named.clone().or_else(|| system.config_file());
    let written = match &found {
        None => Written::default(),
        // The machine's own file need not be for everybody's eyes; then it is not for everybody's CA either.
        Some(path) if named.is_none() && closed(path) => Written::default(),
        Some(path) => Written::read(path, path.strip_prefix(&system.cwd).unwrap_or(path))?,
    };
    Ok(written.ca(flags, system)?.0)
}

fn closed(path: &Path) -> bool {
    std::fs::File::open(path).is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// A parsed file, and its text for saying where things stand in it.
#[derive(Debug, Default)]
struct Written {
    path: Option<PathBuf>,
    /// The path as it is told in messages.
    shown: PathBuf,
    text: String,
    file: FileConfig,
}

impl Written {
    fn read(path: &Path, shown: &Path) -> Result<Written, Problem> {
        let cannot = |error: &dyn std::fmt::Display| {
            Problem::new(format!("cannot read the configuration {}: {error}", shown.display()))
        };
        let size = std::fs::metadata(path).map_err(|e| cannot(&e))?.len();
        if size > MAX_FILE {
            return Err(cannot(&format!(
                "it has {size} bytes; more than {} is not a configuration",
                MAX_FILE
            )));
        }
        let bytes = std::fs::read(path).map_err(|e| cannot(&e))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let good =
                String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned();
            Problem::new("the file is not UTF-8").at(Some(Place::at(shown, &good, good.len())))
        })?;
        let file = toml::from_str(&text).map_err(|error| from_toml(shown, &text, &error))?;
        Ok(Written { path: Some(path.to_owned()), shown: shown.to_owned(), text, file })
    }

    fn paths<'a>(&'a self, system: &'a System) -> Paths<'a> {
        let base = self.path.as_deref().and_then(Path::parent).unwrap_or(&system.cwd);
        Paths { base, cwd: &system.cwd }
    }

    /// The CA's place, and the folder of the state.
    fn ca(&self, flags: &Flags, system: &System) -> Result<(CaPlace, PathBuf), Problem> {
        let (file, paths) = (&self.file, self.paths(system));
        let state = paths.of(None, file.state_dir.as_ref());
        let ca = paths.of(flags.ca.as_ref(), file.ca.dir.as_ref());
        let (dir, state) = system.directories(ca.as_deref(), state.as_deref())?;
        let place = CaPlace {
            dir,
            passphrase_file: paths.of(flags.ca_passphrase_file.as_ref(), file.ca.passphrase_file.as_ref()),
            pin_file: paths.of(flags.ca_pin_file.as_ref(), file.ca.pin_file.as_ref()),
        };
        Ok((place, state))
    }

    fn build(self, flags: &Flags, system: &System) -> Result<Config, ConfigError> {
        let mut problems = Problems { written: &self, list: Vec::new() };
        let file = &self.file;
        let paths = self.paths(system);
        let base = paths.base;
        let (ca, state_dir) = self.ca(flags, system).unwrap_or_else(|problem| {
            problems.list.push(problem);
            Default::default()
        });
        let (categories, lists) = category::load(&file.policy.category, base, |problem| {
            problems.add(&["policy", "category"], problem)
        });

        let config = Config {
            file: self.path.clone(),
            listen: listen(flags, file),
            transparent: file
                .transparent
                .iter()
                .map(|t| Transparent { listen: t.listen.0, mode: t.mode })
                .collect(),
            auth_file: paths.of(flags.auth_file.as_ref(), file.clients.auth_file.as_ref()),
            rules: rules(flags, &self, &paths),
            origin: OriginConfig {
                verify: verification(flags, &file.origin, &paths),
                resolve: list(&flags.resolve, file.origin.resolve.as_deref()),
                client_certificates: client_certificates(file, base),
            },
            tls_key_log: paths.of(flags.tls_key_log.as_ref(), file.tls.key_log.as_ref()),
            audit: audit(flags, &file.audit, &paths, &state_dir),
            policy: policy::Config { categories: lists, ..policy(flags, file) },
            categories,
            scan: scan(&file.scan),
            limits: file.limits.over(Limits::default()),
            log: flags.log.clone().or_else(|| file.log.clone()).unwrap_or_else(|| "info".to_owned()),
            workers: file.workers.map(NonZeroUsize::get),
            leaf_lifetime: file.ca.leaf_lifetime.as_ref().map_or(LEAF_LIFETIME, |text| text.0),
            ca_dir: ca.dir,
            ca_passphrase_file: ca.passphrase_file,
            ca_pin_file: ca.pin_file,
            state_dir,
        };
        problems.listeners(&config);
        problems.files(&config);
        problems.rules(&config.rules);
        problems.policy(&config.policy);
        problems.limits(&config.limits);
        problems.leaf_lifetime(config.leaf_lifetime);
        problems.scan(&config);
        problems.rest(&config);
        if problems.list.is_empty() { Ok(config) } else { Err(ConfigError { problems: problems.list }) }
    }
}

fn listen(flags: &Flags, file: &FileConfig) -> Vec<SocketAddr> {
    match (flags.listen.is_empty(), &file.listen) {
        (false, _) => flags.listen.clone(),
        (true, Some(listen)) => listen.iter().map(|addr| addr.0).collect(),
        (true, None) => vec![SocketAddr::from(([127, 0, 0, 1], 8443))],
    }
}

fn rules(flags: &Flags, written: &Written, paths: &Paths<'_>) -> RulesConfig {
    let file = &written.file.rules;
    let place = |keys: &[&str]| {
        let span = locate(&written.text, keys)?;
        Some(Place::at(&written.shown, &written.text, span.start).to_string())
    };
    RulesConfig {
        sets: choice::sets(&flags.rule_set, &file.sets, place),
        exclusion_packs: choice::packs(&flags.exclusion_pack, &file.exclusion_packs, place),
        core: !flags.no_core_rules && file.core.unwrap_or(true),
        paths: match flags.rules.as_slice() {
            [] => file.paths.iter().flatten().map(|path| paths.base.join(path)).collect(),
            given => given.iter().map(|path| paths.cwd.join(path)).collect(),
        },
        mode: flags.mode.or(file.mode),
        paranoia_level: file.paranoia_level,
        inbound_threshold: file.inbound_threshold,
        outbound_threshold: file.outbound_threshold,
    }
}

fn verification(flags: &Flags, file: &FileOrigin, paths: &Paths<'_>) -> verify::Settings {
    verify::Settings {
        ca_file: paths.of(flags.origin_ca.as_ref(), file.ca_file.as_ref()),
        crls: match flags.crl.as_slice() {
            [] => file.crls.iter().flatten().map(|path| paths.base.join(path)).collect(),
            given => given.iter().map(|path| paths.cwd.join(path)).collect(),
        },
        revocation: flags.revocation.or(file.revocation).unwrap_or_default(),
        distrusted_keys: file.distrusted_keys.iter().flatten().map(|key| key.0).collect(),
        server_auth: file.server_auth.unwrap_or_default(),
        over_long: file.over_long.unwrap_or_default(),
    }
}

fn audit(flags: &Flags, file: &FileAudit, paths: &Paths<'_>, state_dir: &Path) -> AuditConfig {
    let path = paths.of(flags.audit_log.as_ref(), file.path.as_ref());
    // A flag that names a file asks for one.
    let enabled = flags.audit_log.is_some() || file.enabled.unwrap_or(true);
    AuditConfig {
        path: enabled.then(|| path.unwrap_or_else(|| state_dir.join("audit.jsonl"))),
        max_bytes: file.max_size.as_ref().map_or(64 << 20, |size| size.0.0),
        keep: file.keep.unwrap_or(8),
        stdout: file.stdout.unwrap_or(false),
    }
}

fn scan(file: &FileScan) -> scan::Config {
    let usual = scan::Config::default();
    scan::Config {
        clamd: file.clamd.as_ref().map(|at| at.0.clone()),
        directions: file.directions.clone().unwrap_or(usual.directions),
        max_bytes: file.max_bytes.as_ref().map_or(usual.max_bytes, |size| size.0.0),
        oversize: file.oversize.unwrap_or(usual.oversize),
        unavailable: file.unavailable.unwrap_or(usual.unavailable),
        time: file.time.as_ref().map_or(usual.time, |time| time.0),
        connections: file.connections.map_or(usual.connections, NonZeroUsize::get),
        skip: file.skip.clone().unwrap_or(usual.skip),
    }
}

fn policy(flags: &Flags, file: &FileConfig) -> policy::Config {
    let written = &file.policy;
    let mut config = policy::Config {
        client_networks: list(&flags.allow_client, file.clients.networks.as_deref()),
        allow_private: list(&flags.allow_private, written.allow_private.as_deref()),
        deny: written.deny.iter().map(FileRule::used).collect(),
        allow: written.allow.iter().map(FileRule::used).collect(),
        bypass: written.bypass.iter().map(FileRule::used).collect(),
        fronting_allow: written
            .fronting_allow
            .iter()
            .map(|rule| FrontingRule { targets: plain(&rule.targets), hosts: plain(&rule.hosts) })
            .collect(),
        fail: written.fail,
        ..policy::Config::default()
    };
    config.ports.extend(written.ports.iter().map(|(port, action)| (port.0, *action)));
    config.other_ports = written.other_ports.unwrap_or(config.other_ports);
    config.forward_high_ports = written.forward_high_ports.unwrap_or(config.forward_high_ports);
    config.fronting = written.fronting.unwrap_or(config.fronting);
    config.tunnel_name_mismatch = written.tunnel_name_mismatch.unwrap_or(config.tunnel_name_mismatch);
    config
}

fn client_certificates(file: &FileConfig, base: &Path) -> Vec<ClientCertificateFile> {
    let used = |written: &FileClientCertificate| ClientCertificateFile {
        rule: Rule {
            name: written.certificate.display().to_string().into(),
            hosts: plain(&written.hosts),
            clients: plain(&written.clients),
            identities: written.identities.iter().map(|name| name.as_str().into()).collect(),
            ..Rule::default()
        },
        certificate: base.join(&written.certificate),
        key: base.join(&written.key),
    };
    file.origin.client_certificates.iter().map(used).collect()
}

/// A list that was given by flag or environment replaces the file's.
fn list<T: Clone>(given: &[T], written: Option<&[Text<T>]>) -> Vec<T> {
    match (given, written) {
        ([], Some(written)) => plain(written),
        _ => given.to_vec(),
    }
}

fn plain<T: Clone>(written: &[Text<T>]) -> Vec<T> {
    written.iter().map(|text| text.0.clone()).collect()
}

impl FileRule {
    fn used(&self) -> Rule {
        Rule {
            name: self.name.as_str().into(),
            hosts: plain(&self.hosts),
            categories: self.categories.iter().map(|name| name.trim().into()).collect(),
            clients: plain(&self.clients),
            identities: self.identities.iter().map(|name| name.as_str().into()).collect(),
            note: self.reason.as_deref().map(Into::into),
            // A date that is none is told as a problem.
            expires: self.expires.as_ref().and_then(|written| category::expiry(written).ok()),
        }
    }

    fn written(rule: &Rule) -> FileRule {
        FileRule {
            name: rule.name.to_string(),
            reason: rule.note.as_deref().map(str::to_owned),
            hosts: texts(&rule.hosts),
            categories: rule.categories.iter().map(|name| name.to_string()).collect(),
            clients: texts(&rule.clients),
            identities: rule.identities.iter().map(|name| name.to_string()).collect(),
            expires: rule.expires.as_ref().and_then(|expiry| expiry.text.parse().ok()),
        }
    }
}

/// A path in the file is relative to the file, one from outside to the working directory.
struct Paths<'a> {
    base: &'a Path,
    cwd: &'a Path,
}

impl Paths<'_> {
    fn of(&self, given: Option<&PathBuf>, written: Option<&PathBuf>) -> Option<PathBuf> {
        given.map(|path| self.cwd.join(path)).or_else(|| written.map(|path| self.base.join(path)))
    }
}

/// Collects everything that is wrong, so that one run tells all of it.
struct Problems<'a> {
    written: &'a Written,
    list: Vec<Problem>,
}

impl Problems<'_> {
    /// Adds a problem about a setting; when the file holds it, the place is told.
    fn add(&mut self, keys: &[&str], problem: Problem) {
        let Written { shown, text, .. } = self.written;
        let place = locate(text, keys).map(|span| Place::at(shown, text, span.start));
        self.list.push(problem.at(place));
    }

    fn listeners(&mut self, config: &Config) {
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

    fn files(&mut self, config: &Config) {
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

    fn rules(&mut self, rules: &RulesConfig) {
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

    fn policy(&mut self, policy: &policy::Config) {
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

    fn leaf_lifetime(&mut self, lifetime: Duration) {
        let range = MIN_LEAF_LIFETIME..=crate::ca::MAX_LEAF_LIFETIME.unsigned_abs();
        if !range.contains(&lifetime) {
            let what = "leaf_lifetime is 10m at least, or clients meet a leaf at its end, and 47d at most, \
                        which public CAs are bound to as well";
            self.add(&["ca", "leaf_lifetime"], Problem::new(what));
        }
    }

    fn limits(&mut self, limits: &Limits) {
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

    fn scan(&mut self, config: &Config) {
        let (time, first) = (config.scan.time, config.limits.first_byte_time);
        if config.scan.clamd.is_some() && time >= first {
            // The origin waits for the last byte of an upload while the scanner has it.
            let what =
                format!("scan.time ({time:?}) must be shorter than limits.first_byte_time ({first:?})");
            self.add(&["scan", "time"], Problem::new(what));
        }
        // Each is a file descriptor here and at least one at the scanner.
        if config.scan.connections > 4096 {
            let what = format!("{} connections to the scanner are more than 4096", config.scan.connections);
            self.add(&["scan", "connections"], Problem::new(what));
        }
    }

    fn rest(&mut self, config: &Config) {
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

/// Where a key's value stands in a TOML text.
fn locate(text: &str, keys: &[&str]) -> Option<Range<usize>> {
    let root = toml::de::DeTable::parse(text).ok()?;
    let (first, rest) = keys.split_first()?;
    let mut value = root.get_ref().get(*first)?;
    for key in rest {
        value = value.get_ref().get(*key)?;
    }
    Some(value.span())
}

fn texts<T: Clone>(values: &[T]) -> Vec<Text<T>> {
    values.iter().cloned().map(Text).collect()
}

impl Config {
    /// The whole configuration in force, as a file that would bring it about.
    pub fn render(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(&FileConfig {
            listen: Some(texts(&self.listen)),
            state_dir: Some(self.state_dir.clone()),
            log: Some(self.log.clone()),
            workers: self.workers.and_then(NonZeroUsize::new),
            transparent: self
                .transparent
                .iter()
                .map(|t| FileTransparent { listen: Text(t.listen), mode: t.mode })
                .collect(),
            ca: FileCa {
                dir: Some(self.ca_dir.clone()),
                passphrase_file: self.ca_passphrase_file.clone(),
                leaf_lifetime: Some(Text(self.leaf_lifetime)),
                pin_file: self.ca_pin_file.clone(),
            },
            clients: FileClients {
                networks: Some(texts(&self.policy.client_networks)),
                auth_file: self.auth_file.clone(),
            },
            rules: FileRules {
                core: Some(self.rules.core),
                paths: Some(self.rules.paths.clone()),
                mode: self.rules.mode,
                paranoia_level: self.rules.paranoia_level,
                inbound_threshold: self.rules.inbound_threshold,
                outbound_threshold: self.rules.outbound_threshold,
                sets: self.rules.sets.iter().map(|set| (set.name.clone(), set.value)).collect(),
                exclusion_packs: (self.rules.exclusion_packs.iter())
                    .map(|pack| (pack.name.clone(), pack.value.clone()))
                    .collect(),
            },
            origin: FileOrigin {
                ca_file: self.origin.verify.ca_file.clone(),
                crls: Some(self.origin.verify.crls.clone()),
                revocation: Some(self.origin.verify.revocation),
                distrusted_keys: Some(texts(&self.origin.verify.distrusted_keys)),
                server_auth: Some(self.origin.verify.server_auth),
                over_long: Some(self.origin.verify.over_long),
                resolve: Some(texts(&self.origin.resolve)),
                client_certificates: (self.origin.client_certificates.iter())
                    .map(|given| FileClientCertificate {
                        hosts: texts(&given.rule.hosts),
                        certificate: given.certificate.clone(),
                        key: given.key.clone(),
                        clients: texts(&given.rule.clients),
                        identities: given.rule.identities.iter().map(|name| name.to_string()).collect(),
                    })
                    .collect(),
            },
            tls: FileTls { key_log: self.tls_key_log.clone() },
            audit: FileAudit {
                enabled: Some(self.audit.path.is_some()),
                path: self.audit.path.clone(),
                max_size: Some(Text(Size(self.audit.max_bytes))),
                keep: Some(self.audit.keep),
                stdout: Some(self.audit.stdout),
            },
            policy: self.written_policy(),
            scan: FileScan {
                clamd: self.scan.clamd.clone().map(Text),
                directions: Some(self.scan.directions.clone()),
                max_bytes: Some(Text(Size(self.scan.max_bytes))),
                oversize: Some(self.scan.oversize),
                unavailable: Some(self.scan.unavailable),
                time: Some(Text(self.scan.time)),
                connections: NonZeroUsize::new(self.scan.connections),
                skip: Some(self.scan.skip.clone()),
            },
            limits: FileLimits::of(&self.limits),
        })
    }

    fn written_policy(&self) -> FilePolicy {
        let policy = &self.policy;
        FilePolicy {
            other_ports: Some(policy.other_ports),
            forward_high_ports: Some(policy.forward_high_ports),
            allow_private: Some(texts(&policy.allow_private)),
            fronting: Some(policy.fronting),
            tunnel_name_mismatch: Some(policy.tunnel_name_mismatch),
            ports: policy.ports.iter().map(|(port, action)| (Text(*port), *action)).collect(),
            fail: policy.fail,
            category: self
                .categories
                .iter()
                .map(|category| FileCategory { name: category.name.clone(), files: category.files.clone() })
                .collect(),
            deny: policy.deny.iter().map(FileRule::written).collect(),
            allow: policy.allow.iter().map(FileRule::written).collect(),
            bypass: policy.bypass.iter().map(FileRule::written).collect(),
            fronting_allow: policy
                .fronting_allow
                .iter()
                .map(|rule| FileFronting { targets: texts(&rule.targets), hosts: texts(&rule.hosts) })
                .collect(),
        }
    }
}
