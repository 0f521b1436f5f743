//! The command line: `portward run` and the commands around it. Each command is a function from
//! its arguments to an exit code: 0 fine, 1 a finding or failure, 2 usage or configuration.

pub mod ca;
pub mod env;
pub mod explain;
pub mod rules;
mod run;

use clap::{Parser, Subcommand};

use crate::config::Flags;

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
    /// Load configuration and rules, and print what is in effect
    Check(Flags),
}

/// Runs a command and says how it went.
pub fn dispatch(command: Command) -> u8 {
    match command {
        Command::Run(flags) => run::run(flags),
        Command::Check(flags) => run::check(&flags),
    }
}
