//! The flags of `run` and `check`, and the environment variables that stand in for them. A flag
//! wins over its variable, and both win over the file; a list that is given replaces the file's.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use ipnet::IpNet;

use super::RulesMode;
use super::value::{self, PackChoice, Resolve, SetChoice};
use crate::tls::verify::RevocationMode;

/// What was typed. Empty and `None` mean "not given".
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub struct Flags {
    /// Configuration file (default: portward.toml here, in the user's or the system's configuration directory)
    #[arg(long, value_name = "FILE", env = "PORTWARD_CONFIG")]
    pub config: Option<PathBuf>,

    /// Address to listen on; give it again for more [default: 127.0.0.1:8443]
    #[arg(long, value_name = "ADDR", env = "PORTWARD_LISTEN", value_delimiter = ',', value_parser = value::parse::<SocketAddr>)]
    pub listen: Vec<SocketAddr>,

    /// Directory of the certificate authority
    #[arg(long = "ca", value_name = "DIR", env = "PORTWARD_CA")]
    pub ca: Option<PathBuf>,

    /// File whose first line is the passphrase of the authority's keys
    #[arg(long, value_name = "FILE", env = "PORTWARD_CA_PASSPHRASE_FILE")]
    pub ca_passphrase_file: Option<PathBuf>,

    /// File whose first line is the PIN of the PKCS #11 token that the authority's key is in
    #[arg(long, value_name = "FILE", env = "PORTWARD_CA_PIN_FILE")]
    pub ca_pin_file: Option<PathBuf>,

    /// Rule set file, or directory of them, besides the core rules
    #[arg(long, value_name = "PATH", env = "PORTWARD_RULES", value_delimiter = ',')]
    pub rules: Vec<PathBuf>,

    /// Leave the embedded core rules out
    #[arg(long, env = "PORTWARD_NO_CORE_RULES", value_parser = FalseyValueParser::new())]
    pub no_core_rules: bool,

    /// What a rule that matches does: block, or only tell
    #[arg(long, value_name = "MODE", env = "PORTWARD_MODE")]
    pub mode: Option<RulesMode>,

    /// Mode of one rule set by its name: block, detect, or off
    #[arg(long, value_name = "NAME=MODE", env = "PORTWARD_RULE_SETS", value_delimiter = ',', value_parser = value::parse::<SetChoice>)]
    pub rule_set: Vec<SetChoice>,

    /// Exclusion pack to switch on for a host (`*` for every host); give it again for more
    #[arg(long, value_name = "NAME=HOST", env = "PORTWARD_EXCLUSION_PACKS", value_delimiter = ',', value_parser = value::parse::<PackChoice>)]
    pub exclusion_pack: Vec<PackChoice>,

    /// PEM file of certificates that origins may be signed by, besides the system's
    #[arg(long, value_name = "FILE", env = "PORTWARD_ORIGIN_CA")]
    pub origin_ca: Option<PathBuf>,

    /// File or folder of certificate revocation lists (PEM or DER); give it again for more
    #[arg(long, value_name = "PATH", env = "PORTWARD_CRL", value_delimiter = ',')]
    pub crl: Vec<PathBuf>,

    /// What becomes of an origin's certificate of which nobody says whether it was revoked: off, soft, hard
    #[arg(long, value_name = "MODE", env = "PORTWARD_REVOCATION", value_parser = value::parse::<RevocationMode>)]
    pub revocation: Option<RevocationMode>,

    /// Address of a host, instead of asking DNS: HOST:ADDR or HOST:PORT:ADDR
    #[arg(long, value_name = "HOST:ADDR", env = "PORTWARD_RESOLVE", value_delimiter = ',', value_parser = value::parse::<Resolve>)]
    pub resolve: Vec<Resolve>,

    /// Network that may be reached although it is not public
    #[arg(long, value_name = "CIDR", env = "PORTWARD_ALLOW_PRIVATE", value_delimiter = ',', value_parser = value::parse::<IpNet>)]
    pub allow_private: Vec<IpNet>,

    /// htpasswd file (argon2 or bcrypt): clients must authenticate
    #[arg(long, value_name = "FILE", env = "PORTWARD_AUTH_FILE")]
    pub auth_file: Option<PathBuf>,

    /// Network whose clients may use the proxy
    #[arg(long, value_name = "CIDR", env = "PORTWARD_ALLOW_CLIENT", value_delimiter = ',', value_parser = value::parse::<IpNet>)]
    pub allow_client: Vec<IpNet>,

    /// Audit log file
    #[arg(long, value_name = "FILE", env = "PORTWARD_AUDIT_LOG")]
    pub audit_log: Option<PathBuf>,

    /// Write the secrets of every TLS session of both legs to a file that Wireshark reads
    // No environment variable stands in for it: nobody is to switch this on without writing it down.
    #[arg(long, value_name = "FILE")]
    pub tls_key_log: Option<PathBuf>,

    /// What to log: a level, or directives such as `info,portward::origin=debug`
    #[arg(long, value_name = "FILTER", env = "PORTWARD_LOG")]
    pub log: Option<String>,
}
