//! From the tree to the program: names become numbers, the paranoia level and all defaults are
//! settled, and what only the whole picture shows wrong is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::bits::Bits;
use super::chosen::Chosen;
use super::clean::Clean;
use super::engine::{Mode, Phase, Program, RuleInfo, Settings, Sources};
use super::exclusion::Exclusion;
use super::gate;
use super::interest::Interest;
use super::lang::ast;
use super::lang::error::{At, Place, Problems, nearest, shown};
use super::operator;
use super::pipeline::Pipelines;
use super::prefilter::{Prefilter, Side};
use super::report::PhaseName;
use super::rule::{Action, Change, Condition, Leaf, Rule, Variable};
use super::settled::Settled;
use super::sift::Sifting;
use super::template::Template;
use super::tx::Names;
use super::variable::kind::Kinds;
use super::variable::target::{Role, Target};
use super::variable::{Collection, Origin};

const PHASES: [PhaseName; 7] = [
    PhaseName::RequestHeaders,
    PhaseName::RequestBody,
    PhaseName::ResponseHeaders,
    PhaseName::ResponseBody,
    PhaseName::WebsocketMessage,
    PhaseName::Event,
    PhaseName::Logging,
];
const PARANOIA_LEVEL: u8 = 1;
const INBOUND_THRESHOLD: i64 = 5;
const OUTBOUND_THRESHOLD: i64 = 4;

/// Compiles the tree. Errors go to `problems`; the program is of use only when there are none.
pub(crate) fn compile<'a>(
    tree: &ast::Program,
    sources: &'a Sources,
    settings: &Settings,
    plain: bool,
    problems: &mut Problems<'a>,
) -> Option<(Program, Vec<RuleInfo>)> {
    let setup = tree.setup.clone().unwrap_or_default();
    let paranoia_level =
        settings.paranoia_level.or(setup.paranoia_level).unwrap_or(PARANOIA_LEVEL).clamp(1, 4);
    let inbound = settings.inbound_threshold.or(setup.inbound_threshold);
    let outbound = settings.outbound_threshold.or(setup.outbound_threshold);
    let known = Known::gather(tree, problems);
    let chosen = Chosen::gather(tree, settings, paranoia_level, problems);
    let mut builder = Builder {
        sources,
        pipelines: Pipelines::new(),
        rules: Vec::new(),
        leaves: Vec::new(),
        excludes: Vec::new(),
    };
    let phases = builder.phases(tree, &chosen, problems);
    let exclusions = builder.exclusions(tree, &known, &chosen, problems);
    let Builder { mut pipelines, mut rules, mut leaves, .. } = builder;
    let names = number(&mut rules, &mut leaves);
    let unconditional = gate::gates(&rules, &mut leaves, plain);
    pipelines.assign(&leaves, plain);
    let interests: Vec<Interest> =
        collections().map(|collection| Interest::build(collection, &leaves)).collect();
    let prefilters = prefilters(&leaves, &interests, &pipelines, plain, problems)?;
    let sifting = Sifting::build(&leaves);
    let settled = if plain { Settled::default() } else { Settled::build(&rules, &leaves) };
    let mut mentioned = [false; Collection::COUNT];
    let in_texts = rules.iter().flat_map(Rule::templates).chain(leaves.iter().flat_map(Leaf::templates));
    let targets = leaves.iter().flat_map(|leaf| &leaf.targets).chain(in_texts.flat_map(Template::targets));
    let mut looks_at_body = [false; 2];
    for target in targets {
        target.collections().iter().for_each(|collection| mentioned[*collection as usize] = true);
        let [request, response] = target.looks_at_body();
        looks_at_body = [looks_at_body[0] || request, looks_at_body[1] || response];
    }
    let program = Program {
        phases,
        mentioned,
        looks_at_request_body: looks_at_body[0],
        looks_at_response_body: looks_at_body[1],
        pipelines,
        interests,
        sifting,
        settled,
        prefilters,
        names,
        unconditional: unconditional.words,
        exclusions,
        clean: (!plain).then(Clean::default),
        mode: settings.mode.unwrap_or(match setup.mode {
            Some(ast::SetupMode::Detect) => Mode::Detect,
            Some(ast::SetupMode::Block | ast::SetupMode::Off) | None => Mode::Block,
        }),
        off: settings.mode.is_none() && setup.mode == Some(ast::SetupMode::Off),
        request_body_access: setup.request_body_access.unwrap_or(true),
        response_body_access: setup.response_body_access.unwrap_or(true),
        response_body_types: setup.response_body_types,
        request_bodies: setup.request_bodies.unwrap_or_default(),
        arguments_limit: setup.arguments_limit.map(|limit| limit as usize),
        persistent: Arc::new(super::persistent::Memory::default()),
        paranoia_level,
        inbound_threshold: inbound.unwrap_or(INBOUND_THRESHOLD),
        outbound_threshold: outbound.unwrap_or(OUTBOUND_THRESHOLD),
        rules,
        leaves,
    };
    Some((program, infos(tree, sources, &chosen)))
}

/// All rules as listings show them.
fn infos(tree: &ast::Program, sources: &Sources, chosen: &Chosen) -> Vec<RuleInfo> {
    let of = |set: &ast::RuleSet, rule: &ast::Rule| RuleInfo {
        id: rule.id.value,
        set: set.name.clone(),
        file: sources.files.get(set.place.file).map_or_else(String::new, |file| file.name.clone()),
        phase: rule.phase.value,
        message: rule.message.clone(),
        severity: rule.severity.map(ast::Severity::name),
        paranoia_level: rule.level(),
        tags: rule.tags().to_vec(),
        mode: chosen.mode(set),
        shadow: chosen.only_tells(set, rule),
        active: chosen.runs(set, rule),
    };
    tree.sets.iter().flat_map(|set| set.rules.iter().map(move |rule| of(set, rule))).collect()
}

fn collections() -> impl Iterator<Item = Collection> {
    // Every collection is the origin of some variable, in the order of the enumeration.
    let all: BTreeSet<Collection> = super::variable::names()
        .filter_map(super::variable::find)
        .filter_map(|variable| match variable.origin {
            Origin::Collections(list) => Some(list),
            Origin::Live(_) => None,
        })
        .flatten()
        .copied()
        .collect();
    all.into_iter()
}

fn prefilters(
    leaves: &[Leaf],
    interests: &[Interest],
    pipelines: &Pipelines,
    plain: bool,
    problems: &mut Problems,
) -> Option<[Vec<Prefilter>; Side::COUNT]> {
    let mut sides = [(); Side::COUNT].map(|()| Bits::none(leaves.len()));
    for (collection, interest) in collections().zip(interests) {
        sides[Side::of(collection) as usize].union(&interest.any);
    }
    let mut filters: [Vec<Prefilter>; Side::COUNT] = Default::default();
    for (filters, members) in filters.iter_mut().zip(&sides) {
        for (index, node) in pipelines.nodes.iter().enumerate() {
            // Only a node whose step makes new bytes has them looked at anew.
            let mut members = if index == 0 || node.step.is_some_and(|step| !step.folds) {
                members.clone()
            } else {
                Bits::none(leaves.len())
            };
            members.intersect(&node.subtree);
            match Prefilter::build(leaves, &members, plain) {
                Ok(filter) => filters.push(filter),
                Err(error) => {
                    let problem = format!("the rules' literals are too many: {error}");
                    problems.add(Place::default(), problem);
                    return None;
                }
            }
        }
    }
    Some(filters)
}

/// Gives a number to every variable of `tx` that rules spell out.
fn number(rules: &mut [Rule], leaves: &mut [Leaf]) -> Names {
    let mut names = Names::new();
    let actions = |actions: &mut [Action], names: &mut Names| {
        for action in actions {
            action.templates_mut().into_iter().for_each(|template| names.template(template));
            if let Action::Set { variable, .. } = action
                && let (None, Some(name)) = (variable.persistent, variable.name.plain())
            {
                variable.number = Some(names.number(name.as_bytes()));
            }
        }
    };
    for rule in rules {
        names.template(&mut rule.message);
        rule.log_data.iter_mut().for_each(|data| names.template(data));
        actions(&mut rule.then, &mut names);
    }
    for leaf in leaves {
        leaf.targets.iter_mut().for_each(|target| names.target(target));
        leaf.dynamic.iter_mut().for_each(|dynamic| names.template(&mut dynamic.template));
        actions(&mut leaf.on_match, &mut names);
    }
    names
}

/// Ids and tags of all loaded rules.
struct Known {
    ids: BTreeMap<u32, Place>,
    tags: BTreeSet<String>,
}

impl Known {
    fn gather(tree: &ast::Program, problems: &mut Problems) -> Known {
        let mut known = Known { ids: BTreeMap::new(), tags: BTreeSet::new() };
        for rule in tree.sets.iter().flat_map(|set| &set.rules) {
            if let Some(first) = known.ids.get(&rule.id.value) {
                let first = problems.spell(*first);
                problems
                    .add(rule.id.place, format!("the rule id {} stands already at {first}", rule.id.value));
            } else {
                known.ids.insert(rule.id.value, rule.id.place);
            }
            known.tags.extend(rule.tags().iter().cloned());
        }
        known
    }
}

/// Chooses rules by id and tag.
struct Selection<'a> {
    /// Id and tags, by index.
    rules: &'a [(u32, Vec<String>)],
    known: &'a Known,
}

impl Selection<'_> {
    fn choose(&self, ids: &[At<ast::IdRange>], tags: &[At<String>], problems: &mut Problems) -> Bits {
        for at in ids {
            if self.known.ids.range(at.value.first..=at.value.last).next().is_none() {
                let near = self.known.ids.keys().map(ToString::to_string).collect::<Vec<_>>();
                let help = nearest(&at.value.to_string(), near.iter().map(String::as_str))
                    .map(|near| format!("did you mean {near}?"));
                problems.add_with_help(at.place, format!("no loaded rule has the id {}", at.value), help);
            }
        }
        for at in tags {
            if !self.known.tags.contains(&at.value) {
                let help = nearest(&at.value, self.known.tags.iter().map(String::as_str))
                    .map(|near| format!("did you mean `{near}`?"));
                problems.add_with_help(
                    at.place,
                    format!("no loaded rule has the tag `{}`", shown(&at.value)),
                    help,
                );
            }
        }
        let mut chosen = Bits::none(self.rules.len());
        for (index, (id, own)) in self.rules.iter().enumerate() {
            if ids.iter().any(|at| at.value.contains(*id)) || tags.iter().any(|at| own.contains(&at.value)) {
                chosen.insert(index);
            }
        }
        chosen
    }

    fn exclusion(
        &self,
        source: &ast::Exclusion,
        pack_hosts: Option<Arc<[String]>>,
        problems: &mut Problems,
    ) -> Exclusion {
        let rules = source.rules.as_deref().unwrap_or_default();
        let tags = source.tags.as_deref().unwrap_or_default();
        let targets: Vec<Target> = source.variables.iter().flatten().map(|at| at.value.clone()).collect();
        Exclusion {
            rules: self.choose(rules, tags, problems),
            targets: targets.into(),
            hosts: source.hosts.clone(),
            pack_hosts,
            paths: source.paths.clone(),
            until_unix_ms: source.expires.map(|day| day.end_unix_ms),
        }
    }
}

struct Builder<'a> {
    sources: &'a Sources,
    pipelines: Pipelines,
    rules: Vec<Rule>,
    leaves: Vec<Leaf>,
    /// What `exclude` actions take out, to be chosen when all rules have their numbers.
    excludes: Vec<(Owner, ast::ExcludeAction)>,
}

/// Whose action it is, by index.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Rule(usize),
    Leaf(usize),
}

/// Where rules of a phase may be told to go on.
#[derive(Default)]
struct Places<'t> {
    /// For each rule as written, also those that are left out, the index at
    /// which it or the next one stands.
    starts: Vec<usize>,
    /// Names and the indices of the rules behind them.
    markers: Vec<(&'t str, usize)>,
    /// Rules with a jump: index, number among `starts`, target.
    jumps: Vec<(usize, usize, &'t ast::Action)>,
}

impl Builder<'_> {
    /// Builds all rules phase by phase.
    fn phases(&mut self, tree: &ast::Program, chosen: &Chosen, problems: &mut Problems) -> [Phase; 7] {
        let mut phases: [Phase; 7] = Default::default();
        for (phase, name) in phases.iter_mut().zip(PHASES) {
            let (first, first_leaf) = (self.rules.len(), self.leaves.len());
            let mut places = Places::default();
            for set in &tree.sets {
                let set_name: Arc<str> = set.name.as_str().into();
                let mut markers = set.markers.iter().peekable();
                for (number, rule) in set.rules.iter().enumerate() {
                    while let Some(marker) = markers.next_if(|marker| marker.before <= number) {
                        places.markers.push((&marker.name.value, self.rules.len()));
                    }
                    if rule.phase.value != name {
                        continue;
                    }
                    places.starts.push(self.rules.len());
                    // What is left out has to be right all the same.
                    let keep = chosen.runs(set, rule);
                    if keep {
                        let jumps = rule.then.iter().filter(|at| is_jump(&at.value));
                        places
                            .jumps
                            .extend(jumps.map(|at| (self.rules.len(), places.starts.len() - 1, &at.value)));
                    }
                    let shadow = chosen.only_tells(set, rule);
                    self.rule(rule, &set_name, keep, shadow, problems);
                }
                places.markers.extend(markers.map(|marker| (marker.name.value.as_str(), self.rules.len())));
            }
            *phase = Phase { rules: first..self.rules.len(), first_leaf };
            self.jump(places);
        }
        phases
    }

    /// Gives jumps their targets; what is not found is the end of the phase.
    fn jump(&mut self, places: Places) {
        let end = self.rules.len();
        for (rule, number, action) in places.jumps {
            let target = match action {
                ast::Action::Skip(count) => places.starts.get(number + 1 + *count as usize).copied(),
                ast::Action::SkipAfter(name) => {
                    let behind = |(known, at): &&(&str, usize)| known == name && *at > rule;
                    places.markers.iter().find(behind).map(|(_, at)| *at)
                }
                _ => None,
            };
            let marker = matches!(action, ast::Action::SkipAfter(_));
            self.rules[rule].then.push(Action::Go { to: target.unwrap_or(end), marker });
        }
    }

    /// What exclusion files and `exclude` actions take out, now that all rules have numbers. The
    /// actions join their owners.
    fn exclusions(
        &mut self,
        tree: &ast::Program,
        known: &Known,
        chosen: &Chosen,
        problems: &mut Problems,
    ) -> Vec<Exclusion> {
        let numbered: Vec<_> = self.rules.iter().map(|rule| (rule.id, rule.tags.clone())).collect();
        let selection = Selection { rules: &numbered, known };
        for (owner, action) in std::mem::take(&mut self.excludes) {
            let rules = selection.choose(&action.rules, &action.tags, problems);
            let action = Action::Exclude { rules, targets: action.variables.into() };
            match owner {
                Owner::Rule(index) => self.rules[index].then.push(action),
                Owner::Leaf(index) => self.leaves[index].on_match.push(action),
            }
        }
        let mut exclusions = Vec::new();
        for set in &tree.exclusions {
            let hosts = chosen.hosts(set);
            // What is off everywhere has to be right all the same.
            let off = hosts.as_ref().is_some_and(|hosts| hosts.is_empty());
            for exclusion in &set.exclusions {
                let built = selection.exclusion(exclusion, hosts.clone(), problems);
                exclusions.extend((!off).then_some(built));
            }
        }
        exclusions
    }

    fn rule(
        &mut self,
        source: &ast::Rule,
        set_name: &Arc<str>,
        keep: bool,
        shadow: bool,
        problems: &mut Problems,
    ) {
        let first = self.leaves.len();
        let condition = source.when.as_ref().map(|when| self.condition(when, problems));
        if !keep {
            self.leaves.truncate(first);
            self.excludes.retain(|(owner, _)| !matches!(owner, Owner::Leaf(leaf) if *leaf >= first));
            return;
        }
        let then = self.actions(&source.then, source.severity, Owner::Rule(self.rules.len()));
        // Templates were parsed once already, when the file was read.
        let template = |text: &str| Template::parse(text).unwrap_or_default();
        let rule = Rule {
            id: source.id.value,
            set: Arc::clone(set_name),
            phase: source.phase.value,
            message: template(&source.message),
            log_data: source.log_data.as_deref().map(template),
            version: source.version.clone(),
            revision: source.revision.clone(),
            severity: source.severity,
            paranoia_level: source.level(),
            tags: source.tags().to_vec(),
            shadow,
            condition: match condition {
                None => None,
                // An error was reported, so this program will not run.
                Some(None) => Some(Condition::Any(Vec::new())),
                Some(Some(condition)) => Some(condition),
            },
            then,
            log: !source.then.iter().any(|at| at.value == ast::Action::NoLog),
        };
        self.rules.push(rule);
    }

    fn actions(
        &mut self,
        source: &[At<ast::Action>],
        severity: Option<ast::Severity>,
        owner: Owner,
    ) -> Vec<Action> {
        for at in source {
            if let ast::Action::Exclude(action) = &at.value {
                self.excludes.push((owner, action.clone()));
            }
        }
        source.iter().flat_map(|at| action(&at.value, severity)).collect()
    }

    fn condition(&mut self, source: &ast::Condition, problems: &mut Problems) -> Option<Condition> {
        let mut all = |inner: &[ast::Condition]| -> Option<Vec<Condition>> {
            let built: Vec<_> = inner.iter().map(|inner| self.condition(inner, problems)).collect();
            built.into_iter().collect()
        };
        match source {
            ast::Condition::Leaf(leaf) => self.leaf(leaf, problems).map(Condition::Leaf),
            ast::Condition::All(inner) => all(&inner.all).map(Condition::All),
            ast::Condition::Any(inner) => all(&inner.any).map(Condition::Any),
            ast::Condition::Not(inner) => {
                self.condition(&inner.not, problems).map(|inner| Condition::Not(Box::new(inner)))
            }
        }
    }

    fn leaf(&mut self, source: &ast::Leaf, problems: &mut Problems) -> Option<usize> {
        let call = &source.operator;
        let built = match operator::Dynamic::parse(&call.name.value, &call.argument.value) {
            Some(dynamic) => dynamic.map(|dynamic| (operator::never(), Some(dynamic))),
            None => operator::build(&call.name.value, &call.argument.value, &self.sources.data)
                .map(|operator| (operator, None)),
        };
        let (operator, dynamic) = match built {
            Ok(built) => built,
            Err(error) => {
                problems.add_with_help(call.argument.place, error.problem, error.help);
                return None;
            }
        };
        let targets: Vec<Target> = source.variables.iter().map(|at| at.value.clone()).collect();
        let steps: Vec<_> = source.transformations.iter().flatten().map(|at| at.value.0).collect();
        let on_match = source.on_match.as_deref().unwrap_or_default();
        let leaf = Leaf {
            rule: self.rules.len(),
            pipeline: self.pipelines.node(steps.iter().copied()),
            steps,
            need: operator.need(),
            operator,
            negate: source.negate.unwrap_or(false),
            capture: source.capture.unwrap_or(false),
            multi_match: source.multi_match.unwrap_or(false),
            live: targets
                .iter()
                .any(|t| t.role == Role::Count || (t.role == Role::Include && t.live().is_some())),
            late: dynamic.is_some(),
            dynamic,
            wakes: false,
            targets,
            decode: source.decode.unwrap_or_default(),
            skip: source.skip_types.iter().flatten().fold(Kinds::NONE, |kinds, at| kinds.with(at.value)),
            on_match: self.actions(on_match, None, Owner::Leaf(self.leaves.len())),
        };
        self.leaves.push(leaf);
        Some(self.leaves.len() - 1)
    }
}

fn is_jump(action: &ast::Action) -> bool {
    matches!(action, ast::Action::Skip(_) | ast::Action::SkipAfter(_))
}

fn action(source: &ast::Action, severity: Option<ast::Severity>) -> Vec<Action> {
    // Templates were parsed once already, when the file was read.
    let template = |text: &str| Template::parse(text).unwrap_or_default();
    let variable = |name: &ast::SetName| Variable {
        persistent: name.persistent,
        name: template(&name.name),
        number: None,
    };
    vec![match source {
        ast::Action::Score(points) => {
            Action::Score(points.or(severity.map(ast::Severity::points)).unwrap_or(0))
        }
        ast::Action::Block => Action::Deny { status: 403 },
        ast::Action::Deny { status } => Action::Deny { status: *status },
        ast::Action::Redirect { status, location } => {
            Action::Redirect { status: *status, location: template(location) }
        }
        ast::Action::Drop => Action::Drop,
        ast::Action::Allow(scope) => Action::Allow(*scope),
        ast::Action::Set(assignments) => {
            let set = |(name, assignment): &(ast::SetName, ast::Assignment)| Action::Set {
                variable: variable(name),
                change: match assignment {
                    ast::Assignment::Text(text) => Change::Assign(template(text)),
                    ast::Assignment::Add(by) => Change::Add(template(by)),
                    ast::Assignment::Subtract(by) => Change::Subtract(template(by)),
                    ast::Assignment::Delete => Change::Delete,
                },
            };
            return assignments.iter().map(set).collect();
        }
        ast::Action::Expire(all) => {
            let expire = |(name, seconds): &(ast::SetName, String)| Action::Expire {
                variable: variable(name),
                seconds: template(seconds),
            };
            return all.iter().map(expire).collect();
        }
        ast::Action::InitCollection(all) => {
            let open = |(kind, key): &(ast::Persistent, String)| Action::InitCollection {
                kind: *kind,
                key: template(key),
            };
            return all.iter().map(open).collect();
        }
        ast::Action::RateLimit(limit) => Action::RateLimit {
            key: template(&limit.key),
            requests: u64::from(limit.requests),
            seconds: limit.seconds,
            status: limit.status,
        },
        ast::Action::StripRequestHeader(name) => Action::StripRequestHeader(name.as_str().into()),
        ast::Action::StripResponseHeader(name) => Action::StripResponseHeader(name.as_str().into()),
        ast::Action::Engine(mode) => Action::Engine(*mode),
        ast::Action::BodyProcessor(processor) => Action::BodyProcessor(*processor),
        ast::Action::ForceRequestBodyVariable => Action::ForceRequestBodyVariable,
        ast::Action::RequestBodyAccess(access) => Action::RequestBodyAccess(*access),
        ast::Action::ResponseBodyAccess(access) => Action::ResponseBodyAccess(*access),
        // Excluding and jumping need all rules' numbers, so they are added later.
        ast::Action::Exclude(_)
        | ast::Action::Skip(_)
        | ast::Action::SkipAfter(_)
        | ast::Action::Log
        | ast::Action::NoLog => return Vec::new(),
    }]
}
