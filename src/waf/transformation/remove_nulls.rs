//! `remove_nulls` takes NUL bytes out; `replace_nulls` puts a space in their place.
//!
//! Example: `"transformations": ["remove_nulls"]` turns `sel\0ect` into `select`.

use memchr::memchr;

use crate::waf::bytes::ByteSet;

use super::Transformation;

pub(super) static REMOVE_NULLS: Transformation =
    Transformation { name: "remove_nulls", apply: remove, triggers: ByteSet::of(b"\0") };

pub(super) static REPLACE_NULLS: Transformation =
    Transformation { name: "replace_nulls", apply: replace, triggers: ByteSet::of(b"\0") };

fn remove(value: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = memchr(0, value) else { return false };
    out.clear();
    out.extend_from_slice(&value[..first]);
    out.extend(value[first..].iter().filter(|&&byte| byte != 0));
    true
}

fn replace(value: &[u8], out: &mut Vec<u8>) -> bool {
    if memchr(0, value).is_none() {
        return false;
    }
    out.clear();
    out.extend(value.iter().map(|&byte| if byte == 0 { b' ' } else { byte }));
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn nulls_go_or_become_spaces() {
        check("remove_nulls", &[(b"", b""), (b"a b", b"a b"), (b"\0", b""), (b"\0a\0\0b\0", b"ab")]);
        check("replace_nulls", &[(b"", b""), (b"a b", b"a b"), (b"\0", b" "), (b"\0a\0\0b\0", b" a  b ")]);
    }
}
