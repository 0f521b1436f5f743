//! A rule's list of actions: `id:1,phase:2,deny,msg:'a, b',setvar:'tx.a=+1'`. What belongs to our
//! language becomes so at once; what needs all rules (tags, messages) waits in [`Effect`].

use crate::waf::lang::ast::{Action, AllowScope, Severity};
use crate::waf::lang::error::{At, Place, shown};
use crate::waf::report::PhaseName;

use super::effect;
use super::fault::Fault;
use super::lexer::Text;
use super::{Log, macros};
use crate::waf::variable::target::Target;

/// What one list says.
#[derive(Clone, Debug, Default)]
pub(super) struct Actions {
    pub id: Option<At<u32>>,
    pub phase: Option<At<PhaseName>>,
    pub msg: Option<At<String>>,
    pub logdata: Option<At<String>>,
    pub ver: Option<At<String>>,
    pub rev: Option<At<String>>,
    pub severity: Option<At<Severity>>,
    pub maturity: Option<At<u8>>,
    pub accuracy: Option<At<u8>>,
    pub tags: Vec<At<String>>,
    /// Names as written, `none` included.
    pub transformations: Vec<At<String>>,
    pub disruptive: Option<At<Disruptive>>,
    pub status: Option<At<u16>>,
    pub log: Option<At<bool>>,
    pub capture: bool,
    pub multi_match: bool,
    pub chain: Option<Place>,
    pub jump: Option<At<Action>>,
    /// In order.
    pub effects: Vec<At<Effect>>,
}

/// What happens to the exchange.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Disruptive {
    Pass,
    /// What SecDefaultAction says.
    Block,
    Deny,
    Drop,
    Allow(AllowScope),
    Redirect(String),
}

/// What is done for every value that matches.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    Action(Action),
    /// Takes rules out by tag, or by an expression that their messages hold.
    Exclude {
        by: By,
        name: String,
        variables: Vec<Target>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Tag,
    Message,
}

/// One action as written.
pub(super) struct Item {
    pub name: At<String>,
    pub value: Option<At<String>>,
}

const KNOWN: &[&str] = &[
    "accuracy",
    "allow",
    "auditlog",
    "block",
    "capture",
    "chain",
    "ctl",
    "deny",
    "drop",
    "expirevar",
    "id",
    "initcol",
    "log",
    "logdata",
    "maturity",
    "msg",
    "multiMatch",
    "noauditlog",
    "nolog",
    "pass",
    "pause",
    "phase",
    "redirect",
    "rev",
    "setrsc",
    "setsid",
    "setuid",
    "setvar",
    "severity",
    "skip",
    "skipAfter",
    "status",
    "t",
    "tag",
    "ver",
    "xmlns",
];

/// Actions that are not imported, and why.
const REFUSED: &[(&str, &str)] = &[
    ("append", "writes into responses"),
    ("deprecatevar", "lowers a counter over time, for which there is nothing here"),
    ("exec", "runs a program"),
    ("prepend", "writes into responses"),
    ("proxy", "sends the request to another server"),
    ("sanitisearg", "hides values in ModSecurity's audit log"),
    ("sanitisematched", "hides values in ModSecurity's audit log"),
    ("sanitisematchedbytes", "hides values in ModSecurity's audit log"),
    ("sanitiserequestheader", "hides values in ModSecurity's audit log"),
    ("sanitiseresponseheader", "hides values in ModSecurity's audit log"),
    ("sanitizearg", "hides values in ModSecurity's audit log"),
    ("sanitizematched", "hides values in ModSecurity's audit log"),
    ("sanitizematchedbytes", "hides values in ModSecurity's audit log"),
    ("sanitizerequestheader", "hides values in ModSecurity's audit log"),
    ("sanitizeresponseheader", "hides values in ModSecurity's audit log"),
    ("setenv", "sets a variable of the web server"),
];

impl Actions {
    pub fn parse(text: &Text, log: &mut Log) -> Actions {
        let mut actions = Actions::default();
        for item in items(text, log.faults) {
            if let Err(fault) = actions.add(&item, log) {
                log.faults.push(fault);
            }
        }
        actions
    }

    fn add(&mut self, item: &Item, log: &mut Log) -> Result<(), Fault> {
        let place = item.name.place;
        let name = item.name.value.to_ascii_lowercase();
        match name.as_str() {
            "id" => self.id = Some(At::new(place, id(item)?)),
            "phase" => self.phase = Some(At::new(place, phase(item)?)),
            "msg" => self.msg = Some(template(item)?).filter(|message| !message.value.is_empty()),
            "logdata" => self.logdata = Some(template(item)?),
            "ver" => self.ver = Some(value(item)?.clone()),
            "rev" => self.rev = Some(value(item)?.clone()),
            "severity" => self.severity = Some(At::new(place, severity(item)?)),
            "maturity" => self.maturity = Some(At::new(place, grade(item)?)),
            "accuracy" => self.accuracy = Some(At::new(place, grade(item)?)),
            "tag" => {
                let tag = value(item)?;
                if tag.value.contains("%{") {
                    log.note(place, &name, "macros in a tag stay as they are written");
                }
                self.tags.extend((!tag.value.is_empty()).then(|| tag.clone()));
            }
            "t" => self.transformations.push(value(item)?.clone()),
            "pass" => self.disrupt(place, Disruptive::Pass),
            "block" => self.disrupt(place, Disruptive::Block),
            "deny" => self.disrupt(place, Disruptive::Deny),
            "drop" => self.disrupt(place, Disruptive::Drop),
            "allow" => self.disrupt(place, Disruptive::Allow(scope(item)?)),
            "redirect" => self.disrupt(place, Disruptive::Redirect(template(item)?.value)),
            "status" => {
                let number = value(item)?.value.parse().ok().filter(|status| (100..600).contains(status));
                let wrong = || Fault::error(place, "`status` is a number from 100 to 599");
                self.status = Some(At::new(place, number.ok_or_else(wrong)?));
            }
            "log" => self.log = Some(At::new(place, true)),
            "nolog" => self.log = Some(At::new(place, false)),
            "auditlog" | "noauditlog" => {
                log.note(place, &name, "there is one log of what matched; `log` and `nolog` decide");
            }
            "capture" => self.capture = true,
            "multimatch" => self.multi_match = true,
            "chain" => self.chain = Some(place),
            "skip" => self.jump = skip(item)?,
            "skipafter" => {
                let marker = value(item)?;
                if marker.value.is_empty() {
                    return Err(Fault::error(marker.place, "`skipAfter` needs the name of a marker"));
                }
                self.jump = Some(At::new(place, Action::SkipAfter(marker.value.clone())));
            }
            "pause" => log.note(place, &name, "a request is not made to wait"),
            "xmlns" => {
                let named = value(item)?.value.split_once('=');
                if !named.is_some_and(|(prefix, space)| !prefix.is_empty() && !space.is_empty()) {
                    return Err(Fault::error(place, "`xmlns` takes a prefix and its name space")
                        .help("write `xmlns:PREFIX=http://...`"));
                }
                log.note(place, &name, "`XML:/*` and `XML://@*` need no name spaces");
            }
            "ctl" => effect::ctl(item, log)?.into_iter().for_each(|effect| self.effects.push(effect)),
            "setvar" => self.effects.push(effect::setvar(item)?),
            "expirevar" => self.effects.extend(effect::expirevar(item, log)?),
            "initcol" | "setsid" | "setuid" | "setrsc" => self.effects.push(effect::open(&name, item)?),
            _ => {
                if let Some((_, why)) = REFUSED.iter().find(|(known, _)| *known == name) {
                    return Err(Fault::unsupported(place, format!("the action `{}` {why}", item.name.value)));
                }
                return Err(Fault::unknown(place, "action", &item.name.value, KNOWN.iter().copied()));
            }
        }
        Ok(())
    }

    /// The last one counts, but `block` says nothing beside one that says what to do.
    fn disrupt(&mut self, place: Place, disruptive: Disruptive) {
        if disruptive == Disruptive::Block && self.disruptive.is_some() {
            return;
        }
        self.disruptive = Some(At::new(place, disruptive));
    }

    /// What a later list, of SecRuleUpdateActionById, puts over this one: what stands once is
    /// replaced, what may stand often is added.
    pub fn update(&mut self, other: Actions) {
        fn over<T>(mine: &mut Option<T>, other: Option<T>) {
            if other.is_some() {
                *mine = other;
            }
        }
        over(&mut self.msg, other.msg);
        over(&mut self.logdata, other.logdata);
        over(&mut self.ver, other.ver);
        over(&mut self.rev, other.rev);
        over(&mut self.severity, other.severity);
        over(&mut self.maturity, other.maturity);
        over(&mut self.accuracy, other.accuracy);
        over(&mut self.disruptive, other.disruptive);
        over(&mut self.status, other.status);
        over(&mut self.log, other.log);
        over(&mut self.jump, other.jump);
        self.capture |= other.capture;
        self.multi_match |= other.multi_match;
        self.tags.extend(other.tags);
        self.transformations.extend(other.transformations);
        self.effects.extend(other.effects);
    }
}

/// Splits a list at its commas; what stands in `'...'` may hold some.
pub(super) fn items(text: &Text, faults: &mut Vec<Fault>) -> Vec<Item> {
    let whole = text.value.as_str();
    let mut found = Vec::new();
    let mut at = 0;
    while at < whole.len() {
        let rest = &whole[at..];
        if let Some(c) = rest.chars().next().filter(|c| *c == ',' || c.is_whitespace()) {
            at += c.len_utf8();
            continue;
        }
        let length = rest.find([':', ',']).unwrap_or(rest.len());
        let name = At::new(text.place(at), rest[..length].trim().to_owned());
        at += length;
        let mut value = None;
        if whole[at..].starts_with(':') {
            at += 1;
            at += whole[at..].len() - whole[at..].trim_start().len();
            let start = at;
            let (read, length) = item_value(&whole[at..]);
            at += length;
            value = Some(At::new(text.place(start), read));
            let behind = whole[at..].trim_start();
            if !behind.is_empty() && !behind.starts_with(',') {
                faults.push(
                    Fault::error(text.place(whole.len() - behind.len()), "a comma is missing before this")
                        .help("actions stand between commas; a quote inside '...' is written \\'"),
                );
                at = whole[at..].find(',').map_or(whole.len(), |comma| at + comma);
            }
        }
        found.push(Item { name, value });
    }
    found
}

/// A value up to its comma or closing quote, and how long it is.
fn item_value(rest: &str) -> (String, usize) {
    if let Some((value, length)) = quoted(rest) {
        return (value, length);
    }
    let mut value = String::new();
    let mut at = 0;
    while let Some(character) = rest[at..].chars().next() {
        // `setvar:tx.a='b, c'` is written, too.
        if character == '\''
            && value.ends_with('=')
            && let Some((inner, length)) = quoted(&rest[at..])
            && ends_item(&rest[at + length..])
        {
            value.push_str(&inner);
            at += length;
            continue;
        }
        if character == ',' {
            break;
        }
        value.push(character);
        at += character.len_utf8();
    }
    (value.trim_end().to_owned(), at)
}

fn ends_item(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with(',')
}

/// What stands in `'...'` at the start of a text, and how long it is with its quotes.
fn quoted(rest: &str) -> Option<(String, usize)> {
    let inner = rest.strip_prefix('\'')?;
    let mut value = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' => return Some((value, at + 2)),
            '\\' => match characters.next() {
                Some((_, '\'')) => value.push('\''),
                Some((_, escaped)) => value.extend(['\\', escaped]),
                None => value.push('\\'),
            },
            _ => value.push(character),
        }
    }
    None
}

/// The item's value, which must be there.
pub(super) fn value(item: &Item) -> Result<&At<String>, Fault> {
    item.value.as_ref().ok_or_else(|| {
        let name = shown(&item.name.value);
        Fault::error(item.name.place, format!("the action `{name}` needs a value"))
            .help(format!("write `{name}:...`"))
    })
}

fn template(item: &Item) -> Result<At<String>, Fault> {
    macros::template(value(item)?)
}

fn id(item: &Item) -> Result<u32, Fault> {
    let written = &value(item)?.value;
    let number = written.trim().parse::<u32>().ok().filter(|id| *id > 0);
    number.ok_or_else(|| {
        let problem = format!("`{}` is not a rule id", shown(written));
        Fault::error(item.name.place, problem).help(format!("ids are numbers from 1 to {}", u32::MAX))
    })
}

fn phase(item: &Item) -> Result<PhaseName, Fault> {
    let written = value(item)?;
    Ok(match written.value.to_ascii_lowercase().as_str() {
        "1" => PhaseName::RequestHeaders,
        "2" | "request" => PhaseName::RequestBody,
        "3" => PhaseName::ResponseHeaders,
        "4" | "response" => PhaseName::ResponseBody,
        "5" | "logging" => PhaseName::Logging,
        _ => {
            let problem = format!("`{}` is not a phase", shown(&written.value));
            return Err(Fault::error(written.place, problem)
                .help("phases are 1 to 5, `request` (2), `response` (4) and `logging` (5)"));
        }
    })
}

fn severity(item: &Item) -> Result<Severity, Fault> {
    const ALL: [Severity; 8] = [
        Severity::Emergency,
        Severity::Alert,
        Severity::Critical,
        Severity::Error,
        Severity::Warning,
        Severity::Notice,
        Severity::Info,
        Severity::Debug,
    ];
    let written = value(item)?;
    let number = written.value.trim().parse::<usize>().ok().and_then(|number| ALL.get(number).copied());
    let named = || ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(written.value.trim()));
    number.or_else(named).ok_or_else(|| {
        Fault::unknown(written.place, "severity", &written.value, ALL.map(Severity::name))
            .help("severities are 0 to 7, or EMERGENCY to DEBUG")
    })
}

fn grade(item: &Item) -> Result<u8, Fault> {
    let written = value(item)?;
    let number = written.value.trim().parse().ok().filter(|grade| *grade <= 10);
    number.ok_or_else(|| Fault::error(written.place, "a grade is a number from 0 to 10"))
}

fn scope(item: &Item) -> Result<AllowScope, Fault> {
    let Some(written) = &item.value else { return Ok(AllowScope::Exchange) };
    match written.value.to_ascii_lowercase().as_str() {
        "phase" => Ok(AllowScope::Phase),
        "request" => Ok(AllowScope::Request),
        word => Err(Fault::unknown(written.place, "word", word, ["phase", "request"])),
    }
}

/// `skip:0` goes nowhere.
fn skip(item: &Item) -> Result<Option<At<Action>>, Fault> {
    let written = value(item)?;
    match written.value.trim().parse::<u32>() {
        Ok(0) => Ok(None),
        Ok(count) if count <= 10_000 => Ok(Some(At::new(item.name.place, Action::Skip(count)))),
        _ => Err(Fault::error(written.place, "`skip` takes a number of rules, 10000 at most")),
    }
}
