//! Archives made to exhaust or to hide from whoever looks into them (F26). The malware scanner unpacks them; what it
//! says it could not look into is refused, or passes where policy says so. The limits are its own.

use super::{Case, Seen};
use crate::scan::{Clamd, eicar};
use crate::support::Http;
use crate::support::archive::{overlapping, zip};
use crate::support::client::{Client, Entry, request};
use crate::support::origin::{Spec, gzip};
use crate::support::proxy::Setup;

/// clamd as it is to be set up: it says when it stops, and stops early.
const LIMITS: &str = "AlertExceedsMax yes\nMaxRecursion 4\nMaxFiles 10000\nMaxScanSize 64M\nMaxFileSize 32M\nAlertEncrypted yes\n";

const UNSEEN: &str = "refused as unseen, bounded";
const FOUND: &str = "refused as malware, bounded";
const PASSED: &str = "arrived and told, bounded";
const CLEAN: &str = "arrived as clean, bounded";

/// What the proxy itself may add to its memory: windows, and what is on its way to the scanner.
const MEMORY: u64 = 48 << 20;

type Made = fn() -> Vec<u8>;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |what, expected, settings: &'static str, body: Made| {
        cases.push(Case::new("F26", what, expected, move || upload(settings, body)));
    };
    add("an archive in two others, the test file in it", FOUND, "", || nested(3, &eicar()));
    add("an archive in nine others, the test file in it", UNSEEN, "", || nested(10, &eicar()));
    add("the same where policy lets it pass", PASSED, "unscannable = \"pass\"\n", || nested(10, &eicar()));
    add("gzip in gzip, ten deep", UNSEEN, "", || (0..10).fold(eicar(), |inner, _| gzip(&inner)));
    add("an archive of 20,000 files", UNSEEN, "", || {
        let names: Vec<String> = (0..20_000).map(|n| format!("{n:05}")).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
        zip(&files)
    });
    add("200 files that overlap in one archive, 200 MiB in 19 KB", FOUND, "", || {
        overlapping(200, &vec![0; 1 << 20])
    });
    add("six archives in an archive, 96 MiB in all", UNSEEN, "", || {
        let inner = |n: u8| zip(&[("bytes", &vec![n; 16 << 20])]);
        let inner: Vec<(String, Vec<u8>)> = (0..6).map(|n| (format!("{n}.zip"), inner(n))).collect();
        let files: Vec<(&str, &[u8])> = inner.iter().map(|(name, bytes)| (&name[..], &bytes[..])).collect();
        zip(&files)
    });
    // clamd looks at the first MaxFileSize of it, and does not say that it stopped there.
    add("one file of 128 MiB in an archive", CLEAN, "", || zip(&[("zeros", &vec![0; 128 << 20])]));
    cases
}

fn nested(depth: usize, content: &[u8]) -> Vec<u8> {
    (0..depth).fold(content.to_vec(), |inner, _| zip(&[("inner.zip", &inner)]))
}

async fn upload(settings: &'static str, body: Made) -> Seen {
    let body = tokio::task::spawn_blocking(body).await.unwrap();
    let sent = body.len();
    let clamd = Clamd::with(LIMITS).await;
    let origin = Spec::tls(&["origin.test"]).start().await;
    let settings = clamd.settings() + settings + "[rules]\ncore = false\n";
    let mut proxy = Setup::new().origin(&origin).config(&settings).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    client.get(Http::H1, "https://origin.test/").await;
    let memory = proxy.rss();
    let fields = [("content-type", "application/zip")];
    let request = request("POST", "https://origin.test/echo", &fields, body);
    let answer = client.send(Http::H1, "origin.test", request).await;
    let grown = proxy.peak_rss().saturating_sub(memory);
    let record = proxy.record("the upload", |record| record["method"] == "POST").await;
    let scan = &record["request_scan"];
    let (result, name) = (scan["result"].as_str().unwrap(), scan["signature"].as_str().unwrap_or_default());
    let arrived = origin.seen().iter().filter(|seen| seen.method == "POST" && seen.complete).count();
    let figures = format!("({sent} bytes, {}, {result} {name}, {} KiB)", answer.status, grown >> 10);
    let bounded = grown < MEMORY && proxy.running();
    let told = match (answer.status.as_u16(), arrived, result) {
        (403, 0, "unscannable") if bounded && record["reason"] == "scan_unscannable" => UNSEEN.to_owned(),
        (403, 0, "found") if bounded && record["reason"] == "malware" => FOUND.to_owned(),
        (200, 1, "unscannable") if bounded => PASSED.to_owned(),
        (200, 1, "clean") if bounded => CLEAN.to_owned(),
        _ => format!("{arrived} arrived {figures}"),
    };
    Seen { told, figures }
}
