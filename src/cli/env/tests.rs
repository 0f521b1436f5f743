use clap::Parser;

use super::*;
use crate::ca::CaDir;

#[derive(Parser)]
struct EnvCli {
    #[command(flatten)]
    env: EnvCommand,
}

#[derive(Parser)]
struct ExecCli {
    #[command(flatten)]
    exec: ExecCommand,
}

fn files(dir: &str) -> TrustFiles {
    let at = |name: &str| PathBuf::from(dir).join(name);
    TrustFiles {
        bundle: at("bundle.pem"),
        anchors: at("anchors.pem"),
        java: at("trust.p12"),
        wgetrc: at("wgetrc"),
        has_system_roots: true,
    }
}

fn env(arguments: &[&str], dir: &str, java: Option<&str>) -> String {
    let cli = EnvCli::try_parse_from(std::iter::once(&"env").chain(arguments)).unwrap();
    print(&cli.env, &Proxy::parse(&cli.env.proxy.proxy).unwrap(), &files(dir), java)
}

/// What a shell has after reading our lines; `None` for a variable that is not set.
fn shell(script: &str, name: &str) -> Option<String> {
    let asked = format!("{script}\nprintf '%s' \"${{{name}-(none)}}\"");
    let output = Command::new("sh").env_clear().arg("-c").arg(asked).output().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap()).filter(|text| text != "(none)")
}

#[test]
fn a_proxy_is_a_url_that_can_be_put_anywhere() {
    for (url, expect) in [
        ("http://127.0.0.1:8443", "http://127.0.0.1:8443"),
        ("HTTP://Proxy.Test:3128/", "http://proxy.test:3128"),
        ("https://proxy.test", "https://proxy.test:443"),
        ("socks5h://[::1]:1080", "socks5h://[::1]:1080"),
        ("http://user:p%40ss@proxy.test:1", "http://user:p%40ss@proxy.test:1"),
    ] {
        assert_eq!(Proxy::parse(url).unwrap().url, expect);
    }
    for bad in [
        "",
        "127.0.0.1:8443",
        "ftp://a.test",
        "http://",
        "http://a.test:0",
        "http://a b",
        "http://x'y@a.test",
        "http://a.test/path",
    ] {
        assert!(Proxy::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn both_cases_of_proxy_variables_and_every_clients_ca_are_set() {
    let set = variables(&Proxy::parse("http://127.0.0.1:8443").unwrap(), "localhost", &files("/ca"), None);
    let value = |name: &str| set.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        assert_eq!(value(name), Some("http://127.0.0.1:8443"), "{name}");
    }
    for name in ["no_proxy", "NO_PROXY"] {
        assert_eq!(value(name), Some("localhost"));
    }
    for name in ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT"] {
        assert_eq!(value(name), Some("/ca/bundle.pem"), "{name}");
    }
    // These add to their roots: our certificate alone.
    assert_eq!(value("NODE_EXTRA_CA_CERTS"), Some("/ca/anchors.pem"));
    let names: std::collections::HashSet<_> = set.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), set.len(), "a variable is set twice");
}

#[test]
fn a_shell_reads_every_value_back_also_from_an_awkward_folder() {
    let dir = "/tmp/it's a $HOME \"x\" \\ `id`";
    let script = env(&[], dir, None);
    assert_eq!(shell(&script, "SSL_CERT_FILE"), Some(format!("{dir}/bundle.pem")));
    assert_eq!(shell(&script, "https_proxy").as_deref(), Some("http://127.0.0.1:8443"));
    let undone = script + &env(&["--unset"], dir, None);
    for name in ["SSL_CERT_FILE", "https_proxy", "NO_PROXY", "JAVA_TOOL_OPTIONS"] {
        assert_eq!(shell(&undone, name), None, "{name}");
    }
}

#[test]
fn java_options_of_others_survive_setting_twice_and_unsetting() {
    let once = env(&[], "/ca", Some("-Xmx1g"));
    let value = shell(&once, "JAVA_TOOL_OPTIONS").unwrap();
    assert!(value.starts_with("-Xmx1g -Dhttp.proxyHost=127.0.0.1 "), "{value}");
    assert!(value.contains("-Djavax.net.ssl.trustStore=/ca/trust.p12"));
    assert!(value.contains("-Dhttp.nonProxyHosts=localhost|127.0.0.1|[::1]"));
    let twice = env(&[], "/ca", Some(&value));
    assert_eq!(shell(&twice, "JAVA_TOOL_OPTIONS"), Some(value.clone()));
    let undone = env(&["--unset"], "/ca", Some(&value));
    assert_eq!(shell(&undone, "JAVA_TOOL_OPTIONS").as_deref(), Some("-Xmx1g"));
}

#[test]
fn each_shell_has_its_own_syntax() {
    let dir = "/it's";
    for (shell, set, unset) in [
        ("sh", r"export SSL_CERT_FILE='/it'\''s/bundle.pem'", "unset SSL_CERT_FILE"),
        ("fish", r"set -gx SSL_CERT_FILE '/it\'s/bundle.pem'", "set -e SSL_CERT_FILE"),
        (
            "powershell",
            "$env:SSL_CERT_FILE = '/it''s/bundle.pem'",
            "Remove-Item Env:SSL_CERT_FILE -ErrorAction SilentlyContinue",
        ),
        ("dotenv", "SSL_CERT_FILE=\"/it's/bundle.pem\"", "SSL_CERT_FILE="),
    ] {
        let text = env(&["--shell", shell], dir, None);
        assert!(text.lines().any(|line| line == set), "{shell}: {text}");
        let text = env(&["--shell", shell, "--unset"], dir, None);
        assert!(text.lines().any(|line| line == unset), "{shell}: {text}");
    }
    let docker = env(&["--shell", "docker"], "/ca", None);
    assert!(docker.contains("-v /ca/bundle.pem:/etc/portward/bundle.pem:ro"), "{docker}");
    assert!(docker.contains("-e https_proxy=http://host.docker.internal:8443"), "{docker}");
    assert!(docker.contains("-e SSL_CERT_FILE=/etc/portward/bundle.pem"), "{docker}");
    let java = env(&["--shell", "java", "--proxy", "socks5h://[::1]:1080"], "/ca", None);
    assert!(java.starts_with("-DsocksProxyHost=[::1] -DsocksProxyPort=1080 -Djavax"), "{java}");
}

#[test]
fn the_trust_files_hold_the_systems_roots_and_ours_and_are_renewed_by_a_rotation() {
    let place = tempfile::tempdir().unwrap();
    let dir = CaDir::new(place.path().join("ca"));
    let now = OffsetDateTime::now_utc();
    dir.open_or_create(now).unwrap();
    let args = CaArgs { dir: Some(dir.path().to_path_buf()), ..CaArgs::default() };
    let (files, _) = trust_files(&args, now).unwrap();
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let (bundle, anchors) = (read(&files.bundle), read(&files.anchors));
    assert_eq!(anchors, read(&dir.path().join("root.pem")));
    assert!(bundle.starts_with(&anchors));
    assert!(files.has_system_roots, "this test needs the system's roots");
    assert!(bundle.matches("BEGIN CERTIFICATE").count() > 20);
    let written = std::fs::metadata(&files.java).unwrap().modified().unwrap();
    trust_files(&args, now).unwrap();
    assert_eq!(std::fs::metadata(&files.java).unwrap().modified().unwrap(), written, "written for nothing");
    dir.rotate(crate::ca::Rotate::Root, now).unwrap();
    trust_files(&args, now).unwrap();
    let renewed = read(&files.anchors);
    assert!(renewed.ends_with(&anchors) && renewed.len() > anchors.len());
    assert!(read(&files.bundle).starts_with(&renewed));
}

#[test]
fn a_command_runs_with_the_variables_and_keeps_its_own_status() {
    let script =
        "test \"$HTTPS_PROXY\" = http://127.0.0.1:9 && test \"$SSL_CERT_FILE\" = /ca/bundle.pem && exit 37";
    let words = ["exec", "--proxy", "http://127.0.0.1:9", "--", "sh", "-c", script];
    let cli = ExecCli::try_parse_from(words).unwrap();
    let proxy = Proxy::parse(&cli.exec.proxy.proxy).unwrap();
    let status = prepared(&cli.exec, &proxy, &files("/ca"), None).status().unwrap();
    assert_eq!(status.code(), Some(37));
    assert!(ExecCli::try_parse_from(["exec"]).is_err(), "a command is needed");
}

#[test]
fn wget_keeps_the_users_settings_and_gets_our_bundle_after_them() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let own = at("own");
    fs::write(&own, "ca_certificate = /old\npassword = secret").unwrap();
    let files = files(place.path().to_str().unwrap());
    let joined = join_wgetrc(&own, &files).unwrap();
    assert_eq!(joined, at("wgetrc.joined"));
    let wanted = format!(
        "ca_certificate = /old\npassword = secret\nca_certificate = {}\n",
        at("bundle.pem").display()
    );
    assert_eq!(fs::read_to_string(&joined).unwrap(), wanted);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&joined).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    fs::write(&own, "").unwrap();
    assert_eq!(join_wgetrc(&own, &files).unwrap(), joined);
    assert!(!fs::read_to_string(&joined).unwrap().contains("secret"));
}

#[test]
fn exec_says_when_nothing_listens_and_does_not_run_the_command() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("ca");
    let now = OffsetDateTime::now_utc();
    CaDir::new(&dir).open_or_create(now).unwrap();
    // A port that is taken, so that nobody else is given it, and that nobody listens on.
    let taken = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    taken.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = taken.local_addr().unwrap().as_socket().unwrap();
    let touched = place.path().join("touched");
    let proxy = format!("http://{address}");
    let (dir, touched_text) = (dir.to_str().unwrap(), touched.to_str().unwrap());
    let words = ["exec", "--ca", dir, "--proxy", &proxy, "--", "touch", touched_text];
    let cli = ExecCli::try_parse_from(words).unwrap();
    assert_eq!(exec(&cli.exec, now).unwrap(), ExitCode::from(1));
    assert!(!touched.exists());
}
