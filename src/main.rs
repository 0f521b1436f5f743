//! The process: arguments, logging, runtime, exit code.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use portward::cli::{self, Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    cli::dispatch(cli.command.unwrap_or(Command::Run(cli.run)))
}
