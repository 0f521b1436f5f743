//! What is asked to run: rule sets by name in which mode, exclusion files by name for which hosts.
//! The configuration wins over the setup file, that over what a file says of itself.

use std::sync::Arc;

use super::engine::{Choice, Settings};
use super::lang::ast::{ExclusionSet, Program, Rule, RuleSet, SetMode, SetupMode};
use super::lang::error::{At, Place, Problems, nearest, shown};
use super::lang::json::host_pattern;

/// The answers, every name and host having been checked.
pub(crate) struct Chosen {
    /// By name; the first entry of a name counts.
    sets: Vec<(String, SetupMode)>,
    /// By name; no list is everywhere.
    packs: Vec<(String, Option<Arc<[String]>>)>,
    paranoia_level: u8,
    run_every_set: bool,
}

/// Where something was said: in a rule file, or elsewhere.
enum Said<'a> {
    At(Place),
    By(&'a str),
}

impl Said<'_> {
    fn problem(&self, problem: String, help: Option<String>, problems: &mut Problems) {
        match self {
            Said::At(place) => problems.add_with_help(*place, problem, help),
            Said::By(name) => problems.add_elsewhere(name, problem, help),
        }
    }

    /// Complains when no file has this name.
    fn known<'n>(
        &self,
        kind: &str,
        name: &str,
        names: impl Iterator<Item = &'n str> + Clone,
        problems: &mut Problems,
    ) {
        if !names.clone().any(|known| known == name) {
            let help = nearest(name, names).map(|near| format!("did you mean `{near}`?"));
            self.problem(format!("no loaded file is {kind} named `{}`", shown(name)), help, problems);
        }
    }
}

impl Chosen {
    pub fn gather(
        tree: &Program,
        settings: &Settings,
        paranoia_level: u8,
        problems: &mut Problems,
    ) -> Chosen {
        let mut chosen = Chosen {
            sets: Vec::new(),
            packs: Vec::new(),
            paranoia_level,
            run_every_set: settings.run_every_set,
        };
        let setup = tree.setup.as_ref();
        let sets = || tree.sets.iter().map(|set| set.name.as_str());
        let asked =
            settings.sets.iter().map(|Choice { name, value, said_at }| (name, *value, Said::By(said_at)));
        let written = setup.iter().flat_map(|setup| &setup.sets);
        let written = written.map(|(name, mode)| (&name.value, *mode, Said::At(name.place)));
        for (name, mode, said) in asked.chain(written) {
            said.known("a rule set", name, sets(), problems);
            chosen.sets.push((name.clone(), mode));
        }
        let packs = || tree.exclusions.iter().map(|set| set.name.as_str());
        for Choice { name, value, said_at } in &settings.exclusion_packs {
            let said = Said::By(said_at);
            said.known("an exclusion file", name, packs(), problems);
            let hosts = value.iter().map(|host| (host, Said::By(said_at)));
            chosen.packs.push((name.clone(), everywhere_or(hosts, problems)));
        }
        for (name, hosts) in setup.iter().flat_map(|setup| &setup.exclusion_packs) {
            Said::At(name.place).known("an exclusion file", &name.value, packs(), problems);
            let hosts = hosts.iter().map(|At { place, value }| (value, Said::At(*place)));
            chosen.packs.push((name.value.clone(), everywhere_or(hosts, problems)));
        }
        chosen
    }

    pub fn mode(&self, set: &RuleSet) -> SetupMode {
        let own = match set.mode {
            None => SetupMode::Block,
            Some(SetMode::Detect) => SetupMode::Detect,
            Some(SetMode::Off) => SetupMode::Off,
        };
        self.sets.iter().find(|(name, _)| *name == set.name).map_or(own, |(_, mode)| *mode)
    }

    /// The paranoia level lets it run, and its set is not off.
    pub fn runs(&self, set: &RuleSet, rule: &Rule) -> bool {
        rule.level() <= self.paranoia_level && (self.run_every_set || self.mode(set) != SetupMode::Off)
    }

    /// It runs, and stops nothing.
    pub fn only_tells(&self, set: &RuleSet, rule: &Rule) -> bool {
        self.mode(set) == SetupMode::Detect || rule.mode.is_some()
    }

    /// The hosts for which an exclusion file holds; none is everywhere.
    pub fn hosts(&self, set: &ExclusionSet) -> Option<Arc<[String]>> {
        match self.packs.iter().find(|(name, _)| *name == set.name) {
            Some((_, hosts)) => hosts.clone(),
            None => (set.enabled == Some(false)).then(Arc::default),
        }
    }
}

/// The hosts, in lower case; none when one of them is `*`.
fn everywhere_or<'a>(
    hosts: impl Iterator<Item = (&'a String, Said<'a>)>,
    problems: &mut Problems,
) -> Option<Arc<[String]>> {
    let mut everywhere = false;
    let mut patterns = Vec::new();
    for (host, said) in hosts {
        match host_pattern(host) {
            _ if host == "*" => everywhere = true,
            Ok(pattern) => patterns.push(pattern),
            Err(problem) => said.problem(problem, None, problems),
        }
    }
    (!everywhere).then(|| patterns.into())
}
