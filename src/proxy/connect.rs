//! A client that knows us as its proxy: CONNECT, absolute-form requests, SOCKS 5. Asks policy
//! about the target; an opaque tunnel is dialled before the 200, an inspected one after it.

use std::sync::Arc;

use fast_socks5::server::{Socks5ServerProtocol, StandardAuthentication, StandardAuthenticationStarted};
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{ReplyError, Socks5Command};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::exchange::{Dropped, Leg, Way};
use super::finish::{self, Ending};
use super::respond::Problem;
use super::{Client, Gateway, authenticate, exchange, intercept, spawn, tunnel};
use crate::audit::{Kind, Stage};
use crate::auth::Credentials;
use crate::message::body::Streamed;
use crate::message::reason::Code;
use crate::net::{Alpn, Authority, Host, Port};
use crate::policy::{Answer, Permit};
use crate::tls::{BoxIo, Rewind};

/// Serves HTTP to a client that uses us as its proxy.
pub async fn serve_http(gateway: &Arc<Gateway>, client: Client, io: BoxIo, protocol: Alpn) {
    exchange::serve(Way::new(gateway.clone(), client, Leg::Proxy), io, protocol).await;
}

/// One request to the proxy itself: CONNECT opens a tunnel, anything else is forwarded.
pub async fn proxied(way: &Arc<Way>, request: Request<Incoming>) -> Result<Response<Streamed>, Dropped> {
    // Before anybody is asked for a name: a 407 would leave the connection open.
    if let Err(problem) = exchange::check_framing(way) {
        if request.method() != Method::CONNECT {
            return exchange::exchange(way, request).await;
        }
        let mut ending = Ending::begin(&way.gateway, &way.client, Kind::Connect);
        ending.stage(Stage::Connect);
        return exchange::answer(&problem, &request, ending);
    }
    let users = way.gateway.live.load().users.clone();
    let identity = match authenticate::http(users.as_ref(), request.headers()).await {
        Ok(identity) => identity,
        Err(problem) => {
            let kind = if request.method() == Method::CONNECT { Kind::Connect } else { Kind::Exchange };
            let mut ending = Ending::begin(&way.gateway, &way.client, kind);
            ending.stage(Stage::Authenticate);
            return exchange::answer(&problem, &request, ending);
        }
    };
    let way = match identity {
        Some(identity) => Arc::new(way.identified(identity)),
        None => way.clone(),
    };
    if request.method() != Method::CONNECT {
        return exchange::exchange(&way, request).await;
    }
    let mut ending = Ending::begin(&way.gateway, &way.client, Kind::Connect);
    ending.stage(Stage::Connect);
    match connect(&way, &request, ending).await {
        Ok((next, ending)) => Ok(established(&way, request, next, ending)),
        Err((problem, ending)) => exchange::answer(&problem, &request, ending),
    }
}

/// What is done with a tunnel once the client has its 200.
enum Next {
    Intercept(Permit),
    Relay(tokio::net::TcpStream, tunnel::Judged),
}

async fn connect(
    way: &Way,
    request: &Request<Incoming>,
    mut ending: Ending,
) -> Result<(Next, Ending), (Problem, Ending)> {
    let target = match connect_target(request) {
        Ok(target) => target,
        Err(problem) => return Err((problem, ending)),
    };
    ending.note(|record| record.target = Some(target.clone()));
    let answer = way.gateway.live.load().policy.connect(&way.client.facts(), &target);
    match answer {
        Answer::Inspect(permit) => match intercept::unmintable(&way.gateway, &permit) {
            Some(problem) => Err((problem, ending)),
            None => Ok((Next::Intercept(permit), ending)),
        },
        Answer::Deny(denial) => Err((denial.into(), ending)),
        Answer::Tunnel(permit, reason) => {
            let mut tunnelled = finish::tunnel(&way.gateway, &way.client, &permit, &reason);
            ending.forget();
            match tunnel::dial(&way.gateway, &permit, &mut tunnelled).await {
                Ok(origin) => Ok((Next::Relay(origin, tunnel::Judged::Not(permit, reason)), tunnelled)),
                Err(problem) => Err((problem, tunnelled)),
            }
        }
    }
}

/// RFC 9110 section 9.3.6: the target is host and port, nothing else.
fn connect_target(request: &Request<Incoming>) -> Result<Authority, Problem> {
    let uri = request.uri();
    let authority = uri
        .authority()
        .filter(|_| uri.scheme().is_none() || request.version() == http::Version::HTTP_2)
        .ok_or_else(|| Problem::ConnectTarget("CONNECT needs host:port as its target".to_owned()))?;
    if authority.as_str().contains('@') {
        return Err(Problem::ConnectTarget("the CONNECT target carries user information".to_owned()));
    }
    Authority::parse(authority.as_str(), None)
        .map_err(|error| Problem::ConnectTarget(format!("the CONNECT target is not host:port: {error}")))
}

/// Answers 200 and goes on with the connection when hyper has let go of it.
fn established(way: &Arc<Way>, request: Request<Incoming>, next: Next, ending: Ending) -> Response<Streamed> {
    let way = way.clone();
    if request.version() != http::Version::HTTP_2 {
        way.pulse.detach();
    }
    // A tunnel is one stream of an HTTP/2 connection, which is not idle for as long as it lasts.
    let beat = way.pulse.begin();
    spawn(&way.gateway.clone(), async move {
        let _beat = beat;
        let upgraded = match hyper::upgrade::on(request).await {
            Ok(upgraded) => upgraded,
            Err(error) => {
                tracing::debug!(%error, "the client left before its tunnel was open");
                return;
            }
        };
        let io: BoxIo = Box::new(hyper_util::rt::TokioIo::new(upgraded));
        let (gateway, client) = (way.gateway.clone(), way.client.clone());
        match next {
            Next::Intercept(permit) => {
                // The exchanges inside have records of their own.
                ending.forget();
                intercept::intercept(gateway, client, permit, io).await;
            }
            Next::Relay(origin, judged) => {
                if let Some(next) = tunnel::relay(&gateway, io, origin, ending, judged).await {
                    intercept::intercept(gateway, client, next.permit, next.io).await;
                }
            }
        }
    });
    Response::new(Streamed::empty())
}

/// What a SOCKS client opened.
pub type Socks = (BoxIo, Client, Authority, Answer);

/// SOCKS 5 up to its answer. A denied target is told by the reply code; an inspected one is
/// answered at once, because what is wrong with the origin is told inside.
pub async fn serve_socks(gateway: &Arc<Gateway>, client: Client, io: BoxIo) -> Option<Socks> {
    let limit = gateway.limits.header_time;
    let failed = |client: &Client, code: Code, sentence: String| {
        let mut ending = Ending::begin(gateway, client, Kind::Connect);
        ending.stage(Stage::Connect);
        ending.broke(code, sentence);
    };
    match timeout(limit, socks(gateway, client.clone(), io)).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(problem)) => {
            failed(&client, Code::Malformed, problem);
            None
        }
        Err(_) => {
            failed(&client, Code::HeaderTimeout, format!("the SOCKS request was not whole within {limit:?}"));
            None
        }
    }
}

async fn socks(gateway: &Arc<Gateway>, mut client: Client, io: BoxIo) -> Result<Option<Socks>, String> {
    let text = |error: fast_socks5::server::SocksServerError| error.to_string();
    let snapshot = gateway.live.load_full();
    let methods = StandardAuthentication::allow_no_auth(snapshot.users.is_none());
    let started = Socks5ServerProtocol::start(io).negotiate_auth(methods).await.map_err(text)?;
    let authenticated = match started {
        StandardAuthenticationStarted::NoAuthentication(none) => {
            fast_socks5::server::AuthMethodSuccessState::finish_auth(none)
        }
        StandardAuthenticationStarted::PasswordAuthentication(password) => {
            let (user, secret, check) = password.read_username_password().await.map_err(text)?;
            match &snapshot.users {
                // Nobody is asked, so whatever was offered is taken and not believed.
                None => {}
                Some(users) => {
                    let proven = match Credentials::new(user.as_bytes(), secret.as_bytes()) {
                        Ok(credentials) => authenticate::check(users, credentials).await,
                        Err(_) => None,
                    };
                    if proven.is_none() {
                        check.reject().await.map_err(text)?;
                        let mut ending = Ending::begin(gateway, &client, Kind::Connect);
                        ending.stage(Stage::Authenticate);
                        ending.problem(&Problem::AuthRequired);
                        return Ok(None);
                    }
                    client.identity = proven;
                }
            }
            fast_socks5::server::AuthMethodSuccessState::finish_auth(check.accept().await.map_err(text)?)
        }
    };
    let (protocol, command, target) = authenticated.read_command().await.map_err(text)?;
    if command != Socks5Command::TCPConnect {
        protocol.reply_error(&ReplyError::CommandNotSupported).await.map_err(text)?;
        return Err("the SOCKS command is not CONNECT".to_owned());
    }
    let target = match target {
        TargetAddr::Ip(addr) => (Ok(Host::from(addr.ip())), addr.port()),
        TargetAddr::Domain(name, port) => (Host::parse(&name), port),
    };
    let (Ok(host), Some(port)) = (target.0, Port::new(target.1)) else {
        protocol.reply_error(&ReplyError::HostUnreachable).await.map_err(text)?;
        return Err("the SOCKS target is not a host and port".to_owned());
    };
    let target = Authority::new(host, port);
    let answer = snapshot.policy.connect(&client.facts(), &target);
    if let Answer::Deny(denial) = answer {
        finish::denied(gateway, &client, &target, &denial);
        protocol.reply_error(&ReplyError::ConnectionNotAllowed).await.map_err(text)?;
        return Ok(None);
    }
    let bound = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    let io = protocol.reply_success(bound).await.map_err(text)?;
    Ok(Some((Box::new(Rewind::new(io)), client, target, answer)))
}
