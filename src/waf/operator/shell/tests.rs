use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn found(value: &str) -> Option<String> {
    detect(value.as_bytes()).map(|found| format!("{} after {}", found.command, found.behind.text()))
}

#[test]
fn a_command_behind_data_is_found_in_each_of_the_three_shells() {
    for (value, expect) in [
        (";id", "id after ;"),
        ("127.0.0.1|whoami", "whoami after |"),
        ("x && ls -la", "ls after &&"),
        ("1 || sleep 5", "sleep after ||"),
        ("8.8.8.8 & net user", "net after &"),
        ("a.png\nuname -a", "uname after a line break"),
        ("`id`", "id after a back quote"),
        ("x$(id)", "id after $("),
        ("' ; ping -c 3 127.0.0.1 '", "ping after ;"),
        ("\"|nslookup x.example||\"", "nslookup after |"),
        ("x');cat config.php #", "cat after ;"),
        ("1;cat /etc/passwd;1", "cat after ;"),
        ("| type c:\\windows\\win.ini", "type after |"),
        ("&dir/s", "dir after &"),
        ("1;Get-ChildItem c:\\", "a cmdlet after ;"),
        ("1|iex", "iex after |"),
        ("x;sudo -u root id", "id after ;"),
        ("x;PATH=/tmp ls", "ls after ;"),
        ("x;if [ -f /etc/passwd ];then sleep 5;fi", "if after ;"),
        ("x;system('id')", "system() after ;"),
        ("/ping/127.0.0.1;id/next", "id after ;"),
        ("name=x;whoami", "whoami after ;"),
        ("hello there; cat /etc/shadow", "cat after ;"),
        ("1 && [System.Diagnostics.Process]::Start('x')", "a .NET type after &&"),
    ] {
        assert_eq!(found(value).as_deref(), Some(expect), "{value}");
    }
}

#[test]
fn a_disguise_is_taken_away_and_tells() {
    for value in [
        ";c''at /x",
        ";c\\at /x",
        "1|w\"h\"oami",
        "1&w^hoami",
        ";who$@ami",
        ";wh``oami",
        ";cat${IFS}/x",
        ";cat$IFS$9/x",
        "|{cat,/x}",
        ";/???/c?t x",
        ";/bin/c[a]t x",
        ";${PATH:0:1}bin${PATH:0:1}ls",
        ";$'\\x63\\x61\\x74' x",
        ";X=whoami;$X",
        "1&ping%PROGRAMFILES:~10,1%127.0.0.1",
        "1;i`e`x x",
        "1;&('i'+'ex') x",
        "1;who$(echo am)i",
        "c''at /x",
        "/???/?at /x",
    ] {
        assert!(found(value).is_some(), "{value}");
    }
}

#[test]
fn text_with_separators_is_left_alone() {
    for value in [
        "Tom & Jerry",
        "R&D; sort of",
        "cats; dogs",
        "a | b",
        "foo && bar",
        "AT&T find stores near me",
        "rock;head and tail",
        "eat; sleep; repeat",
        "if (a) { b; }",
        "a{color:red;top:5px;cursor:pointer}",
        "text/html;q=0.8,*/*;q=0.5",
        "x=1&id=5&type=6",
        "https://example.test/?a=1&id=5&sort=name",
        "| id | name | type |\n|----|------|------|",
        "name|id|type",
        "name;id",
        "&nbsp;ls &amp;id &#39;;",
        "Tom &amp; ls",
        "`id` is the primary key",
        "Run `ls -la` to see them",
        "run `ssh web01 uptime; df -h` and look at it",
        "$(id).show()",
        "sudo apt update && cat /etc/os-release",
        "cd /tmp && ls -la && make install",
        "#!/bin/sh\nset -e\nls -la\nid\n",
        "SELECT id FROM t; SELECT 1",
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101",
        "find the best; type of thing",
        "index=main | head 10 | sort -count",
        "{\"a\":\"b\"};",
        "\\d|\\w|\\s",
        "C:\\net\\id",
        "it's; 'id'entity",
        "python;perl;bash",
        "curl|wget",
        "whoami",
        "ls -la",
        "cat food",
        "ping pong",
        "type 2 diabetes; sleep well",
        ";-) ;p :|",
        "a;b;c;d",
        "const x = a || sort(b); set(c);",
    ] {
        assert_eq!(found(value), None, "{value}");
    }
}

#[test]
fn only_an_unmistakable_command_line_counts_as_a_whole_value() {
    for value in [
        "cat /etc/passwd",
        "/bin/cat /etc/passwd",
        "ping -c 10 127.0.0.1",
        "cmd /c whoami",
        "system('cat /etc/passwd')",
    ] {
        assert!(found(value).is_some(), "{value}");
    }
    for value in [
        "cat notes.txt",
        "ping example.test",
        "/usr/bin/python3",
        "cmd /c is a switch",
        "curl http://example.test",
    ] {
        assert_eq!(found(value), None, "{value}");
    }
}

#[test]
fn what_is_found_is_a_part_of_the_value() {
    let value = "127.0.0.1; cat /etc/passwd; x";
    let found = detect(value.as_bytes()).expect("a command");
    assert_eq!(&value[found.start..found.end], "; cat /etc/passwd");
}

/// The worst that was thought of: separators inside quotes inside arguments, each of which could begin a command; and
/// much of what is looked at around each command.
#[test]
fn hostile_values_take_no_longer_per_byte_when_they_grow() {
    let pieces = [
        ";cat \"",
        "`cat ",
        "$(cat $(",
        ";;;;",
        ";${x",
        ";{cat,",
        ";a=b ",
        "\n'",
        ";sudo ",
        ";/?*?*?*?*/",
        "|cat x x x ",
        "((((",
        ";ls",
        "\nls",
        "& ls x y z ",
        "/ls ",
        "\"ls\" ",
        "x;id;x",
        "cat /etc/x ",
        "\\\"",
    ];
    let around = |before: &str, piece: &str, after: &str, len: usize| {
        let times = |text: &str| text.repeat(len / 3 / text.len().max(1));
        [times(before), times(piece), times(after)].concat()
    };
    let shapes = [("", ""), (" ", ""), ("", " "), ("a", ""), ("{a \"", "\""), ("/", "/"), ("a\n", "")];
    // Of this thread: what a busy machine takes away is not in it.
    let cpu = || {
        let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
        std::time::Duration::from(nix::time::clock_gettime(clock).unwrap())
    };
    let seconds_per_byte = |value: &str| {
        let start = cpu();
        std::hint::black_box(detect(value.as_bytes()));
        (cpu() - start).as_secs_f64() / value.len() as f64
    };
    for piece in pieces {
        for (before, after) in shapes {
            let [short, long] = [6_000, 120_000].map(|len| {
                let value = around(before, piece, after, len);
                (0..3).map(|_| seconds_per_byte(&value)).fold(f64::INFINITY, f64::min)
            });
            assert!(
                long < 10.0 * short + 4e-7,
                "{before:?} {piece:?} {after:?}: {short:e} and {long:e} seconds a byte"
            );
        }
    }
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let piece = select(vec![
        ";",
        "|",
        "&",
        "\n",
        "`",
        "$(",
        ")",
        "${",
        "}",
        "{",
        ",",
        "<",
        ">",
        "'",
        "\"",
        "\\",
        "^",
        "$",
        "%",
        "?",
        "*",
        "[",
        "]",
        "=",
        " ",
        "#",
        "cat",
        "ls",
        "id",
        "whoami",
        "/etc/passwd",
        "/bin/",
        "IFS",
        "PATH:0:1",
        "sudo ",
        "if [",
        "for x in ",
        "cmd",
        "/c",
        "-la",
        "c:\\",
        "1",
        "a",
        "http://x/",
        "127.0.0.1",
        "x=",
        "Get-Process",
        "system(",
        "\\x63",
        "\\n",
        "PATH:~0,1",
        "\0",
        "[System.",
        "]::",
        "&('i'+'ex')",
        "@",
        "!",
        "/???/c?t",
        ".exe",
        "../",
        "~",
        "\u{e4}",
        "$@",
        "$'",
    ]);
    let any = proptest::collection::vec(any::<u8>(), 0..3);
    let part = prop_oneof![12 => piece.prop_map(|piece| piece.as_bytes().to_vec()), 1 => any];
    proptest::collection::vec(part, 0..14).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_value_panics_and_every_hit_lies_within(value in line()) {
        if let Some(found) = detect(&value) {
            prop_assert!(found.start < found.end.max(found.start + 1) && found.end <= value.len(), "{found:?} {}", value.escape_ascii());
        }
    }

    #[test]
    fn turning_values_away_early_loses_no_hit(value in line()) {
        let operator = crate::waf::operator::build("detect_shell", &serde_json::json!(true), &Default::default());
        let operator = operator.expect("it takes `true`");
        if operator.evaluate(&value).is_some() {
            prop_assert!(operator.need().may_match(&value), "{}", value.escape_ascii());
        }
    }
}
