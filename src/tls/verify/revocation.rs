//! Whether a certificate was withdrawn: by the revocation lists that the operator keeps, and by the OCSP
//! response that the server staples. Nobody is asked over the network: that would tell a stranger which
//! sites are visited, and hold up every handshake when he is slow.

use std::collections::HashSet;
use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::pki_types::{CertificateRevocationListDer, UnixTime, pem::PemObject};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::ocsp::{self, Staple};
use super::path::Path;
use super::{Refused, RevocationMode, RootsError, profile};

/// What is known of a certificate that passed; a revoked one does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Revocation {
    /// Revocation is switched off.
    #[default]
    NotChecked,
    /// A list or a response that is in force says that it was not revoked.
    Good,
    /// Nobody said anything that is in force.
    Unknown,
}

impl Revocation {
    /// The stable name for audit records.
    pub fn code(self) -> &'static str {
        match self {
            Revocation::NotChecked => "not_checked",
            Revocation::Good => "good",
            Revocation::Unknown => "unknown",
        }
    }
}

/// Bytes of one file of lists. The largest public ones have some 10 MiB.
const FILE: u64 = 64 << 20;

/// Files in one folder.
const FILES: usize = 4096;

/// The lists of one policy.
pub(super) struct Crls(Vec<Crl>);

struct Crl {
    list: CertRevocationList<'static>,
    this_update: i64,
    path: PathBuf,
    /// It was warned of.
    told: AtomicBool,
}

/// The certificate whose status is asked for.
pub(super) struct Asked<'a> {
    pub entity: &'a EndEntityCert<'a>,
    pub leaf: &'a X509Certificate<'a>,
    pub path: &'a Path<'a>,
    pub now: UnixTime,
    pub seen: &'a str,
}

impl Crls {
    /// Reads files, and the `.crl`, `.pem`, `.der` and `.r0` files of folders. One list that cannot be read
    /// refuses all of them: a list that is silently left out withdraws nothing.
    pub(super) fn load(paths: &[PathBuf]) -> Result<Crls, RootsError> {
        let mut lists = Vec::new();
        for path in paths {
            let cannot = |problem: String| RootsError::Crl { path: path.clone(), problem };
            if !fs::metadata(path).map_err(|error| cannot(error.to_string()))?.is_dir() {
                lists.extend(file(path)?);
                continue;
            }
            let entries = fs::read_dir(path).map_err(|error| cannot(error.to_string()))?;
            let mut files = Vec::new();
            for entry in entries {
                let file = entry.map_err(|error| cannot(error.to_string()))?.path();
                if is_named_like_a_list(&file) {
                    files.push(file);
                }
            }
            if files.is_empty() {
                let path = path.display();
                tracing::warn!(%path, "the folder of revocation lists holds none: no .crl, .pem, .der or .r0 file");
            }
            files.sort();
            // Who gave the folder the names of hashes (`openssl rehash`) has each list in it under two.
            let mut seen = HashSet::new();
            files.retain(|file| fs::canonicalize(file).map_or(true, |real| seen.insert(real)));
            if files.len() > FILES {
                return Err(cannot(format!("the folder holds more than {FILES} lists")));
            }
            for path in files {
                lists.extend(file(&path)?);
            }
        }
        Ok(Crls(lists))
    }

    /// What is known of the certificate; an error when it must not be used.
    pub(super) fn status(
        &self,
        asked: &Asked<'_>,
        staple: &[u8],
        mode: RevocationMode,
        warnings: &mut Vec<&'static str>,
    ) -> Result<Revocation, Refused> {
        let seen = asked.seen;
        let listed = self.listed(asked)?;
        let must_staple = profile::must_staple(asked.leaf);
        if must_staple && staple.is_empty() {
            let problem =
                format!("{seen} promises a proof that it was not revoked, and the server sent none");
            return Err(Refused::new("staple_missing", problem));
        }
        let stapled = if staple.is_empty() { Staple::Unknown } else { ocsp::read(staple, asked) };
        let bad = |what: &str| {
            Err(Refused::new("staple_bad", format!("{seen} came with an OCSP response that {what}")))
        };
        let stapled = match stapled {
            Staple::Good => Revocation::Good,
            Staple::Revoked => return Err(Refused::new("revoked", format!("{seen} was revoked (OCSP)"))),
            // What is false is refused whatever the policy: an honest server does not send it.
            Staple::False(what) => return bad(what),
            Staple::Useless(what) if must_staple => return bad(what),
            Staple::Unknown if must_staple => return bad("does not know the certificate"),
            Staple::Useless(_) => {
                warnings.push("staple_stale");
                Revocation::Unknown
            }
            Staple::Unknown => Revocation::Unknown,
        };
        let known = if listed == Revocation::Good { listed } else { stapled };
        if known != Revocation::Good && mode == RevocationMode::Hard {
            let problem =
                format!("nobody says whether {seen} was revoked, and the policy asks for an answer");
            return Err(Refused::new("revocation_unknown", problem));
        }
        Ok(known)
    }

    fn listed(&self, asked: &Asked<'_>) -> Result<Revocation, Refused> {
        let mut known = Revocation::Unknown;
        for crl in &self.0 {
            if !crl.concerns(asked) {
                continue;
            }
            // An old list no longer says who is still good, but who was withdrawn stays so.
            match crl.says(
                asked,
                RevocationCheckDepth::Chain,
                UnknownStatusPolicy::Allow,
                ExpirationPolicy::Ignore,
            ) {
                Ok(()) => {}
                Err(webpki::Error::CertRevoked) => {
                    let problem =
                        format!("{} was revoked, or one above it ({})", asked.seen, crl.path.display());
                    return Err(Refused::new("revoked", problem));
                }
                Err(error) => {
                    // Once for each list that was read: every handshake comes by here.
                    if !crl.told.swap(true, Ordering::Relaxed) {
                        tracing::warn!(crl = %crl.path.display(), %error, "a revocation list is not usable");
                    }
                    continue;
                }
            }
            // Another list says so already.
            if known == Revocation::Good {
                continue;
            }
            let deny = UnknownStatusPolicy::Deny;
            if crl.says(asked, RevocationCheckDepth::EndEntity, deny, ExpirationPolicy::Enforce).is_ok() {
                known = Revocation::Good;
            }
        }
        Ok(known)
    }
}

/// By its ending, in either case: `.r0` and on are how `openssl rehash` names them.
fn is_named_like_a_list(path: &FilePath) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let rehashed =
        extension.strip_prefix('r').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    rehashed || ["crl", "pem", "der"].contains(&extension.as_str())
}

impl Crl {
    /// Issued by somebody on the path who may issue lists, and not dated in the future.
    fn concerns(&self, asked: &Asked<'_>) -> bool {
        let issuer = self.list.issuer();
        let from_root = issuer == asked.path.anchor.subject.as_ref();
        let named = asked.entity.issuer() == issuer
            || asked.path.above.iter().any(|der| {
                X509Certificate::from_der(der).is_ok_and(|(_, cert)| cert.issuer().as_raw().ends_with(issuer))
            });
        // Small clocks apart, a list from the future is a mistake or a forgery.
        let now = i64::try_from(asked.now.as_secs()).unwrap_or(i64::MAX);
        named && (!from_root || asked.path.root.signs_crls) && self.this_update <= now + 300
    }

    /// webpki's answer on this list alone, along the path that was found.
    fn says(
        &self,
        asked: &Asked<'_>,
        depth: RevocationCheckDepth,
        unknown: UnknownStatusPolicy,
        expired: ExpirationPolicy,
    ) -> Result<(), webpki::Error> {
        let lists = [&self.list];
        let options = RevocationOptionsBuilder::new(&lists)
            .map_err(|_| webpki::Error::UnknownRevocationStatus)?
            .with_depth(depth)
            .with_status_policy(unknown)
            .with_expiration_policy(expired)
            .build();
        let provider = crate::tls::provider();
        asked
            .entity
            .verify_for_usage(
                provider.signature_verification_algorithms.all,
                std::slice::from_ref(asked.path.anchor),
                &asked.path.above,
                asked.now,
                KeyUsage::server_auth(),
                Some(options),
                None,
            )
            .map(drop)
    }
}

fn file(path: &FilePath) -> Result<Vec<Crl>, RootsError> {
    let cannot = |problem: String| RootsError::Crl { path: path.to_owned(), problem };
    let size = fs::metadata(path).map_err(|error| cannot(error.to_string()))?.len();
    if size > FILE {
        return Err(cannot(format!("it has {size} bytes, more than {FILE}")));
    }
    let bytes = fs::read(path).map_err(|error| cannot(error.to_string()))?;
    lists(&bytes, path).map_err(cannot)
}

/// The lists in a file, PEM or DER.
fn lists(bytes: &[u8], path: &FilePath) -> Result<Vec<Crl>, String> {
    // DER begins with the tag of a SEQUENCE, which is the digit 0 in a text.
    if bytes.first() == Some(&0x30) && bytes.get(1).is_some_and(|length| *length >= 0x80 || *length < 0x20) {
        return Ok(vec![list(bytes, path)?]);
    }
    let lists: Vec<Crl> = CertificateRevocationListDer::pem_slice_iter(bytes)
        .map(|der| der.map_err(|error| error.to_string()).and_then(|der| list(&der, path)))
        .collect::<Result<_, _>>()?;
    if lists.is_empty() { Err("it holds no revocation list".to_owned()) } else { Ok(lists) }
}

fn list(der: &[u8], path: &FilePath) -> Result<Crl, String> {
    let list = OwnedCertRevocationList::from_der(der).map_err(|error| error.to_string())?;
    let (_, parsed) = CertificateRevocationList::from_der(der).map_err(|error| error.to_string())?;
    let this_update = parsed.last_update().timestamp();
    Ok(Crl {
        list: CertRevocationList::from(list),
        this_update,
        path: path.to_owned(),
        told: AtomicBool::new(false),
    })
}

#[cfg(test)]
pub(super) fn readable(bytes: &[u8]) -> bool {
    lists(bytes, FilePath::new("test")).is_ok()
}

#[cfg(test)]
pub(super) fn count(paths: &[PathBuf]) -> Result<usize, String> {
    Crls::load(paths).map(|crls| crls.0.len()).map_err(|error| error.to_string())
}
