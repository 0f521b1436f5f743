//! "Never weaker": what a connection through us is worth, judged by its weaker leg alone. Whoever
//! shows a connection to a person shows this grade, and not that of the leg that looks better.

use super::Negotiated;
use super::verify::Revocation;

/// What is left to protect when both legs are taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grade {
    client: Strength,
    origin: Strength,
    verified: bool,
    revocation: Revocation,
}

/// How strong one leg is, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// No forward secrecy, no authenticated encryption, or a version below 1.2.
    Weak,
    /// TLS 1.2 with an ephemeral exchange and AEAD.
    Tls12,
    /// TLS 1.3.
    Tls13,
    /// TLS 1.3 with an exchange that a recording does not betray to a later quantum computer.
    PostQuantum,
}

/// The client's leg beside the origin's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    Same,
    /// The client's leg is stronger than the origin's: it must not be shown as the whole.
    Stronger,
    /// The client's leg is weaker than the origin's, because the client offered no better.
    Weaker,
}

impl Compared {
    pub fn as_str(self) -> &'static str {
        match self {
            Compared::Same => "same",
            Compared::Stronger => "stronger",
            Compared::Weaker => "weaker",
        }
    }
}

impl Strength {
    pub fn of(leg: &Negotiated) -> Strength {
        Strength::named(leg.version, leg.suite, leg.group)
    }

    /// The same from the names that the audit record has.
    pub fn named(version: &str, suite: &str, group: &str) -> Strength {
        let aead = suite.contains("_GCM_") || suite.contains("_CHACHA20_POLY1305_");
        match version {
            "TLSv1.3" if !aead => Strength::Weak,
            "TLSv1.3" if group.contains("MLKEM") => Strength::PostQuantum,
            "TLSv1.3" => Strength::Tls13,
            "TLSv1.2" if aead && suite.starts_with("TLS_ECDHE_") => Strength::Tls12,
            _ => Strength::Weak,
        }
    }
}

impl Grade {
    /// `verified`: the origin's certificate was accepted without an exception.
    pub fn new(client: Strength, origin: Strength, verified: bool, revocation: Revocation) -> Grade {
        Grade { client, origin, verified, revocation }
    }

    /// The weaker leg's: `A+` when nothing is missing; `A` for what a browser of today calls safe; `B`
    /// without forward secrecy or authenticated encryption; `F` when nobody knows who the origin is.
    pub fn letter(self) -> &'static str {
        match self.client.min(self.origin) {
            _ if !self.verified => "F",
            Strength::Weak => "B",
            Strength::PostQuantum if self.revocation == Revocation::Good => "A+",
            _ => "A",
        }
    }

    /// The client's leg beside the origin's.
    pub fn compared(self) -> Compared {
        match self.client.cmp(&self.origin) {
            std::cmp::Ordering::Less => Compared::Weaker,
            std::cmp::Ordering::Equal => Compared::Same,
            std::cmp::Ordering::Greater => Compared::Stronger,
        }
    }

    /// What keeps it from the best grade, as stable names.
    pub fn missing(self) -> impl Iterator<Item = &'static str> {
        let leg = |strength: Strength, names: [&'static str; 3]| match strength {
            Strength::Weak => Some(names[0]),
            Strength::Tls12 => Some(names[1]),
            Strength::Tls13 => Some(names[2]),
            Strength::PostQuantum => None,
        };
        [
            leg(self.client, ["client_weak", "client_tls12", "client_not_post_quantum"]),
            leg(self.origin, ["origin_weak", "origin_tls12", "origin_not_post_quantum"]),
            (!self.verified).then_some("origin_not_verified"),
            match self.revocation {
                Revocation::Good => None,
                Revocation::Unknown => Some("revocation_unknown"),
                Revocation::NotChecked => Some("revocation_not_checked"),
            },
        ]
        .into_iter()
        .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Strength; 4] = [Strength::Weak, Strength::Tls12, Strength::Tls13, Strength::PostQuantum];

    #[test]
    fn a_leg_is_as_strong_as_its_version_suite_and_group() {
        let table = [
            ("TLSv1.3", "TLS13_AES_128_GCM_SHA256", "X25519MLKEM768", Strength::PostQuantum),
            ("TLSv1.3", "TLS13_CHACHA20_POLY1305_SHA256", "X25519", Strength::Tls13),
            ("TLSv1.3", "unknown", "X25519MLKEM768", Strength::Weak),
            ("TLSv1.2", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "secp256r1", Strength::Tls12),
            // Resumed: there was no exchange in this handshake, and the session's secret came from one.
            ("TLSv1.2", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "unknown", Strength::Tls12),
            ("TLSv1.2", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "X25519", Strength::Weak),
            ("TLSv1.2", "TLS_RSA_WITH_AES_128_GCM_SHA256", "unknown", Strength::Weak),
            ("TLSv1.2", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "FFDHE2048", Strength::Weak),
            ("TLSv1.1", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "X25519", Strength::Weak),
            ("unknown", "unknown", "unknown", Strength::Weak),
        ];
        for (version, suite, group, strength) in table {
            assert_eq!(Strength::named(version, suite, group), strength, "{version} {suite} {group}");
        }
        // What we offer is never weak.
        for suite in crate::tls::provider().cipher_suites.iter() {
            let version = if suite.tls13().is_some() { "TLSv1.3" } else { "TLSv1.2" };
            let name = suite.suite();
            assert!(
                Strength::named(version, name.as_str().unwrap(), "X25519") >= Strength::Tls12,
                "{name:?}"
            );
        }
    }

    #[test]
    fn no_leg_claims_more_than_the_weaker_one() {
        for client in ALL {
            for origin in ALL {
                for revocation in [Revocation::Good, Revocation::Unknown, Revocation::NotChecked] {
                    let grade = Grade::new(client, origin, true, revocation);
                    let weaker = client.min(origin);
                    assert_eq!(grade.letter(), Grade::new(weaker, weaker, true, revocation).letter());
                    assert_eq!(grade.letter() == "A+", grade.missing().next().is_none());
                    assert_eq!(grade.compared() == Compared::Same, client == origin);
                    assert_eq!(Grade::new(client, origin, false, revocation).letter(), "F");
                }
            }
        }
        let grade = Grade::new(Strength::PostQuantum, Strength::Tls12, true, Revocation::Unknown);
        assert_eq!((grade.letter(), grade.compared().as_str()), ("A", "stronger"));
        assert_eq!(grade.missing().collect::<Vec<_>>(), ["origin_tls12", "revocation_unknown"]);
    }
}
