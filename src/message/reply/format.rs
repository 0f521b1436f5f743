//! Which of our three formats a client wants (RFC 9110 section 12.5.1). A type has to be asked
//! for by name or range; who accepts anything gets plain text, which is what `curl` shows well.

use http::HeaderMap;
use http::header::ACCEPT;

use crate::message::grpc::Grpc;

/// The formats in which we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Html,
    Json,
    Text,
    /// A client of gRPC reads a status, and no page.
    Grpc(Grpc),
}

/// Members of an Accept list that are looked at; browsers send fewer than ten.
const MOST_MEMBERS: usize = 64;

impl Format {
    /// By the Accept fields of a request, or because it is a call.
    pub fn of(fields: &HeaderMap) -> Format {
        if let Some(grpc) = Grpc::of(fields) {
            return Format::Grpc(grpc);
        }
        let values = fields.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        choose(values.flat_map(|value| value.split(',')))
    }

    /// By the value of the Accept field, if there is one.
    pub fn from_accept(value: Option<&str>) -> Format {
        choose(value.unwrap_or_default().split(','))
    }
}

/// The highest weight wins; among equals, what stands first.
fn choose<'a>(members: impl Iterator<Item = &'a str>) -> Format {
    let mut best: Option<(Format, u16)> = None;
    for member in members.take(MOST_MEMBERS) {
        let Some((format, weight)) = member_of(member) else { continue };
        if weight > 0 && best.is_none_or(|(_, other)| weight > other) {
            best = Some((format, weight));
        }
    }
    best.map_or(Format::Text, |(format, _)| format)
}

/// The format that a member of the list asks for and its weight in thousandths. Wildcards ask
/// for nothing in particular.
fn member_of(member: &str) -> Option<(Format, u16)> {
    let mut parts = member.split(';').map(str::trim);
    let media = parts.next()?.to_ascii_lowercase();
    let format = match media.as_str() {
        "text/html" | "application/xhtml+xml" => Format::Html,
        "application/json" | "text/json" => Format::Json,
        "text/plain" => Format::Text,
        _ if media.starts_with("application/") && media.ends_with("+json") => Format::Json,
        _ => return None,
    };
    let weight = parts
        .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
        .map_or(Some(1000), thousandths)?;
    Some((format, weight))
}

/// `0` to `1` with at most three digits after the point (RFC 9110 section 12.4.2).
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let padded: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(padded),
        "1" if padded == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_has_to_be_asked_for() {
        for (accept, expect) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/*", Format::Text),
            ("image/avif,image/webp,*/*;q=0.8", Format::Text),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Html),
            ("application/json, text/plain, */*", Format::Json),
            ("application/problem+json", Format::Json),
            ("application/vnd.api+json", Format::Json),
            ("TEXT/HTML;charset=utf-8", Format::Html),
            ("text/html;q=0.5, application/json;q=0.9", Format::Json),
            ("application/json;q=0.5;x=y, text/html; q=0.501", Format::Html),
            ("text/html;q=0, */*", Format::Text),
            ("text/html;q=0.000,application/json;q=0.001", Format::Json),
            ("text/html;q=2", Format::Text),
            ("text/html;q=0.1234", Format::Text),
            ("text/plain, text/html", Format::Text),
            (";;,,;q=1,\u{e4}", Format::Text),
        ] {
            assert_eq!(Format::from_accept(Some(accept)), expect, "{accept:?}");
        }
    }

    #[test]
    fn several_accept_fields_are_one_list() {
        let mut fields = HeaderMap::new();
        assert_eq!(Format::of(&fields), Format::Text);
        assert_eq!(Format::from_accept(None), Format::Text);
        fields.append(ACCEPT, "text/html;q=0.1".parse().unwrap());
        fields.append(ACCEPT, "application/json;q=0.2".parse().unwrap());
        assert_eq!(Format::of(&fields), Format::Json);
    }
}
