//! Two addresses of the same shape get two types, so that client and origin cannot be swapped.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::authority::unmap;

/// Where a client connects from. IPv4-mapped addresses are unmapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddr(SocketAddr);

/// A resolved address of an origin or upstream. IPv4-mapped addresses are unmapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OriginAddr(SocketAddr);

macro_rules! address {
    ($name:ident) => {
        impl $name {
            pub fn new(addr: SocketAddr) -> $name {
                $name(SocketAddr::new(unmap(addr.ip()), addr.port()))
            }
            pub fn ip(self) -> IpAddr {
                self.0.ip()
            }
            pub fn port(self) -> u16 {
                self.0.port()
            }
            pub fn socket(self) -> SocketAddr {
                self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
address!(ClientAddr);
address!(OriginAddr);

/// The way by which a client came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// HTTP proxy on the plain port: CONNECT or absolute-form.
    HttpProxy,
    /// TLS to the proxy, HTTP proxy inside it.
    HttpsProxy,
    Socks5,
    /// Redirected traffic (REDIRECT or TPROXY); the client does not know of us.
    Transparent,
}

impl Entry {
    pub fn name(self) -> &'static str {
        match self {
            Entry::HttpProxy => "http_proxy",
            Entry::HttpsProxy => "https_proxy",
            Entry::Socks5 => "socks5",
            Entry::Transparent => "transparent",
        }
    }
}
