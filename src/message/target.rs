//! Request-target forms and their agreement with Host (RFC 9112 section 3.2, RFC 9113 section
//! 8.3.1): from what a client sent to one authority and one path, or a refusal.

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Uri, Version};

use crate::net::authority::AuthorityError;
use crate::net::{Authority, Port};

/// The scheme of the origin's leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    pub fn default_port(self) -> Port {
        match self {
            Scheme::Http => Port::HTTP,
            Scheme::Https => Port::HTTPS,
        }
    }
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub scheme: Scheme,
    /// From the target itself, else from Host; `None` for an HTTP/1.0 request without Host, which
    /// means the tunnel's own authority.
    pub authority: Option<Authority>,
    /// Origin-form, or `*`.
    pub path: PathAndQuery,
}

/// The head contradicts itself or the protocol; the answer is 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("the request has no Host field")]
    NoHost,
    #[error("the request has more than one Host field")]
    ManyHosts,
    #[error("the Host field or the authority is not valid: {0}")]
    BadHost(AuthorityError),
    #[error("the authority carries user information")]
    UserInfo,
    #[error(":authority and Host name different hosts")]
    Disagree,
    #[error("the request target has a scheme other than http and https")]
    BadScheme,
    #[error("the request names another scheme than its connection has")]
    OtherScheme,
    #[error("the request is addressed to this proxy itself, not through it")]
    ToProxy,
    #[error("the request target has no path")]
    NoPath,
}

impl TargetError {
    /// Nobody could read it rightly, as against a request that is not for us.
    pub fn is_malformed(self) -> bool {
        !matches!(self, TargetError::BadScheme | TargetError::OtherScheme | TargetError::ToProxy)
    }
}

/// Reads a request that came to us as a proxy: absolute-form is required (RFC 9112 section 3.2.2).
pub fn proxy_form(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    version: Version,
) -> Result<Target, TargetError> {
    if uri.scheme().is_none() || uri.authority().is_none() {
        return Err(TargetError::ToProxy);
    }
    read(method, uri, headers, version, Scheme::Http)
}

/// Reads a request inside a tunnel or from a redirected connection, whose scheme is known.
pub fn origin_form(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    version: Version,
    scheme: Scheme,
) -> Result<Target, TargetError> {
    // What came inside TLS must not leave in plain text because its client says so, nor the other way round.
    match uri.scheme_str() {
        Some(named @ ("http" | "https")) if named != scheme.name() => Err(TargetError::OtherScheme),
        _ => read(method, uri, headers, version, scheme),
    }
}

fn read(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    version: Version,
    implied: Scheme,
) -> Result<Target, TargetError> {
    let scheme = match uri.scheme_str() {
        None => implied,
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        Some(_) => return Err(TargetError::BadScheme),
    };
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(TargetError::ManyHosts);
    }
    let host = match host {
        None => None,
        Some(value) => {
            Some(parse(value.to_str().map_err(|_| TargetError::BadHost(AuthorityError::Character))?, scheme)?)
        }
    };
    // RFC 9112 section 3.2: in absolute-form as well, although nothing is read from it there.
    if host.is_none() && version == Version::HTTP_11 {
        return Err(TargetError::NoHost);
    }
    let authority = match (uri.authority(), host) {
        (Some(authority), host) => {
            let authority = parse(authority.as_str(), scheme)?;
            // HTTP/1.1: the target wins and Host is replaced (RFC 9112 section 3.2.2). HTTP/2: a
            // Host that says otherwise makes the request malformed (RFC 9113 section 8.3.1).
            if version == Version::HTTP_2 && host.is_some_and(|host| host != authority) {
                return Err(TargetError::Disagree);
            }
            Some(authority)
        }
        (None, Some(host)) => Some(host),
        (None, None) if version <= Version::HTTP_10 => None,
        (None, None) => return Err(TargetError::NoHost),
    };
    let path = match uri.path_and_query() {
        Some(path) if path.as_str().starts_with('/') => path.clone(),
        Some(path) if path.as_str() == "*" && method == Method::OPTIONS => path.clone(),
        // RFC 9112 section 3.2.4: OPTIONS with an empty path means the server as a whole.
        None if method == Method::OPTIONS && uri.scheme().is_some() => PathAndQuery::from_static("*"),
        None if uri.scheme().is_some() => PathAndQuery::from_static("/"),
        Some(path) if path.as_str().starts_with('?') => {
            PathAndQuery::try_from(format!("/{}", path.as_str())).map_err(|_| TargetError::NoPath)?
        }
        _ => return Err(TargetError::NoPath),
    };
    Ok(Target { scheme, authority, path })
}

fn parse(text: &str, scheme: Scheme) -> Result<Authority, TargetError> {
    if text.contains('@') {
        return Err(TargetError::UserInfo);
    }
    Authority::parse(text, Some(scheme.default_port())).map_err(TargetError::BadHost)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(uri: &str, hosts: &[&str], version: Version) -> Result<Target, TargetError> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, host.parse().unwrap());
        }
        origin_form(&Method::GET, &uri.parse().unwrap(), &headers, version, Scheme::Https)
    }

    #[test]
    fn one_authority_or_a_refusal() {
        let ok = |uri: &str, hosts: &[&str]| {
            origin(uri, hosts, Version::HTTP_11).unwrap().authority.unwrap().to_string()
        };
        assert_eq!(ok("/a", &["x.test"]), "x.test:443");
        assert_eq!(ok("/a", &["X.test:8443"]), "x.test:8443");
        assert_eq!(ok("https://y.test/a", &["x.test"]), "y.test:443");
        let err = |uri: &str, hosts: &[&str]| origin(uri, hosts, Version::HTTP_11).unwrap_err();
        assert_eq!(err("/a", &[]), TargetError::NoHost);
        assert_eq!(err("https://y.test/a", &[]), TargetError::NoHost);
        assert_eq!(err("/a", &["x.test", "x.test"]), TargetError::ManyHosts);
        assert_eq!(err("/a", &["user@x.test"]), TargetError::UserInfo);
        assert_eq!(err("/a", &["x.test:0"]), TargetError::BadHost(AuthorityError::Port));
        assert_eq!(err("/a", &["x test"]), TargetError::BadHost(AuthorityError::Character));
        assert_eq!(err("ftp://x.test/a", &["x.test"]), TargetError::BadScheme);
        assert_eq!(err("*", &["x.test"]), TargetError::NoPath);
        assert_eq!(origin("/", &[], Version::HTTP_10).unwrap().authority, None);
    }

    #[test]
    fn http2_authority_and_host_must_agree() {
        assert!(origin("https://x.test/", &["x.test"], Version::HTTP_2).is_ok());
        assert!(origin("https://x.test/", &["x.test:443"], Version::HTTP_2).is_ok());
        assert_eq!(origin("https://x.test/", &["y.test"], Version::HTTP_2), Err(TargetError::Disagree));
    }

    #[test]
    fn a_proxy_takes_absolute_form_only() {
        let read = |method: Method, uri: &str| {
            let headers = HeaderMap::from_iter([(HOST, "any.test".parse().unwrap())]);
            proxy_form(&method, &uri.parse().unwrap(), &headers, Version::HTTP_11)
        };
        assert_eq!(read(Method::GET, "/"), Err(TargetError::ToProxy));
        let target = read(Method::GET, "http://x.test:8080?q=1").unwrap();
        assert_eq!((target.path.as_str(), target.scheme), ("/?q=1", Scheme::Http));
    }
}
