//! Portward: a TLS-inspecting forward proxy and web application firewall in one binary.
//!
//! # Life of a connection
//!
//! ```text
//! accept -> Client -> authenticate -> Identity -> policy.connect -> Permit -> sniff -> Hello
//!   -> policy.hello -> origin verified -> leaf -> TLS accept -> request head -> policy.request
//!   -> inspect -> Cleared -> pool or dial(Permit) -> send(Cleared) -> inspect response -> relay
//!   -> Outcome -> audit
//! ```
//!
//! [`proxy`] has that order on one screen. Proof types are the seams: an origin is dialled with a
//! [`policy::Permit`] only, and what is sent or relayed is [`inspect::Cleared`]; policy and inspect
//! alone can make them, so a path that skips a check does not compile. One [`proxy::Snapshot`]
//! (policy, rules, users) is taken at the start of an exchange and kept to its end.
//!
//! # Layers
//!
//! A row sees the rows above it, never its own or one below; `tests/layers.rs` is the check.
//!
//! | Row | Modules | Must not contain |
//! |---|---|---|
//! | 0 | [`net`], [`metrics`] | I/O |
//! | 1 | [`waf`], [`policy`] | tokio, hyper, rustls, files, clocks |
//! | 2 | [`ca`], [`auth`], [`tls`], [`message`], [`audit`], [`scan`] | each other |
//! | 3 | [`origin`], [`inspect`] | each other |
//! | 4 | [`proxy`] | decisions |
//! | 6 | [`config`] | logic |
//! | 7 | [`app`] | logic |
//! | 8 | [`cli`], `main` | logic |
//!
//! # Where is X
//!
//! | Looking for | Go to |
//! |---|---|
//! | the order of things | `proxy/mod.rs` |
//! | why a host was not decrypted | `policy/bypass.rs`, then the audit record's reason |
//! | what is looked at in a tunnel that is not decrypted | `policy/unread.rs`, `proxy/watch.rs` |
//! | why an origin's certificate is refused | `tls/verify/`: `path.rs`, `names.rs`, `profile.rs`, `revocation.rs`, `ocsp.rs` |
//! | why a client refuses our CA, and what to do | `policy/distrust.rs`, `portward doctor --client` |
//! | a 4xx or 5xx that we send | `message/reply.rs` (text), `message/reason.rs` (words), `proxy/respond.rs` (when) |
//! | a transformation or operator | its name, under `waf/` |
//! | how rules are loaded and compiled | `waf/lang/`, `waf/compile.rs` |
//! | what a value decodes to, and what kind of value it is | `waf/decode/`, `waf/variable/kind.rs`, `waf/sift.rs` |
//! | how rules of ModSecurity come in | `waf/lang/seclang/` |
//! | how rules are measured | `waf/measure/`, `cli/rules/eval/` |
//! | what the rules must stop and must leave alone | `tests/detection/` |
//! | what rules keep between exchanges | `waf/persistent/` |
//! | a limit or timeout | `net/limits.rs` |
//! | what happens when something fails | `policy/fail.rs` |
//! | what is sent to a malware scanner, and when its verdict comes | `scan/`, `inspect/scan.rs` |
//! | every leaf that was minted, and whether the record of them is whole | `ca/log/`, `cli/ca/log.rs` |
//! | keys in a PKCS #11 token | `ca/token/` |
//! | which stores of roots trust the CA | `cli/trust/`, one file for each kind of store |
//! | why something cannot be reached, or this installation does not work | `cli/doctor/`, `cli/doctor/here/` |
//! | what leaves the process in logs | `audit/record.rs`, `audit/redact.rs` |
//! | a setting, its default, its text | `config/example.toml`, `config/file.rs` |
//! | what a reload replaces | `app/snapshot.rs` |
//!
//! # Words
//!
//! *Client* and *origin* are the two ends; *upstream* is a parent proxy and nothing else; *tunnel* =
//! opaque relay; *intercept* = TLS ended here; *inspect* = rules ran; *exchange* = request and response
//! (*transaction* = the rules' view of it); *block* = rules, *deny* = policy.

pub mod app;
pub mod audit;
pub mod auth;
pub mod ca;
pub mod cli;
pub mod config;
pub mod inspect;
pub mod message;
pub mod metrics;
pub mod net;
pub mod origin;
pub mod policy;
pub mod proxy;
pub mod scan;
pub mod tls;
pub mod waf;
