//! ClientHellos that no library would send, byte by byte, and what a server says to them. TLS 1.2, so that the
//! certificate in the answer is plain.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::origin::Stream;
use super::within;

/// An extension.
pub fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat()
}

/// `server_name` with these names in its list.
pub fn server_name(names: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> =
        names.iter().flat_map(|name| [&[0][..], &(name.len() as u16).to_be_bytes(), name].concat()).collect();
    extension(0, &[&(list.len() as u16).to_be_bytes()[..], &list].concat())
}

/// A ClientHello with these extensions before the ones that TLS 1.2 needs.
pub fn client_hello(ciphers: &[u16], extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut all = extensions.concat();
    all.extend(extension(10, &[0, 4, 0, 29, 0, 23]));
    all.extend(extension(11, &[1, 0]));
    all.extend(extension(13, &[0, 4, 4, 3, 8, 4]));
    all.extend(extension(23, &[]));
    let mut body = vec![3, 3];
    body.extend([9; 32]);
    body.push(0);
    let ciphers: Vec<u8> = ciphers.iter().chain(&[0xc02b, 0xc02f]).flat_map(|c| c.to_be_bytes()).collect();
    body.extend((ciphers.len() as u16).to_be_bytes());
    body.extend(ciphers);
    body.extend([1, 0]);
    body.extend((all.len() as u16).to_be_bytes());
    body.extend(all);
    let message = [&[1][..], &(body.len() as u32).to_be_bytes()[1..], &body].concat();
    [&[22, 3, 1][..], &(message.len() as u16).to_be_bytes(), &message].concat()
}

/// What came back: `alert 47`, `leaf for NAMES`, or `closed`.
pub async fn answer(stream: &mut (impl Stream + ?Sized), hello: &[u8]) -> String {
    stream.write_all(hello).await.unwrap();
    within("an answer to the ClientHello", async {
        let mut messages = Vec::new();
        loop {
            let mut head = [0; 5];
            if stream.read_exact(&mut head).await.is_err() {
                return "closed".to_owned();
            }
            let mut data = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
            stream.read_exact(&mut data).await.unwrap();
            if head[0] == 21 {
                return format!("alert {}", data[1]);
            }
            messages.extend(data);
            if let Some(names) = leaf(&messages) {
                return format!("leaf for {names}");
            }
        }
    })
    .await
}

/// The names in the first certificate, once that is there.
fn leaf(mut messages: &[u8]) -> Option<String> {
    loop {
        let length = |bytes: &[u8]| u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        let body = messages.get(4..4 + length(messages.get(1..4)?))?;
        if messages[0] == 11 {
            let der = &body[6..6 + length(&body[3..6])];
            let (_, cert) = X509Certificate::from_der(der).unwrap();
            let names = cert.subject_alternative_name().unwrap().unwrap().value.general_names.clone();
            let text = |name: &GeneralName<'_>| match name {
                GeneralName::DNSName(name) => (*name).to_owned(),
                GeneralName::IPAddress(ip) => ip.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
                other => format!("{other:?}"),
            };
            return Some(names.iter().map(text).collect::<Vec<_>>().join(" "));
        }
        messages = &messages[4 + body.len()..];
    }
}
