//! A table of numbered cases: runs them some at a time, each with a limit and a panic of its own, prints one line for
//! each, and fails on a case that fails, on an id that nobody knows, and on an id without a case. It knows nothing of
//! what the cases are about.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt, stream};

/// A family of cases.
pub struct Table {
    /// What precedes the number in an id: `F` for `F01`.
    pub prefix: char,
    /// Ids go from 1 to this.
    pub count: usize,
    pub at_a_time: usize,
    /// No case takes longer.
    pub longest: Duration,
    /// The environment variable that names the ids to run alone.
    pub variable: &'static str,
    /// Ids that cannot pass as stated, and why. Three at most.
    pub declared: &'static [(&'static str, &'static str)],
    /// Lines, by id and what goes wrong, that do not hold yet. One that holds must be taken off.
    pub open: &'static [(&'static str, &'static str)],
    /// What of an id no line holds yet.
    pub not_yet: &'static [(&'static str, &'static str)],
}

/// One line of the table. Several may share an id.
pub struct Case {
    pub id: &'static str,
    /// What goes wrong, or is simulated.
    pub what: String,
    /// What must hold, in the words that `Seen` uses.
    pub expected: &'static str,
    run: Run,
}

/// What a case does: it drives a proxy of its own, asserts the particulars, and tells what it saw.
type Own = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Measured> + Send>> + Send + Sync>;

enum Run {
    Own(Own),
    /// A test of this binary, which runs by itself in a full run.
    Test(&'static str, Arc<dyn Fn() + Send + Sync>),
}

/// What a case saw, and what it measured meanwhile.
pub struct Seen {
    pub told: String,
    pub figures: String,
}

/// What a case saw, with what the foot of the table tells the worst of.
pub struct Measured {
    seen: Seen,
    grown: Option<u64>,
    recovered: Option<Duration>,
}

impl<T: Into<String>> From<T> for Seen {
    fn from(told: T) -> Seen {
        Seen { told: told.into(), figures: String::new() }
    }
}

impl<T: Into<String>> From<T> for Measured {
    fn from(told: T) -> Measured {
        Seen::from(told).into()
    }
}

impl From<Seen> for Measured {
    fn from(seen: Seen) -> Measured {
        Measured { seen, grown: None, recovered: None }
    }
}

impl Seen {
    /// What was expected when all is `good`; otherwise the figures, which tell what is not.
    pub fn judged(good: bool, expected: &str, figures: String) -> Seen {
        let (told, figures) = if good { (expected.to_owned(), figures) } else { (figures, String::new()) };
        Seen { told, figures }
    }

    /// Bytes of memory by which the proxy grew.
    pub fn grown(self, bytes: u64) -> Measured {
        Measured { grown: Some(bytes), ..self.into() }
    }

    /// How long the proxy took to be as before.
    pub fn recovered(self, time: Duration) -> Measured {
        Measured { recovered: Some(time), ..self.into() }
    }
}

impl Measured {
    pub fn recovered(self, time: Duration) -> Measured {
        Measured { recovered: Some(time), ..self }
    }
}

impl Case {
    /// A case passes when what `run` tells is `expected`.
    pub fn new<F, S>(
        id: &'static str,
        what: impl Into<String>,
        expected: &'static str,
        run: impl Fn() -> F + Send + Sync + 'static,
    ) -> Case
    where
        F: Future<Output = S> + Send + 'static,
        S: Into<Measured> + 'static,
    {
        let run: Own = Box::new(move || Box::pin(run().map(Into::into)));
        Case { id, what: what.into(), expected, run: Run::Own(run) }
    }

    /// A test of this binary holds it: a full run names it, and a run of this id alone runs it.
    pub fn held<T: Fn() + Send + Sync + Copy + 'static>(id: &'static str, what: &str, test: T) -> Case {
        let name = std::any::type_name::<T>();
        let name = name.split_once("::").map_or(name, |(_, name)| name);
        Case { id, what: what.to_owned(), expected: HELD, run: Run::Test(name, Arc::new(test)) }
    }

    async fn run(&self, longest: Duration, tests_too: bool) -> Measured {
        // A task of its own: a panic is a line of the table as well, so that one run shows all that is wrong, and a
        // case that blocks its thread does not hold up the others.
        let mut task = match &self.run {
            Run::Own(run) => tokio::spawn(run()),
            Run::Test(_, test) if tests_too => {
                let test = Arc::clone(test);
                tokio::task::spawn_blocking(move || {
                    test();
                    HELD.into()
                })
            }
            Run::Test(..) => return HELD.into(),
        };
        // A test has no such limit where it runs by itself.
        let longest = if let Run::Test(..) = self.run { 10 * longest } else { longest };
        match tokio::time::timeout(longest, &mut task).await {
            Ok(Ok(measured)) => measured,
            Ok(Err(error)) => panic_text(error).into(),
            Err(_) => {
                task.abort();
                format!("nothing after {longest:?}").into()
            }
        }
    }
}

const HELD: &str = "held";

pub fn panic_text(error: tokio::task::JoinError) -> String {
    let panic = error.into_panic();
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
    format!("PANIC {}", text.unwrap_or_else(|| "without a text".to_owned()))
}

struct Line {
    case: Case,
    measured: Measured,
    seconds: f64,
}

impl Table {
    /// Runs the cases, all or those that the environment names, and fails with everything that is wrong.
    pub async fn hold(&self, cases: Vec<Case>) {
        let wanted = std::env::var(self.variable).ok();
        let wrong = self.wrong(cases, wanted.as_deref()).await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Everything that is wrong.
    async fn wrong(&self, cases: Vec<Case>, wanted: Option<&str>) -> Vec<String> {
        let mut wrong = self.ill_listed(&cases, wanted);
        let started = Instant::now();
        let chosen =
            cases.into_iter().filter(|case| wanted.is_none_or(|ids| ids.split(',').any(|id| id == case.id)));
        let mut lines: Vec<Line> = stream::iter(chosen)
            .map(async |case| {
                let began = Instant::now();
                let measured = case.run(self.longest, wanted.is_some()).await;
                let seconds = began.elapsed().as_secs_f64();
                if measured.seen.told != case.expected {
                    eprintln!("{} {}: {} {seconds:.1} s", case.id, case.what, measured.seen.told);
                }
                Line { case, measured, seconds }
            })
            .buffer_unordered(self.at_a_time)
            .collect()
            .await;
        lines.sort_by_key(|line| line.case.id);
        wrong.extend(self.print(&lines, wanted.is_some()));
        self.foot(&lines, wrong.len(), started.elapsed());
        wrong
    }

    /// Lists that do not fit the cases: ids nobody knows, lines that are none, ids without a case.
    fn ill_listed(&self, cases: &[Case], wanted: Option<&str>) -> Vec<String> {
        let ids: BTreeSet<String> = (1..=self.count).map(|n| format!("{}{n:02}", self.prefix)).collect();
        let known: BTreeSet<&str> = cases.iter().map(|case| case.id).collect();
        let mut wrong = Vec::new();
        for id in wanted.into_iter().flat_map(|ids| ids.split(',')).filter(|id| !known.contains(id)) {
            wrong.push(format!("{} names {id:?}, and no case has that id", self.variable));
        }
        let listed = self.not_yet.iter().chain(self.declared).map(|(id, _)| *id);
        for id in listed.chain(known.iter().copied()).filter(|id| !ids.contains(*id)) {
            wrong.push(format!("{id} is not an id from {}01 to {}{}", self.prefix, self.prefix, self.count));
        }
        for (id, _) in self.declared.iter().filter(|(id, _)| !known.contains(id)) {
            wrong.push(format!("{id} is declared, and no case has that id"));
        }
        for (id, what) in self.open {
            if !cases.iter().any(|case| case.id == *id && case.what == *what) {
                wrong.push(format!("{id} {what} is listed as open, and no case is called that"));
            }
        }
        for id in ids.iter().filter(|id| !known.contains(id.as_str())) {
            if !self.not_yet.iter().any(|(missing, _)| missing == id) {
                wrong.push(format!("no case for {id}, and not said to be missing"));
            }
        }
        if self.declared.len() > 3 {
            wrong.push(format!("{} are declared, which is more than three", self.declared.len()));
        }
        wrong
    }

    /// Prints the lines; returns what is wrong with them.
    fn print(&self, lines: &[Line], tests_ran: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        if lines.is_empty() {
            wrong.push("nothing was run".to_owned());
        }
        println!("{:<4} {:<4} {:<78} {:<40} {:>5} seen", "", "case", "what", "expected", "s");
        for Line { case, measured, seconds } in lines {
            let Case { id, what, expected, run } = case;
            let Seen { told, figures } = &measured.seen;
            let good = told == expected;
            let open = self.open.contains(&(*id, what.as_str()));
            let declared = self.declared.iter().any(|(declared, _)| declared == id);
            let mark = match (good, run) {
                (true, Run::Test(..)) if !tests_ran => "test",
                (true, _) => "ok",
                (false, _) if open => "OPEN",
                (false, _) if declared => "decl",
                (false, _) => "FAIL",
            };
            let told = match run {
                Run::Test(name, _) if good => name,
                _ if good => "as expected",
                _ => told,
            };
            println!("{mark:<4} {id:<4} {what:<78} {expected:<40} {seconds:>5.1} {told} {figures}");
            if good && open {
                wrong.push(format!("{id} {what} is listed as open and holds"));
            }
            if !good && !declared && !open {
                wrong.push(format!("{id} {what}: expected {expected}, seen {}", measured.seen.told));
            }
        }
        for (id, why) in self.declared {
            println!("{id} is declared: {why}");
            let mut own = lines.iter().filter(|line| line.case.id == *id).peekable();
            if own.peek().is_some() && own.all(|line| line.measured.seen.told == line.case.expected) {
                wrong.push(format!("{id} is declared as failing and passes"));
            }
        }
        for (id, what) in self.not_yet {
            println!("{id} is not yet held: {what}");
        }
        wrong
    }

    fn foot(&self, lines: &[Line], wrong: usize, took: Duration) {
        let name = |line: &Line| format!("{} {}", line.case.id, line.case.what);
        let grown = lines.iter().filter_map(|line| Some((line.measured.grown?, name(line)))).max();
        if let Some((bytes, line)) = grown {
            println!("worst growth of memory: {:.1} MiB, {line}", bytes as f64 / f64::from(1 << 20));
        }
        let recovered = lines.iter().filter_map(|line| Some((line.measured.recovered?, name(line)))).max();
        if let Some((time, line)) = recovered {
            println!("worst time to recover: {time:.2?}, {line}");
        }
        let mut whole: BTreeMap<&str, bool> = BTreeMap::new();
        for line in lines {
            let good = line.measured.seen.told == line.case.expected;
            *whole.entry(line.case.id).or_insert(true) &= good;
        }
        for (id, _) in self.not_yet {
            whole.insert(id, false);
        }
        let held = whole.values().filter(|whole| **whole).count();
        let tests = lines.iter().filter(|line| matches!(line.case.run, Run::Test(..))).count();
        println!(
            "{held} of {} hold whole, {} not; {} lines, {tests} of them tests of their own, {wrong} failed, {:.0} s",
            self.count,
            whole.len() - held,
            lines.len(),
            took.as_secs_f64()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table = Table {
        prefix: 'X',
        count: 3,
        at_a_time: 2,
        longest: Duration::from_millis(300),
        variable: "PORTWARD_NO_SUCH_TABLE",
        declared: &[],
        open: &[],
        not_yet: &[("X03", "all of it")],
    };

    fn good(id: &'static str) -> Case {
        Case::new(id, "good", "fine", async || "fine")
    }

    async fn wrong(table: Table, cases: Vec<Case>, wanted: Option<&str>) -> String {
        table.wrong(cases, wanted).await.join("; ")
    }

    #[tokio::test]
    async fn a_table_passes_when_each_id_has_a_case_that_passes_or_is_listed() {
        assert_eq!(wrong(TABLE, vec![good("X01"), good("X02")], None).await, "");
        assert_eq!(wrong(TABLE, vec![good("X01"), good("X02")], Some("X02")).await, "");
    }

    #[tokio::test]
    async fn a_table_fails_on_names_that_nobody_knows_and_on_ids_without_a_case() {
        let both = || vec![good("X01"), good("X02")];
        assert!(wrong(TABLE, both(), Some("X99")).await.contains("X99"));
        assert!(wrong(TABLE, both(), Some("")).await.contains("nothing was run"));
        assert!(wrong(TABLE, vec![good("X01")], None).await.contains("no case for X02"));
        assert!(wrong(TABLE, vec![good("X01"), good("X02"), good("X04")], None).await.contains("X04"));
        let open = Table { open: &[("X01", "renamed since")], ..TABLE };
        assert!(wrong(open, both(), None).await.contains("renamed since"));
        let declared = Table { declared: &[("X03", "no case at all")], ..TABLE };
        assert!(wrong(declared, both(), None).await.contains("X03 is declared"));
    }

    #[tokio::test]
    async fn a_table_fails_on_what_panics_hangs_tells_otherwise_or_holds_though_listed() {
        let with = |run: Case| vec![run, good("X02")];
        let panics = Case::new("X01", "panics", "fine", || async {
            if true {
                panic!("plain text");
            }
            "fine"
        });
        assert!(wrong(TABLE, with(panics), None).await.contains("PANIC plain text"));
        let hangs = Case::new("X01", "hangs", "fine", std::future::pending::<String>);
        assert!(wrong(TABLE, with(hangs), None).await.contains("nothing after"));
        let other = || Case::new("X01", "other", "fine", async || "ill");
        assert!(wrong(TABLE, with(other()), None).await.contains("seen ill"));
        let open = || Table { open: &[("X01", "other")], ..TABLE };
        assert_eq!(wrong(open(), with(other()), None).await, "");
        let holds = Case::new("X01", "other", "fine", async || "fine");
        assert!(wrong(open(), with(holds), None).await.contains("listed as open and holds"));
        let declared = Table { declared: &[("X02", "cannot")], ..TABLE };
        assert!(wrong(declared, with(good("X01")), None).await.contains("declared as failing and passes"));
        // A test of this binary runs when its id is asked for, and only then.
        let held = || vec![good("X01"), Case::held("X02", "held", || panic!("it ran"))];
        assert_eq!(wrong(TABLE, held(), None).await, "");
        assert!(wrong(TABLE, held(), Some("X02")).await.contains("it ran"));
    }
}
