//! HTTP rules ("http" would shadow the crate): what a request is aimed at, what a proxy must take
//! out of a message and put in, how hyper is set up on both legs, content codings, and every
//! response that we author. Nothing here decides whether a message may pass.

pub mod body;
pub mod deadline;
pub mod decode;
mod field_block;
mod flood;
pub mod follow;
mod frames;
pub mod grpc;
pub mod hop;
mod interim;
pub mod raw;
pub mod reason;
pub mod reply;
pub mod send;
pub mod serve;
mod stall;
mod strict;
pub mod target;
mod target_line;
pub mod websocket;
