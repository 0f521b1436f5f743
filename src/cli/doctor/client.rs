//! `portward doctor --client`: which clients refuse our CA, what that means, and the rule that would leave a host
//! undecrypted for one of them. Reads the table that the proxy keeps in its state directory; changes nothing.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::IpAddr;
use std::process::ExitCode;

use serde_json::json;
use time::OffsetDateTime;

use crate::audit::visible::visible;
use crate::config::Config;
use crate::net::authority::unmap;
use crate::policy::distrust::{Case, Finding, judge};
use crate::proxy::distrust;

/// Prints what is known of all clients, or of the one at `only`: 1 when somebody refuses our CA, else 0.
pub fn run(
    config: &Config,
    only: Option<IpAddr>,
    json: bool,
    now: OffsetDateTime,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let file = config.state_dir.join(distrust::FILE);
    let only = only.map(unmap);
    let cases = distrust::read(&file)?;
    let known = file.exists();
    // The judgement needs everybody: that others succeed is half of it.
    let mut findings = judge(&cases, now.unix_timestamp());
    findings.retain(|finding| only.is_none_or(|only| finding.client == only));
    let shown: Vec<&Case> = cases.iter().filter(|case| only.is_none_or(|only| case.client == only)).collect();
    let text = if json {
        let answer = json!({
            "file": file,
            "recorded": known,
            "clients": clients(&shown),
            "findings": findings,
            "cases": shown,
        });
        format!("{answer}\n")
    } else if !known {
        format!(
            "Nothing was recorded at {}.\nThe proxy writes there a few seconds after a client's first TLS handshake; give \
             --config or --ca as it has them.\n",
            file.display()
        )
    } else {
        words(&findings, &shown, only)
    };
    for line in text.lines() {
        writeln!(out, "{}", visible(line))?;
    }
    out.flush()?;
    Ok(ExitCode::from(u8::from(!findings.is_empty())))
}

fn clients(cases: &[&Case]) -> usize {
    cases.iter().map(|case| case.client).collect::<BTreeSet<IpAddr>>().len()
}

fn words(findings: &[Finding], shown: &[&Case], only: Option<IpAddr>) -> String {
    let mut text = String::new();
    for finding in findings {
        let Finding { sentence, advice, rule, .. } = finding;
        text.push_str(&format!("{sentence}.\n{advice}\n\n{rule}\n"));
    }
    if !findings.is_empty() {
        text.push_str("A rule goes into portward.toml, which is read again when it changes.\n");
        return text;
    }
    let trusting = shown.iter().filter(|case| case.trusted > 0).count();
    match (only, shown.len()) {
        (Some(only), 0) => format!("{only} made no TLS handshake with us in the last day.\n"),
        (Some(only), _) => {
            format!("{only} refuses our CA nowhere; it accepted it for {trusting} hosts in the last day.\n")
        }
        (None, _) => format!("No client refuses our CA; {} were seen in the last day.\n", clients(shown)),
    }
}
