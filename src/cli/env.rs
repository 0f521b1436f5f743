//! `portward env` and `portward exec`: every variable by which programs find a proxy and trust a
//! CA, in both cases where both are read. Nothing is installed. Most CA variables replace a
//! program's roots, so that they name a bundle of the system's roots and ours.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use time::OffsetDateTime;

use super::ca::{CaArgs, refuse};
use crate::ca::{CaError, JAVA_PASSWORD, PublicCa, TrustFiles};
use crate::net::shell::word;
use crate::net::{Authority, Host, Port};
use crate::tls::own::prove_ours;

#[derive(Args, Debug)]
pub struct EnvCommand {
    #[command(flatten)]
    pub ca: CaArgs,
    #[command(flatten)]
    pub proxy: ProxyArgs,
    /// The syntax to print
    #[arg(long, value_enum, default_value = "sh")]
    pub shell: Shell,
    /// Print what takes the variables away again
    #[arg(long)]
    pub unset: bool,
}

#[derive(Args, Debug)]
pub struct ExecCommand {
    #[command(flatten)]
    pub ca: CaArgs,
    #[command(flatten)]
    pub proxy: ProxyArgs,
    /// The command and its arguments, after --
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Which proxy, and what goes around it.
#[derive(Args, Clone, Debug)]
pub struct ProxyArgs {
    /// The proxy's URL: http, https, socks5 or socks5h
    #[arg(long, value_name = "URL", env = "PORTWARD_PROXY", default_value = "http://127.0.0.1:8443")]
    pub proxy: String,
    /// Hosts that are reached without the proxy
    #[arg(long, value_name = "LIST", default_value = "localhost,127.0.0.1,::1")]
    pub no_proxy: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// export lines: eval "$(portward env)"
    Sh,
    /// set -gx lines: portward env --shell fish | source
    Fish,
    /// $env: lines
    Powershell,
    /// Arguments of docker run
    Docker,
    /// Options of the java command
    Java,
    /// KEY="value" lines for a .env file
    Dotenv,
}

/// Programs that put their roots away for the file that the variable names.
pub(super) const BUNDLE: [&str; 14] = [
    "SSL_CERT_FILE", // OpenSSL, Go, Ruby, Python's ssl, rustls-native-certs
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE", // Python requests, which looks at nothing else
    "PIP_CERT",
    "HTTPLIB2_CA_CERTS",
    "GIT_SSL_CAINFO",       // where git's curl is GnuTLS, this alone
    "GIT_PROXY_SSL_CAINFO", // of a proxy that is spoken TLS to
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "NIX_SSL_CERT_FILE",
    "npm_config_cafile",
    "PERL_LWP_SSL_CA_FILE",
];

/// One round trip and a mint on a proxy that is busy.
const PROOF_TIME: Duration = Duration::from_secs(5);

/// Programs that add the file to their roots.
pub(super) const ADDED: [&str; 2] = ["NODE_EXTRA_CA_CERTS", "DENO_CERT"];

/// A proxy as the variables name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    url: String,
    scheme: String,
    userinfo: Option<String>,
    address: Authority,
}

impl Proxy {
    pub fn parse(url: &str) -> anyhow::Result<Proxy> {
        let wrong = || format!("--proxy {url:?} is not like http://127.0.0.1:8443");
        let (scheme, rest) = url.split_once("://").with_context(wrong)?;
        let scheme = scheme.to_ascii_lowercase();
        if !["http", "https", "socks5", "socks5h"].contains(&scheme.as_str()) {
            bail!("{}; the scheme is one of http, https, socks5, socks5h", wrong());
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (userinfo, address) = match rest.rsplit_once('@') {
            Some((userinfo, address)) => (Some(userinfo), address),
            None => (None, rest),
        };
        // What is not a URL's must not reach a shell line or a Java option.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&()*+,;=:%".contains(&b);
        if userinfo.is_some_and(|text| !text.bytes().all(plain)) {
            bail!("{}; the user and password need percent-encoding", wrong());
        }
        let default = match scheme.as_str() {
            "http" => Port::HTTP.get(),
            "https" => Port::HTTPS.get(),
            _ => 1080,
        };
        let address = Authority::parse(address, Port::new(default)).with_context(wrong)?;
        let mut proxy = Proxy { url: String::new(), scheme, userinfo: userinfo.map(str::to_string), address };
        proxy.url = proxy.at(&proxy.address.host.clone());
        Ok(proxy)
    }

    /// The same proxy seen under another host name.
    fn at(&self, host: &Host) -> String {
        let userinfo = self.userinfo.as_ref().map(|text| format!("{text}@")).unwrap_or_default();
        format!("{}://{userinfo}{host}:{}", self.scheme, self.address.port)
    }

    fn is_loopback(&self) -> bool {
        match &self.address.host {
            Host::Ip(ip) => ip.is_loopback(),
            Host::Name(name) => &**name == "localhost",
        }
    }
}

/// All variables with their values, in a stable order. `java` are the options that
/// `JAVA_TOOL_OPTIONS` had before.
pub fn variables(
    proxy: &Proxy,
    no_proxy: &str,
    files: &TrustFiles,
    java: Option<&str>,
) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: &str| out.push((name.into(), value.into()));
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        set(name, &proxy.url);
        set(&name.to_ascii_uppercase(), &proxy.url);
    }
    set("no_proxy", no_proxy);
    set("NO_PROXY", no_proxy);
    // npm reads the general ones too, but a user's .npmrc goes before them, and these before that.
    set("npm_config_proxy", &proxy.url);
    set("npm_config_https_proxy", &proxy.url);
    set("npm_config_noproxy", no_proxy);
    // Node from 22.21 and 24.5 on heeds the proxy variables only when told to.
    set("NODE_USE_ENV_PROXY", "1");
    for name in BUNDLE {
        set(name, &files.bundle.to_string_lossy());
    }
    for name in ADDED {
        set(name, &files.anchors.to_string_lossy());
    }
    // wget has no variable for a bundle, but one for its settings.
    set("WGETRC", &files.wgetrc.to_string_lossy());
    let ours = java_options(proxy, no_proxy, files);
    let before = java.map(|old| without(old, &ours)).unwrap_or_default();
    set("JAVA_TOOL_OPTIONS", format!("{before} {ours}").trim());
    out
}

/// What Java needs on its command line: it reads no proxy variables, and has a store of its own.
fn java_options(proxy: &Proxy, no_proxy: &str, files: &TrustFiles) -> String {
    let mut options = Vec::new();
    // Java speaks plain HTTP to its proxy, or SOCKS; HTTPS to the proxy it does not.
    let (host, port) = (&proxy.address.host, proxy.address.port);
    match proxy.scheme.as_str() {
        "socks5" | "socks5h" => {
            options.push(format!("-DsocksProxyHost={host}"));
            options.push(format!("-DsocksProxyPort={port}"));
        }
        "http" => {
            for scheme in ["http", "https"] {
                options.push(format!("-D{scheme}.proxyHost={host}"));
                options.push(format!("-D{scheme}.proxyPort={port}"));
            }
            let hosts: Vec<String> = no_proxy
                .split(',')
                .map(str::trim)
                .filter(|host| !host.is_empty())
                .map(|host| {
                    if host.contains(':') {
                        format!("[{host}]")
                    } else {
                        host.replacen('.', "*.", usize::from(host.starts_with('.')))
                    }
                })
                .collect();
            options.push(format!("-Dhttp.nonProxyHosts={}", hosts.join("|")));
        }
        _ => {}
    }
    options.push(format!("-Djavax.net.ssl.trustStore={}", files.java.display()));
    options.push("-Djavax.net.ssl.trustStoreType=PKCS12".into());
    options.push(format!("-Djavax.net.ssl.trustStorePassword={JAVA_PASSWORD}"));
    // The launcher splits at white space outside of quotes.
    options
        .iter()
        .map(|o| if o.contains(' ') { format!("\"{o}\"") } else { o.clone() })
        .collect::<Vec<_>>()
        .join(" ")
}

/// `options` without an earlier `ours`.
fn without(options: &str, ours: &str) -> String {
    options.replace(ours, "").trim().to_string()
}

/// Prints the variables for a shell.
pub fn run(command: &EnvCommand, now: OffsetDateTime, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let proxy = match Proxy::parse(&command.proxy.proxy) {
        Ok(proxy) => proxy,
        Err(error) => {
            eprintln!("portward: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    let files = match trust_files(&command.ca, now) {
        Ok((files, _)) => files,
        Err(error) => return refuse(&error, false, out),
    };
    let text = print(command, &proxy, &files, std::env::var("JAVA_TOOL_OPTIONS").ok().as_deref());
    out.write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a command with the variables in place of this process; returns only if it cannot.
pub fn exec(command: &ExecCommand, now: OffsetDateTime) -> anyhow::Result<ExitCode> {
    let proxy = match Proxy::parse(&command.proxy.proxy) {
        Ok(proxy) => proxy,
        Err(error) => {
            eprintln!("portward: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    let (files, ca) = match trust_files(&command.ca, now) {
        Ok(found) => found,
        Err(error) => return refuse(&error, false, &mut std::io::sink()),
    };
    let stream = match reach(&proxy) {
        Ok(stream) => stream,
        Err(error) => {
            eprintln!("portward: nothing answers at {} ({error})\n  fix: portward run", proxy.address);
            return Ok(ExitCode::from(1));
        }
    };
    if let Err(error) = is_ours(stream, &ca) {
        // A warning: another proxy may stand between, and a CA may not issue for localhost.
        eprintln!(
            "portward: what listens at {} does not prove to be a Portward with this CA ({error})",
            proxy.address
        );
    }
    let mut child = prepared(command, &proxy, &files, std::env::var("JAVA_TOOL_OPTIONS").ok().as_deref());
    // Only a failure comes back; as shells do, 127 for no such command and 126 for no way to run it.
    let error = child.exec();
    eprintln!("portward: {}: {error}", command.command[0].to_string_lossy());
    Ok(ExitCode::from(if error.kind() == ErrorKind::NotFound { 127 } else { 126 }))
}

/// The command with its variables, not yet run.
fn prepared(command: &ExecCommand, proxy: &Proxy, files: &TrustFiles, java: Option<&str>) -> Command {
    let mut child = Command::new(&command.command[0]);
    child.args(&command.command[1..]).envs(variables(proxy, &command.proxy.no_proxy, files, java));
    child
}

/// The files, and the CA that they make programs trust. Needs no key of the CA, nor its passphrase.
fn trust_files(ca: &CaArgs, now: OffsetDateTime) -> Result<(TrustFiles, PublicCa), CaError> {
    let ca = ca.dir().public(now)?;
    let mut files = ca.write_trust_files()?;
    if let Some(own) = own_wgetrc(&files) {
        files.wgetrc = join_wgetrc(&own, &files)?;
    }
    if !files.has_system_roots {
        eprintln!(
            "portward: the system has no trusted roots that can be read: the bundle holds our CA alone"
        );
    }
    Ok((files, ca))
}

/// The settings that wget would read if it were not for us.
fn own_wgetrc(files: &TrustFiles) -> Option<PathBuf> {
    let named = std::env::var_os("WGETRC").map(PathBuf::from);
    // Ours of an earlier `portward env` is no setting of the user's.
    let named = named.filter(|path| path.parent() != files.wgetrc.parent());
    named.or_else(|| Some(std::env::home_dir()?.join(".wgetrc"))).filter(|path| path.is_file())
}

/// A file with the user's wget settings and, after them, our bundle: wget has no include, and
/// reads one such file. For its owner alone, because passwords may be among the settings. The
/// user's own where the folder is read-only: wget then works as ever, and does not trust us.
fn join_wgetrc(own: &Path, files: &TrustFiles) -> Result<PathBuf, CaError> {
    let io = |doing, path: &Path, source| CaError::Io { doing, path: path.to_path_buf(), source };
    let mut text = fs::read(own).map_err(|error| io("read", own, error))?;
    text.extend_from_slice(format!("\nca_certificate = {}\n", files.bundle.display()).as_bytes());
    let path = files.wgetrc.with_file_name("wgetrc.joined");
    if fs::read(&path).is_ok_and(|old| old == text) {
        return Ok(path);
    }
    let written = (|| {
        let temporary = path.with_file_name(format!(".wgetrc.{}.tmp", std::process::id()));
        // What a run that was killed left behind.
        let _ = fs::remove_file(&temporary);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(&text)?;
        fs::rename(&temporary, &path)
    })();
    match written {
        Ok(()) => Ok(path),
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            eprintln!("portward: wget keeps to {}, without our CA: {error}", own.display());
            Ok(own.to_path_buf())
        }
        Err(error) => Err(io("write", &path, error)),
    }
}

/// A busy or dead port gives a command errors that do not say so; better told here.
fn reach(proxy: &Proxy) -> std::io::Result<TcpStream> {
    let port = proxy.address.port.get();
    let addresses = match &proxy.address.host {
        Host::Ip(ip) => vec![(*ip, port).into()],
        Host::Name(name) => (&**name, port).to_socket_addrs()?.collect(),
    };
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in addresses.iter().take(4) {
        match TcpStream::connect_timeout(address, Duration::from_secs(2)) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A stranger on the port gives plausible answers, and inspects nothing.
fn is_ours(mut stream: TcpStream, ca: &PublicCa) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(PROOF_TIME))?;
    stream.set_write_timeout(Some(PROOF_TIME))?;
    Ok(prove_ours(&mut stream, ca.anchors())?)
}

fn print(command: &EnvCommand, proxy: &Proxy, files: &TrustFiles, java: Option<&str>) -> String {
    let no_proxy = &command.proxy.no_proxy;
    match command.shell {
        Shell::Java => return java_options(proxy, no_proxy, files) + "\n",
        Shell::Docker => return docker(proxy, no_proxy, files),
        _ => {}
    }
    let mut out = String::new();
    for (name, value) in variables(proxy, no_proxy, files, java) {
        // Options of others in the Java variable stay.
        let rest = match name.as_str() {
            "JAVA_TOOL_OPTIONS" => java.map(|old| without(old, &java_options(proxy, no_proxy, files))),
            _ => None,
        };
        let value = if command.unset { rest.filter(|rest| !rest.is_empty()) } else { Some(value) };
        out.push_str(&match (command.shell, value) {
            (Shell::Sh, Some(value)) => format!("export {name}={}\n", word(&value)),
            (Shell::Sh, None) => format!("unset {name}\n"),
            (Shell::Fish, Some(value)) => format!("set -gx {name} {}\n", fish(&value)),
            (Shell::Fish, None) => format!("set -e {name}\n"),
            (Shell::Powershell, Some(value)) => format!("$env:{name} = '{}'\n", value.replace('\'', "''")),
            (Shell::Powershell, None) => format!("Remove-Item Env:{name} -ErrorAction SilentlyContinue\n"),
            (_, Some(value)) => format!("{name}={}\n", dotenv(&value)),
            (_, None) => format!("{name}=\n"),
        });
    }
    out
}

/// Arguments for `docker run`: the files mounted where the variables say. From inside a container
/// the host's loopback is another one, so that such a proxy is named as Docker names the host.
fn docker(proxy: &Proxy, no_proxy: &str, files: &TrustFiles) -> String {
    let inside = TrustFiles {
        bundle: "/etc/portward/bundle.pem".into(),
        anchors: "/etc/portward/anchors.pem".into(),
        java: "/etc/portward/trust.p12".into(),
        ..files.clone()
    };
    let mut lines = Vec::new();
    let mut proxy = proxy.clone();
    if proxy.is_loopback() {
        lines.push("--add-host=host.docker.internal:host-gateway".to_string());
        proxy.address.host = Host::Name("host.docker.internal".into());
        proxy.url = proxy.at(&proxy.address.host);
    }
    for (here, there) in
        [(&files.bundle, &inside.bundle), (&files.anchors, &inside.anchors), (&files.java, &inside.java)]
    {
        lines.push(format!("-v {}", word(&format!("{}:{}:ro", here.display(), there.display()))));
    }
    let set = variables(&proxy, no_proxy, &inside, None);
    // wget's settings name files of this side, and may hold passwords.
    for (name, value) in set.into_iter().filter(|(name, _)| name != "WGETRC") {
        lines.push(format!("-e {}", word(&format!("{name}={value}"))));
    }
    lines.join(" \\\n") + "\n"
}

fn fish(value: &str) -> String {
    format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
}

fn dotenv(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', r"\\").replace('"', "\\\"").replace('$', r"\$"))
}

#[cfg(test)]
mod tests;
