//! What a style sheet or `style` attribute runs: `expression()`, bindings, behaviours and script URLs of older
//! browsers, also when hidden by comments and CSS escapes.

/// More of a style is not looked at.
const LONGEST: usize = 2048;

/// The construct that runs script, if there is one.
pub(super) fn runs(css: &[u8]) -> Option<&'static str> {
    const RUN: &[(&str, &str)] = &[
        ("-moz-binding:", "-moz-binding"),
        ("binding:url(http", "binding"),
        ("behavior:url(", "behavior"),
        ("behaviour:url(", "behavior"),
        ("javascript:", "javascript:"),
        ("vbscript:", "vbscript:"),
        ("-o-link:", "-o-link"),
        ("@import'data:", "@import"),
        ("@import\"data:", "@import"),
        ("@importurl(data:", "@import"),
        ("expression(", "expression("),
        ("[value^=", "reads a field"),
        ("url(data:text/html", "data:"),
    ];
    let css = &css[..css.len().min(LONGEST)];
    let plain = plain(css);
    let (mark, name) =
        RUN.iter().find(|(mark, _)| memchr::memmem::find(&plain, mark.as_bytes()).is_some())?;
    // Word writes `v\:* {behavior:url(#default#VML);}` at the head of each document.
    let reads = *name == "reads a field" && memchr::memmem::find(&plain, b"url(").is_none();
    let words =
        *name == "behavior" && memchr::memmem::find(&plain, b"*{behavior:url(#default#vml)").is_some();
    // `regular expression (...)` is no CSS: the function stands behind a colon.
    let function = *mark != "expression(" || {
        let at = memchr::memmem::find(&plain, b"expression(").unwrap_or(0);
        plain[..at].iter().rev().take(24).any(|byte| matches!(byte, b':' | b'{'))
    };
    (!words && !reads && function).then_some(*name)
}

/// The text of a `style` attribute ends a rule or opens one, which no attribute has; the braces of templates come
/// in pairs.
pub(super) fn leaves_attribute(css: &[u8]) -> bool {
    let brace = |at: usize| {
        let near = [at.checked_sub(1).and_then(|at| css.get(at)), css.get(at + 1)];
        let before = near[0].copied();
        !near.contains(&Some(&css[at])) && !matches!(before, Some(b'$' | b'#' | b'%'))
    };
    let template = css.contains(&b'$')
        || memchr::memmem::find(css, b"{{").is_some()
        || css.contains(&b'%') && css.contains(&b'{');
    !template && memchr::memchr2_iter(b'{', b'}', css).any(brace) && css.contains(&b':')
}

/// Without comments, blanks and control characters, and with escapes resolved.
fn plain(css: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(css.len());
    let mut at = 0;
    while at < css.len() {
        let rest = &css[at..];
        match rest[0] {
            b'/' if rest.starts_with(b"/*") => {
                at += memchr::memmem::find(&rest[2..], b"*/").map_or(2, |end| end + 4);
            }
            0..=b' ' | 0x7f => at += 1,
            // Wide blanks, which old browsers skipped as well: all of U+2000 to U+2FFF and U+FEFF.
            0xe2 | 0xef if rest.len() > 2 => at += 3,
            b'\\' => {
                let digits = rest[1..].iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
                let number = rest[1..=digits]
                    .iter()
                    .fold(0u32, |number, &digit| number * 16 + char::from(digit).to_digit(16).unwrap_or(0));
                if digits >= 2 {
                    plain.push(u8::try_from(number).unwrap_or(b'?').to_ascii_lowercase());
                    at += 1 + digits + usize::from(rest.get(1 + digits) == Some(&b' '));
                } else {
                    at += 1;
                }
            }
            byte => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    plain
}
