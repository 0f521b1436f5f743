//! Identifiers: a connection's number inside this process, and a receipt's unguessable id.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts connections since start; for logs and the audit record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

impl ConnectionId {
    pub fn next() -> ConnectionId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        ConnectionId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One exchange's id: 80 random bits as 16 characters of Crockford's base 32, shown to the
/// person who was blocked and looked up by `portward explain`. Made by whoever has a random
/// source; this type only spells and reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReceiptId([u8; 10]);

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl ReceiptId {
    pub fn from_random(bytes: [u8; 10]) -> ReceiptId {
        ReceiptId(bytes)
    }

    fn text(&self) -> [u8; 16] {
        let mut value = 0u128;
        for byte in self.0 {
            value = value << 8 | u128::from(byte);
        }
        let mut out = [b'0'; 16];
        for slot in out.iter_mut().rev() {
            *slot = ALPHABET[(value & 31) as usize];
            value >>= 5;
        }
        out
    }
}

impl fmt::Display for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The alphabet is ASCII.
        f.pad(str::from_utf8(&self.text()).unwrap_or_default())
    }
}

/// A text is not 16 characters of the receipt alphabet.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a receipt id has 16 characters from 0-9 and A-Z without I, L, O and U")]
pub struct NotAReceipt;

impl FromStr for ReceiptId {
    type Err = NotAReceipt;

    /// Lower case is read as upper case; I and L as 1, O as 0 (Crockford).
    fn from_str(text: &str) -> Result<ReceiptId, NotAReceipt> {
        if text.len() != 16 {
            return Err(NotAReceipt);
        }
        let mut value = 0u128;
        for byte in text.bytes() {
            let byte = match byte.to_ascii_uppercase() {
                b'I' | b'L' => b'1',
                b'O' => b'0',
                other => other,
            };
            let digit = ALPHABET.iter().position(|&c| c == byte).ok_or(NotAReceipt)?;
            value = value << 5 | digit as u128;
        }
        let mut bytes = [0u8; 10];
        bytes.copy_from_slice(&value.to_be_bytes()[6..]);
        Ok(ReceiptId(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_reads_back_as_written() {
        for seed in 0..=255u8 {
            let id = ReceiptId::from_random([seed, 1, 2, 3, 0xff, 0, seed, 7, 8, 9]);
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.to_string().to_lowercase().parse(), Ok(id));
        }
        assert!("".parse::<ReceiptId>().is_err());
        assert!("UUUUUUUUUUUUUUUU".parse::<ReceiptId>().is_err());
    }
}
