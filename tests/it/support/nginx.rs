//! nginx as Debian ships it, as an origin.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::origin::PAGE;
use super::{Http, pki, until};

/// nginx with a certificate of the lab, on ports of its own choosing.
pub struct Nginx {
    child: Child,
    /// `https://origin.test`, and the same in plain text.
    pub addr: SocketAddr,
    pub plain: SocketAddr,
    dir: TempDir,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

impl Nginx {
    /// Ports 8443 and 8080 on a loopback address that is nobody else's.
    pub async fn start(http: Http, number: u8) -> Nginx {
        let dir = tempfile::tempdir().unwrap();
        let chain = pki::lab().good(&["origin.test"]);
        let folder = dir.path().to_path_buf();
        let at = |name: &str| folder.join(name).display().to_string();
        fs::write(at("chain.pem"), chain.pem()).unwrap();
        fs::write(at("key.pem"), chain.key_pem()).unwrap();
        fs::create_dir(at("www")).unwrap();
        fs::write(at("www/page.html"), PAGE.repeat(50)).unwrap();
        fs::write(at("www/big.bin"), super::origin::pattern(0, 60_000).repeat(100)).unwrap();
        let ip = format!("127.84.{}.{number}", std::process::id() % 250);
        let h2 = if http == Http::H2 { " http2" } else { "" };
        let modules = "/usr/lib/nginx/modules";
        let config = format!(
            "load_module {modules}/ngx_http_brotli_filter_module.so;\n\
             worker_processes 1; daemon off; pid {0}/pid; error_log {0}/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n\
               access_log {0}/access.log; client_max_body_size 0; types {{ text/html html; }}\n\
               client_body_temp_path {0}/t1; proxy_temp_path {0}/t2; fastcgi_temp_path {0}/t3; uwsgi_temp_path {0}/t4; scgi_temp_path {0}/t5;\n\
               server {{\n\
                 listen {ip}:8443 ssl{h2}; listen {ip}:8080; server_name origin.test; root {0}/www;\n\
                 ssl_certificate {0}/chain.pem; ssl_certificate_key {0}/key.pem;\n\
                 location /gz/ {{ alias {0}/www/; gzip on; gzip_min_length 1; gzip_proxied any; }}\n\
                 location /br/ {{ alias {0}/www/; brotli on; brotli_min_length 1; }}\n\
                 location = /post {{ return 200 \"posted\\n\"; }}\n\
               }}\n\
             }}\n",
            folder.display()
        );
        fs::write(at("nginx.conf"), config).unwrap();
        // Workers change their user; the folder must be readable for them.
        fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let child = Command::new("nginx")
            .args(["-c", &at("nginx.conf"), "-e", &at("error.log")])
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("nginx did not start: {error} (tests/run installs what is missing)")
            });
        let on = |port: u16| SocketAddr::new(ip.parse().unwrap(), port);
        let mut nginx = Nginx { child, addr: on(8443), plain: on(8080), dir };
        until("nginx to listen", || {
            if let Some(status) = nginx.child.try_wait().unwrap() {
                panic!("nginx ended, {status}: {}", fs::read_to_string(at("error.log")).unwrap_or_default());
            }
            let listens = |addr: SocketAddr| std::net::TcpStream::connect(addr).is_ok();
            (listens(nginx.addr) && listens(nginx.plain)).then_some(())
        })
        .await;
        nginx
    }

    /// Its access log so far.
    pub fn access(&self) -> String {
        fs::read_to_string(self.dir.path().join("access.log")).unwrap_or_default()
    }
}
