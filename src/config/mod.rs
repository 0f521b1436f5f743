//! Configuration, as usable values: what was written in the file, the environment and the flags
//! becomes one [`Config`] or a list of problems, each with its place and its remedy. Nothing
//! here acts on it; `app` hands each module its part.

mod build;
mod category;
mod check;
mod choice;
pub mod core_rules;
mod error;
pub mod file;
mod flags;
mod system;
#[cfg(test)]
mod tests;
pub mod value;
mod written;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use build::load;
pub use category::CategoryFiles;
pub use choice::{given_packs, given_sets};
pub use error::{ConfigError, Place, Problem};
pub use flags::Flags;
pub use system::System;
pub use value::Resolve;
pub use written::load_ca;

use crate::net::Limits;
use crate::policy;
use crate::scan;
use crate::tls::client_certificate::ClientCertificateFile;
use crate::tls::verify;
use crate::waf::Choice;
use crate::waf::lang::ast::SetupMode;

/// Every setting, commented, at its default.
pub const EXAMPLE: &str = include_str!("example.toml");

/// Everything that can be set, with defaults filled in and checked for sense together.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Listeners that look at the first bytes; port 0 asks for a free one.
    pub listen: Vec<SocketAddr>,
    pub transparent: Vec<Transparent>,
    pub ca_dir: PathBuf,
    /// Files with the passphrase of the CA's keys, and with the PIN of its token.
    pub ca_passphrase_file: Option<PathBuf>,
    pub ca_pin_file: Option<PathBuf>,
    /// How long a minted leaf is valid at most.
    pub leaf_lifetime: std::time::Duration,
    pub state_dir: PathBuf,
    /// htpasswd file; with one, clients that can must authenticate.
    pub auth_file: Option<PathBuf>,
    pub rules: RulesConfig,
    pub origin: OriginConfig,
    /// The file that every TLS session's secrets go to; `None` writes none.
    pub tls_key_log: Option<PathBuf>,
    pub audit: AuditConfig,
    /// Listeners, own addresses and verification are filled in by whoever binds and builds them.
    pub policy: policy::Config,
    /// The files that the policy's categories were read from.
    pub categories: Vec<CategoryFiles>,
    /// The malware scanner.
    pub scan: scan::Config,
    pub limits: Limits,
    /// A `tracing` filter.
    pub log: String,
    /// Worker threads; `None` is one per core.
    pub workers: Option<usize>,
}

/// Where the CA is, and the files with what unlocks its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaPlace {
    pub dir: PathBuf,
    pub passphrase_file: Option<PathBuf>,
    pub pin_file: Option<PathBuf>,
}

/// A listener for redirected traffic only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transparent {
    pub listen: SocketAddr,
    pub mode: TransparentMode,
}

/// How redirected connections tell where they were going.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransparentMode {
    /// NAT (REDIRECT, DNAT to this machine): the kernel remembers, `SO_ORIGINAL_DST`.
    Redirect,
    /// TPROXY: the socket's own local address.
    Tproxy,
}

/// Which rules are loaded, and what they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesConfig {
    /// The embedded sets.
    pub core: bool,
    /// Files, and directories of files.
    pub paths: Vec<PathBuf>,
    /// `None` leaves the rule sets' own setup in force, here and below.
    pub mode: Option<RulesMode>,
    pub paranoia_level: Option<u8>,
    pub inbound_threshold: Option<i64>,
    pub outbound_threshold: Option<i64>,
    /// Modes of rule sets and hosts of exclusion packs, by their names.
    pub sets: Vec<Choice<SetupMode>>,
    pub exclusion_packs: Vec<Choice<Vec<String>>>,
}

/// What a rule that matches does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum RulesMode {
    /// Stop the exchange.
    Block,
    /// Let it pass and record what would have been stopped.
    Detect,
}

/// How origins are found and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginConfig {
    /// How origins' certificates are judged.
    pub verify: verify::Settings,
    /// Hosts with given addresses. The addresses still have to pass policy.
    pub resolve: Vec<Resolve>,
    /// What is shown to origins that ask for a client certificate.
    pub client_certificates: Vec<ClientCertificateFile>,
}

/// Where audit records go. What happens when they cannot is `policy.fail.audit_full`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// `None`: no file.
    pub path: Option<PathBuf>,
    /// A file that grew to this is rotated...
    pub max_bytes: u64,
    /// ...and this many old ones are kept.
    pub keep: usize,
    pub stdout: bool,
}
