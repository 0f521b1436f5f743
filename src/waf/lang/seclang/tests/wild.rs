//! No text makes the importer panic, and what comes in loads.

use proptest::prelude::*;

use super::try_import;
use crate::waf::{Engine, Settings};

/// Pieces of SecLang that tests take apart and put together.
const PIECES: &[&str] = &[
    "SecRule ",
    "SecAction ",
    "SecMarker ",
    "SecDefaultAction ",
    "Include ",
    "SecRuleUpdateTargetById ",
    "SecRuleRemoveById ",
    "SecRuleUpdateActionById ",
    "SecRuleEngine ",
    "ARGS",
    "|",
    "!",
    "&",
    "TX:'/",
    "/'",
    ":/",
    "/",
    "XML:/*",
    "XML://@*",
    "REQUEST_HEADERS:Host",
    "TX:level",
    "\"",
    "'",
    "\\",
    "\\\n",
    "\n",
    "#",
    ",",
    ":",
    ";",
    "=",
    " ",
    "@rx ",
    "@pm ",
    "@ge 5",
    "@lt 2",
    "@pmFromFile words.data",
    "@within %{tx.a}",
    "@ipMatch 1.2.3.4",
    "@validateByteRange 1-5",
    "(",
    ")",
    "[",
    "{2}",
    "*",
    "%{",
    "}",
    "tx.0",
    "\u{e4}",
    "\u{ff}",
    "id:1",
    "id:2",
    "phase:1",
    "phase:2",
    "pass",
    "deny",
    "block",
    "nolog",
    "chain",
    "capture",
    "t:none",
    "t:lowercase",
    "msg:'",
    "setvar:tx.a=+1",
    "setvar:'!tx.b'",
    "setvar:tx.level=1",
    "skipAfter:END",
    "skip:2",
    "END",
    "ctl:ruleRemoveById=1-9",
    "ctl:ruleRemoveTargetByTag=t;ARGS:/x/",
    "tag:t",
    "status:404",
    "redirect:http://x/",
    "initcol:ip=%{REMOTE_ADDR}",
    "expirevar:ip.a=5",
    "<IfModule x>",
    "-",
    "9",
    "|41 4",
    "\t",
    "\r\n",
    "\0",
];

/// A file that is right, in words that can be changed.
const RIGHT: &str = "SecAction \"id:1,phase:1,nolog,pass,setvar:tx.level=2\"\n\
    SecRule TX:LEVEL \"@lt 2\" \"id:2,phase:1,nolog,pass,skipAfter:END\"\n\
    SecRule ARGS|!ARGS:/x|y/|XML:/*|&TX:'/a/' \"@rx (a)%{tx.0}\" \\\n  \"id:3,phase:1,block,capture,\\\n  # no\n \
    msg:'it\\'s, %{MATCHED_VAR}',tag:'t',t:none,t:urlDecodeUni,setvar:'tx.s=+%{tx.level}',chain\"\n \
    SecRule TX:1 \"!@within %{tx.s}\" \"ctl:ruleRemoveTargetById=4;ARGS:q\"\nSecMarker END\n\
    SecRule ARGS \"@pm a |42 43|\" \"id:4,phase:2,deny,status:404,multiMatch,skip:1\"\n\
    SecRuleUpdateTargetById 4 \"!ARGS:z\"\n";

fn check(conf: &str) -> Result<(), TestCaseError> {
    for skip in [false, true] {
        match try_import(conf, skip) {
            Err(errors) => prop_assert!(!errors.is_empty()),
            Ok(imported) => {
                let loaded = Engine::compile(&imported.sources, &Settings::default());
                prop_assert!(loaded.is_ok(), "{:#?}\n{:?}", loaded.err(), imported.sources);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_pieces_break_the_importer(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..60)) {
        check(&pieces.concat())?;
    }

    #[test]
    fn no_change_of_a_right_file_breaks_the_importer(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..4usize, proptest::sample::select(PIECES)), 1..5),
    ) {
        let mut text: Vec<char> = RIGHT.chars().collect();
        for (at, kind, piece) in edits {
            let at = at.index(text.len());
            match kind {
                0 => drop(text.remove(at)),
                1 => drop(text.splice(at..at, piece.chars())),
                2 => text.truncate(at.max(1)),
                _ => drop(text.splice(at..=at, piece.chars())),
            }
            if text.is_empty() {
                break;
            }
        }
        check(&text.into_iter().collect::<String>())?;
    }

    #[test]
    fn no_text_breaks_the_importer(text in ".{0,60}") {
        check(&text)?;
        check(&format!("SecRule {text}"))?;
        check(&format!("SecRule ARGS \"{text}\" \"id:1,{text}\""))?;
        check(&format!("SecRule ARGS:{text} \"@rx a\" \"id:1,setvar:{text},ctl:{text},msg:'{text}'\""))?;
    }
}

#[test]
fn the_right_file_is_right() {
    let imported = try_import(RIGHT, false).expect("nothing is wrong with it");
    assert_eq!((imported.counts.rules, imported.counts.chained, imported.counts.gates), (3, 1, 1));
}
