//! Files pass an ICAP service first: c-icap with its antivirus module before clamd, both real, and services of our own
//! that behave as none should.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use http::StatusCode;
use http_body_util::BodyExt;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::scan::{BINARY, Clamd, assert_found_by, eicar, long, post, record, shapes, start};
use crate::support::client::get;
use crate::support::origin::{Seen, patterned};
use crate::support::peer::Ended;
use crate::support::{Closed, Http, own_ip, until, within};

/// A running c-icap whose service `avscan` asks a clamd.
struct CIcap {
    _child: Ended,
    _dir: TempDir,
    addr: SocketAddr,
    _clamd: Clamd,
}

impl CIcap {
    async fn start() -> CIcap {
        let clamd = Clamd::start().await;
        let dir = TempDir::with_prefix("portward-c-icap-").unwrap();
        let at = dir.path();
        let log = fs::File::create(at.join("log")).unwrap();
        // It cannot be given a socket, and a port that was free may be taken when it comes to it, if only by ourselves.
        for _ in 0..5 {
            let addr = std::net::TcpListener::bind((own_ip(), 0)).unwrap().local_addr().unwrap();
            fs::write(at.join("conf"), config(&dir, addr, &clamd)).unwrap();
            // What it shares between its processes would outlive it; so it has a place for that of its own.
            let run = "mount -t tmpfs none /dev/shm && exec c-icap -N -f \"$0\"";
            let mut command = Command::new("unshare");
            command.args(["-m", "sh", "-c", run]).arg(at.join("conf")).process_group(0).stdin(Stdio::null());
            command.stdout(log.try_clone().unwrap()).stderr(log.try_clone().unwrap());
            // It works in processes of its own, which are of its group.
            let mut child = Ended(command.spawn().unwrap());
            let up = until("c-icap to listen", || match child.0.try_wait().unwrap() {
                Some(_) => Some(false),
                None => std::net::TcpStream::connect(addr).ok().map(|_| true),
            });
            if up.await {
                return CIcap { _child: child, _dir: dir, addr, _clamd: clamd };
            }
        }
        panic!("c-icap does not start: {}", fs::read_to_string(at.join("log")).unwrap());
    }

    fn settings(&self) -> String {
        format!("[scan]\nicap = \"icap://{}/avscan\"\n", self.addr)
    }
}

fn config(dir: &TempDir, addr: SocketAddr, clamd: &Clamd) -> String {
    let (at, socket) = (dir.path().display(), clamd.socket());
    let socket = socket.display();
    // Its folder has the name of the machine's architecture.
    let mut modules = fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path().join("c_icap"));
    let modules = modules.find(|path| path.is_dir()).expect("c-icap is installed");
    let modules = modules.display();
    format!(
        "PidFile {at}/pid\nCommandsSocket {at}/ctl\nPort {addr}\nServerName icap.test\nTmpDir {at}\n\
         StartServers 1\nMaxServers 2\nMinSpareThreads 2\nMaxSpareThreads 16\nThreadsPerChild 16\n\
         ModulesDir {modules}\nServicesDir {modules}\nTemplateDir /usr/share/c_icap/templates/\n\
         LoadMagicFile /etc/c-icap/c-icap.magic\nServerLog {at}/server.log\nAccessLog {at}/access.log\n\
         Module common clamd_mod.so\nclamd_mod.ClamdSocket {socket}\n\
         Service antivirus_module virus_scan.so\n\
         ServiceAlias avscan virus_scan?allow204=on&sizelimit=off&mode=simple\n\
         virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE\n\
         virus_scan.SendPercentData 5\nvirus_scan.StartSendPercentDataAfter 1M\nvirus_scan.MaxObjectSize 5M\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_infected_file_does_not_come_through_in_either_direction() {
    let icap = CIcap::start().await;
    for (direction, side) in [("upload", "request_scan"), ("download", "response_scan")] {
        let settings = format!("{}directions = [\"{direction}\"]\n[rules]\ncore = false\n", icap.settings());
        let (origin, proxy, client) = start(&settings).await;
        for http in Http::BOTH {
            for (name, body, content_type, coding) in shapes(&eicar()) {
                let case = format!("{direction}, {name}, {http:?}");
                let field = if direction == "upload" { "content-encoding" } else { "x-answer-coding" };
                let request = post(&body, content_type, (field, coding));
                let answer = client.send(http, "origin.test", request).await;
                assert_found_by("icap", &proxy, &answer, side, &case).await;
                assert!(!answer.text().contains("C-ICAP"), "{case}: the page is ours");
            }
        }
        let arrived = if direction == "upload" { 0 } else { 2 * shapes(b"").len() };
        assert_eq!(origin.seen().len(), arrived);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_benign_twin_passes_byte_for_byte() {
    let icap = CIcap::start().await;
    let (origin, proxy, client) = start(&icap.settings()).await;
    let twin: Vec<u8> = eicar().iter().rev().copied().collect();
    for http in Http::BOTH {
        for (name, body, content_type, coding) in shapes(&twin) {
            let case = format!("{name}, {http:?}");
            let mut request = post(&body, content_type, ("content-encoding", coding));
            if !coding.is_empty() {
                request.headers_mut().insert("x-answer-coding", coding.parse().unwrap());
            }
            let answer = client.send(http, "origin.test", request).await;
            assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &body[..]), "{case}");
            let seen = origin.seen().pop().unwrap();
            assert!(seen.complete && seen.body == body, "{case}");
        }
    }
    let count = 2 * shapes(b"").len();
    until("the records", || (proxy.audit().len() >= count).then_some(())).await;
    for record in proxy.audit() {
        for side in ["request_scan", "response_scan"] {
            let scan = &record[side];
            assert_eq!((&scan["engine"], &scan["result"]), (&"icap".into(), &"clean".into()), "{record}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_file_goes_on_behind_its_preview() {
    let icap = CIcap::start().await;
    let limits = "[rules]\ncore = false\n[limits]\nrequest_window = \"64KiB\"\nresponse_window = \"64KiB\"\n";
    let (origin, proxy, client) = start(&(icap.settings() + limits)).await;
    for http in Http::BOTH {
        let answer = client.send(http, "origin.test", post(&long(), BINARY, ("", ""))).await;
        assert_found_by("icap", &proxy, &answer, "request_scan", &format!("{http:?}")).await;
        let whole = |seen: &Seen| seen.complete && seen.body.starts_with(&eicar());
        assert!(!origin.seen().iter().any(whole), "{http:?}");
        let benign = vec![b'x'; 200_000];
        let answer = client.send(http, "origin.test", post(&benign, BINARY, ("", ""))).await;
        assert!(answer.status == StatusCode::OK && answer.body == benign, "{http:?}");
        // The service begins to send such a file back before it has seen the end of it.
        let mut connection = client.https("origin.test", http).await.unwrap();
        let answer = connection.send(get("https://origin.test/bytes/3000000")).await;
        assert!(answer.body == patterned(3_000_000).collect().await.unwrap().to_bytes(), "{http:?}");
    }
    let told = proxy.record("the long one", |r| r["response_scan"]["bytes"] == 3_000_000).await;
    assert_eq!(told["response_scan"]["result"], "clean", "{told}");
}

/// What a service of our own does with a body.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    /// Reads what it asked for, and says this.
    Says(&'static str),
    /// Says this without reading any of the body.
    Hastes(&'static str),
    /// Gives the message back as it was, or with a byte more.
    Echoes(&'static str),
    /// Gives one half of the message back and closes.
    Breaks,
    /// Reads a part and closes.
    Leaves,
    /// Reads everything and is silent.
    Ponders,
    /// Says the first, and the second again and again.
    Floods(&'static str, &'static str),
}

/// A service: what it says to OPTIONS, what it does, and what it saw.
struct Service {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Exchanges at the same time: now, and the most there were.
    busy: Arc<Mutex<(usize, usize)>>,
    heads: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

const PREVIEW: &str = "Methods: REQMOD, RESPMOD\r\nAllow: 204\r\nPreview: 1024\r\nISTag: \"a\"\r\n";
const WHOLE: &str = "Methods: REQMOD, RESPMOD\r\nAllow: 204\r\nISTag: \"a\"\r\n";
const NONE: &str = "ICAP/1.0 204 No modifications\r\nISTag: \"a\"\r\n\r\n";

impl Service {
    async fn start(options: &'static str, does: Does) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (connections, busy, heads) = (Arc::default(), Arc::default(), Arc::default());
        let (count, turn, log) = (Arc::clone(&connections), Arc::clone(&busy), Arc::clone(&heads));
        let task = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                AtomicUsize::fetch_add(&count, 1, Ordering::SeqCst);
                serving.spawn(serve(stream, options, does, Arc::clone(&turn), Arc::clone(&log)));
            }
        });
        Service { addr, connections, busy, heads, _task: AbortOnDropHandle::new(task) }
    }

    fn settings(&self) -> String {
        format!("[scan]\nicap = \"icap://{}/test\"\n", self.addr)
    }
}

/// Reads to an empty line.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Reads chunks to the end, and whether the end was that of the body.
async fn chunks(stream: &mut TcpStream, body: &mut Vec<u8>) -> Option<bool> {
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await.ok()?);
        }
        let line = String::from_utf8(line).ok()?;
        let size = usize::from_str_radix(line.trim().split(';').next()?, 16).ok()?;
        let mut data = vec![0; size + 2];
        stream.read_exact(&mut data).await.ok()?;
        body.extend(&data[..size]);
        if size == 0 {
            return Some(line.contains("ieof"));
        }
    }
}

async fn serve(
    mut stream: TcpStream,
    options: &str,
    does: Does,
    busy: Arc<Mutex<(usize, usize)>>,
    log: Arc<Mutex<Vec<String>>>,
) -> Option<()> {
    loop {
        let icap = head(&mut stream).await?;
        log.lock().unwrap().push(icap.clone());
        if icap.starts_with("OPTIONS ") {
            let answer = match options.strip_prefix("RAW ") {
                Some(raw) => raw.to_owned(),
                None => format!("ICAP/1.0 200 OK\r\n{options}Encapsulated: null-body=0\r\n\r\n"),
            };
            stream.write_all(answer.as_bytes()).await.ok()?;
            continue;
        }
        {
            let mut busy = busy.lock().unwrap();
            busy.0 += 1;
            busy.1 = busy.1.max(busy.0);
        }
        let done = exchange(&mut stream, &icap, does, &log).await;
        busy.lock().unwrap().0 -= 1;
        done?;
    }
}

async fn exchange(stream: &mut TcpStream, icap: &str, does: Does, log: &Mutex<Vec<String>>) -> Option<()> {
    let mut heads = head(stream).await?;
    if icap.starts_with("RESPMOD ") {
        heads = head(stream).await?;
    }
    log.lock().unwrap().push(heads.clone());
    let mut body = Vec::new();
    match does {
        Does::Hastes(said) => {
            stream.write_all(said.as_bytes()).await.ok()?;
            let _ = tokio::io::copy(stream, &mut tokio::io::sink()).await;
            return None;
        }
        Does::Leaves => {
            stream.read_exact(&mut [0; 500]).await.ok()?;
            return None;
        }
        _ => {}
    }
    let all = chunks(stream, &mut body).await?;
    if icap.contains("Preview:") && !all {
        if let Does::Says(said) = does {
            stream.write_all(said.as_bytes()).await.ok()?;
            return Some(());
        }
        stream.write_all(b"ICAP/1.0 100 Continue\r\n\r\n").await.ok()?;
        if !matches!(does, Does::Floods(..)) {
            chunks(stream, &mut body).await?;
        }
    }
    match does {
        Does::Ponders => std::future::pending().await,
        Does::Says(said) => stream.write_all(said.as_bytes()).await.ok(),
        Does::Floods(first, again) => {
            stream.write_all(first.as_bytes()).await.ok()?;
            loop {
                stream.write_all(again.as_bytes()).await.ok()?;
            }
        }
        Does::Echoes(_) | Does::Breaks => {
            if let Does::Echoes(more) = does {
                body.extend(more.as_bytes());
            }
            let name = if icap.starts_with("REQMOD ") { "req" } else { "res" };
            let (length, size) = (heads.len(), body.len());
            let head = format!(
                "ICAP/1.0 200 OK\r\nEncapsulated: {name}-hdr=0, {name}-body={length}\r\n\r\n{heads}{size:x}\r\n"
            );
            if does == Does::Breaks {
                let _ = stream.write_all(&[head.as_bytes(), &body[..size / 2]].concat()).await;
                return None;
            }
            stream.write_all(&[head.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat()).await.ok()
        }
        Does::Hastes(_) | Does::Leaves => None,
    }
}

/// A page in place of the file, as far as it is here.
macro_rules! page {
    ($fields:literal, $status:literal, $body:literal) => {
        concat!(
            "ICAP/1.0 200 OK\r\n",
            $fields,
            "Encapsulated: res-hdr=0, res-body=48\r\n\r\nHTTP/1.1 ",
            $status,
            " Answer\r\nContent-Type: text/html\r\n",
            "\r\n",
            $body
        )
    };
}

/// Options, what the service does, status and reason, and a word of the record.
type Oddity = (&'static str, Does, u16, &'static str, &'static str);

const ODDITIES: &[Oddity] = &[
    (WHOLE, Does::Says("\0\u{1}garbage\r\n\r\n"), 503, "scan_unavailable", "not ICAP"),
    (WHOLE, Does::Says("HTTP/1.1 204 No Content\r\n\r\n"), 503, "scan_unavailable", "not ICAP"),
    (PREVIEW, Does::Ponders, 503, "scan_unavailable", "longer than scan.time"),
    (
        PREVIEW,
        Does::Hastes("ICAP/1.0 100 Continue\r\n\r\nICAP/1.0 204 No\r\n\r\n"),
        503,
        "scan_unavailable",
        "before it had all",
    ),
    (PREVIEW, Does::Leaves, 503, "scan_unavailable", ""),
    (WHOLE, Does::Leaves, 503, "scan_unavailable", ""),
    (
        WHOLE,
        Does::Floods("ICAP/1.0 200 OK\r\n", "A: aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"),
        503,
        "scan_unavailable",
        "16384",
    ),
    (PREVIEW, Does::Floods("", "ICAP/1.0 100 Continue\r\n\r\n"), 503, "scan_unavailable", "said 100"),
    (WHOLE, Does::Floods("", "ICAP/1.0 100 Continue\r\n\r\n"), 503, "scan_unavailable", "said 100"),
    (WHOLE, Does::Says("ICAP/1.0 500 Server error\r\n\r\n"), 503, "scan_unavailable", "500 Server error"),
    (WHOLE, Does::Says("ICAP/1.0 200 OK\r\n\r\n"), 503, "scan_unavailable", "no message"),
    (
        WHOLE,
        Does::Says("ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=9\r\n\r\n"),
        503,
        "scan_unavailable",
        "Encapsulated",
    ),
    ("Methods: OPTIONS\r\n", Does::Says(NONE), 503, "scan_unavailable", "does not take"),
    (
        "RAW ICAP/1.0 404 Service not found\r\n\r\n",
        Does::Says(NONE),
        503,
        "scan_unavailable",
        "404 Service not found",
    ),
    ("RAW nonsense\r\n\r\n", Does::Says(NONE), 503, "scan_unavailable", "not ICAP"),
    (WHOLE, Does::Echoes("x"), 403, "scan_changed", ""),
    (PREVIEW, Does::Echoes("x"), 403, "scan_changed", ""),
    (WHOLE, Does::Breaks, 403, "scan_changed", ""),
    (PREVIEW, Does::Breaks, 403, "scan_changed", ""),
    (WHOLE, Does::Says(page!("", "403", "zz\r\n")), 403, "malware", "status 403"),
    (WHOLE, Does::Says(page!("", "403", "3\r\nabc\r\n0\r\n\r\n")), 403, "malware", "status 403"),
    (WHOLE, Does::Floods(page!("", "403", ""), "3\r\nabc\r\n"), 403, "malware", "status 403"),
    (
        WHOLE,
        Does::Floods(page!("X-Virus-ID: Own.Test\r\n", "200", ""), "3\r\nabc\r\n"),
        403,
        "malware",
        "Own.Test",
    ),
    (
        PREVIEW,
        Does::Says(page!("X-Infection-Found: Type=0; Threat=Own.Test;\r\n", "403", "")),
        403,
        "malware",
        "Own.Test",
    ),
    (WHOLE, Does::Echoes(""), 200, "", "clean"),
    (PREVIEW, Does::Echoes(""), 200, "", "clean"),
    (PREVIEW, Does::Says(NONE), 200, "", "clean"),
    (WHOLE, Does::Says(NONE), 200, "", "clean"),
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_service_does_has_its_outcome_and_stalls_nobody() {
    let both = [("upload", "request_scan"), ("download", "response_scan")];
    let cases = both.into_iter().flat_map(|side| ODDITIES.iter().map(move |oddity| oddly(side, oddity)));
    let ran = stream::iter(cases).buffer_unordered(6).count().await;
    assert_eq!(ran, 2 * ODDITIES.len());
}

async fn oddly((direction, side): (&str, &str), (options, does, status, reason, word): &Oddity) {
    let case = format!("{direction}: {options:?} {does:?}");
    let service = Service::start(options, *does).await;
    // Short where the time is what ends it, or where the service goes on for ever.
    let short = *word == "longer than scan.time" || matches!(does, Does::Floods(..));
    let time = if short { "2s" } else { "25s" };
    let settings = format!(
        "{}time = \"{time}\"\ndirections = [\"{direction}\"]\nskip = [\"text/plain\"]\n[rules]\ncore = false\n",
        service.settings()
    );
    let (origin, proxy, client) = start(&settings).await;
    let memory = proxy.rss();
    // As much as the origin gives back.
    let body = vec![b'x'; 240_000];
    let scanned = client.send(Http::H1, "origin.test", post(&body, BINARY, ("", "")));
    let (answer, aside) =
        futures_util::future::join(scanned, client.get(Http::H2, "https://origin.test/")).await;
    assert_eq!(aside.status, StatusCode::OK, "{case}");
    assert_eq!(answer.status.as_u16(), *status, "{case}: {}", answer.text());
    if *status == 200 {
        assert!(answer.body == body, "{case}");
        let told = proxy.record(&case, |r| r[side]["result"] == *word).await;
        assert!(told[side]["bytes"].as_u64().unwrap() > 1024, "{case}: {told}");
    } else {
        let told = record(&proxy, &answer).await;
        assert_eq!(told["reason"], *reason, "{case}: {told}");
        assert!(told[side].to_string().contains(word), "{case}: {told}");
        let arrived = origin.seen().iter().filter(|seen| seen.method == "POST").count();
        assert_eq!(arrived, usize::from(direction == "download"), "{case}");
    }
    let grown = proxy.peak_rss().saturating_sub(memory);
    assert!(grown < 48 << 20, "{case}: {grown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_waves_a_body_through_before_it_has_all_of_it_is_not_believed() {
    let service = Service::start(WHOLE, Does::Hastes(NONE)).await;
    let limits = "directions = [\"upload\"]\n[rules]\ncore = false\n[limits]\nrequest_window = \"64KiB\"\n";
    let (_origin, proxy, client) = start(&(service.settings() + limits)).await;
    let mut sending = client.tls("origin.test", 443, &[]).await.unwrap();
    let head = "POST /echo HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 100000000\r\n\r\n";
    sending.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = tokio::io::split(sending);
    let sending = tokio::spawn(async move {
        while writing.write_all(&[b'x'; 40_000]).await.is_ok() && writing.flush().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut answer = [0; 12];
    within("the answer", reading.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
    let told = proxy.record("why", |record| record["reason"] == "scan_unavailable").await;
    assert!(told["request_scan"]["why"].as_str().unwrap().contains("before it had all of it"), "{told}");
    sending.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_down_has_its_stated_outcome() {
    let gone = Closed::new();
    for (outcome, status) in [("deny", StatusCode::SERVICE_UNAVAILABLE), ("pass", StatusCode::OK)] {
        let settings =
            format!("[scan]\nicap = \"icap://{}/avscan\"\nunavailable = \"{outcome}\"\n", gone.addr);
        let (origin, proxy, client) = start(&settings).await;
        let answer = client.send(Http::H2, "origin.test", post(b"a file", BINARY, ("", ""))).await;
        assert_eq!(answer.status, status, "{outcome}: {}", answer.text());
        let record = proxy.record("the scan", |record| record["request_scan"]["result"] == "failed").await;
        assert!(record["request_scan"]["why"].as_str().unwrap().contains("icap://"), "{record}");
        assert_eq!(origin.seen().len(), usize::from(outcome == "pass"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_used_again_and_the_service_is_told_no_secrets() {
    let service = Service::start(PREVIEW, Does::Echoes("")).await;
    let (_origin, _proxy, client) = start(&service.settings()).await;
    let mut ask = post(b"a file", BINARY, ("authorization", "Basic c2VjcmV0"));
    *ask.uri_mut() = "https://origin.test/echo?token=secret".parse().unwrap();
    assert_eq!(client.send(Http::H1, "origin.test", ask).await.status, StatusCode::OK);
    for turn in 0..20 {
        let body = vec![b'x'; turn * 300];
        let answer = client.send(Http::BOTH[turn % 2], "origin.test", post(&body, BINARY, ("", ""))).await;
        assert!(answer.status == StatusCode::OK && answer.body == body, "{turn}");
    }
    assert_eq!(service.connections.load(Ordering::SeqCst), 1);
    let heads = service.heads.lock().unwrap();
    assert_eq!(heads.iter().filter(|head| head.starts_with("OPTIONS ")).count(), 1);
    assert!(heads.iter().any(|head| head.starts_with("POST https://origin.test/echo HTTP/1.1\r\n")));
    assert!(!heads.iter().any(|head| head.contains("c2VjcmV0") || head.contains("secret")), "{heads:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_gets_no_more_connections_than_it_takes() {
    let service =
        Service::start("Methods: REQMOD, RESPMOD\r\nMax-Connections: 2\r\nPreview: 16\r\n", Does::Echoes(""))
            .await;
    let (_origin, _proxy, client) = start(&service.settings()).await;
    let mut sending = JoinSet::new();
    for _ in 0..24 {
        let client = client.clone();
        sending.spawn(async move {
            let request = post(&[b'x'; 100_000], BINARY, ("", ""));
            client.send(Http::H2, "origin.test", request).await.status
        });
    }
    while let Some(status) = within("an answer", sending.join_next()).await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
    assert!(service.busy.lock().unwrap().1 <= 2, "{:?}", service.busy);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_too_many_is_not_taken_for_the_next_body() {
    // Whatever it is given first is fine, twice; what comes after that is not.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = format!("[scan]\nicap = \"icap://{}/a\"\n", listener.local_addr().unwrap());
    let bodies = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&bodies);
    let task = tokio::spawn(async move {
        let mut serving = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            serving.spawn(async move {
                loop {
                    let icap = head(&mut stream).await?;
                    if icap.starts_with("OPTIONS ") {
                        let options = format!("ICAP/1.0 200 OK\r\n{WHOLE}\r\n");
                        stream.write_all(options.as_bytes()).await.ok()?;
                        continue;
                    }
                    head(&mut stream).await?;
                    chunks(&mut stream, &mut Vec::new()).await?;
                    let said = match seen.fetch_add(1, Ordering::SeqCst) {
                        0 => NONE.repeat(2),
                        _ => "ICAP/1.0 200 OK\r\nX-Virus-ID: Own.Test\r\n\r\n".to_owned(),
                    };
                    stream.write_all(said.as_bytes()).await.ok()?;
                    if seen.load(Ordering::SeqCst) > 2 {
                        return Some(());
                    }
                }
            });
        }
    });
    let _task = AbortOnDropHandle::new(task);
    let (origin, proxy, client) = start(&(settings + "directions = [\"upload\"]\n")).await;
    let send = async || client.send(Http::H1, "origin.test", post(b"a file", BINARY, ("", ""))).await;
    assert_eq!(send().await.status, StatusCode::OK);
    // It closes after the second, so that the third finds its connection gone and takes another.
    for turn in 0..3 {
        let answer = send().await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{turn}: {}", answer.text());
        assert_eq!(record(&proxy, &answer).await["request_scan"]["signature"], "Own.Test");
    }
    assert_eq!((origin.seen().len(), bodies.load(Ordering::SeqCst)), (1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_service_keeps_memory_flat() {
    // It reads as slowly as a socket allows, and never says a word.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut serving = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            serving.spawn(async move {
                head(&mut stream).await?;
                let options = format!("ICAP/1.0 200 OK\r\n{WHOLE}\r\n");
                stream.write_all(options.as_bytes()).await.ok()?;
                loop {
                    stream.read_exact(&mut [0; 16 * 1024]).await.ok()?;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                #[allow(unreachable_code)]
                Some(())
            });
        }
    });
    let _task = AbortOnDropHandle::new(task);
    let settings = format!("[scan]\nicap = \"icap://{addr}/a\"\ntime = \"4s\"\nmax_bytes = \"1GiB\"\n");
    let (_origin, proxy, client) = start(&settings).await;
    client.get(Http::H1, "https://origin.test/status/204").await;
    let memory = proxy.rss();
    let mut fetching = JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        fetching.spawn(async move {
            let mut connection = client.https("origin.test", Http::H1).await.unwrap();
            connection
                .try_send(get("https://origin.test/bytes/100000000"))
                .await
                .map(|answer| answer.body.len())
        });
    }
    while let Some(fetched) = within("an end", fetching.join_next()).await {
        assert!(!matches!(fetched.unwrap(), Ok(100_000_000)), "it was not scanned");
    }
    let grown = proxy.peak_rss().saturating_sub(memory);
    // A window of 1 MiB each, what sockets hold, and little else.
    assert!(grown < 64 << 20, "{grown}");
}
