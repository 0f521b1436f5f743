//! How the types of a record are spelled in JSON: times in RFC 3339, durations in milliseconds,
//! names and addresses as net writes and reads them.

use crate::net::Entry;

pub(super) mod as_rfc3339 {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    pub fn serialize<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::super::rfc3339(*time))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(from)?;
        OffsetDateTime::parse(&text, &Rfc3339).map(SystemTime::from).map_err(D::Error::custom)
    }
}

pub(super) mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr,
        T::Err: Display,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

pub(super) mod as_number {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::net::ConnectionId;

    pub fn serialize<S: Serializer>(id: &ConnectionId, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(id.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ConnectionId, D::Error> {
        u64::deserialize(from).map(ConnectionId)
    }
}

pub(super) mod as_ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Milliseconds with three digits after the point.
    pub fn number(duration: Duration) -> f64 {
        duration.as_micros() as f64 / 1000.0
    }

    pub fn duration<E: Error>(ms: f64) -> Result<Duration, E> {
        Duration::try_from_secs_f64(ms / 1000.0)
            .map(|d| Duration::from_micros(d.saturating_add(Duration::from_nanos(500)).as_micros() as u64))
            .map_err(E::custom)
    }

    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(number(*duration))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        duration(f64::deserialize(from)?)
    }
}

pub(super) mod as_ms_option {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => to.serialize_some(&super::as_ms::number(*duration)),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Option::<f64>::deserialize(from)?.map(super::as_ms::duration).transpose()
    }
}

/// Optional and plain values of types that net spells and reads.
macro_rules! through_text {
    ($module:ident, $type:ty, |$value:ident| $to:expr, |$text:ident| $from:expr) => {
        pub(super) mod $module {
            use serde::{Deserialize, Deserializer, Serializer, de::Error};

            pub fn serialize<S: Serializer>(value: &Option<$type>, to: S) -> Result<S::Ok, S::Error> {
                match value {
                    Some($value) => to.collect_str(&$to),
                    None => to.serialize_none(),
                }
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<$type>, D::Error> {
                match Option::<String>::deserialize(from)? {
                    Some($text) => $from.map(Some).map_err(D::Error::custom),
                    None => Ok(None),
                }
            }
        }
    };
}

through_text!(as_authority, crate::net::Authority, |value| value, |text| crate::net::Authority::parse(
    &text, None
));
through_text!(as_host, crate::net::Host, |value| value, |text| crate::net::Host::parse(&text));
through_text!(as_origin, crate::net::OriginAddr, |value| value, |text| text
    .parse()
    .map(crate::net::OriginAddr::new));
through_text!(as_entry, crate::net::Entry, |value| value.name(), |text| super::entry(&text)
    .ok_or("unknown entry"));

pub(super) mod as_socket {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::net::ClientAddr;

    pub fn serialize<S: Serializer>(addr: &ClientAddr, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(addr)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ClientAddr, D::Error> {
        String::deserialize(from)?.parse().map(ClientAddr::new).map_err(D::Error::custom)
    }
}

fn entry(name: &str) -> Option<Entry> {
    [Entry::HttpProxy, Entry::HttpsProxy, Entry::Socks5, Entry::Transparent]
        .into_iter()
        .find(|entry| entry.name() == name)
}
