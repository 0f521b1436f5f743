//! A trace as the debug log of ModSecurity 3 would tell it: the sentences that cases search for,
//! each made from what our engine did. Facts that our engine does not know are not told.

use portward::waf::body::MultipartFlaw;
use portward::waf::lang::ast::{AllowScope, EngineMode, Persistent};
use portward::waf::report::{Disruption, PhaseName};
use portward::waf::trace::{Because, Event, Trace};

/// Where a rule stands in its file, `action-allow.json:3`; the log names rules without conditions so.
pub type Places<'a> = &'a dyn Fn(u32) -> String;

struct Log<'a> {
    out: String,
    places: Places<'a>,
    /// Of the comparison that is going on.
    variables: Vec<String>,
    operator: String,
    multipart: bool,
    /// Keys of the persistent collections that were opened.
    opened: Vec<(Persistent, String)>,
    off: bool,
}

pub fn render(trace: &Trace, places: Places) -> String {
    let mut log = Log {
        out: String::new(),
        places,
        variables: Vec::new(),
        operator: String::new(),
        multipart: false,
        opened: Vec::new(),
        off: !trace.events.iter().any(|event| matches!(event, Event::Phase(_))),
    };
    for event in &trace.events {
        log.event(event);
    }
    if log.off {
        log.line(4, "Rule engine disabled, returning...");
    }
    log.out
}

impl Log<'_> {
    fn line(&mut self, level: u8, text: impl AsRef<str>) {
        self.out += &format!("[1436817761] [/] [{level}] {}\n", text.as_ref());
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Phase(phase) => self.phase(*phase),
            Event::Collected { name, value } => self.collected(name, value),
            Event::Rule { rule, conditional: false } => {
                self.line(4, format!("(Rule: {rule}) Executing unconditional rule..."));
            }
            Event::Rule { .. } => {}
            Event::Skipped { rule, because } => self.skipped(*rule, *because),
            Event::Comparison { rule, first, variables, operator, argument, .. } => {
                self.comparison(if *first { *rule } else { 0 }, variables, operator, argument.as_deref());
            }
            Event::Transformed { name, result } => {
                let name = name.replace('_', "");
                self.line(9, format!(" T (0) t:{name}: \"{}\"", String::from_utf8_lossy(result)));
            }
            Event::Asked { name, value, .. } => {
                let name = self.name(name);
                let value = hexed(&self.value(value));
                self.line(9, format!("Target value: \"{value}\" (Variable: {name})"));
            }
            Event::Captured { group, text } => self.captured(*group, text),
            Event::Compared { matched, .. } => {
                self.line(4, format!("Rule returned {}.", u8::from(*matched)));
            }
            Event::Matched { message, data, tags, logged, .. } => {
                self.line(9, format!("Saving msg: {}", String::from_utf8_lossy(message)));
                self.line(9, format!("Saving logdata: {}", String::from_utf8_lossy(data)));
                for tag in tags {
                    self.line(9, format!("Rule tag: {tag}"));
                }
                if *logged {
                    self.line(9, "Running action: log");
                }
            }
            Event::Set { name, value } => {
                let (collection, key) = parts(name);
                let value = value.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                self.line(8, format!("Saving variable: {collection}:{key} with value: {value}"));
            }
            Event::Opened { collection, key } => {
                let key = String::from_utf8_lossy(key).into_owned();
                self.line(5, format!("Collection `{collection:?}' initialized with value: {key}"));
                self.opened.push((*collection, key));
            }
            Event::BodyProcessor(_) | Event::Excluded { .. } | Event::ResponseBodyAccess(_) => {}
            Event::Body { processor, error, flaws } => self.body(*processor, error, flaws),
            Event::Engine(mode) => {
                let mode = match mode {
                    EngineMode::Block => "Enabled",
                    EngineMode::Detect => "DetectionOnly",
                    EngineMode::Off => "Disabled",
                };
                self.off = mode == "Disabled";
                self.line(
                    8,
                    format!("Setting SecRuleEngine to {mode} as requested by a ctl:ruleEngine action"),
                );
            }
            Event::RequestBodyAccess(access) => {
                let (is, was) = if *access { ("enabled", "disabled") } else { ("disabled", "enabled") };
                self.line(
                    4,
                    format!(
                        "Request body processing is {was}, but {is} to this transaction due to \
                         ctl:requestBodyAccess action"
                    ),
                );
            }
            Event::Allowed { scope, .. } => {
                let scope = match scope {
                    AllowScope::Exchange => "All",
                    AllowScope::Phase => "Phase",
                    AllowScope::Request => "Request",
                };
                self.line(
                    4,
                    format!(
                        "Dropping the evaluation of upcoming rules in favor of an `allow' action of type: {scope}"
                    ),
                );
            }
            Event::Disrupted { action, carried_out, .. } => self.disrupted(action, *carried_out),
        }
    }

    fn phase(&mut self, phase: PhaseName) {
        let (name, number) = match phase {
            PhaseName::RequestHeaders => ("REQUEST_HEADERS", 1),
            PhaseName::RequestBody => ("REQUEST_BODY", 2),
            PhaseName::ResponseHeaders => ("RESPONSE_HEADERS", 3),
            PhaseName::ResponseBody => ("RESPONSE_BODY", 4),
            // ModSecurity has no such phase.
            PhaseName::WebsocketMessage | PhaseName::Event => return,
            PhaseName::Logging => ("LOGGING", 5),
        };
        self.line(4, format!("Starting phase {name}. (SecRules {number})"));
    }

    fn collected(&mut self, name: &[u8], value: &[u8]) {
        let (collection, key) = parts(name);
        let value = String::from_utf8_lossy(value);
        match collection.as_str() {
            "ARGS_GET" => {
                self.line(4, format!("Adding request argument (GET): name \"{key}\", value \"{value}\""))
            }
            "ARGS_POST" => {
                self.line(4, format!("Adding request argument (BODY): name \"{key}\", value \"{value}\""));
                if self.multipart {
                    self.line(9, format!("Multipart: Content-Disposition name: {key}."));
                    self.line(9, format!("Multipart: Added data to variable: {value}"));
                }
            }
            _ => {}
        }
    }

    /// What is odd about the body. Where theirs tells several reasons apart for which ours has one,
    /// all their sentences are told: that something is wrong is compared, and what comes of it.
    fn body(&mut self, processor: Option<&str>, error: &str, flaws: &[MultipartFlaw]) {
        self.multipart = processor == Some("MULTIPART");
        if !error.is_empty() {
            self.line(4, error);
            for sentence in errors(processor.unwrap_or_default(), error) {
                self.line(4, sentence);
            }
        }
        for flaw in flaws {
            for sentence in sentences(*flaw) {
                self.line(4, format!("Multipart: {sentence}"));
            }
        }
        if self.multipart && error.contains("boundary") {
            self.line(4, "Multipart: No boundaries found in payload.");
            self.line(4, "Multipart parsing error: Multipart: Final boundary missing.");
        }
    }

    fn skipped(&mut self, rule: u32, because: Because) {
        let place = (self.places)(rule);
        for reference in [rule.to_string(), place] {
            let line = match because {
                Because::Skip => {
                    format!("Skipped rule id '{reference}' due to a `skip' action. Still 0 to be skipped.")
                }
                Because::Marker => format!("Skipped rule id '{reference}' due to a SecMarker: "),
                Because::Excluded => {
                    self.line(
                        9,
                        format!("Rule id: {reference} was skipped due to a ruleRemoveById action..."),
                    );
                    format!("Skipped rule id '{reference}'. Skipped due to a ruleRemoveByTag action.")
                }
                Because::Allowed => format!(
                    "Skipped rule id '{reference}' as request trough the utilization of an `allow' action."
                ),
            };
            self.line(9, line);
        }
    }

    fn comparison(&mut self, rule: u32, variables: &[String], operator: &str, argument: Option<&[u8]>) {
        let (name, written) = operator.split_once(' ').unwrap_or((operator, ""));
        let against: Vec<String> = variables.iter().map(|variable| self.spelled(variable)).collect();
        let param = match argument {
            None => format!("\"{written}\""),
            Some(argument) => format!("\"{}\" Was: \"{written}\"", String::from_utf8_lossy(argument)),
        };
        self.variables = variables.to_vec();
        self.operator = name.to_owned();
        let (name, against) = (camel(name), against.join("|"));
        self.line(
            4,
            format!("(Rule: {rule}) Executing operator \"{name}\" with param {param} against {against}."),
        );
    }

    fn spelled(&self, variable: &str) -> String {
        let (sign, rest) = match variable.as_bytes().first() {
            Some(b'!' | b'&') => variable.split_at(1),
            _ => ("", variable),
        };
        let (collection, key) = parts(rest.as_bytes());
        if key.is_empty() { format!("{sign}{collection}") } else { format!("{sign}{collection}:{key}") }
    }

    fn captured(&mut self, group: usize, text: &[u8]) {
        let kind = match self.operator.as_str() {
            "pm" | "pm_from_file" => "pm match",
            "detect_sqli" => "DetectSQLi match",
            "detect_xss" => "DetectXSS match",
            "verify_cc" => "VerifyCC match",
            "verify_cpf" => "VerifyCPF match",
            "verify_ssn" => "VerifySSN match",
            "verify_svnr" => "VerifySVNR match",
            _ => "regex subexpression",
        };
        self.line(7, format!("Added {kind} TX.{group}: {}", String::from_utf8_lossy(text)));
    }

    fn disrupted(&mut self, action: &Disruption, carried_out: bool) {
        let name = match action {
            Disruption::Deny { .. } => "deny",
            Disruption::Redirect { .. } => "redirect",
            Disruption::Drop => "drop",
        };
        if carried_out {
            self.line(4, format!("Running (disruptive)     action: {name}."));
            self.line(8, format!("Running action {name}"));
        } else {
            let line =
                format!("Not running any disruptive action (or block): {name}. SecRuleEngine is not On.");
            self.line(4, line);
        }
    }

    /// Names that are values are spelled as theirs, too; the importer makes rules take either.
    fn value(&self, value: &[u8]) -> Vec<u8> {
        let names = |variable: &String| {
            variable.starts_with("matched_var_name") || variable.starts_with("matched_vars_names")
        };
        if !self.variables.iter().any(names) {
            return value.to_vec();
        }
        let (collection, key) = parts(value);
        if key.is_empty() { collection.into_bytes() } else { format!("{collection}:{key}").into_bytes() }
    }

    /// A value's name as ModSecurity spells it. What was matched keeps its own name in our engine,
    /// theirs names the variable that it was looked up by; so do persistent collections with their keys.
    fn name(&self, name: &[u8]) -> String {
        let name = name.strip_prefix(b"&").unwrap_or(name);
        let (collection, key) = parts(name);
        let own = if key.is_empty() { collection.clone() } else { format!("{collection}:{key}") };
        let by =
            |variable: &str| self.variables.iter().any(|known| known.split(':').next() == Some(variable));
        if by("matched_var") {
            return "MATCHED_VAR".into();
        }
        if by("matched_var_name") {
            return "MATCHED_VAR_NAME".into();
        }
        for (variable, spelled) in
            [("matched_vars", "MATCHED_VARS"), ("matched_vars_names", "MATCHED_VARS_NAMES")]
        {
            if by(variable) {
                return format!("{spelled}:{own}");
            }
        }
        match self.opened.iter().find(|(kind, _)| kind.name().eq_ignore_ascii_case(&collection)) {
            Some((_, opened)) => format!("{collection}:{opened}::::{key}"),
            None => own,
        }
    }
}

/// How theirs speaks of what ended the reading of a body.
fn errors(processor: &str, error: &str) -> Vec<String> {
    let of = |all: &[&str]| all.iter().map(|&sentence| sentence.to_owned()).collect();
    match processor {
        "XML" => of(&["XML parsing error: XML: Failed parsing document."]),
        "MULTIPART" if error.contains("boundary") => of(&[
            "Multipart: Multiple boundary parameters in C-T.",
            "Multipart: Invalid boundary in C-T (malformed).",
            "Multipart: Invalid boundary in C-T (parameter name).",
            "Multipart: Invalid boundary in C-T (case sensitivity).",
            "Multipart: Invalid boundary in C-T (characters).",
            "Multipart: Invalid boundary in C-T (quote).",
        ]),
        _ if error.ends_with("arguments") => of(&["Skipping request argument, over limit"]),
        _ => Vec::new(),
    }
}

/// How theirs speaks of a flaw.
fn sentences(flaw: MultipartFlaw) -> &'static [&'static str] {
    match flaw {
        MultipartFlaw::NoFinalBoundary => &["Final boundary missing."],
        MultipartFlaw::LineFeed => &["Warning: incorrect line endings used (LF)."],
        MultipartFlaw::MixedLines => &["Warning: mixed line endings used (CRLF/LF)."],
        MultipartFlaw::DuplicateDisposition => &[
            "Warning: Duplicate Content-Disposition name: ",
            "Warning: no filename= but filename*:",
            "Invalid Content-Disposition header (-16)",
            "Invalid Content-Disposition header (-17)",
            "Invalid Content-Disposition header (-18)",
        ],
        MultipartFlaw::DataBefore => &["Warning: seen data before first boundary."],
        MultipartFlaw::DataAfter => &["Warning: seen data after last boundary."],
        MultipartFlaw::BoundaryQuoted => &["Warning: boundary was quoted."],
        MultipartFlaw::BoundaryWhitespace => &["Warning: boundary whitespace in C-T header."],
        MultipartFlaw::MissingSemicolon => {
            &["Warning: missing semicolon in C-T header.", "Invalid boundary in C-T (malformed)."]
        }
        MultipartFlaw::OddBoundary => &["Multiple boundary parameters in C-T."],
        MultipartFlaw::UnmatchedBoundary => &[],
        MultipartFlaw::NoName => &[
            "Warning: invalid part parsing.",
            "Part missing Content-Disposition header.",
            "Content-Disposition header missing name field.",
            "Invalid Content-Disposition header",
        ],
        MultipartFlaw::FoldedHeader => &["Warning: header folding used."],
        MultipartFlaw::InvalidFolding => &["Warning: invalid header folding used."],
        MultipartFlaw::BadHeader => {
            &["Invalid part header (colon missing)", "Invalid part header (header name missing)."]
        }
        MultipartFlaw::InvalidQuoting => &[
            "Warning: invalid quoting used.",
            "Warning: Duplicate Content-Disposition name: ",
            "Invalid boundary in C-T (quote).",
        ],
        MultipartFlaw::TooManyParts => &["Upload file limit exceeded"],
    }
}

/// The collection in upper case and the key as it is.
fn parts(name: &[u8]) -> (String, String) {
    let name = String::from_utf8_lossy(name);
    let (collection, key) = name.split_once(':').unwrap_or((&name, ""));
    (collection.to_ascii_uppercase(), key.to_owned())
}

/// `begins_with` as `BeginsWith`.
fn camel(name: &str) -> String {
    let upper = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    };
    name.split('_').map(upper).collect()
}

/// Bytes that are not printable ASCII as `\xHH`.
fn hexed(bytes: &[u8]) -> String {
    let shown = |byte: &u8| match byte {
        0x20..=0x7e => char::from(*byte).to_string(),
        other => format!("\\x{other:02x}"),
    };
    bytes.iter().map(shown).collect()
}
