//! What a ClientHello shows before anything is decrypted, as plain data.
//!
//! Each spelling of the server name has one outcome, on an inspected connection and in a tunnel that is
//! relayed unread alike:
//!
//! | server name | reading | outcome |
//! |---|---|---|
//! | absent | [`Sni::Absent`] | the tunnel's target is the name, be it a name or an address |
//! | the target's own address | [`Sni::Name`] with an address | as if absent: some clients write it and mean nothing |
//! | another address | [`Sni::Name`] with an address | refused: RFC 6066 section 3 allows no address |
//! | upper case, trailing dot | [`Sni::Name`] in lower case, without the dot | the name as everybody else spells it |
//! | underscore, `xn--` labels, up to 253 octets | [`Sni::Name`] | taken as it is |
//! | 254 octets and more, a label over 63, a NUL or any other octet that no name has | [`Sni::Invalid`] | refused with an alert |
//! | two names, an empty list, another name type | [`Sni::Invalid`] | refused with an alert |
//! | encrypted ClientHello, real or GREASE | the outer name, and [`Hello::ech`] | the outer name is the name: the two look alike from outside |
//!
//! Refused means before anything is minted and before the origin is reached. With encrypted ClientHello the
//! client verifies our certificate for the outer name and takes the missing encrypted name for a server that has
//! switched the feature off (its specification says so), and comes again without it.

use std::sync::Arc;

use super::authority::Host;

/// Application protocols we can speak on either leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alpn {
    H2,
    Http11,
}

impl Alpn {
    /// The protocol id on the wire (RFC 7301).
    pub fn wire(self) -> &'static [u8] {
        match self {
            Alpn::H2 => b"h2",
            Alpn::Http11 => b"http/1.1",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Alpn::H2 => "h2",
            Alpn::Http11 => "http/1.1",
        }
    }
}

/// The SNI of a ClientHello, or why there is none to rely on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sni {
    Name(Host),
    #[default]
    Absent,
    /// Present, but not one DNS name (RFC 6066 section 3 allows nothing else).
    Invalid,
}

impl Sni {
    pub fn name(&self) -> Option<&Host> {
        match self {
            Sni::Name(host) => Some(host),
            Sni::Absent | Sni::Invalid => None,
        }
    }
}

/// A parsed ClientHello.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    pub sni: Sni,
    /// Offered protocols in the client's order, as sent; empty when there was no extension.
    pub alpn: Vec<Vec<u8>>,
    /// The client encrypts another name, or pretends to (GREASE): the two cannot be told apart.
    pub ech: bool,
    /// The JA4 fingerprint of the client's TLS library and its settings.
    pub ja4: Option<Arc<str>>,
}

impl Hello {
    pub fn offers(&self, alpn: Alpn) -> bool {
        self.alpn.iter().any(|p| p == alpn.wire())
    }

    /// True when the client speaks HTTP as far as it says: no ALPN, or one that we bridge.
    pub fn is_http(&self) -> bool {
        self.alpn.is_empty()
            || self.offers(Alpn::H2)
            || self.offers(Alpn::Http11)
            || self.alpn.iter().any(|p| p == b"http/1.0")
    }
}
