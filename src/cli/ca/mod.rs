//! `portward ca`: make, import, look at, hand out and rotate the CA. Never prints a key.

mod log;
mod unlock;

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use time::OffsetDateTime;
use time::macros::format_description;

use self::log::LogArgs;
use self::unlock::UnlockArgs;
use crate::ca::{
    Ca, CaDir, CaError, CaStatus, Format, GivenKey, JAVA_PASSWORD, NewCa, RootKey, Rotate, SecretSource,
    Secrets, Subtree, TokenUri,
};
use crate::config::System;

/// Where the CA is; shared by every command that needs it.
#[derive(Args, Clone, Debug, Default)]
pub struct CaArgs {
    /// The CA folder [default: ca/ in a checkout, else the platform's state directory]
    #[arg(id = "ca", long = "ca", value_name = "DIR", env = "PORTWARD_CA", global = true)]
    pub dir: Option<PathBuf>,
    /// Configuration file with the CA's folder and secrets, where no flag gives them [default: as `run` finds it]
    #[arg(long, value_name = "FILE", env = "PORTWARD_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub unlock: UnlockArgs,
}

#[derive(Args, Debug)]
pub struct CaCommand {
    #[command(flatten)]
    pub ca: CaArgs,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub verb: CaVerb,
}

#[derive(Subcommand, Debug)]
pub enum CaVerb {
    /// Make the CA, or say that it is there
    Init {
        /// Issue for this domain and what is below it, or this range of addresses, and for nothing else
        #[arg(long, value_name = "DOMAIN|CIDR")]
        permit: Vec<Subtree>,
        /// Never issue for this domain and what is below it, or this range of addresses
        #[arg(long, value_name = "DOMAIN|CIDR")]
        exclude: Vec<Subtree>,
        /// Keep the root's key in this PKCS #11 token (RFC 7512), where it is or is made
        #[arg(long, value_name = "URI")]
        pkcs11: Option<TokenUri>,
        /// Ask for a passphrase, and keep the keys under it
        #[arg(long, conflicts_with_all = ["passphrase_file", "passphrase_env"])]
        passphrase: bool,
        /// Say what would be written, and write nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Use an existing CA: a root, or a sub-CA with the chain above it
    Import {
        /// PEM or DER; for a sub-CA, the chain above it in the same file
        #[arg(long, value_name = "FILE")]
        cert: PathBuf,
        /// Its private key
        #[arg(long, value_name = "FILE", required_unless_present = "pkcs11")]
        key: Option<PathBuf>,
        /// File with the passphrase of the key, if that is not the one that it is to be kept under
        #[arg(long, value_name = "FILE")]
        key_passphrase_file: Option<PathBuf>,
        /// Its private key stays in this PKCS #11 token (RFC 7512)
        #[arg(long, value_name = "URI", conflicts_with = "key")]
        pkcs11: Option<TokenUri>,
        /// Set the CA that is there aside
        #[arg(long)]
        force: bool,
        /// Say what would be written, and write nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Fingerprint, dates and warnings
    Show,
    /// The CA certificate for clients; never a key
    Export {
        #[arg(long, value_enum, default_value = "pem")]
        format: ExportFormat,
        /// Write here instead of to standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Of a p12 trust store [default: changeit, as Java's own]
        #[arg(long)]
        password: Option<String>,
        /// Say what would be written, and write nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Replace the intermediate now, or the root
    Rotate {
        /// The root too: clients need the new one within 90 days
        #[arg(long)]
        root: bool,
        /// Say what would be written, and write nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Change, add or remove the passphrase of the CA's keys
    Passwd(PasswdArgs),
    /// Certificates that were issued, and whether the record of them is whole
    Log(LogArgs),
}

#[derive(Debug, Args)]
pub struct PasswdArgs {
    /// File with the new passphrase; without it, it is asked for
    #[arg(long, value_name = "FILE")]
    pub new_passphrase_file: Option<PathBuf>,
    /// Environment variable with the new passphrase
    #[arg(long, value_name = "VAR", conflicts_with = "new_passphrase_file")]
    pub new_passphrase_env: Option<String>,
    /// Keep the keys without a passphrase
    #[arg(long, conflicts_with_all = ["new_passphrase_file", "new_passphrase_env"])]
    pub remove: bool,
    /// Say what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Every root to trust, those of a rotation's overlap too
    Pem,
    /// One certificate, binary
    Der,
    /// A trust store for Java and Windows
    P12,
    /// The system's roots and ours
    Bundle,
    /// A profile for iOS and macOS
    Mobileconfig,
}

impl CaArgs {
    /// The folder of the flag or variable, else the default.
    pub fn dir(&self) -> CaDir {
        let folders = System::current().directories(self.dir.as_deref(), None);
        CaDir::new(folders.map_or_else(|_| PathBuf::from("ca"), |(ca, _state)| ca))
            .with_secrets(self.unlock.secrets())
    }
}

/// Runs the command; exit code 0, 1 for a CA that needs someone to act, 2 for one that cannot be
/// used.
pub fn run(command: &CaCommand, now: OffsetDateTime, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let dir = command.ca.dir();
    let mut outcome = verb(command, &dir, now, out);
    if let Err(error) = &outcome
        && matches!(error.downcast_ref::<CaError>(), Some(CaError::EncryptedKey { .. }))
        && unlock::somebody_is_here()
    {
        let typed = unlock::ask("passphrase of the CA's keys")?;
        let pin = command.ca.unlock.secrets().pin;
        let dir = dir.with_secrets(Secrets { passphrase: Some(typed), pin });
        outcome = verb(command, &dir, now, out);
    }
    match outcome {
        Ok(code) => Ok(code),
        Err(error) => match error.downcast::<CaError>() {
            Ok(error) => refuse(&error, command.json, out),
            Err(error) => Err(error),
        },
    }
}

/// Says what is wrong and what to type; the exit code is that of a wrong configuration.
pub fn refuse(error: &CaError, json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    if json {
        let (message, fix) = (error.to_string(), error.fix());
        let value = serde_json::json!({ "error": { "code": error.code(), "message": message, "fix": fix } });
        writeln!(out, "{value:#}")?;
    } else {
        eprintln!("portward: {error}\n  fix: {}", error.fix());
    }
    Ok(ExitCode::from(2))
}

fn verb(
    command: &CaCommand,
    dir: &CaDir,
    now: OffsetDateTime,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let (ca, done) = match &command.verb {
        CaVerb::Init { permit, exclude, pkcs11, passphrase, dry_run } => {
            let new = NewCa { permit: permit.clone(), exclude: exclude.clone(), token: pkcs11.clone() };
            return init(command, dir, &new, *passphrase, *dry_run, now, out);
        }
        CaVerb::Import { cert, key, key_passphrase_file, pkcs11, force, dry_run } => {
            let key = match (key, pkcs11) {
                (_, Some(uri)) => GivenKey::Token(uri.clone()),
                (key, None) => GivenKey::File(
                    key.clone().unwrap_or_default(),
                    key_passphrase_file.clone().map(SecretSource::File),
                ),
            };
            if *dry_run {
                return would(dir.would_import(cert, &key, *force, now)?, command.json, out);
            }
            (dir.import(cert, &key, *force, now)?, Some("Imported this CA."))
        }
        CaVerb::Show => (dir.open(now)?, None),
        CaVerb::Rotate { root, dry_run } => {
            let what = if *root { Rotate::Root } else { Rotate::Intermediate };
            if *dry_run {
                return would(dir.would_rotate(what, now)?, command.json, out);
            }
            (dir.rotate(what, now)?, Some(if *root { NEW_ROOT } else { NEW_INTERMEDIATE }))
        }
        CaVerb::Passwd(args) => return passwd(args, dir, command.json, now, out),
        CaVerb::Export { format, output: Some(path), dry_run: true, .. } => {
            dir.public(now)?;
            let format =
                format.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            let line = format!("write {}: the CA's certificates as {format}", path.display());
            return would(vec![line], command.json, out);
        }
        CaVerb::Export { format, output, password, .. } => {
            let password = password.as_deref().unwrap_or(JAVA_PASSWORD);
            return export(dir, *format, output.as_deref(), password, now, out);
        }
        CaVerb::Log(args) => return log::run(dir, args, command.json, out),
    };
    tell(&ca, done, command.json, now, out)
}

const NEW_ROOT: &str =
    "Made a new root. The old one is kept beside it; give clients the new one before the old ends.";
const NEW_INTERMEDIATE: &str = "Made a new intermediate. Clients need nothing.";
const PASSPHRASE: &str =
    "The keys are under the new passphrase. Copies of this folder are still under the old one.";
const NO_PASSPHRASE: &str = "The keys are without a passphrase: the files' mode alone guards them.";

fn init(
    command: &CaCommand,
    dir: &CaDir,
    new: &NewCa,
    ask: bool,
    dry_run: bool,
    now: OffsetDateTime,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let is_there = dir.exists();
    // What is there is not made narrower, or moved into a token, by asking for it.
    if is_there && !(new.permit.is_empty() && new.exclude.is_empty() && new.token.is_none()) {
        return Err(CaError::Exists { path: dir.path().to_owned() }.into());
    }
    let dir = match ask && !is_there {
        true => {
            let typed = if dry_run { unlock::to_be_asked() } else { unlock::ask_new()? };
            let secrets = Secrets { passphrase: Some(typed), ..command.ca.unlock.secrets() };
            dir.clone().with_secrets(secrets)
        }
        false => dir.clone(),
    };
    if dry_run {
        return would(dir.would_init(new, now)?, command.json, out);
    }
    let done = if is_there { "This CA is there already." } else { "Made a new CA." };
    tell(&dir.init(new, now)?, Some(done), command.json, now, out)
}

fn passwd(
    args: &PasswdArgs,
    dir: &CaDir,
    json: bool,
    now: OffsetDateTime,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let new = match unlock::source(args.new_passphrase_file.as_ref(), args.new_passphrase_env.as_ref()) {
        None if args.remove => None,
        None if args.dry_run => Some(unlock::to_be_asked()),
        None => {
            // The old one is asked for first, and the new one of somebody who has it.
            dir.check_passphrase()?;
            Some(unlock::ask_new()?)
        }
        given => given,
    };
    if args.dry_run {
        return would(dir.would_change_passphrase(new.as_ref())?, json, out);
    }
    let done = if new.is_some() { PASSPHRASE } else { NO_PASSPHRASE };
    let (ca, left) = dir.change_passphrase(new, now)?;
    for path in left {
        eprintln!(
            "portward: {} is as it was: nothing given opens it\n  fix: remove it, if no client needs that root",
            path.display()
        );
    }
    tell(&ca, Some(done), json, now, out)
}

/// What a verb would write.
fn would(lines: Vec<String>, json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&serde_json::json!({ "would": lines }))?)?;
    } else {
        for line in lines {
            writeln!(out, "would {line}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How the CA is, after what was done to it.
fn tell(
    ca: &Ca,
    done: Option<&str>,
    json: bool,
    now: OffsetDateTime,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let status = ca.status(now);
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&status)?)?;
    } else {
        if let Some(done) = done {
            writeln!(out, "{done}")?;
        }
        write_status(&status, now, out)?;
    }
    // An offline root key is how careful people run it, not a finding.
    let finding = status.warnings.iter().any(|warning| warning.code != "ca_root_key_offline");
    Ok(ExitCode::from(u8::from(finding)))
}

fn write_status(status: &CaStatus, now: OffsetDateTime, out: &mut dyn Write) -> anyhow::Result<()> {
    let days = (status.not_after - now).whole_days();
    writeln!(out, "CA          {}", status.subject)?;
    writeln!(out, "folder      {}", status.directory.display())?;
    writeln!(out, "SHA-256     {}", status.sha256)?;
    writeln!(out, "valid       {} to {} ({days} days left)", day(status.not_before), day(status.not_after))?;
    let key = match status.root_key {
        RootKey::Present => "in the folder",
        RootKey::Absent => "not in the folder",
        RootKey::Token => "in a token",
        RootKey::TokenAway => "in a token that does not answer",
    };
    writeln!(out, "CA key      {key}")?;
    match status.rotates_at {
        Some(at) => writeln!(
            out,
            "signs with  {}, renewed from {}, ends {}",
            status.issuer,
            minute(at),
            minute(status.issuer_not_after)
        )?,
        None => writeln!(out, "signs with  the CA itself: it may have no intermediate")?,
    }
    if !status.constraints.is_empty() {
        writeln!(out, "issues      {}", status.constraints.join(", "))?;
    }
    for previous in &status.previous {
        writeln!(out, "earlier CA  {previous}")?;
    }
    for warning in &status.warnings {
        writeln!(out, "warning: {}\n  fix: {}", warning.message, warning.fix)?;
    }
    Ok(())
}

fn export(
    dir: &CaDir,
    format: ExportFormat,
    output: Option<&Path>,
    password: &str,
    now: OffsetDateTime,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let ca = dir.public(now)?;
    let (form, binary) = match format {
        ExportFormat::Pem => (Format::Pem, false),
        ExportFormat::Der => (Format::Der, true),
        ExportFormat::P12 => (Format::Pkcs12, true),
        ExportFormat::Bundle => (Format::Bundle, false),
        ExportFormat::Mobileconfig => (Format::MobileConfig, false),
    };
    if binary && output.is_none() && std::io::stdout().is_terminal() {
        eprintln!("portward: this format is binary\n  fix: add -o FILE");
        return Ok(ExitCode::from(2));
    }
    let bytes = ca.export(form, password)?;
    match output {
        Some(path) => {
            fs::write(path, &bytes).map_err(|e| anyhow::anyhow!("cannot write {}: {e}", path.display()))?;
        }
        None => {
            out.write_all(&bytes)?;
            out.flush()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn day(at: OffsetDateTime) -> String {
    at.format(format_description!("[year]-[month]-[day]")).unwrap_or_else(|_| at.to_string())
}

fn minute(at: OffsetDateTime) -> String {
    at.format(format_description!("[year]-[month]-[day] [hour]:[minute]Z")).unwrap_or_else(|_| at.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use clap::Parser;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-21 09:00 UTC);

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        ca: CaCommand,
    }

    /// Exit code and standard output of `portward ca ARGUMENTS`.
    fn ca(dir: &Path, arguments: &str) -> (ExitCode, String) {
        let words = std::iter::once("ca").chain(arguments.split_whitespace());
        let mut cli = Cli::try_parse_from(words).unwrap();
        cli.ca.ca.dir.get_or_insert_with(|| dir.to_path_buf());
        let mut out = Vec::new();
        let code = run(&cli.ca, NOW, &mut out).unwrap();
        (code, String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn a_ca_is_made_shown_exported_and_rotated_from_the_command_line() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("ca");
        assert_eq!(ca(&dir, "show").0, ExitCode::from(2));
        assert!(!dir.exists());
        let (code, text) = ca(&dir, "init");
        assert_eq!(code, ExitCode::SUCCESS);
        assert!(text.starts_with("Made a new CA.\n") && text.contains("SHA-256"), "{text}");
        assert!(ca(&dir, "init").1.starts_with("This CA is there already."));
        let fingerprint =
            text.split("SHA-256").nth(1).unwrap().split_whitespace().next().unwrap().to_string();

        let (code, json) = ca(&dir, "show --json");
        assert_eq!(code, ExitCode::SUCCESS);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["sha256"], fingerprint);
        assert_eq!(value["root_key"], "present");
        assert_eq!(value["not_after"], "2036-11-18T09:00:00Z");

        let (_, pem) = ca(&dir, "export");
        assert_eq!(pem, fs::read_to_string(dir.join("root.pem")).unwrap());
        let file = place.path().join("out");
        for format in ["der", "p12", "bundle", "mobileconfig"] {
            let (code, text) = ca(&dir, &format!("export --format {format} -o {}", file.display()));
            assert_eq!((code, text.as_str()), (ExitCode::SUCCESS, ""), "{format}");
            assert!(fs::metadata(&file).unwrap().len() > 300, "{format}");
        }

        let before = fs::read(dir.join("intermediate.pem")).unwrap();
        assert_eq!(ca(&dir, "rotate").0, ExitCode::SUCCESS);
        assert_ne!(fs::read(dir.join("intermediate.pem")).unwrap(), before);
        assert_eq!(ca(&dir, "export").1, pem);
        let (_, text) = ca(&dir, "rotate --root");
        assert!(text.contains(&format!("earlier CA  {fingerprint}")), "{text}");
        assert_eq!(ca(&dir, "export").1.matches("BEGIN CERTIFICATE").count(), 2);
    }

    #[test]
    fn a_wrong_mode_is_reported_as_json_with_its_fix() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("ca");
        ca(&dir, "init");
        fs::set_permissions(dir.join("root.key"), fs::Permissions::from_mode(0o640)).unwrap();
        let (code, json) = ca(&dir, "show --json");
        assert_eq!(code, ExitCode::from(2));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["error"]["code"], "ca_mode");
        assert_eq!(value["error"]["fix"], format!("chmod 600 {}", dir.join("root.key").display()));
    }

    #[test]
    fn import_replaces_only_when_forced() {
        let place = tempfile::tempdir().unwrap();
        let (one, two) = (place.path().join("one"), place.path().join("two"));
        ca(&one, "init");
        ca(&two, "init");
        let import = format!(
            "import --cert {} --key {}",
            one.join("root.pem").display(),
            one.join("root.key").display()
        );
        assert_eq!(ca(&two, &import).0, ExitCode::from(2));
        let (code, text) = ca(&two, &format!("{import} --force"));
        assert_eq!(code, ExitCode::SUCCESS);
        assert!(text.contains("earlier CA"), "{text}");
        assert!(ca(&two, "export").1.starts_with(&ca(&one, "export").1));
    }

    #[test]
    fn the_log_lists_mints_newest_last_and_keeps_the_terminal_safe() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("ca");
        let authority = CaDir::new(&dir).open_or_create(NOW).unwrap();
        authority.start_log().unwrap();
        for name in ["a.test", "b.test", "c.test"] {
            let host = crate::net::Host::parse(name).unwrap();
            authority.mint(&crate::ca::LeafProfile::new(&host), NOW).unwrap();
        }
        drop(authority);
        let (code, text) = ca(&dir, "log -n 2");
        assert_eq!(code, ExitCode::SUCCESS);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("2026-11-21 09:00Z  until 2026-11-22 09:00Z  "));
        assert!(lines[0].ends_with("  b.test") && lines[1].ends_with("  c.test"), "{text}");
        let (_, json) = ca(&dir, "log --json");
        assert_eq!(json.lines().count(), 3);
        let path = dir.join("mints.jsonl");
        let evil = fs::read_to_string(&path).unwrap().replace("c.test", "\\u001b[2Jc.test");
        fs::write(&path, evil).unwrap();
        assert!(!ca(&dir, "log").1.contains('\u{1b}'));
    }
}
