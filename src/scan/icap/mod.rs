//! An ICAP client (RFC 3507) that asks about bodies and takes no other body in their place: REQMOD for uploads, RESPMOD
//! for downloads, with a preview where the service offers one, on connections that are used again.

pub mod answer;
pub mod head;
pub mod options;
mod session;
mod wire;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::Direction;
use super::wait::Budget;
use options::Options;
pub(super) use session::Session;
use wire::{Until, Wire};

/// RFC 3507 section 4.2.
const PORT: u16 = 1344;

/// A connection that waits longer for its next use is closed. Services keep theirs open for longer.
const IDLE: Duration = Duration::from_secs(30);

/// A service that answers otherwise than its options say, or does not take what it is to be asked, may have been
/// mended meanwhile. It is asked again, but no more often than this.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Where a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    addr: SocketAddr,
    path: String,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let rest = text.strip_prefix("icap://").ok_or("it does not begin with icap://")?;
        let (authority, path) = rest
            .split_once('/')
            .filter(|(_, path)| !path.is_empty())
            .ok_or("behind the address stands the name of a service, as in icap://127.0.0.1:1344/avscan")?;
        let ip = || authority.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let addr = authority.parse().or_else(|_| ip().map(|ip| SocketAddr::new(ip, PORT)));
        let addr = addr.map_err(|_| "behind icap:// stands an address, with a port or without")?;
        if path.len() > 1024 || !path.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("the name of the service is not plain text, or too long".to_owned());
        }
        Ok(Address { addr, path: path.to_owned() })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "icap://{}/{}", self.addr, self.path)
    }
}

/// A service, what it says of itself, and the connections to it that wait for their next use.
#[derive(Debug)]
pub struct Service {
    at: Address,
    most_idle: usize,
    idle: Mutex<Vec<(TcpStream, Instant)>>,
    options: tokio::sync::Mutex<Option<Known>>,
}

/// What a service said of itself.
#[derive(Debug)]
struct Known {
    options: Arc<Options>,
    since: Instant,
    until: Instant,
}

impl Service {
    pub fn new(at: Address, most_idle: usize) -> Service {
        Service { at, most_idle, idle: Mutex::default(), options: tokio::sync::Mutex::default() }
    }

    pub fn address(&self) -> &Address {
        &self.at
    }

    /// Room for so many streams, where the service says how many connections it takes.
    pub async fn permit(
        &self,
        direction: Direction,
        streams: u32,
        wait: &mut Budget,
    ) -> io::Result<Option<OwnedSemaphorePermit>> {
        let Some(room) = self.options(direction, wait).await?.connections.clone() else { return Ok(None) };
        let permit = wait.spend(room.acquire_many_owned(streams)).await;
        permit.and_then(Result::ok).map(Some).ok_or_else(|| io::Error::other("it takes no more connections"))
    }

    /// What the service says of itself; asked again when that has expired.
    async fn options(&self, direction: Direction, wait: &mut Budget) -> io::Result<Arc<Options>> {
        let up = || io::Error::new(io::ErrorKind::TimedOut, "it took longer than scan.time");
        let mut known = wait.spend(self.options.lock()).await.ok_or_else(up)?;
        if let Some(Known { options, since, until }) = &*known {
            let lacks = !options.takes(direction) && since.elapsed() >= ASK_AGAIN;
            if Instant::now() < *until && !lacks {
                return Ok(options.clone());
            }
        }
        let ask = format!("OPTIONS {} ICAP/1.0\r\nHost: {}\r\n\r\n", self.at, self.at.addr);
        let wire = self.begin(ask.as_bytes(), Until::Done, true, false, wait).await?;
        let Some(head) = &wire.answer.head else { return Err(wire.ended()) };
        if head.status != 200 {
            return Err(io::Error::other(format!("it said: {} {}", head.status, head.reason)));
        }
        let options = Arc::new(Options::read(head, known.as_ref().map(|known| &*known.options)));
        let since = Instant::now();
        *known = Some(Known { options: options.clone(), since, until: since + options.lifetime });
        drop(known);
        self.give_back(wire);
        Ok(options)
    }

    /// An answer says which state the service is in; another one than its options had makes them be asked for again.
    fn saw(&self, tag: &str) {
        if let Ok(mut known) = self.options.try_lock()
            && let Some(known) = &mut *known
            && !tag.is_empty()
            && known.options.tag != tag
        {
            // Behind one address there may be two, which differ.
            known.until = known.until.min(known.since + ASK_AGAIN);
        }
    }

    /// Sends what an exchange begins with. A connection that idled may have been closed meanwhile, which shows by
    /// silence: then `again` allows another one.
    async fn begin(
        &self,
        opening: &[u8],
        until: Until,
        again: bool,
        may_continue: bool,
        wait: &mut Budget,
    ) -> io::Result<Wire> {
        if again && let Some(stream) = self.idling() {
            let mut wire = Wire::new(stream, may_continue);
            match wait.io(wire.drive(opening, until)).await {
                Ok(()) => return Ok(wire),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(error),
                Err(_) if wire.answer.is_silent() => {}
                Err(error) => return wire.broken(error),
            }
        }
        let stream = wait.io(TcpStream::connect(self.at.addr)).await?;
        stream.set_nodelay(true)?;
        let mut wire = Wire::new(stream, may_continue);
        match wait.io(wire.drive(opening, until)).await {
            Ok(()) => Ok(wire),
            Err(error) => wire.broken(error),
        }
    }

    /// A connection that is still open, and on which nothing came that nobody asked for.
    fn idling(&self) -> Option<TcpStream> {
        let mut idle = self.idle.lock().ok()?;
        while let Some((stream, since)) = idle.pop() {
            if since.elapsed() > IDLE {
                // Those below wait for longer still.
                idle.clear();
                return None;
            }
            let quiet =
                stream.try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
            if quiet {
                return Some(stream);
            }
        }
        None
    }

    fn give_back(&self, wire: Wire) {
        if wire.answer.leaves_clean()
            && !wire.unsent
            && let Ok(mut idle) = self.idle.lock()
            && idle.len() < self.most_idle
        {
            idle.push((wire.stream, Instant::now()));
        }
    }
}

/// The semaphore for what a service says it takes. A body may need two streams, which come or wait together.
fn room(connections: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(connections.clamp(2, Semaphore::MAX_PERMITS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling_and_reads_back() {
        for (text, shown) in [
            ("icap://127.0.0.1:1344/avscan", "icap://127.0.0.1:1344/avscan"),
            ("icap://127.0.0.1/avscan", "icap://127.0.0.1:1344/avscan"),
            ("icap://[::1]:99/a/b?c=d&e", "icap://[::1]:99/a/b?c=d&e"),
            ("icap://[::1]/a", "icap://[::1]:1344/a"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse::<Address>().unwrap(), address);
        }
        for text in [
            "",
            "icap://127.0.0.1:1344",
            "icap://127.0.0.1:1344/",
            "icap://scanner.test/avscan",
            "http://127.0.0.1/avscan",
            "icap://127.0.0.1:99999/a",
            "icap://127.0.0.1/a b",
            "icap://127.0.0.1/a\r\nb",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
