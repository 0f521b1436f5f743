//! Every response that we author: block page, errors, 407, redirect. Each says what happened,
//! what to do next and the receipt id, as HTML, JSON (RFC 9457) or plain text, whichever the
//! client asks for. Nothing from the network reaches a page or a field unescaped, and the
//! expression of a rule is never shown.

mod format;
mod text;

use std::fmt::Write;

use bytes::Bytes;
use http::StatusCode;

use super::grpc::{self, Grpc};
use super::reason::Code;
use crate::net::ReceiptId;
pub use format::Format;
use text::{clean, field_value, html, location_value};

/// A whole response, independent of what sends it. Content-Length is the sender's to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub fields: Vec<(&'static str, String)>,
    pub body: Bytes,
}

/// What every reply needs to know of its exchange.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    pub format: Format,
    pub receipt: ReceiptId,
    /// The host that was asked for, where it is known.
    pub host: Option<&'a str>,
}

/// Which half of the exchange the rules stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Request,
    Response,
}

/// What the block page tells of a verdict.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    pub status: u16,
    /// [`Code::Blocked`], [`Code::Score`] or another code of a rule's doing.
    pub code: Code,
    pub side: Side,
    /// The message of the rule that decided, or of the one that scored highest.
    pub message: &'a str,
    /// Its number.
    pub rule: Option<u32>,
}

/// The block page.
pub fn block(about: &About<'_>, block: &Block<'_>) -> Reply {
    let host = about.host.unwrap_or("the server");
    let (title, sentence) = match block.side {
        Side::Request => (
            "This request was blocked",
            format!(
                "It looks like an attack on {host}, so the proxy stopped it. The server has not received it."
            ),
        ),
        Side::Response => (
            "This answer was blocked",
            format!("What {host} answered looks dangerous or leaks secrets, so the proxy kept it back."),
        ),
    };
    let page = Page {
        id: "portward-block",
        status: status(block.status),
        code: block.code,
        title,
        sentence: &sentence,
        detail: block.message,
        detail_title: "Why",
        next: "If you were doing something ordinary, give the receipt id to whoever runs this proxy. \
               With it they see the reason, and an exception that would let this through.",
        rule: block.rule,
        command: true,
    };
    page.reply(about)
}

/// An error page: 400, 403, 408, 413, 414, 421, 431, 502, 503, 504, 508 and the like. `detail`
/// is a sentence with particulars, or empty.
pub fn error(about: &About<'_>, status_code: u16, code: Code, detail: &str) -> Reply {
    let words = code.explanation();
    let page = Page {
        id: "portward-error",
        status: status(status_code),
        code,
        title: words.title,
        sentence: words.sentence,
        detail,
        detail_title: "In detail",
        next: words.next,
        rule: None,
        command: false,
    };
    let mut reply = page.reply(about);
    if status_code == 503 {
        // Long enough for a full disk or a burst to be noticed, short enough not to annoy.
        reply.fields.push(("Retry-After", "10".to_owned()));
    }
    reply
}

/// 407 with a Basic challenge (RFC 9110 section 11.7.1, RFC 7617).
pub fn authenticate(about: &About<'_>, realm: &str) -> Reply {
    let mut reply = error(about, 407, Code::AuthRequired, "");
    let mut quoted = String::new();
    for c in field_value(realm).chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    reply.fields.push(("Proxy-Authenticate", format!("Basic realm=\"{quoted}\", charset=\"UTF-8\"")));
    reply
}

/// A redirect that a rule asked for; a status that is no redirect becomes 302.
pub fn redirect(about: &About<'_>, status_code: u16, location: &str) -> Reply {
    let status_code = if matches!(status_code, 301 | 302 | 303 | 307 | 308) { status_code } else { 302 };
    let location = location_value(location);
    let page = Page {
        id: "portward-redirect",
        status: status(status_code),
        code: Code::RuleRedirect,
        title: Code::RuleRedirect.explanation().title,
        sentence: Code::RuleRedirect.explanation().sentence,
        detail: &location,
        detail_title: "Goes to",
        next: "If your program does not go there by itself, open that address.",
        rule: None,
        command: false,
    };
    let mut reply = page.reply(about);
    reply.fields.push(("Location", location));
    reply
}

/// A number outside of the final statuses would be our own mistake; it becomes 500.
fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()))
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

struct Page<'a> {
    id: &'static str,
    status: StatusCode,
    code: Code,
    title: &'a str,
    sentence: &'a str,
    detail: &'a str,
    detail_title: &'static str,
    next: &'a str,
    rule: Option<u32>,
    /// Name the command that explains the receipt.
    command: bool,
}

impl Page<'_> {
    fn reply(&self, about: &About<'_>) -> Reply {
        let (content_type, body) = match about.format {
            Format::Html => ("text/html; charset=utf-8", self.html(about)),
            Format::Json => ("application/problem+json; charset=utf-8", self.json(about)),
            Format::Text => ("text/plain; charset=utf-8", self.text(about)),
            Format::Grpc(grpc) => return self.call(about, grpc),
        };
        let status = self.status.as_u16();
        let mut fields = vec![
            ("Content-Type", content_type.to_owned()),
            ("Cache-Control", "no-store".to_owned()),
            ("X-Content-Type-Options", "nosniff".to_owned()),
            ("Portward-Receipt", about.receipt.to_string()),
            ("Proxy-Status", format!("portward; error={}; details={}", self.code.proxy_status(), self.code)),
        ];
        if about.format == Format::Html {
            let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
            fields.push(("Content-Security-Policy", policy.to_owned()));
            fields.push(("Referrer-Policy", "no-referrer".to_owned()));
        }
        Reply { status, fields, body: body.into() }
    }

    /// The end of a call before its answer began: a head that is trailers as well.
    fn call(&self, about: &About<'_>, grpc: Grpc) -> Reply {
        let detail = if self.detail.is_empty() { self.sentence } else { self.detail };
        let message = format!("{}: {detail} (Portward, receipt {})", self.title, about.receipt);
        let fields = vec![
            ("Content-Type", grpc.media_type().to_owned()),
            ("grpc-status", grpc::status(self.status.as_u16()).to_string()),
            ("grpc-message", grpc::escaped(&clean(&message))),
            ("Portward-Receipt", about.receipt.to_string()),
        ];
        Reply { status: 200, fields, body: Bytes::new() }
    }

    fn status_line(&self) -> String {
        format!("{} {}", self.status.as_u16(), self.status.canonical_reason().unwrap_or(""))
            .trim_end()
            .to_owned()
    }

    fn html(&self, about: &About<'_>) -> String {
        let mut facts = String::new();
        let mut fact = |name: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(facts, "<dt>{name}</dt><dd>{value}</dd>");
        };
        let receipt = about.receipt;
        fact("Receipt", &format!("<span class=\"receipt\" id=\"portward-receipt\">{receipt}</span>"));
        if let Some(host) = about.host {
            fact("Host", &html(host));
        }
        if let Some(rule) = self.rule {
            fact("Rule", &rule.to_string());
        }
        fact("Reason", self.code.as_str());
        fact("Status", &html(&self.status_line()));
        if self.command {
            fact("For the admin", &format!("portward explain {receipt}"));
        }
        let mut detail = String::new();
        if !self.detail.is_empty() {
            let _ = write!(
                detail,
                "<h2>{}</h2>\n<p id=\"portward-detail\">{}</p>\n",
                self.detail_title,
                html(self.detail)
            );
        }
        format!(
            include_str!("reply/page.html"),
            style = include_str!("reply/style.css"),
            id = self.id,
            receipt = receipt,
            code = self.code,
            status = self.status.as_u16(),
            title = html(self.title),
            sentence = html(self.sentence),
            detail = detail,
            next = self.next_html(),
            facts = facts,
        )
    }

    /// The catalogue marks commands with back quotes.
    fn next_html(&self) -> String {
        let mut out = String::new();
        for (i, part) in self.next.split('`').enumerate() {
            if i % 2 == 1 {
                let _ = write!(out, "<code>{}</code>", html(part));
            } else {
                out.push_str(&html(part));
            }
        }
        out
    }

    fn json(&self, about: &About<'_>) -> String {
        let mut problem = serde_json::json!({
            "type": format!("urn:portward:{}", self.code),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": if self.detail.is_empty() { self.sentence.to_owned() } else { format!("{} {}", self.sentence, self.detail) },
            "instance": format!("urn:portward:receipt:{}", about.receipt),
            "code": self.code.as_str(),
            "receipt": about.receipt.to_string(),
            "next": self.next,
        });
        if let Some(host) = about.host {
            problem["host"] = host.into();
        }
        if let Some(rule) = self.rule {
            problem["rule"] = rule.into();
        }
        if self.command {
            problem["explain"] = format!("portward explain {}", about.receipt).into();
        }
        format!("{problem}\n")
    }

    fn text(&self, about: &About<'_>) -> String {
        let mut out =
            format!("portward: {} ({})\n\n{}\n", clean(self.title), self.status_line(), clean(self.sentence));
        if !self.detail.is_empty() {
            let _ = writeln!(out, "{}: {}", self.detail_title, clean(self.detail));
        }
        let _ = writeln!(out, "\n{}\n", clean(self.next));
        if let Some(host) = about.host {
            let _ = writeln!(out, "host:    {}", clean(host));
        }
        if let Some(rule) = self.rule {
            let _ = writeln!(out, "rule:    {rule}");
        }
        let _ = writeln!(out, "reason:  {}\nreceipt: {}", self.code, about.receipt);
        if self.command {
            let _ = writeln!(out, "explain: portward explain {}", about.receipt);
        }
        out
    }
}

#[cfg(test)]
mod tests;
