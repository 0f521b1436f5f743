//! Portward's promises, tested on the real binary between real clients and real origins. One module per promise;
//! each asserts both ends: what the client got, and what the origin must not have got.

mod support;

mod audit;
mod auth;
mod ca;
mod cli;
mod clients;
mod connect;
mod distrust;
mod doctor;
mod drain;
mod eval;
mod everywhere;
mod faults;
mod framing;
mod grpc;
mod http1;
mod http2;
mod import;
mod intercept;
mod key_log;
mod limits;
mod long;
mod origin;
mod peers;
mod policy;
mod reload;
mod scan;
mod sets;
mod sse;
mod tls_bar;
mod trust;
mod tunnel;
mod waf;
mod websocket;
