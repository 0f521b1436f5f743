//! Real clients, one case each: how each is started, what it says when it got what it asked for, and what only an
//! origin that was reached could have seen. Run bare, inside `portward exec`, or inside a mount namespace whose trust
//! stores are a private copy of the machine's.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::peer::{Ended, Said, run};
use super::proxy::{PORTWARD, Proxy, Setup};
use super::site::{Content, Site};

/// A client's way to ask for something.
#[derive(Clone, Debug)]
pub struct Client {
    pub name: &'static str,
    /// A line for `sh`, in a folder of its own that is empty but for what `ground` puts there.
    pub line: String,
    /// Its output when it succeeded.
    pub says: &'static str,
    /// A path that it asks the origin for.
    pub asks: &'static str,
}

impl Client {
    fn new(name: &'static str, line: impl Into<String>, says: &'static str, asks: &'static str) -> Client {
        Client { name, line: line.into(), says, asks }
    }
}

/// An origin with something for every client, and a Portward in front of it.
pub struct Ground {
    pub site: Site,
    pub proxy: Proxy,
    /// Scripts and repositories.
    pub dir: TempDir,
}

const PAGE: &str = "a page of the origin\n";

/// urllib and requests, each reading one page.
const URLLIB: &str = "import urllib.request\nprint(urllib.request.urlopen('https://origin.test/urllib', timeout=60).read().decode(), end='')\n";
const REQUESTS: &str =
    "import requests\nprint(requests.get('https://origin.test/requests', timeout=60).text, end='')\n";

/// Node 20 heeds no proxy variable by itself: CONNECT by hand, everything else from the environment.
const NODE: &str = "const http = require('http'), https = require('https');
const proxy = new URL(process.env.HTTPS_PROXY);
http.request({ host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: 'origin.test:443' })
  .on('connect', (res, socket) => {
    https.get({ host: 'origin.test', path: '/node', socket, agent: false, servername: 'origin.test' }, (r) => {
      let text = ''; r.on('data', (d) => text += d).on('end', () => { process.stdout.write(text); process.exit(0); });
    }).on('error', (e) => { console.error(e.code || e.message); process.exit(1); });
  }).end();
";

/// Both of Java's HTTP clients.
const JAVA: &str = "import java.net.*;
import java.net.http.*;
public class Client {
    public static void main(String[] args) throws Exception {
        try (var in = new URL(\"https://origin.test/java-url\").openConnection().getInputStream()) {
            System.out.print(new String(in.readAllBytes()));
        }
        var request = HttpRequest.newBuilder(URI.create(\"https://origin.test/java-client\")).build();
        var client = HttpClient.newHttpClient();
        System.out.print(client.send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
}
";

/// A wheel is a zip of the package and what describes it.
const WHEEL: &str = "import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    info = 'pwprobe-1.0.dist-info/'
    wheel.writestr('pwprobe.py', 'WORD = \"a package of the origin\"\\n')
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: pwprobe\\nVersion: 1.0\\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(info + 'RECORD', ''.join(n + ',,\\n' for n in wheel.namelist()) + info + 'RECORD,,\\n')
";

/// Debian's own Python, which has its own roots; another one may come first in the search path.
const PYTHON: &str = "/usr/bin/python3";

impl Ground {
    pub async fn new() -> Ground {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (name, text) in [
            ("urllib.client.py", URLLIB),
            ("requests.client.py", REQUESTS),
            ("client.js", NODE),
            ("Client.java", JAVA),
            ("wheel.py", WHEEL),
        ] {
            fs::write(at(name), text).unwrap();
        }
        let make = format!(
            "set -e; cd '{}'; {PYTHON} wheel.py pwprobe.whl\n\
             mkdir package; echo '{{\"name\":\"pwtiny\",\"version\":\"1.0.0\",\"main\":\"i.js\"}}' >package/package.json\n\
             echo 'module.exports = \"a package of the origin\"' >package/i.js; tar czf pwtiny.tgz package\n\
             mkdir work git; cd work; git init -q; echo 'a file of the origin' >README\n\
             git add README; git -c user.name=t -c user.email=t@origin.test commit -qm first\n\
             cd ..; git clone -q --bare work git/repository.git\n",
            dir.path().display()
        );
        let home = tempfile::tempdir().unwrap();
        run(isolated("sh", home.path(), &["-c", &make])).await.ok();
        let tarball = fs::read(at("pwtiny.tgz")).unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, &tarball);
        let integrity =
            format!("sha512-{}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest));
        let version = serde_json::json!({
            "name": "pwtiny", "version": "1.0.0", "main": "i.js",
            "dist": { "tarball": "https://origin.test/pwtiny/-/pwtiny-1.0.0.tgz", "integrity": integrity },
        });
        let packument = serde_json::json!({
            "name": "pwtiny", "dist-tags": { "latest": "1.0.0" }, "versions": { "1.0.0": version },
        });
        let mut content = Content::default()
            .repositories(at("git"))
            .file(
                "/simple/pwprobe/",
                "text/html",
                "<a href=\"/files/pwprobe-1.0-py3-none-any.whl\">pwprobe-1.0-py3-none-any.whl</a>",
            )
            .file(
                "/files/pwprobe-1.0-py3-none-any.whl",
                "application/octet-stream",
                fs::read(at("pwprobe.whl")).unwrap(),
            )
            .file("/pwtiny", "application/json", packument.to_string())
            .file("/pwtiny/-/pwtiny-1.0.0.tgz", "application/octet-stream", tarball);
        for path in [
            "/curl",
            "/wget",
            "/urllib",
            "/requests",
            "/node",
            "/java-url",
            "/java-client",
            "/chromium",
            "/firefox",
        ] {
            content = content.file(path, "text/html", PAGE);
        }
        let site = content.start().await;
        let proxy = Setup::new().route("origin.test", 443, site.addr).start().await;
        Ground { site, proxy, dir }
    }

    fn script(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    pub fn curl(&self) -> Client {
        Client::new("curl", "curl -sS --max-time 60 https://origin.test/curl", PAGE, "/curl")
    }

    pub fn wget(&self) -> Client {
        Client::new("wget", "wget -q -O- --tries=1 --timeout=60 https://origin.test/wget", PAGE, "/wget")
    }

    pub fn git(&self) -> Client {
        let line = "git -c http.lowSpeedTime=60 clone -q https://origin.test/git/repository.git out && cat out/README";
        Client::new("git", line, "a file of the origin\n", "/git/repository.git/git-upload-pack")
    }

    pub fn urllib(&self) -> Client {
        let line = format!("{PYTHON} {}", self.script("urllib.client.py"));
        Client::new("Python urllib", line, PAGE, "/urllib")
    }

    pub fn requests(&self) -> Client {
        let line = format!("{PYTHON} {}", self.script("requests.client.py"));
        Client::new("Python requests", line, PAGE, "/requests")
    }

    pub fn pip(&self) -> Client {
        let line = format!(
            "{PYTHON} -m pip -q --no-cache-dir --disable-pip-version-check --retries 0 install --no-deps \
             --target out --index-url https://origin.test/simple pwprobe && cd out && \
             {PYTHON} -c 'import pwprobe; print(pwprobe.WORD)'"
        );
        Client::new("pip", line, "a package of the origin\n", "/files/pwprobe-1.0-py3-none-any.whl")
    }

    pub fn node(&self) -> Client {
        Client::new("Node", format!("node {}", self.script("client.js")), PAGE, "/node")
    }

    pub fn npm(&self) -> Client {
        let line = "npm install --registry https://origin.test/ --no-audit --no-fund --no-update-notifier \
                    --fetch-retries 0 --loglevel error pwtiny >&2 && node -p \"require('pwtiny')\"";
        Client::new("npm", line, "a package of the origin\n", "/pwtiny/-/pwtiny-1.0.0.tgz")
    }

    pub fn java(&self) -> Client {
        let line = format!("java {}", self.script("Client.java"));
        Client::new("Java", line, "a page of the origin\na page of the origin\n", "/java-client")
    }

    /// The variables that name the proxy, and none that names a CA.
    pub fn proxy_only(&self) -> Vec<(&'static str, String)> {
        let url = format!("http://{}", self.proxy.addr());
        let (host, port) = (self.proxy.addr().ip(), self.proxy.addr().port());
        let java =
            ["http", "https"].map(|s| format!("-D{s}.proxyHost={host} -D{s}.proxyPort={port}")).join(" ");
        let mut variables = vec![("JAVA_TOOL_OPTIONS", java)];
        variables.extend(
            ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"].map(|name| (name, url.clone())),
        );
        variables
    }

    /// Runs it in an empty folder, with `words` before the shell.
    async fn run(
        &self,
        client: &Client,
        words: &[&str],
        variables: &[(&'static str, String)],
        home: &Path,
    ) -> Said {
        let empty = tempfile::tempdir().unwrap();
        // Entering a namespace changes the working folder.
        let line = format!("cd '{}' && {}", empty.path().display(), client.line);
        let words = [words, &["sh", "-c", &line]].concat();
        let mut command = isolated(words[0], home, &words[1..]);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        run(command).await
    }

    /// It must get what it asked for, and the origin must have been asked.
    pub async fn works(
        &self,
        client: &Client,
        words: &[&str],
        variables: &[(&'static str, String)],
        home: &Path,
    ) {
        self.site.forget();
        let said = self.run(client, words, variables, home).await;
        assert_eq!(
            (said.code, said.text().as_str()),
            (Some(0), client.says),
            "{}: {}",
            client.name,
            said.stderr
        );
        assert!(self.site.saw(client.asks), "{}: the origin saw {:?}", client.name, self.site.seen());
        println!(
            "{:<16} {}: works",
            client.name,
            if words.first() == Some(&PORTWARD) {
                "inside portward exec"
            } else {
                "after portward trust install"
            }
        );
    }

    /// It must fail, and nothing may have arrived.
    pub async fn fails(
        &self,
        client: &Client,
        words: &[&str],
        variables: &[(&'static str, String)],
        home: &Path,
    ) {
        self.site.forget();
        let said = self.run(client, words, variables, home).await;
        assert_ne!(said.code, Some(0), "{} trusts a CA that nobody gave it: {said:?}", client.name);
        assert_eq!(self.site.forget(), 0, "{}: it arrived", client.name);
        println!("{:<16} without trust: {}", client.name, said.stderr.lines().last().unwrap_or_default());
    }

    /// Inside `portward exec` it works; with the proxy alone it does not.
    pub async fn needs_exec(&self, client: &Client) {
        let home = tempfile::tempdir().unwrap();
        self.fails(client, &[], &self.proxy_only(), home.path()).await;
        let (ca, url) = (self.proxy.ca_dir(), format!("http://{}", self.proxy.addr()));
        let words = [PORTWARD, "exec", "--ca", ca.to_str().unwrap(), "--proxy", &url, "--"];
        self.works(client, &words, &[], home.path()).await;
    }
}

/// A command that knows nothing of this machine's settings.
pub fn isolated(program: &str, home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).env_clear().env("HOME", home).env("LANG", "C.UTF-8").env("NO_COLOR", "1");
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// A mount namespace in which what packages write to is an overlay: the machine's own files stay as they are.
pub struct Stores {
    child: Ended,
    _dir: TempDir,
}

/// What `update-ca-certificates`, the hooks that it calls and `keytool` write to, wherever a JDK is.
const OVERLAID: [&str; 4] = ["/etc", "/var/lib", "/usr", "/opt"];

/// Programs below these folders alone: a JDK in somebody's home is not overlaid.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Stores {
    pub fn new() -> Stores {
        let dir = tempfile::tempdir().unwrap();
        let mut script = format!("set -e; mount -t tmpfs tmpfs '{}'; cd '{0}'\n", dir.path().display());
        for (number, place) in OVERLAID.iter().enumerate() {
            // The machine may have no /opt.
            if !Path::new(place).is_dir() {
                continue;
            }
            script.push_str(&format!(
                "mkdir u{number} w{number}; mount -t overlay overlay -o \
                 lowerdir={place},upperdir='{0}/u{number}',workdir='{0}/w{number}' {place}\n",
                dir.path().display()
            ));
        }
        // Certificates of ours that a developer's machine has are not in the copy.
        script.push_str("rm -f /usr/local/share/ca-certificates/portward*\n");
        script.push_str("echo ready; exec sleep 3600\n");
        let child = Command::new("unshare")
            .args(["-m", "sh", "-c", &script])
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut child, mut line) = (Ended(child), String::new());
        BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "mount namespaces and overlays need root");
        Stores { child, _dir: dir }
    }

    /// The words that start a command inside.
    pub fn inside(&self) -> [String; 5] {
        let mounts = format!("--mount=/proc/{}/ns/mnt", self.child.0.id());
        ["nsenter".into(), mounts, "--".into(), "env".into(), format!("PATH={PATH}")]
    }
}
