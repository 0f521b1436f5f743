//! The variables by which programs find a proxy and trust a CA, in this shell and in programs that run:
//! set twice and differently, naming files that are not there, or leading to a CA file without our CA.
//! Values are shown without passwords.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::cli::doctor::path::{environment_proxy, proxy_variable, without_password};
use crate::cli::doctor::report::{Finding, Section, printable};
use crate::cli::doctor::words::some;
use crate::cli::env::{ADDED, BUNDLE};
use crate::config::Config;
use crate::net::{Authority, Port};

/// Programs that are looked at, and bytes of each one's environment.
const PROGRAMS: usize = 8192;
const ENVIRONMENT: u64 = 256 * 1024;
/// Programs that are named for one problem.
const NAMED: usize = 5;

type Variables = HashMap<String, String>;

/// Something that is wrong with a set of variables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    code: &'static str,
    text: String,
}

pub fn section(config: &Config, anchors: &[Vec<u8>]) -> Section {
    let mut section = Section::new("environment", "Variables of programs");
    let own: Variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let problems = problems(&own, &config.listen, anchors);
    for problem in &problems {
        section.add(told(problem, "Here, "));
    }
    if let Some(finding) = dead_proxy(&own) {
        section.add(finding);
    }
    if section.findings.is_empty() {
        section.add(match environment_proxy(|name| own.get(name).cloned()) {
            Some((_, proxy)) => Finding::ok(
                "environment_ok",
                format!("This shell's programs use {proxy}, and its variables agree."),
            ),
            None => Finding::ok("environment_no_proxy", "This shell's programs use no proxy."),
        });
    }
    for (problem, programs) in running(&config.listen, anchors) {
        if problems.contains(&problem) {
            continue;
        }
        let named = programs.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = match programs.len().saturating_sub(NAMED) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let mut finding = told(&problem, &format!("In {named}{more}: "));
        finding.data["programs"] = json!(programs);
        // A program that runs is not the installation's fault.
        finding.mark = crate::cli::doctor::report::Mark::Warn;
        section.add(finding);
    }
    section
}

fn told(problem: &Problem, whose: &str) -> Finding {
    let text = format!("{whose}{}.", printable(&problem.text));
    let finding = match problem.code {
        "environment_missing_file" => Finding::fail(problem.code, text),
        _ => Finding::warn(problem.code, text),
    };
    finding.data(json!({ "problem": problem.text })).remedy(
        "Set all of them at once, or run one program with them:",
        ["eval \"$(portward env)\"".to_owned(), "portward exec -- CMD".to_owned()],
    )
}

/// What is wrong with these variables.
fn problems(vars: &Variables, listen: &[SocketAddr], anchors: &[Vec<u8>]) -> Vec<Problem> {
    let mut out = Vec::new();
    let mut add = |code, text| out.push(Problem { code, text });
    let get = |name: &str| vars.get(name).map(String::as_str).filter(|value| !value.is_empty());
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        let upper = name.to_ascii_uppercase();
        if let (Some(a), Some(b)) = (get(name), get(&upper))
            && a != b
        {
            let (a, b) = (without_password(a), without_password(b));
            add(
                "environment_disagrees",
                format!("{name} is {a} and {upper} is {b}: programs differ in which they read"),
            );
        }
    }
    let https = proxy_variable(|name| vars.get(name).cloned()).map(|(_, url)| url);
    if https.is_none()
        && let Some(http) = get("http_proxy")
    {
        let http = without_password(http);
        add(
            "environment_http_only",
            format!("http_proxy is {http}, but https_proxy is not set: HTTPS goes around the proxy"),
        );
    }
    if https.is_some() && [get("no_proxy"), get("NO_PROXY")].into_iter().flatten().any(everything) {
        add("environment_bypasses_all", "no_proxy contains `*`: everything goes around the proxy".to_owned());
    }
    let through_us = https.is_some_and(|url| leads_to(&url, listen));
    // Usually all of them name one file.
    let mut files: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for name in BUNDLE.iter().chain(&ADDED) {
        if let Some(file) = get(name) {
            files.entry(file).or_default().push((*name).to_owned());
        }
    }
    for (file, names) in files {
        let (path, named) = (Path::new(file), some(&names, 3));
        let verb = if names.len() == 1 { "names" } else { "name" };
        if !path.exists() {
            let text = format!("{named} {verb} {file}, which does not exist: what reads that trusts nobody");
            add("environment_missing_file", text);
        } else if through_us && !anchors.is_empty() && !holds(path, anchors) {
            let text =
                format!("the proxy is Portward, but {named} {verb} {file}, which has another CA or none");
            add("environment_other_ca", text);
        }
    }
    out
}

fn everything(list: &str) -> bool {
    list.split(',').any(|entry| entry.trim() == "*")
}

/// Whether a proxy's URL is one of our listeners.
fn leads_to(url: &str, listen: &[SocketAddr]) -> bool {
    let Some(proxy) = authority(url) else { return false };
    listen.iter().any(|addr| {
        addr.port() == proxy.port.get()
            && (proxy.host.is_within("localhost")
                || proxy
                    .host
                    .ip()
                    .is_some_and(|ip| ip == addr.ip() || ip.is_loopback() && addr.ip().is_unspecified()))
    })
}

fn authority(url: &str) -> Option<Authority> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    Authority::parse(rest.split('/').next()?, Some(Port::HTTP)).ok()
}

/// One of our certificates is in the file. Files of other forms are not judged.
fn holds(path: &Path, anchors: &[Vec<u8>]) -> bool {
    /// The largest bundles of roots have a quarter of this.
    const FILE: u64 = 4 << 20;
    let mut text = Vec::new();
    let read = open_file(path).and_then(|file| file.take(FILE).read_to_end(&mut text));
    if read.is_err()
        || !text.starts_with(b"-----BEGIN") && !text.windows(11).any(|part| part == b"-----BEGIN ")
    {
        return true;
    }
    crate::ca::pem_certificates(&text).iter().any(|der| anchors.contains(der))
}

/// Opens a file and nothing else: whoever runs a program chooses what its variables name, and a pipe that nobody
/// writes to, or a terminal, would hold us up.
fn open_file(path: &Path) -> std::io::Result<fs::File> {
    let none = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
    if !fs::metadata(path)?.is_file() {
        return Err(none());
    }
    // It may be another one by now.
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(none()) }
}

/// A proxy on this machine that is not there.
fn dead_proxy(vars: &Variables) -> Option<Finding> {
    let (name, url) = proxy_variable(|name| vars.get(name).cloned())?;
    let proxy = authority(&url)?;
    let ip = proxy.host.ip().filter(std::net::IpAddr::is_loopback).is_some();
    if !ip && !proxy.host.is_within("localhost") {
        return None;
    }
    let addrs = (proxy.host.to_string().trim_matches(['[', ']']).to_owned(), proxy.port.get())
        .to_socket_addrs()
        .ok()?;
    let alive = addrs.take(4).any(|addr| TcpStream::connect_timeout(&addr, Duration::from_secs(2)).is_ok());
    (!alive).then(|| {
        Finding::fail(
            "environment_dead_proxy",
            format!(
                "{name} is {}, where nothing answers: programs of this shell reach nothing.",
                without_password(&url)
            ),
        )
        .remedy(
            "Start the proxy, or take the variables away:",
            ["portward run".to_owned(), "eval \"$(portward env --unset)\"".to_owned()],
        )
    })
}

/// Problems of programs that run and that we may look at, each with who has it.
fn running(listen: &[SocketAddr], anchors: &[Vec<u8>]) -> BTreeMap<Problem, Vec<String>> {
    let mut out: BTreeMap<Problem, Vec<String>> = BTreeMap::new();
    let own = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else { return out };
    for entry in entries.flatten().take(PROGRAMS) {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        if pid == own {
            continue;
        }
        let Some(mut vars) = variables(&entry.path()) else { continue };
        let elsewhere = files_elsewhere(&entry.path());
        // A path that is relative is so to a folder of its own.
        vars.retain(|name, value| !is_file_variable(name) || !elsewhere && Path::new(value).is_absolute());
        for problem in problems(&vars, listen, anchors) {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            out.entry(problem).or_default().push(format!("{} (pid {pid})", printable(name.trim())));
        }
    }
    out
}

/// A program's variables that concern us; none when it has none of them.
fn variables(process: &Path) -> Option<Variables> {
    let mut text = Vec::new();
    fs::File::open(process.join("environ")).ok()?.take(ENVIRONMENT).read_to_end(&mut text).ok()?;
    let concerns = |name: &str| name.to_ascii_lowercase().ends_with("_proxy") || is_file_variable(name);
    let vars: Variables = text
        .split(|byte| *byte == 0)
        .filter_map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
        .filter(|(name, _)| concerns(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    (!vars.is_empty()).then_some(vars)
}

fn is_file_variable(name: &str) -> bool {
    BUNDLE.contains(&name) || ADDED.contains(&name)
}

/// A program in a container sees other files under the same names.
fn files_elsewhere(process: &Path) -> bool {
    let namespace = |process: &Path| fs::read_link(process.join("ns/mnt")).ok();
    namespace(process) != namespace(Path::new("/proc/self"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(vars: &[(&str, &str)]) -> Vec<&'static str> {
        let vars = vars.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let listen = ["127.0.0.1:8443".parse().unwrap()];
        problems(&vars, &listen, &[vec![1]]).into_iter().map(|problem| problem.code).collect()
    }

    #[test]
    fn variables_that_contradict_each_other_are_told() {
        let proxy = "http://127.0.0.1:8443";
        assert!(codes(&[("https_proxy", proxy), ("HTTPS_PROXY", proxy)]).is_empty());
        assert_eq!(
            codes(&[("https_proxy", proxy), ("HTTPS_PROXY", "http://other:1")]),
            ["environment_disagrees"]
        );
        assert_eq!(codes(&[("http_proxy", proxy)]), ["environment_http_only"]);
        assert_eq!(codes(&[("https_proxy", proxy), ("NO_PROXY", "a, *")]), ["environment_bypasses_all"]);
        assert_eq!(codes(&[("SSL_CERT_FILE", "/no/such/file")]), ["environment_missing_file"]);
        assert_eq!(codes(&[("SSL_CERT_FILE", "")]), [""; 0]);
        let listen = ["0.0.0.0:8443".parse().unwrap()];
        assert!(
            leads_to("http://u:p@127.0.0.1:8443/", &listen) && leads_to("http://localhost:8443", &listen)
        );
        assert!(!leads_to("http://127.0.0.1:3128", &listen) && !leads_to("http://proxy.test:8443", &listen));
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("roots.pem");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (done, answer) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(holds(&pipe, &[vec![1]])));
        let answer = answer.recv_timeout(Duration::from_secs(20));
        assert_eq!(answer, Ok(true), "what is no file is not judged");
    }

    #[test]
    fn the_proxy_is_the_one_that_programs_use() {
        let vars = |vars: &[(&str, &str)]| -> Variables {
            vars.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        // A port that is taken, so that nobody else is given it, and that nobody listens on.
        let taken = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        taken.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let dead = format!("http://{}", taken.local_addr().unwrap().as_socket().unwrap());
        for (given, is_dead) in [
            (vec![("ALL_PROXY", dead.as_str())], true),
            (vec![("https_proxy", ""), ("HTTPS_PROXY", &dead)], true),
            (vec![("https_proxy", "http://proxy.test:1"), ("ALL_PROXY", &dead)], false),
        ] {
            assert_eq!(dead_proxy(&vars(&given)).is_some(), is_dead, "{given:?}");
        }
    }
}
