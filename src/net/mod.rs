//! Plain data every other module speaks in: names, addresses, the ClientHello's
//! visible fields, identifiers and limits. Nothing here does I/O.

pub mod addr;
pub mod authority;
pub mod hello;
pub mod id;
pub mod key;
pub mod limits;
pub mod shell;

pub use addr::{ClientAddr, Entry, OriginAddr};
pub use authority::{Authority, Host, Port};
pub use hello::{Alpn, Hello};
pub use id::{ConnectionId, ReceiptId};
pub use key::KeyType;
pub use limits::Limits;
