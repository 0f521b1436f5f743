//! Portward: a TLS-inspecting forward proxy and web application firewall.

pub mod app;
pub mod audit;
pub mod auth;
pub mod ca;
pub mod cli;
pub mod config;
pub mod inspect;
pub mod message;
pub mod metrics;
pub mod net;
pub mod origin;
pub mod policy;
pub mod proxy;
pub mod tls;
pub mod waf;
