//! One request over the connection that was verified, to see whether a web server is behind it: its
//! status, its clock, and what it tells browsers to remember.

use std::time::{Duration, Instant};

use http::header::{DATE, HOST, HeaderMap, LOCATION, SERVER, STRICT_TRANSPORT_SECURITY};
use http::{HeaderValue, Method, Request, Uri};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::time::timeout;

use super::report::{Finding, Section, printable};
use super::words::{distance, span};
use super::{Context, Target};
use crate::message::body::Streamed;
use crate::message::send::Sender;
use crate::net::{Alpn, Port};
use crate::origin::Secured;
use crate::policy::Permit;

/// Nobody at a help desk waits longer for an answer to HEAD, which costs a server nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// Certificates are judged by the clock: more than this, and good ones seem bad.
const SKEW: i64 = 300;

pub async fn section(
    at: &Context<'_>,
    target: &Target,
    permit: &Permit,
    secured: Option<Secured>,
) -> Section {
    let section = Section::new("http", "HTTP");
    let limit = at.dialer.limits.first_byte_time.min(PATIENCE);
    let started = Instant::now();
    let opened = async {
        match secured {
            Some(secured) => at.dialer.start(permit, secured).await,
            None => at.dialer.start_plain(permit).await,
        }
    };
    let mut sender = match timeout(limit, opened).await {
        Ok(Ok((sender, _))) => sender,
        Ok(Err(error)) => {
            return section.with(Finding::fail("http_failed", format!("HTTP could not begin: {error}.")));
        }
        Err(_) => return section.with(no_answer(limit)),
    };
    let answered = timeout(limit, sender.send(request(target, &sender))).await;
    let response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            let text = format!("The server did not answer a HEAD request for `/`: {error}.");
            return section.with(Finding::fail("http_failed", text));
        }
        Err(_) => return section.with(no_answer(limit)),
    };
    answer(section, &response, started.elapsed(), at.now)
}

fn request(target: &Target, sender: &Sender) -> Request<Streamed> {
    let default = if target.plain { Port::HTTP } else { Port::HTTPS };
    let host = target.authority.host_field(default);
    let mut request = Request::new(Streamed::empty());
    *request.method_mut() = Method::HEAD;
    let agent = concat!("portward-doctor/", env!("CARGO_PKG_VERSION"));
    request.headers_mut().insert(http::header::USER_AGENT, HeaderValue::from_static(agent));
    match sender.protocol() {
        Alpn::H2 => *request.uri_mut() = format!("https://{host}/").parse().unwrap_or_default(),
        Alpn::Http11 => {
            *request.uri_mut() = Uri::from_static("/");
            if let Ok(value) = HeaderValue::try_from(host) {
                request.headers_mut().insert(HOST, value);
            }
        }
    }
    request
}

fn no_answer(limit: Duration) -> Finding {
    Finding::fail(
        "http_timeout",
        format!("The server took the connection and did not answer within {}.", span(limit)),
    )
}

fn answer<B>(
    mut section: Section,
    response: &http::Response<B>,
    took: Duration,
    now: OffsetDateTime,
) -> Section {
    let headers = response.headers();
    let field = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(printable);
    let status = response.status();
    let by = field(SERVER).map(|server| format!(", says it is {server}")).unwrap_or_default();
    let to = field(LOCATION).map(|to| format!(", on to {to}")).unwrap_or_default();
    let text = format!("HEAD / is answered {status}{to} after {}{by}.", span(took));
    let data = json!({
        "status": status.as_u16(), "version": format!("{:?}", response.version()),
        "server": field(SERVER), "location": field(LOCATION), "ms": took.as_secs_f64() * 1000.0,
        "hsts": field(STRICT_TRANSPORT_SECURITY),
    });
    let mut finding = if status.is_server_error() {
        Finding::warn("http_server_error", text)
    } else {
        Finding::ok("http_ok", text)
    };
    if let Some(hsts) = field(STRICT_TRANSPORT_SECURITY) {
        let line = format!(
            "Browsers are told to use HTTPS alone (HSTS: {hsts}); they let nobody click a warning away."
        );
        finding = finding.detail(line);
    }
    section.add(finding.data(data));
    section.findings.extend(clock(headers, now));
    section
}

/// The server's clock against ours.
fn clock(headers: &HeaderMap, now: OffsetDateTime) -> Option<Finding> {
    let date = headers.get(DATE)?.to_str().ok()?.replace("GMT", "+0000");
    let skew = OffsetDateTime::parse(&date, &Rfc2822).ok()?.unix_timestamp() - now.unix_timestamp();
    (skew.abs() > SKEW).then(|| {
        let way = if skew > 0 { "behind" } else { "ahead of" };
        Finding::warn(
            "clock_skew",
            format!("This machine's clock is {} {way} the server's: one of them is wrong.", distance(skew)),
        )
        .data(json!({ "seconds": -skew }))
    })
}
