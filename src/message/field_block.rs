//! A field block's shape (RFC 7541 section 6), without what it says: whether its representations are whole, and
//! whether one of them names a pseudo-field. Without a header table a name that is only an index into the dynamic
//! part of it stays unknown.

/// It cannot be decoded by anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad;

/// The reader of one block, which may come in any pieces.
#[derive(Debug, Default)]
pub struct FieldBlock {
    step: Step,
    pseudo: bool,
}

/// What a number says.
#[derive(Clone, Copy, Debug)]
enum Number {
    Indexed,
    /// The index of a literal's name; 0 when the name follows.
    Literal,
    TableSize,
    Length(Text),
}

#[derive(Clone, Copy, Debug)]
enum Text {
    Name { huffman: bool },
    Value,
}

#[derive(Clone, Copy, Debug, Default)]
enum Step {
    #[default]
    Field,
    /// The rest of a number that did not fit into its first byte.
    Number {
        what: Number,
        value: usize,
        shift: u32,
    },
    Length(IsName),
    FirstOfName {
        huffman: bool,
        left: usize,
    },
    Skip {
        left: usize,
        behind: IsName,
    },
}

type IsName = bool;

/// Indices of pseudo-fields in the static table (RFC 7541 appendix A).
const PSEUDO: std::ops::RangeInclusive<usize> = 1..=14;

impl FieldBlock {
    pub fn read(&mut self, mut bytes: &[u8]) -> Result<(), Bad> {
        while let [byte, rest @ ..] = bytes {
            bytes = rest;
            match self.step {
                Step::Field => self.field(*byte)?,
                Step::Number { what, value, shift } => {
                    // Five bytes of it are more than any length or index that anybody takes.
                    if shift > 28 {
                        return Err(Bad);
                    }
                    let value = value + (usize::from(byte & 0x7f) << shift);
                    if byte & 0x80 == 0 {
                        self.number(what, value)?;
                    } else {
                        self.step = Step::Number { what, value, shift: shift + 7 };
                    }
                }
                Step::Length(is_name) => {
                    let huffman = byte & 0x80 != 0;
                    let text = if is_name { Text::Name { huffman } } else { Text::Value };
                    self.begin(*byte, 7, Number::Length(text))?;
                }
                Step::FirstOfName { huffman, left } => {
                    // A colon is 1011100 in Huffman's code (RFC 7541 appendix B).
                    self.pseudo |= if huffman { byte >> 1 == 0x5c } else { *byte == b':' };
                    self.skip(left - 1, true);
                }
                Step::Skip { left, behind } => {
                    let here = (left - 1).min(bytes.len());
                    bytes = &bytes[here..];
                    self.skip(left - 1 - here, behind);
                }
            }
        }
        Ok(())
    }

    /// Nothing is under way.
    pub fn is_whole(&self) -> bool {
        matches!(self.step, Step::Field)
    }

    pub fn has_pseudo(&self) -> bool {
        self.pseudo
    }

    fn field(&mut self, byte: u8) -> Result<(), Bad> {
        match byte {
            0x80.. => self.begin(byte, 7, Number::Indexed),
            0x40.. => self.begin(byte, 6, Number::Literal),
            0x20.. => self.begin(byte, 5, Number::TableSize),
            _ => self.begin(byte, 4, Number::Literal),
        }
    }

    /// RFC 7541 section 5.1.
    fn begin(&mut self, byte: u8, bits: u32, what: Number) -> Result<(), Bad> {
        let most = (1usize << bits) - 1;
        let value = usize::from(byte) & most;
        if value < most {
            return self.number(what, value);
        }
        self.step = Step::Number { what, value, shift: 0 };
        Ok(())
    }

    fn number(&mut self, what: Number, value: usize) -> Result<(), Bad> {
        match what {
            Number::Indexed if value == 0 => return Err(Bad),
            Number::Indexed => {
                self.pseudo |= PSEUDO.contains(&value);
                self.step = Step::Field;
            }
            Number::Literal => {
                self.pseudo |= PSEUDO.contains(&value);
                self.step = Step::Length(value == 0);
            }
            Number::TableSize => self.step = Step::Field,
            Number::Length(Text::Name { huffman }) if value > 0 => {
                self.step = Step::FirstOfName { huffman, left: value };
            }
            Number::Length(Text::Name { .. }) => self.step = Step::Length(false),
            Number::Length(Text::Value) => self.skip(value, false),
        }
        Ok(())
    }

    fn skip(&mut self, left: usize, behind: IsName) {
        self.step = match (left, behind) {
            (0, true) => Step::Length(false),
            (0, false) => Step::Field,
            _ => Step::Skip { left, behind },
        };
    }
}
