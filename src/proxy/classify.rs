//! What a client wants, from its first bytes: HTTP to us as a proxy, TLS to us as a proxy and
//! either of the others inside it, SOCKS 5, or redirected traffic that does not know of us. The
//! bytes are looked at in a loop, so one byte at a time is classified like any other way.

use std::sync::Arc;

use tokio::time::timeout;

use super::leaves::For;
use super::{Client, Gateway, intercept};
use crate::audit::record::TlsFacts;
use crate::message::reason::Code;
use crate::net::hello::Sni;
use crate::net::{Alpn, Authority, Entry, Host, OriginAddr, Port};
use crate::tls::sniff::Sniff;
use crate::tls::{BoxIo, Greeting, Rewind};

/// What a connection turned out to be.
pub enum Opening {
    HttpProxy { io: BoxIo, client: Client, protocol: Alpn },
    Socks5 { io: BoxIo, client: Client },
    Redirected { io: BoxIo, client: Client, target: Authority },
}

/// A connection that is none of them, or went away first.
pub struct Unclear {
    pub client: Client,
    pub code: Code,
    pub sentence: String,
}

/// Classifies a fresh connection.
pub async fn classify(
    gateway: &Arc<Gateway>,
    client: Client,
    io: BoxIo,
    redirected: Option<OriginAddr>,
) -> Result<Opening, Unclear> {
    if let Some(addr) = redirected {
        // What it speaks is looked at like in any tunnel.
        return match Port::new(addr.port()) {
            Some(port) => {
                Ok(Opening::Redirected { io, client, target: Authority::new(Host::from(addr.ip()), port) })
            }
            None => Err(unclear(client, Code::Malformed, "the redirected connection has no port")),
        };
    }
    let (seen, io) = sniff(gateway, &client, io).await?;
    match seen {
        Sniff::Tls => inside_tls(gateway, client, io).await,
        plain => opening(client, Box::new(io), plain, Alpn::Http11),
    }
}

/// TLS to the proxy: the same openings once more, inside it.
async fn inside_tls(
    gateway: &Arc<Gateway>,
    mut client: Client,
    io: Rewind<BoxIo>,
) -> Result<Opening, Unclear> {
    client.entry = Entry::HttpsProxy;
    let limit = gateway.limits.handshake_time;
    let shared = gateway.clone();
    let handshake = async move {
        let greeting = Greeting::read(io).await.map_err(|error| error.to_string())?;
        let host = match &greeting.hello.sni {
            Sni::Name(host) => host.clone(),
            Sni::Absent | Sni::Invalid => shared.leaves.own_host(),
        };
        let leaf = shared
            .leaves
            .leaf(&host, For::Proxy, greeting.key_type())
            .await
            .map_err(|error| error.to_string())?;
        greeting.accept(&leaf).await.map_err(|error| {
            format!("the handshake failed: {}", crate::tls::accept::handshake_failure(&error))
        })
    };
    let (stream, negotiated) = match timeout(limit, client.in_turns(gateway, Box::pin(handshake))).await {
        Ok(Ok(done)) => done,
        Ok(Err(problem)) => {
            gateway.metrics.client_tls_failed.increment();
            return Err(unclear(client, Code::ClientTls, &problem));
        }
        Err(_) => {
            let problem = format!("the TLS handshake was not done within {limit:?}");
            return Err(unclear(client, Code::ClientTls, &problem));
        }
    };
    let facts: TlsFacts = intercept::facts(&negotiated);
    if facts.alpn == "h2" {
        return Ok(Opening::HttpProxy { io: Box::new(stream), client, protocol: Alpn::H2 });
    }
    let (seen, io) = sniff(gateway, &client, Box::new(stream)).await?;
    opening(client, Box::new(io), seen, Alpn::Http11)
}

fn opening(mut client: Client, io: BoxIo, seen: Sniff, protocol: Alpn) -> Result<Opening, Unclear> {
    match seen {
        Sniff::Http => Ok(Opening::HttpProxy { io, client, protocol }),
        Sniff::Socks5 => {
            client.entry = Entry::Socks5;
            Ok(Opening::Socks5 { io, client })
        }
        Sniff::NeedMore => Err(unclear(client, Code::ClientGone, "the client closed the connection unused")),
        Sniff::Tls | Sniff::Other => {
            Err(unclear(client, Code::NotHttp, "the first bytes are neither HTTP, TLS nor SOCKS 5"))
        }
    }
}

async fn sniff(gateway: &Gateway, client: &Client, io: BoxIo) -> Result<(Sniff, Rewind<BoxIo>), Unclear> {
    let mut io = Rewind::new(io);
    let limit = gateway.limits.classify_time;
    match timeout(limit, io.sniff(gateway.limits.classify_bytes)).await {
        Ok(Ok(seen)) => Ok((seen, io)),
        Ok(Err(error)) => Err(unclear(client.clone(), Code::ClientGone, &error.to_string())),
        Err(_) => {
            let problem = format!("the client did not say what it wants within {limit:?}");
            Err(unclear(client.clone(), Code::Silent, &problem))
        }
    }
}

fn unclear(client: Client, code: Code, sentence: &str) -> Unclear {
    Unclear { client, code, sentence: sentence.to_owned() }
}
