//! The catalogue of reasons: every stable code that an audit record, an error page or a metric
//! can carry, with the words that explain it to a person. Codes are a contract and never change;
//! the sentences may. Which status goes with a code is the proxy's table, not this one.

use std::fmt;
use std::str::FromStr;

/// What a code means, for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// A few words, without a full stop.
    pub title: &'static str,
    /// What happened, in one or two sentences.
    pub sentence: &'static str,
    /// What to do next.
    pub next: &'static str,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $proxy_status:literal, $title:literal, $sentence:literal, $next:literal;)*) => {
        /// The stable reason of an outcome.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code, in the order of the catalogue.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The stable spelling.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $code,)* }
            }

            /// The nearest error type of the Proxy-Status field (RFC 9209 section 2.3).
            pub const fn proxy_status(self) -> &'static str {
                match self { $(Code::$name => $proxy_status,)* }
            }

            pub const fn explanation(self) -> Explanation {
                match self {
                    $(Code::$name => Explanation { title: $title, sentence: $sentence, next: $next },)*
                }
            }
        }
    };
}

codes! {
    // Rules.
    Blocked = "blocked", "http_request_denied",
        "Blocked by the rules",
        "The rules of this proxy took this exchange for an attack or a leak and stopped it.",
        "If the request was legitimate, give the receipt id to whoever runs this proxy: `portward explain` shows the rule and an exclusion that would let it through.";
    Score = "score", "http_request_denied",
        "Blocked by its score",
        "Several signs of an attack were found, and together their points reached the threshold.",
        "If the request was legitimate, give the receipt id to whoever runs this proxy: `portward explain` shows the rules that scored and an exclusion that would let it through.";
    RuleDrop = "rule_drop", "http_request_denied",
        "Connection dropped by a rule",
        "A rule whose action is to drop closed the connection without an answer.",
        "Look at the rule with `portward explain`, and exclude it for this place if the request was legitimate.";
    RuleRedirect = "rule_redirect", "http_request_denied",
        "Redirected by a rule",
        "A rule answered this request with a redirect instead of passing it on.",
        "Look at the rule with `portward explain`, and exclude it for this place if the request was legitimate.";
    Uninspectable = "uninspectable", "http_request_denied",
        "The body could not be inspected",
        "The body has a coding that could not be undone, or is larger than what can be inspected, and the policy is not to let it pass unseen.",
        "Send the body uncompressed or in smaller parts, or let the policy pass such bodies for this host.";

    // Malware scanner.
    Malware = "malware", "http_request_denied",
        "Malware was found",
        "The malware scanner of this proxy recognised something in the file that was to be sent or received, and it was stopped.",
        "Do not try again by another way. If the file is known to be harmless, give the receipt id to whoever runs this proxy: `portward explain` shows the name of the signature, which the scanner can be told to ignore.";
    ScanUnavailable = "scan_unavailable", "proxy_internal_error",
        "The file could not be scanned",
        "Files are scanned for malware here, the scanner did not do it, and the policy is not to let files pass unscanned.",
        "Try again shortly. Whoever runs this proxy has to look whether the scanner runs; `unavailable = \"pass\"` under [scan] lets files pass meanwhile.";
    ScanTooLarge = "scan_too_large", "http_request_denied",
        "The file is too large to be scanned",
        "Files are scanned for malware here up to a certain length, and the policy is not to let longer ones pass.",
        "Send or fetch it in smaller parts, or let the policy pass such files: `max_bytes` and `oversize` under [scan].";
    ScanUnscannable = "scan_unscannable", "http_request_denied",
        "The scanner could not look into the file",
        "The file is encrypted, or has more archives within archives, more entries or more bytes in them than the malware scanner looks into, and the policy is not to let such files pass.",
        "Send or fetch what is in it by itself. `portward explain` shows which limit of the scanner it was; `unscannable = \"pass\"` under [scan] lets such files pass.";
    ScanChanged = "scan_changed", "http_request_denied",
        "The scanner would have changed the file",
        "The malware scanner answered with another message than it was given. This proxy takes its word on files, but no other file in their place.",
        "Whoever runs this proxy finds the reason in the scanner's own log.";
    ScanPartial = "scan_partial", "http_response_incomplete",
        "A piece of a file could not be scanned",
        "Files are scanned for malware here, for which they are fetched whole, and the origin answered with a piece that was not asked for.",
        "Try again. If this origin answers so each time, `ranges = \"pass\"` under [scan] lets pieces be scanned for what they are.";

    // Policy.
    Port = "port", "http_request_denied",
        "Port not allowed",
        "The proxy connects only to the ports that its policy lists: 443, 8443 and 80 unless it says otherwise.",
        "If the service is meant to be reached, allow its port in the policy.";
    PrivateAddress = "private_address", "destination_ip_prohibited",
        "Private address not allowed",
        "The host resolves to a loopback, private, link-local or metadata address, which the proxy does not connect to unless it is allowed.",
        "If this service inside your network is meant to be reached, start with `--allow-private CIDR` for its network or allow it in the policy.";
    HostDenied = "host_denied", "http_request_denied",
        "Host not allowed",
        "The policy of this proxy does not allow this host.",
        "Ask whoever runs this proxy to allow the host, if you need it.";
    AuthRequired = "auth_required", "http_request_denied",
        "Sign in to the proxy",
        "This proxy serves only users that it knows, and the request had no valid user name and password for it.",
        "Give your program the proxy as `http://USER:PASSWORD@HOST:PORT`, or sign in when the browser asks.";
    ClientNetwork = "client_network", "http_request_denied",
        "Client network not allowed",
        "This proxy serves only clients from the networks on its list, and the connection came from elsewhere.",
        "Ask whoever runs this proxy to add your network.";
    Loop = "loop", "proxy_loop_detected",
        "The proxy would talk to itself",
        "The request has already passed through this proxy once, so sending it on would go round in circles.",
        "Look for a proxy setting or a redirect rule that points this proxy at itself.";
    OwnListener = "own_listener", "proxy_loop_detected",
        "The target is the proxy itself",
        "The target is an address on which this proxy listens, so connecting to it would go round in circles.",
        "Use the address of the service that you want, not the proxy's own.";
    Misdirected = "misdirected", "http_request_denied",
        "The request names another host than the connection",
        "The Host of the request is not the host that the tunnel and its TLS handshake were made for.",
        "Open a new connection for the other host; a browser does so by itself. If it keeps happening, the client mixes up its connections.";

    CaConstraints = "ca_constraints", "http_request_denied",
        "Outside what this proxy's authority may issue for",
        "The proxy's certificate authority is limited to certain names, and this host is not among them. Its connections cannot be inspected, and the policy is not to pass them unseen.",
        "If this host is meant to be reached, set `outside_ca_constraints = \"tunnel\"` under [policy.fail], put it on the bypass list, or use an authority without the limit.";

    // Reaching the origin.
    OriginRefused = "origin_refused", "connection_refused",
        "The server refused the connection",
        "The host has an address, but nothing there accepts connections on this port.",
        "Check the port, and whether the service runs; `curl -v` from the proxy's own machine shows what it gets.";
    OriginTimeout = "origin_timeout", "connection_timeout",
        "The server did not answer in time",
        "The server did not accept the connection, or did not begin its answer, within the time limit.",
        "Try again later; `curl -v` from the proxy's own machine shows at which step it stops.";
    OriginUnreachable = "origin_unreachable", "destination_ip_unroutable",
        "The server cannot be reached",
        "There is no way through the network from the proxy to this server.",
        "Check the proxy's own network and its firewall; `curl -v` from the proxy's own machine shows what it gets.";
    OriginStalled = "origin_stalled", "connection_read_timeout",
        "The server stopped in the middle of its answer",
        "The server began its answer and then sent nothing more for longer than the time limit.",
        "Try again; if it repeats, the server has the trouble.";
    OriginClosed = "origin_closed", "connection_terminated",
        "The server closed the connection",
        "The server closed the connection before its answer was complete.",
        "Try again; if it repeats, look at the server's log.";
    DnsNxdomain = "dns_nxdomain", "dns_error",
        "There is no such host",
        "The domain name system says that this name does not exist, or that it has no address.",
        "Check the spelling of the host. For a name inside your network, check that the proxy asks the right name server, or use `--resolve HOST:ADDR`.";
    DnsTimeout = "dns_timeout", "dns_timeout",
        "The name could not be looked up",
        "The name servers did not answer in time, or answered that they failed.",
        "Try again shortly; if it repeats, check the name servers that the proxy uses.";
    UpstreamGone = "upstream_gone", "destination_unavailable",
        "The parent proxy cannot be reached",
        "This proxy sends its requests through another one, and that one did not answer or refused.",
        "Check the address and the credentials of the parent proxy in the configuration.";

    // The origin's certificate and TLS.
    CertExpired = "cert_expired", "tls_certificate_error",
        "The server's certificate has expired",
        "The certificate's last day has passed. Nothing was sent to the server.",
        "The owner of the server has to renew it. If many servers look expired, check the proxy's clock.";
    CertNotYetValid = "cert_not_yet_valid", "tls_certificate_error",
        "The server's certificate is not valid yet",
        "The certificate's first day is in the future. Nothing was sent to the server.",
        "Check the proxy's clock first; otherwise the owner of the server has to replace the certificate.";
    NameMismatch = "name_mismatch", "tls_certificate_error",
        "The server's certificate is for another name",
        "The certificate does not list the host that was asked for, so this may be another server. Nothing was sent to it.",
        "Check the spelling of the host; otherwise the owner of the server needs a certificate for this name.";
    UnknownIssuer = "unknown_issuer", "tls_certificate_error",
        "The server's certificate has an unknown issuer",
        "No certificate authority that this proxy trusts stands behind the certificate. Nothing was sent to the server.",
        "If the server belongs to your organisation, give its authority to the proxy with `--origin-ca FILE`.";
    SelfSigned = "self_signed", "tls_certificate_error",
        "The server's certificate is self-signed",
        "The server vouches for itself, and nobody that this proxy trusts vouches for it. Nothing was sent to the server.",
        "If the server is yours, give its certificate to the proxy with `--origin-ca FILE`.";
    ChainIncomplete = "chain_incomplete", "tls_certificate_error",
        "The server leaves out a part of its certificate chain",
        "The server did not send the intermediate certificate that links its own to a trusted authority. Nothing was sent to it.",
        "The owner of the server has to install the full chain; until then, give the missing certificate to the proxy with `--origin-ca FILE`.";
    BadSignature = "bad_signature", "tls_certificate_error",
        "The server's certificate has a wrong signature",
        "A signature in the certificate chain or in the handshake does not verify. Nothing was sent to the server.",
        "Treat this as an attack or as a broken server until its owner has explained it.";
    WeakKey = "weak_key", "tls_certificate_error",
        "The server's certificate is too weak",
        "The certificate uses a key or a signature algorithm that is no longer safe. Nothing was sent to the server.",
        "The owner of the server has to replace the certificate.";
    BadCertificate = "bad_certificate", "tls_certificate_error",
        "The server's certificate is malformed",
        "The certificate cannot be read, or it breaks a rule that certificates must follow. Nothing was sent to the server.",
        "The owner of the server has to replace the certificate.";
    WrongPurpose = "wrong_purpose", "tls_certificate_error",
        "The server's certificate is not for servers",
        "The certificate was issued for another purpose than proving a web server's name. Nothing was sent to the server.",
        "The owner of the server needs a certificate for server authentication.";
    Revoked = "revoked", "tls_certificate_error",
        "The server's certificate was revoked",
        "Its authority has withdrawn the certificate, often because the key was stolen. Nothing was sent to the server.",
        "Do not go on; tell the owner of the server.";
    RevocationUnknown = "revocation_unknown", "tls_certificate_error",
        "Nobody says whether the server's certificate was revoked",
        "The policy of this proxy asks for a revocation list or a stapled OCSP response that is in force, and there is none. Nothing was sent to the server.",
        "Give the proxy the authority's revocation list with `--crl FILE`, or let such certificates pass with `revocation = \"soft\"`.";
    StapleMissing = "staple_missing", "tls_certificate_error",
        "The server leaves out the proof that its certificate is in force",
        "The certificate promises that an OCSP response comes with it, and none came. Nothing was sent to the server.",
        "The owner of the server has to switch OCSP stapling on.";
    StapleBad = "staple_bad", "tls_certificate_error",
        "The server's proof that its certificate is in force is wrong",
        "The OCSP response that came with the certificate is not for it, not signed by its authority, or too old. Nothing was sent to the server.",
        "The owner of the server has to repair OCSP stapling.";
    DistrustedKey = "distrusted_key", "tls_certificate_error",
        "The server's certificate is signed with a key that strangers hold",
        "A key in the certificate's chain is known to be in the wrong hands, so anyone could have made it. Nothing was sent to the server.",
        "Treat this as an attack, and take that root out of the trust stores it is in.";
    OverLong = "over_long", "tls_certificate_error",
        "The server's certificate is valid for too long",
        "The certificate is valid for longer than public authorities may allow. Nothing was sent to the server.",
        "The owner of the server needs a new certificate; `over_long = \"warn\"` lets such ones pass.";
    ChainTooLarge = "chain_too_large", "tls_certificate_error",
        "The server sent too many certificates",
        "The server's certificate chain is larger than any that is needed. Nothing was sent to the server.",
        "The owner of the server has to install its own chain alone.";
    LegacyTls = "legacy_tls", "tls_protocol_error",
        "The server speaks only outdated TLS",
        "The server offers no TLS version or cipher that is safe today: TLS 1.2 or 1.3 with ephemeral keys and authenticated encryption. Nothing was sent to it.",
        "The owner of the server has to enable TLS 1.2 or 1.3. Until then a [[policy.bypass]] rule with this host in `hosts` relays its connections unread, with whatever its clients accept.";
    ClientCertRequired = "client_cert_required", "tls_certificate_error",
        "The server asks for a client certificate",
        "The server wants its clients to prove who they are with a certificate. A proxy that decrypts has none of theirs, and never asks for their keys.",
        "Let clients show their own: a [[policy.bypass]] rule with this host in `hosts` relays its connections unread. Or give the proxy a certificate for the host in [[origin.client_certificates]].";
    NoCommonProtocol = "no_common_protocol", "tls_protocol_error",
        "The server speaks no protocol that was offered",
        "The server agreed to none of the application protocols that it was offered (HTTP/2, HTTP/1.1). Nothing was sent to it.",
        "Check that this port of the server is a web server; a host that speaks something else inside TLS can go on the bypass list.";
    TlsAlert = "tls_alert", "tls_alert_received",
        "The server broke off the TLS handshake",
        "The server answered the handshake with an alert. Nothing was sent to it.",
        "The server may want a client certificate or another name; its log tells. A host that must not be decrypted can go on the bypass list.";
    TlsFailed = "tls_failed", "tls_protocol_error",
        "The TLS handshake with the server failed",
        "What the server sent is not the TLS handshake that belongs there. Nothing was sent to it.",
        "Check that this port of the server speaks TLS; `curl -v` from the proxy's own machine shows what it gets.";
    OwnCaLoop = "own_ca_loop", "proxy_loop_detected",
        "The server's certificate is this proxy's own",
        "The certificate was issued by this proxy itself, so the connection leads back into it. Nothing was sent.",
        "Look for a redirect or a proxy setting that sends the proxy's own connections to the proxy.";
    OriginGarbage = "origin_garbage", "http_protocol_error",
        "The server's answer is not valid HTTP",
        "The server's answer breaks the HTTP rules in a way that cannot be passed on safely.",
        "Check that this port of the server speaks HTTP; if so, its owner has to repair the answer.";

    // The client's side.
    BodyTooLarge = "body_too_large", "http_request_error",
        "The body is too large",
        "The body of the request is larger than the policy allows.",
        "Send it in smaller parts, or raise the limit.";
    UriTooLong = "uri_too_long", "http_request_error",
        "The address is too long",
        "The target of the request is longer than the limit.",
        "Send long data in the body of the request, or raise the limit.";
    HeadTooLarge = "head_too_large", "http_request_error",
        "The request's head is too large",
        "The header fields of the request are too many or too long.",
        "Clear this site's cookies, which are the usual cause, or raise the limit.";
    HeaderTimeout = "header_timeout", "http_request_error",
        "The request's head came too slowly",
        "The head of the request was not complete within the time limit.",
        "Try again; if it repeats, the network between the client and the proxy has the trouble.";
    BodyTimeout = "body_timeout", "http_request_error",
        "The request's body came too slowly",
        "The body of the request stopped, or came more slowly than the limit allows.",
        "Try again; if it repeats, the network between the client and the proxy has the trouble.";
    FrameFlood = "frame_flood", "http_request_error",
        "A flood of HTTP/2 frames",
        "The client sent far more HTTP/2 frames that carry nothing (resets, pings, settings, empty data) than any client needs, so its connection was closed.",
        "The program that sent them has to be repaired, unless this was an attack.";
    Malformed = "malformed", "http_request_error",
        "The request is not valid HTTP",
        "The request breaks the HTTP rules in a way that cannot be passed on safely.",
        "The program that made the request has to be repaired.";
    NotHttp = "not_http", "http_request_error",
        "Neither TLS nor HTTP",
        "What came through the connection is neither TLS nor HTTP, and the policy is not to pass it unseen.",
        "If this service is meant to be reached, put its host on the bypass list.";
    UnsupportedExpectation = "unsupported_expectation", "http_request_error",
        "The expectation cannot be met",
        "The request has an Expect field with something else than 100-continue.",
        "The program that made the request has to leave the field out.";
    ClientTls = "client_tls", "tls_protocol_error",
        "The client broke off the TLS handshake",
        "The handshake between the client and the proxy failed. Most often the client does not trust the proxy's certificate authority.",
        "Install the authority in the client (`portward ca export`, `portward env`), or put a host with pinned certificates on the bypass list.";
    ClientGone = "client_gone", "connection_terminated",
        "The client went away",
        "The client closed its connection before the exchange was complete.",
        "Nothing, unless it happens often: then look at the client's time limits.";
    Silent = "silent", "connection_read_timeout",
        "The connection stayed silent",
        "Nothing came through the connection within the time limit.",
        "Nothing, unless a client depends on it: a protocol in which the server speaks first needs its host on the bypass list.";

    // The proxy itself.
    AuditUnavailable = "audit_unavailable", "proxy_internal_error",
        "The proxy cannot write its audit log",
        "The policy is to serve nothing that cannot be recorded, and the audit log cannot be written at the moment.",
        "Whoever runs this proxy has to free disk space or repair the permissions of the audit log; service resumes by itself.";
    Overloaded = "overloaded", "connection_limit_reached",
        "The proxy is busy",
        "The proxy has reached its limit of connections, in all or for this client.",
        "Try again shortly.";
    Draining = "draining", "connection_terminated",
        "The proxy is shutting down",
        "The proxy was told to stop and ended what was still open when the time for that ran out.",
        "Try again; another instance or the restarted one answers.";
    CaExpired = "ca_expired", "proxy_internal_error",
        "The proxy's certificate authority has expired",
        "The proxy has no valid certificate to show to its clients, so it cannot inspect this connection, and it does not pass connections unseen for that reason.",
        "Whoever runs this proxy has to renew its authority: `portward ca show` says what ended and what to type.";
    RulesOutOfTime = "rules_out_of_time", "proxy_internal_error",
        "The rules took too long",
        "One exchange has only so much of the processor for being inspected, this one needed more, and the policy is not to let it pass unseen.",
        "Send less at once. Whoever runs this proxy can give the rules more time (`rules_time` under [limits]), let such exchanges pass (`engine_error` under [policy.fail]) or find the slow rule among those that are not Portward's own.";
    Internal = "internal", "proxy_internal_error",
        "The proxy made an error",
        "Something went wrong in the proxy itself, and it did not pass the request on.",
        "Report the receipt id, together with the proxy's log of that time.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text is not a code of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a reason code of this version")]
pub struct UnknownCode;

impl FromStr for Code {
    type Err = UnknownCode;
    fn from_str(text: &str) -> Result<Code, UnknownCode> {
        Code::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(UnknownCode)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_is_unique_reads_back_and_is_explained() {
        let mut seen = HashSet::new();
        for &code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code} stands twice");
            assert_eq!(code.as_str().parse(), Ok(code));
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
            assert!(code.proxy_status().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
            let words = code.explanation();
            assert!(!words.title.is_empty() && !words.title.ends_with('.'), "{code}");
            for text in [words.sentence, words.next] {
                assert!(text.ends_with('.'), "{code}: {text}");
            }
        }
        assert!("Blocked".parse::<Code>().is_err() && "".parse::<Code>().is_err());
    }
}
