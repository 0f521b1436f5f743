//! A record as its line, written straight into the batch's memory: one pass, no text in between.
//! What serde derives from [`Record`] is the definition; the tests hold this to it.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::{
    CertificateFacts, ClientLeg, Inspection, OriginLeg, OriginMarks, Protection, Record, Scan, TlsFacts,
};
use crate::audit::visible::visible;
use crate::net::{Authority, Host};

/// Writes lines. Remembers the spelling of the last second, which most records share.
#[derive(Debug, Default)]
pub(in crate::audit) struct Lines {
    second: u64,
    /// "2026-09-21T14:13:20.", empty before the first record.
    spelled: Vec<u8>,
}

type Result = std::result::Result<(), serde_json::Error>;

impl Lines {
    /// Appends the record with its line feed. When that fails, nothing is appended.
    pub(in crate::audit) fn record(&mut self, out: &mut Vec<u8>, record: &Record) -> Result {
        whole(out, |out| self.fields(out, record))
    }

    /// The same for anything else that the log holds.
    pub(in crate::audit) fn other(out: &mut Vec<u8>, line: &impl Serialize) -> Result {
        whole(out, |out| shown(out, line))
    }

    fn fields(&mut self, out: &mut Vec<u8>, record: &Record) -> Result {
        // Receipts, numbers and addresses have nothing to escape. Writing to memory cannot fail.
        let _ = write!(out, r#"{{"id":"{}","time":""#, record.id);
        self.time(out, record.time);
        out.extend_from_slice(b"\",\"kind\":");
        json(out, &record.kind)?;
        out.extend_from_slice(b",\"connection\":");
        number(out, record.connection.0);
        out.extend_from_slice(b",\"client\":\"");
        socket(out, record.client.socket());
        out.push(b'"');
        if let Some(identity) = &record.identity {
            text(out, b",\"identity\":", identity)?;
        }
        if let Some(entry) = record.entry {
            text(out, b",\"entry\":", entry.name())?;
        }
        if let Some(target) = &record.target {
            authority(out, b",\"target\":", target)?;
        }
        if let Some(sni) = &record.sni {
            host(out, b",\"sni\":", sni)?;
        }
        some(out, b",\"method\":", &record.method)?;
        some(out, b",\"url\":", &record.url)?;
        client_leg(out, &record.client_leg)?;
        origin_leg(out, &record.origin_leg)?;
        protection(out, record.protection.as_ref())?;
        yes(out, b",\"keys_logged\":true", record.keys_logged);
        if let Some(status) = record.status {
            out.extend_from_slice(b",\"status\":");
            number(out, u64::from(status));
        }
        out.extend_from_slice(b",\"verdict\":");
        json(out, &record.verdict)?;
        some(out, b",\"reason\":", &record.reason)?;
        some(out, b",\"sentence\":", &record.sentence)?;
        if let Some(rule) = &record.policy_rule {
            text(out, b",\"policy_rule\":", rule)?;
        }
        out.extend_from_slice(b",\"stage\":");
        json(out, &record.stage)?;
        bytes(out, b",\"bytes_from_client\":", record.bytes_from_client);
        bytes(out, b",\"bytes_to_client\":", record.bytes_to_client);
        out.extend_from_slice(b",\"duration_ms\":");
        milliseconds(out, record.duration)?;
        if let Some(added) = record.added {
            out.extend_from_slice(b",\"added_ms\":");
            milliseconds(out, added)?;
        }
        inspection(out, b",\"request_inspection\":", record.request_inspection.as_ref())?;
        inspection(out, b",\"response_inspection\":", record.response_inspection.as_ref())?;
        yes(out, b",\"range_removed\":true", record.range_removed);
        scan(out, b",\"request_scan\":", record.request_scan.as_ref())?;
        scan(out, b",\"response_scan\":", record.response_scan.as_ref())?;
        some(out, b",\"rules\":", &record.rules)?;
        if !super::nothing_found(&record.waf) {
            out.extend_from_slice(b",\"waf\":");
            shown(out, &record.waf)?;
        }
        out.push(b'}');
        Ok(())
    }

    fn time(&mut self, out: &mut Vec<u8>, time: SystemTime) {
        let since = super::clamp(time).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if self.spelled.is_empty() || self.second != since.as_secs() {
            let spelled = super::rfc3339(time).into_bytes();
            self.second = since.as_secs();
            self.spelled.clear();
            self.spelled.extend_from_slice(&spelled[..spelled.len() - "000Z".len()]);
        }
        out.extend_from_slice(&self.spelled);
        padded(out, since.subsec_millis());
        out.push(b'Z');
    }
}

/// A line, whole or not at all.
fn whole(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result) -> Result {
    let before = out.len();
    let result = write(out);
    match result {
        Ok(()) => out.push(b'\n'),
        Err(_) => out.truncate(before),
    }
    result
}

fn client_leg(out: &mut Vec<u8>, leg: &ClientLeg) -> Result {
    if leg.is_empty() {
        return Ok(());
    }
    object(out, b",\"client_leg\":", |out| {
        some(out, b",\"protocol\":", &leg.protocol)?;
        tls(out, leg.tls.as_ref())?;
        if let Some(ja4) = &leg.ja4 {
            text(out, b",\"ja4\":", ja4)?;
        }
        yes(out, b",\"ech\":true", leg.ech);
        some(out, b",\"distrust\":", &leg.distrust)
    })
}

fn origin_leg(out: &mut Vec<u8>, leg: &OriginLeg) -> Result {
    if leg.is_empty() {
        return Ok(());
    }
    object(out, b",\"origin_leg\":", |out| {
        some(out, b",\"protocol\":", &leg.protocol)?;
        if let Some(address) = leg.address {
            out.extend_from_slice(b",\"address\":\"");
            socket(out, address.socket());
            out.push(b'"');
        }
        tls(out, leg.tls.as_ref())?;
        if let Some(CertificateFacts { sha256, issuer }) = leg.certificate.as_deref() {
            object(out, b",\"certificate\":", |out| {
                text(out, b",\"sha256\":", sha256)?;
                some(out, b",\"issuer\":", issuer)
            })?;
        }
        let OriginMarks { revocation, changed, warnings } = &leg.marks;
        some(out, b",\"revocation\":", revocation)?;
        some(out, b",\"changed\":", changed)?;
        some(out, b",\"warnings\":", warnings)?;
        some(out, b",\"name_check\":", &leg.name_check)?;
        some(out, b",\"client_certificate\":", &leg.client_certificate)?;
        yes(out, b",\"pooled\":true", leg.pooled);
        some(out, b",\"resent\":", &leg.resent)
    })
}

fn protection(out: &mut Vec<u8>, protection: Option<&Protection>) -> Result {
    let Some(Protection { grade, client_leg, missing }) = protection else { return Ok(()) };
    object(out, b",\"protection\":", |out| {
        text(out, b",\"grade\":", grade)?;
        text(out, b",\"client_leg\":", client_leg)?;
        if !missing.is_empty() {
            out.extend_from_slice(b",\"missing\":[");
            for (at, name) in missing.iter().enumerate() {
                text(out, if at > 0 { b"," } else { b"" }, name)?;
            }
            out.push(b']');
        }
        Ok(())
    })
}

fn tls(out: &mut Vec<u8>, facts: Option<&TlsFacts>) -> Result {
    let Some(facts) = facts else { return Ok(()) };
    object(out, b",\"tls\":", |out| {
        text(out, b",\"version\":", &facts.version)?;
        text(out, b",\"suite\":", &facts.suite)?;
        some(out, b",\"group\":", &facts.group)?;
        some(out, b",\"alpn\":", &facts.alpn)?;
        yes(out, b",\"resumed\":true", facts.resumed);
        Ok(())
    })
}

fn inspection(out: &mut Vec<u8>, key: &[u8], inspection: Option<&Inspection>) -> Result {
    let Some(Inspection { extent, why }) = inspection else { return Ok(()) };
    object(out, key, |out| {
        out.extend_from_slice(b",\"extent\":");
        json(out, extent)?;
        some(out, b",\"why\":", why)
    })
}

fn scan(out: &mut Vec<u8>, key: &[u8], scan: Option<&Scan>) -> Result {
    let Some(scan) = scan else { return Ok(()) };
    out.extend_from_slice(key);
    shown(out, scan)
}

/// Every member writes a comma before it; the first one's becomes the opening brace.
fn object(out: &mut Vec<u8>, key: &[u8], members: impl FnOnce(&mut Vec<u8>) -> Result) -> Result {
    out.extend_from_slice(key);
    let open = out.len();
    members(out)?;
    match out.get_mut(open) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
    Ok(())
}

fn yes(out: &mut Vec<u8>, member: &[u8], is: bool) {
    if is {
        out.extend_from_slice(member);
    }
}

/// A text that is left out when it is empty.
fn some(out: &mut Vec<u8>, key: &[u8], value: &str) -> Result {
    if value.is_empty() { Ok(()) } else { text(out, key, value) }
}

fn text(out: &mut Vec<u8>, key: &[u8], value: &str) -> Result {
    out.extend_from_slice(key);
    // Bytes in, bytes out, and no way out of the loop: that becomes vector instructions.
    let special = |b: &u8| u8::from((*b < b' ') | (*b >= 0x7f) | (*b == b'"') | (*b == b'\\'));
    if value.as_bytes().iter().fold(0, |found, b| found | special(b)) != 0 {
        return shown(out, value);
    }
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
    Ok(())
}

fn host(out: &mut Vec<u8>, key: &[u8], host: &Host) -> Result {
    match host {
        Host::Name(name) => text(out, key, name),
        Host::Ip(_) => text(out, key, &host.to_string()),
    }
}

fn authority(out: &mut Vec<u8>, key: &[u8], authority: &Authority) -> Result {
    host(out, key, &authority.host)?;
    // The port goes inside of the quotes.
    out.pop();
    out.push(b':');
    number(out, u64::from(authority.port.get()));
    out.push(b'"');
    Ok(())
}

fn socket(out: &mut Vec<u8>, addr: SocketAddr) {
    let IpAddr::V4(ip) = addr.ip() else {
        let _ = write!(out, "{addr}");
        return;
    };
    for (at, octet) in ip.octets().into_iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        number(out, u64::from(octet));
    }
    out.push(b':');
    number(out, u64::from(addr.port()));
}

fn bytes(out: &mut Vec<u8>, key: &[u8], count: u64) {
    if count > 0 {
        out.extend_from_slice(key);
        number(out, count);
    }
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    // u64::MAX has 20 digits.
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn padded(out: &mut Vec<u8>, thousandths: u32) {
    out.extend([100, 10, 1].map(|unit| b'0' + (thousandths / unit % 10) as u8));
}

/// As serde_json spells the number: with one digit behind the point at least, three at most.
fn milliseconds(out: &mut Vec<u8>, duration: Duration) -> Result {
    // Eleven days; from there on the nearest float, and how that is spelled, is its business.
    const EXACT: u128 = 1_000_000_000_000;
    let micros = duration.as_micros();
    if micros >= EXACT {
        return json(out, &super::spelling::as_ms::number(duration));
    }
    let micros = micros as u64;
    number(out, micros / 1000);
    out.push(b'.');
    padded(out, (micros % 1000) as u32);
    for _ in 0..2 {
        if out.last() == Some(&b'0') {
            out.pop();
        }
    }
    Ok(())
}

/// The names of variants, and numbers, as serde spells them.
fn json(out: &mut Vec<u8>, value: &impl Serialize) -> Result {
    serde_json::to_writer(out, value)
}

/// Through serde, with nothing hidden in it.
fn shown<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result {
    let from = out.len();
    serde_json::to_writer(&mut *out, value)?;
    let shown = match std::str::from_utf8(&out[from..]).map(visible) {
        Ok(std::borrow::Cow::Owned(shown)) => shown,
        _ => return Ok(()),
    };
    out.truncate(from);
    out.extend_from_slice(shown.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::tests::{blocked, found, plain};
    use crate::audit::record::{InspectionExtent, Kind, Stage, Verdict};
    use crate::net::{ClientAddr, Entry, OriginAddr};

    fn check(lines: &mut Lines, record: &Record) {
        let mut line = b"before\n".to_vec();
        lines.record(&mut line, record).unwrap();
        let defined = format!("before\n{}\n", visible(&serde_json::to_string(record).unwrap()));
        assert_eq!(String::from_utf8(line).unwrap(), defined);
    }

    fn full(text: &str) -> Record {
        let mut record = blocked(1, vec![found("args:q", text, "union select")]);
        let own = || text.to_owned();
        let tls = TlsFacts {
            version: own().into(),
            suite: own().into(),
            group: own().into(),
            alpn: own().into(),
            resumed: true,
        };
        record.identity = Some(own());
        record.entry = Some(Entry::Transparent);
        record.sni = Host::parse("shop.test").ok();
        record.method = own().into();
        record.url = own();
        record.client_leg = ClientLeg {
            protocol: own().into(),
            tls: Some(tls.clone()),
            ja4: Some(text.into()),
            ech: true,
            distrust: own().into(),
        };
        record.origin_leg = OriginLeg {
            protocol: own().into(),
            address: Some(OriginAddr::new("192.0.2.255:65535".parse().unwrap())),
            tls: Some(tls),
            certificate: Some(std::sync::Arc::new(CertificateFacts { sha256: own(), issuer: own() })),
            marks: OriginMarks { revocation: own().into(), changed: own().into(), warnings: own().into() },
            name_check: own().into(),
            client_certificate: own().into(),
            pooled: true,
            resent: own().into(),
        };
        record.policy_rule = Some(text.into());
        let missing = vec![own().into(), own().into()];
        record.protection = Some(Protection { grade: own().into(), client_leg: own().into(), missing });
        record.keys_logged = true;
        record.policy_rule = Some(text.into());
        record.reason = own().into();
        record.sentence = own().into();
        record.bytes_from_client = u64::MAX;
        record.bytes_to_client = 10;
        record.duration = Duration::from_micros(12_340);
        record.added = Some(Duration::from_micros(7));
        record.request_inspection = Some(Inspection::partial(own()));
        record.response_inspection = Some(Inspection { extent: InspectionExtent::None, why: own().into() });
        let (engine, result) = (own().into(), own().into());
        record.range_removed = true;
        record.request_scan = Some(Scan { engine, result, signature: own(), why: own(), bytes: u64::MAX });
        record.response_scan = Some(Scan::default());
        record.rules = own().into();
        record
    }

    #[test]
    fn a_line_is_what_serde_makes_of_the_record() {
        let mut lines = Lines::default();
        check(&mut lines, &plain(1));
        for text in ["", "plain", "a\"b\\c", "\n\t\u{1}", "\u{7f}", "gr\u{fc}n", "\u{202e}x\u{feff}"] {
            let record = full(text);
            check(&mut lines, &record);
            check(&mut lines, &Record { waf: None, sni: None, target: None, ..record.clone() });
            check(&mut lines, &Record { client_leg: ClientLeg::default(), ..record.clone() });
            check(&mut lines, &Record { protection: Some(Protection::default()), ..record.clone() });
            check(&mut lines, &Record { origin_leg: OriginLeg::default(), ..record });
        }
        for target in ["shop.test:443", "[2001:db8::1]:8443", "192.0.2.1:1"] {
            let target = Authority::parse(target, None).unwrap();
            let sni = Some(target.host.clone());
            check(&mut lines, &Record { target: Some(target), sni, ..plain(2) });
        }
        for client in ["0.0.0.0:0", "255.10.9.100:65535", "[2001:db8::1]:443", "[::ffff:1.2.3.4]:9"] {
            check(&mut lines, &Record { client: ClientAddr::new(client.parse().unwrap()), ..plain(3) });
        }
        let only_pooled = OriginLeg { pooled: true, ..OriginLeg::default() };
        check(&mut lines, &Record { origin_leg: only_pooled, ..plain(4) });
    }

    #[test]
    fn every_kind_verdict_stage_and_extent_has_its_name() {
        let mut lines = Lines::default();
        let names = "accept classify authenticate connect sniff intercept request request_body dial send \
                     response response_body relay tunnel upgrade done";
        for name in names.split_whitespace() {
            let stage: Stage = serde_json::from_str(&format!("\"{name}\"")).unwrap();
            check(&mut lines, &Record { stage, ..plain(1) });
        }
        for kind in [Kind::Exchange, Kind::Tunnel, Kind::Connect, Kind::Connection] {
            check(&mut lines, &Record { kind, ..plain(1) });
        }
        use Verdict::{Blocked, Bypassed, Denied, Failed, Passed, Tunnelled, WouldBlock};
        for verdict in [Passed, WouldBlock, Blocked, Denied, Failed, Tunnelled, Bypassed] {
            check(&mut lines, &Record { verdict, ..plain(1) });
        }
        for seen in [Inspection::WHOLE, Inspection::partial("x"), Inspection::none("")] {
            check(&mut lines, &Record { request_inspection: Some(seen), ..plain(1) });
        }
    }

    #[test]
    fn times_and_durations_are_spelled_as_serde_does() {
        let mut lines = Lines::default();
        let micros = (0..20_000).chain([999_999_999_999, 1_000_000_000_000, 86_400_000_000, u64::MAX / 2]);
        for micros in micros {
            let duration = Duration::from_micros(micros);
            check(&mut lines, &Record { duration, added: Some(duration), ..plain(1) });
        }
        let start = plain(1).time;
        for ms in [0, 1, 10, 876, 877, 878, 1877, 1, 86_400_000, 400_000_000_000_000] {
            check(&mut lines, &Record { time: start + Duration::from_millis(ms), ..plain(1) });
        }
        check(&mut lines, &Record { time: SystemTime::UNIX_EPOCH - Duration::from_millis(1), ..plain(1) });
        check(&mut lines, &Record { time: SystemTime::UNIX_EPOCH, ..plain(1) });
    }
}
