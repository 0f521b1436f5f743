//! Certificates of every kind, good and bad: what rcgen makes, what is left when its DER is edited and signed
//! again, and what only the openssl command still makes (SHA-1, MD5, short RSA keys, DSA, OCSP responses).

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, CustomExtension,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, SigningKey,
};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

use super::peer::{self, Ended};
use super::pki::Chain;

/// An authority: a root, or one below another.
pub struct Ca(CertifiedIssuer<'static, KeyPair>);

/// Parameters of an authority.
pub fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now = OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = (now - Duration::days(1), now + Duration::days(90));
    params
}

/// Parameters of a server's certificate as it should be.
pub fn server(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.iter().map(|name| dns(name)).collect();
    params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("origin.test"));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let now = OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = (now - Duration::hours(1), now + Duration::days(7));
    params
}

/// A dNSName with anything in it.
pub fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// A certificate with its key, not yet in a chain.
pub struct Made {
    pub der: CertificateDer<'static>,
    pub key: KeyPair,
}

impl Ca {
    pub fn root(params: CertificateParams) -> Ca {
        Ca(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// With a key of any kind, or one that somebody else has too.
    pub fn root_with(params: CertificateParams, key: KeyPair) -> Ca {
        Ca(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub fn below(&self, params: CertificateParams) -> Ca {
        self.below_with(params, KeyPair::generate().unwrap())
    }

    pub fn below_with(&self, params: CertificateParams, key: KeyPair) -> Ca {
        Ca(CertifiedIssuer::signed_by(params, key, &self.0).unwrap())
    }

    pub fn sign(&self, params: CertificateParams) -> Made {
        self.sign_with(params, KeyPair::generate().unwrap())
    }

    pub fn sign_with(&self, params: CertificateParams, key: KeyPair) -> Made {
        Made { der: params.signed_by(&key, &self.0).unwrap().der().clone(), key }
    }

    /// The same certificate with its signed part changed, signed anew.
    pub fn edit(&self, made: Made, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Made {
        let mut parts = children(&made.der);
        let mut signed = children(&parts[0]);
        change(&mut signed);
        parts[0] = tlv(0x30, &signed.concat());
        let signature = self.0.key().sign(&parts[0]).unwrap();
        parts[2] = tlv(0x03, &[&[0], signature.as_slice()].concat());
        Made { der: tlv(0x30, &parts.concat()).into(), key: made.key }
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn key_pem(&self) -> String {
        self.0.key().serialize_pem()
    }

    /// A revocation list over these serial numbers, from and to days from now.
    pub fn crl(&self, serials: &[u64], from: i64, to: i64) -> Vec<u8> {
        let now = OffsetDateTime::now_utc();
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: now - Duration::days(2),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: now + Duration::days(from),
            next_update: now + Duration::days(to),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().der().to_vec()
    }
}

impl Made {
    pub fn chain(self, above: &[&Ca]) -> Chain {
        let certs = std::iter::once(self.der).chain(above.iter().map(|ca| ca.der())).collect();
        Chain::from_der(certs, &self.key)
    }
}

/// An extension with a value in DER.
pub fn extension(oid: &[u64], critical: bool, value: &[u8]) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, value.to_vec());
    extension.set_criticality(critical);
    extension
}

/// TLS feature `status_request` (RFC 7633): must-staple.
pub fn must_staple() -> CustomExtension {
    extension(&[1, 3, 6, 1, 5, 5, 7, 1, 24], false, &[0x30, 3, 2, 1, 5])
}

/// Tag, length, value.
pub fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match value.len() {
        short @ 0..0x80 => der.push(short as u8),
        long @ 0x80..0x100 => der.extend([0x81, long as u8]),
        longer @ 0x100..0x10000 => der.extend([0x82, (longer >> 8) as u8, longer as u8]),
        longest => der.extend([0x83, (longest >> 16) as u8, (longest >> 8) as u8, longest as u8]),
    }
    der.extend_from_slice(value);
    der
}

/// The elements inside one element.
pub fn children(der: &[u8]) -> Vec<Vec<u8>> {
    let (start, end) = extent(der);
    let mut inside = &der[start..end];
    let mut found = Vec::new();
    while !inside.is_empty() {
        let (_, end) = extent(inside);
        found.push(inside[..end].to_vec());
        inside = &inside[end..];
    }
    found
}

fn extent(der: &[u8]) -> (usize, usize) {
    let octets = if der[1] < 0x80 { 0 } else { usize::from(der[1] & 0x7f) };
    let length = match octets {
        0 => usize::from(der[1]),
        _ => der[2..2 + octets].iter().fold(0, |length, octet| length << 8 | usize::from(*octet)),
    };
    (2 + octets, 2 + octets + length)
}

pub fn pem(label: &str, der: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Runs the openssl command in a folder of its own, which is `self.dir`.
pub struct OpenSsl {
    pub dir: TempDir,
}

impl OpenSsl {
    /// With the authority's certificate and key as `ca.pem` and `ca.key`.
    pub fn new(ca: &Ca) -> OpenSsl {
        let openssl = OpenSsl { dir: TempDir::with_prefix("portward-openssl-").unwrap() };
        openssl.put("ca.pem", ca.pem());
        openssl.put("ca.key", ca.key_pem());
        openssl
    }

    pub fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.dir.path().join(name), content).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.path().join(name)).unwrap()
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    pub fn run(&self, line: &str) {
        let mut words = line.split(' ');
        let output = Command::new(words.next().unwrap())
            .args(words)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A leaf for origin.test in `leaf.pem`: its key made by `genkey` into `leaf.key`, signed with `digest`.
    pub fn leaf(&self, genkey: &str, digest: &str) {
        self.put(
            "leaf.cnf",
            "subjectAltName=DNS:origin.test\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n\
             authorityKeyIdentifier=keyid\n",
        );
        self.run(genkey);
        self.run("openssl req -new -key leaf.key -subj /CN=origin.test -out leaf.csr");
        self.run(&format!(
            "openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -{digest} -days 7 -set_serial 4711 \
             -extfile leaf.cnf -out leaf.pem"
        ));
    }

    /// Serves `leaf.pem` and `leaf.key`, with all that OpenSSL still can.
    pub async fn serve(&self) -> Server {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-cert", "leaf.pem", "-key", "leaf.key", "-www"]);
        command.args(["-cipher", "ALL:@SECLEVEL=0"]).current_dir(self.dir.path());
        let (server, addr) = peer::s_server(command).await;
        Server { _server: server, addr }
    }

    /// An OCSP response for `made`: `V` good or `R` revoked by the index, signed by `signer`.pem and .key.
    pub fn ocsp(&self, made: &Made, serial: u64, status: &str, signer: &str, before: &str) -> Vec<u8> {
        self.ocsp_named_by("sha1", made, serial, status, signer, before)
    }

    /// The same, about a certificate that is named by another hash.
    pub fn ocsp_named_by(
        &self,
        hash: &str,
        made: &Made,
        serial: u64,
        status: &str,
        signer: &str,
        before: &str,
    ) -> Vec<u8> {
        self.put("made.pem", pem("CERTIFICATE", &made.der));
        let revoked = if status == "R" { "250101000000Z" } else { "" };
        let number = format!("{serial:X}");
        let number = if number.len() % 2 == 1 { format!("0{number}") } else { number };
        self.put(
            "index.txt",
            format!("{status}\t351231235959Z\t{revoked}\t{number}\tunknown\t/CN=origin.test\n"),
        );
        self.run(&format!(
            "openssl ocsp -{hash} -issuer ca.pem -cert made.pem -no_nonce -reqout request.der"
        ));
        self.run(&format!(
            "{before}openssl ocsp -index index.txt -CA ca.pem -rsigner {signer}.pem -rkey {signer}.key -reqin request.der \
             -ndays 2 -respout response.der"
        ));
        self.read("response.der")
    }
}

/// A running s_server; it ends when dropped.
pub struct Server {
    _server: Ended,
    pub addr: SocketAddr,
}
