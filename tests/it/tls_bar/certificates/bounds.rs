//! T33: chains made to cost much. Each is answered within one second of the processor, and memory stays flat.

use rcgen::KeyPair;

use super::{Case, Setup, Spec, ask, trusting};
use crate::support::forge::{Ca, authority, dns, extension, server};
use crate::support::pki::Chain;
use crate::support::proxy::Proxy;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("T33", "1,000 names", "200 in time", || costs(|| names(1_000))),
        // More than one handshake message may carry: refused before it is a certificate.
        Case::new("T33", "10,000 names", "502 tls_failed in time", || costs(|| names(10_000))),
        Case::new("T33", "a chain of 100 KB", "502 tls_failed in time", || costs(|| padded(4, 25_000))),
        Case::new("T33", "a chain of 60 KB", "200 in time", || costs(|| padded(3, 20_000))),
        Case::new("T33", "30 cross-signed intermediates", "502 chain_too_large in time", || {
            costs(|| crossed(30))
        }),
        Case::new("T33", "20 cross-signed intermediates", "502 bad_certificate in time", || {
            costs(|| crossed(20))
        }),
    ]
}

fn names(count: usize) -> (Ca, Chain) {
    let ca = Ca::root(authority("Lab"));
    let mut params = server(&["origin.test"]);
    params.subject_alt_names.extend((0..count).map(|n| dns(&format!("host-{n}.origin.test"))));
    let chain = ca.sign(params).chain(&[]);
    (ca, chain)
}

/// A good chain, and strangers with large extensions besides.
fn padded(strangers: usize, each: usize) -> (Ca, Chain) {
    let ca = Ca::root(authority("Lab"));
    let mut chain = ca.sign(server(&["origin.test"])).chain(&[]);
    for n in 0..strangers {
        let mut params = authority(&format!("Stranger {n}"));
        let value = [&[0x04, 0x82, (each >> 8) as u8, each as u8], vec![0; each].as_slice()].concat();
        params.custom_extensions.push(extension(&[1, 3, 6, 1, 4, 1, 55555, 2], false, &value));
        chain.certs.push(Ca::root(params).der());
    }
    (ca, chain)
}

/// Authorities of one name, each signed by the next, so that every one may be above every other.
fn crossed(count: usize) -> (Ca, Chain) {
    let root = Ca::root(authority("Lab"));
    let keys: Vec<String> = (0..count).map(|_| KeyPair::generate().unwrap().serialize_pem()).collect();
    let key = |n: usize| KeyPair::from_pem(&keys[n % count]).unwrap();
    let mut chain = Ca::root_with(authority("Crossed"), key(0)).sign(server(&["origin.test"])).chain(&[]);
    for n in 0..count {
        let above = Ca::root_with(authority("Crossed"), key(n + 1));
        chain.certs.push(above.below_with(authority("Crossed"), key(n)).der());
    }
    (root, chain)
}

async fn costs(make: impl Fn() -> (Ca, Chain)) -> String {
    let (ca, chain) = make();
    let good = Spec::tls(&["good.test"]).start().await;
    let origin = Spec::chain(chain).start().await;
    let roots = format!("{}{}", ca.pem(), crate::support::pki::lab().root_pem());
    let setup = trusting(Setup::new().public_roots(), &roots, false).origin(&origin);
    let proxy = setup.route("good.test", 443, good.addr).start().await;
    // What any connection takes has been taken then.
    assert_eq!(ask(&proxy, None, "good.test").await.0, "200");
    let (seconds, rss) = (processor(&proxy), proxy.rss());
    let seen = ask(&proxy, Some(&origin).filter(|_| false), "origin.test").await.0;
    let (spent, grown) = (processor(&proxy) - seconds, proxy.rss().saturating_sub(rss));
    assert!(spent < 1.0, "{seen} took {spent} s of the processor");
    assert!(grown < 32 << 20, "{seen} took {grown} bytes");
    format!("{seen} in time")
}

/// Seconds of the processor that a process has used, by `/proc/PID/stat`.
fn processor(proxy: &Proxy) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", proxy.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}
