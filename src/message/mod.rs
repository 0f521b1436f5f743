//! HTTP rules ("http" would shadow the crate): what a request is aimed at, what a proxy must take
//! out of a message and put in, how hyper is set up on both legs, content codings, and every
//! response that we author. Nothing here decides whether a message may pass.

pub mod body;
pub mod deadline;
pub mod decode;
pub mod field_block;
pub mod flood;
pub mod follow;
pub mod frames;
pub mod grpc;
pub mod hop;
mod interim;
mod linger;
pub mod raw;
pub mod reason;
pub mod reply;
pub mod send;
pub mod serve;
mod stall;
pub mod strict;
pub mod target;
mod target_line;
pub mod websocket;
