//! Who a client is.
