//! `normalise_path`: empty segments, `.` and `..` are resolved. A path from the root does not
//! climb above it; a relative one keeps the `..` it begins with. A slash at the end stays if
//! there was one. `normalise_path_win` reads backslashes as slashes first. Both also go by
//! `normalize_...`. Unlike in ModSecurity, a segment that only ends in `..` is an ordinary one.
//!
//! Example: `"transformations": ["normalise_path"]` turns `/a/./b//../etc` into `/a/etc`.

use crate::waf::bytes::ByteSet;

use super::Transformation;

pub(super) static NORMALISE_PATH: Transformation =
    Transformation { name: "normalise_path", apply: unix, triggers: ByteSet::of(b"./") };

pub(super) static NORMALISE_PATH_WIN: Transformation =
    Transformation { name: "normalise_path_win", apply: windows, triggers: ByteSet::of(b"./\\") };

fn unix(value: &[u8], out: &mut Vec<u8>) -> bool {
    if NORMALISE_PATH.triggers.find(value).is_none() {
        return false;
    }
    normalise(value, |byte| byte == b'/', out);
    out != value
}

fn windows(value: &[u8], out: &mut Vec<u8>) -> bool {
    if NORMALISE_PATH_WIN.triggers.find(value).is_none() {
        return false;
    }
    normalise(value, |byte| byte == b'/' || byte == b'\\', out);
    out != value
}

fn normalise(value: &[u8], is_slash: impl Fn(u8) -> bool + Copy, out: &mut Vec<u8>) {
    out.clear();
    let rooted = value.first().is_some_and(|&byte| is_slash(byte));
    let trailing = value.last().is_some_and(|&byte| is_slash(byte));
    if rooted {
        out.push(b'/');
    }
    // Everything before `floor` is out of reach of `..`: the root, or leading `..` segments.
    let mut floor = out.len();
    for segment in value.split(|&byte| is_slash(byte)) {
        match segment {
            b"" | b"." => {}
            b".." if out.len() > floor => {
                let cut = out[floor..].iter().rposition(|&byte| byte == b'/').map_or(floor, |at| floor + at);
                out.truncate(cut);
            }
            b".." if rooted => {}
            segment => {
                if out.last().is_some_and(|&byte| byte != b'/') {
                    out.push(b'/');
                }
                out.extend_from_slice(segment);
                if segment == b".." {
                    floor = out.len();
                }
            }
        }
    }
    if trailing && out.last().is_some_and(|&byte| byte != b'/') {
        out.push(b'/');
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn dots_and_empty_segments_resolve() {
        check(
            "normalise_path",
            &[
                (b"", b""),
                (b"/", b"/"),
                (b"a", b"a"),
                (b"/a/b", b"/a/b"),
                (b"/a/./b//../etc", b"/a/etc"),
                (b"//a///b/", b"/a/b/"),
                (b"/../../etc/passwd", b"/etc/passwd"),
                (b"/..", b"/"),
                (b"/a/..", b"/"),
                (b"/a/b/..", b"/a"),
                (b"/a/b/../", b"/a/"),
                (b"a/..", b""),
                (b"a/../b", b"b"),
                (b"./a", b"a"),
                (b"../a/../../b", b"../../b"),
                (b"../..", b"../.."),
                (b"a/../../b", b"../b"),
                (b".", b""),
                (b"./", b""),
                (b"...", b"..."),
                (b"a../b", b"a../b"),
                (b"/a/..b/.c", b"/a/..b/.c"),
                (b"a\\..\\b", b"a\\..\\b"),
                (b"/\0/../etc", b"/etc"),
                (b"http://a.b/../c", b"http:/c"),
            ],
        );
    }

    #[test]
    fn the_windows_form_reads_backslashes_too() {
        check(
            "normalise_path_win",
            &[
                (b"", b""),
                (b"a\\..\\b", b"b"),
                (b"\\a\\.\\b/../c", b"/a/c"),
                (b"..\\..\\boot.ini", b"../../boot.ini"),
                (b"c:\\windows\\", b"c:/windows/"),
            ],
        );
        check("normalize_path", &[(b"/a/../b", b"/b")]);
        check("normalize_path_win", &[(b"\\a", b"/a")]);
    }
}
