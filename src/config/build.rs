//! Written to usable: the file, with environment and flags over it, becomes a [`Config`] or the
//! list of everything that is wrong. Also the way back, which `portward check` prints.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use super::category;
use super::check::Problems;
use super::choice;
use super::file::*;
use super::value::{Size, Text};
use super::written::{Paths, Written, locate};
use super::{AuditConfig, Config, ConfigError, Flags, OriginConfig, Place, RulesConfig, System, Transparent};
use crate::net::Limits;
use crate::policy::{self, FrontingRule, Rule};
use crate::scan;
use crate::tls::client_certificate::ClientCertificateFile;
use crate::tls::verify;

/// A minted leaf's life, unless the file says otherwise.
const LEAF_LIFETIME: Duration = crate::ca::LEAF_LIFETIME.unsigned_abs();

/// Reads the file that the flags name, or the one that is found, and puts the flags over it.
pub fn load(flags: &Flags, system: &System) -> Result<Config, ConfigError> {
    let path = flags.config.as_ref().map(|path| system.cwd.join(path)).or_else(|| system.config_file());
    let written = match &path {
        None => Written::default(),
        Some(path) => Written::read(path, path.strip_prefix(&system.cwd).unwrap_or(path))?,
    };
    written.build(flags, system)
}

impl Written {
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

/// That no more than one is named is checked elsewhere.
fn scan_service(file: &FileScan) -> Option<scan::Service> {
    match (&file.clamd, &file.icap, &file.icap_upload) {
        (Some(at), ..) => Some(scan::Service::Clamd(at.0.clone())),
        (None, Some(download), upload) => Some(scan::Service::Icap {
            download: download.0.clone(),
            upload: upload.as_ref().unwrap_or(download).0.clone(),
        }),
        (None, None, _) => None,
    }
}

fn scan(file: &FileScan) -> scan::Config {
    let usual = scan::Config::default();
    scan::Config {
        service: scan_service(file),
        directions: file.directions.clone().unwrap_or(usual.directions),
        max_bytes: file.max_bytes.as_ref().map_or(usual.max_bytes, |size| size.0.0),
        oversize: file.oversize.unwrap_or(usual.oversize),
        unscannable: file.unscannable.unwrap_or(usual.unscannable),
        unavailable: file.unavailable.unwrap_or(usual.unavailable),
        ranges: file.ranges.unwrap_or(usual.ranges),
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
            scan: self.written_scan(),
            limits: FileLimits::of(&self.limits),
        })
    }

    fn written_scan(&self) -> FileScan {
        let (clamd, icap, icap_upload) = match self.scan.service.clone() {
            None => (None, None, None),
            Some(scan::Service::Clamd(at)) => (Some(Text(at)), None, None),
            Some(scan::Service::Icap { download, upload }) => {
                (None, Some(Text(download)), Some(Text(upload)))
            }
        };
        FileScan {
            clamd,
            icap,
            icap_upload,
            directions: Some(self.scan.directions.clone()),
            max_bytes: Some(Text(Size(self.scan.max_bytes))),
            oversize: Some(self.scan.oversize),
            unscannable: Some(self.scan.unscannable),
            unavailable: Some(self.scan.unavailable),
            ranges: Some(self.scan.ranges),
            time: Some(Text(self.scan.time)),
            connections: NonZeroUsize::new(self.scan.connections),
            skip: Some(self.scan.skip.clone()),
        }
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
