//! Portward's promises, tested on the real binary between real clients and real origins. One module per promise;
//! each asserts both ends: what the client got, and what the origin must not have got.

mod support;

mod audit;
mod auth;
mod ca;
mod cli;
mod clients;
mod conformance;
mod connect;
mod distrust;
mod doctor;
mod drain;
mod eval;
mod faults;
mod framing;
mod http1;
mod http2;
mod import;
mod intercept;
mod key_log;
mod limits;
mod origin;
mod origin_h2;
mod peers;
mod policy;
mod reload;
mod scan;
mod scan_icap;
mod sets;
mod tls_bar;
mod trust;
mod tunnel;
mod waf;
mod websocket;
