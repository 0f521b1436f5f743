//! The command line: `portward run` and the commands around it. Each command is a function from
//! its arguments to an exit code: 0 fine, 1 a finding or failure, 2 usage or configuration.

pub mod ca;
pub mod doctor;
pub mod env;
pub mod explain;
pub mod rules;
mod run;
pub mod trust;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use time::OffsetDateTime;

use crate::config::{self, Flags, System};

/// A TLS-inspecting forward proxy and web application firewall
#[derive(Parser)]
#[command(name = "portward", version, about, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: Flags,
}

#[derive(Subcommand)]
pub enum Command {
    /// Run the proxy (the default)
    Run(Flags),
    /// Run one command through the proxy, trusting its CA; nothing is installed
    Exec(env::ExecCommand),
    /// Load configuration and rules, and print what is in effect
    Check(Flags),
    /// The certificate authority: init, import, show, export, rotate, passwd, log
    Ca(ca::CaCommand),
    /// Make this machine's stores of roots trust the CA: install, status, remove
    Trust(trust::TrustCommand),
    /// Print the proxy and CA variables for a shell or a tool
    Env(env::EnvCommand),
    /// Rule sets: check, test, list, explain, cost, eval, import, schema
    Rules(rules::RulesArgs),
    /// Why a request was blocked or failed, and the narrowest exclusion
    Explain(explain::ExplainArgs),
    /// Why a host cannot be reached or is not trusted, and what to do about it
    Doctor(Box<doctor::DoctorCommand>),
}

const USAGE: u8 = 2;

/// Runs a command and says how it went.
pub fn dispatch(command: Command) -> ExitCode {
    let now = OffsetDateTime::now_utc();
    // These read the CA's keys. `exec` and `env` do not, and what `exec` becomes decides for itself.
    if matches!(command, Command::Ca(_) | Command::Trust(_) | Command::Doctor(_)) {
        crate::app::no_core_dumps();
    }
    let outcome = placed(command).and_then(|command| carry_out(command, now));
    match outcome {
        Ok(code) => code,
        // The reader of a pipe that has seen enough is no failure of ours.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portward: {error:#}");
            USAGE.into()
        }
    }
}

fn carry_out(command: Command, now: OffsetDateTime) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match command {
        Command::Run(flags) => {
            drop(out);
            Ok(run::run(flags).into())
        }
        Command::Check(flags) => Ok(run::check(&flags, &mut out).into()),
        Command::Exec(command) => env::exec(&command, now),
        Command::Ca(command) => ca::run(&command, now, &mut out),
        Command::Trust(command) => trust::run(&command, now, &mut out),
        Command::Env(command) => env::run(&command, now, &mut out),
        Command::Rules(args) => rules::run(&args, &mut out).map(finding).map_err(anyhow::Error::from),
        Command::Explain(args) => explained(&args, &mut out),
        Command::Doctor(command) => doctor::run(&command, now, &mut out),
    }
}

/// Every command that looks at the CA looks where `run` with the same configuration does, and unlocks it by the same
/// files: what no flag and no variable says comes from the file.
fn placed(mut command: Command) -> anyhow::Result<Command> {
    let ca = match &mut command {
        Command::Ca(command) => &mut command.ca,
        Command::Trust(command) => &mut command.ca,
        Command::Env(command) => &mut command.ca,
        Command::Exec(command) => &mut command.ca,
        _ => return Ok(command),
    };
    let flags = Flags {
        config: ca.config.clone(),
        ca: ca.dir.clone(),
        ca_passphrase_file: ca.unlock.passphrase_file.clone(),
        ca_pin_file: ca.unlock.pin_file.clone(),
        ..Flags::default()
    };
    let place = match config::load_ca(&flags, &System::current()) {
        Ok(place) => place,
        // What needs no CA needs no configuration.
        Err(_) if matches!(&command, Command::Trust(trust) if trust.needs_no_ca()) => return Ok(command),
        // Nor does what was told where the CA is, unless it was told of the configuration too.
        Err(error) if flags.ca.is_some() && flags.config.is_none() => {
            eprintln!("portward: warning: {error}");
            return Ok(command);
        }
        Err(error) => return Err(error.into()),
    };
    ca.dir = Some(place.dir);
    if ca.unlock.passphrase_env.is_none() {
        ca.unlock.passphrase_file = place.passphrase_file;
    }
    ca.unlock.pin_file = place.pin_file;
    Ok(command)
}

fn finding(finding: rules::Finding) -> ExitCode {
    match finding {
        rules::Finding::Fine => ExitCode::SUCCESS,
        rules::Finding::Failed => ExitCode::FAILURE,
        rules::Finding::Broken => USAGE.into(),
    }
}

/// `explain` looks where `run` with the same configuration writes.
fn explained(args: &explain::ExplainArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let flags = Flags { config: args.config.clone(), ..Flags::default() };
    let config = config::load(&flags, &System::current())?;
    let path = config.audit.path.unwrap_or_else(|| config.state_dir.join("audit.jsonl"));
    explain::run(args, out, &path).map(ExitCode::from)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
