//! What the machine gives: descriptors for connections, disk for the audit log, a clock that certificates
//! can be judged by.

use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;
use serde_json::json;
use time::OffsetDateTime;

use crate::ca::Ca;
use crate::cli::doctor::report::{Finding, Section};
use crate::cli::doctor::words::distance;
use crate::config::Config;

/// As `run` keeps them back, for files and name service.
const RESERVE: u64 = 128;
/// A file that is newer than now by this much was not written now.
const SKEW: i64 = 300;
/// Less room than this is gone within minutes of traffic.
const FULL: u64 = 64 << 20;

pub fn section(config: &Config, ca: Option<&Arc<Ca>>, now: OffsetDateTime) -> Section {
    let mut section = Section::new("machine", "This machine");
    section.findings.extend(files(config));
    section.findings.extend(disk(config));
    section.add(clock(config, ca, now));
    section
}

/// Each connection takes a descriptor to the client and one to the server.
fn files(config: &Config) -> Option<Finding> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let wanted = config.limits.connections as u64;
    let room = hard.saturating_sub(RESERVE) / 2;
    let data = json!({ "files": hard, "connections": wanted });
    Some(if room >= wanted {
        Finding::ok("files_ok", format!("The limit on open files leaves room for {wanted} connections."))
            .data(data)
    } else {
        Finding::warn(
            "few_files",
            format!("The limit on open files ({hard}) leaves room for {room} connections, fewer than the {wanted} configured."),
        )
        .data(data)
        .remedy("Raise the limit of the service (systemd), or of the shell:", ["LimitNOFILE=65536".to_owned(), "ulimit -n 65536".to_owned()])
    })
}

/// Room for the audit log and its old files.
fn disk(config: &Config) -> Option<Finding> {
    let log = config.audit.path.as_ref()?;
    let folder = log.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let stat = statvfs(folder).ok()?;
    let free = stat.blocks_available() as u64 * stat.fragment_size() as u64;
    let wanted = config.audit.max_bytes.saturating_mul(config.audit.keep as u64 + 1);
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let data = json!({ "path": log, "free": free, "wanted": wanted });
    let (free, wanted, shown) = (free, wanted, log.display());
    let remedy = "Make room, or keep fewer and smaller files (`max_size` and `keep` under [audit]).";
    let finding = if free < FULL {
        Finding::fail("disk_full", format!("There are {} left for the audit log {shown}.", mib(free)))
            .remedy(remedy, [])
    } else if free < wanted {
        Finding::warn(
            "disk_short",
            format!(
                "There are {} left for the audit log {shown}, which may grow to {}.",
                mib(free),
                mib(wanted)
            ),
        )
        .remedy(remedy, [])
    } else {
        Finding::ok("disk_ok", format!("There is room for the audit log {shown} ({} free).", mib(free)))
    };
    Some(finding.data(data))
}

/// Nothing here can have been written in the future.
fn clock(config: &Config, ca: Option<&Arc<Ca>>, now: OffsetDateTime) -> Finding {
    let now_unix = now.unix_timestamp();
    let begins = ca.map(|ca| ca.status(now).not_before.unix_timestamp());
    let written = |path: &Path| {
        let modified = std::fs::metadata(path).ok()?.modified().ok()?;
        i64::try_from(modified.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
    };
    let audit = config.audit.path.as_deref().and_then(written);
    let newest = [begins, audit].into_iter().flatten().max().unwrap_or(now_unix);
    if newest - now_unix > SKEW {
        return Finding::fail(
            "clock_behind",
            format!(
                "The clock is behind: files of Portward's were written {} later than it says now. Certificates will \
                 seem not yet valid.",
                distance(newest - now_unix)
            ),
        )
        .data(json!({ "seconds": newest - now_unix }))
        .remedy("Set the clock:", ["timedatectl status".to_owned(), "date -u".to_owned()]);
    }
    Finding::ok("clock_ok", "The clock is plausible: nothing here was written in its future.")
}
