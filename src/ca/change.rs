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
        let old = self.read_root(now);
        // A new root is as narrow as the one before, and its key lives where that one's does.
        let narrow =
            old.as_ref().map_or_else(|_| Constraints::default(), |old| old.chain[0].constraints.clone());
        let token = self.token()?.map(|uri| uri.named(&stamp(now)));
        let key = self.new_key(token.as_ref())?;
        let params = root_params(now, &narrow)?;
        let cross = match &old {
            Ok(Root { chain, signer: Some(signer), .. }) if may_be_crossed(chain) => {
                Some(cross_certificate(signer, &params, &key)?)
            }
            _ => None,
        };
        self.put_root_aside(now)?;
        if let Some(cross) = cross {
            store::write(&self.cross_pem(), pki::cert_pem(&cross).as_bytes(), Secrecy::Public)?;
        }
        self.write_root(&params, &key, token.as_ref())
    }

    /// The token that the root's key is in.
    fn token(&self) -> Result<Option<TokenUri>, CaError> {
        let path = self.root_key();
        // A file that is refused is replaced by a rotation as well.
        let Ok(Some(bytes)) = store::read(&path, Secrecy::Key) else { return Ok(None) };
        pki::token_address(&bytes, &path)
    }

    /// Puts every key of the folder under another passphrase, or none. The root's comes last: while it opens with
    /// the old one, what a crash left half done is mended by running this again.
    pub fn change_passphrase(&self, new: Option<SecretSource>, now: OffsetDateTime) -> Result<Ca, CaError> {
        self.must_exist()?;
        if let Some(new) = &new {
            new.read()?;
        }
        let with_new = self.clone().with_secrets(Secrets { passphrase: new, pin: self.secrets.pin.clone() });
        let lock = self.lock()?;
        for path in self.key_files()? {
            let Some(bytes) = store::read(&path, Secrecy::Key)? else { continue };
            if pki::token_address(&bytes, &path)?.is_some() {
                continue;
            }
            let key = match pki::parse_key(&bytes, &path, self.secrets.passphrase.as_ref()) {
                Ok(key) => key,
                // Under the new one already, from an attempt before.
                Err(error) => match pki::parse_key(&bytes, &path, with_new.secrets.passphrase.as_ref()) {
                    Ok(_) => continue,
                    Err(_) => return Err(error),
                },
            };
            let text = match &with_new.secrets.passphrase {
                Some(passphrase) => secret::encrypt(&key, &passphrase.read()?)?,
                None => pki::key_pem(&key),
            };
            store::write(&path, text.as_bytes(), Secrecy::Key)?;
        }
        drop(lock);
        with_new.open(now)
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
        let words = Constraints::new(&new.permit, &new.exclude).words();
        let narrow = if words.is_empty() { String::new() } else { format!(" that {}", words.join(", ")) };
        out.push(format!("write {}: a new root, ten years{narrow}", self.root_pem().display()));
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
            return Ok(self.would_write_intermediate().into());
        }
        let mut out = self.would_set_aside(now);
        if let Ok(Root { chain, signer: Some(_), .. }) = self.read_root(now)
            && may_be_crossed(&chain)
        {
            let cross = self.cross_pem();
            out.push(format!("write {}: the new root signed by the old one, 90 days", cross.display()));
        }
        out.push(format!("write {}: a new root, ten years", self.root_pem().display()));
        let token = self.token()?.map(|uri| uri.named(&stamp(now)));
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
        let mut out = Vec::new();
        for path in self.key_files()? {
            let Some(bytes) = store::read(&path, Secrecy::Key)? else { continue };
            if pki::token_address(&bytes, &path)?.is_none() {
                pki::parse_key(&bytes, &path, self.secrets.passphrase.as_ref())?;
                out.push(format!("write {}: the same key {how}", path.display()));
            }
        }
        Ok(out)
    }

    fn open_as_it_is(&self, now: OffsetDateTime) -> Result<(), CaError> {
        store::check_dir(self.path())?;
        self.read_root(now).map(drop)
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
