//! What a client behind Portward would be shown in the server's place. A leaf is minted for it by the code
//! that mints live ones, looked at, and dropped with its key; it is in no log because nobody ever sees it.

use super::Context;
use super::report::{Finding, Section};
use super::words::{date, distance, some};
use crate::ca::CaError;
use crate::net::Host;
use crate::proxy::leaf_profile;
use crate::tls::probe::chain;
use crate::tls::verify::CertificateInfo;
use serde_json::json;

pub fn section(at: &Context<'_>, host: &Host, origin: Option<&CertificateInfo>) -> Section {
    let section = Section::new("mint", "What the client would see");
    let Some(ca) = at.ca else {
        return section.with(Finding::warn(
            "no_ca",
            format!(
                "There is no CA in {} yet; the first `portward run` makes it.",
                at.config.ca_dir.display()
            ),
        ));
    };
    let ends = origin.map(|info| info.not_after);
    let lifetime = time::Duration::try_from(at.config.leaf_lifetime).unwrap_or(time::Duration::DAY);
    let minted = ca.mint(&leaf_profile(host, origin, lifetime), at.now);
    let leaf = match &minted {
        Ok(leaf) => leaf.chain.first().and_then(|der| chain::certificate(der)),
        Err(error) => return section.with(refused(host, error)),
    };
    let Some(leaf) = leaf else {
        return section.with(Finding::fail("mint_failed", "The leaf that was minted cannot be read."));
    };
    let now = at.now.unix_timestamp();
    let text = format!(
        "A certificate for {} by {}, with a key of its own ({}), valid for {} until {}.",
        some(&leaf.names, 5),
        leaf.issuer,
        leaf.key,
        distance(leaf.not_after - now),
        date(leaf.not_after)
    );
    let mut finding = Finding::ok("would_mint", text)
        .detail(format!(
            "Clients need to trust {} (SHA-256 {}).",
            ca.status(at.now).subject,
            ca.status(at.now).sha256
        ))
        .data(json!({ "certificate": leaf }));
    if ends.is_some_and(|ends| ends == leaf.not_after) {
        finding = finding.detail("It ends with the server's own certificate.");
    }
    section.with(finding)
}

fn refused(host: &Host, error: &CaError) -> Finding {
    let finding = match error {
        CaError::NotPermitted { constraint, .. } => Finding::fail(
            "mint_not_permitted",
            format!(
                "Our CA may issue nothing for {host}: {constraint}. It cannot be inspected with this CA."
            ),
        ),
        CaError::NoTimeLeft { .. } => Finding::fail(
            "mint_no_time",
            format!(
                "No certificate for {host} can be made: it may not outlive the server's own or the CA. {error}."
            ),
        ),
        other => Finding::fail("mint_failed", format!("No certificate can be made for {host}: {other}.")),
    };
    finding.detail(error.fix()).data(json!({ "reason": error.code() }))
}
