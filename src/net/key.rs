//! The type of a leaf's key, which the client's ClientHello decides and the CA makes.

/// What a leaf's key signs the handshake with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// ECDSA with P-256: every client of this decade, and a hundredth of RSA's cost.
    #[default]
    Ecdsa,
    /// RSA with 2048 bits, for clients that can verify nothing else.
    Rsa,
}
