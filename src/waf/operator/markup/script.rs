//! What a piece of JavaScript would do, told from its tokens: nothing, something, or what attacks do. Forgiving,
//! without a grammar: the piece may be cut off, begin inside a string, or be VBScript.

use super::names::{is_dialog, is_global, is_keyword, is_lookup};
use super::probe::{has_probe_word, is_brackets_only, is_probe_text};
use super::tokens::{Kind, Token, tokens};

/// How sure it is that the script is no part of an honest page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// Does nothing, or only changes the element it stands on.
    Idle,
    /// Calls or sets something.
    Acts,
    /// Shows a dialog, runs text, loads code, reads the cookie: honest pages do so too, but not in a short value.
    Loud,
    /// What only a probe or an attack looks like: `alert(1)`, hidden names, decoded text that is run.
    Attack,
}

/// The worst of a script, and the word that told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finding<'a> {
    pub verdict: Verdict,
    pub word: &'a [u8],
}

pub(super) fn judge(code: &[u8]) -> Finding<'_> {
    judge_nested(code, 0)
}

fn judge_nested(code: &[u8], nested: u8) -> Finding<'_> {
    let tokens = tokens(code);
    let mut judge = Judge {
        tokens: &tokens,
        worst: Finding { verdict: Verdict::Idle, word: b"" },
        found: [0; KINDS],
        root: b"",
    };
    if is_brackets_only(code) {
        judge.raise(Verdict::Attack, b"[]");
    }
    for at in 0..tokens.len() {
        judge.look(at);
    }
    let worst = judge.worst;
    // In the attributes of old browsers grave accents are quotes.
    match tokens.first() {
        Some(first) if first.kind == Kind::Template && nested == 0 => {
            let inner = judge_nested(first.text, 1);
            if inner.verdict > worst.verdict { inner } else { worst }
        }
        _ => worst,
    }
}

struct Judge<'a, 't> {
    tokens: &'t [Token<'a>],
    worst: Finding<'a>,
    /// For each kind of loud thing behind which token it was last found.
    found: [usize; KINDS],
    /// What the expression of the present token begins with.
    root: &'a [u8],
}

/// The kinds of loud things. Close together, something that reads and something that uses it make an attack.
const KINDS: usize = 4;
const DIALOG: usize = 0;
const READS: usize = 1;
const RUNS: usize = 2;
const SENDS: usize = 3;
/// Tokens that may stand between them.
const CLOSE: usize = 24;

impl<'a> Judge<'a, '_> {
    fn raise(&mut self, verdict: Verdict, word: &'a [u8]) {
        if verdict > self.worst.verdict {
            self.worst = Finding { verdict, word };
        }
    }

    fn loud(&mut self, kind: usize, at: usize, word: &'a [u8]) {
        self.raise(Verdict::Loud, word);
        self.note(kind, at, word);
    }

    /// Remembers what is not loud by itself, and tells when it makes an attack with what came before.
    fn note(&mut self, kind: usize, at: usize, word: &'a [u8]) {
        self.found[kind] = at + 1;
        let close = |kind: usize| self.found[kind] > 0 && at + 1 - self.found[kind] <= CLOSE;
        if close(READS) && (close(DIALOG) || close(RUNS) || close(SENDS)) {
            self.raise(Verdict::Attack, word);
        }
    }

    fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    fn is(&self, at: usize, sign: u8) -> bool {
        self.kind(at) == Some(Kind::Sign(sign))
    }

    fn before(&self, at: usize, sign: u8) -> bool {
        at > 0 && self.is(at - 1, sign)
    }

    fn word(&self, at: usize) -> &'a [u8] {
        self.tokens.get(at).filter(|token| token.kind == Kind::Word).map_or(b"", |token| token.text)
    }

    /// A call begins at `at`: `(`, a template, `?.(`.
    fn calls(&self, at: usize) -> bool {
        self.is(at, b'(')
            || self.kind(at) == Some(Kind::Template)
            || (self.is(at, b'?') && self.is(at + 1, b'.') && self.is(at + 2, b'('))
    }

    fn look(&mut self, at: usize) {
        let token = self.tokens[at];
        match token.kind {
            Kind::Word => self.look_at_word(at, token),
            Kind::Sign(b'[') => self.look_at_key(at),
            _ => {}
        }
    }

    fn look_at_word(&mut self, at: usize, token: Token<'a>) {
        let word = token.text;
        let member = self.before(at, b'.');
        if !member {
            self.root = word;
        }
        if token.escaped {
            return self.raise(Verdict::Attack, word);
        }
        if matches!(self.word(at.wrapping_sub(1)), b"function" | b"def" | b"fn" | b"class" | b"func") {
            return;
        }
        // `e.alert(...)`, where e is not the window, is somebody's own function.
        let of_page = !member || self.global_before(at - 1);
        if is_dialog(word) && of_page {
            return self.look_at_dialog(at, word, member);
        }
        if self.look_at_runner(at, word, of_page) || self.look_at_page(at, word, of_page) {
            return;
        }
        let idle_root = matches!(self.root, b"this" | b"event" | b"e" | b"evt") || is_lookup(word);
        if self.calls(at + 1) && !is_keyword(word) && !idle_root {
            // `$(this).hide()` and the like change the element only.
            let jquery = matches!(word, b"$" | b"jquery") && self.word(at + 2) == b"this";
            if jquery {
                self.root = b"this";
            } else {
                self.raise(Verdict::Acts, word);
            }
        }
        // A variable of its own is nothing to the page.
        if member && self.is(at + 1, b'=') && !self.is(at + 2, b'=') && !idle_root {
            self.raise(Verdict::Acts, word);
        }
    }

    /// A template at `at` that has one of these signs.
    fn template_with(&self, at: usize, signs: &[u8]) -> bool {
        let template = self.tokens.get(at).filter(|token| token.kind == Kind::Template);
        template.is_some_and(|token| token.text.iter().any(|byte| signs.contains(byte)))
    }

    /// The dot at `dot` stands behind the window, or what leads to it.
    fn global_before(&self, dot: usize) -> bool {
        let mut owner = dot.wrapping_sub(1);
        if self.is(owner, b'?') {
            owner = owner.wrapping_sub(1);
        }
        is_global(self.word(owner)) || matches!(self.kind(owner), Some(Kind::Sign(b')' | b']')))
    }

    fn look_at_dialog(&mut self, at: usize, word: &'a [u8], member: bool) {
        let next = at + 1;
        if self.kind(next) == Some(Kind::Template) {
            // In prose a grave accent opens a piece of code: "print `Running`".
            let text = self.tokens[next].text;
            let probe = word != b"print" || text.is_empty();
            return self
                .raise(if probe && is_probe_text(text) { Verdict::Attack } else { Verdict::Loud }, word);
        }
        if self.is(next, b'?') && self.is(next + 1, b'.') {
            return self.raise(Verdict::Attack, word);
        }
        if self.is(next, b'.') && matches!(self.word(next + 1), b"call" | b"apply" | b"bind") {
            return self.raise(Verdict::Attack, word);
        }
        if word == b"msgbox" {
            return self.raise(Verdict::Attack, word);
        }
        if self.is(next, b'(') {
            // A page prints itself on a click; `print()` alone is what probes took up when browsers
            // stopped alert in frames.
            if word == b"print" {
                let shown = !member && matches!(self.kind(next + 1), Some(Kind::Sign(b')')) | None);
                return self.raise(if shown { Verdict::Loud } else { Verdict::Acts }, word);
            }
            // `onclick="return confirm('Delete this item?')"`: a page asks its visitor.
            if word == b"confirm" && self.word(at.wrapping_sub(1)) == b"return" && self.asks(next + 1) {
                return self.raise(Verdict::Acts, word);
            }
            return match self.probes(next + 1) {
                true => self.raise(Verdict::Attack, word),
                false => self.loud(DIALOG, at, word),
            };
        }
        self.look_at_passed_dialog(at, word);
    }

    /// The function itself is handed on: `onerror=alert;throw 1`, `[1].map(alert)`, `(alert)(1)`.
    fn look_at_passed_dialog(&mut self, at: usize, word: &'a [u8]) {
        let next = at + 1;
        let ends =
            matches!(self.kind(next), None | Some(Kind::Sign(b')' | b']' | b';' | b',' | b'}' | b'/')));
        let Some(Kind::Sign(sign)) = at.checked_sub(1).and_then(|before| self.kind(before)).filter(|_| ends)
        else {
            return;
        };
        // Python maps with it.
        if word == b"print" {
            return;
        }
        let caller = self.word(at.wrapping_sub(2));
        let attack = match sign {
            b'(' if is_keyword(caller) => return,
            b'(' if caller.is_empty() => {
                self.is(next, b')') && (self.calls(next + 1) || self.is(next + 1, b'?'))
            }
            b'(' => matches!(
                caller,
                b"map"
                    | b"find"
                    | b"filter"
                    | b"foreach"
                    | b"some"
                    | b"every"
                    | b"from"
                    | b"call"
                    | b"apply"
                    | b"then"
                    | b"replace"
                    | b"findindex"
                    | b"flatmap"
                    | b"sort"
                    | b"reduce"
                    | b"finally"
                    | b"addeventlistener"
            ),
            b'[' => self.is(next, b']') && (self.is(next + 1, b'[') || self.is(next + 1, b'.')),
            b'=' if matches!(self.kind(at.wrapping_sub(2)), Some(Kind::Sign(b'=' | b'!'))) => return,
            b'=' => {
                word == b"alert"
                    || caller == b"onerror"
                    || self.tokens.iter().any(|token| token.text == b"throw")
            }
            b':' if word == b"eval" => true,
            b':' => word == b"alert" && self.is(next, b'}'),
            b',' if word == b"eval" => self.is(next, b')'),
            b',' | b'&' | b'|' => false,
            _ => return,
        };
        self.raise(if attack { Verdict::Attack } else { Verdict::Loud }, word);
    }

    /// A question of several words.
    fn asks(&self, at: usize) -> bool {
        let text = self.tokens.get(at).filter(|token| token.kind == Kind::Text && !token.escaped);
        text.is_some_and(|token| token.text.iter().filter(|byte| **byte == b' ').count() >= 2)
            && self.is(at + 1, b')')
            && !self.probes(at)
    }

    /// What the dialog whose arguments begin at `at` shows is of no use to a visitor.
    fn probes(&self, at: usize) -> bool {
        let Some(first) = self.tokens.get(at) else { return false };
        let last = matches!(
            self.kind(at + 1),
            None | Some(Kind::Sign(b')' | b',' | b';' | b'<' | b'/' | b'\\' | b'&'))
        );
        match first.kind {
            Kind::Sign(b')') => true,
            Kind::Number | Kind::Pattern => last,
            Kind::Text | Kind::Template => last && is_probe_text(first.text),
            Kind::Word if first.escaped => true,
            Kind::Word => {
                let word = first.text;
                let page = is_global(word)
                    || matches!(word, b"location" | b"origin" | b"cookie" | b"navigator" | b"name");
                let decoded = matches!(word, b"string" | b"atob" | b"unescape" | b"eval");
                (page && word != b"this") || decoded || (last && has_probe_word(word))
            }
            Kind::Sign(b'-' | b'+' | b'!' | b'~' | b'[') => true,
            _ => false,
        }
    }

    /// Functions that run text, or fetch and run it.
    fn look_at_runner(&mut self, at: usize, word: &'a [u8], of_page: bool) -> bool {
        let first = at + 2;
        let text = matches!(self.kind(first), Some(Kind::Text | Kind::Template));
        let called = self.calls(at + 1);
        match word {
            b"eval" | b"execscript" if of_page => {
                if !called {
                    self.look_at_passed_dialog(at, word);
                    return true;
                }
                self.loud(RUNS, at, word);
                if self.decodes(first) {
                    self.raise(Verdict::Attack, word);
                }
            }
            b"function" | b"constructor" if self.is(at + 1, b'(') && text => {
                self.raise(Verdict::Attack, word);
            }
            b"function" if self.before(at, b'(') && self.word(at.wrapping_sub(2)) == b"new" => {
                self.raise(Verdict::Attack, word);
            }
            b"function" | b"constructor" if self.template_with(at + 1, b"\\$(") => {
                self.raise(Verdict::Attack, word);
            }
            b"constructor" if self.is(at + 1, b'.') && self.word(first) == b"constructor" => {
                self.raise(Verdict::Attack, word);
            }
            b"constructor" if self.is(at + 1, b'(') && self.decodes(first) => {
                self.raise(Verdict::Attack, word)
            }
            b"settimeout" | b"setinterval" | b"setimmediate" if called && of_page => {
                if text || self.decodes(first) || self.kind(at + 1) == Some(Kind::Template) {
                    self.loud(RUNS, at, word);
                } else if is_dialog(self.word(first)) {
                    self.raise(Verdict::Attack, word);
                } else {
                    self.raise(Verdict::Acts, word);
                }
            }
            b"importscripts" => self.raise(Verdict::Attack, word),
            b"msgbox" => self.raise(Verdict::Loud, word),
            b"import" if called || self.far_text(at + 1) => self.loud(RUNS, at, word),
            b"getscript" if called => self.loud(RUNS, at, word),
            b"with" if called && self.word(first) != b"" => self.raise(Verdict::Loud, word),
            b"throw" | b"debugger" => self.raise(Verdict::Acts, word),
            b"reflect" if self.is(at + 1, b'.') => self.raise(Verdict::Loud, word),
            b"__definegetter__" | b"__definesetter__" | b"__nosuchmethod__" => {
                self.raise(Verdict::Loud, word)
            }
            _ => return false,
        }
        true
    }

    /// The expression at `at` makes text of something hidden or from outside.
    fn decodes(&self, at: usize) -> bool {
        let word = self.word(at);
        let text = self.tokens.get(at).is_some_and(|token| token.kind == Kind::Text);
        // A text in pieces: 'al'+'ert(1)'.
        let pieces = text
            && (self.is(at + 1, b'+') || self.kind(at + 1) == Some(Kind::Text))
            && matches!(self.kind(at + 2), Some(Kind::Text | Kind::Sign(b')')));
        let string = pieces || word == b"string" && self.word(at + 2) == b"fromcharcode";
        string
            || matches!(
                word,
                b"atob"
                    | b"unescape"
                    | b"decodeuri"
                    | b"decodeuricomponent"
                    | b"location"
                    | b"name"
                    | b"src"
                    | b"id"
                    | b"alt"
                    | b"title"
                    | b"uneval"
            )
            || (is_global(word)
                && self.is(at + 1, b'.')
                && matches!(self.word(at + 2), b"location" | b"name" | b"url" | b"cookie"))
            || (self.tokens.get(at).is_some_and(|token| token.kind == Kind::Text && token.escaped))
    }

    /// What is read from the page, and what leaves it.
    fn look_at_page(&mut self, at: usize, word: &'a [u8], of_page: bool) -> bool {
        let called = self.calls(at + 1);
        match word {
            b"cookie" | b"domain" | b"referrer"
                if self.before(at, b'.') && self.word(at.wrapping_sub(2)) == b"document" =>
            {
                let set = self.is(at + 1, b'=') && !self.is(at + 2, b'=');
                // `document.cookie.indexOf('theme=')`: a page asks for its own setting.
                let asks = self.is(at + 1, b'.')
                    && matches!(
                        self.word(at + 2),
                        b"indexof" | b"match" | b"includes" | b"search" | b"split" | b"replace"
                    );
                match (set, asks) {
                    (true, _) => self.raise(Verdict::Loud, word),
                    (_, true) => self.note(READS, at, word),
                    _ => self.loud(READS, at, word),
                }
            }
            b"localstorage" | b"sessionstorage" if of_page => {
                if !(self.is(at + 1, b'.')
                    && matches!(self.word(at + 2), b"setitem" | b"removeitem" | b"clear"))
                {
                    self.note(READS, at, word);
                }
            }
            b"write" | b"writeln" if called && (of_page || self.word(at.wrapping_sub(2)) == b"document") => {
                self.loud(RUNS, at, word);
            }
            b"location" if of_page => self.look_at_location(at, word),
            b"log" if called && self.word(at.wrapping_sub(2)) == b"console" => {
                self.raise(Verdict::Loud, word)
            }
            b"createelement"
                if called && self.tokens.get(at + 2).is_some_and(|token| token.text == b"script") =>
            {
                self.raise(Verdict::Loud, word);
            }
            b"globaleval" => self.raise(Verdict::Attack, word),
            b"fetch" | b"sendbeacon" if called => self.loud(SENDS, at, word),
            b"xmlhttprequest" | b"activexobject" => self.loud(SENDS, at, word),
            b"image" if self.word(at.wrapping_sub(1)) == b"new" => self.loud(SENDS, at, word),
            b"src"
                if self.before(at, b'.')
                    && self.is(at + 1, b'=')
                    && self.far_text(at + 2)
                    && self.root != b"this" =>
            {
                self.loud(SENDS, at, word);
            }
            b"fromcharcode" if called => {
                self.loud(READS, at, word);
            }
            b"open" if called && (self.root == b"window" || self.root == b"open") => {
                self.note(SENDS, at, word);
                self.raise(Verdict::Acts, word);
            }
            _ => return false,
        }
        true
    }

    fn look_at_location(&mut self, at: usize, word: &'a [u8]) {
        let mut next = at + 1;
        if self.is(next, b'.') && matches!(self.word(next + 1), b"href" | b"hash" | b"search") {
            next += 2;
        }
        let assigned = (self.is(next, b'=') && !self.is(next + 1, b'=')) || self.is(next, b'(');
        let method = self.is(next, b'.') && matches!(self.word(next + 1), b"assign" | b"replace");
        let target = if assigned { next + 1 } else { next + 3 };
        if assigned || method {
            self.note(SENDS, at, word);
            let script = self.tokens.get(target).is_some_and(|token| {
                let scheme = token.text.iter().copied().filter(|byte| *byte > b' ').take(5);
                token.kind != Kind::Word
                    && (token.escaped || token.kind == Kind::Pattern || scheme.eq(b"javas".iter().copied()))
            });
            let named = matches!(self.word(target), b"name" | b"atob" | b"unescape");
            self.raise(if script || named { Verdict::Attack } else { Verdict::Acts }, word);
        }
    }

    /// A text that names another host.
    fn far_text(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|token| {
            token.kind == Kind::Text && (token.text.starts_with(b"//") || token.text.starts_with(b"http"))
        })
    }

    /// `[` behind something: a member by name. Names of functions are written so to hide them.
    fn look_at_key(&mut self, at: usize) {
        let Some(owner) = at.checked_sub(1).and_then(|at| self.tokens.get(at)) else { return };
        let indexes =
            matches!(owner.kind, Kind::Word | Kind::Sign(b']' | b')' | b'.') | Kind::Text | Kind::Pattern);
        let Some(first) = self.tokens.get(at + 1).filter(|_| indexes) else { return };
        let global = owner.kind == Kind::Word && is_global(owner.text);
        let closed = self.is(at + 2, b']');
        let text = matches!(first.kind, Kind::Text | Kind::Template);
        if text && first.escaped && (global || self.calls(at + 3)) {
            return self.raise(Verdict::Attack, b"[");
        }
        if text && closed {
            let word = first.text;
            if is_dialog(word) || matches!(word, b"eval" | b"constructor" | b"settimeout" | b"globaleval") {
                let acts = self.calls(at + 3) || self.is(at + 3, b'[') || global;
                return if acts {
                    self.raise(Verdict::Attack, word)
                };
            }
            if matches!(word, b"cookie" | b"location" | b"domain") && global {
                return self.loud(READS, at, word);
            }
            return if global && self.calls(at + 3) {
                self.raise(Verdict::Acts, word)
            };
        }
        // A name put together from pieces: 'al'+'ert', /al/.source, 8680439..toString(30).
        let pieces = match first.kind {
            Kind::Text | Kind::Template => matches!(self.kind(at + 2), Some(Kind::Sign(b'+') | Kind::Text)),
            Kind::Pattern => true,
            Kind::Number => self.is(at + 2, b'.') && !closed,
            Kind::Word => {
                matches!(first.text, b"atob" | b"string")
                    || (global && (is_dialog(first.text) || self.is(at + 2, b'+')))
            }
            Kind::Sign(b'[' | b'(' | b'!' | b'+') => true,
            _ => false,
        };
        if pieces && global {
            self.raise(Verdict::Attack, b"[");
        } else if pieces && first.kind == Kind::Text {
            self.raise(Verdict::Loud, b"[");
        }
    }
}
