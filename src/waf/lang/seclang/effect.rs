//! Actions that are done for each matching value: `setvar`, `expirevar`, `initcol` and its kin, and
//! everything behind `ctl:`.

use crate::waf::lang::ast::{
    Action, Assignment, BodyProcessor, EngineMode, ExcludeAction, IdRange, Persistent, SetName,
};
use crate::waf::lang::error::{At, Place, shown};
use crate::waf::lang::print;
use crate::waf::variable::target::Target;

use super::actions::{By, Effect, Item, value};
use super::fault::Fault;
use super::lexer::Text;
use super::{Log, macros, rule, target};

/// `setvar:tx.a=1`, `tx.a=+1`, `tx.a=-%{x}`, `tx.a`, `!tx.a`.
pub(super) fn setvar(item: &Item) -> Result<At<Effect>, Fault> {
    let written = value(item)?;
    let (deletes, text) = match written.value.trim().strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, written.value.trim()),
    };
    let (name, assigned) = match text.split_once('=') {
        Some((name, assigned)) => (name, Some(assigned)),
        None => (text, None),
    };
    let name = set_name(name, written.place)?;
    let macros = |text: &str| macros::template(&At::new(written.place, text.to_owned())).map(|at| at.value);
    let assignment = match assigned {
        _ if deletes => Assignment::Delete,
        None => Assignment::Text("1".to_owned()),
        Some(text) => match text.as_bytes().first() {
            Some(b'+') => Assignment::Add(number(&macros(&text[1..])?)),
            Some(b'-') => Assignment::Subtract(number(&macros(&text[1..])?)),
            _ => Assignment::Text(macros(text)?),
        },
    };
    if !print::expressible(&assignment) {
        let problem = format!("`{}` counts by what is neither a number nor a macro", shown(&written.value));
        return Err(Fault::error(written.place, problem));
    }
    Ok(At::new(item.name.place, Effect::Action(Action::Set(vec![(name, assignment)]))))
}

/// What is counted by: a macro as it is, a number as `atoi` reads it.
fn number(text: &str) -> String {
    let text = text.trim();
    if text.contains("%{") {
        return text.to_owned();
    }
    crate::waf::operator::number(text.as_bytes()).clamp(0, i64::from(u32::MAX)).to_string()
}

/// `tx.NAME` or `COLLECTION.NAME`, in lower case.
fn set_name(written: &str, place: Place) -> Result<SetName, Fault> {
    let (collection, name) = written.trim().split_once(['.', ':']).unwrap_or((written.trim(), ""));
    let collection = collection.to_ascii_lowercase();
    let persistent = Persistent::ALL.into_iter().find(|persistent| persistent.name() == collection);
    if name.is_empty() || (persistent.is_none() && collection != "tx") {
        return Err(Fault::error(place, format!("`{}` cannot be set", shown(written))).help(
            "`tx.NAME` can, and `ip.NAME`, `session.NAME`, `user.NAME`, `resource.NAME`, `global.NAME`",
        ));
    }
    let name = macros::template(&At::new(place, name.to_ascii_lowercase()))?.value;
    Ok(SetName { persistent, name })
}

/// `expirevar:'ip.a=60'`.
pub(super) fn expirevar(item: &Item, log: &mut Log) -> Result<Option<At<Effect>>, Fault> {
    let written = value(item)?;
    let (name, seconds) = written.value.split_once('=').unwrap_or((&written.value, "3600"));
    let name = set_name(name, written.place)?;
    if name.persistent.is_none() {
        log.note(item.name.place, "expirevar", "`tx` ends with the exchange and never expires");
        return Ok(None);
    }
    let seconds = macros::template(&At::new(written.place, seconds.trim().to_owned()))?.value;
    Ok(Some(At::new(item.name.place, Effect::Action(Action::Expire(vec![(name, seconds)])))))
}

/// `initcol:ip=%{REMOTE_ADDR}`, `setsid:...`, `setuid:...`, `setrsc:...`.
pub(super) fn open(action: &str, item: &Item) -> Result<At<Effect>, Fault> {
    let written = value(item)?;
    let (kind, key) = match action {
        "setsid" => (Persistent::Session, written.value.as_str()),
        "setuid" => (Persistent::User, written.value.as_str()),
        "setrsc" => (Persistent::Resource, written.value.as_str()),
        _ => {
            let (name, key) = written.value.split_once('=').unwrap_or((&written.value, ""));
            let wanted = name.trim().to_ascii_lowercase();
            let kind = Persistent::ALL.into_iter().find(|kind| kind.name() == wanted);
            let kind = kind.ok_or_else(|| {
                Fault::unknown(written.place, "collection", name, Persistent::ALL.map(Persistent::name))
            })?;
            (kind, key)
        }
    };
    if key.trim().is_empty() {
        return Err(Fault::error(written.place, format!("`{action}` needs a key"))
            .help("write `initcol:ip=%{REMOTE_ADDR}`"));
    }
    let key = macros::template(&At::new(written.place, key.trim().to_owned()))?.value;
    Ok(At::new(item.name.place, Effect::Action(Action::InitCollection(vec![(kind, key)]))))
}

const CTL: &[&str] = &[
    "auditEngine",
    "auditLogParts",
    "debugLogLevel",
    "forceRequestBodyVariable",
    "parseXmlIntoArgs",
    "requestBodyAccess",
    "requestBodyLimit",
    "requestBodyProcessor",
    "responseBodyAccess",
    "responseBodyLimit",
    "ruleEngine",
    "ruleRemoveById",
    "ruleRemoveByMsg",
    "ruleRemoveByTag",
    "ruleRemoveTargetById",
    "ruleRemoveTargetByMsg",
    "ruleRemoveTargetByTag",
];

/// `ctl:NAME=VALUE`.
pub(super) fn ctl(item: &Item, log: &mut Log) -> Result<Vec<At<Effect>>, Fault> {
    let written = value(item)?;
    let place = item.name.place;
    let (name, argument) = written.value.split_once('=').unwrap_or((&written.value, ""));
    let (name, argument) = (name.trim(), argument.trim());
    let lower = name.to_ascii_lowercase();
    let one = |action: Action| Ok(vec![At::new(place, Effect::Action(action))]);
    let directive = format!("ctl:{name}");
    match lower.as_str() {
        "auditengine" | "auditlogparts" | "debugloglevel" => {
            log.note(place, &directive, "the audit log is set up in portward.toml");
            Ok(Vec::new())
        }
        "requestbodylimit" | "responsebodylimit" => {
            log.note(place, &directive, "limits are set in portward.toml");
            Ok(Vec::new())
        }
        "forcerequestbodyvariable" if switch(argument, written.place)? => {
            one(Action::ForceRequestBodyVariable)
        }
        "forcerequestbodyvariable" => {
            log.note(place, &directive, "Off is what it is without this");
            Ok(Vec::new())
        }
        "requestbodyaccess" => one(Action::RequestBodyAccess(switch(argument, written.place)?)),
        "responsebodyaccess" => one(Action::ResponseBodyAccess(switch(argument, written.place)?)),
        "ruleengine" => one(Action::Engine(match argument.to_ascii_lowercase().as_str() {
            "on" => EngineMode::Block,
            "detectiononly" => EngineMode::Detect,
            "off" => EngineMode::Off,
            _ => return Err(Fault::unknown(written.place, "word", argument, ["On", "DetectionOnly", "Off"])),
        })),
        "requestbodyprocessor" => one(Action::BodyProcessor(match argument.to_ascii_lowercase().as_str() {
            "urlencoded" => BodyProcessor::Urlencoded,
            "multipart" => BodyProcessor::Multipart,
            "json" => BodyProcessor::Json,
            "xml" => BodyProcessor::Xml,
            _ => {
                let known = ["URLENCODED", "MULTIPART", "JSON", "XML"];
                return Err(Fault::unknown(written.place, "body processor", argument, known));
            }
        })),
        "ruleremovebyid" => one(Action::Exclude(ExcludeAction {
            rules: id_ranges(argument, written.place)?,
            tags: Vec::new(),
            variables: Vec::new(),
        })),
        "ruleremovetargetbyid" => {
            let (ids, variables) = targets(argument, written.place, &directive, log)?;
            if variables.is_empty() {
                return Ok(Vec::new());
            }
            let rules = id_ranges(ids, written.place)?;
            one(Action::Exclude(ExcludeAction { rules, tags: Vec::new(), variables }))
        }
        "ruleremovebytag" | "ruleremovebymsg" => {
            let by = if lower.ends_with("tag") { By::Tag } else { By::Message };
            let name = argument.to_owned();
            Ok(vec![At::new(place, Effect::Exclude { by, name, variables: Vec::new() })])
        }
        "ruleremovetargetbytag" | "ruleremovetargetbymsg" => {
            let by = if lower.ends_with("tag") { By::Tag } else { By::Message };
            let (name, variables) = targets(argument, written.place, &directive, log)?;
            if variables.is_empty() {
                return Ok(Vec::new());
            }
            Ok(vec![At::new(place, Effect::Exclude { by, name: name.to_owned(), variables })])
        }
        "hashengine" | "hashenforcement" | "parsexmlintoargs" => {
            Err(Fault::unsupported(place, format!("`{directive}` is not supported")))
        }
        _ => Err(Fault::unknown(written.place, "word behind `ctl:`", name, CTL.iter().copied())),
    }
}

fn switch(argument: &str, place: Place) -> Result<bool, Fault> {
    match argument.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(Fault::unknown(place, "word", argument, ["On", "Off"])),
    }
}

/// `ID;ARGS:x`: what stands before the semicolon, and the targets behind it. Those that are not
/// supported can be taken out of no rule and are noted.
fn targets<'a>(
    argument: &'a str,
    place: Place,
    directive: &str,
    log: &mut Log,
) -> Result<(&'a str, Vec<Target>), Fault> {
    let Some((name, list)) = argument.split_once(';') else {
        return Err(Fault::error(place, format!("`{directive}` needs a target"))
            .help(format!("write `{directive}=...;ARGS:name`")));
    };
    let mut faults = Vec::new();
    let mut found = Vec::new();
    for mut variable in rule::variables(&Text::at(place, list.trim()), &mut faults) {
        variable.role = crate::waf::variable::target::Role::Include;
        match target::target(&variable) {
            Ok(target) => found.push(target),
            Err(fault) if fault.kind == super::fault::FaultKind::Unsupported => {
                log.note(place, directive, &format!("{}, so no rule looks at it", fault.problem));
            }
            Err(fault) => return Err(fault),
        }
    }
    match faults.pop() {
        Some(fault) => Err(fault),
        None => Ok((name.trim(), found)),
    }
}

/// `1-5,7 9`.
pub(super) fn id_ranges(written: &str, place: Place) -> Result<Vec<At<IdRange>>, Fault> {
    let wrong = |word: &str| {
        Fault::error(place, format!("`{}` is neither a rule id nor a range of them", shown(word)))
            .help("write 1234 or 1000-1999")
    };
    let number = |text: &str| text.trim().trim_matches(['"', '\'']).parse::<u32>().ok();
    let mut ranges = Vec::new();
    for word in written.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
        let range = match word.split_once('-') {
            Some((first, last)) => number(first).zip(number(last)).filter(|(first, last)| first <= last),
            None => number(word).map(|id| (id, id)),
        };
        let (first, last) = range.ok_or_else(|| wrong(word))?;
        ranges.push(At::new(place, IdRange { first, last }));
    }
    if ranges.is_empty() { Err(wrong(written)) } else { Ok(ranges) }
}
