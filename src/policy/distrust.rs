//! Clients that refuse our certificates, told apart: an application that pins another certificate, and a client that
//! does not trust our CA at all. Counts in, sentences and the rule that would help out. Nothing is decided here for
//! the traffic: a person adds the rule, or not.
//!
//! How clients refuse differs by their TLS library. An alert that names the certificate is certain. Breaking off
//! right behind our certificate is probable. Finishing the handshake, asking nothing and leaving is how GnuTLS
//! refuses, but also how browsers prepare for a click that never comes: it counts only where it repeats and the
//! client never asked anything of that host.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use time::{Date, Duration, OffsetDateTime};

use crate::net::Host;

/// How one handshake with a client ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// An alert that speaks of our certificate, by its name.
    Certain(&'static str),
    /// Closed or reset behind our certificate.
    Probable,
    /// Finished, and left without a request.
    Silent,
    /// A request came: the client trusts our certificate.
    Trusted,
}

impl Ending {
    /// As audit records spell it.
    pub fn name(&self) -> &'static str {
        match self {
            Ending::Certain(_) => "certain",
            Ending::Probable => "probable",
            Ending::Silent => "silent",
            Ending::Trusted => "trusted",
        }
    }
}

/// What was seen of one client (an address and a TLS fingerprint) and one host. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub client: IpAddr,
    /// JA4; empty when the ClientHello could not be read.
    #[serde(default)]
    pub ja4: String,
    #[serde(with = "as_text")]
    pub host: Host,
    #[serde(default)]
    pub certain: u32,
    /// The last such alert.
    #[serde(default)]
    pub alert: String,
    #[serde(default)]
    pub probable: u32,
    #[serde(default)]
    pub silent: u32,
    #[serde(default)]
    pub trusted: u32,
    #[serde(default)]
    pub refused_at: i64,
    #[serde(default)]
    pub trusted_at: i64,
}

mod as_text {
    use super::Host;

    pub fn serialize<S: serde::Serializer>(host: &Host, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(host)
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(text: D) -> Result<Host, D::Error> {
        let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(text)?;
        Host::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Closing behind our certificate happens by chance: this often it does not.
const PROBABLE: u32 = 2;
/// The same for leaving without a request.
const SILENT: u32 = 3;
/// A bypass is proposed for this long; pins change with the application's releases.
const PROPOSED: Duration = Duration::days(90);
/// Hosts named in a sentence and in a proposed rule.
const NAMED: usize = 8;

impl Case {
    pub fn new(client: IpAddr, ja4: &str, host: Host) -> Case {
        Case {
            client,
            ja4: ja4.to_owned(),
            host,
            certain: 0,
            alert: String::new(),
            probable: 0,
            silent: 0,
            trusted: 0,
            refused_at: 0,
            trusted_at: 0,
        }
    }

    pub fn count(&mut self, ending: &Ending, now: i64) {
        match ending {
            Ending::Certain(alert) => {
                self.certain = self.certain.saturating_add(1);
                self.alert = (*alert).to_owned();
            }
            Ending::Probable => self.probable = self.probable.saturating_add(1),
            Ending::Silent => self.silent = self.silent.saturating_add(1),
            Ending::Trusted => {
                self.trusted = self.trusted.saturating_add(1);
                self.trusted_at = now;
                return;
            }
        }
        self.refused_at = now;
    }

    /// The last that was seen of it.
    pub fn last(&self) -> i64 {
        self.refused_at.max(self.trusted_at)
    }

    /// How sure it is that this client refuses our certificate for this host, when it does.
    pub fn refuses(&self) -> Option<Certainty> {
        // An alert that is older than a success was heeded: somebody installed the CA.
        if self.certain > 0 && (self.trusted == 0 || self.refused_at > self.trusted_at) {
            Some(Certainty::Certain)
        } else if self.trusted > 0 {
            None
        } else if self.probable >= PROBABLE {
            Some(Certainty::Probable)
        } else if self.silent >= SILENT {
            Some(Certainty::Silent)
        } else {
            None
        }
    }
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    Silent,
    Probable,
    Certain,
}

/// What is wrong with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It trusts our CA for other hosts: for this one it expects a certificate of its own choice.
    Pinned,
    /// It has trusted our CA for no host, while other programs on the same machine do.
    OwnStore,
    /// It has trusted our CA for no host.
    Untrusting,
}

/// A client to do something about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub client: IpAddr,
    pub ja4: String,
    pub hosts: Vec<String>,
    pub cause: Cause,
    pub certainty: Certainty,
    /// Handshakes that ended so.
    pub refusals: u32,
    /// What was seen and what it means.
    pub sentence: String,
    /// What to do.
    pub advice: String,
    /// The bypass rule that would leave these hosts undecrypted for this client, as lines of the configuration.
    pub rule: String,
}

/// Looks at everything that was seen. Findings come surest first.
pub fn judge(cases: &[Case], now: i64) -> Vec<Finding> {
    let table = Table::of(cases);
    let mut findings: Vec<Finding> =
        table.programs.values().flat_map(|program| table.judge_all(program, now)).collect();
    findings.sort_by(|a, b| {
        b.certainty.cmp(&a.certainty).then(b.refusals.cmp(&a.refusals)).then(a.client.cmp(&b.client))
    });
    findings
}

/// The cases in the order of the questions about them, so that judging all of them costs one walk and not its square.
pub struct Table<'a> {
    /// By client and fingerprint.
    programs: BTreeMap<(IpAddr, &'a str), Vec<&'a Case>>,
    /// The fingerprints of a machine's programs that have trusted us.
    trusting: BTreeMap<IpAddr, BTreeSet<&'a str>>,
    /// How many programs of all machines have trusted us for a host.
    trusted_for: HashMap<&'a Host, usize>,
}

fn refused<'a>(program: &[&'a Case]) -> Vec<&'a Case> {
    program.iter().copied().filter(|case| case.refuses().is_some()).collect()
}

/// Hosts for which a program accepts our CA.
fn trusted(program: &[&Case]) -> usize {
    program.iter().filter(|case| case.trusted > 0 && case.refuses().is_none()).count()
}

impl<'a> Table<'a> {
    pub fn of(cases: &'a [Case]) -> Table<'a> {
        let mut table =
            Table { programs: BTreeMap::new(), trusting: BTreeMap::new(), trusted_for: HashMap::new() };
        for case in cases {
            table.programs.entry((case.client, &case.ja4)).or_default().push(case);
            if case.trusted > 0 {
                table.trusting.entry(case.client).or_default().insert(&case.ja4);
                *table.trusted_for.entry(&case.host).or_default() += 1;
            }
        }
        table
    }

    /// What is found of one client and fingerprint at one host.
    pub fn judge(&self, client: IpAddr, ja4: &str, host: &Host, now: i64) -> Option<Finding> {
        let program = self.programs.get(&(client, ja4))?;
        let case = program.iter().find(|case| case.host == *host)?;
        case.refuses()?;
        match trusted(program) {
            0 => self.untrusting(&refused(program), now),
            trusted => self.pinned(case, trusted, now),
        }
    }

    fn judge_all(&self, program: &[&Case], now: i64) -> Vec<Finding> {
        let refused = refused(program);
        match trusted(program) {
            0 => self.untrusting(&refused, now).into_iter().collect(),
            trusted => refused.into_iter().filter_map(|case| self.pinned(case, trusted, now)).collect(),
        }
    }

    fn pinned(&self, case: &Case, trusted: usize, now: i64) -> Option<Finding> {
        let everybody = self.trusted_for.get(&case.host).copied().unwrap_or_default();
        let others = everybody.saturating_sub(usize::from(case.trusted > 0));
        let mut sentence = format!(
            "{} refuses our CA for host {}, {}; it accepts our CA for {}",
            case.client,
            case.host,
            seen(&[case]),
            several(trusted, "other host"),
        );
        if others > 0 {
            let _ = write!(sentence, ", and {} for this one", several(others, "other client"));
        }
        sentence.push_str(": pinned application");
        let advice = format!(
            "If {} may go unread for this client, add the rule below; it ends by itself, and the host stays inspected \
             for everybody else.",
            case.host
        );
        finding(&[case], Cause::Pinned, sentence, advice, now)
    }

    fn untrusting(&self, refused: &[&Case], now: i64) -> Option<Finding> {
        let case = refused.first()?;
        let programs = self.trusting.get(&case.client);
        let neighbours = programs.is_some_and(|all| all.iter().any(|ja4| *ja4 != case.ja4));
        let cause = if neighbours { Cause::OwnStore } else { Cause::Untrusting };
        let mut hosts: Vec<String> = refused.iter().take(NAMED).map(|case| case.host.to_string()).collect();
        if refused.len() > NAMED {
            hosts.push("others".to_owned());
        }
        let wherever = if refused.len() == 1 { "" } else { " everywhere" };
        let mut sentence = format!(
            "{} refuses our CA{wherever} ({}), {}, and was never seen to accept it",
            case.client,
            hosts.join(", "),
            seen(refused)
        );
        let advice = match cause {
            Cause::OwnStore => {
                sentence.push_str(
                    ", while other programs on that machine do: this program has a trust store of its own",
                );
                "Tell the program of the CA: `portward env` prints the variable or flag that its kind of program wants."
            }
            _ => {
                sentence.push_str(": it does not trust our CA");
                "On that machine, run `portward trust install` (browsers, system) or `portward env` (one shell)."
            }
        };
        let advice = format!("{advice} Only if that cannot be done, add the rule below.");
        finding(refused, cause, sentence, advice, now)
    }
}

fn finding(refused: &[&Case], cause: Cause, sentence: String, advice: String, now: i64) -> Option<Finding> {
    let case = refused.first()?;
    let certainty = refused.iter().filter_map(|case| case.refuses()).max()?;
    Some(Finding {
        client: case.client,
        ja4: case.ja4.clone(),
        hosts: refused.iter().take(NAMED).map(|case| case.host.to_string()).collect(),
        cause,
        certainty,
        refusals: refused.iter().map(|case| case.certain + case.probable + case.silent).sum(),
        rule: rule(refused, now),
        sentence,
        advice,
    })
}

/// "3 alerts (UnknownCA)", "2 handshakes broken off behind our certificate", ...
fn seen(refused: &[&Case]) -> String {
    let sum = |count: fn(&Case) -> u32| refused.iter().map(|case| count(case) as usize).sum::<usize>();
    let mut parts = Vec::new();
    let certain = sum(|case| case.certain);
    if certain > 0 {
        let alerts: BTreeSet<&str> =
            refused.iter().map(|case| case.alert.as_str()).filter(|alert| !alert.is_empty()).collect();
        let alerts: Vec<&str> = alerts.into_iter().collect();
        parts.push(format!("{} ({})", several(certain, "alert"), alerts.join(", ")));
    }
    let probable = sum(|case| case.probable);
    if probable > 0 {
        parts.push(format!("{} broken off behind our certificate", several(probable, "handshake")));
    }
    let silent = sum(|case| case.silent);
    if silent > 0 {
        parts.push(format!("{} finished and left without a request", several(silent, "handshake")));
    }
    parts.join(", ")
}

fn several(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The rule, as lines of the configuration. Hosts, addresses and fingerprints have nothing to escape in TOML.
fn rule(refused: &[&Case], now: i64) -> String {
    let Some(case) = refused.first() else { return String::new() };
    let hosts: Vec<String> = refused.iter().take(NAMED).map(|case| format!("\"{}\"", case.host)).collect();
    let more = if refused.len() > 1 { " and others" } else { "" };
    let why = if case.ja4.is_empty() { String::new() } else { format!(", JA4 {}", case.ja4) };
    format!(
        "[[policy.bypass]]\nname = \"{}{more} unread for {}\"\nhosts = [{}]\nclients = [\"{}\"]\n\
         reason = \"refuses our CA: {}{why}\"\nexpires = {}\n",
        case.host,
        case.client,
        hosts.join(", "),
        case.client,
        seen(refused),
        day(now.saturating_add(PROPOSED.whole_seconds())),
    )
}

fn day(seconds: i64) -> Date {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000;

    fn case(client: &str, ja4: &str, host: &str, endings: &[Ending]) -> Case {
        let mut case = Case::new(client.parse().unwrap(), ja4, Host::parse(host).unwrap());
        for (at, ending) in endings.iter().enumerate() {
            case.count(ending, NOW + at as i64);
        }
        case
    }

    const ALERT: Ending = Ending::Certain("UnknownCA");
    use Ending::{Probable, Silent, Trusted};

    fn one(cases: &[Case]) -> Finding {
        let mut findings = judge(cases, NOW);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        findings.remove(0)
    }

    #[test]
    fn a_client_that_succeeds_elsewhere_pins_where_it_does_not() {
        let app = [
            case("10.0.0.7", "app", "api.test", &[ALERT, ALERT, ALERT]),
            case("10.0.0.7", "app", "news.test", &[Trusted]),
            case("10.0.0.7", "browser", "api.test", &[Trusted]),
            case("10.0.0.8", "browser", "api.test", &[Trusted]),
        ];
        let found = one(&app);
        assert_eq!((found.cause, found.certainty, found.refusals), (Cause::Pinned, Certainty::Certain, 3));
        assert_eq!(
            found.sentence,
            "10.0.0.7 refuses our CA for host api.test, 3 alerts (UnknownCA); it accepts our CA for 1 other host, \
             and 2 other clients for this one: pinned application"
        );
        assert_eq!(
            found.rule,
            "[[policy.bypass]]\nname = \"api.test unread for 10.0.0.7\"\nhosts = [\"api.test\"]\n\
             clients = [\"10.0.0.7\"]\nreason = \"refuses our CA: 3 alerts (UnknownCA), JA4 app\"\n\
             expires = 2027-02-16\n"
        );
    }

    #[test]
    fn a_client_that_succeeds_nowhere_does_not_trust_the_ca() {
        let cases = [
            case("10.0.0.7", "curl", "a.test", &[ALERT]),
            case("10.0.0.7", "curl", "b.test", &[ALERT, Probable]),
        ];
        let found = one(&cases);
        assert_eq!((found.cause, found.refusals), (Cause::Untrusting, 3));
        assert!(found.sentence.contains("everywhere (a.test, b.test)"), "{}", found.sentence);
        assert!(found.advice.contains("portward trust install"), "{}", found.advice);
        // The neighbour's success says that the machine has the CA, and this program does not look there.
        let neighbour = case("10.0.0.7", "browser", "c.test", &[Trusted]);
        let found = one(&[cases.to_vec(), vec![neighbour]].concat());
        assert_eq!(found.cause, Cause::OwnStore);
        assert!(found.advice.contains("portward env"), "{}", found.advice);
        // Another machine's does not.
        let stranger = case("10.0.0.9", "browser", "c.test", &[Trusted]);
        assert_eq!(one(&[cases.to_vec(), vec![stranger]].concat()).cause, Cause::Untrusting);
    }

    #[test]
    fn one_case_is_judged_as_the_whole_table_judges_it() {
        let cases = [
            case("10.0.0.7", "app", "api.test", &[ALERT, ALERT]),
            case("10.0.0.7", "app", "pay.test", &[Trusted, ALERT]),
            case("10.0.0.7", "app", "news.test", &[Trusted]),
            case("10.0.0.7", "curl", "api.test", &[ALERT]),
            case("10.0.0.7", "curl", "news.test", &[Probable]),
            case("10.0.0.8", "curl", "api.test", &[ALERT]),
            case("10.0.0.9", "app", "api.test", &[Trusted]),
        ];
        let all = judge(&cases, NOW);
        assert_eq!(all.len(), 4, "{all:#?}");
        let table = Table::of(&cases);
        for about in &cases {
            let found = table.judge(about.client, &about.ja4, &about.host, NOW);
            let of_it = |finding: &&Finding| {
                finding.client == about.client
                    && finding.ja4 == about.ja4
                    && finding.hosts.contains(&about.host.to_string())
            };
            assert_eq!(found.as_ref(), all.iter().find(of_it), "{about:?}");
        }
    }

    #[test]
    fn a_full_table_is_judged_in_one_walk() {
        // A client that accepted us once and refuses everything else; the square of this is not waited for.
        let cpu = || nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
        let took = |full: u32| {
            let mut cases: Vec<Case> =
                (0..full).map(|n| case("10.0.0.7", "x", &format!("h{n}.test"), &[ALERT])).collect();
            cases.push(case("10.0.0.7", "x", "a.test", &[Trusted]));
            let once = || {
                let began = cpu();
                assert_eq!(judge(&cases, NOW).len(), full as usize);
                std::time::Duration::from(cpu() - began)
            };
            (0..5).map(|_| once()).min().unwrap_or_default()
        };
        let (small, large) = (took(1024), took(8192));
        assert!(large < small * 24, "eight times as many: {small:?}, then {large:?}");
    }

    #[test]
    fn what_may_be_chance_has_to_repeat() {
        let table: [(&[Ending], Option<Certainty>); 9] = [
            (&[ALERT], Some(Certainty::Certain)),
            (&[Probable], None),
            (&[Probable, Probable], Some(Certainty::Probable)),
            (&[Silent, Silent], None),
            (&[Silent, Silent, Silent], Some(Certainty::Silent)),
            // A browser's spare connections, beside those it uses.
            (&[Silent, Silent, Trusted, Silent, Probable, Probable], None),
            // The CA was installed after the alert...
            (&[ALERT, ALERT, Trusted], None),
            // ...or the application was updated and pins now.
            (&[Trusted, ALERT], Some(Certainty::Certain)),
            (&[], None),
        ];
        for (endings, certainty) in table {
            let found = judge(&[case("10.0.0.7", "x", "a.test", endings)], NOW);
            assert_eq!(found.first().map(|found| found.certainty), certainty, "{endings:?}");
        }
    }

    #[test]
    fn the_surest_comes_first_and_sentences_stay_short() {
        let mut cases: Vec<Case> =
            (0..30).map(|n| case("10.0.0.7", "x", &format!("h{n}.test"), &[Probable, Probable])).collect();
        cases.push(case("10.0.0.9", "y", "a.test", &[ALERT]));
        let found = judge(&cases, NOW);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].client.to_string(), "10.0.0.9");
        assert_eq!(found[1].hosts.len(), NAMED);
        assert!(found[1].sentence.contains("others"), "{}", found[1].sentence);
    }

    #[test]
    fn cases_read_back_as_written() {
        let case = case("2001:db8::7", "t13d", "192.0.2.1", &[ALERT, Silent]);
        let text = serde_json::to_string(&case).unwrap();
        assert_eq!(serde_json::from_str::<Case>(&text).unwrap(), case);
    }
}
