//! Every use of rustls.
