//! CA keys that live in a PKCS #11 token (an HSM, a smart card, SoftHSM2) and never leave it. `root.key` then holds
//! the token's address, a `pkcs11:` URI (RFC 7512), in place of a key; the PIN is not part of it.

#[cfg_attr(not(feature = "pkcs11"), path = "without.rs")]
mod module;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

pub(super) use module::TokenKey;

use super::secret::SecretSource;

/// What need not be escaped in an attribute (RFC 7512 section 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Which key, in which token, through which module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenUri {
    pub(super) token: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) object: Option<String>,
    pub(super) id: Option<Vec<u8>>,
    pub(super) module: PathBuf,
    pin_source: Option<PathBuf>,
}

/// Why a text is no address of a key in a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenUriError {
    #[error("it does not begin with pkcs11:")]
    Scheme,
    #[error("`{0}` is not NAME=VALUE")]
    Attribute(String),
    #[error("the attribute `{0}` is not known here; use token, serial, object, id, module-path, pin-source")]
    Unknown(String),
    #[error("a PIN must not stand in it: use pin-source=file:PATH, or --pin-file")]
    PinValue,
    #[error("it needs module-path=PATH, the token's PKCS #11 library, as an absolute path")]
    Module,
    #[error("it needs object=NAME or id=BYTES, to say which key")]
    Object,
}

impl FromStr for TokenUri {
    type Err = TokenUriError;

    fn from_str(text: &str) -> Result<TokenUri, TokenUriError> {
        let rest = text.trim().strip_prefix("pkcs11:").ok_or(TokenUriError::Scheme)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = TokenUri {
            token: None,
            serial: None,
            object: None,
            id: None,
            module: PathBuf::new(),
            pin_source: None,
        };
        for attribute in path.split(';').filter(|part| !part.is_empty()) {
            let (name, value) = split(attribute)?;
            match name {
                "token" => uri.token = Some(text_of(value)),
                "serial" => uri.serial = Some(text_of(value)),
                "object" => uri.object = Some(text_of(value)),
                "id" => uri.id = Some(percent_decode_str(value).collect()),
                // There is no other kind of object that signs.
                "type" if value == "private" => {}
                // RFC 7512 section 2.3: who does not know an attribute must not guess past it.
                other => return Err(TokenUriError::Unknown(other.to_owned())),
            }
        }
        for attribute in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = split(attribute)?;
            match name {
                "module-path" => uri.module = text_of(value).into(),
                "pin-source" => {
                    let value = text_of(value);
                    let path = value.strip_prefix("file://").or_else(|| value.strip_prefix("file:"));
                    uri.pin_source = Some(path.unwrap_or(&value).into());
                }
                "pin-value" => return Err(TokenUriError::PinValue),
                other => return Err(TokenUriError::Unknown(other.to_owned())),
            }
        }
        if !uri.module.is_absolute() {
            return Err(TokenUriError::Module);
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(TokenUriError::Object);
        }
        Ok(uri)
    }
}

fn split(attribute: &str) -> Result<(&str, &str), TokenUriError> {
    attribute.split_once('=').ok_or_else(|| TokenUriError::Attribute(attribute.to_owned()))
}

fn text_of(value: &str) -> String {
    percent_decode_str(value).decode_utf8_lossy().into_owned()
}

impl fmt::Display for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escape = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
        let mut parts = Vec::new();
        for (name, value) in [("token", &self.token), ("serial", &self.serial), ("object", &self.object)] {
            parts.extend(value.as_ref().map(|value| format!("{name}={}", escape(value))));
        }
        let hex = |id: &Vec<u8>| id.iter().map(|b| format!("%{b:02X}")).collect::<String>();
        parts.extend(self.id.as_ref().map(|id| format!("id={}", hex(id))));
        write!(f, "pkcs11:{}?module-path={}", parts.join(";"), escape(&self.module.to_string_lossy()))?;
        match &self.pin_source {
            Some(path) => write!(f, "&pin-source=file:{}", escape(&path.to_string_lossy())),
            None => Ok(()),
        }
    }
}

impl TokenUri {
    /// The same token, for another key of its own name.
    pub(super) fn named(&self, suffix: &str) -> TokenUri {
        let name = self.object.as_deref().unwrap_or("portward");
        // A rotated name is not made longer by each rotation.
        let name = name.rsplit_once('-').filter(|(_, end)| is_stamp(end)).map_or(name, |(name, _)| name);
        TokenUri { object: Some(format!("{name}-{suffix}")), id: None, ..self.clone() }
    }

    /// The PIN: as given, else where the address says.
    pub(super) fn pin(&self, given: Option<&SecretSource>) -> Option<SecretSource> {
        given.cloned().or_else(|| self.pin_source.clone().map(SecretSource::File))
    }

    /// The token, whichever key in it is meant and wherever its PIN comes from.
    #[cfg_attr(not(feature = "pkcs11"), allow(dead_code))]
    pub(super) fn token(&self) -> TokenUri {
        TokenUri { object: None, id: None, pin_source: None, ..self.clone() }
    }

    pub(super) fn module(&self) -> &Path {
        &self.module
    }
}

/// `20261121T090000Z`, as a rotation ends names with.
fn is_stamp(text: &str) -> bool {
    text.len() == 16
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_key_keeps_the_whole_name_that_the_operator_gave() {
        for name in ["root-2026", "root-2026-hq", "a-20-b", "root", "root-20261121T0900000"] {
            let uri: TokenUri = format!("pkcs11:object={name}?module-path=/x.so").parse().unwrap();
            let next = uri.named("20261121T090000Z").named("20271121T090000Z");
            assert_eq!(next.object, Some(format!("{name}-20271121T090000Z")));
        }
    }

    #[test]
    fn an_address_is_read_and_written_as_rfc_7512_has_it() {
        let text = "pkcs11:token=My%20token;object=root;id=%01%FF?module-path=/usr/lib/x.so&pin-source=file:/etc/pin";
        let uri: TokenUri = text.parse().unwrap();
        assert_eq!(uri.token.as_deref(), Some("My token"));
        assert_eq!(uri.id.as_deref(), Some(&[1, 255][..]));
        assert_eq!(uri.to_string(), text);
        assert_eq!(uri.to_string().parse(), Ok(uri.clone()));
        assert!(matches!(uri.pin(None), Some(SecretSource::File(path)) if path == Path::new("/etc/pin")));
        let next = uri.named("20261121T090000Z").named("20271121T090000Z");
        assert_eq!((next.object.as_deref(), next.id), (Some("root-20271121T090000Z"), None));
        for (bad, why) in [
            ("token=x", TokenUriError::Scheme),
            ("pkcs11:token", TokenUriError::Attribute("token".into())),
            ("pkcs11:object=x", TokenUriError::Module),
            ("pkcs11:object=x?module-path=x.so", TokenUriError::Module),
            ("pkcs11:token=x?module-path=/x.so", TokenUriError::Object),
            ("pkcs11:object=x;slot-id=1?module-path=/x.so", TokenUriError::Unknown("slot-id".into())),
            ("pkcs11:object=x?module-path=/x.so&pin-value=1234", TokenUriError::PinValue),
        ] {
            assert_eq!(bad.parse::<TokenUri>(), Err(why), "{bad}");
        }
    }
}
