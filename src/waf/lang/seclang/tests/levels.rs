//! Paranoia gates: when they become levels, and when they must stay jumps.

use super::{compiled, imported, logged, text};
use crate::waf::Mode;

/// Rules of two levels and two phases, with what comes before them.
fn gated(before: &str) -> String {
    format!(
        r#"{before}
SecRule TX:LEVEL "@lt 1" "id:11,phase:1,pass,nolog,skipAfter:END"
SecRule TX:LEVEL "@lt 1" "id:12,phase:2,pass,nolog,skipAfter:END"
SecRule ARGS "@rx a" "id:21,phase:1,pass,msg:'one'"
SecRule TX:LEVEL "@lt 2" "id:13,phase:1,pass,nolog,skipAfter:END"
SecRule ARGS "@rx a" "id:22,phase:1,pass,msg:'two'"
SecRule ARGS "@rx a" "id:23,phase:2,pass,msg:'the gate of phase 2 is further down'"
SecRule TX:LEVEL "@lt 2" "id:14,phase:2,pass,nolog,skipAfter:END"
SecRule TX:LEVEL "@lt 3" "id:15,phase:1,pass,nolog,skipAfter:END"
SecRule ARGS "@rx a" "id:24,phase:2,pass,msg:'two'"
SecRule ARGS "@rx a" "id:25,phase:1,pass,msg:'three'"
SecMarker END
SecRule ARGS "@rx a" "id:26,phase:1,pass,msg:'always'"
"#
    )
}

const ONE: &str = "SecAction \"id:1,phase:1,nolog,pass,setvar:tx.level=1\"";
const TWO: &str = "SecAction \"id:1,phase:1,nolog,pass,setvar:tx.level=2\"";

#[test]
fn a_certain_level_makes_levels_of_gates_per_phase() {
    for (before, level, gates, expect) in [
        (ONE, "\"paranoia_level\": 1", 5, &[21, 26, 23][..]),
        (TWO, "\"paranoia_level\": 2", 5, &[21, 22, 26, 23, 24]),
        (
            "SecRule &TX:level \"@eq 0\" \"id:1,phase:1,nolog,pass,setvar:tx.level=1\"",
            "\"paranoia_level\": 1",
            5,
            &[21, 26, 23],
        ),
    ] {
        let imported = imported(&gated(before));
        assert_eq!(imported.counts.gates, gates, "{before}");
        let engine = compiled(&imported, Mode::Detect);
        assert!(imported.sources.files[0].text.contains(level), "{before}");
        assert_eq!(logged(&engine, "GET /?q=a"), expect, "{before}");
        assert!(!text(&imported).contains("skip_after"), "{before}");
    }
    let both = format!("{TWO}\nSecRule &TX:level \"@eq 0\" \"id:2,phase:1,nolog,pass,setvar:tx.level=4\"");
    assert!(imported(&gated(&both)).sources.files[0].text.contains("\"paranoia_level\": 2"));
    let by_macro = "SecAction \"id:1,phase:1,nolog,pass,setvar:tx.blocking=1,setvar:tx.blocking=+1\"\n\
                    SecRule &TX:level \"@eq 0\" \"id:2,phase:1,nolog,pass,setvar:tx.level=%{TX.blocking}\"";
    assert!(imported(&gated(by_macro)).sources.files[0].text.contains("\"paranoia_level\": 2"));
}

#[test]
fn rules_keep_the_verdicts_that_jumps_gave_them() {
    // The same gates with a condition that the importer cannot see through.
    let opaque = |level: u8| {
        format!("SecRule REQUEST_METHOD \"@rx .\" \"id:1,phase:1,nolog,pass,setvar:tx.level={level}\"")
    };
    for level in 0..=4 {
        let plain = format!("SecAction \"id:1,phase:1,nolog,pass,setvar:tx.level={level}\"");
        let (static_set, jumping) = (imported(&gated(&plain)), imported(&gated(&opaque(level))));
        assert_eq!(jumping.counts.gates, 0);
        assert_eq!(static_set.counts.gates, if level == 0 { 0 } else { 5 });
        let request = "GET /?q=a";
        let verdicts = |imported| logged(&compiled(imported, Mode::Detect), request);
        assert_eq!(verdicts(&static_set), verdicts(&jumping), "level {level}");
    }
}

#[test]
fn an_uncertain_level_leaves_jumps() {
    let conditional =
        "SecRule REMOTE_ADDR \"@ipMatch 10.0.0.0/8\" \"id:2,phase:1,nolog,pass,setvar:tx.level=4\"";
    for (what, conf) in [
        ("nobody sets it", gated("")),
        ("a condition sets it", gated(&format!("{ONE}\n{conditional}"))),
        ("a condition sets it behind the gates", gated(ONE) + conditional),
        ("a later phase sets it", gated(ONE) + "SecAction \"id:2,phase:5,pass,setvar:tx.level=4\""),
        ("it is set behind the gates", gated("") + ONE),
        (
            "a name with a macro may be it",
            gated(&format!(
                "{ONE}\nSecRule ARGS \"@rx .\" \"id:2,phase:2,pass,setvar:tx.le%{{MATCHED_VAR}}=4\""
            )),
        ),
        (
            "what it is set to is not known",
            gated("SecAction \"id:1,phase:1,nolog,pass,setvar:tx.level=%{REQUEST_HEADERS.Level}\""),
        ),
        (
            "its source is changed by a condition",
            gated(
                "SecAction \"id:1,phase:1,nolog,pass,setvar:tx.from=1\"\n\
                 SecRule ARGS \"@rx .\" \"id:2,phase:1,nolog,pass,setvar:tx.from=4\"\n\
                 SecAction \"id:3,phase:1,nolog,pass,setvar:tx.level=%{tx.from}\"",
            ),
        ),
        (
            "a jump goes over it",
            gated(&format!(
                "SecRule ARGS \"@rx b\" \"id:2,phase:1,nolog,pass,skipAfter:OVER\"\n{ONE}\nSecMarker OVER"
            )),
        ),
        (
            "a skip goes over it",
            gated(&format!("SecRule ARGS \"@rx b\" \"id:2,phase:1,nolog,pass,skip:1\"\n{ONE}")),
        ),
        (
            "the phase may be left before",
            gated(&format!("SecRule ARGS \"@rx b\" \"id:2,phase:1,nolog,allow:phase\"\n{ONE}")),
        ),
        (
            "its rule may be taken out",
            gated(&format!("SecRule ARGS \"@rx b\" \"id:2,phase:1,nolog,pass,ctl:ruleRemoveById=1\"\n{ONE}")),
        ),
        ("it is no level", gated("SecAction \"id:1,phase:1,nolog,pass,setvar:tx.level=7\"")),
    ] {
        let imported = imported(&conf);
        assert_eq!(imported.counts.gates, 0, "{what}");
        assert!(text(&imported).contains("skip_after"), "{what}");
        compiled(&imported, Mode::Detect);
    }
}

#[test]
fn what_is_no_plain_gate_stays() {
    for (what, gate) in [
        ("turned round", "SecRule TX:LEVEL \"!@lt 2\" \"id:5,phase:1,pass,nolog,skipAfter:END\""),
        ("another comparison", "SecRule TX:LEVEL \"@le 2\" \"id:5,phase:1,pass,nolog,skipAfter:END\""),
        ("it logs", "SecRule TX:LEVEL \"@lt 2\" \"id:5,phase:1,pass,log,skipAfter:END\""),
        ("it stops", "SecRule TX:LEVEL \"@lt 2\" \"id:5,phase:1,deny,nolog,skipAfter:END\""),
        ("it sets", "SecRule TX:LEVEL \"@lt 2\" \"id:5,phase:1,pass,nolog,setvar:tx.a=1,skipAfter:END\""),
        (
            "a chain",
            "SecRule TX:LEVEL \"@lt 2\" \"id:5,phase:1,pass,nolog,chain,skipAfter:END\"\nSecRule ARGS \"@rx .\"",
        ),
        ("no marker", "SecRule TX:LEVEL \"@lt 2\" \"id:5,phase:1,pass,nolog,skipAfter:NOWHERE\""),
        ("a level that there is not", "SecRule TX:LEVEL \"@lt 9\" \"id:5,phase:1,pass,nolog,skipAfter:END\""),
        (
            "there is a way in",
            "SecRule ARGS \"@rx b\" \"id:6,phase:1,pass,nolog,skipAfter:IN\"\n\
             SecRule TX:LEVEL \"@lt 2\" \"id:5,phase:1,pass,nolog,skipAfter:END\"\nSecMarker IN",
        ),
    ] {
        let conf = format!("{ONE}\n{gate}\nSecRule ARGS \"@rx a\" \"id:7,phase:1,pass\"\nSecMarker END");
        let imported = imported(&conf);
        assert_eq!(imported.counts.gates, 0, "{what}");
        compiled(&imported, Mode::Detect);
    }
}
