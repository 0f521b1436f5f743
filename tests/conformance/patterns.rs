//! Expressions of PCRE and what the importer makes of them, held against PCRE2 itself: the same
//! matches and the same groups on every input. Expressions are those of the Core Rule Set and a
//! list of our own with one of each construct; inputs are the requests of its regression tests and
//! mutants of them.

use std::collections::BTreeSet;
use std::fs;

use pcre2::bytes::{Regex, RegexBuilder};
use portward::waf::lang::seclang::pattern::rewrite;
use portward::waf::operator::{self, Operator};

use crate::support;

/// The meaning taken: PCRE's DOTALL and DOLLAR_ENDONLY. The binding has no name for the second, so
/// a `$` that no line mode changes is written as what it then means.
fn reference(pattern: &str) -> Result<Regex, String> {
    let mut text = String::with_capacity(pattern.len());
    let (mut characters, mut class) = (pattern.chars().peekable(), false);
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                text.push(character);
                text.extend(characters.next());
                continue;
            }
            '[' if !class => {
                class = true;
                text.push(character);
                text.extend(characters.next_if_eq(&'^'));
                text.extend(characters.next_if_eq(&']'));
                continue;
            }
            ']' => class = false,
            '$' if !class && !pattern.contains("(?m") => {
                text.push_str("\\z");
                continue;
            }
            _ => {}
        }
        text.push(character);
    }
    RegexBuilder::new().dotall(true).jit_if_available(true).build(&text).map_err(|error| error.to_string())
}

/// Where the reference matches: the groups 1 to 9, empty when they took no part.
fn expected(regex: &Regex, input: &[u8]) -> Result<Option<Vec<Vec<u8>>>, pcre2::Error> {
    let Some(found) = regex.captures(input)? else { return Ok(None) };
    let text = |group: usize| found.get(group).map(|text| text.as_bytes().to_vec()).unwrap_or_default();
    Ok(Some((1..found.len().min(10)).map(text).collect()))
}

fn found(operator: &dyn Operator, input: &[u8]) -> Option<Vec<Vec<u8>>> {
    let hit = operator.evaluate(input)?;
    assert!(
        operator.need().may_match(input),
        "{} misses {:?}",
        operator.describe(),
        input.escape_ascii().to_string()
    );
    Some(hit.captures.iter().map(|range| input[range.clone()].to_vec()).collect())
}

/// The expressions of the rules, by rule file and order.
fn rules() -> Vec<String> {
    let line = regex::Regex::new(r#""!?@rx ((?:[^"\\]|\\.)*)""#).expect("it is constant");
    let mut all = BTreeSet::new();
    for file in support::files(&support::data("modsecurity-crs/rules"), "conf") {
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for rule in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            all.extend(line.captures_iter(rule).map(|found| found[1].replace("\\\"", "\"")));
        }
    }
    all.into_iter().collect()
}

/// The values of the regression tests, as written and with %HH decoded, and mutants of them.
fn inputs() -> Vec<Vec<u8>> {
    let mut all = BTreeSet::new();
    let tests = support::data("modsecurity-crs/tests/regression/tests");
    let mut folders = vec![tests];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a folder that opens can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "yaml") {
                let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                for line in text.split(|&byte| byte == b'\n') {
                    values(line, &mut all);
                }
            }
        }
    }
    let real: Vec<Vec<u8>> = all.into_iter().collect();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mutants: Vec<Vec<u8>> = (0..6_000).map(|_| mutant(&real, &mut dice)).collect();
    [real, mutants].concat()
}

fn values(line: &[u8], all: &mut BTreeSet<Vec<u8>>) {
    let value = match line.iter().position(|&byte| byte == b':') {
        Some(colon) => &line[colon + 1..],
        None => line,
    };
    let value = value
        .trim_ascii()
        .strip_prefix(b"\"")
        .map_or(value.trim_ascii(), |v| v.strip_suffix(b"\"").unwrap_or(v));
    for part in value.split(|&byte| byte == b'&').chain([value]) {
        let part = part
            .split(|&byte| byte == b'=')
            .next_back()
            .map_or(part, |last| if last.is_empty() { part } else { last });
        all.insert(part.to_vec());
        all.insert(percent_encoding::percent_decode(&part.replace_plus()).collect());
    }
}

trait Plus {
    fn replace_plus(&self) -> Vec<u8>;
}

impl Plus for [u8] {
    fn replace_plus(&self) -> Vec<u8> {
        self.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect()
    }
}

/// A small generator (xorshift); the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides.max(1) as u64).expect("it is below a usize")
    }
}

/// One of the real values, with bytes put in, changed, doubled and taken out.
fn mutant(real: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    const BYTES: &[u8] = b" \t\n\r\x0b\x0c\0\x85\xa0\xff'\"`()[]{}<>=&;|-_~!?*+$^.,/\\abcxyzABC0123459";
    let mut value = real[dice.roll(real.len())].clone();
    for _ in 0..1 + dice.roll(4) {
        let at = dice.roll(value.len() + 1);
        match dice.roll(4) {
            0 => value.insert(at, BYTES[dice.roll(BYTES.len())]),
            1 if at < value.len() => value[at] = BYTES[dice.roll(BYTES.len())],
            2 if at < value.len() => {
                value.remove(at);
            }
            _ => {
                let other = &real[dice.roll(real.len())];
                let from = dice.roll(other.len() + 1);
                let piece = other[from..].iter().take(12).copied().collect::<Vec<_>>();
                value.splice(at..at, piece);
            }
        }
    }
    value
}

/// Holds one expression against the reference. `None` when the reference refuses it as well.
fn compare(pattern: &str, inputs: &[Vec<u8>]) -> Result<(), String> {
    let reference = reference(pattern);
    let rewritten = rewrite(pattern);
    let (reference, rewritten) = match (reference, rewritten) {
        (Ok(reference), Ok(rewritten)) => (reference, rewritten),
        (Err(_), Err(_)) => return Ok(()),
        (Ok(_), Err(refusal)) => return Err(format!("refused: {refusal}")),
        (Err(error), Ok(rewritten)) => {
            return Err(format!("PCRE refuses it: {error}; taken as {rewritten:?}"));
        }
    };
    let operator = operator::build("rx", &rewritten.argument(), &Default::default())
        .map_err(|error| format!("{error}; from {rewritten:?}"))?;
    let mut different = Vec::new();
    for input in inputs {
        let Ok(expected) = expected(&reference, input) else { continue };
        let found = found(&*operator, input);
        let same = match (&expected, &found) {
            (Some(expected), Some(found)) => {
                let groups = expected.len().max(found.len());
                (0..groups).all(|at| {
                    let group = |list: &Vec<Vec<u8>>| list.get(at).cloned().unwrap_or_default();
                    group(expected) == group(found)
                })
            }
            (expected, found) => expected.is_some() == found.is_some(),
        };
        if !same {
            different.push(format!("{}: {} and not {}", input.escape_ascii(), told(&found), told(&expected)));
        }
    }
    if different.is_empty() {
        return Ok(());
    }
    let shown = different.iter().take(5).map(|line| format!("\n    {line}")).collect::<String>();
    Err(format!("{} of {} inputs, with {:?}:{shown}", different.len(), inputs.len(), rewritten))
}

fn told(groups: &Option<Vec<Vec<u8>>>) -> String {
    match groups {
        None => "no match".to_owned(),
        Some(groups) => {
            let groups: Vec<String> = groups.iter().map(|group| group.escape_ascii().to_string()).collect();
            format!("a match with {groups:?}")
        }
    }
}

#[test]
fn the_expressions_of_the_core_rule_set_match_what_pcre_matches() {
    let (rules, inputs) = (rules(), inputs());
    println!("{} expressions, {} inputs", rules.len(), inputs.len());
    assert!(inputs.len() >= 10_000, "{} inputs", inputs.len());
    let mut tally = support::Tally::new("pattern");
    for pattern in &rules {
        // A macro is an expression only when it has been expanded.
        if pattern.contains("%{") {
            continue;
        }
        let near = near(pattern, 300);
        tally.case(pattern.clone(), compare(pattern, &[&inputs[..], &near].concat()));
    }
    tally.finish(230);
}

/// Texts of the expression's own characters, which come nearer to matching than any request.
fn near(pattern: &str, count: usize) -> Vec<Vec<u8>> {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d ^ pattern.len() as u64);
    let letters: Vec<u8> = [pattern.as_bytes(), b" \n\taA1\xff"].concat();
    let pieces: Vec<&str> =
        pattern.split(|c: char| !c.is_ascii_alphanumeric()).filter(|piece| piece.len() > 1).collect();
    let text = |dice: &mut Dice| {
        let mut text = Vec::new();
        for _ in 0..dice.roll(12) {
            match dice.roll(3) {
                0 if !pieces.is_empty() => text.extend_from_slice(pieces[dice.roll(pieces.len())].as_bytes()),
                _ => text.push(letters[dice.roll(letters.len())]),
            }
        }
        text
    };
    (0..count).map(|_| text(&mut dice)).collect()
}

/// One of each construct, and what rules of other hands are like.
const OWN: &[&str] = &[
    r"(?!a.*b)\w",
    r"(?!a.*b)c",
    r"(a(?!b))[bc]",
    // Literals that the regex crate takes for something else.
    r"a{",
    r"a{b}",
    r"\{x",
    r"{1}{",
    r"x{2,}y{,3}z{1,2}",
    r"a{0}b",
    r"[[]",
    r"[a[b]",
    r"[]a]+",
    r"[^]a]",
    r"[a\]b]",
    r"[a&&b]+",
    r"[a--b]",
    r"[~~a]",
    r"[a-z-9]",
    r"[\w-x]+",
    r"[a-\d]+",
    r"[+-]",
    r"[-a]",
    r"[a-]",
    r"\--9",
    r"\<a\>",
    r#"\"\'\;\@\%\-\/\ \,\:\=\!\#\&\~\`"#,
    r"a\/b",
    "\u{e4}+",
    "[\u{b4}\u{2019}]x",
    r"\x{bc}|\x{41}",
    r"[\x{bc}\xbe]",
    r"\xff\x0",
    r"\x",
    // Escapes.
    r"\a|\e|\f|\cA|\cz|\c[",
    r"\0|\01|\012|\0123",
    r"\101",
    r"[\101\08]",
    r"\o{101}",
    r"\v+",
    r"[\v\h]+",
    r"\V\H",
    r"[^\v]",
    r"[\V]",
    r"\R",
    r"\R\n",
    r"\Rx",
    r"a\R?b",
    r"\N+",
    r"\C",
    r"\h+\H",
    r"\s\S\d\D\w\W",
    r"[\s\S]",
    r"[\D\d]",
    r"[\b]",
    r"[\e\a]",
    r"\Qa.b[\E+",
    r"\Q\E*a|b",
    r"[\Qa-]\E]",
    r"a\Eb",
    r"\ba\b|\Ba",
    // Places.
    r"^a$",
    r"\Aa\z",
    r"a\Z",
    r"a\Z|b",
    r"(a\Z)",
    r"\Ga",
    r"$",
    r"^",
    r"\b+a",
    r"^*a",
    r"(?:^|;)a",
    r"a(?:$|;)",
    r"(?m)^a.*$",
    r"(?m)a$\n",
    r"(?m:^)b",
    r"[[:<:]]a",
    r"a[[:>:]]",
    // Flags.
    r"(?i)ab|c",
    r"a(?i)b|c",
    r"a(?i:b)c",
    r"(?i)a(?-i)b",
    r"((?i)a)b",
    r"(?s).a",
    r"(?-s).a",
    r"(?-s:.+)b.",
    r"(?x) a b # c",
    r"(?x: a [ ] b )c d",
    "(?x)a # x\n b",
    r"(?xx)[a b]",
    r"(?i)[^a]",
    r"(?i)[a-f]+",
    r"(?i)[[:lower:]]",
    r"(?U)a+b",
    r"(?U)a+?b",
    r"(?#no)a(?# )b",
    r"(?^)a.b",
    r"(?i-s)A.",
    // Classes of POSIX.
    r"[[:alpha:][:digit:]]+",
    r"[[:^space:]]",
    r"[^[:punct:]]",
    r"[[:word:]]+",
    r"[[:print:]]+",
    r"[[:cntrl:]]",
    r"[[:graph:]]+",
    r"[[:xdigit:]]+",
    r"[[:blank:]]",
    r"[[:ascii:]]+$",
    r"[[:upper:]]",
    r"[a[:digit:]b]",
    // Groups.
    r"(a)|(b)(c)",
    r"(?P<x>a)b",
    r"(?<x>a)b",
    r"(?'x'a)b",
    r"(a|ab)(c|bcd)(d*)",
    r"(|a)b",
    r"(a||b)c",
    r"()a",
    r"(?:)a",
    r"(a*)*b",
    r"(a|b)*c",
    r"(?:(a)|b)*",
    r"((a)(b)?)+",
    r"a??b",
    r"(a+?)(a*)",
    r"(?:a|ab){2,3}c",
    // Possessive and atomic.
    r"a++b",
    r"a*+b",
    r"a*+a",
    r"\s*+[^;]x",
    r"\w++\d",
    r"a++",
    r"(a*+)(b)",
    r"[ab]*+b?c",
    r"(?:a*+b|a*+c)",
    r"x*+(?:xy|z)",
    r"\d++(?:\.\d++)?x",
    r"(?>a+)b",
    r"(?>a|ab)c",
    r"(?>ab|a)bc",
    r"(?>abc|ab|a)c",
    r"(?>\w+)1",
    r"(?:\s*+,\s*+[^,]+)*x",
    r"a?+ab",
    r"[^>]*+>",
    // Look-ahead.
    r"<\?(?!xml)",
    r"<(?!br)",
    r"a(?=b)",
    r"a(?=b)b",
    r"a(?!b)[a-c]",
    r"(?!a)\w+",
    r"(?!ab)\w+",
    r"(?!abc)\w+;",
    r"x(?!y)(z|y)",
    r"x(?!y)y?z",
    r"a(?!\s*=)",
    r"a(?!\s*=)b",
    r"(?i)script(?!able\b)",
    r"(?i)a(?!b)[A-Z]",
    r"select(?!ed|ion)\b",
    r"select(?!ed|ion)\w*",
    r"(?=\d)\w+",
    r"(?=[a-f])\w",
    r"\b(?!and\b)\w+",
    r"^(?!GET|POST)",
    r"^(?!GET$|POST$)\w+$",
    r"^(?!.*\.\.).*$",
    r"^(?=.*\d)(?=.*[a-z]).{4,}$",
    r"^(?!.*evil)a",
    r"(?i)^(?!.*EVIL)\w",
    r"^(?!(a)b)(\w)",
    r"a(?!$)",
    r"a(?=$)",
    r"a(?!)",
    r"a(?=)",
    r"(?:a(?!b)|c)d",
    r"(?:x|a(?!b))[bc]",
    r"(a(?!b))",
    r"=(?!=)",
    r"%(?![0-9a-fA-F]{2})",
    r"\.(?!jpg$|png$)\w+$",
    r"a(?!b|cd)[bc]d",
    r"&(?!(?:amp|lt);)",
    r"a(?![^;]*;)",
    // Look-behind.
    r"(?<!\w)a",
    r"(?<=\W)a",
    r"(?<!&amp);",
    r"(?<![a-z])b+",
    r"a(?<!b)c",
    r"[ab](?<!b)c",
    r"[ab]+(?<!b)c",
    r"(?<=a)b",
    r"x(?<=x)y",
    r"(?<!\\)'",
    r"(?<!ab|c)d",
    r"\w+(?<!\d)$",
    r"\w+(?<!ing)$",
    r".*(?<!\.txt)$",
    r"^(?<!a)b",
    r"(?i)(?<!a)b",
    r";(?<!&amp;)",
    // Words compared.
    r"\b(\w+)\b\s*=\s*\b\1\b",
    r"(?i)\b(\w+)\b\s*=\s*\b\1\b",
    r"(?i:\b([\w]+)\b ?(?:=|like) ?(?:\b\1\b))",
    r"(?i)\b(\d|\w)\b",
    r"\b(\w+)\b[<>](?!\b\1\b)\w+",
    r"(?P<w>\w)x",
    r"(a)?\b(\w+)\b=\b\2\b",
];

/// What has no linear form is refused by us alone.
const REFUSED: &[&str] = &[
    r"(?:a(?!b))*",
    r"(?:%(?![0-9a-f]{2}))+",
    r"(?i)(\w+)\s*=\s*\1",
    r"(a|b)\1",
    r"(['\x22]).*?\1",
    r"(?P<q>.)(?P=q)",
    r"(.)\g{-1}",
    r"(.)\k'q'",
    r"a(?=(b))",
    r"(?R)?",
    r"(a)(?1)",
    r"(?(1)a|b)",
    r"(?|a|b)",
    r"a\Kb",
    r"(*COMMIT)a",
    r"\p{L}",
    r"\X",
];

#[test]
fn every_construct_of_pcre_matches_what_pcre_matches() {
    let inputs: Vec<Vec<u8>> = inputs().into_iter().step_by(7).collect();
    let mut tally = support::Tally::new("construct");
    for pattern in OWN {
        let inputs = [near(pattern, 8_000), inputs.clone()].concat();
        tally.case((*pattern).to_owned(), compare(pattern, &inputs));
    }
    tally.finish(OWN.len());
}

#[test]
fn what_has_no_linear_form_is_refused_with_a_way_out() {
    for pattern in REFUSED {
        let refusal = rewrite(pattern).expect_err(pattern);
        println!("{pattern}: {refusal}");
        assert!(
            refusal.at >= 1 && refusal.at <= pattern.chars().count() && !refusal.help.is_empty(),
            "{refusal:?}"
        );
    }
}
