//! Values that are written as text in the file and on the command line, and read by the same
//! parser in both: durations, sizes, addresses, networks, host patterns. A refusal says what
//! was written and what can be.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::net::Port;
use crate::net::authority::unmap;
pub use crate::origin::Override as Resolve;
use crate::policy::HostPattern;
use crate::scan::{Address, Endpoint};
use crate::tls::verify::{KeyDigest, RevocationMode};
use crate::waf::lang::ast::SetupMode;

/// A value with a text form.
pub trait FromText: Sized {
    /// What it is and an example, for "expected ...".
    const WHAT: &'static str;
    fn from_text(text: &str) -> Result<Self, String>;
    fn to_text(&self) -> String;
}

/// A value that a configuration file holds as text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<T>(pub T);

impl<T: FromText> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_text())
    }
}

impl<'de, T: FromText> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<T>, D::Error> {
        deserializer.deserialize_any(TextVisitor(std::marker::PhantomData)).map(Text)
    }
}

struct TextVisitor<T>(std::marker::PhantomData<T>);

impl<T: FromText> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        T::from_text(&number.to_string()).map_err(E::custom)
    }
}

/// A parser for clap.
pub fn parse<T: FromText>(text: &str) -> Result<T, String> {
    T::from_text(text)
}

/// The one sentence of every refusal here.
fn refuse<T: FromText>(text: &str, why: &str) -> String {
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    format!("{text:?} is not usable{why}; expected {}", T::WHAT)
}

impl FromText for Duration {
    const WHAT: &'static str = "a duration such as \"250ms\", \"10s\", \"5m\", \"1h\" or \"7d\"";

    fn from_text(text: &str) -> Result<Duration, String> {
        let error = |why: &str| refuse::<Duration>(text, why);
        let (number, unit) = split_unit(text);
        let number: u64 = number.parse().map_err(|_| error(""))?;
        let millis = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1000),
            "m" => number.checked_mul(60_000),
            "h" => number.checked_mul(3_600_000),
            "d" => number.checked_mul(86_400_000),
            "" => return Err(error("it has no unit")),
            _ => return Err(error("its unit is not known")),
        };
        match millis {
            Some(0) => Err(error("it must be longer than nothing")),
            // Timers add durations to instants; a year is beyond any wait that makes sense here.
            Some(millis) if millis <= 366 * 86_400_000 => Ok(Duration::from_millis(millis)),
            _ => Err(error("it is longer than a year")),
        }
    }

    fn to_text(&self) -> String {
        let millis = self.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
        let (size, unit) =
            units.into_iter().find(|(size, _)| millis.is_multiple_of(*size)).unwrap_or((1, "ms"));
        format!("{}{unit}", millis / size)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Size(pub u64);

impl FromText for RevocationMode {
    const WHAT: &'static str = "off, soft or hard";

    fn from_text(text: &str) -> Result<RevocationMode, String> {
        match text {
            "off" => Ok(RevocationMode::Off),
            "soft" => Ok(RevocationMode::Soft),
            "hard" => Ok(RevocationMode::Hard),
            _ => Err(refuse::<RevocationMode>(text, "")),
        }
    }

    fn to_text(&self) -> String {
        match self {
            RevocationMode::Off => "off",
            RevocationMode::Soft => "soft",
            RevocationMode::Hard => "hard",
        }
        .to_owned()
    }
}

impl FromText for KeyDigest {
    const WHAT: &'static str = "the SHA-256 of a public key (SubjectPublicKeyInfo), 64 hexadecimal digits";

    fn from_text(text: &str) -> Result<KeyDigest, String> {
        text.parse().map_err(|error| refuse::<KeyDigest>(text, &format!("{error}")))
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

const BINARY: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

impl FromText for Size {
    const WHAT: &'static str = "a size such as \"512\", \"64KiB\", \"1MiB\" or \"2GB\"";

    fn from_text(text: &str) -> Result<Size, String> {
        let error = |why: &str| refuse::<Size>(text, why);
        let (number, unit) = split_unit(text);
        let number: u64 = number.parse().map_err(|_| error(""))?;
        let size = match unit {
            "" | "B" => 1,
            "kB" | "KB" => 1000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            unit => {
                BINARY.iter().find(|(_, name)| *name == unit).ok_or_else(|| error("its unit is not known"))?.0
            }
        };
        match number.checked_mul(size) {
            Some(0) => Err(error("it must be at least 1")),
            Some(bytes) if bytes <= 1 << 44 => Ok(Size(bytes)),
            _ => Err(error("it is more than 16 TiB")),
        }
    }

    fn to_text(&self) -> String {
        match BINARY.iter().find(|(size, _)| self.0.is_multiple_of(*size)) {
            Some((size, unit)) => format!("{}{unit}", self.0 / size),
            None => self.0.to_string(),
        }
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (&text[..digits], text[digits..].trim_start())
}

impl FromText for SocketAddr {
    const WHAT: &'static str = "an address and port such as \"127.0.0.1:8443\" or \"[::1]:8443\"";

    fn from_text(text: &str) -> Result<SocketAddr, String> {
        let error = |why: &str| refuse::<SocketAddr>(text, why);
        if let Ok(addr) = text.parse() {
            return Ok(addr);
        }
        if text.parse::<IpAddr>().is_ok() {
            return Err(error("the port is missing"));
        }
        match text.rsplit_once(':') {
            Some(("", _)) => Err(error("write 0.0.0.0 for every IPv4 address, [::] for every address")),
            Some(("localhost", port)) => Err(error(&format!("write 127.0.0.1:{port}"))),
            Some((host, port)) if port.parse::<u16>().is_err() && host.parse::<IpAddr>().is_ok() => {
                Err(error("the port is not a number from 0 to 65535"))
            }
            _ => Err(error("")),
        }
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl FromText for IpNet {
    const WHAT: &'static str = "a network such as \"10.0.0.0/8\", or one address";

    fn from_text(text: &str) -> Result<IpNet, String> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(IpNet::from(unmap(ip)));
        }
        let net: IpNet = text.parse().map_err(|_| refuse::<IpNet>(text, ""))?;
        if let IpAddr::V6(v6) = net.network()
            && v6.to_ipv4_mapped().is_some()
        {
            return Err(refuse::<IpNet>(text, "write the IPv4 network inside it"));
        }
        Ok(net.trunc())
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl FromText for Address {
    const WHAT: &'static str = "a service such as \"icap://127.0.0.1:1344/avscan\"";

    fn from_text(text: &str) -> Result<Address, String> {
        text.parse().map_err(|why: String| refuse::<Address>(text, &why))
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl FromText for Endpoint {
    const WHAT: &'static str =
        "the address of a clamd such as \"unix:/run/clamav/clamd.ctl\" or \"tcp:127.0.0.1:3310\"";

    fn from_text(text: &str) -> Result<Endpoint, String> {
        text.parse().map_err(|why: String| refuse::<Endpoint>(text, &why))
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl FromText for HostPattern {
    const WHAT: &'static str = "a host such as \"example.com\", \"*.example.com\" (below it), \".example.com\" (it and \
                                below), \"192.0.2.7\" or \"10.0.0.0/8\"";

    fn from_text(text: &str) -> Result<HostPattern, String> {
        text.parse().map_err(|error| refuse::<HostPattern>(text, &format!("{error}")))
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl FromText for Port {
    const WHAT: &'static str = "a port from 1 to 65535";

    fn from_text(text: &str) -> Result<Port, String> {
        text.parse().ok().and_then(Port::new).ok_or_else(|| refuse::<Port>(text, ""))
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl FromText for Resolve {
    const WHAT: &'static str =
        "HOST:ADDR or HOST:PORT:ADDR, such as \"app.test:192.0.2.7\" or \"app.test:443:[2001:db8::7]\"";

    fn from_text(text: &str) -> Result<Resolve, String> {
        text.parse().map_err(|why: String| refuse::<Resolve>(text, &why))
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

/// A rule set and its mode, as flags say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetChoice {
    pub name: String,
    pub mode: SetupMode,
}

impl FromText for SetChoice {
    const WHAT: &'static str = "NAME=MODE with block, detect or off as MODE, such as \"cryptominers=detect\"";

    fn from_text(text: &str) -> Result<SetChoice, String> {
        let (name, mode) = text.rsplit_once('=').ok_or_else(|| refuse::<SetChoice>(text, ""))?;
        let mode = match mode {
            "block" => SetupMode::Block,
            "detect" => SetupMode::Detect,
            "off" => SetupMode::Off,
            _ => return Err(refuse::<SetChoice>(text, "the mode is not known")),
        };
        if name.is_empty() {
            return Err(refuse::<SetChoice>(text, "the name is missing"));
        }
        Ok(SetChoice { name: name.to_owned(), mode })
    }

    fn to_text(&self) -> String {
        let mode = match self.mode {
            SetupMode::Block => "block",
            SetupMode::Detect => "detect",
            SetupMode::Off => "off",
        };
        format!("{}={mode}", self.name)
    }
}

/// An exclusion file and a host for which it holds, as flags say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackChoice {
    pub name: String,
    pub host: String,
}

impl FromText for PackChoice {
    const WHAT: &'static str = "NAME=HOST, such as \"wordpress=blog.example.com\", \"wordpress=*.example.com\" or \
                                \"wordpress=*\"";

    fn from_text(text: &str) -> Result<PackChoice, String> {
        match text.split_once('=') {
            Some((name, host)) if !name.is_empty() && !host.is_empty() => {
                Ok(PackChoice { name: name.to_owned(), host: host.to_owned() })
            }
            _ => Err(refuse::<PackChoice>(text, "")),
        }
    }

    fn to_text(&self) -> String {
        format!("{}={}", self.name, self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads<T: FromText + PartialEq + fmt::Debug>(table: &[(&str, T, &str)]) {
        for (text, value, canonical) in table {
            assert_eq!(T::from_text(text).as_ref(), Ok(value), "{text}");
            assert_eq!(value.to_text(), *canonical, "{text}");
            assert_eq!(T::from_text(canonical).as_ref(), Ok(value), "{canonical}");
        }
    }

    fn refuses<T: FromText + fmt::Debug>(table: &[&str]) {
        for text in table {
            let error = T::from_text(text).expect_err(text);
            assert!(error.contains(&format!("{text:?}")) && error.contains(T::WHAT), "{error}");
        }
    }

    #[test]
    fn durations_have_units() {
        reads(&[
            ("250ms", Duration::from_millis(250), "250ms"),
            ("1000ms", Duration::from_secs(1), "1s"),
            ("10 s", Duration::from_secs(10), "10s"),
            ("60m", Duration::from_secs(3600), "1h"),
            ("90s", Duration::from_secs(90), "90s"),
            ("7d", Duration::from_secs(7 * 86_400), "7d"),
        ]);
        refuses::<Duration>(&[
            "",
            "10",
            "0s",
            "-1s",
            "1.5s",
            "10S",
            "s",
            "400d",
            "99999999999999999999d",
            "10s5m",
        ]);
    }

    #[test]
    fn sizes_are_binary_or_decimal_and_say_which() {
        reads(&[
            ("512", Size(512), "512"),
            ("64KiB", Size(65_536), "64KiB"),
            ("1024KiB", Size(1 << 20), "1MiB"),
            ("1MB", Size(1_000_000), "1000000"),
            ("2 GiB", Size(2 << 30), "2GiB"),
        ]);
        refuses::<Size>(&["", "0", "-1", "1K", "1kib", "KiB", "999999TiB", "18446744073709551616"]);
    }

    #[test]
    fn addresses_networks_and_ports() {
        reads::<SocketAddr>(&[
            ("127.0.0.1:0", "127.0.0.1:0".parse().unwrap(), "127.0.0.1:0"),
            ("[::1]:8443", "[::1]:8443".parse().unwrap(), "[::1]:8443"),
        ]);
        refuses::<SocketAddr>(&[
            "",
            "8443",
            ":8443",
            "localhost:8443",
            "127.0.0.1",
            "::1:x",
            "127.0.0.1:65536",
            "[::1]",
        ]);
        reads::<IpNet>(&[
            ("10.1.2.3/8", "10.0.0.0/8".parse().unwrap(), "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7/32".parse().unwrap(), "192.0.2.7/32"),
            ("::ffff:192.0.2.7", "192.0.2.7/32".parse().unwrap(), "192.0.2.7/32"),
            ("fd00::/8", "fd00::/8".parse().unwrap(), "fd00::/8"),
        ]);
        refuses::<IpNet>(&["", "10.0.0.0/33", "10/8", "a.test", "::ffff:10.0.0.0/104"]);
        refuses::<Port>(&["", "0", "65536", "https", "-1"]);
        refuses::<HostPattern>(&["", "a.*.test", "https://a.test", "a.test:443"]);
    }

    #[test]
    fn sets_and_packs_are_named_with_what_they_shall_be() {
        let set = |name: &str, mode| SetChoice { name: name.to_owned(), mode };
        reads(&[
            ("cryptominers=detect", set("cryptominers", SetupMode::Detect), "cryptominers=detect"),
            ("a=b=off", set("a=b", SetupMode::Off), "a=b=off"),
        ]);
        refuses::<SetChoice>(&["", "phishing", "phishing=", "phishing=on", "=block"]);
        let pack = PackChoice { name: "wordpress".to_owned(), host: "*.a.test".to_owned() };
        reads(&[("wordpress=*.a.test", pack, "wordpress=*.a.test")]);
        refuses::<PackChoice>(&["", "wordpress", "wordpress=", "=*"]);
    }

    #[test]
    fn resolve_reads_as_curl_users_write_it() {
        let entry = |host: &str, port: Option<u16>, ip: &str| Resolve {
            host: Some(crate::net::Host::parse(host).unwrap()),
            port: port.and_then(Port::new),
            addr: ip.parse().unwrap(),
            dial_port: None,
        };
        reads(&[
            ("app.test:192.0.2.7", entry("app.test", None, "192.0.2.7"), "app.test:192.0.2.7"),
            ("App.test.:443:192.0.2.7", entry("app.test", Some(443), "192.0.2.7"), "app.test:443:192.0.2.7"),
            ("app.test:::1", entry("app.test", None, "::1"), "app.test:[::1]"),
            ("app.test:[::1]", entry("app.test", None, "::1"), "app.test:[::1]"),
            ("app.test:443:[::1]", entry("app.test", Some(443), "::1"), "app.test:443:[::1]"),
            ("app.test:443:::1", entry("app.test", Some(443), "::1"), "app.test:443:[::1]"),
        ]);
        refuses::<Resolve>(&[
            "",
            "app.test",
            "app.test:",
            "app.test:443",
            "app.test:0:1.2.3.4",
            "1.2.3.4:1.2.3.4",
            "a b:1.2.3.4",
        ]);
    }
}
