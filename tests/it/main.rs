//! Portward's promises, tested on the real binary between real clients and real origins. One module per promise;
//! each asserts both ends: what the client got, and what the origin must not have got.

mod support;

mod connect;
mod intercept;
mod origin;
mod tunnel;
mod http1;
mod http2;
mod websocket;
mod auth;
mod policy;
mod waf;
mod audit;
mod limits;
mod cli;
mod drain;
mod reload;
mod peers;
