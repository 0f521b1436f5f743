//! Where importers go wrong: one test per trap.

use super::{compiled, engine, imported, logged, notes, outcome, refused, text, told, try_import};
use crate::waf::Mode;
use crate::waf::report::Disruption;

/// What `deny` and its kin come to.
fn stopped(conf: &str, request: &str) -> Option<(u32, Disruption)> {
    let engine = compiled(&imported(conf), Mode::Block);
    outcome(&engine, request, None).report.interruption.map(|found| (found.rule, found.action))
}

#[test]
fn errors_stand_in_the_file_with_line_column_and_help() {
    for (conf, expect) in [
        ("SecRule AGRS \"@rx a\" \"id:1\"", "t.conf:1:9: unknown variable `AGRS` (did you mean `ARGS`?)"),
        ("SecRule ARGS \"@rxx a\" \"id:1\"", "t.conf:1:15: unknown operator `rxx` (did you mean `rx`?)"),
        (
            "SecRule ARGS \"@begins_wit a\" \"id:1\"",
            "t.conf:1:15: unknown operator `begins_wit` (did you mean `beginsWith`?)",
        ),
        (
            "\nSecRule ARGS \"@rx a\" \\\n  \"id:1,\\\n  phase:2,t:lowercas\"",
            "t.conf:4:13: unknown transformation `lowercas` (did you mean `lowercase`?)",
        ),
        ("SecAction \"id:1,denny\"", "t.conf:1:17: unknown action `denny` (did you mean `deny`?)"),
        (
            "SecAction \"id:1,ctl:ruleEngin=On\"",
            "t.conf:1:21: unknown word behind `ctl:` `ruleEngin` (did you mean `ruleEngine`?)",
        ),
        ("SecRul ARGS x \"id:1\"", "t.conf:1:1: unknown directive `SecRul` (did you mean `SecRule`?)"),
        ("SecRule ARGS \"@rx a\"", "t.conf:1:1: the rule has no id (add `id:NUMBER` to its actions)"),
        ("SecRule ARGS", "t.conf:1:1: `SecRule` takes 2 to 3 arguments, not 1"),
        ("SecRule ARGS @rx a \"id:1\"", "t.conf:1:1: `SecRule` takes 2 to 3 arguments, not 4"),
        ("SecAction \"id:4294967296\"", "t.conf:1:12: `4294967296` is not a rule id"),
        ("SecAction \"id:0\"", "t.conf:1:12: `0` is not a rule id"),
        ("SecAction \"id:1,phase:6\"", "t.conf:1:23: `6` is not a phase"),
        ("SecAction \"id:1,msg:'a' b\"", "t.conf:1:25: a comma is missing before this"),
        ("SecAction \"id:1,msg:'%{nothing}'\"", "t.conf:1:21: unknown macro `nothing`"),
        (
            "SecAction \"id:1\"\nSecAction \"id:1\"",
            "t.conf:2:12: the rule id 1 stands already at t.conf:1:12",
        ),
        ("SecAction \"id:1,setvar:args.a=1\"", "t.conf:1:24: `args.a` cannot be set"),
        ("SecAction \"id:1,skipAfter:''\"", "t.conf:1:27: `skipAfter` needs the name"),
        ("SecAction \"id:1,xmlns:soap\"", "t.conf:1:17: `xmlns` takes a prefix and its name space"),
        ("SecAction \"id:1,initcol:planet=x\"", "t.conf:1:25: unknown collection `planet`"),
        (
            "SecRule ARGS \"@rx a\" \"id:1,chain\"\nSecMarker A\n",
            "t.conf:2:1: the chain of rule 1 does not go on",
        ),
        (
            "SecRule ARGS \"@rx a\" \"id:1,chain\"\nSecRule ARGS \"@rx b\" \"deny\"",
            "t.conf:2:23: a rule inside the chain of rule 1 cannot stop the exchange",
        ),
        ("<IfModule x>\n</IfModule>", "t.conf:1:1: `<IfModule>` is a section of Apache's configuration"),
        ("SecRule !ARGS \"@rx a\" \"id:1\"", "t.conf:1:9: the variables take nothing in"),
        ("SecRule ARGS \"@pmFromFile none.data\" \"id:1\"", "t.conf:1:27: t.conf: there is no none.data"),
        ("Include none.conf", "t.conf:1:9: there is no file `none.conf`"),
        ("Include loop.conf", "loop.conf:1:1: more than 16 files include each other"),
        ("SecRuleEngine Maybe", "t.conf:1:1: unknown word `maybe`"),
        ("SecDefaultAction \"phase:2,block\"", "t.conf:1:1: SecDefaultAction cannot have `block`"),
    ] {
        let errors = refused(conf);
        assert!(errors.iter().any(|error| error.starts_with(expect)), "{conf}\n{errors:#?}");
        assert!(try_import(conf, true).is_err(), "skipped: {conf}");
    }
}

#[test]
fn what_we_have_not_is_an_error_or_a_counted_note() {
    let fine = "SecRule ARGS \"@rx a\" \"id:2,log\"";
    for line in [
        "SecRule REMOTE_ADDR \"@rbl list.test\" \"id:1\"",
        "SecRule ARGS \"@rx a(?R)?b\" \"id:1\"",
        "SecRule REMOTE_ADDR \"@geoLookup\" \"id:1\"",
        "SecRule GEO:COUNTRY_CODE \"@streq XX\" \"id:1\"",
        "SecRule FILES \"@inspectFile x.lua\" \"id:1\"",
        "SecRule FILES_TMPNAMES \"@rx a\" \"id:1\"",
        "SecRule ARGS \"@fuzzyHash x 1\" \"id:1\"",
        "SecRule ARGS \"@gsbLookup x\" \"id:1\"",
        "SecRule REQUEST_BODY \"@rsub s/a/b/\" \"id:1\"",
        "SecRule XML \"@validateDTD x.dtd\" \"id:1\"",
        "SecRule XML:/* \"@validateSchema x.xsd\" \"id:1\"",
        "SecRule XML://book/title \"@rx a\" \"id:1\"",
        "SecAction \"id:1,exec:/bin/x\"",
        "SecAction \"id:1,proxy:http://x/\"",
        "SecAction \"id:1,append:x\"",
        "SecAction \"id:1,prepend:x\"",
        "SecAction \"id:1,setenv:x=1\"",
        "SecAction \"id:1,sanitiseArg:x\"",
        "SecAction \"id:1,deprecatevar:ip.x=1/2\"",
        "SecAction \"id:1,ctl:hashEngine=On\"",
        "SecRuleScript x.lua",
        "SecRemoteRules key https://rules.test/",
        "SecRule ARGS \"@rx a\" \"id:1,chain\"\nSecRule REMOTE_ADDR \"@rbl x.test\" \"chain\"\nSecRule ARGS \"@rx b\"",
    ] {
        refused(line);
        let skipped = try_import(&format!("{line}\n{fine}"), true)
            .unwrap_or_else(|errors| panic!("{line}: {errors:?}"));
        assert_eq!((skipped.counts.skipped, skipped.counts.rules), (1, 1), "{line}");
        assert!(notes(&skipped).iter().any(|note| note.contains("skipped")), "{line}: {:?}", notes(&skipped));
        compiled(&skipped, Mode::Detect);
    }
}

#[test]
fn settings_become_setup_or_notes_and_never_nothing() {
    let imported = imported(
        "SecRuleEngine DetectionOnly\nSecRequestBodyAccess Off\nSecResponseBodyAccess On\n\
         SecResponseBodyMimeType a/b\nSecResponseBodyMimeTypesClear\nSecResponseBodyMimeType text/HTML text/xml\n\
         SecArgumentsLimit 500\nSecDebugLogLevel 3\nsecpcrematchlimit 1000\nSecRequestBodyLimit 100\nSecHashEngine Off\n\
         SecAction \"id:1,pass,phase:1,auditlog,setvar:tx.a=1\"",
    );
    let setup = &imported.sources.files[0];
    assert_eq!(setup.name, "000-setup.json");
    for part in [
        "\"mode\": \"detect\"",
        "\"request_body_access\": false",
        "\"response_body_access\": true",
        "\"response_body_types\": [\"text/html\", \"text/xml\"]",
        "\"arguments_limit\": 500",
    ] {
        assert!(setup.text.contains(part), "{part}\n{}", setup.text);
    }
    let notes = notes(&imported);
    for part in [
        "8 SecDebugLogLevel: ",
        "9 secpcrematchlimit: ",
        "10 SecRequestBodyLimit: ",
        "11 SecHashEngine: ",
        "12 auditlog: ",
    ] {
        assert!(notes.iter().any(|note| note.starts_with(part)), "{part} {notes:#?}");
    }
}

#[test]
fn block_is_what_the_default_action_of_the_phase_says() {
    let rule = "SecRule ARGS \"@rx a\" \"id:5,phase:1,block\"";
    assert_eq!(stopped(rule, "GET /?q=a"), None);
    for (default, expect) in [
        ("SecDefaultAction \"phase:1,deny,status:404,log\"", Some(Disruption::Deny { status: 404 })),
        ("SecDefaultAction \"phase:1,drop\"", Some(Disruption::Drop)),
        ("SecDefaultAction \"phase:1,pass\"", None),
        ("SecDefaultAction \"phase:2,deny\"", None),
        (
            "SecDefaultAction \"phase:1,redirect:http://x/%{ARGS.q},status:301\"",
            Some(Disruption::Redirect { status: 301, location: "http://x/a".into() }),
        ),
    ] {
        assert_eq!(
            stopped(&format!("{default}\n{rule}"), "GET /?q=a").map(|found| found.1),
            expect,
            "{default}"
        );
    }
    // What comes later does not count, and what the rule says does.
    assert_eq!(stopped(&format!("{rule}\nSecDefaultAction \"phase:1,deny\""), "GET /?q=a"), None);
    let own = "SecDefaultAction \"phase:1,deny\"\nSecRule ARGS \"@rx a\" \"id:5,phase:1,pass\"";
    assert_eq!(stopped(own, "GET /?q=a"), None);
    let none = "SecDefaultAction \"phase:1,deny,status:501\"\nSecRule ARGS \"@rx a\" \"id:5,phase:1\"";
    assert_eq!(stopped(none, "GET /?q=a"), Some((5, Disruption::Deny { status: 501 })));
}

#[test]
fn default_transformations_apply_unless_there_is_none() {
    let engine = engine(
        "SecDefaultAction \"phase:1,pass,nolog,t:lowercase\"\n\
         SecRule ARGS \"@streq a\" \"id:1,phase:1,log,t:trim\"\n\
         SecRule ARGS \"@streq a\" \"id:2,phase:1,log,t:none,t:trim\"\n\
         SecRule ARGS \"@streq a\" \"id:3,phase:1\"\n\
         SecRule ARGS \"@streq x\" \"id:4,phase:1,log,chain\"\nSecRule ARGS \"@streq a\" \"t:none\"",
    );
    assert_eq!(logged(&engine, "GET /?q=%20A"), [1]);
    assert_eq!(logged(&engine, "GET /?q=a&r=X"), [1, 2, 4]);
}

#[test]
fn actions_run_once_for_each_value_and_also_when_the_chain_fails() {
    let engine = engine(
        "SecRule ARGS \"@rx (a+)\" \"id:1,phase:1,nolog,pass,capture,setvar:tx.n=+2,setvar:tx.last=%{TX.1},chain\"\n\
         SecRule ARGS:never \"@rx b\" \"setvar:tx.n=+100\"\n\
         SecRule TX:N \"@eq 4\" \"id:2,phase:1,pass\"\n\
         SecRule TX:last \"@streq aa\" \"id:3,phase:1,pass\"",
    );
    assert_eq!(logged(&engine, "GET /?q=a&r=aa&s=c"), [2, 3]);
}

#[test]
fn every_kind_of_setvar_is_kept() {
    let engine = engine(
        "SecAction \"id:1,phase:1,nolog,pass,setvar:tx.plain=a b,setvar:'TX.Quoted=c, d',setvar:tx.one,\
         setvar:tx.sum=5,setvar:tx.sum=+%{tx.one},setvar:tx.sum=-2,setvar:tx.sum=+x,setvar:tx.new=+7,\
         setvar:tx.gone=1,setvar:'!tx.gone',setvar:tx.name_%{tx.one}=dyn,setvar:tx.inner='e, f',setvar:tx.empty=,\
         setvar:tx.again=1,setvar:tx.again=2\"\n\
         SecRule TX:plain \"@streq a b\" \"id:2,phase:1\"\n\
         SecRule TX:quoted \"@streq c, d\" \"id:3,phase:1\"\n\
         SecRule TX:one \"@streq 1\" \"id:4,phase:1\"\n\
         SecRule TX:sum \"@eq 4\" \"id:5,phase:1\"\n\
         SecRule TX:new \"@streq 7\" \"id:6,phase:1\"\n\
         SecRule &TX:gone \"@eq 0\" \"id:7,phase:1\"\n\
         SecRule TX:name_1 \"@streq dyn\" \"id:8,phase:1\"\n\
         SecRule TX:inner \"@streq e, f\" \"id:9,phase:1\"\n\
         SecRule &TX:empty \"@eq 1\" \"id:10,phase:1\"\n\
         SecRule TX:again \"@streq 2\" \"id:11,phase:1\"",
    );
    assert_eq!(logged(&engine, "GET /"), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
}

#[test]
fn ctl_reaches_later_rules_only_and_knows_ranges_tags_and_targets() {
    for (ctl, expect) in [
        ("ruleRemoveById=11", &[10, 12, 13][..]),
        ("ruleRemoveById=11-12", &[10, 13]),
        ("ruleRemoveById='11-12,13'", &[10]),
        ("ruleRemoveByTag=two", &[10, 13]),
        ("ruleRemoveByTag=^t", &[10, 13]),
        ("ruleRemoveByMsg=twel", &[10, 11, 13]),
        ("ruleRemoveTargetById=11;ARGS:q", &[10, 12, 13]),
        ("ruleRemoveTargetById=11-12;ARGS:/^Q$/", &[10, 13]),
        ("ruleRemoveTargetById=11;ARGS", &[10, 12, 13]),
        ("ruleRemoveTargetById=11;ARGS:other", &[10, 11, 12, 13]),
        ("ruleRemoveTargetByTag=two;ARGS:q", &[10, 13]),
        ("ruleEngine=Off", &[10]),
        // Not loaded: noted.
        ("ruleRemoveById=999", &[10, 11, 12, 13]),
        ("ruleRemoveTargetByTag=none;ARGS:q", &[10, 11, 12, 13]),
        ("auditLogParts=+E", &[10, 11, 12, 13]),
    ] {
        let conf = format!(
            "SecRule ARGS:q \"@rx a\" \"id:10,phase:1,ctl:{ctl}\"\n\
             SecRule ARGS \"@rx a\" \"id:11,phase:1,tag:two,msg:'eleven'\"\n\
             SecRule ARGS:q \"@rx a\" \"id:12,phase:1,tag:'two',msg:'twelve'\"\n\
             SecRule REQUEST_URI \"@rx a\" \"id:13,phase:1,tag:'other',chain\"\nSecRule ARGS \"@rx a\""
        );
        let imported = imported(&conf);
        assert_eq!(logged(&compiled(&imported, Mode::Detect), "GET /?q=a"), expect, "{ctl}");
        let noted = ctl.contains("999") || ctl.contains("none") || ctl.contains("audit");
        assert_eq!(!imported.notes.is_empty(), noted, "{ctl}: {:?}", notes(&imported));
    }
}

#[test]
fn rules_loaded_before_can_be_updated_and_removed() {
    let rules = "SecRule ARGS|REQUEST_URI \"@rx a\" \"id:1,phase:1,tag:'x',msg:'first'\"\n\
                 SecRule ARGS \"@rx a\" \"id:2,phase:1,tag:'y',msg:'second',chain\"\nSecRule ARGS \"@rx q\"\n\
                 SecRule REQUEST_METHOD \"@rx .\" \"id:3,phase:1,msg:'third'\"\n";
    for (update, request, expect) in [
        ("SecRuleRemoveById 1", "GET /?q=aq", &[2, 3][..]),
        ("SecRuleRemoveById 1 \"2-3\"", "GET /?q=aq", &[]),
        ("SecRuleRemoveById 77", "GET /?q=aq", &[1, 2, 3]),
        ("SecRuleRemoveByTag x", "GET /?q=aq", &[2, 3]),
        ("SecRuleRemoveByMsg \"^sec\"", "GET /?q=aq", &[1, 3]),
        ("SecRuleUpdateTargetById 1 \"!ARGS:q,!REQUEST_URI\"", "GET /?q=a", &[3]),
        ("SecRuleUpdateTargetById 1-2 \"!ARGS:/^Q$/\"", "GET /?q=aq", &[1, 3]),
        ("SecRuleUpdateTargetById 2:1 \"!ARGS:q\"", "GET /?q=aq", &[1, 3]),
        ("SecRuleUpdateTargetById 1 REQUEST_HEADERS:x ARGS", "GET /b?q=b\nX: a", &[1, 3]),
        ("SecRuleUpdateTargetById 1 REQUEST_METHOD REQUEST_URI", "GET /a", &[3]),
        ("SecRuleUpdateTargetByTag y !ARGS:q", "GET /?q=aq", &[1, 3]),
        ("SecRuleUpdateTargetByMsg first !ARGS:q", "GET /b?q=b", &[3]),
        ("SecRuleUpdateActionById 3 \"nolog,t:none\"", "GET /?q=aq", &[1, 2]),
        ("SecRuleUpdateActionById 1 \"t:uppercase\"", "GET /?q=aq", &[2, 3]),
        ("SecRuleUpdateActionById 2:1 \"t:uppercase\"", "GET /?q=aq", &[1, 3]),
    ] {
        let imported = imported(&format!("{rules}{update}\nSecAction \"id:9,nolog,setvar:tx.x=1\""));
        assert_eq!(logged(&compiled(&imported, Mode::Detect), request), expect, "{update}");
        assert_eq!(imported.counts.skipped, 0);
    }
    let denied = format!("{rules}SecRuleUpdateActionById 3 \"deny,status:418\"");
    assert_eq!(stopped(&denied, "GET /"), Some((3, Disruption::Deny { status: 418 })));
}

#[test]
fn updates_that_find_no_rule_before_them_change_those_behind_them() {
    let imported = imported(
        "SecRuleUpdateTargetById 1 !ARGS:q\nSecRuleRemoveById 2 9\nSecRuleUpdateActionById 3 nolog\n\
         SecRule ARGS \"@rx a\" \"id:1,phase:1\"\nSecAction \"id:2,phase:1\"\nSecAction \"id:3,phase:1\"",
    );
    assert_eq!(logged(&compiled(&imported, Mode::Detect), "GET /?q=a"), [0u32; 0]);
    assert_eq!(
        notes(&imported),
        [
            "1 SecRuleUpdateTargetById: no rule before it has the id 1, so the rules behind it are changed",
            "2 SecRuleRemoveById: no rule before it has the id 2, so the rules behind it are changed",
            "2 SecRuleRemoveById: no rule has the id 9",
            "3 SecRuleUpdateActionById: no rule before it has the id 3, so the rules behind it are changed",
            "5 rule 2: taken out by SecRuleRemoveById the id 2",
        ]
    );
}

#[test]
fn jumps_skip_and_markers_keep_their_ways() {
    let engine = engine(
        "SecRule ARGS:q \"@streq skip\" \"id:1,phase:1,nolog,skip:2\"\n\
         SecRule ARGS:q \"@streq after\" \"id:2,phase:1,nolog,skipAfter:END\"\n\
         SecRule RESPONSE_BODY \"@rx never here\" \"id:3,phase:1\"\n\
         SecAction \"id:4,phase:2,log\"\n\
         SecAction \"id:5,phase:1,log\"\n\
         SecMarker \"END\"\n\
         SecAction \"id:6,phase:1,log\"\n\
         SecRule ARGS:q \"@streq lost\" \"id:7,phase:1,nolog,skipAfter:NOWHERE\"\n\
         SecAction \"id:8,phase:1,log\"",
    );
    for (value, expect) in [
        ("none", &[5, 6, 8, 4][..]),
        // Rule 3, which can never match and is left out, still counts as one of the two.
        ("skip", &[5, 6, 8, 4]),
        ("after", &[6, 8, 4]),
        ("lost", &[5, 6, 4]),
    ] {
        assert_eq!(logged(&engine, &format!("GET /?q={value}")), expect, "{value}");
    }
}

#[test]
fn variables_without_values_in_a_phase_are_left_out_and_counts_of_them_are_nothing() {
    let imported = imported(
        "SecRule ARGS|RESPONSE_BODY|XML:/* \"@rx a\" \"id:1,phase:1\"\n\
         SecRule RESPONSE_BODY \"!@rx a\" \"id:2,phase:1\"\n\
         SecRule &ARGS_POST \"@eq 0\" \"id:3,phase:1\"\n\
         SecRule ARGS \"@rx a\" \"id:4,phase:1,nolog,setvar:tx.seen=1,chain\"\nSecRule RESPONSE_BODY \"@rx .\"\n\
         SecRule ARGS \"@rx a\" \"id:5,phase:1,nolog,chain\"\nSecRule RESPONSE_BODY \"@rx .\"\n\
         SecRule TX:seen \"@eq 1\" \"id:6,phase:1\"",
    );
    assert_eq!(imported.counts.rules, 4);
    assert_eq!(logged(&compiled(&imported, Mode::Detect), "GET /?q=a"), [1, 3, 6]);
    assert!(
        notes(&imported).iter().any(|note| note.contains("rule 2: it can never match")),
        "{:?}",
        notes(&imported)
    );
}

#[test]
fn operators_take_their_arguments_as_seclang_means_them() {
    for (operator, hits, misses) in [
        ("@pm one |54 57|o \\;x", &["xONEx", "two", ";x"][..], &["tw", "x"][..]),
        ("@pm |ff fe|z |00|", &["%ff%fez", "%00"], &["z", "%ff"]),
        ("@pmFromFile words.data", &["a root kit", "PASSWD"], &["root", "# words"]),
        ("@pmf words.data", &["passwd"], &["a"]),
        ("@ge 5x", &["5", "7"], &["4", "x"]),
        ("@eq none", &["0", "zero"], &["1"]),
        ("@eq", &["0"], &["1"]),
        ("@streq", &[""], &["a"]),
        ("@streq a\\\"b", &["a%22b"], &["ab"]),
        ("@rx", &["", "a"], &[]),
        ("!@rx a", &["b", ""], &["xa"]),
        ("^a", &["ab"], &["ba"]),
        ("!^a", &["ba"], &["ab"]),
        ("@within |a| |b|", &["|a|", "", "b"], &["c"]),
        ("@strmatch bc", &["abcd"], &["acbd"]),
        ("@noMatch", &[], &["a", ""]),
        ("@rx ^%{REQUEST_METHOD}%{2}$", &["GET%25%25"], &["GET", "POST%25%25"]),
        ("@rx [^\\\\\\\\]\\\\\\\\c", &["a\\c"], &["a\\\\c", "c"]),
        ("@rx a\\\\b", &["a\\b"], &["ab"]),
        ("@rx ^[\\x{e4}]$", &["%e4"], &["%c3%a4"]),
        ("@ipMatch 192.0.2.0/24, 10.0.0.1", &["192.0.2.7", "10.0.0.1"], &["10.0.0.2", "x"]),
        ("@ipMatchFromFile nets.data", &["10.9.9.9"], &["11.0.0.1"]),
        ("@ipMatchF nets.data", &["192.0.2.9"], &["x"]),
        ("@VALIDATEBYTERANGE 1-255", &["%00"], &["a"]),
    ] {
        let engine = engine(&format!("SecRule ARGS:q \"{operator}\" \"id:1,phase:1\""));
        for (values, expect) in [(hits, &[1][..]), (misses, &[])] {
            for value in values {
                assert_eq!(logged(&engine, &format!("GET /?q={value}")), expect, "{operator} on {value:?}");
            }
        }
    }
}

#[test]
fn names_of_variables_are_found_in_our_spelling() {
    let engine = engine(
        "SecRule ARGS|REQUEST_HEADERS \"@rx evil\" \"id:1,phase:1,nolog,pass,chain\"\n\
         SecRule MATCHED_VAR_NAME \"@streq ARGS:Q\" \"setvar:tx.streq=1\"\n\
         SecRule ARGS \"@rx evil\" \"id:2,phase:1,nolog,pass,chain\"\n\
         SecRule MATCHED_VARS_NAMES \"@beginsWith ARGS:\" \"setvar:tx.begins=1\"\n\
         SecRule TX:streq \"@eq 1\" \"id:3,phase:1\"\n\
         SecRule TX:begins \"@eq 1\" \"id:4,phase:1\"",
    );
    assert_eq!(logged(&engine, "GET /?Q=evil"), [3, 4]);
    assert_eq!(logged(&engine, "GET /?x=evil"), [4]);
}

#[test]
fn files_are_included_in_order_and_what_is_behind_them_stays_behind() {
    let imported = imported(
        "SecAction \"id:1,phase:1,nolog,setvar:tx.order=1\"\nInclude inc/*\nIncludeOptional nothing/*\n\
         SecAction \"id:2,phase:1,nolog,setvar:tx.order=%{tx.order}2\"\n\
         SecRule TX:order \"@streq 1ab2\" \"id:3,phase:1\"",
    );
    let names: Vec<&str> = imported.sources.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["010-t.json", "020-a.json", "030-b.json", "040-t.json"]);
    assert!(logged(&compiled(&imported, Mode::Detect), "GET /").contains(&3));
}

#[test]
fn persistent_collections_count_over_exchanges() {
    let engine = engine(
        "SecAction \"id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR},setvar:ip.hits=+1,expirevar:'ip.hits=60',\
         setsid:abc,expirevar:tx.x=1\"\n\
         SecRule IP:HITS \"@gt 1\" \"id:2,phase:1,log,deny,status:429\"",
    );
    assert_eq!(logged(&engine, "GET /"), [0u32; 0]);
    assert_eq!(logged(&engine, "GET /"), [2]);
}

#[test]
fn what_a_rule_says_of_itself_is_kept() {
    let imported = imported(
        "# First line,\n# -=[ second line ]=-\n#\n# ------\n\
         SecRule ARGS \"@rx a\" \"id:'7',phase:request,t:none,severity:2,msg:'It\\'s %{MATCHED_VAR}, yes',\
         logdata:'%{TX.0}',tag:'a/b',tag:c,tag:'c',ver:'V/2',rev:'3',maturity:'9',accuracy:8,status:403,deny\"\n\
         SecRule ARGS \"@rx a\" \"id:8,phase:logging,nolog,auditlog,pause:100\"\n\
         SecRule ARGS \"@rx a\" \"id:9,phase:response,log\"",
    );
    let text = text(&imported);
    for part in [
        "\"description\": \"First line, -=[ second line ]=-\"",
        "\"message\": \"It's %{matched_var}, yes\"",
        "\"log_data\": \"%{tx.0}\"",
        "\"severity\": \"critical\"",
        "\"tags\": [\"a/b\", \"c\"]",
        "\"version\": \"V/2\"",
        "\"revision\": \"3\"",
        "\"maturity\": 9",
        "\"accuracy\": 8",
        "\"then\": [\"block\"]",
        "\"then\": [\"no_log\"]",
        "\"message\": \"rule 9 matched\"",
        "\"phase\": \"logging\"",
        "\"phase\": \"response_body\"",
        "\"version\": \"2\"",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn the_same_files_give_the_same_text() {
    let conf = "SecRule ARGS|!ARGS:b \"@pm |ff| x\" \"id:1,tag:b,tag:a,setvar:tx.b=1,setvar:tx.a=2\"";
    let (first, second) = (imported(conf), imported(conf));
    assert_eq!(first.sources, second.sources);
    assert_eq!(notes(&first), notes(&second));
    assert!(text(&first).contains("\"tx.b\": 1, \"tx.a\": 2"), "{}", text(&first));
}

#[test]
fn responses_are_matched_in_their_phases() {
    let engine = engine(
        "SecRule RESPONSE_HEADERS:X-A \"@rx b\" \"id:1,phase:3\"\nSecRule RESPONSE_BODY \"@rx c\" \"id:2,phase:4\"\n\
         SecRule STATUS \"@eq 200\" \"id:3,phase:5\"",
    );
    let response = Some("200\nContent-Type: text/plain\nX-A: b\n\nabc");
    assert_eq!(told(&outcome(&engine, "GET /", response)), [1, 2, 3]);
}

#[test]
fn what_libmodsecurity_forgives_comes_in_with_a_note() {
    let conf = "SecAction \"phase:1,nolog,pass,setvar:tx.a=1\"\n\
                SecDefaultAction \"phase:1,deny,block,status:404,log\"\n\
                SecRule TX:a \"@eq 1\" \"id:1,phase:1,block,chain\"\n\
                SecDebugLogLevel 1\n\
                SecRule ARGS:q \"@rx a\" \"id:2,status:418\"\n\
                SecRule ARGS:r \"@rx a\" \"id:3,phase:1,deny,setvar:tx.b=1,chain\"\n";
    assert_eq!(stopped(conf, "GET /?q=a"), Some((1, Disruption::Deny { status: 418 })));
    assert_eq!(stopped(conf, "GET /?r=a"), None);
    assert_eq!(
        notes(&imported(conf)),
        [
            "1 SecAction: it has no id; here it is rule 4000000000",
            "4 SecDebugLogLevel: logs are set up in portward.toml",
            "5 rule 1: only the first rule of a chain has an id",
            "6 rule 3: its chain does not go on, so it never matches as a whole",
        ]
    );
    let endless = "SecRule ARGS \"@rx a\" \"id:1,phase:1,nolog,pass,setvar:tx.b=1,chain\"";
    let engine = engine(&format!("Include more.conf\n{endless}"));
    assert_eq!(logged(&engine, "GET /?q=a"), [0u32; 0]);
}
