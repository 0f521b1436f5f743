//! T01 to T35: certificates that origins show. A refusal is always the same on both ends: a 502 that names the
//! cause, one audit record with the stable code, and no request byte at the origin.

mod bounds;
mod corpus;
mod form;
mod keys;
mod names;
mod revocation;
mod stores;

use serde_json::Value;

use crate::support::client::{Client, Connection, Entry, request};
use crate::support::forge::Ca;
use crate::support::origin::{Origin, Spec};
use crate::support::pki::Chain;
use crate::support::proxy::{Proxy, Setup};
use crate::support::{Http, until};

use super::Case;

pub fn cases() -> Vec<Case> {
    let mut cases = keys::cases();
    cases.extend(form::cases());
    cases.extend(names::cases());
    cases.extend(revocation::cases());
    cases.extend(stores::cases());
    cases.extend(bounds::cases());
    cases.extend(corpus::cases());
    cases
}

/// A chain that an origin shows, and a proxy that trusts these roots and no others of the lab.
struct Show {
    chain: Chain,
    roots: String,
    public: bool,
    host: &'static str,
    setup: Setup,
}

impl Show {
    /// Under a private root (`--origin-ca`), as `origin.test`.
    fn new(chain: Chain, root: &Ca) -> Show {
        Show {
            chain,
            roots: root.pem(),
            public: false,
            host: "origin.test",
            setup: Setup::new().public_roots(),
        }
    }

    /// The root is one of the system's.
    fn public(mut self) -> Show {
        self.public = true;
        self
    }

    fn host(mut self, host: &'static str) -> Show {
        self.host = host;
        self
    }

    fn config(mut self, toml: &str) -> Show {
        self.setup = self.setup.config(toml);
        self
    }

    fn arg(mut self, arg: &str) -> Show {
        self.setup = self.setup.arg(arg);
        self
    }

    fn file(mut self, name: &str, content: impl AsRef<[u8]>) -> Show {
        self.setup = self.setup.file(name, content);
        self
    }

    /// A revocation list, given by flag.
    fn crl(self, list: impl AsRef<[u8]>) -> Show {
        self.file("lab.crl", list).arg("--crl").arg("{dir}/lab.crl")
    }

    /// `200`, or `502` with the code.
    async fn seen(self) -> String {
        self.answer().await.0
    }

    /// The same with `member` of the record's origin leg behind it.
    async fn marked(self, member: &str) -> String {
        let (seen, record) = self.answer().await;
        match record["origin_leg"][member].as_str() {
            Some(mark) => format!("{seen} {member}={mark}"),
            None => seen,
        }
    }

    async fn answer(self) -> (String, Value) {
        let origin = Spec::chain(self.chain).start().await;
        let setup = trusting(self.setup, &self.roots, self.public).route(self.host, 443, origin.addr);
        let proxy = setup.start().await;
        ask(&proxy, Some(&origin), self.host).await
    }
}

fn trusting(setup: Setup, roots: &str, public: bool) -> Setup {
    let setup = setup.file("roots.pem", roots);
    if public {
        let file = setup.dir().join("roots.pem").display().to_string();
        setup.behind(["env".to_owned(), "-u".into(), "SSL_CERT_DIR".into(), format!("SSL_CERT_FILE={file}")])
    } else {
        setup.args(["--origin-ca", "{dir}/roots.pem"])
    }
}

/// Sends a request with a secret to port 443 of the host.
async fn ask(proxy: &Proxy, origin: Option<&Origin>, host: &str) -> (String, Value) {
    let client = Client::new(Entry::HttpProxy, proxy);
    let mut connection = client.https(host, Http::H1).await.unwrap();
    let url = format!("https://{host}/secret");
    told(proxy, origin, &mut connection, &url).await
}

async fn told(
    proxy: &Proxy,
    origin: Option<&Origin>,
    connection: &mut Connection,
    url: &str,
) -> (String, Value) {
    let before = proxy.audit().len();
    // openssl's server, which is no Origin, answers GET alone.
    let (method, body) = if origin.is_some() { ("POST", "canary") } else { ("GET", "") };
    let answer = connection.send(request(method, url, &[("authorization", "Bearer s3cret")], body)).await;
    let status = answer.status.as_u16();
    let record = until("a record of the exchange", || {
        let mut new = proxy.audit().into_iter().skip(before);
        new.find(|r| r["status"] == status && r["kind"] == "exchange")
    })
    .await;
    if status == 200 {
        return ("200".to_owned(), record);
    }
    if let Some(origin) = origin {
        assert_eq!(origin.seen().len(), 0, "no request left");
    }
    let code = record["reason"].as_str().unwrap_or_default();
    assert!(answer.text().contains(code), "the page names the code {code}: {}", answer.text());
    (format!("{status} {code}"), record)
}

/// The same on an address and a port that are dialled as they are.
async fn ask_address(setup: Setup, roots: &str, origin: &Origin, shown: &str) -> String {
    let setup = trusting(setup, roots, false).arg("--allow-private").arg("::1/128");
    let proxy = setup.config("[policy]\nother_ports = \"inspect\"\n").start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let tunnel = client.tunnel(shown, origin.addr.port()).await.unwrap();
    let name = origin.addr.ip().to_string();
    let stream = client.tls_over(tunnel, &name, &[Http::H1]).await.unwrap();
    let mut connection = Connection::over(stream, Http::H1).await;
    let url = format!("https://{shown}:{}/secret", origin.addr.port());
    told(&proxy, Some(origin), &mut connection, &url).await.0
}
