//! The path from an origin's certificate to a root: webpki finds it, within bounds that no honest server
//! reaches; every certificate on it is then held to its form.

use std::cell::RefCell;

use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::distrust::{KeyDigest, Own};
use super::roots::{Root, Roots};
use super::{CertificateInfo, Refused, profile, words};

/// Certificates of one chain. Browsers take some ten; nobody needs more than a handful.
const CERTIFICATES: usize = 24;

/// Bytes of one chain, as much as one TLS handshake message may carry.
const BYTES: usize = 64 * 1024;

/// Bytes of one certificate: a thousand names fit.
const CERTIFICATE: usize = 48 * 1024;

/// Refuses before anything is parsed (RUSTSEC-2023-0053: work grows faster than the chain).
pub(super) fn bounds(chain: &[CertificateDer<'_>]) -> Result<(), Refused> {
    let bytes: usize = chain.iter().map(|der| der.len()).sum();
    if chain.len() > CERTIFICATES || bytes > BYTES || chain.iter().any(|der| der.len() > CERTIFICATE) {
        return Err(Refused::new(
            "chain_too_large",
            format!("the origin sent {} certificates of {bytes} bytes, more than anyone needs", chain.len()),
        ));
    }
    Ok(())
}

/// A path that holds.
pub(super) struct Path<'a> {
    /// From the leaf's issuer upwards, without the root.
    pub above: Vec<CertificateDer<'a>>,
    pub root: &'a Root,
    pub anchor: &'a TrustAnchor<'static>,
}

impl Path<'_> {
    /// The public keys of everything above the leaf, the root's last.
    pub(super) fn keys(&self) -> Vec<KeyDigest> {
        let above = self.above.iter().filter_map(|der| KeyDigest::of(der));
        above.chain(std::iter::once(self.root.key)).collect()
    }

    pub(super) fn issuer_key(&self) -> KeyDigest {
        self.above.first().and_then(|der| KeyDigest::of(der)).unwrap_or(self.root.key)
    }

    /// What webpki does not ask of roots and intermediates.
    pub(super) fn acceptable(&self, now: UnixTime, seen: &str) -> Result<(), Refused> {
        // RFC 5280 section 6.1.1 takes a root as a name and a key; its dates are the user's wish all the
        // same, and every browser but one obeys them.
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let root = self.root;
        if root.not_after.is_some_and(|end| now > end) {
            return Err(Refused::new(
                "cert_expired",
                format!("{seen} leads to the root {}, which expired", root.subject),
            ));
        }
        if root.not_before.is_some_and(|start| now < start) {
            let problem = format!("{seen} leads to the root {}, which is not valid yet", root.subject);
            return Err(Refused::new("cert_not_yet_valid", problem));
        }
        for der in &self.above {
            let issuer = profile::read(der).and_then(|cert| profile::issuer(&cert));
            issuer.map_err(|fault| {
                Refused::new(fault.code, format!("{seen} has an issuer that {}", fault.what))
            })?;
        }
        Ok(())
    }
}

/// Why there is no path.
pub(super) enum Failed {
    /// There is one, and it was refused.
    Refused(Refused),
    Webpki(webpki::Error),
}

/// Finds the first path that `accept` accepts.
pub(super) fn find<'a>(
    roots: &'a Roots,
    entity: &'a EndEntityCert<'a>,
    above: &'a [CertificateDer<'a>],
    now: UnixTime,
    accept: impl Fn(&Path<'_>) -> Result<(), Refused>,
) -> Result<Path<'a>, Failed> {
    let refused = RefCell::new(None);
    let check = |found: &VerifiedPath<'_>| -> Result<(), webpki::Error> {
        let Some((root, anchor)) = roots.of(found.anchor()) else { return Err(webpki::Error::UnknownIssuer) };
        let above = found.intermediate_certificates().map(|cert| cert.der()).collect();
        accept(&Path { above, root, anchor }).map_err(|why| {
            refused.borrow_mut().get_or_insert(why);
            webpki::Error::UnknownIssuer
        })
    };
    let provider = crate::tls::provider();
    let found = entity.verify_for_usage(
        provider.signature_verification_algorithms.all,
        roots.anchors(),
        above,
        now,
        KeyUsage::server_auth(),
        None,
        Some(&check),
    );
    match found {
        Ok(found) => {
            let known = roots.of(found.anchor());
            let (root, anchor) = known.ok_or(Failed::Webpki(webpki::Error::UnknownIssuer))?;
            let above = found.intermediate_certificates().map(|cert| cert.der().into_owned()).collect();
            Ok(Path { above, root, anchor })
        }
        Err(error) => Err(refused.into_inner().map_or(Failed::Webpki(error), Failed::Refused)),
    }
}

impl Failed {
    pub(super) fn in_words(
        self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        own: &Own,
        seen: &str,
        name: &ServerName<'_>,
        info: Option<&CertificateInfo>,
    ) -> Refused {
        let error = match self {
            Failed::Refused(refused) => return refused,
            Failed::Webpki(error) => error,
        };
        // A signature with a short key is not looked at, which webpki tells as a wrong one.
        let short = || above.iter().find_map(|der| profile::key(&profile::read(der).ok()?).err());
        if let (webpki::Error::InvalidSignatureForPublicKey, Some(fault)) = (&error, short()) {
            return Refused::new(fault.code, format!("{seen} came with an issuer that {}", fault.what));
        }
        if !matches!(error, webpki::Error::UnknownIssuer) {
            return Refused::new(words::webpki_code(&error), words::sentence(seen, name, info, &error));
        }
        let code = words::issuer_problem(leaf, above, own);
        Refused::new(code, words::issuer_sentence(code, seen))
    }
}
