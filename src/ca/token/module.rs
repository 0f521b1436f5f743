//! A key in a token, through the token's own PKCS #11 library. The private key is asked to sign and can do nothing
//! else here; made by us, it can never be taken out.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use aws_lc_rs::digest;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use rcgen::{PublicKeyData, SignatureAlgorithm, SigningKey};
use zeroize::Zeroizing;

use super::TokenUri;
use crate::ca::CaError;
use crate::ca::pki::tlv;
use crate::ca::secret::SecretSource;

/// Named curves (RFC 5480 section 2.1.1.1), as CKA_EC_PARAMS has them.
const P256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x06, 5, 0x2b, 0x81, 4, 0, 0x22];

/// A private key of a token, and its public half.
pub struct TokenKey {
    uri: TokenUri,
    pin: Option<SecretSource>,
    kind: Kind,
    public: Vec<u8>,
    /// One signature at a time. None after an error: the token may have been taken out and put back.
    session: Mutex<Option<(Session, ObjectHandle)>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    P256,
    P384,
    Rsa,
}

impl TokenKey {
    /// The key that is there.
    pub fn open(uri: &TokenUri, pin: Option<SecretSource>) -> Result<TokenKey, CaError> {
        let session = log_in(uri, pin.as_ref())?;
        let Some(private) = find(uri, &session, ObjectClass::PRIVATE_KEY)? else {
            return Err(failed(uri, &"it holds no private key of that name"));
        };
        TokenKey::of(uri, pin, session, private)
    }

    /// The key that is there, or a new one: P-256, made in the token, never to leave it.
    pub fn open_or_generate(uri: &TokenUri, pin: Option<SecretSource>) -> Result<TokenKey, CaError> {
        let session = log_in(uri, pin.as_ref())?;
        let private = match find(uri, &session, ObjectClass::PRIVATE_KEY)? {
            Some(private) => private,
            None => generate(uri, &session)?,
        };
        TokenKey::of(uri, pin, session, private)
    }

    fn of(
        uri: &TokenUri,
        pin: Option<SecretSource>,
        session: Session,
        private: ObjectHandle,
    ) -> Result<TokenKey, CaError> {
        let (kind, public) = public_half(uri, &session, private)?;
        let session = Mutex::new(Some((session, private)));
        Ok(TokenKey { uri: uri.clone(), pin, kind, public, session })
    }

    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, CaError> {
        let mut slot = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        // A token that was put back has forgotten the session from before. One that is new and does not sign gets
        // no second try: that would be a second login.
        if let Some(open) = slot.take()
            && let Ok(signature) = self.sign_in(&mut slot, open, message)
        {
            return Ok(signature);
        }
        let session = log_in(&self.uri, self.pin.as_ref())?;
        let key = find(&self.uri, &session, ObjectClass::PRIVATE_KEY)?
            .ok_or_else(|| failed(&self.uri, &"it holds no private key of that name"))?;
        self.sign_in(&mut slot, (session, key), message)
    }

    /// Signs in an open session, and keeps it when that went well.
    fn sign_in(
        &self,
        slot: &mut Option<(Session, ObjectHandle)>,
        (session, key): (Session, ObjectHandle),
        message: &[u8],
    ) -> Result<Vec<u8>, CaError> {
        let signed = match self.kind {
            Kind::Rsa => session.sign(&Mechanism::Sha256RsaPkcs, key, message),
            Kind::P256 => {
                session.sign(&Mechanism::Ecdsa, key, digest::digest(&digest::SHA256, message).as_ref())
            }
            Kind::P384 => {
                session.sign(&Mechanism::Ecdsa, key, digest::digest(&digest::SHA384, message).as_ref())
            }
        };
        let signature = signed.map_err(|error| failed(&self.uri, &error))?;
        *slot = Some((session, key));
        Ok(if self.kind == Kind::Rsa { signature } else { ecdsa_der(&signature) })
    }
}

impl PublicKeyData for TokenKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.kind {
            Kind::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Kind::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Kind::Rsa => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

impl SigningKey for TokenKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.try_sign(message).map_err(|error| {
            tracing::warn!(code = error.code(), %error, fix = error.fix(), "the token does not sign");
            rcgen::Error::RemoteKeyError
        })
    }
}

fn failed(uri: &TokenUri, what: &impl ToString) -> CaError {
    CaError::Token { token: uri.to_string(), what: what.to_string() }
}

/// A module is loaded and initialised once in the life of a process (PKCS #11 section 5.4).
fn module(uri: &TokenUri) -> Result<Pkcs11, CaError> {
    static LOADED: OnceLock<Mutex<HashMap<PathBuf, Pkcs11>>> = OnceLock::new();
    let mut loaded = LOADED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = loaded.get(uri.module()) {
        return Ok(module.clone());
    }
    let module = Pkcs11::new(uri.module()).map_err(|error| failed(uri, &error))?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(failed(uri, &error)),
    }
    loaded.insert(uri.module().to_owned(), module.clone());
    Ok(module)
}

fn slot(uri: &TokenUri, module: &Pkcs11) -> Result<Slot, CaError> {
    let mut found = Vec::new();
    for slot in module.get_slots_with_initialized_token().map_err(|error| failed(uri, &error))? {
        let Ok(info) = module.get_token_info(slot) else { continue };
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|w| w == value);
        if is(&uri.token, info.label()) && is(&uri.serial, info.serial_number()) {
            // Wrong PINs lock a token. One of ours is enough; the next attempt is a person's.
            if info.user_pin_locked() {
                return Err(failed(uri, &"its PIN is locked"));
            }
            if info.user_pin_count_low() || info.user_pin_final_try() {
                return Err(failed(
                    uri,
                    &"a wrong PIN was tried; log in once with the right one by hand, so that it is not locked",
                ));
            }
            found.push(slot);
        }
    }
    match found[..] {
        [slot] => Ok(slot),
        [] => Err(failed(uri, &"no such token is there")),
        _ => Err(failed(uri, &"more than one token is called that; add its serial=")),
    }
}

fn log_in(uri: &TokenUri, pin: Option<&SecretSource>) -> Result<Session, CaError> {
    let module = module(uri)?;
    let slot = slot(uri, &module)?;
    // Making a key needs a session that may write; signing does with it as well.
    let session = module
        .open_rw_session(slot)
        .or_else(|_| module.open_ro_session(slot))
        .map_err(|error| failed(uri, &error))?;
    let Some(pin) = pin else {
        return Err(failed(
            uri,
            &"it needs its PIN: --pin-file, [ca] pin_file, or pin-source in its address",
        ));
    };
    let pin = pin.read()?;
    let tried = Tried::of(uri, &pin);
    if tried.was_wrong() {
        return Err(failed(uri, &"its PIN was wrong before, and is not tried again; give the right one"));
    }
    match session.login(UserType::User, Some(&AuthPin::new(pin.as_str().into()))) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        Err(Error::Pkcs11(RvError::PinIncorrect, _)) => {
            tried.is_wrong();
            Err(failed(uri, &"the PIN is wrong"))
        }
        Err(error) => Err(failed(uri, &error)),
    }
}

/// A PIN for a token, as a digest. A process renews certificates again and again, and a token that does not tell how many
/// wrong PINs it has seen would be locked by one that does not remember: a wrong PIN is tried once in its life.
struct Tried([u8; 32]);

impl Tried {
    fn of(uri: &TokenUri, pin: &str) -> Tried {
        let text = Zeroizing::new(format!("{}\0{pin}", uri.token()));
        Tried(crate::ca::export::sha256(text.as_bytes()))
    }

    fn wrong() -> MutexGuard<'static, HashSet<[u8; 32]>> {
        static WRONG: OnceLock<Mutex<HashSet<[u8; 32]>>> = OnceLock::new();
        WRONG.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn was_wrong(&self) -> bool {
        Tried::wrong().contains(&self.0)
    }

    fn is_wrong(&self) {
        Tried::wrong().insert(self.0);
    }
}

fn template(uri: &TokenUri, class: ObjectClass) -> Vec<Attribute> {
    let mut template = vec![Attribute::Class(class)];
    template.extend(uri.object.as_ref().map(|label| Attribute::Label(label.as_bytes().to_vec())));
    template.extend(uri.id.as_ref().map(|id| Attribute::Id(id.clone())));
    template
}

fn find(uri: &TokenUri, session: &Session, class: ObjectClass) -> Result<Option<ObjectHandle>, CaError> {
    let found = session.find_objects(&template(uri, class)).map_err(|error| failed(uri, &error))?;
    match found[..] {
        [object] => Ok(Some(object)),
        [] => Ok(None),
        _ => Err(failed(uri, &"more than one key is called that; add its id=")),
    }
}

fn generate(uri: &TokenUri, session: &Session) -> Result<ObjectHandle, CaError> {
    let label = uri.object.clone().unwrap_or_else(|| "portward".to_owned()).into_bytes();
    let id = match &uri.id {
        Some(id) => id.clone(),
        None => crate::ca::random::<8>()?.to_vec(),
    };
    let public = [
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::EcParams(P256.to_vec()),
        Attribute::Label(label.clone()),
        Attribute::Id(id.clone()),
    ];
    let private = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Label(label),
        Attribute::Id(id),
    ];
    let (_, private) = session
        .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
        .map_err(|error| failed(uri, &error))?;
    Ok(private)
}

/// The public key as a certificate has it (without its algorithm), from the object beside the private one.
fn public_half(uri: &TokenUri, session: &Session, private: ObjectHandle) -> Result<(Kind, Vec<u8>), CaError> {
    let error = |error: Error| failed(uri, &error);
    let kind = session.get_attributes(private, &[AttributeType::KeyType]).map_err(error)?;
    let public = find(uri, session, ObjectClass::PUBLIC_KEY)?
        .ok_or_else(|| failed(uri, &"the key's public half is not in it under the same name"))?;
    if matches!(kind[..], [Attribute::KeyType(KeyType::RSA)]) {
        let parts = session
            .get_attributes(public, &[AttributeType::Modulus, AttributeType::PublicExponent])
            .map_err(error)?;
        let (mut modulus, mut exponent) = (None, None);
        for part in parts {
            match part {
                Attribute::Modulus(bytes) => modulus = Some(integer(&bytes)),
                Attribute::PublicExponent(bytes) => exponent = Some(integer(&bytes)),
                _ => {}
            }
        }
        let (Some(modulus), Some(exponent)) = (modulus, exponent) else {
            return Err(failed(uri, &"it does not tell the key's public half"));
        };
        return Ok((Kind::Rsa, tlv(0x30, &[&modulus, &exponent])));
    }
    let parts =
        session.get_attributes(public, &[AttributeType::EcParams, AttributeType::EcPoint]).map_err(error)?;
    let (mut curve, mut point) = (None, None);
    for part in parts {
        match part {
            Attribute::EcParams(bytes) if bytes == P256 => curve = Some(Kind::P256),
            Attribute::EcParams(bytes) if bytes == P384 => curve = Some(Kind::P384),
            // The point stands in an OCTET STRING; some tokens leave that out.
            Attribute::EcPoint(bytes) => {
                point = Some(match bytes[..] {
                    [4, length, 4, ..] if usize::from(length) == bytes.len() - 2 => bytes[2..].to_vec(),
                    _ => bytes,
                });
            }
            _ => {}
        }
    }
    match (curve, point) {
        (Some(curve), Some(point)) => Ok((curve, point)),
        _ => Err(failed(uri, &"the key is not RSA, ECDSA P-256 or P-384")),
    }
}

/// r and s side by side, as tokens give them, in the form of certificates (RFC 3279 section 2.2.3).
fn ecdsa_der(raw: &[u8]) -> Vec<u8> {
    let (r, s) = raw.split_at(raw.len() / 2);
    tlv(0x30, &[&integer(r), &integer(s)])
}

/// A positive DER INTEGER.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|b| **b == 0).count().min(bytes.len().saturating_sub(1));
    let digits = &bytes[zeros..];
    let sign: &[u8] = if digits.first().is_some_and(|b| b & 0x80 != 0) { &[0] } else { &[] };
    tlv(0x02, &[sign, digits])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_positive_and_as_short_as_they_can_be() {
        assert_eq!(integer(&[0, 0, 1]), [2, 1, 1]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0, 0]), [2, 1, 0]);
        assert_eq!(ecdsa_der(&[0, 5, 0xff, 1]), [0x30, 8, 2, 1, 5, 2, 3, 0, 0xff, 1]);
    }
}
