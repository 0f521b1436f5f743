//! Directives in order: rules become drafts, settings become setup or notes, files are included.

use crate::waf::lang::ast::{Setup, SetupMode};
use crate::waf::lang::error::{At, Place, shown};

use super::actions::{Actions, Disruptive};
use super::draft::{Defaults, Draft, Entry, Link};
use super::fault::Fault;
use super::lexer::{self, Directive, Text};
use super::{Files, Input, Log, RawNote, rule, update};

/// Files inside each other; a file that includes itself ends here.
const DEPTH: usize = 16;
/// Files of one import.
const FILES: usize = 10_000;
/// Bytes of one file.
const FILE_BYTES: usize = 64 * 1024 * 1024;

/// What the files say, as far as one directive after the other tells.
pub(super) struct Reader<'a> {
    pub files: &'a mut dyn Files,
    pub inputs: Vec<Input>,
    /// The input that each stretch of rules stands in.
    pub segments: Vec<usize>,
    pub entries: Vec<Entry>,
    pub setup: Setup,
    pub signature: Option<String>,
    pub faults: Vec<Fault>,
    pub notes: Vec<RawNote>,
    /// Updates that have found no rule yet.
    pub late: Vec<update::Late>,
    /// By phase.
    defaults: [Defaults; 7],
    /// The last rule ends in a `chain` that has not gone on.
    open_chain: bool,
}

const LOG: &str = "logs are set up in portward.toml";
const LIMIT: &str = "limits are set in portward.toml";
const NOTHING: &str = "there is nothing like it here";

/// Directives that only become notes, and why; names in lower case.
const NOTED: &[(&str, &str)] = &[
    ("secargumentseparator", "arguments are separated by `&`"),
    ("secauditengine", LOG),
    ("secauditlog", LOG),
    ("secauditlog2", LOG),
    ("secauditlogdirmode", LOG),
    ("secauditlogfilemode", LOG),
    ("secauditlogformat", LOG),
    ("secauditlogparts", LOG),
    ("secauditlogprefix", LOG),
    ("secauditlogrelevantstatus", LOG),
    ("secauditlogstoragedir", LOG),
    ("secauditlogtype", LOG),
    ("seccachetransformations", "results of transformations are always shared"),
    ("secchrootdir", NOTHING),
    ("seccollectiontimeout", "variables of persistent collections go by `expirevar`"),
    ("secconnengine", NOTHING),
    ("secconnreadstatelimit", LIMIT),
    ("secconnwritestatelimit", LIMIT),
    ("seccontentinjection", "nothing is written into responses"),
    ("seccookieformat", "cookies are those of RFC 6265"),
    ("seccookiev0separator", "cookies are those of RFC 6265"),
    ("secdatadir", "persistent collections need no folder"),
    ("secdebuglog", LOG),
    ("secdebugloglevel", LOG),
    ("secdisablebackendcompression", "coded bodies are decoded"),
    ("secgeolookupdb", "`@geoLookup` is not supported"),
    ("secgsblookupdb", "`@gsbLookup` is not supported"),
    ("secguardianlog", NOTHING),
    ("sechttpblkey", "`@rbl` is not supported"),
    ("secinterceptonerror", "an error of the engine has its outcome in portward.toml"),
    ("secauditlogdir", LOG),
    ("secrxprefilter", "expressions are always filtered first"),
    ("secpcrematchlimit", "regular expressions are linear and need no limit"),
    ("secpcrematchlimitrecursion", "regular expressions are linear and need no limit"),
    ("secreadstatelimit", LIMIT),
    ("secrequestbodyinmemorylimit", LIMIT),
    ("secrequestbodyjsondepthlimit", LIMIT),
    ("secrequestbodylimit", LIMIT),
    ("secrequestbodylimitaction", LIMIT),
    ("secrequestbodynofileslimit", LIMIT),
    ("secresponsebodylimit", LIMIT),
    ("secresponsebodylimitaction", LIMIT),
    ("secruleinheritance", NOTHING),
    ("secruleperftime", NOTHING),
    ("secsensorid", NOTHING),
    ("secserversignature", "responses keep the origin's header"),
    ("secstatusengine", "nothing is reported to anybody"),
    ("secstreaminbodyinspection", NOTHING),
    ("secstreamoutbodyinspection", NOTHING),
    ("sectmpdir", "no files are written"),
    ("sectmpsaveuploadedfiles", "uploaded files are not kept"),
    ("secunicodecodepage", "`urlDecodeUni` takes full width characters only"),
    ("secunicodemapfile", "`urlDecodeUni` takes full width characters only"),
    ("secuploaddir", "uploaded files are not kept"),
    ("secuploadfilelimit", LIMIT),
    ("secuploadfilemode", "uploaded files are not kept"),
    ("secuploadkeepfiles", "uploaded files are not kept"),
    ("secwebappid", NOTHING),
    ("secwritestatelimit", LIMIT),
    ("secxmlexternalentity", "entities are never resolved"),
];

/// Directives that are not imported, and why.
const REFUSED: &[(&str, &str)] = &[
    ("secparsexmlintoargs", "makes arguments of XML, which rules see as `XML:/*` here"),
    ("sechashengine", "signs links, for which there is nothing here"),
    ("sechashkey", "signs links, for which there is nothing here"),
    ("sechashmethodpm", "signs links, for which there is nothing here"),
    ("sechashmethodrx", "signs links, for which there is nothing here"),
    ("sechashparam", "signs links, for which there is nothing here"),
    ("secremoterules", "loads rules from another machine; fetch the file and import it"),
    ("secremoterulesfailaction", "belongs to SecRemoteRules"),
    ("secrulescript", "runs a Lua script"),
];

const KNOWN: &[&str] = &[
    "Include",
    "IncludeOptional",
    "SecAction",
    "SecArgumentsLimit",
    "SecComponentSignature",
    "SecDefaultAction",
    "SecMarker",
    "SecRequestBodyAccess",
    "SecResponseBodyAccess",
    "SecResponseBodyMimeType",
    "SecResponseBodyMimeTypesClear",
    "SecRule",
    "SecRuleEngine",
    "SecRuleRemoveById",
    "SecRuleRemoveByMsg",
    "SecRuleRemoveByTag",
    "SecRuleUpdateActionById",
    "SecRuleUpdateTargetById",
    "SecRuleUpdateTargetByMsg",
    "SecRuleUpdateTargetByTag",
];

impl<'a> Reader<'a> {
    pub fn new(files: &'a mut dyn Files) -> Reader<'a> {
        Reader {
            files,
            inputs: Vec::new(),
            segments: Vec::new(),
            entries: Vec::new(),
            setup: Setup::default(),
            signature: None,
            faults: Vec::new(),
            notes: Vec::new(),
            late: Vec::new(),
            defaults: Default::default(),
            open_chain: false,
        }
    }

    /// Reads a file and what it includes.
    pub fn file(&mut self, input: Input, depth: usize) {
        let file = self.inputs.len();
        let place = Place { file, offset: 0 };
        let text = input.text.clone();
        self.inputs.push(input);
        if text.len() > FILE_BYTES || file >= FILES {
            let problem = format!("an import has at most {FILES} files of at most {FILE_BYTES} bytes");
            self.faults.push(Fault::error(place, problem));
            return;
        }
        self.segments.push(file);
        let mut log = Log { faults: &mut self.faults, notes: &mut self.notes };
        let directives = lexer::lex(file, &text, &mut log);
        for directive in directives {
            let including =
                matches!(directive.name.to_ascii_lowercase().as_str(), "include" | "includeoptional");
            if including {
                self.include(&directive, file, depth);
                // What comes now stands behind the rules of the files.
                self.segments.push(file);
            } else {
                self.directive(directive);
            }
        }
        if std::mem::take(&mut self.open_chain)
            && let Some(Entry::Rule(head)) = self.entries.last_mut()
        {
            head.unfinished = true;
        }
    }

    fn include(&mut self, directive: &Directive, file: usize, depth: usize) {
        let place = directive.place;
        self.end_chain(place);
        let Some([pattern]) = self.arguments(directive, 1, 1) else { return };
        if depth >= DEPTH {
            self.faults.push(Fault::error(place, format!("more than {DEPTH} files include each other")));
            return;
        }
        let optional = directive.name.eq_ignore_ascii_case("IncludeOptional");
        let from = self.inputs[file].name.clone();
        match self.files.include(&from, &pattern.value) {
            // Folders for plugins are empty until somebody puts one there.
            Ok(found) if found.is_empty() && (optional || pattern.value.contains(['*', '?'])) => {
                self.note(place, &directive.name, &format!("there is no {}", shown(&pattern.value)));
            }
            Ok(found) if found.is_empty() => {
                let problem = format!("there is no file `{}`", shown(&pattern.value));
                self.faults.push(Fault::error(pattern.place(0), problem));
            }
            Ok(found) => found.into_iter().for_each(|input| self.file(input, depth + 1)),
            Err(error) => self.faults.push(Fault::error(pattern.place(0), error)),
        }
    }

    fn directive(&mut self, directive: Directive) {
        let name = directive.name.to_ascii_lowercase();
        let place = directive.place;
        // Settings may stand between the links of a chain, and nothing that is a rule or moves rules.
        if name == "secmarker" || name.starts_with("secruleupdate") || name.starts_with("secruleremove") {
            self.end_chain(place);
        }
        match name.as_str() {
            "secrule" => {
                if let Some([variables, operator, rest @ ..]) = self.arguments(&directive, 2, 3) {
                    let mut faults = Vec::new();
                    let test = (rule::variables(variables, &mut faults), rule::operator(operator));
                    self.rule(&directive, Some(test), rest.first(), faults);
                }
            }
            "secaction" => {
                if let Some([actions]) = self.arguments(&directive, 1, 1) {
                    self.rule(&directive, None, Some(actions), Vec::new());
                }
            }
            "secmarker" => {
                if let Some([label]) = self.arguments(&directive, 1, 1) {
                    let name = label.value.trim().trim_matches('\'').to_owned();
                    if name.is_empty() {
                        self.faults.push(Fault::error(place, "a marker needs a name"));
                        return;
                    }
                    let segment = self.segments.len() - 1;
                    self.entries.push(Entry::Marker { segment, name: At::new(label.place(0), name) });
                }
            }
            "secdefaultaction" => {
                if let Some([actions]) = self.arguments(&directive, 1, 1) {
                    self.default_action(place, actions);
                }
            }
            "secruleremovebyid"
            | "secruleremovebytag"
            | "secruleremovebymsg"
            | "secruleupdatetargetbyid"
            | "secruleupdatetargetbytag"
            | "secruleupdatetargetbymsg"
            | "secruleupdateactionbyid" => {
                update::apply(self, &name, &directive);
            }
            _ => self.setting(&name, &directive),
        }
    }

    fn setting(&mut self, name: &str, directive: &Directive) {
        let place = directive.place;
        match name {
            "secruleengine" => {
                let Some([word]) = self.arguments(directive, 1, 1) else { return };
                match word.value.to_ascii_lowercase().as_str() {
                    "on" => self.setup.mode = Some(SetupMode::Block),
                    "detectiononly" => self.setup.mode = Some(SetupMode::Detect),
                    "off" => {
                        self.setup.mode = Some(SetupMode::Off);
                        let why = "rules do not run unless the configuration sets a mode";
                        self.note(place, &directive.name, why);
                    }
                    other => self.unknown_word(place, other, &["On", "DetectionOnly", "Off"]),
                }
            }
            "secrequestbodyaccess" => self.setup.request_body_access = self.switch(directive),
            "secresponsebodyaccess" => self.setup.response_body_access = self.switch(directive),
            "secresponsebodymimetype" => {
                let types: Vec<String> = directive
                    .arguments
                    .iter()
                    .flat_map(|text| text.value.split_whitespace())
                    .map(str::to_ascii_lowercase)
                    .collect();
                let known = self.setup.response_body_types.get_or_insert_default();
                for media_type in types {
                    if !known.contains(&media_type) {
                        known.push(media_type);
                    }
                }
            }
            "secresponsebodymimetypesclear" | "secresponsebodymimetypeclear" => {
                self.setup.response_body_types = Some(Vec::new());
            }
            "secargumentslimit" => {
                let Some([number]) = self.arguments(directive, 1, 1) else { return };
                match number.value.parse().ok().filter(|limit| *limit > 0) {
                    Some(limit) => self.setup.arguments_limit = Some(limit),
                    None => self.faults.push(Fault::error(number.place(0), "the limit is a number above 0")),
                }
            }
            "seccomponentsignature" => {
                let Some([signature]) = self.arguments(directive, 1, 1) else { return };
                self.signature.get_or_insert_with(|| signature.value.clone());
            }
            "secunicodemapfile" => self.unicode_map(directive),
            _ => self.other(name, directive),
        }
    }

    /// A map that is not there is as wrong as in ModSecurity; what it says has no effect.
    fn unicode_map(&mut self, directive: &Directive) {
        let Some([path, more @ ..]) = self.arguments(directive, 1, 2) else { return };
        if let Some(page) = more.first().filter(|page| page.value.parse::<u32>().is_err()) {
            let problem = format!("`{}` is not the number of a code page", shown(&page.value));
            self.faults.push(Fault::error(page.place(0), problem));
        }
        let from = self.inputs[directive.place.file].name.clone();
        match self.files.data(&from, &path.value) {
            Ok(_) => self.other("secunicodemapfile", directive),
            Err(error) => self.faults.push(Fault::error(path.place(0), error)),
        }
    }

    /// What is noted, refused or unknown.
    fn other(&mut self, name: &str, directive: &Directive) {
        let place = directive.place;
        let value = directive.arguments.first().map_or("", |text| text.value.as_str());
        let is_off = value.eq_ignore_ascii_case("off");
        if name == "secargumentseparator" && value != "&" {
            let problem = format!("arguments that `{}` separates are not supported", shown(value));
            self.faults.push(Fault::unsupported(place, problem));
        } else if let Some((_, why)) = NOTED.iter().find(|(known, _)| *known == name) {
            self.note(place, &directive.name, why);
        } else if let Some((_, why)) = REFUSED.iter().find(|(known, _)| *known == name) {
            if is_off {
                self.note(place, &directive.name, "Off is what it is without this");
            } else {
                let problem = format!("`{}` {why}", directive.name);
                self.faults.push(Fault::unsupported(place, problem));
            }
        } else {
            let fault = Fault::unknown(place, "directive", &directive.name, KNOWN.iter().copied());
            self.faults.push(fault);
        }
    }

    fn rule(
        &mut self,
        directive: &Directive,
        test: Option<(Vec<rule::Variable>, rule::Operator)>,
        actions: Option<&Text>,
        mut faults: Vec<Fault>,
    ) {
        let mut log = Log { faults: &mut faults, notes: &mut self.notes };
        let actions = actions.map_or_else(Actions::default, |text| Actions::parse(text, &mut log));
        let chained = actions.chain.is_some();
        let link = Link { place: directive.place, test, actions };
        if self.open_chain
            && let Some(Entry::Rule(head)) = self.entries.last_mut()
        {
            check_link(&link, head, &mut Log { faults: &mut faults, notes: &mut self.notes });
            head.links.push(link);
            head.faults.extend(faults);
        } else {
            let segment = self.segments.len() - 1;
            let mut draft = Draft {
                place: directive.place,
                segment,
                comment: directive.comment.clone(),
                links: vec![link],
                defaults: Defaults::default(),
                unfinished: false,
                faults,
            };
            draft.defaults = self.defaults[draft.phase() as usize].clone();
            self.entries.push(Entry::Rule(Box::new(draft)));
        }
        self.open_chain = chained;
    }

    /// A chain must go on with the next rule.
    fn end_chain(&mut self, place: Place) {
        if std::mem::take(&mut self.open_chain)
            && let Some(Entry::Rule(head)) = self.entries.last_mut()
        {
            let fault = Fault::error(place, format!("the chain of {} does not go on", head.name()))
                .help("take `chain` out of its last rule, or put the next rule behind it");
            head.faults.push(fault);
        }
    }

    fn default_action(&mut self, place: Place, text: &Text) {
        let mut faults = Vec::new();
        let actions = Actions::parse(text, &mut Log { faults: &mut faults, notes: &mut self.notes });
        let mut refuse = |refused: bool, what: &str| {
            if refused {
                faults.push(Fault::error(place, format!("SecDefaultAction cannot have {what}")));
            }
        };
        refuse(actions.id.is_some(), "an id");
        refuse(actions.chain.is_some(), "`chain`");
        refuse(actions.jump.is_some(), "`skip` or `skipAfter`");
        refuse(!actions.effects.is_empty(), "actions on variables or `ctl`");
        refuse(actions.disruptive.as_ref().is_some_and(|at| at.value == Disruptive::Block), "`block`");
        self.faults.extend(faults);
        let phase = actions.phase.map_or(crate::waf::report::PhaseName::RequestBody, |at| at.value);
        self.defaults[phase as usize] = Defaults {
            disruptive: actions.disruptive.map(|at| at.value),
            status: actions.status.map(|at| at.value),
            log: actions.log.map(|at| at.value),
            transformations: actions.transformations,
            tags: actions.tags,
            severity: actions.severity.map(|at| at.value),
        };
    }

    fn switch(&mut self, directive: &Directive) -> Option<bool> {
        let [word] = self.arguments(directive, 1, 1)? else { return None };
        match word.value.to_ascii_lowercase().as_str() {
            "on" => Some(true),
            "off" => Some(false),
            other => {
                self.unknown_word(word.place(0), other, &["On", "Off"]);
                None
            }
        }
    }

    fn unknown_word(&mut self, place: Place, word: &str, known: &[&str]) {
        self.faults.push(
            Fault::unknown(place, "word", word, known.iter().copied())
                .help(format!("write one of {}", known.join(", "))),
        );
    }

    /// The arguments when there are as many as there should be.
    pub fn arguments<'d>(
        &mut self,
        directive: &'d Directive,
        least: usize,
        most: usize,
    ) -> Option<&'d [Text]> {
        let count = directive.arguments.len();
        if (least..=most).contains(&count) {
            return Some(&directive.arguments);
        }
        let wanted = if least == most { least.to_string() } else { format!("{least} to {most}") };
        let problem = format!("`{}` takes {wanted} arguments, not {count}", directive.name);
        let fault = Fault::error(directive.place, problem);
        self.faults.push(fault.help("an argument with spaces stands in double quotes"));
        None
    }

    pub fn note(&mut self, place: Place, directive: &str, reason: &str) {
        self.notes.push(RawNote { place, directive: directive.to_owned(), reason: reason.to_owned() });
    }
}

/// Only the head of a chain says what the rule is and does.
fn check_link(link: &Link, head: &Draft, log: &mut Log) {
    let actions = &link.actions;
    let name = head.name();
    let refused: [(Option<Place>, &str); 2] = [
        (actions.phase.filter(|at| at.value != head.phase()).map(|at| at.place), "a phase of its own"),
        (actions.jump.as_ref().map(|at| at.place), "`skip` or `skipAfter`"),
    ];
    for (place, what) in refused {
        if let Some(place) = place {
            let problem = format!("a rule inside the chain of {name} cannot have {what}");
            log.faults.push(Fault::error(place, problem).help("only the first rule of a chain can"));
        }
    }
    match &actions.disruptive {
        Some(at) if matches!(at.value, Disruptive::Pass | Disruptive::Block) => {
            log.note(at.place, &name, "only the first rule of a chain says what happens to the exchange");
        }
        Some(at) => {
            let problem = format!("a rule inside the chain of {name} cannot stop the exchange");
            log.faults.push(Fault::error(at.place, problem).help("only the first rule of a chain can"));
        }
        None => {}
    }
    if let Some(id) = actions.id {
        log.note(id.place, &name, "only the first rule of a chain has an id");
    }
    let metadata = [&actions.msg, &actions.logdata, &actions.ver, &actions.rev].into_iter().flatten();
    for place in metadata.chain(&actions.tags).map(|at| at.place).chain(actions.severity.map(|at| at.place)) {
        log.note(place, &name, "only the first rule of a chain says what it is");
    }
}
