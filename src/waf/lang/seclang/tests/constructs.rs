//! Each construct that the current generation of public rules is built from, in rules of our own.

use super::{compiled, imported, logged, outcome, told};
use crate::waf::Mode;
use crate::waf::report::Disruption;

/// A small rule set that is put together as public ones are.
const SET: &str = r#"
SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html
SecComponentSignature "OWN/4.1.0"
SecDefaultAction "phase:1,log,auditlog,pass"
SecDefaultAction "phase:2,log,auditlog,pass"
SecDefaultAction "phase:3,log,auditlog,pass"
SecDefaultAction "phase:4,log,auditlog,pass"

SecAction \
    "id:100,\
    phase:1,\
    pass,\
    t:none,\
    nolog,\
    setvar:tx.blocking_paranoia_level=2"

# Defaults.
SecRule &TX:blocking_paranoia_level "@eq 0" \
    "id:101,phase:1,pass,nolog,setvar:'tx.blocking_paranoia_level=1'"
SecRule &TX:detection_paranoia_level "@eq 0" \
    "id:102,phase:1,pass,nolog,setvar:'tx.detection_paranoia_level=%{TX.blocking_paranoia_level}'"
SecRule &TX:allowed_methods "@eq 0" \
    "id:103,phase:1,pass,nolog,setvar:'tx.allowed_methods=GET HEAD POST'"
SecRule &TX:extensions "@eq 0" \
    "id:104,phase:1,pass,nolog,setvar:'tx.extensions=.bak/ .sql/'"
SecAction "id:105,phase:1,pass,nolog,t:none,\
    setvar:'tx.critical=5',\
    setvar:'tx.score_pl1=0',\
    setvar:'tx.score_pl2=0',\
    setvar:'tx.score=0'"
SecRule TX:ENABLE_COLLECTIONS "@eq 1" \
    "id:106,phase:1,pass,nolog,chain"
    SecRule REQUEST_HEADERS:User-Agent "@rx ^.*$" \
        "t:none,t:sha1,t:hexEncode,setvar:'tx.ua_hash=%{MATCHED_VAR}',initcol:global=global,initcol:ip=%{remote_addr}_%{MATCHED_VAR}"
SecRule REQBODY_PROCESSOR "!@rx (?:URLENCODED|MULTIPART|XML|JSON)" \
    "id:107,phase:1,pass,nolog,noauditlog,msg:'Raw body',ctl:forceRequestBodyVariable=On"
SecRule REQUEST_HEADERS:X-Force-Json "@unconditionalMatch" \
    "id:108,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_LINE "@streq GET / HTTP/1.1" \
    "id:109,phase:1,pass,t:none,nolog,chain"
    SecRule REMOTE_ADDR "@ipMatch 127.0.0.1,::1" \
        "t:none,ctl:ruleRemoveByTag=OWN,ctl:auditEngine=Off"

SecRule TX:DETECTION_PARANOIA_LEVEL "@lt 1" "id:200,phase:1,pass,nolog,skipAfter:END-1"
SecRule TX:DETECTION_PARANOIA_LEVEL "@lt 1" "id:201,phase:2,pass,nolog,skipAfter:END-1"

SecRule REQUEST_METHOD "!@within %{tx.allowed_methods}" \
    "id:210,phase:1,block,msg:'Method',logdata:'%{MATCHED_VAR}',tag:'OWN',tag:'paranoia-level/1',\
    ver:'OWN/4.1.0',severity:'CRITICAL',setvar:'tx.score_pl1=+%{tx.critical}'"
SecRule REQUEST_BASENAME "@rx \.([^.]+)$" \
    "id:211,phase:1,block,capture,t:none,msg:'Extension',severity:'CRITICAL',\
    setvar:'tx.extension=.%{TX.1}/',chain"
    SecRule TX:EXTENSION "@within %{tx.extensions}" \
        "t:none,t:urlDecodeUni,t:lowercase,setvar:'tx.score_pl1=+%{tx.critical}'"
SecRule REQUEST_HEADERS:Content-Length "!@rx ^\d+$" \
    "id:212,phase:1,block,t:none,msg:'Length'"
SecRule REQUEST_URI_RAW|ARGS_GET "@validateUrlEncoding" "id:213,phase:2,block,t:none,msg:'Encoding',chain"
    SecRule REQUEST_URI_RAW "@rx %[^0-9a-f]" "t:none"
SecRule ARGS:range "@validateByteRange 32-126" "id:214,phase:2,block,msg:'Bytes'"
SecRule ARGS:ascii "!@validateByteRange 32-126" "id:215,phase:2,block,msg:'All bytes are plain'"
SecRule ARGS:utf8 "@validateUtf8Encoding" "id:216,phase:2,block,msg:'UTF-8'"
SecRule REQUEST_HEADERS|!REQUEST_HEADERS:User-Agent|!REQUEST_HEADERS:Referer "@pm curse |73 77|ear" \
    "id:217,phase:1,block,msg:'Words'"
SecRule REQUEST_FILENAME "@endsWith .php" "id:218,phase:1,block,t:none,t:lowercase,t:normalizePathWin,msg:'Ends'"
SecRule ARGS|ARGS_NAMES|XML:/*|XML://@*|REQUEST_COOKIES|!REQUEST_COOKIES:/__utm/ "@pmFromFile words.data" \
    "id:219,phase:2,block,capture,t:none,t:urlDecodeUni,msg:'File',logdata:'%{TX.0} in %{MATCHED_VAR_NAME}',\
    multiMatch,severity:'CRITICAL',setvar:'tx.score_pl1=+%{tx.critical}'"
SecRule ARGS|!ARGS:/^skip_|note$/ "@detectSQLi" "id:220,phase:2,block,t:none,t:removeNulls,msg:'SQL',tag:'sql'"
SecRule ARGS "@detectXSS" \
    "id:221,phase:2,block,t:none,t:utf8toUnicode,t:urlDecodeUni,t:htmlEntityDecode,t:jsDecode,t:cssDecode,\
    t:removeNulls,msg:'XSS'"
SecRule MULTIPART_PART_HEADERS "@rx ^[^:]*charset" "id:222,phase:2,block,t:lowercase,msg:'Part'"
SecRule FILES|FILES_NAMES "@rx [;=]" "id:223,phase:2,block,t:urlDecodeUni,msg:'File name'"
SecRule ARGS_NAMES "@rx ." \
    "id:224,phase:2,pass,nolog,t:none,setvar:'TX.paramcounter_%{MATCHED_VAR_NAME}=+1'"
SecRule TX:/paramcounter_.*/ "@gt 1" \
    "id:225,phase:2,block,t:none,msg:'Twice',logdata:'%{TX.1}',chain"
    SecRule MATCHED_VARS_NAMES "@rx TX:paramcounter_(.*)" \
        "capture,t:none,setvar:'tx.score_pl1=+%{tx.critical}'"
SecRule ARGS:same "@rx (\w+)=(\w+)" "id:226,phase:2,block,capture,t:none,msg:'Tautology',chain"
    SecRule TX:1 "@streq %{TX.2}" "t:none"
SecRule &TX:'/^paramcounter_/' "@ge 3" "id:227,phase:2,block,msg:'Many'"

SecRule TX:DETECTION_PARANOIA_LEVEL "@lt 2" "id:300,phase:1,pass,nolog,skipAfter:END-1"
SecRule TX:DETECTION_PARANOIA_LEVEL "@lt 2" "id:301,phase:2,pass,nolog,skipAfter:END-1"
SecRule ARGS "@rx [\x{80}-\x{ff}]" "id:310,phase:2,block,t:none,msg:'High',setvar:'tx.score_pl2=+3'"

SecRule TX:DETECTION_PARANOIA_LEVEL "@lt 3" "id:400,phase:1,pass,nolog,skipAfter:END-1"
SecRule TX:DETECTION_PARANOIA_LEVEL "@lt 3" "id:401,phase:2,pass,nolog,skipAfter:END-1"
SecRule ARGS "@contains '" "id:410,phase:2,block,msg:'Quote'"
SecMarker "END-1"

SecRule TX:BLOCKING_PARANOIA_LEVEL "@ge 1" \
    "id:500,phase:2,pass,t:none,nolog,setvar:'tx.score=+%{tx.score_pl1}'"
SecRule TX:BLOCKING_PARANOIA_LEVEL "@ge 2" \
    "id:501,phase:2,pass,t:none,nolog,setvar:'tx.score=+%{tx.score_pl2}'"
SecRule TX:SCORE "@ge 8" "id:510,phase:2,deny,t:none,msg:'Score %{TX.SCORE}',status:406,severity:'CRITICAL'"

SecRule RESPONSE_STATUS "!@rx ^404$" "id:600,phase:4,block,capture,t:none,msg:'Leak',chain"
    SecRule RESPONSE_BODY "@rx (?i)stack trace" "t:none"
SecRule RESPONSE_HEADERS:Content-Encoding "!@rx gzip" "id:601,phase:3,pass,msg:'Other coding'"
SecRule &RESPONSE_HEADERS:Server "!@eq 0" "id:602,phase:3,pass,msg:'Server'"
SecRule TX:SCORE "@lt %{tx.critical}" "id:700,phase:5,pass,t:none,noauditlog,log,msg:'Below'"

SecRuleUpdateTargetById 219-220 "!ARGS:quiet"
SecRuleUpdateTargetById 219 "!REQUEST_COOKIES:/^track/"
SecRuleUpdateTargetByTag "sql" "!ARGS:free"
"#;

#[test]
fn every_crs4_construct_imports() {
    let imported = imported(SET);
    assert_eq!((imported.counts.gates, imported.counts.markers, imported.counts.skipped), (6, 1, 0));
    assert_eq!(imported.sources.files.len(), 2, "setup and one set");
    assert!(
        imported.sources.files[0].text.contains("\"paranoia_level\": 2"),
        "{}",
        imported.sources.files[0].text
    );
    let engine = compiled(&imported, Mode::Detect);
    let post =
        |kind: &str, body: &str| format!("POST / HTTP/1.1\nUser-Agent: x\nContent-Type: {kind}\n\n{body}");
    let form = |body: &str| post("application/x-www-form-urlencoded", body);
    let parts = "multipart/form-data; boundary=b";
    for (request, expect) in [
        ("GET /a?b=c HTTP/1.1".to_owned(), &[700][..]),
        ("DELETE /a HTTP/1.1".to_owned(), &[210]),
        ("HEAD /a HTTP/1.1".to_owned(), &[700]),
        ("GET /dump.SQL HTTP/1.1".to_owned(), &[211]),
        ("GET /dump.txt HTTP/1.1".to_owned(), &[700]),
        ("GET /a?range=a%07 HTTP/1.1".to_owned(), &[214, 700]),
        ("GET /a?ascii=a%07 HTTP/1.1".to_owned(), &[700]),
        ("GET /a?ascii=a HTTP/1.1".to_owned(), &[215, 700]),
        ("GET /a?utf8=%c3%28 HTTP/1.1".to_owned(), &[216, 310, 700]),
        ("GET /a HTTP/1.1\nX-Y: a CURSE".to_owned(), &[217, 700]),
        ("GET /a HTTP/1.1\nX-Y: I swear".to_owned(), &[217, 700]),
        ("GET /a HTTP/1.1\nUser-Agent: curse".to_owned(), &[700]),
        ("GET /x\\..\\A.PHP HTTP/1.1".to_owned(), &[218, 700]),
        ("GET /a?q=ROOT%20KIT HTTP/1.1".to_owned(), &[219]),
        ("GET /a?q=passwd%2573&q2=passwd HTTP/1.1".to_owned(), &[219, 510]),
        ("GET /a?quiet=passwd HTTP/1.1".to_owned(), &[700]),
        ("GET /a HTTP/1.1\nCookie: x__utmz=passwd; tracker=passwd".to_owned(), &[700]),
        ("GET /a HTTP/1.1\nCookie: y=passwd".to_owned(), &[219]),
        (post("text/xml", "<a b='passwd'>fine</a>"), &[219]),
        (post("text/xml", "<a b='fine'>passwd</a>"), &[219]),
        ("GET /a?q=1%27%20or%20%271%27%3D%271 HTTP/1.1".to_owned(), &[220, 700]),
        ("GET /a?skip_q=1%27%20or%20%271%27%3D%271 HTTP/1.1".to_owned(), &[700]),
        ("GET /a?free=1%27%20or%20%271%27%3D%271 HTTP/1.1".to_owned(), &[700]),
        (form("q=%26lt;script>alert(1)%26lt;/script>"), &[221, 700]),
        (
            post(
                parts,
                "--b\r\nContent-Disposition: form-data; name=a\r\nX-Charset: u\r\n\r\nv\r\n--b--\r\n",
            ),
            &[222, 700],
        ),
        (
            post(
                parts,
                "--b\r\nContent-Disposition: form-data; name=a; filename=\"x;.p\"\r\n\r\nv\r\n--b--\r\n",
            ),
            &[223, 700],
        ),
        ("GET /a?id=1&id=2 HTTP/1.1".to_owned(), &[225]),
        ("GET /a?a=1&b=2&c=3 HTTP/1.1".to_owned(), &[227, 700]),
        ("GET /a?same=x%3dx HTTP/1.1".to_owned(), &[226, 700]),
        ("GET /a?same=x%3dy HTTP/1.1".to_owned(), &[700]),
        ("GET /a?q=%ff HTTP/1.1".to_owned(), &[310, 700]),
        ("GET /a?q=it%27s HTTP/1.1".to_owned(), &[700]),
    ] {
        assert_eq!(logged(&engine, &request), expect, "{request}");
    }
}

#[test]
fn scores_block_and_responses_are_looked_at() {
    let imported = imported(SET);
    let engine = compiled(&imported, Mode::Block);
    let outcome_of = |request: &str, response: Option<&str>| outcome(&engine, request, response);
    let blocked = outcome_of("GET /a?q=passwd&p=passwd HTTP/1.1", None);
    let interruption = blocked.report.interruption.expect("two times five is more than eight");
    assert_eq!((interruption.rule, interruption.action), (510, Disruption::Deny { status: 406 }));
    assert_eq!(interruption.reason, "Score 10");
    assert_eq!(blocked.report.matches[0].data, "passwd in args:q");
    assert!(outcome_of("GET /a?q=passwd HTTP/1.1", None).report.interruption.is_none());
    let leak = "200\nContent-Type: text/html\n\nA Stack Trace:";
    assert_eq!(told(&outcome_of("GET /a HTTP/1.1", Some(leak))), [600, 700]);
    assert_eq!(told(&outcome_of("GET /a HTTP/1.1", Some(&leak.replace("200", "404")))), [700]);
    let coded = "200\nContent-Encoding: br\nServer: x\nContent-Type: text/plain\n\n";
    assert_eq!(told(&outcome_of("GET /a HTTP/1.1", Some(coded))), [601, 602, 700]);
}
