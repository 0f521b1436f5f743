//! `portward run` and `portward check`.

use std::io::{IsTerminal, Write};

use tracing_subscriber::EnvFilter;

use super::USAGE;
use crate::app;
use crate::config::{self, Config, Flags, System};

/// Runs the proxy until it is told to stop.
pub fn run(flags: Flags) -> u8 {
    let Some(config) = load(&flags) else { return USAGE };
    log(&config.log);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = config.workers {
        runtime.worker_threads(workers);
    }
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("portward: the runtime cannot be started: {error}");
            return 1;
        }
    };
    let outcome = runtime.block_on(app::run(config, flags));
    // Blocked helper threads do not keep the process from ending.
    runtime.shutdown_background();
    match outcome {
        // A drain that was cut short has been told in the log; the stop itself was asked for.
        Ok(_) => 0,
        Err(error) => {
            eprintln!("portward: {error}");
            if error.is_configuration() { USAGE } else { 1 }
        }
    }
}

/// Loads everything that `run` would but the CA (`portward ca show` does that), and prints the effective configuration.
pub fn check(flags: &Flags, out: &mut dyn Write) -> u8 {
    let Some(config) = load(flags) else { return USAGE };
    match app::check(&config) {
        Ok(rules) => {
            match config.render() {
                // Nobody reads: then nobody misses it.
                Ok(text) => drop(out.write_all(text.as_bytes())),
                Err(error) => {
                    eprintln!("portward: the configuration cannot be written as TOML: {error}");
                    return 1;
                }
            }
            for (rule, date) in config.policy.expired(std::time::SystemTime::now()) {
                eprintln!("portward: warning: the bypass rule `{rule}` expired ({date}) and no longer holds");
            }
            eprintln!("portward: the configuration and {rules} rules load");
            0
        }
        Err(error) => {
            eprintln!("portward: {error}");
            if error.is_configuration() { USAGE } else { 1 }
        }
    }
}

fn load(flags: &Flags) -> Option<Config> {
    match config::load(flags, &System::current()) {
        Ok(config) => Some(config),
        Err(error) => {
            eprintln!("portward: {error}");
            None
        }
    }
}

fn log(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    // A second call (there is none in this process) would keep the first subscriber.
    let _ = subscriber.try_init();
}
