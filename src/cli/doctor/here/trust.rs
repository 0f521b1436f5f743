//! Whether the operating system's store has our CA, or one that a former Portward left there. The stores
//! of browsers and of Java are `portward trust status`'s to look at.

use serde_json::json;

use crate::cli::doctor::report::{Finding, Section};
use crate::tls::probe::{chain, system_store};

pub fn section(anchors: &[Vec<u8>]) -> Section {
    let section = Section::new("trust", "Who trusts it");
    let Some((file, store)) = system_store() else {
        let text =
            "The system's store of roots was not found, so programs here trust nothing or bring their own.";
        return section.with(Finding::warn("no_system_store", text));
    };
    let present = anchors.first().is_some_and(|anchor| store.contains(anchor));
    let mut outdated: Vec<String> = store
        .iter()
        .filter(|der| !anchors.contains(der))
        .filter_map(|der| chain::certificate(der))
        .map(|cert| cert.subject)
        .filter(|subject| subject.starts_with("Portward CA"))
        .collect();
    outdated.sort();
    outdated.dedup();
    let data = json!({ "store": file, "present": present, "outdated": outdated });
    let install = ["portward trust install".to_owned()];
    let finding = match (present, outdated.is_empty()) {
        (true, true) => Finding::ok("trusted_here", format!("The system's store ({file}) has this CA.")),
        (true, false) => Finding::warn(
            "outdated_ca",
            format!(
                "The system's store has this CA, and {} of another Portward folder: who holds that key can read \
                 this machine's traffic.",
                outdated.join(", ")
            ),
        )
        .remedy("Take out what is not used:", ["portward trust remove --all".to_owned(), install[0].clone()]),
        (false, false) => Finding::warn(
            "outdated_ca",
            format!("The system's store has {} and not this CA: programs will refuse what it signs.", outdated.join(", ")),
        )
        .remedy("Install this CA, and take the other one out:", ["portward trust remove --all".to_owned(), install[0].clone()]),
        (false, true) => Finding::warn(
            "not_trusted_here",
            "The system's store does not have this CA: programs refuse inspected connections unless they are told \
             of it.",
        )
        .remedy(
            "Have everything on this machine trust it, or just one command:",
            [install[0].clone(), "portward exec -- CMD".to_owned()],
        ),
    };
    section.with(finding.data(data))
}
