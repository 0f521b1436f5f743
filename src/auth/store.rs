//! The users file: htpasswd lines of `name:hash`, with hashes that are slow on purpose (argon2,
//! bcrypt). A file with any other kind is refused with its line, because fast hashes and plain
//! passwords in a file are given away with the file.

use std::collections::HashMap;
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordVerifier};

use super::cache::Remembered;
use super::{Credentials, Identity};

/// Users and their hashes, checked whole when loaded, and the credentials that were right lately.
#[derive(Debug)]
pub struct Store {
    users: HashMap<Arc<str>, Hash>,
    /// Checked against in place of a user that does not exist, so that both take as long.
    decoy: Hash,
    remembered: Remembered,
}

/// Why a users file cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {refusal}")]
pub struct AuthError {
    pub file: String,
    /// Counted from 1; the line after the last when the file as a whole is wrong.
    pub line: usize,
    pub refusal: Refusal,
}

/// What is wrong with a line. None of these shows the line: it may hold a plain password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the system gives no random bytes to guard remembered credentials with: {0}")]
    NoRandom(String),
    #[error("there are no users in the file; add one with `htpasswd -B FILE NAME`")]
    NoUsers,
    #[error("a line is `name:hash`, and this one has no colon")]
    NoColon,
    #[error("the name is empty, longer than 255 bytes, or has control characters")]
    Name,
    #[error("`{0}` stands in the file twice")]
    Twice(String),
    #[error("`{user}` has {kind}, which is too weak; set the password again with `htpasswd -B FILE {user}`")]
    Weak { user: String, kind: &'static str },
    #[error("the bcrypt hash of `{user}` is damaged: {why}")]
    Bcrypt { user: String, why: String },
    #[error("the argon2 hash of `{user}` is damaged: {why}")]
    Argon2 { user: String, why: String },
    #[error("the hash of `{user}` takes too much work to check: {what}")]
    Costly { user: String, what: String },
}

/// About two seconds a check; each step doubles it.
const MAX_BCRYPT_COST: u32 = 15;
/// In KiB: what one check may hold in memory.
const MAX_ARGON2_MEMORY: u32 = 256 * 1024;
const MAX_ARGON2_PASSES: u32 = 20;
const MAX_ARGON2_LANES: u32 = 16;

#[derive(Clone, Debug)]
enum Hash {
    Argon2(Box<PasswordHash>),
    Bcrypt(Box<str>),
}

impl Store {
    /// Reads a whole file; `name` is its name for messages.
    pub fn load(text: &str, name: &str) -> Result<Store, AuthError> {
        let at = |line: usize, refusal| AuthError { file: name.to_owned(), line, refusal };
        let mut users: HashMap<Arc<str>, Hash> = HashMap::new();
        let mut kinds: HashMap<String, (usize, Hash)> = HashMap::new();
        let mut lines = 0;
        for (number, line) in (1..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines()) {
            lines = number;
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, hash) = read_line(line).map_err(|refusal| at(number, refusal))?;
            let seen = kinds.entry(hash.kind()).or_insert_with(|| (0, hash.clone()));
            seen.0 += 1;
            if users.insert(user.into(), hash).is_some() {
                return Err(at(number, Refusal::Twice(user.to_owned())));
            }
        }
        let common = kinds.into_values().max_by_key(|(count, _)| *count);
        let (_, decoy) = common.ok_or_else(|| at(lines + 1, Refusal::NoUsers))?;
        let remembered = Remembered::new().map_err(|e| at(lines, Refusal::NoRandom(e.to_string())))?;
        Ok(Store { users, decoy, remembered })
    }

    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Always false: a file without users does not load.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The answer when the same credentials were right in the last minutes; quick. `None` says
    /// nothing about them.
    pub fn remembered(&self, credentials: &Credentials) -> Option<Identity> {
        self.remembered.get(&self.remembered.tag(credentials))
    }

    /// Checks a password, unless it is remembered. Slow on purpose (tens of milliseconds, and
    /// for argon2 as much memory as its hash says): call it where blocking is allowed, and few
    /// at a time.
    pub fn verify(&self, credentials: &Credentials) -> Option<Identity> {
        let tag = self.remembered.tag(credentials);
        self.remembered.get(&tag).or_else(|| {
            let identity = self.check(credentials)?;
            self.remembered.insert(tag, identity.clone());
            Some(identity)
        })
    }

    fn check(&self, credentials: &Credentials) -> Option<Identity> {
        let (user, hash) = match self.users.get_key_value(&*credentials.user) {
            Some((user, hash)) => (Some(user), hash),
            None => (None, &self.decoy),
        };
        let right = hash.matches(&credentials.password);
        user.filter(|_| right).map(|user| Identity(Arc::clone(user)))
    }
}

impl Hash {
    fn matches(&self, password: &[u8]) -> bool {
        match self {
            Hash::Argon2(hash) => Argon2::default().verify_password(password, hash.as_ref()).is_ok(),
            Hash::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
        }
    }

    /// Algorithm and cost: hashes of one kind take equally long.
    fn kind(&self) -> String {
        match self {
            Hash::Argon2(hash) => format!("{}${}", hash.algorithm, hash.params),
            Hash::Bcrypt(hash) => hash.get(4..6).unwrap_or_default().to_owned(),
        }
    }
}

fn read_line(line: &str) -> Result<(&str, Hash), Refusal> {
    let (user, rest) = line.split_once(':').ok_or(Refusal::NoColon)?;
    if user.is_empty() || user.len() > Credentials::MAX_USER || user.chars().any(char::is_control) {
        return Err(Refusal::Name);
    }
    // Some tools write further fields after the hash, for people.
    let hash = rest.split(':').next().unwrap_or_default().trim();
    let hash = match hash.get(..4) {
        Some("$2y$" | "$2b$" | "$2a$") => read_bcrypt(user, hash)?,
        _ if hash.starts_with("$argon2") => read_argon2(user, hash)?,
        _ => return Err(Refusal::Weak { user: user.to_owned(), kind: name_weakness(hash) }),
    };
    Ok((user, hash))
}

fn read_bcrypt(user: &str, text: &str) -> Result<Hash, Refusal> {
    let damaged = |why: String| Refusal::Bcrypt { user: user.to_owned(), why };
    let parts: bcrypt::HashParts = text.parse().map_err(|e: bcrypt::BcryptError| damaged(e.to_string()))?;
    match parts.get_cost() {
        cost @ ..4 => Err(damaged(format!("its cost is {cost}, and the least is 4"))),
        cost if cost > MAX_BCRYPT_COST => {
            let what = format!("its cost is {cost}, more than {MAX_BCRYPT_COST}");
            Err(Refusal::Costly { user: user.to_owned(), what })
        }
        _ => Ok(Hash::Bcrypt(text.into())),
    }
}

fn read_argon2(user: &str, text: &str) -> Result<Hash, Refusal> {
    let damaged = |why: String| Refusal::Argon2 { user: user.to_owned(), why };
    let hash = PasswordHash::new(text).map_err(|e| damaged(e.to_string()))?;
    Algorithm::try_from(hash.algorithm.as_str()).map_err(|e| damaged(e.to_string()))?;
    let params = Params::try_from(&hash).map_err(|e| damaged(e.to_string()))?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(damaged("its salt or its hash is missing".to_owned()));
    }
    for (what, value, most) in [
        ("memory (m)", params.m_cost(), MAX_ARGON2_MEMORY),
        ("passes (t)", params.t_cost(), MAX_ARGON2_PASSES),
        ("lanes (p)", params.p_cost(), MAX_ARGON2_LANES),
    ] {
        if value > most {
            let what = format!("its {what} is {value}, more than {most}");
            return Err(Refusal::Costly { user: user.to_owned(), what });
        }
    }
    Ok(Hash::Argon2(Box::new(hash)))
}

fn name_weakness(hash: &str) -> &'static str {
    let starts = |prefix| hash.starts_with(prefix);
    if hash.is_empty() {
        "no password"
    } else if starts("$apr1$") || starts("$1$") {
        "an MD5 hash"
    } else if starts("{SHA}") || starts("{SSHA}") {
        "a SHA-1 hash"
    } else if starts("$2x$") {
        "a bcrypt hash of the variant 2x, made by a faulty program"
    } else if starts("$5$") || starts("$6$") {
        "a SHA-2 crypt hash"
    } else if starts("$") || starts("{") {
        "a hash of a kind that is not known here"
    } else if hash.len() == 13 && hash.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'/') {
        "a DES crypt hash"
    } else {
        "a password in plain text"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::{PasswordHasher, Version};

    /// An argon2 hash that is quick to check.
    fn argon2_line(user: &str, password: &str) -> String {
        let params = Params::new(64, 1, 1, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        format!(
            "{user}:{}",
            argon2.hash_password_with_salt(password.as_bytes(), b"salt of 16 bytes").unwrap()
        )
    }

    fn bcrypt_line(user: &str, password: &str, version: bcrypt::Version) -> String {
        format!("{user}:{}", bcrypt::hash_with_result(password, 4).unwrap().format_for_version(version))
    }

    fn verify(store: &Store, user: &str, password: &str) -> Option<String> {
        let credentials = Credentials::new(user.as_bytes(), password.as_bytes()).unwrap();
        store.verify(&credentials).map(|identity| identity.name().to_owned())
    }

    #[test]
    fn the_right_password_proves_the_name_and_no_other_does() {
        let text = [
            "# staff".to_owned(),
            argon2_line("ann", "correct horse"),
            String::new(),
            bcrypt_line("bob", "battery", bcrypt::Version::TwoY) + "\r",
            bcrypt_line("cyd", "staple", bcrypt::Version::TwoB) + ":Cyd Example:cyd@example.test",
            // From the test set of the first bcrypt implementation.
            "dan:$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".to_owned(),
        ]
        .join("\n");
        let store = Store::load(&text, "users").unwrap();
        assert_eq!(store.len(), 4);
        for (user, password) in
            [("ann", "correct horse"), ("bob", "battery"), ("cyd", "staple"), ("dan", "U*U")]
        {
            assert_eq!(verify(&store, user, password).as_deref(), Some(user));
            for wrong in ["", "correct", "Battery", "staple ", "U*U*"] {
                assert_eq!(verify(&store, user, wrong), None, "{user} {wrong}");
            }
        }
        for (user, password) in [("eve", "correct horse"), ("Ann", "correct horse"), ("# staff", "")] {
            assert_eq!(verify(&store, user, password), None, "{user}");
        }
    }

    #[test]
    fn a_name_that_does_not_exist_costs_what_the_others_cost() {
        let text = [
            argon2_line("ann", "a"),
            bcrypt_line("bob", "b", bcrypt::Version::TwoY),
            bcrypt_line("cyd", "c", bcrypt::Version::TwoB),
        ];
        let store = Store::load(&text.join("\n"), "users").unwrap();
        assert_eq!(store.decoy.kind(), store.users["bob"].kind());
        assert_ne!(store.decoy.kind(), store.users["ann"].kind());
        // The decoy's own password opens nothing.
        for password in ["a", "b", "c"] {
            assert_eq!(verify(&store, "nobody", password), None);
        }
    }

    #[test]
    fn right_credentials_are_remembered_and_wrong_ones_are_not() {
        let line = argon2_line("ann", "open");
        let store = Store::load(&line, "users").unwrap();
        let sent =
            |user: &str, password: &str| Credentials::new(user.as_bytes(), password.as_bytes()).unwrap();
        let (right, wrong) = (sent("ann", "open"), sent("ann", "shut"));
        assert_eq!(store.remembered(&right), None);
        assert_eq!(store.verify(&right).unwrap().name(), "ann");
        assert_eq!(store.remembered(&right).unwrap().name(), "ann");
        assert_eq!(store.verify(&wrong), None);
        assert_eq!(store.remembered(&wrong), None);
        // Name and password do not run into each other.
        assert_eq!(store.remembered(&sent("anno", "pen")), None);
        assert_eq!(store.remembered(&sent("an", "nopen")), None);
        // Another load, as on reload, shares nothing.
        let again = Store::load(&line, "users").unwrap();
        assert_ne!(store.remembered.tag(&right), again.remembered.tag(&right));
        assert_eq!(again.remembered(&right), None);
    }

    #[test]
    fn what_is_too_weak_is_refused_by_name_and_line_and_never_shown() {
        let weak = [
            ("$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/", "an MD5 hash"),
            ("$1$abcdefgh$irWbblnpmw.5z7wgBnprh0", "an MD5 hash"),
            ("{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=", "a SHA-1 hash"),
            ("{SSHA}0c0blFTXXNuAMHECS4uxrj3ZieMoWImr", "a SHA-1 hash"),
            ("$5$salt$Gcm6FsVtF/Qa77ZKD.iwsJlCVPY0XSMgLJL0Hnww/c1", "a SHA-2 crypt hash"),
            ("$6$salt$abc", "a SHA-2 crypt hash"),
            (
                "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                "a bcrypt hash of the variant 2x",
            ),
            ("rqXexS6ZhobKA", "a DES crypt hash"),
            ("hunter2", "a password in plain text"),
            ("$7$x", "a hash of a kind that is not known here"),
            ("", "no password"),
        ];
        for (hash, kind) in weak {
            let text = format!("{}\n\n# x\nbob:{hash}\n", argon2_line("ann", "a"));
            let error = Store::load(&text, "etc/users").unwrap_err().to_string();
            assert!(error.starts_with(&format!("etc/users:4: `bob` has {kind}")), "{error}");
            assert!(error.contains("htpasswd -B FILE bob"), "{error}");
            assert!(hash.is_empty() || !error.contains(hash), "{error}");
        }
    }

    #[test]
    fn damaged_and_costly_lines_are_refused() {
        let good = argon2_line("ann", "a");
        let long = "u".repeat(256);
        let bcrypt_of =
            |cost: &str| format!("bob:$2y${cost}$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW");
        let table: Vec<(String, &str)> = vec![
            (String::new(), "u:1: there are no users"),
            ("# nobody\n".to_owned(), "u:2: there are no users"),
            ("bob".to_owned(), "u:1: a line is `name:hash`"),
            (":x".to_owned(), "u:1: the name is empty"),
            (format!("{long}:x"), "u:1: the name is empty, longer"),
            ("b\tob:x".to_owned(), "u:1: the name is empty, longer than 255 bytes, or has control"),
            (format!("{good}\n{good}"), "u:2: `ann` stands in the file twice"),
            ("bob:$2y$05$short".to_owned(), "u:1: the bcrypt hash of `bob` is damaged"),
            (bcrypt_of("xx"), "u:1: the bcrypt hash of `bob` is damaged"),
            (bcrypt_of("03"), "u:1: the bcrypt hash of `bob` is damaged: its cost is 3"),
            (bcrypt_of("16"), "u:1: the hash of `bob` takes too much work to check: its cost is 16"),
            ("bob:$argon2id$x".to_owned(), "u:1: the argon2 hash of `bob` is damaged"),
            ("bob:$argon2id$v=19$m=64,t=1,p=1".to_owned(), "u:1: the argon2 hash of `bob` is damaged"),
            (good.replace("argon2id", "argon2z"), "u:1: the argon2 hash of `ann` is damaged"),
            (
                good.replace("m=64", "m=999999"),
                "u:1: the hash of `ann` takes too much work to check: its memory",
            ),
            (good.replace("t=1", "t=21"), "u:1: the hash of `ann` takes too much work to check: its passes"),
        ];
        for (text, expected) in table {
            let error = Store::load(&text, "u").expect_err(&text).to_string();
            assert!(error.starts_with(expected), "{text}\n{error}");
        }
    }
}
