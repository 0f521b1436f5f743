//! Variables: what rules can look at. A variable's name stands for one or several collections
//! of values (`args` is the query's and the body's), or for state that rules make themselves
//! (`tx`, `matched_var`). This table is the only list of them.

pub mod collect;
pub(crate) mod fact;
mod joined;
pub mod kind;
pub mod store;
pub mod target;

use fact::Fact;

use crate::waf::body::MultipartFlaw as Flaw;
use crate::waf::lang::ast::Persistent;
use crate::waf::report::PhaseName;

/// A collection of values, filled once by [`collect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Collection {
    ArgsGet,
    ArgsPost,
    ArgsGetNames,
    ArgsPostNames,
    ArgsJoined,
    ArgsCombinedSize,
    RequestCookies,
    RequestCookiesNames,
    RequestHeaders,
    RequestHeadersNames,
    RequestUri,
    RequestUriRaw,
    RequestFilename,
    RequestBasename,
    QueryString,
    RequestLine,
    RequestMethod,
    RequestProtocol,
    RequestBody,
    RequestBodyLength,
    FullRequest,
    FullRequestLength,
    ReqbodyError,
    ReqbodyErrorMsg,
    ReqbodyErrorCode,
    MultipartStrictError,
    Files,
    FilesNames,
    FilesSizes,
    FilesTmpContent,
    FilesCombinedSize,
    MultipartName,
    MultipartPartHeaders,
    XmlText,
    XmlAttributes,
    RemoteAddr,
    RemotePort,
    RemoteUser,
    ServerName,
    ServerPort,
    ServerAddr,
    Sni,
    UniqueId,
    WebsocketMessage,
    WebsocketDirection,
    WebsocketOpcode,
    ResponseStatus,
    ResponseProtocol,
    ResponseHeaders,
    ResponseHeadersNames,
    ResponseContentType,
    ResponseContentLength,
    ResponseBody,
    ResponseBodyStart,
    EventData,
    EventName,
    EventId,
}

impl Collection {
    pub const COUNT: usize = Collection::EventId as usize + 1;

    /// Bytes of [`Collection::ResponseBodyStart`]: signatures of file formats stand in the first few
    /// hundred (tar's at 257), and a text's first lines say what it is.
    pub const START_BYTES: usize = 1024;

    /// True for what the origin sent.
    pub fn is_response(self) -> bool {
        self >= Collection::ResponseStatus
    }

    /// True for what only a request body can fill with more than a default.
    pub fn is_request_body(self) -> bool {
        use Collection::*;
        matches!(
            self,
            ArgsPost
                | ArgsPostNames
                | RequestBody
                | RequestBodyLength
                | FullRequest
                | FullRequestLength
                | ReqbodyError
                | ReqbodyErrorMsg
                | ReqbodyErrorCode
                | MultipartStrictError
                | Files
                | FilesNames
                | FilesSizes
                | FilesTmpContent
                | FilesCombinedSize
                | MultipartName
                | MultipartPartHeaders
                | XmlText
                | XmlAttributes
                | ArgsCombinedSize
        )
    }
}

/// State that changes while rules run, so it is looked up when a rule asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Live {
    Tx,
    MatchedVar,
    MatchedVarName,
    MatchedVars,
    MatchedVarsNames,
    /// A persistent collection that the exchange opened.
    Persistent(Persistent),
    /// The rule that is running: `rule:id`, `rule:message`, `rule:severity`...
    Rule,
    /// The number of the highest severity that matched so far, 255 for none.
    HighestSeverity,
    /// One small value that is worked out when a rule asks.
    Fact(Fact),
}

/// Where a variable's values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Collections(&'static [Collection]),
    Live(Live),
}

/// Which selectors a variable takes after its colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// None: it is one value.
    None,
    /// A key or a `/regex/`.
    Any,
    /// `/*` for text nodes or `//@*` for attributes, and nothing else: no other XPath.
    Xml,
}

/// One variable of the table.
#[derive(Debug)]
pub struct Variable {
    pub name: &'static str,
    pub origin: Origin,
    pub keys: Keys,
    /// The first phase in which it has its values, at least some of them.
    pub since: PhaseName,
}

pub fn find(name: &str) -> Option<&'static Variable> {
    TABLE.iter().find(|variable| variable.name == name)
}

pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|variable| variable.name)
}

/// The shortest name that stands for exactly this collection.
pub fn name_of(collection: Collection) -> &'static str {
    TABLE
        .iter()
        .find(|variable| matches!(variable.origin, Origin::Collections(list) if list.first() == Some(&collection) && (list.len() == 1 || variable.keys == Keys::Xml)))
        .map_or("xml", |variable| variable.name)
}

const fn of(
    name: &'static str,
    collections: &'static [Collection],
    keys: Keys,
    since: PhaseName,
) -> Variable {
    Variable { name, origin: Origin::Collections(collections), keys, since }
}

const fn live(name: &'static str, live: Live, keys: Keys) -> Variable {
    Variable { name, origin: Origin::Live(live), keys, since: PhaseName::RequestHeaders }
}

const fn fact(name: &'static str, fact: Fact, since: PhaseName) -> Variable {
    Variable { name, origin: Origin::Live(Live::Fact(fact)), keys: Keys::None, since }
}

use Collection as C;
use PhaseName::{Event, RequestBody, RequestHeaders, ResponseBody, ResponseHeaders, WebsocketMessage};

static TABLE: &[Variable] = &[
    of("args", &[C::ArgsGet, C::ArgsPost], Keys::Any, RequestHeaders),
    of("args_get", &[C::ArgsGet], Keys::Any, RequestHeaders),
    of("args_post", &[C::ArgsPost], Keys::Any, RequestBody),
    of("args_names", &[C::ArgsGetNames, C::ArgsPostNames], Keys::Any, RequestHeaders),
    of("args_get_names", &[C::ArgsGetNames], Keys::Any, RequestHeaders),
    of("args_post_names", &[C::ArgsPostNames], Keys::Any, RequestBody),
    of("args_joined", &[C::ArgsJoined], Keys::Any, RequestBody),
    of("args_combined_size", &[C::ArgsCombinedSize], Keys::None, RequestBody),
    of("request_cookies", &[C::RequestCookies], Keys::Any, RequestHeaders),
    of("request_cookies_names", &[C::RequestCookiesNames], Keys::Any, RequestHeaders),
    of("request_headers", &[C::RequestHeaders], Keys::Any, RequestHeaders),
    of("request_headers_names", &[C::RequestHeadersNames], Keys::Any, RequestHeaders),
    of("request_uri", &[C::RequestUri], Keys::None, RequestHeaders),
    of("request_uri_raw", &[C::RequestUriRaw], Keys::None, RequestHeaders),
    of("request_filename", &[C::RequestFilename], Keys::None, RequestHeaders),
    of("request_basename", &[C::RequestBasename], Keys::None, RequestHeaders),
    of("query_string", &[C::QueryString], Keys::None, RequestHeaders),
    of("request_line", &[C::RequestLine], Keys::None, RequestHeaders),
    of("request_method", &[C::RequestMethod], Keys::None, RequestHeaders),
    of("request_protocol", &[C::RequestProtocol], Keys::None, RequestHeaders),
    of("request_body", &[C::RequestBody], Keys::None, RequestBody),
    of("request_body_length", &[C::RequestBodyLength], Keys::None, RequestBody),
    of("full_request", &[C::FullRequest], Keys::None, RequestBody),
    of("full_request_length", &[C::FullRequestLength], Keys::None, RequestBody),
    of("reqbody_error", &[C::ReqbodyError], Keys::None, RequestBody),
    of("reqbody_error_msg", &[C::ReqbodyErrorMsg], Keys::None, RequestBody),
    of("reqbody_error_code", &[C::ReqbodyErrorCode], Keys::None, RequestBody),
    of("multipart_strict_error", &[C::MultipartStrictError], Keys::None, RequestBody),
    of("files", &[C::Files], Keys::Any, RequestBody),
    of("files_names", &[C::FilesNames], Keys::Any, RequestBody),
    of("files_sizes", &[C::FilesSizes], Keys::Any, RequestBody),
    of("files_tmp_content", &[C::FilesTmpContent], Keys::Any, RequestBody),
    of("files_combined_size", &[C::FilesCombinedSize], Keys::None, RequestBody),
    of("multipart_name", &[C::MultipartName], Keys::Any, RequestBody),
    of("multipart_part_headers", &[C::MultipartPartHeaders], Keys::Any, RequestBody),
    of("xml", &[C::XmlText, C::XmlAttributes], Keys::Xml, RequestBody),
    of("remote_addr", &[C::RemoteAddr], Keys::None, RequestHeaders),
    of("remote_port", &[C::RemotePort], Keys::None, RequestHeaders),
    of("remote_user", &[C::RemoteUser], Keys::None, RequestHeaders),
    of("server_name", &[C::ServerName], Keys::None, RequestHeaders),
    of("server_port", &[C::ServerPort], Keys::None, RequestHeaders),
    of("server_addr", &[C::ServerAddr], Keys::None, RequestHeaders),
    of("sni", &[C::Sni], Keys::None, RequestHeaders),
    of("unique_id", &[C::UniqueId], Keys::None, RequestHeaders),
    of("response_status", &[C::ResponseStatus], Keys::None, ResponseHeaders),
    of("response_protocol", &[C::ResponseProtocol], Keys::None, ResponseHeaders),
    of("response_headers", &[C::ResponseHeaders], Keys::Any, ResponseHeaders),
    of("response_headers_names", &[C::ResponseHeadersNames], Keys::Any, ResponseHeaders),
    of("response_content_type", &[C::ResponseContentType], Keys::None, ResponseHeaders),
    of("response_content_length", &[C::ResponseContentLength], Keys::None, ResponseHeaders),
    of("response_body", &[C::ResponseBody], Keys::None, ResponseBody),
    of("response_body_start", &[C::ResponseBodyStart], Keys::None, ResponseBody),
    of("websocket_message", &[C::WebsocketMessage], Keys::None, WebsocketMessage),
    of("websocket_direction", &[C::WebsocketDirection], Keys::None, WebsocketMessage),
    of("websocket_opcode", &[C::WebsocketOpcode], Keys::None, WebsocketMessage),
    of("event_data", &[C::EventData], Keys::None, Event),
    of("event_name", &[C::EventName], Keys::None, Event),
    of("event_id", &[C::EventId], Keys::None, Event),
    live("tx", Live::Tx, Keys::Any),
    live("matched_var", Live::MatchedVar, Keys::None),
    live("matched_var_name", Live::MatchedVarName, Keys::None),
    live("matched_vars", Live::MatchedVars, Keys::Any),
    live("matched_vars_names", Live::MatchedVarsNames, Keys::Any),
    live("ip", Live::Persistent(Persistent::Ip), Keys::Any),
    live("session", Live::Persistent(Persistent::Session), Keys::Any),
    live("user", Live::Persistent(Persistent::User), Keys::Any),
    live("resource", Live::Persistent(Persistent::Resource), Keys::Any),
    live("global", Live::Persistent(Persistent::Global), Keys::Any),
    live("rule", Live::Rule, Keys::Any),
    live("highest_severity", Live::HighestSeverity, Keys::None),
    // Other names of the same values.
    of("path_info", &[C::RequestFilename], Keys::None, RequestHeaders),
    of("remote_host", &[C::RemoteAddr], Keys::None, RequestHeaders),
    of("useragent_ip", &[C::RemoteAddr], Keys::None, RequestHeaders),
    of("reqbody_processor_error", &[C::ReqbodyError], Keys::None, RequestBody),
    of("reqbody_processor_error_msg", &[C::ReqbodyErrorMsg], Keys::None, RequestBody),
    of("multipart_filename", &[C::Files], Keys::Any, RequestBody),
    of("status", &[C::ResponseStatus], Keys::None, ResponseHeaders),
    // Worked out when a rule asks.
    fact("auth_type", Fact::AuthType, RequestHeaders),
    fact("reqbody_processor", Fact::ReqbodyProcessor, RequestHeaders),
    fact("urlencoded_error", Fact::UrlencodedError, RequestHeaders),
    fact("inbound_data_error", Fact::InboundDataError, RequestBody),
    fact("decode_limit_exceeded", Fact::DecodeLimitExceeded, RequestHeaders),
    fact("outbound_data_error", Fact::OutboundDataError, ResponseBody),
    fact("status_line", Fact::StatusLine, ResponseHeaders),
    fact("multipart_boundary_quoted", Fact::Multipart(Flaw::BoundaryQuoted), RequestBody),
    fact("multipart_boundary_whitespace", Fact::Multipart(Flaw::BoundaryWhitespace), RequestBody),
    fact("multipart_data_before", Fact::Multipart(Flaw::DataBefore), RequestBody),
    fact("multipart_data_after", Fact::Multipart(Flaw::DataAfter), RequestBody),
    fact("multipart_header_folding", Fact::Multipart(Flaw::FoldedHeader), RequestBody),
    fact("multipart_invalid_header_folding", Fact::Multipart(Flaw::InvalidFolding), RequestBody),
    fact("multipart_lf_line", Fact::Multipart(Flaw::LineFeed), RequestBody),
    fact("multipart_crlf_lf_lines", Fact::Multipart(Flaw::MixedLines), RequestBody),
    fact("multipart_missing_semicolon", Fact::Multipart(Flaw::MissingSemicolon), RequestBody),
    fact("multipart_semicolon_missing", Fact::Multipart(Flaw::MissingSemicolon), RequestBody),
    fact("multipart_invalid_quoting", Fact::Multipart(Flaw::InvalidQuoting), RequestBody),
    fact("multipart_invalid_part", Fact::Multipart(Flaw::NoName), RequestBody),
    fact("multipart_file_limit_exceeded", Fact::Multipart(Flaw::TooManyParts), RequestBody),
    fact("multipart_unmatched_boundary", Fact::UnmatchedBoundary, RequestBody),
    fact("sessionid", Fact::Opened(Persistent::Session), RequestHeaders),
    fact("userid", Fact::Opened(Persistent::User), RequestHeaders),
    fact("webappid", Fact::WebAppId, RequestHeaders),
    fact("modsec_build", Fact::Build, RequestHeaders),
    fact("msc_pcre_limits_exceeded", Fact::Zero, RequestHeaders),
    fact("duration", Fact::Duration, RequestHeaders),
    fact("time", Fact::Time, RequestHeaders),
    fact("time_epoch", Fact::TimeEpoch, RequestHeaders),
    fact("time_year", Fact::TimeYear, RequestHeaders),
    fact("time_mon", Fact::TimeMonth, RequestHeaders),
    fact("time_day", Fact::TimeDay, RequestHeaders),
    fact("time_wday", Fact::TimeWeekday, RequestHeaders),
    fact("time_hour", Fact::TimeHour, RequestHeaders),
    fact("time_min", Fact::TimeMinute, RequestHeaders),
    fact("time_sec", Fact::TimeSecond, RequestHeaders),
];

/// Why a variable of ModSecurity's reference has no meaning in a proxy; `None` for all others.
/// `name` is in any case.
pub fn unsupported(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_uppercase();
    Some(match name.as_str() {
        "ENV" => "the engine reads no environment of a process",
        "FILES_TMPNAMES" => "uploads are not written to temporary files",
        "GEO" => "no database of places is part of the engine",
        "STREAM_INPUT_BODY" | "STREAM_OUTPUT_BODY" => "bodies are not rewritten by rules",
        "WEBSERVER_ERROR_LOG" => "there is no error log of a web server here",
        "SDBM_DELETE_ERROR" => "collections are not kept in SDBM files",
        "MSC_PCRE_ERROR" => "regular expressions run in linear time and do not fail",
        name if name.starts_with("SCRIPT_") => "the files of the web server are not on this machine",
        name if name.starts_with("PERF_") => "the time that phases take is in the metrics, not in variables",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_collection_has_a_variable_and_every_name_stands_once() {
        let mut seen = std::collections::BTreeSet::new();
        let mut collections: std::collections::BTreeSet<Collection> = Default::default();
        for variable in TABLE {
            assert!(seen.insert(variable.name), "{} twice", variable.name);
            if let Origin::Collections(list) = variable.origin {
                collections.extend(list);
            }
        }
        assert_eq!(collections.len(), Collection::COUNT);
        assert_eq!(name_of(C::ArgsGet), "args_get");
        assert_eq!(name_of(C::XmlText), "xml");
        assert_eq!(name_of(C::ResponseBody), "response_body");
        assert_eq!(name_of(C::ResponseStatus), "response_status");
        assert_eq!(name_of(C::RemoteAddr), "remote_addr");
    }

    #[test]
    fn what_has_no_meaning_in_a_proxy_is_refused_with_a_reason_and_is_not_in_the_table() {
        for name in ["ENV", "geo", "FILES_TMPNAMES", "SCRIPT_UID", "PERF_ALL", "STREAM_INPUT_BODY"] {
            assert!(unsupported(name).is_some(), "{name}");
            assert!(find(&name.to_ascii_lowercase()).is_none(), "{name}");
        }
        for variable in TABLE {
            assert_eq!(unsupported(variable.name), None, "{}", variable.name);
        }
    }
}
