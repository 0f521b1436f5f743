//! What a ClientHello shows before anything is decrypted, as plain data.

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sni {
    Name(Host),
    Absent,
    /// Present, but not a DNS name (RFC 6066 section 3 allows nothing else).
    Invalid,
}

/// A parsed ClientHello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub sni: Sni,
    /// Offered protocols in the client's order, as sent; empty when there was no extension.
    pub alpn: Vec<Vec<u8>>,
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
