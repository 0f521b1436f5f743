//! What a service says of itself in answer to OPTIONS (RFC 3507 section 4.10.2).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::head::Head;
use crate::scan::Direction;

/// Bytes of a preview, whatever the service would take.
pub const MOST_PREVIEW: usize = 64 * 1024;

/// How long it holds where the service does not say, and at most.
const LIFETIME: Duration = Duration::from_secs(3600);
const MOST_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Extensions in a list.
const MOST_EXTENSIONS: usize = 256;

#[derive(Debug)]
pub struct Options {
    request: bool,
    response: bool,
    preview: Option<usize>,
    /// What is to be sent without a preview.
    complete: Vec<String>,
    /// What is to be sent with one.
    previewed: Vec<String>,
    /// How many connections it takes, where it says so.
    pub connections: Option<Arc<Semaphore>>,
    most: Option<usize>,
    pub lifetime: Duration,
    pub tag: String,
}

impl Options {
    /// `before` is what it said the last time: connections are counted on where their number stays.
    pub fn read(head: &Head, before: Option<&Options>) -> Options {
        let number = |name| head.field(name).and_then(|value| value.parse::<usize>().ok());
        let takes = |method: &str| head.list("methods").any(|item| item.eq_ignore_ascii_case(method));
        let extensions = |name| -> Vec<String> {
            head.list(name).take(MOST_EXTENSIONS).map(str::to_ascii_lowercase).collect()
        };
        let most = number("max-connections");
        let same = before.filter(|before| before.most == most).and_then(|before| before.connections.clone());
        let lifetime = number("options-ttl").map_or(LIFETIME, |seconds| Duration::from_secs(seconds as u64));
        Options {
            request: takes("REQMOD"),
            response: takes("RESPMOD"),
            preview: number("preview").map(|most| most.min(MOST_PREVIEW)),
            complete: extensions("transfer-complete"),
            previewed: extensions("transfer-preview"),
            connections: same.or_else(|| most.map(super::room)),
            most,
            lifetime: lifetime.clamp(Duration::from_secs(1), MOST_LIFETIME),
            tag: head.field("istag").unwrap_or_default().to_owned(),
        }
    }

    pub fn takes(&self, direction: Direction) -> bool {
        if direction == Direction::Upload { self.request } else { self.response }
    }

    /// Bytes of the preview for a file of that extension, `None` where it is to be sent without one. What the
    /// service would not be sent at all (Transfer-Ignore) is sent as the rest is: an extension is the sender's word.
    pub fn preview(&self, extension: &str) -> Option<usize> {
        let listed = |list: &[String], name: &str| list.iter().any(|item| item == name);
        let complete = match (listed(&self.complete, extension), listed(&self.previewed, extension)) {
            (_, true) => false,
            (true, false) => true,
            (false, false) => listed(&self.complete, "*") && !listed(&self.previewed, "*"),
        };
        self.preview.filter(|_| !complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &str) -> Options {
        let head = format!("ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\n{fields}\r\n");
        Options::read(&Head::read(head.as_bytes()).unwrap(), None)
    }

    #[test]
    fn a_preview_is_offered_by_the_extension() {
        for (fields, previews) in [
            ("", [None, None]),
            ("Preview: 1024\r\n", [Some(1024), Some(1024)]),
            ("Preview: 0\r\nTransfer-Preview: *\r\n", [Some(0), Some(0)]),
            ("Preview: 99999999\r\n", [Some(MOST_PREVIEW), Some(MOST_PREVIEW)]),
            ("Preview: 1024\r\nTransfer-Complete: EXE, zip\r\n", [None, Some(1024)]),
            ("Preview: 1024\r\nTransfer-Complete: *\r\nTransfer-Preview: gif\r\n", [None, Some(1024)]),
            ("Preview: 1024\r\nTransfer-Ignore: exe\r\n", [Some(1024), Some(1024)]),
            ("Preview: nonsense\r\n", [None, None]),
        ] {
            let options = read(fields);
            assert_eq!([options.preview("exe"), options.preview("gif")], previews, "{fields}");
            assert!(options.takes(Direction::Download) && !options.takes(Direction::Upload));
        }
    }

    #[test]
    fn what_it_says_of_itself_holds_for_a_while() {
        let seconds = |fields| read(fields).lifetime.as_secs();
        assert_eq!(seconds(""), 3600);
        assert_eq!(seconds("Options-TTL: 60\r\n"), 60);
        assert_eq!(seconds("Options-TTL: 0\r\n"), 1);
        assert_eq!(seconds("Options-TTL: 18446744073709551615\r\n"), 24 * 3600);
        assert_eq!(read("Max-Connections: 100\r\n").connections.unwrap().available_permits(), 100);
        assert_eq!(read("Max-Connections: 1\r\n").connections.unwrap().available_permits(), 2);
    }
}
