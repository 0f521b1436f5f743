//! What a transaction is given, phase by phase: slices and plain structs. The live proxy,
//! `rules test`, the benches and the fuzz targets fill exactly these.

use std::net::IpAddr;

/// What is known of the connection before any request. Times are Unix milliseconds and come
/// from the caller: the engine reads no clock.
#[derive(Clone, Debug)]
pub struct ConnectionFacts<'a> {
    pub client_ip: IpAddr,
    pub client_port: u16,
    /// The address a request goes to, when it is known already.
    pub server_ip: Option<IpAddr>,
    pub server_port: u16,
    pub sni: Option<&'a str>,
    /// Who authenticated to the proxy.
    pub identity: Option<&'a str>,
    pub unix_ms: u64,
    pub unique_id: &'a str,
}

/// A header field, name and value as received (value without surrounding white space).
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
}

/// A request head.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    pub method: &'a str,
    /// Path and query as the origin will receive them (origin-form), undecoded.
    pub target: &'a [u8],
    /// "HTTP/1.0", "HTTP/1.1" or "HTTP/2.0".
    pub protocol: &'a str,
    /// "http" or "https".
    pub scheme: &'a str,
    /// The validated host, without a port, and the port.
    pub host: &'a str,
    pub port: u16,
    pub fields: &'a [Field<'a>],
}

/// A response head.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    pub status: u16,
    pub protocol: &'a str,
    pub fields: &'a [Field<'a>],
}

/// How much of a body the engine is looking at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// The first part; the window was full and more follows.
    Partial,
}

/// One of the two ends of a connection that was upgraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Client,
    Origin,
}

impl End {
    pub fn name(self) -> &'static str {
        match self {
            End::Client => "client",
            End::Origin => "origin",
        }
    }
}

/// What a WebSocket's message says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    Text,
    Binary,
}

impl Opcode {
    pub fn name(self) -> &'static str {
        match self {
            Opcode::Text => "text",
            Opcode::Binary => "binary",
        }
    }
}

/// A message of a WebSocket, put together from its frames.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub from: End,
    pub opcode: Opcode,
    pub bytes: &'a [u8],
    pub extent: Extent,
}

/// A body after content decoding.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    pub bytes: &'a [u8],
    pub extent: Extent,
    /// Why the content coding could not be undone (unknown coding, broken stream, bomb); the
    /// bytes are then what could be decoded. Shown to rules as `reqbody_error`.
    pub coding_error: Option<&'a str>,
}
