//! The rules of both sides: Debian's CRS 3.3.4 as it is, with the same few settings before it, for
//! libmodsecurity3 as one file of includes; and this project's core rules.

use portward::cli::rules::import::Disk;
use portward::waf::Sources;
use portward::waf::lang::seclang::{Input, Options, import};

pub const SETUP: &str = "/etc/modsecurity/crs/crs-setup.conf";
pub const FOLDER: &str = "/usr/share/modsecurity-crs/rules";

/// An anomaly score that no exchange reaches.
const OUT_OF_REACH: u32 = 100_000;

/// What stands before CRS. Its rules look at JSON only when something says that it is JSON. CRS
/// finds some benign requests suspicious, at level 4 most of them, and what is stopped early costs
/// little; so the thresholds are out of reach, and all rules run on both sides.
pub fn configuration(level: u8) -> String {
    format!(
        "SecRuleEngine On\n\
         SecRequestBodyAccess On\n\
         SecRequestBodyLimit 13107200\n\
         SecRequestBodyNoFilesLimit 13107200\n\
         SecResponseBodyAccess On\n\
         SecResponseBodyMimeType text/html\n\
         SecResponseBodyLimit 1048576\n\
         SecAuditEngine Off\n\
         SecRule REQUEST_HEADERS:Content-Type \"@beginsWith application/json\" \
         \"id:10,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON\"\n\
         SecAction \"id:11,phase:1,t:none,nolog,pass,setvar:tx.paranoia_level={level},\
         setvar:tx.inbound_anomaly_score_threshold={OUT_OF_REACH},\
         setvar:tx.outbound_anomaly_score_threshold={OUT_OF_REACH}\"\n\
         Include {SETUP}\n\
         Include {FOLDER}/*.conf\n"
    )
}

/// The same text through the importer.
pub fn imported(level: u8) -> Sources {
    let input = Input { name: "bench.conf".to_owned(), text: configuration(level) };
    match import(&[input], &mut Disk, &Options { skip_unsupported: true }) {
        Ok(imported) => imported.sources,
        Err(errors) => panic!("CRS does not import: {}", errors[0]),
    }
}
