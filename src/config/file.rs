//! The configuration file as it is written: every key optional, every unknown key an error.
//! What the keys mean stands in `example.toml`; what they become, in `build.rs`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::value::{Resolve, Size, Text};
use super::{RulesMode, TransparentMode};
use crate::net::{Limits, Port};
use crate::policy::{FailModes, Fronting, HostPattern, NameMismatch, PortAction};
use crate::scan::{Address, Direction, Endpoint, Outcome, Ranges};
use crate::tls::verify::{KeyDigest, OverLong, RevocationMode, ServerAuth};
use crate::waf::lang::ast::SetupMode;

/// A whole file. Plain values stand before tables, as TOML wants them written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    pub listen: Option<Vec<Text<SocketAddr>>>,
    pub state_dir: Option<PathBuf>,
    pub log: Option<String>,
    pub workers: Option<NonZeroUsize>,
    pub transparent: Vec<FileTransparent>,
    pub ca: FileCa,
    pub clients: FileClients,
    pub rules: FileRules,
    pub origin: FileOrigin,
    pub tls: FileTls,
    pub audit: FileAudit,
    pub policy: FilePolicy,
    pub scan: FileScan,
    pub limits: FileLimits,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileTransparent {
    pub listen: Text<SocketAddr>,
    pub mode: TransparentMode,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileCa {
    pub dir: Option<PathBuf>,
    pub passphrase_file: Option<PathBuf>,
    pub pin_file: Option<PathBuf>,
    pub leaf_lifetime: Option<Text<Duration>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileClients {
    pub networks: Option<Vec<Text<IpNet>>>,
    pub auth_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileRules {
    pub core: Option<bool>,
    pub paths: Option<Vec<PathBuf>>,
    pub mode: Option<RulesMode>,
    pub paranoia_level: Option<u8>,
    pub inbound_threshold: Option<i64>,
    pub outbound_threshold: Option<i64>,
    pub sets: BTreeMap<String, SetupMode>,
    pub exclusion_packs: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileOrigin {
    pub ca_file: Option<PathBuf>,
    pub crls: Option<Vec<PathBuf>>,
    pub revocation: Option<RevocationMode>,
    pub distrusted_keys: Option<Vec<Text<KeyDigest>>>,
    pub server_auth: Option<ServerAuth>,
    pub over_long: Option<OverLong>,
    pub resolve: Option<Vec<Text<Resolve>>>,
    pub client_certificates: Vec<FileClientCertificate>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileClientCertificate {
    pub hosts: Vec<Text<HostPattern>>,
    pub certificate: PathBuf,
    pub key: PathBuf,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<Text<IpNet>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileTls {
    pub key_log: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileAudit {
    pub enabled: Option<bool>,
    pub path: Option<PathBuf>,
    pub max_size: Option<Text<Size>>,
    pub keep: Option<usize>,
    pub stdout: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileScan {
    pub clamd: Option<Text<Endpoint>>,
    pub icap: Option<Text<Address>>,
    pub icap_upload: Option<Text<Address>>,
    pub directions: Option<Vec<Direction>>,
    pub max_bytes: Option<Text<Size>>,
    pub oversize: Option<Outcome>,
    pub unscannable: Option<Outcome>,
    pub unavailable: Option<Outcome>,
    pub ranges: Option<Ranges>,
    pub time: Option<Text<Duration>>,
    pub connections: Option<NonZeroUsize>,
    pub skip: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilePolicy {
    pub other_ports: Option<PortAction>,
    pub forward_high_ports: Option<bool>,
    pub allow_private: Option<Vec<Text<IpNet>>>,
    pub fronting: Option<Fronting>,
    pub tunnel_name_mismatch: Option<NameMismatch>,
    pub ports: BTreeMap<Text<Port>, PortAction>,
    pub fail: FailModes,
    pub category: Vec<FileCategory>,
    pub deny: Vec<FileRule>,
    pub allow: Vec<FileRule>,
    pub bypass: Vec<FileRule>,
    pub fronting_allow: Vec<FileFronting>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRule {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Text<HostPattern>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<Text<IpNet>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<toml::value::Datetime>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileCategory {
    pub name: String,
    pub files: Vec<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileFronting {
    pub targets: Vec<Text<HostPattern>>,
    pub hosts: Vec<Text<HostPattern>>,
}

/// How a limit is written, and how it is used.
trait Setting<T> {
    fn used(&self) -> T;
    fn written(value: &T) -> Option<Self>
    where
        Self: Sized;
}

impl Setting<Duration> for Text<Duration> {
    fn used(&self) -> Duration {
        self.0
    }
    fn written(value: &Duration) -> Option<Text<Duration>> {
        Some(Text(*value))
    }
}

impl Setting<usize> for Text<Size> {
    fn used(&self) -> usize {
        usize::try_from(self.0.0).unwrap_or(usize::MAX)
    }
    fn written(value: &usize) -> Option<Text<Size>> {
        u64::try_from(*value).ok().map(|bytes| Text(Size(bytes)))
    }
}

impl Setting<u64> for Text<Size> {
    fn used(&self) -> u64 {
        self.0.0
    }
    fn written(value: &u64) -> Option<Text<Size>> {
        Some(Text(Size(*value)))
    }
}

macro_rules! count {
    ($nonzero:ty, $plain:ty) => {
        impl Setting<$plain> for $nonzero {
            fn used(&self) -> $plain {
                self.get()
            }
            fn written(value: &$plain) -> Option<$nonzero> {
                <$nonzero>::new(*value)
            }
        }
    };
}
count!(NonZeroU32, u32);
count!(NonZeroU64, u64);
count!(NonZeroUsize, usize);

macro_rules! limits {
    ($($field:ident: $kind:ty,)+) => {
        /// `[limits]`: each of [`Limits`] under its own name.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct FileLimits { $(pub $field: Option<$kind>,)+ }

        impl FileLimits {
            /// The defaults, with what is written put over them.
            pub fn over(&self, defaults: Limits) -> Limits {
                Limits { $($field: self.$field.as_ref().map_or(defaults.$field, Setting::used),)+ }
            }

            /// All of them, as one would write them.
            pub fn of(limits: &Limits) -> FileLimits {
                FileLimits { $($field: Setting::written(&limits.$field),)+ }
            }
        }
    };
}

limits! {
    classify_time: Text<Duration>,
    classify_bytes: Text<Size>,
    handshake_time: Text<Duration>,
    tunnel_first_byte: Text<Duration>,
    tunnel_idle: Text<Duration>,
    header_time: Text<Duration>,
    keep_alive_idle: Text<Duration>,
    uri_bytes: Text<Size>,
    head_bytes: Text<Size>,
    head_fields: NonZeroUsize,
    body_rate: Text<Size>,
    body_grace: Text<Duration>,
    write_stall: Text<Duration>,
    resolve_time: Text<Duration>,
    connect_time: Text<Duration>,
    origin_handshake_time: Text<Duration>,
    first_byte_time: Text<Duration>,
    body_idle: Text<Duration>,
    pool_idle: Text<Duration>,
    pool_per_key: NonZeroUsize,
    pool_per_client: NonZeroUsize,
    pool_total: NonZeroUsize,
    request_window: Text<Size>,
    response_window: Text<Size>,
    window_pause: Text<Duration>,
    rules_time: Text<Duration>,
    decoded_bytes: Text<Size>,
    decoded_ratio: NonZeroUsize,
    per_client: NonZeroUsize,
    connections: NonZeroUsize,
    h2_streams: NonZeroU32,
    h2_control_burst: NonZeroU32,
    h2_control_rate: NonZeroU32,
    drain_time: Text<Duration>,
    leaf_cache: NonZeroU64,
    verified_time: Text<Duration>,
}
