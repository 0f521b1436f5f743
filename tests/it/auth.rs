//! Who may use the proxy: nobody beyond this machine unless they are known by name or by network.

use argon2::PasswordHasher;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::client::{Client, Entry, NoTunnel, field, read_head, request, rest};
use crate::support::origin::{HELLO, Origin, Spec};
use crate::support::proxy::{Proxy, Setup};
use crate::support::{Http, peer, pki, within};

/// Two users: ann by argon2, bob by bcrypt.
fn users() -> String {
    let ann = argon2::Argon2::default().hash_password(b"ann's secret").unwrap().to_string();
    let bob = bcrypt::hash("bob:secret", 4).unwrap();
    format!("ann:{ann}\nbob:{bob}\n")
}

async fn guarded() -> (Origin, Proxy) {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let setup = Setup::new().file("users", users()).arg("--auth-file").arg("{dir}/users").origin(&origin);
    let proxy = setup.start().await;
    (origin, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn known_users_pass_through_every_entry_and_are_named_in_the_record() {
    let (origin, proxy) = guarded().await;
    for entry in Entry::EXPLICIT {
        for (user, password) in [("ann", "ann's secret"), ("bob", "bob:secret")] {
            let client = Client::new(entry, &proxy).user(user, password);
            assert_eq!(client.get(Http::H2, "https://origin.test/").await.text(), HELLO, "{entry:?} {user}");
            proxy.record(user, |r| r["identity"] == user && r["status"] == 200).await;
        }
    }
    for seen in origin.seen() {
        assert!(!seen.headers.contains_key("proxy-authorization"), "{seen:?}");
    }
    assert_eq!(origin.seen().len(), 6);
    let log = std::fs::read_to_string(proxy.audit_path()).unwrap();
    assert!(!log.contains("secret"), "a password in the audit log");
}

/// Two requests that hang together by a body with two lengths, and what came back up to the connection's end.
async fn two_lengths(mut stream: impl crate::support::origin::Stream, target: &str, fields: &str) -> String {
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: origin.test\r\n{fields}Content-Length: 4\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET {target}second HTTP/1.1\r\nHost: origin.test\r\n\r\n"
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.flush().await;
    let got = within("the end of the connection", rest(&mut stream)).await;
    String::from_utf8_lossy(&got).to_lowercase()
}

fn is_one_400_that_closes(got: &str) -> bool {
    got.starts_with("http/1.1 400")
        && got.matches("http/1.1 ").count() == 1
        && got.contains("connection: close")
}

/// A 407 leaves the connection open, and what is behind two lengths would be read as a request.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_whose_request_has_two_lengths_are_cut_off_and_not_asked_for_a_name() {
    let (origin, proxy) = guarded().await;
    for entry in [Entry::HttpProxy, Entry::HttpsProxy] {
        let stream = Client::new(entry, &proxy).dial().await.unwrap();
        let got = two_lengths(stream, "http://origin.test/", "").await;
        assert!(is_one_400_that_closes(&got), "{entry:?}: {got}");
    }
    let record = proxy.record("the refusal", |r| r["status"] == 400).await;
    assert_eq!((&record["reason"], &record["method"]), (&"malformed".into(), &"POST".into()));
    assert_eq!(origin.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lengths_close_the_connection_whatever_else_is_wrong() {
    let broken = Spec::chain(pki::lab().leaf(&["origin.test"], pki::Leaf::Expired)).start().await;
    let proxy = Setup::new().origin(&broken).start().await;
    // A tunnel whose origin was refused, in which every request gets a page that says so.
    let tls = Client::new(Entry::HttpProxy, &proxy).tls("origin.test", 443, &[Http::H1]).await.unwrap();
    let got = two_lengths(tls, "/", "").await;
    assert!(is_one_400_that_closes(&got), "{got}");
    let dial = || async { Client::new(Entry::HttpProxy, &proxy).dial().await.unwrap() };
    for (target, fields) in [
        ("http://127.0.0.1:9/", ""),
        ("http://no-such-name.test/", ""),
        ("ftp://origin.test/", ""),
        ("http://user@origin.test/", ""),
        ("https://origin.test/", ""),
        ("/", ""),
        ("http://origin.test/", "Expect: the impossible\r\n"),
    ] {
        let got = two_lengths(dial().await, target, fields).await;
        assert!(is_one_400_that_closes(&got), "{target} {fields}: {got}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_a_407_that_tells_how_to_sign_in() {
    let (origin, proxy) = guarded().await;
    for entry in [Entry::HttpProxy, Entry::HttpsProxy] {
        let cases = [
            None,
            Some(("ann", "wrong")),
            Some(("nobody", "ann's secret")),
            Some(("ann", "")),
            Some(("", "")),
        ];
        for case in cases {
            let mut client = Client::new(entry, &proxy);
            if let Some((user, password)) = case {
                client = client.user(user, password);
            }
            let refused = client.tunnel("origin.test", 443).await.err().unwrap();
            assert_eq!(refused.status(), 407, "{entry:?} {case:?}");
            let NoTunnel::Http { head, .. } = &refused else { unreachable!() };
            assert!(field(head, "proxy-authenticate").is_some_and(|c| c.starts_with("Basic ")), "{head}");
        }
    }
    for case in [None, Some(("ann", "wrong"))] {
        let mut client = Client::new(Entry::Socks5, &proxy);
        if let Some((user, password)) = case {
            client = client.user(user, password);
        }
        assert!(matches!(client.tunnel("origin.test", 443).await, Err(NoTunnel::Socks(1..))), "{case:?}");
    }
    assert_eq!(origin.connections(), 0);
    let record = proxy.record("a stranger", |r| r["reason"] == "auth_required").await;
    assert_eq!(record["status"], 407, "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_407_does_not_need_a_new_connection() {
    let (_origin, proxy) = guarded().await;
    let credentials = Client::new(Entry::HttpProxy, &proxy).user("bob", "bob:secret").credentials().unwrap();
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    stream.write_all(b"CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\n").await.unwrap();
    let head = read_head(&mut stream).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 407"), "{head}");
    let len: usize = field(&head, "content-length").unwrap().parse().unwrap();
    let mut body = vec![0; len];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut body).await.unwrap();
    let again = format!(
        "CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\nProxy-Authorization: {credentials}\r\n\r\n"
    );
    stream.write_all(again.as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_request_needs_the_same_sign_in() {
    let origin = Spec::plain().start().await;
    let setup = Setup::new().file("users", users()).arg("--auth-file").arg("{dir}/users").plain(&origin);
    let proxy = setup.start().await;
    let credentials = Client::new(Entry::HttpProxy, &proxy).user("bob", "bob:secret").credentials().unwrap();
    for (fields, status) in
        [(String::new(), "407"), (format!("Proxy-Authorization: {credentials}\r\n"), "200")]
    {
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        let ask = format!(
            "GET http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n{fields}\r\n"
        );
        stream.write_all(ask.as_bytes()).await.unwrap();
        let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    assert!(!origin.only().headers.contains_key("proxy-authorization"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origins_own_401_is_the_clients_business() {
    let (origin, proxy) = guarded().await;
    let client = Client::new(Entry::HttpProxy, &proxy).user("bob", "bob:secret");
    let ask =
        request("GET", "https://origin.test/status/401", &[("authorization", "Basic b3JpZ2luOnB3")], "");
    assert_eq!(client.send(Http::H1, "origin.test", ask).await.status, 401);
    assert_eq!(origin.only().headers["authorization"], "Basic b3JpZ2luOnB3");
}

#[test]
pub fn listening_beyond_this_machine_without_knowing_the_clients_is_refused() {
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let refused = Setup::new().listen(&[listen]).refused();
        assert_eq!(refused.code, Some(2), "{listen}: {}", refused.stderr);
        for hint in ["--auth-file", "--allow-client"] {
            assert!(refused.stderr.contains(hint), "{listen}: no way out named: {}", refused.stderr);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listening_beyond_this_machine_is_allowed_with_users_or_networks() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let networks =
        Setup::new().listen(&["0.0.0.0:0"]).args(["--allow-client", "127.0.0.0/8"]).origin(&origin);
    let proxy = networks.start().await;
    assert_eq!(proxy.addr().ip().to_string(), "0.0.0.0");
    let users =
        Setup::new().listen(&["0.0.0.0:0"]).file("users", users()).arg("--auth-file").arg("{dir}/users");
    users.start().await;
}

#[test]
fn a_users_file_with_weak_hashes_is_refused_and_the_line_named() {
    for (line, what) in [
        ("ann:plain-password", "users:1"),
        ("ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "users:1"),
        ("ann:$apr1$abcdefgh$0123456789012345678901", "users:1"),
        ("no colon here", "users:1"),
        ("", "users"),
    ] {
        let refused = Setup::new().file("users", line).arg("--auth-file").arg("{dir}/users").refused();
        assert_eq!(refused.code, Some(2), "{line}: {}", refused.stderr);
        assert!(refused.stderr.contains(what), "{line}: {}", refused.stderr);
        assert!(!refused.stderr.contains("plain-password"), "{}", refused.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_signs_in_as_people_do() {
    let (_origin, proxy) = guarded().await;
    let addr = proxy.addr();
    for url in [format!("http://bob:bob%3Asecret@{addr}"), format!("socks5h://bob:bob%3Asecret@{addr}")] {
        let mut curl = peer::command("curl");
        curl.args(["-sS", "-x", &url, "--cacert"]).arg(proxy.ca_pem()).arg("https://origin.test/");
        assert_eq!(peer::run(curl).await.ok().text(), HELLO, "{url}");
    }
    let mut curl = peer::command("curl");
    curl.args(["-sS", "-x", &format!("http://bob:wrong@{addr}"), "--cacert"]).arg(proxy.ca_pem());
    let said = peer::run({
        curl.arg("https://origin.test/");
        curl
    })
    .await;
    assert_eq!(said.code, Some(56), "curl says that CONNECT failed: {said:?}");
    assert!(said.stderr.contains("407"), "{}", said.stderr);
}
