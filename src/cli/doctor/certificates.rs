//! Each check of a certificate in words: dates, name, issuer, chain, purpose, strength, revocation.

use serde_json::json;
use time::OffsetDateTime;

use super::report::Finding;
use super::words::{date, distance, sentence, some};
use crate::net::Host;
use crate::tls::probe::chain::{Certificate, Fault};
use crate::tls::probe::{Chain, Roots, Shown, TrustedBy};

/// A certificate that ends sooner than this should have been renewed: most are at a third of 90 days.
const SOON: i64 = 14 * 86_400;

/// Everything there is to say of a chain. `own` tells that our own CA is named in it as an issuer.
pub fn checks(
    chain: &Chain,
    host: &Host,
    roots: &Roots,
    shown: &Shown,
    own: bool,
    now: OffsetDateTime,
) -> Vec<Finding> {
    let now = now.unix_timestamp();
    let mut out = vec![listed(chain, shown.chain.len(), now), validity(chain, now), names(chain, host)];
    if own {
        out.push(Finding::fail(
            "own_ca_loop",
            format!(
                "The certificate was issued by this Portward's own CA ({}): the way to the server leads through \
                 this proxy, or through another that has its key.",
                chain.leaf().issuer
            ),
        ));
    } else {
        match chain.leads(roots, now) {
            Ok(anchor) => {
                let whose = match anchor.by {
                    TrustedBy::Operator => "of your own (--origin-ca)",
                    TrustedBy::System => "of the system",
                    TrustedBy::BuiltIn => "of Mozilla's",
                };
                let root = &anchor.root;
                out.push(
                    Finding::ok(
                        "trusted",
                        format!("The chain is complete and leads to {root}, a trusted root {whose}."),
                    )
                    .data(json!({ "anchor": anchor })),
                );
                if let Some(end) = anchor.not_after.filter(|end| *end < now) {
                    let text = format!("The root {root} ended on {}: it should be replaced.", date(end));
                    out.push(Finding::fail("root_expired", text));
                }
            }
            // Told below, with what it is for.
            Err(fault) if fault.code == "wrong_purpose" && !purpose(chain.leaf()).is_empty() => {}
            Err(fault) if fault.code == "bad_certificate" && chain.leaf().ca => {}
            Err(fault) if fault.code == "cert_expired" && out.iter().any(|f| f.code == "cert_expired") => {}
            Err(fault) => out.push(untrusted(&fault, roots)),
        }
    }
    out.push(strength(chain));
    out.extend(purpose(chain.leaf()));
    out.push(revocation(chain.leaf(), shown));
    out
}

/// The chain as it was sent.
fn listed(chain: &Chain, sent: usize, now: i64) -> Finding {
    let certificates = &chain.certificates;
    let leaf = chain.leaf();
    let above: Vec<String> = certificates.iter().map(|cert| cert.issuer.clone()).collect();
    let count = if sent == 1 { "1 certificate was".to_owned() } else { format!("{sent} certificates were") };
    let way = [vec![leaf.subject.clone()], above].concat();
    let mut finding = Finding::ok("chain", format!("{count} sent: {}.", some(&way, 6).replace(", ", " < ")))
        .data(json!({ "sent": sent, "certificates": certificates }));
    for (at, cert) in certificates.iter().enumerate() {
        finding = finding
            .detail(format!("{}. {}, issued by {}", at + 1, cert.subject, cert.issuer))
            .detail(format!(
                "   {} to {} ({}), {}, signed with {}",
                date(cert.not_before),
                date(cert.not_after),
                left(cert, now),
                cert.key,
                cert.signature
            ))
            .detail(format!("   SHA-256 {}", cert.sha256));
    }
    finding
}

fn left(cert: &Certificate, now: i64) -> String {
    if now < cert.not_before {
        return format!("begins in {}", distance(cert.not_before - now));
    }
    match cert.not_after - now {
        left if left < 0 => format!("ended {} ago", distance(left)),
        left => format!("{} left", distance(left)),
    }
}

/// The dates of every certificate; the worst is told.
fn validity(chain: &Chain, now: i64) -> Finding {
    let whose = |cert: &Certificate| {
        if cert == chain.leaf() {
            "The certificate".to_owned()
        } else {
            format!("The CA certificate {}", cert.subject)
        }
    };
    // A root that is sent along and has ended harms nobody: it is not used.
    let of_interest =
        || chain.certificates.iter().enumerate().filter(|(at, cert)| *at == 0 || !cert.self_issued);
    let data = json!({
        "not_before": chain.leaf().not_before, "not_after": chain.leaf().not_after,
        "days_left": (chain.leaf().not_after - now).div_euclid(86_400),
    });
    if let Some((_, cert)) = of_interest().find(|(_, cert)| cert.not_after < now) {
        return Finding::fail(
            "cert_expired",
            format!(
                "{} expired {} ago, on {}.",
                whose(cert),
                distance(now - cert.not_after),
                date(cert.not_after)
            ),
        )
        .data(data);
    }
    if let Some((_, cert)) = of_interest().find(|(_, cert)| cert.not_before > now) {
        return Finding::fail(
            "cert_not_yet_valid",
            format!(
                "{} is not valid yet: it begins in {}, on {}. Or this machine's clock is wrong.",
                whose(cert),
                distance(cert.not_before - now),
                date(cert.not_before)
            ),
        )
        .data(data);
    }
    let leaf = chain.leaf();
    let left = leaf.not_after - now;
    // Certificates that live for days are renewed in hours.
    let short = leaf.not_after - leaf.not_before < 3 * SOON;
    if left < if short { (leaf.not_after - leaf.not_before) / 4 } else { SOON } {
        let text = format!("The certificate ends in {}, on {}.", distance(left), date(leaf.not_after));
        return Finding::warn("cert_expires_soon", text).data(data);
    }
    Finding::ok(
        "cert_valid",
        format!("The certificate is valid until {} ({} left).", date(leaf.not_after), distance(left)),
    )
    .data(data)
}

fn names(chain: &Chain, host: &Host) -> Finding {
    let names = &chain.leaf().names;
    let data = json!({ "names": names });
    if chain.names(host) {
        return Finding::ok("name_ok", format!("It is for {}.", some(names, 5))).data(data);
    }
    let text = match (names.as_slice(), host) {
        ([], _) => format!(
            "The certificate names no host in its subject alternative name, so it is for none, not for {host} \
             either: the common name alone has not counted for years."
        ),
        (_, Host::Ip(_)) => {
            format!("The certificate is for {}, and not for the address {host}.", some(names, 5))
        }
        (_, Host::Name(name)) => {
            let below = names.iter().any(|n| {
                n.strip_prefix("*.").is_some_and(|base| name.ends_with(base) && name.len() > base.len() + 1)
            });
            let hint = if below { " A `*` stands for one label only." } else { "" };
            format!("The certificate is for {}, and not for {host}.{hint}", some(names, 5))
        }
    };
    Finding::fail("name_mismatch", text).data(data)
}

fn untrusted(fault: &Fault, roots: &Roots) -> Finding {
    let mut finding = Finding::fail(fault.code, sentence(&fault.sentence)).data(json!({
        "missing": fault.missing, "fetch": fault.fetch,
    }));
    for url in fault.fetch.iter().take(2) {
        finding = finding.detail(format!("The issuer's certificate is at {url}, says the last one sent."));
    }
    if fault.code == "unknown_issuer" {
        finding = finding.detail(format!("Trusted here: {}.", roots.in_words()));
    }
    finding
}

fn strength(chain: &Chain) -> Finding {
    let leaf = chain.leaf();
    match chain.certificates.iter().find_map(|cert| cert.weakness.as_ref().map(|why| (cert, why))) {
        Some((cert, why)) => Finding::fail("weak_key", format!("{} is too weak: {why}.", cert.subject)),
        None => Finding::ok(
            "strong_certificate",
            format!("Its key is {}, and it is signed with {}.", leaf.key, leaf.signature),
        ),
    }
}

/// What the certificate may be used for, when it is not for this.
fn purpose(leaf: &Certificate) -> Vec<Finding> {
    let mut out = Vec::new();
    if leaf.ca {
        out.push(Finding::fail(
            "ca_as_leaf",
            "The server's own certificate is that of a CA, which browsers refuse: whoever has its key can make \
             certificates for any name.",
        ));
    }
    match &leaf.purposes {
        None => out.push(Finding::warn(
            "no_purpose",
            "The certificate does not say that it is for servers (no extended key usage). Public CAs always say so.",
        )),
        Some(purposes) if !purposes.iter().any(|p| p == "servers") => out.push(Finding::fail(
            "wrong_purpose",
            format!("The certificate is for {}, and not for servers.", purposes.join(", ")),
        )),
        Some(_) => {}
    }
    out
}

/// How anyone could know of a revocation. Whether it was revoked is the verifier's to say.
fn revocation(leaf: &Certificate, shown: &Shown) -> Finding {
    let data = json!({
        "stapled": !shown.ocsp.is_empty(), "must_staple": leaf.must_staple,
        "ocsp": leaf.ocsp_urls, "crl": leaf.crl_urls,
    });
    let finding = match (shown.ocsp.is_empty(), leaf.must_staple) {
        (false, _) => Finding::ok(
            "ocsp_stapled",
            "The server sends a signed OCSP answer along that tells whether it was revoked.",
        ),
        (true, true) => Finding::fail(
            "staple_missing",
            "The certificate promises an OCSP answer with every handshake (must-staple), and the server sends none.",
        ),
        (true, false) if leaf.crl_urls.is_empty() && leaf.ocsp_urls.is_empty() => {
            Finding::ok("revocation_not_told", "It names no revocation list and no OCSP server.")
        }
        (true, false) if leaf.crl_urls.is_empty() => {
            Finding::ok("revocation_ocsp", "It names an OCSP server; no answer of it is sent along.")
        }
        (true, false) => {
            Finding::ok("revocation_crl", "Whether it was revoked is in its CA's revocation list.")
        }
    };
    finding.data(data)
}
