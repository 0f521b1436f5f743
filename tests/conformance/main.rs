//! Agreement with those whose rules people bring: what ModSecurity's own data says, and what its libraries answer.
//! The data is Debian's source packages, which `tests/run` fetches; none of it is committed. A case that does not agree
//! fails here or stands in `differences.txt` with its reason.

mod injection;
mod support;
