//! HTTP Basic credentials (RFC 7617) from the value of an Authorization or
//! Proxy-Authorization field.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;

use super::Credentials;

/// The challenge of a 407 (Proxy-Authenticate) or 401 (WWW-Authenticate) answer.
pub const CHALLENGE: &str = "Basic realm=\"Portward\", charset=\"UTF-8\"";

/// Why what the client sent are not credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    #[error("the client sent an authentication scheme other than Basic")]
    Scheme,
    #[error("the client sent credentials that are not base64")]
    Base64,
    #[error("the client sent credentials without a colon between name and password")]
    NoColon,
    #[error("the client sent credentials without a name")]
    NoUser,
    #[error("the client sent a name that is not UTF-8")]
    NotUtf8,
    #[error("the client sent credentials with control characters")]
    Control,
    #[error("the client sent credentials that are too long")]
    TooLong,
}

impl CredentialsError {
    /// The stable name in audit records and metrics.
    pub fn code(self) -> &'static str {
        match self {
            CredentialsError::Scheme => "auth_scheme",
            CredentialsError::Base64 => "auth_base64",
            CredentialsError::NoColon => "auth_no_colon",
            CredentialsError::NoUser => "auth_no_user",
            CredentialsError::NotUtf8 => "auth_not_utf8",
            CredentialsError::Control => "auth_control",
            CredentialsError::TooLong => "auth_too_long",
        }
    }
}

impl Credentials {
    /// Reads `Basic <base64 of name:password>`.
    pub fn basic(value: &str) -> Result<Credentials, CredentialsError> {
        let (scheme, token) =
            value.as_bytes().split_at_checked("Basic ".len()).ok_or(CredentialsError::Scheme)?;
        if !scheme.eq_ignore_ascii_case(b"Basic ") {
            return Err(CredentialsError::Scheme);
        }
        let token = token.trim_ascii();
        if token.len() > (Credentials::MAX_USER + 1 + Credentials::MAX_PASSWORD).div_ceil(3) * 4 {
            return Err(CredentialsError::TooLong);
        }
        let text = STANDARD_PAD_INDIFFERENT.decode(token).map_err(|_| CredentialsError::Base64)?;
        let colon = text.iter().position(|b| *b == b':').ok_or(CredentialsError::NoColon)?;
        Credentials::new(&text[..colon], &text[colon + 1..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    fn read(value: &str) -> Result<(String, Vec<u8>), CredentialsError> {
        Credentials::basic(value).map(|c| (c.user.to_string(), c.password.to_vec()))
    }

    #[test]
    fn the_scheme_is_any_case_and_the_password_may_have_colons() {
        let aladdin = Ok(("Aladdin".to_owned(), b"open sesame".to_vec()));
        for value in [
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "BASIC   QWxhZGRpbjpvcGVuIHNlc2FtZQ== ",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ",
        ] {
            assert_eq!(read(value), aladdin, "{value}");
        }
        let encode = |text: &[u8]| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(read(&encode(b"u:a:b:")), Ok(("u".to_owned(), b"a:b:".to_vec())));
        assert_eq!(read(&encode(b"u:")), Ok(("u".to_owned(), Vec::new())));
        let umlaut = "b\u{f6}b:p\u{e4}ss".as_bytes();
        assert_eq!(read(&encode(umlaut)), Ok(("b\u{f6}b".to_owned(), "p\u{e4}ss".as_bytes().to_vec())));
    }

    #[test]
    fn what_is_not_basic_credentials_is_told_apart() {
        let encode = |text: &[u8]| format!("Basic {}", STANDARD.encode(text));
        let table = [
            (String::new(), CredentialsError::Scheme),
            ("Basic".to_owned(), CredentialsError::Scheme),
            ("Bearer abcdef".to_owned(), CredentialsError::Scheme),
            ("BasicQWxhZGRpbjpv".to_owned(), CredentialsError::Scheme),
            ("Basic !!!".to_owned(), CredentialsError::Base64),
            ("Basic QWxh ZGRp".to_owned(), CredentialsError::Base64),
            (encode(b"no colon"), CredentialsError::NoColon),
            (encode(b":password"), CredentialsError::NoUser),
            (encode(b"\xff:p"), CredentialsError::NotUtf8),
            (encode(b"u\n:p"), CredentialsError::Control),
            (encode(b"u:p\0q"), CredentialsError::Control),
            (encode(&[b'u'; 300]), CredentialsError::NoColon),
            (encode(&[&[b'u'; 256][..], b":p"].concat()), CredentialsError::TooLong),
            (encode(&[b"u:", &[b'p'; 1025][..]].concat()), CredentialsError::TooLong),
            (encode(&[b'x'; 100_000]), CredentialsError::TooLong),
        ];
        for (value, error) in table {
            let shown = value.get(..40).unwrap_or(&value).to_owned();
            assert_eq!(read(&value), Err(error), "{shown}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let credentials = Credentials::new(b"ann", b"hunter2").unwrap();
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
