//! Whether somebody else is on the way: another product that intercepts TLS, told by the issuer of the
//! certificate; and a proxy that this shell's programs use and Portward does not.

use serde_json::json;

use super::report::{Finding, Section};
use crate::tls::probe::Chain;

/// Words in the issuer's name of products that decrypt, and what the product is.
const MIDDLEBOXES: [(&str, &str); 37] = [
    ("zscaler", "Zscaler"),
    ("netskope", "Netskope"),
    ("goskope", "Netskope"),
    ("fortinet", "a Fortinet firewall"),
    ("fortigate", "a Fortinet firewall"),
    ("palo alto networks", "a Palo Alto firewall"),
    ("check point", "a Check Point firewall"),
    ("sophos", "Sophos"),
    ("cisco umbrella", "Cisco Umbrella"),
    ("cisco secure", "a Cisco firewall"),
    ("blue coat", "a Symantec (Blue Coat) proxy"),
    ("symantec web gateway", "a Symantec proxy"),
    ("mcafee web gateway", "a McAfee (Skyhigh) web gateway"),
    ("skyhigh", "a Skyhigh web gateway"),
    ("forcepoint", "Forcepoint"),
    ("websense", "Forcepoint (Websense)"),
    ("barracuda", "a Barracuda gateway"),
    ("watchguard", "a WatchGuard firewall"),
    ("fireware", "a WatchGuard firewall"),
    ("sonicwall", "a SonicWall firewall"),
    ("untangle", "an Untangle gateway"),
    ("lightspeed", "a Lightspeed filter"),
    ("securly", "Securly"),
    ("iboss", "iboss"),
    ("gateway ca - cloudflare", "Cloudflare Gateway"),
    ("kaspersky", "Kaspersky antivirus"),
    ("eset ssl filter", "ESET antivirus"),
    ("avast", "Avast antivirus"),
    ("avg web", "AVG antivirus"),
    ("bitdefender", "Bitdefender antivirus"),
    ("mitmproxy", "mitmproxy"),
    ("portswigger", "Burp Suite"),
    ("do_not_trust", "Fiddler"),
    ("charles proxy", "Charles"),
    ("superfish", "Superfish, which is malware"),
    ("portward ca ", "another Portward"),
    ("portward issuing ca ", "another Portward"),
];

pub fn section(chain: Option<&Chain>, own: bool, proxy: Option<(String, String)>) -> Section {
    let mut section = Section::new("path", "The way there");
    let issuers = || chain.into_iter().flat_map(|chain| &chain.certificates).map(|cert| cert.issuer.as_str());
    let found = issuers().find_map(|issuer| product(issuer).map(|product| (issuer, product)));
    match found {
        // Told with the certificate already.
        Some(_) if own => {}
        Some((issuer, product)) => section.add(
            Finding::warn(
                "intercepted",
                format!(
                    "Something decrypts this connection before it gets here: {product} (issuer `{issuer}`)."
                ),
            )
            .data(json!({ "issuer": issuer, "product": product })),
        ),
        None if chain.is_some() => {
            section.add(Finding::ok(
                "not_intercepted",
                "No product that is known to decrypt TLS is on the way.",
            ));
        }
        None => {}
    }
    if let Some((name, value)) = proxy {
        section.add(
            Finding::ok(
                "environment_proxy",
                format!(
                    "{name} is set to {value} here: programs of this shell go there. Portward itself connects \
                     directly and does not read it."
                ),
            )
            .data(json!({ "variable": name, "value": value })),
        );
    }
    section
}

/// The product behind an issuer's name.
pub fn product(issuer: &str) -> Option<&'static str> {
    let issuer = issuer.to_lowercase();
    MIDDLEBOXES.iter().find(|(word, _)| issuer.contains(word)).map(|(_, product)| *product)
}

/// The proxy that programs of this environment would use, as the variable has it.
pub fn proxy_variable(get: impl Fn(&str) -> Option<String>) -> Option<(&'static str, String)> {
    let names = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    names.into_iter().find_map(|name| Some((name, get(name).filter(|value| !value.is_empty())?)))
}

/// The same, its password left out.
pub fn environment_proxy(get: impl Fn(&str) -> Option<String>) -> Option<(String, String)> {
    proxy_variable(get).map(|(name, value)| (name.to_owned(), without_password(&value)))
}

/// A URL without its user information.
pub fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let rest = rest.rsplit_once('@').map_or(rest.to_owned(), |(_, rest)| format!("***@{rest}"));
    if scheme.is_empty() { rest } else { format!("{scheme}://{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_known_by_their_issuers_and_passwords_are_not_shown() {
        assert_eq!(product("Zscaler Intermediate Root CA (zscaler.net)"), Some("Zscaler"));
        assert_eq!(product("Portward CA 3f2a root"), Some("another Portward"));
        assert_eq!(product("Let's Encrypt R11"), None);
        assert_eq!(without_password("http://user:s3cret@proxy:3128"), "http://***@proxy:3128");
        assert_eq!(without_password("proxy:3128"), "proxy:3128");
    }
}
