//! Passphrases and PINs on the command line: where they come from, never what they are. What only a person knows is
//! asked for at the terminal, without an echo.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use zeroize::Zeroizing;

use crate::ca::{SecretSource, Secrets};

/// What unlocks the keys of a CA.
#[derive(Args, Clone, Debug, Default)]
pub struct UnlockArgs {
    /// File whose first line is the passphrase of the CA's keys; given, keys are written encrypted
    #[arg(long, value_name = "FILE", env = "PORTWARD_CA_PASSPHRASE_FILE", global = true)]
    pub passphrase_file: Option<PathBuf>,
    /// Environment variable that holds the passphrase
    #[arg(long, value_name = "VAR", global = true, conflicts_with = "passphrase_file")]
    pub passphrase_env: Option<String>,
    /// File whose first line is the PIN of the PKCS #11 token that the CA's key is in
    #[arg(long, value_name = "FILE", env = "PORTWARD_CA_PIN_FILE", global = true)]
    pub pin_file: Option<PathBuf>,
}

impl UnlockArgs {
    pub fn secrets(&self) -> Secrets {
        Secrets {
            passphrase: source(self.passphrase_file.as_ref(), self.passphrase_env.as_ref()),
            pin: self.pin_file.clone().map(SecretSource::File),
        }
    }
}

/// The file, or else the variable.
pub fn source(file: Option<&PathBuf>, variable: Option<&String>) -> Option<SecretSource> {
    file.cloned().map(SecretSource::File).or_else(|| variable.cloned().map(SecretSource::Env))
}

/// True when somebody could be asked.
pub fn somebody_is_here() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

pub fn ask(question: &str) -> anyhow::Result<SecretSource> {
    let typed = rpassword::prompt_password(format!("{question}: "))?;
    Ok(SecretSource::Typed(Arc::new(Zeroizing::new(typed))))
}

/// In place of what would be asked for; enough for a dry run, and opens nothing.
pub fn to_be_asked() -> SecretSource {
    SecretSource::Typed(Arc::new(Zeroizing::new("not asked for".to_owned())))
}

/// A new passphrase, typed twice.
pub fn ask_new() -> anyhow::Result<SecretSource> {
    anyhow::ensure!(
        somebody_is_here(),
        "a passphrase is asked for at a terminal, and this is none\n  fix: give it by a file or a variable"
    );
    let first = Zeroizing::new(rpassword::prompt_password("new passphrase of the CA's keys: ")?);
    let second = Zeroizing::new(rpassword::prompt_password("the same once more: ")?);
    anyhow::ensure!(*first == *second, "the two are not the same; nothing was changed");
    anyhow::ensure!(!first.is_empty(), "an empty passphrase is none; nothing was changed");
    Ok(SecretSource::Typed(Arc::new(first)))
}
