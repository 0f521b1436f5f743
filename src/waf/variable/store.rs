//! The values of one exchange: one growing buffer and spans in it.

use super::Collection;
use crate::waf::decode::Origin;

/// A piece of the buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// The part of this span at these offsets in it.
    pub fn part(self, range: &std::ops::Range<usize>) -> Span {
        Span { start: self.start + range.start.min(self.len()), end: self.start + range.end.min(self.len()) }
    }
}

/// One value with the key it has in its collection (empty where there are no keys).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    pub collection: Collection,
    pub key: Span,
    pub value: Span,
    /// Set for what another value decodes to.
    pub origin: Option<Origin>,
    /// The numbers of what this one decodes to, from and up to, once somebody asked.
    pub children: Option<(u32, u32)>,
}

/// Filled phase by phase; nothing is taken out before the exchange ends.
#[derive(Debug)]
pub(crate) struct Store {
    pub bytes: Vec<u8>,
    pub values: Vec<Value>,
    /// The values of each collection in order of arrival.
    pub index: [Vec<u32>; Collection::COUNT],
    /// How many decoded values there are, and how many bytes they have.
    pub decoded: usize,
    pub decoded_bytes: usize,
    pub limits: Undecoded,
}

/// Why something was looked at as it stands that may be the encoded form of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Undecoded {
    /// A value was too long.
    pub long_values: bool,
    /// The exchange had as many decoded values, or bytes of them, as one may have.
    pub candidates: bool,
}

/// The most digits that a number has.
pub(crate) const DIGITS: usize = 20;

/// A number as text. Some ten of them per exchange: written here, they cost a third of what
/// formatting does.
pub(crate) fn digits(number: u64, room: &mut [u8; DIGITS]) -> &[u8] {
    let mut first = room.len();
    let mut rest = number;
    loop {
        first -= 1;
        room[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    &room[first..]
}

impl Default for Store {
    fn default() -> Store {
        Store {
            bytes: Vec::new(),
            values: Vec::new(),
            index: [const { Vec::new() }; Collection::COUNT],
            decoded: 0,
            decoded_bytes: 0,
            limits: Undecoded::default(),
        }
    }
}

impl Store {
    /// Copies bytes in.
    pub fn keep(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span { start, end: self.bytes.len() }
    }

    pub fn get(&self, span: Span) -> &[u8] {
        &self.bytes[span.start..span.end]
    }

    pub fn add(&mut self, collection: Collection, key: Span, value: Span) {
        // Bodies are bounded far below four thousand million values.
        self.index[collection as usize].push(self.values.len() as u32);
        self.values.push(Value { collection, key, value, origin: None, children: None });
    }

    /// What a value of the collection decodes to. It is not counted among the collection's values.
    pub fn add_decoded(&mut self, collection: Collection, key: Span, value: Span, origin: Origin) {
        self.decoded += 1;
        self.decoded_bytes += value.len();
        self.values.push(Value { collection, key, value, origin: Some(origin), children: None });
    }

    /// The number of the value that the first layer was taken from.
    pub fn root(&self, number: u32) -> u32 {
        self.values[number as usize].origin.map_or(number, |origin| origin.root)
    }

    /// A value as it came, before any decoding.
    pub fn raw(&self, number: u32) -> Span {
        self.values[self.root(number) as usize].value
    }

    /// Copies one value in, without a key.
    pub fn add_bytes(&mut self, collection: Collection, value: &[u8]) {
        let value = self.keep(value);
        self.add(collection, Span::default(), value);
    }

    /// Writes a text in.
    pub fn keep_text(&mut self, text: std::fmt::Arguments) -> Span {
        use std::io::Write;
        let start = self.bytes.len();
        // Writing to a vector cannot fail.
        let _ = self.bytes.write_fmt(text);
        Span { start, end: self.bytes.len() }
    }

    /// Writes a number in.
    pub fn keep_number(&mut self, number: u64) -> Span {
        let mut room = [0; DIGITS];
        self.keep(digits(number, &mut room))
    }

    pub fn add_number(&mut self, collection: Collection, number: u64) {
        let span = self.keep_number(number);
        self.add(collection, Span::default(), span);
    }

    /// The values of a collection.
    pub fn of(&self, collection: Collection) -> impl Iterator<Item = (u32, &Value)> + '_ {
        self.index[collection as usize].iter().map(|&at| (at, &self.values[at as usize]))
    }

    pub fn first(&self, collection: Collection) -> Option<&[u8]> {
        self.of(collection).next().map(|(_, value)| self.get(value.value))
    }

    /// Empties the store and gives back memory that a large body took.
    pub fn clear(&mut self) {
        const KEPT: usize = 64 * 1024;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.values.clear();
        self.decoded = 0;
        self.decoded_bytes = 0;
        self.limits = Undecoded::default();
        self.values.shrink_to(1024);
        for list in &mut self.index {
            list.clear();
            list.shrink_to(256);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 7, 10, 443, 65_535, 4_294_967_296, u64::MAX] {
            let mut store = Store::default();
            store.add_number(Collection::ServerPort, number);
            assert_eq!(store.first(Collection::ServerPort), Some(number.to_string().as_bytes()));
        }
    }
}
