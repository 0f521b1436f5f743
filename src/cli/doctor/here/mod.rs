//! The doctor of this installation: configuration and rules, the CA, whether it is really Portward that
//! holds the port, whether programs trust it and find it, and what the machine gives it.

mod environment;
mod listener;
mod machine;
mod trust;

use std::sync::Arc;

use serde_json::json;
use time::OffsetDateTime;

use super::report::{Finding, Report, Section};
use super::words::{date, distance};
use super::{next, open_ca};
use crate::app;
use crate::ca::{Ca, CaError};
use crate::config::Config;
use crate::net::shell::word;
use crate::tls::probe::{Roots, TrustedBy};

pub async fn report(config: &Config, now: OffsetDateTime) -> Report {
    let mut report = Report::new(None, now);
    let opened = open_ca(config, now);
    let ca = opened.as_ref().ok().and_then(Option::as_ref);
    report.add(configuration(config, ca));
    report.add(authority(config, &opened, now));
    let anchors: Vec<Vec<u8>> =
        ca.map(|ca| ca.anchors().iter().map(|der| der.to_vec()).collect()).unwrap_or_default();
    report.add(listener::section(config, &anchors, now).await);
    if !anchors.is_empty() {
        report.add(trust::section(&anchors));
    }
    report.add(environment::section(config, &anchors));
    report.add(machine::section(config, ca, now));
    report.next = next::steps(&report, None);
    report
}

/// What `run` would load.
fn configuration(config: &Config, ca: Option<&Arc<Ca>>) -> Section {
    let mut section = Section::new("configuration", "Configuration");
    let file = match &config.file {
        Some(file) => format!("{} loads", file.display()),
        None => {
            "There is no file; everything is at its default or from flags and PORTWARD_ variables".to_owned()
        }
    };
    section.add(Finding::ok("configuration_ok", format!("{file}.")).data(json!({ "file": config.file })));
    section.add(match app::rules(config) {
        Ok(engine) => {
            let count = engine.rules().count();
            Finding::ok("rules_ok", format!("{count} rules load.")).data(json!({ "rules": count }))
        }
        Err(error) => Finding::fail(
            "rules_broken",
            format!("The rules do not load, and `run` would not start: {error}."),
        )
        .remedy("Mend the rules; this says file, line and column:", ["portward rules check".to_owned()]),
    });
    section.add(match app::dialer(config, &config.limits, ca) {
        Ok(dialer) => {
            let roots = Roots::of_verifier(&dialer.tls.verifier());
            let text = format!("Servers are verified with {}.", roots.in_words());
            let system = roots.count(TrustedBy::System);
            Finding::ok("roots_ok", text).data(json!({ "system": system }))
        }
        Err(error) => super::no_dialer(&error),
    });
    section
}

fn authority(config: &Config, opened: &Result<Option<Arc<Ca>>, CaError>, now: OffsetDateTime) -> Section {
    let mut section = Section::new("ca", "The CA");
    let ca = match opened {
        Ok(Some(ca)) => ca,
        Ok(None) => {
            let text = format!("There is no CA in {} yet.", config.ca_dir.display());
            let finding = Finding::warn("no_ca", text);
            return section.with(finding.remedy(
                "Make the CA now, or let the first start do it:",
                [format!("portward ca init --ca {}", word(&config.ca_dir.display().to_string()))],
            ));
        }
        Err(error) => {
            let finding = Finding::fail("ca_unusable", format!("The CA cannot be used: {error}."));
            return section
                .with(finding.data(json!({ "reason": error.code() })).remedy("Mend the CA:", [error.fix()]));
        }
    };
    let status = ca.status(now);
    let left = status.not_after - now;
    section.add(
        Finding::ok(
            "ca_ok",
            format!(
                "{} is valid until {} ({} left); its folder and keys are closed to others.",
                status.subject,
                date(status.not_after.unix_timestamp()),
                distance(left.whole_seconds())
            ),
        )
        .detail(format!("SHA-256 {}", status.sha256))
        .data(json!({ "directory": status.directory, "sha256": status.sha256, "not_after": status.not_after.unix_timestamp() })),
    );
    for warning in status.warnings {
        // The careful keep the key elsewhere.
        let calm = warning.code == "ca_root_key_offline";
        let text = super::words::sentence(&warning.message);
        let finding = if calm { Finding::ok(warning.code, text) } else { Finding::warn(warning.code, text) };
        section.add(finding.remedy("Keep the CA going:", [warning.fix]));
    }
    section
}
