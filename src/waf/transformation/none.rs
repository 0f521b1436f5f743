//! `none`: nothing happens. Rules taken over from elsewhere begin their lists with it; a list
//! that only holds `none` means the value as it is.

use crate::waf::bytes::ByteSet;

use super::Transformation;

pub(super) static NONE: Transformation =
    Transformation { name: "none", apply: |_, _| false, triggers: ByteSet::EMPTY };

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn every_value_stays() {
        check("none", &[(b"", b""), (b" %41\\x41\0", b" %41\\x41\0")]);
    }
}
