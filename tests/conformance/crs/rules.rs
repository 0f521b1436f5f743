//! The rule set under test, imported: ModSecurity's recommended configuration, the rule set's own
//! setup, the settings that its suite asks for, and its rules.

use std::path::{Path, PathBuf};

use portward::waf::lang::seclang::{self, Files, Input, Options};
use portward::waf::{Engine, Settings, Sources};

use crate::support;

/// What the suite's README asks for, and the lengths that its tests of limits count on.
const SETUP: &str = r#"
SecRuleEngine DetectionOnly
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml application/json
SecAction "id:900005,phase:1,nolog,pass,\
    ctl:ruleEngine=DetectionOnly,\
    ctl:ruleRemoveById=910000,\
    setvar:tx.crs_validate_utf8_encoding=1,\
    setvar:tx.arg_name_length=100,\
    setvar:tx.arg_length=400,\
    setvar:tx.total_arg_length=6400,\
    setvar:tx.max_num_args=255,\
    setvar:tx.max_file_size=64100,\
    setvar:tx.combined_file_size=65535"
"#;

/// The paranoia level, and how it comes about.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    /// Set for all exchanges: the importer turns jumps over levels into levels of rules.
    Fixed(u8),
    /// Set by a condition that always holds, which the importer cannot know: rules jump.
    Decided(u8),
}

impl Level {
    /// What the suite is written for.
    pub const SUITE: Level = Level::Fixed(4);

    fn rule(self) -> String {
        let (rule, level) = match self {
            Level::Fixed(level) => ("SecAction", level),
            Level::Decided(level) => ("SecRule REQUEST_LINE \"@rx .\"", level),
        };
        format!("{rule} \"id:900006,phase:1,nolog,pass,setvar:tx.paranoia_level={level}\"\n")
    }
}

/// The rules as our JSON, with their phrase files.
pub fn import(level: Level) -> Sources {
    let rules = support::data("modsecurity-crs/rules");
    let mut paths = vec![
        support::data("modsecurity/modsecurity.conf-recommended"),
        support::data("modsecurity-crs/crs-setup.conf.example"),
    ];
    let mut inputs: Vec<Input> = paths.drain(..).map(|path| read(&path)).collect();
    inputs.push(Input { name: "suite.conf".into(), text: format!("{SETUP}{}", level.rule()) });
    inputs.extend(support::files(&rules, "conf").iter().map(|path| read(path)));
    let imported = seclang::import(&inputs, &mut Disk, &Options { skip_unsupported: true });
    let imported = imported.unwrap_or_else(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("the rule set cannot be imported:\n{}", lines.join("\n"))
    });
    assert_eq!(imported.counts.gates > 100, matches!(level, Level::Fixed(_)), "{:?}", imported.counts);
    println!("imported: {:?}, {} notes", imported.counts, imported.notes.len());
    for note in imported.notes.iter().filter(|_| std::env::var_os("PORTWARD_NOTES").is_some()) {
        println!("note: {note:?}");
    }
    imported.sources
}

/// An engine of these rules.
pub fn engine(sources: &Sources) -> Engine {
    Engine::compile(sources, &Settings::default()).unwrap_or_else(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("the imported rules do not compile:\n{}", lines.join("\n"))
    })
}

/// Writes the rules as a folder that the proxy can be pointed at.
pub fn write(sources: &Sources, folder: &Path) {
    std::fs::create_dir_all(folder.join("data")).expect("a folder of the test's own");
    for (number, file) in sources.files.iter().enumerate() {
        let name = Path::new(&file.name).file_name().unwrap_or_default().to_string_lossy();
        std::fs::write(folder.join(format!("{number:03}-{name}")), &file.text).expect("a file");
    }
    for (name, bytes) in &sources.data {
        std::fs::write(folder.join("data").join(name), bytes).expect("a file");
    }
}

fn read(path: &Path) -> Input {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Input { name: path.display().to_string(), text }
}

/// Files beside the one that names them.
struct Disk;

impl Disk {
    fn beside(from: &str, path: &str) -> PathBuf {
        Path::new(from).parent().unwrap_or(Path::new("")).join(path)
    }
}

impl Files for Disk {
    fn include(&mut self, _from: &str, pattern: &str) -> Result<Vec<Input>, String> {
        Err(format!("the suite includes nothing, but this does: {pattern}"))
    }

    fn data(&mut self, from: &str, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(Disk::beside(from, path)).map_err(|error| error.to_string())
    }
}
