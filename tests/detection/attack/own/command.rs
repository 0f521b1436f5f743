//! Shells: what ends the command before, what hides a word, what stands for a space.

/// What a seed may begin with that separates commands.
const SEPARATORS: &[&str] = &["&&", "||", ";", "|", "&"];

fn separated(seed: &str) -> Option<&str> {
    let rest = SEPARATORS.iter().find_map(|separator| seed.strip_prefix(separator))?;
    // One that ends in what it began with is another form.
    (!rest.ends_with(['|', '&'])).then(|| rest.trim_start())
}

/// POSIX shells.
pub fn unix(seed: &str) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(command) = separated(seed) {
        for separator in ["; ", "|", " | ", "&&", " && ", "||", " || ", "&", "\n", "\r\n", ";;", "|&", "%0a"]
        {
            out.push(format!("{separator}{command}"));
        }
        for before in ["127.0.0.1", "a.txt", "x'", "x\"", "1)", "$x", "-n", "x\\"] {
            out.push(format!("{before};{command}"));
            out.push(format!("{before} | {command}"));
        }
        for (open, close) in [
            ("$(", ")"),
            ("`", "`"),
            ("x$(", ")y"),
            ("\"$(", ")\""),
            ("{", ";}"),
            (";(", ")"),
            ("<(", ")"),
            ("'`", "`'"),
        ] {
            out.push(format!("{open}{command}{close}"));
        }
        for end in ["#", " #", ";", " &", " |", ";x", "\n", "%00", " 2>&1", ">/tmp/o"] {
            out.push(format!("; {command}{end}"));
        }
        if command.contains(' ') && !command.contains(['\'', '"']) {
            for space in ["${IFS}", "$IFS", "$IFS$9", "\t", "%09", "${IFS%??}", "<"] {
                // A redirection reads a file, and nothing else.
                if space != "<" || command.starts_with("cat /") {
                    out.push(format!(";{}", command.replace(' ', space)));
                }
            }
        }
        out.extend(hidden(command).into_iter().map(|command| format!(";{command}")));
    }
    out
}

/// The first word in ways that a shell undoes.
fn hidden(command: &str) -> Vec<String> {
    let end = command.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(command.len());
    let (word, rest) = command.split_at(end);
    if word.len() < 2 || !rest.is_empty() && !rest.starts_with(' ') {
        return Vec::new();
    }
    let (a, b) = word.split_at(1);
    let mut out: Vec<String> = ["''", "\"\"", "\\", "$@", "$*", "${x}", "$()", "``"]
        .iter()
        .map(|mark| format!("{a}{mark}{b}{rest}"))
        .collect();
    out.push(format!("'{a}'{b}{rest}"));
    out.push(format!("\"{word}\"{rest}"));
    out.push(format!("/usr/bin/{word}{rest}"));
    out.push(format!("/bin/{word}{rest}"));
    out
}

/// cmd.exe.
pub fn windows(seed: &str) -> Vec<String> {
    let Some(command) = separated(seed) else { return Vec::new() };
    let mut out = Vec::new();
    for separator in ["&", "&&", "|", "||", " & ", "%0a", "\r\n", "\" & ", "' & "] {
        out.push(format!("{separator}{command}"));
    }
    for before in ["127.0.0.1", "x", "a.txt"] {
        out.push(format!("{before} & {command}"));
        out.push(format!("{before}|{command}"));
        out.push(format!("{before}&&{command}&&x"));
    }
    out.push(format!("& {} & rem", command));
    out.push(format!("& {}", command.to_uppercase()));
    out.push(format!("& {}", super::alternating(command)));
    let end = command.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(command.len());
    let (word, rest) = command.split_at(end);
    if word.len() > 1 {
        let (a, b) = word.split_at(1);
        out.push(format!("& {a}^{b}{rest}"));
        out.push(format!("& {a}\"\"{b}{rest}"));
        out.push(format!("& cmd /c {command}"));
        out.push(format!("& cmd.exe /c \"{command}\""));
        out.push(format!("& %COMSPEC% /c {command}"));
        out.push(format!("& start /b {command}"));
    }
    out
}

pub fn powershell(seed: &str) -> Vec<String> {
    let mut out = vec![
        super::alternating(seed),
        seed.to_uppercase(),
        format!("; {seed}"),
        format!("| {seed}"),
        format!("& {seed}"),
        format!("x; {seed} #"),
        format!("$({seed})"),
    ];
    if !seed.contains("powershell") && !seed.contains("pwsh") && !seed.contains('"') {
        for call in [
            "powershell -c \"",
            "powershell.exe -NoP -Command \"",
            "& powershell \"",
            "pwsh -c \"",
            "cmd /c powershell -w hidden -c \"",
        ] {
            out.push(format!("{call}{seed}\""));
        }
    }
    out
}

/// A function definition that bash would read on.
pub fn function(seed: &str) -> Vec<String> {
    vec![
        seed.replacen("() {", "()  {", 1),
        seed.replacen("() {", "() \t{", 1),
        format!("{seed} #"),
        format!(" {seed}"),
    ]
}
