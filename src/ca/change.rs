//! What a person changes in a CA folder: import, rotate, another passphrase; and, for each, what would be
//! written. Everything that can be refused is refused before a file is touched.

use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::macros::format_description;

use super::constraint::Constraints;
use super::issue::{
    check_minting, cross_certificate, may_have_intermediate, new_intermediate, order_chain, root_params,
    served,
};
use super::pki::{self, CaCert, Key, Signer};
use super::root::{CaDir, NewCa, Root};
use super::secret::{self, SecretSource, Secrets};
use super::store::{self, Secrecy};
use super::token::{TokenKey, TokenUri};
use super::{Ca, CaError};

/// What `rotate` replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotate {
    Intermediate,
    /// The clients need the new root before the overlap ends.
    Root,
}

/// Where the key of an imported CA is.
#[derive(Clone, Debug)]
pub enum GivenKey {
    /// A file, and what opens it.
    File(PathBuf, Option<SecretSource>),
    /// It stays in its token.
    Token(TokenUri),
}

/// An imported CA that was found good.
struct Imported {
    chain: Vec<CaCert>,
    key: Key,
    has_intermediate: bool,
}

/// What a new root takes over from the one before it.
struct Before {
    narrow: Constraints,
    /// Where its key is, if that is in a token.
    token: Option<TokenUri>,
    /// It leads its clients to the new one.
    crossed_by: Option<Signer>,
}

/// Keys of the folder, in the order in which they are written.
struct Opened {
    keys: Vec<(PathBuf, pki::Secret)>,
    /// Keys of earlier roots that nothing given opens.
    left: Vec<PathBuf>,
}

impl CaDir {
    /// Puts an existing CA into the folder: a root, or a sub-CA with the chain above it in the
    /// same file. A CA that is there already is set aside with `replace`, else it is an error.
    pub fn import(
        &self,
        cert: &Path,
        key: &GivenKey,
        replace: bool,
        now: OffsetDateTime,
    ) -> Result<Ca, CaError> {
        let imported = self.examine(cert, key, replace, now)?;
        self.prepare()?;
        let lock = self.lock()?;
        self.may_replace(replace)?;
        self.put_root_aside(now)?;
        let pem: String = imported.chain.iter().map(|cert| pki::cert_pem(&cert.der)).collect();
        let token = match key {
            GivenKey::Token(uri) => Some(uri),
            GivenKey::File(..) => None,
        };
        let text = self.key_text(&imported.key, token)?;
        store::write_pair(&self.root_pem(), &self.root_key(), &pem, &text)?;
        if imported.has_intermediate {
            // In place of one that is another CA's, and may be under another passphrase.
            let (pem, key) = (self.root_pem(), self.root_key());
            let signer = Signer::new(imported.chain[0].clone(), imported.key, &pem, &key)?;
            self.write_intermediate(&signer, &imported.chain, now)?;
        }
        drop(lock);
        self.open(now)
    }

    fn may_replace(&self, replace: bool) -> Result<(), CaError> {
        if self.exists() && !replace {
            return Err(CaError::Exists { path: self.path().to_owned() });
        }
        Ok(())
    }

    fn examine(
        &self,
        cert: &Path,
        key: &GivenKey,
        replace: bool,
        now: OffsetDateTime,
    ) -> Result<Imported, CaError> {
        let (key, key_path) = match key {
            GivenKey::File(path, passphrase) => {
                let passphrase = passphrase.as_ref().or(self.secrets.passphrase.as_ref());
                let secret = pki::parse_key(&store::read_given(path)?, path, passphrase)?;
                (Key::from_der(&secret, path)?, path.as_path())
            }
            GivenKey::Token(uri) => {
                let key = TokenKey::open(uri, uri.pin(self.secrets.pin.as_ref()))?;
                (Key::from_token(key), uri.module())
            }
        };
        let certs = pki::parse_certs(&store::read_given(cert)?, cert)?;
        let chain = order_chain(certs, &key, cert, key_path)?;
        for certificate in &chain {
            certificate.check_dates(cert, now)?;
        }
        let has_intermediate = may_have_intermediate(&chain);
        let signer = Signer::new(chain[0].clone(), key.clone(), cert, key_path)?;
        let trial = if has_intermediate { new_intermediate(&signer, &chain, now)?.0 } else { signer };
        check_minting(&trial, &served(&trial.cert, &chain, None), &chain, cert, now)?;
        self.may_replace(replace)?;
        Ok(Imported { chain, key, has_intermediate })
    }

    /// Replaces the intermediate, or the root and with it the intermediate. Running proxies
    /// pick it up by themselves.
    pub fn rotate(&self, what: Rotate, now: OffsetDateTime) -> Result<Ca, CaError> {
        self.must_exist()?;
        let lock = self.lock()?;
        match what {
            Rotate::Intermediate => {
                let (chain, signer) = self.signing_root(now)?;
                if may_have_intermediate(&chain) {
                    self.must_open(&self.intermediate_key())?;
                    self.write_intermediate(&signer, &chain, now)?;
                }
            }
            Rotate::Root => self.rotate_root(now)?,
        }
        drop(lock);
        self.open(now)
    }

    fn must_exist(&self) -> Result<(), CaError> {
        if !self.exists() {
            return Err(CaError::Missing { path: self.path().to_owned() });
        }
        store::check_dir(self.path())
    }

    fn signing_root(&self, now: OffsetDateTime) -> Result<(Vec<CaCert>, Signer), CaError> {
        let Root { chain, signer, away, .. } = self.read_root(now)?;
        let Some(signer) = signer else {
            let why = away.unwrap_or_else(|| "it signs the new intermediate".into());
            return Err(CaError::RootKeyMissing { key: self.root_key(), why });
        };
        Ok((chain, signer))
    }

    fn rotate_root(&self, now: OffsetDateTime) -> Result<(), CaError> {
        let Before { narrow, token, crossed_by } = self.root_before(now)?;
        let token = token.map(|uri| uri.named(&stamp(now)));
        let key = self.new_key(token.as_ref())?;
        let params = root_params(now, &narrow)?;
        let cross = crossed_by.map(|old| cross_certificate(&old, &params, &key)).transpose()?;
        self.put_root_aside(now)?;
        if let Some(cross) = cross {
            store::write(&self.cross_pem(), pki::cert_pem(&cross).as_bytes(), Secrecy::Public)?;
        }
        self.write_root(&params, &key, token.as_ref())
    }

    /// The root that a rotation replaces. One that is broken or has ended is what a rotation is for; one that
    /// cannot be read for another reason is not, since the new root would be wider or less guarded than it.
    fn root_before(&self, now: OffsetDateTime) -> Result<Before, CaError> {
        let crossed_by = match self.read_root(now) {
            Ok(Root { chain, signer, .. }) => signer.filter(|_| may_be_crossed(&chain)),
            Err(
                CaError::Garbage { .. }
                | CaError::Mismatch { .. }
                | CaError::NotACa { .. }
                | CaError::Expired { .. }
                | CaError::RootCertMissing { .. },
            ) => None,
            Err(other) => return Err(other),
        };
        for path in [self.root_key(), self.intermediate_key()] {
            self.must_open(&path)?;
        }
        Ok(Before { narrow: self.constraints_before()?, token: self.token()?, crossed_by })
    }

    /// What the root and all CAs above it permit together. The intermediate says so too, where the root cannot
    /// be read.
    fn constraints_before(&self) -> Result<Constraints, CaError> {
        let chain = match self.read_chain() {
            Ok(chain) => chain,
            Err(CaError::Garbage { .. } | CaError::NotACa { .. } | CaError::RootCertMissing { .. }) => {
                let path = self.intermediate_pem();
                let pem = store::read(&path, Secrecy::Public)?;
                let chain = pem.and_then(|pem| pki::parse_certs(&pem, &path).ok()).unwrap_or_default();
                if chain.is_empty() {
                    return Err(CaError::ConstraintsLost { path: self.path().to_owned() });
                }
                chain
            }
            Err(other) => return Err(other),
        };
        Ok(chain.into_iter().fold(Constraints::default(), |all, cert| all.and(cert.constraints)))
    }

    /// The token that the root's key is in.
    fn token(&self) -> Result<Option<TokenUri>, CaError> {
        let path = self.root_key();
        match store::read(&path, Secrecy::Key)? {
            Some(bytes) => pki::token_address(&bytes, &path),
            None => Ok(None),
        }
    }

    /// Whether the passphrase given opens the root's key: who has it may choose another.
    pub fn check_passphrase(&self) -> Result<(), CaError> {
        self.must_exist()?;
        self.must_open(&self.root_key())
    }

    /// Puts every key of the folder under another passphrase, or none. All are opened before one is written, the
    /// root's last: while it opens with the old one, what a crash left half done is mended by running this
    /// again. Also tells which keys of earlier roots are left as they are, since no passphrase given opens them.
    pub fn change_passphrase(
        &self,
        new: Option<SecretSource>,
        now: OffsetDateTime,
    ) -> Result<(Ca, Vec<PathBuf>), CaError> {
        self.must_exist()?;
        let under = new.as_ref().map(SecretSource::read).transpose()?;
        let lock = self.lock()?;
        let Opened { keys, left } = self.open_keys(new.as_ref())?;
        for (path, key) in keys {
            let text = match &under {
                Some(passphrase) => secret::encrypt(&key, passphrase)?,
                None => pki::key_pem(&key),
            };
            store::write(&path, text.as_bytes(), Secrecy::Key)?;
        }
        drop(lock);
        let secrets = Secrets { passphrase: new, pin: self.secrets.pin.clone() };
        self.clone().with_secrets(secrets).open(now).map(|ca| (ca, left))
    }

    /// The keys that a change of the passphrase is to write. Those that are under the new one already, from an
    /// attempt before, and those in a token stay as they are.
    fn open_keys(&self, new: Option<&SecretSource>) -> Result<Opened, CaError> {
        let mut opened = Opened { keys: Vec::new(), left: Vec::new() };
        for path in self.key_files()? {
            let Some(bytes) = store::read(&path, Secrecy::Key)? else { continue };
            if pki::token_address(&bytes, &path)?.is_some() {
                continue;
            }
            match pki::parse_key(&bytes, &path, self.secrets.passphrase.as_ref()) {
                Ok(key) => opened.keys.push((path, key)),
                Err(_) if pki::parse_key(&bytes, &path, new).is_ok() => {}
                Err(_) if ![self.root_key(), self.intermediate_key()].contains(&path) => {
                    opened.left.push(path)
                }
                Err(error) => return Err(error),
            }
        }
        Ok(opened)
    }

    /// Every key in the folder, the root's last.
    fn key_files(&self) -> Result<Vec<PathBuf>, CaError> {
        let dir = self.path();
        let entries = std::fs::read_dir(dir).map_err(|e| CaError::io("list", dir, e))?;
        let mut paths: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "key"))
            .collect();
        paths.sort_by_key(|path| (*path == self.root_key(), path.clone()));
        Ok(paths)
    }

    /// Keeps the root's files under dated names. A usable CA is copied, so that a crash before
    /// the new one is in place leaves it; what cannot be used is moved out of the way.
    fn put_root_aside(&self, now: OffsetDateTime) -> Result<(), CaError> {
        let stamp = stamp(now);
        let usable = self.read_root(now).is_ok();
        for (path, secrecy) in [(self.root_key(), Secrecy::Key), (self.root_pem(), Secrecy::Public)] {
            if !usable {
                store::set_aside(&path, &stamp)?;
            } else if let Some(bytes) = store::read(&path, secrecy)? {
                store::write(&store::dated(&path, &stamp), &bytes, secrecy)?;
            }
        }
        Ok(())
    }
}

/// The clients of an old root can be led to a new one: it signs for itself, and for two CAs below it.
fn may_be_crossed(chain: &[CaCert]) -> bool {
    chain.len() == 1 && chain[0].path_len.is_none_or(|room| room >= 2)
}

/// `20261121T090000Z`, for file names.
fn stamp(now: OffsetDateTime) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    now.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_else(|_| now.unix_timestamp().to_string())
}

/// What each change would write, for `--dry-run`.
impl CaDir {
    /// Lines for a person, in the order in which it would happen.
    pub fn would_init(&self, new: &NewCa, now: OffsetDateTime) -> Result<Vec<String>, CaError> {
        if self.exists() {
            self.open_as_it_is(now)?;
            return Ok(vec![format!("nothing: there is a CA in {} already", self.path().display())]);
        }
        let mut out = Vec::new();
        if self.path().exists() {
            store::check_parents(self.path())?;
        } else {
            out.push(format!("make the folder {} (mode 700)", self.path().display()));
        }
        out.push(self.would_write_root(&Constraints::new(&new.permit, &new.exclude)));
        out.push(self.would_write_key(&self.root_key(), new.token.as_ref()));
        out.extend(self.would_write_intermediate());
        Ok(out)
    }

    pub fn would_import(
        &self,
        cert: &Path,
        key: &GivenKey,
        replace: bool,
        now: OffsetDateTime,
    ) -> Result<Vec<String>, CaError> {
        let imported = self.examine(cert, key, replace, now)?;
        let mut out = self.would_set_aside(now);
        let names: Vec<&str> = imported.chain.iter().map(|cert| cert.name.as_str()).collect();
        out.push(format!("write {}: {}", self.root_pem().display(), names.join(", signed by ")));
        let token = match key {
            GivenKey::Token(uri) => Some(uri),
            GivenKey::File(..) => None,
        };
        out.push(self.would_write_key(&self.root_key(), token));
        if imported.has_intermediate {
            out.extend(self.would_write_intermediate());
        } else {
            out.push("no intermediate: this CA may have none, and signs leaves itself".into());
        }
        Ok(out)
    }

    pub fn would_rotate(&self, what: Rotate, now: OffsetDateTime) -> Result<Vec<String>, CaError> {
        self.must_exist()?;
        if what == Rotate::Intermediate {
            let (chain, _) = self.signing_root(now)?;
            if !may_have_intermediate(&chain) {
                return Ok(vec!["nothing: this CA may have no intermediate".into()]);
            }
            self.must_open(&self.intermediate_key())?;
            return Ok(self.would_write_intermediate().into());
        }
        let Before { narrow, token, crossed_by } = self.root_before(now)?;
        let mut out = self.would_set_aside(now);
        if crossed_by.is_some() {
            let cross = self.cross_pem();
            out.push(format!("write {}: the new root signed by the old one, 90 days", cross.display()));
        }
        out.push(self.would_write_root(&narrow));
        let token = token.map(|uri| uri.named(&stamp(now)));
        out.push(self.would_write_key(&self.root_key(), token.as_ref()));
        out.extend(self.would_write_intermediate());
        Ok(out)
    }

    pub fn would_change_passphrase(&self, new: Option<&SecretSource>) -> Result<Vec<String>, CaError> {
        self.must_exist()?;
        if let Some(new) = new {
            new.read()?;
        }
        let how = if new.is_some() { "under the new passphrase" } else { "without a passphrase" };
        let Opened { keys, left } = self.open_keys(new)?;
        let written = keys.iter().map(|(path, _)| format!("write {}: the same key {how}", path.display()));
        let left =
            left.iter().map(|path| format!("leave {} as it is: nothing given opens it", path.display()));
        Ok(written.chain(left).collect())
    }

    fn open_as_it_is(&self, now: OffsetDateTime) -> Result<(), CaError> {
        store::check_dir(self.path())?;
        self.read_root(now).map(drop)
    }

    fn would_write_root(&self, narrow: &Constraints) -> String {
        let words = narrow.words();
        let narrow = if words.is_empty() { String::new() } else { format!(" that {}", words.join(", ")) };
        format!("write {}: a new root, ten years{narrow}", self.root_pem().display())
    }

    fn would_write_key(&self, path: &Path, token: Option<&TokenUri>) -> String {
        let path = path.display();
        match token {
            Some(uri) => format!("write {path}: the address of its key in a token, {uri} (mode 600)"),
            None if self.secrets.passphrase.is_some() => {
                format!("write {path}: its key under the passphrase (mode 600)")
            }
            None => format!("write {path}: its key, without a passphrase (mode 600)"),
        }
    }

    fn would_write_intermediate(&self) -> [String; 2] {
        let pem = self.intermediate_pem();
        [
            format!("write {}: a new intermediate, a week at most", pem.display()),
            self.would_write_key(&self.intermediate_key(), None),
        ]
    }

    fn would_set_aside(&self, now: OffsetDateTime) -> Vec<String> {
        let stamp = stamp(now);
        [self.root_key(), self.root_pem()]
            .iter()
            .filter(|path| path.symlink_metadata().is_ok())
            .map(|path| format!("keep {} as {}", path.display(), store::dated(path, &stamp).display()))
            .collect()
    }
}
