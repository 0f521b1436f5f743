//! Single values that no collection holds: they are worked out when a rule or a macro asks, so
//! that exchanges nobody asks about pay nothing for them. Times are UTC; the caller tells them.

use std::borrow::Cow;

use super::Collection;
use super::store::Undecoded;
use crate::waf::body::MultipartFlaw;
use crate::waf::lang::ast::Persistent;
use crate::waf::scratch::Scratch;
use crate::waf::transaction::State;

/// One of these values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The first word of the Authorization field, `Basic`.
    AuthType,
    /// How the request body will be read, `URLENCODED`, `MULTIPART`, `JSON` or `XML`, from the
    /// request headers on: rules decide on it whether a body that nothing takes apart is to be
    /// shown as it is. Empty for such a body, as in version 2.
    ReqbodyProcessor,
    /// 1 when a `%` without two digits stands in the query or in a form body.
    UrlencodedError,
    /// 1 when the request body is longer than what is looked at.
    InboundDataError,
    OutboundDataError,
    /// 0; 1 when a value was too long to be decoded; 2 when the exchange had more decoded values,
    /// or bytes of them, than are looked at, so that later ones were looked at as they stand.
    DecodeLimitExceeded,
    /// Protocol and status. ModSecurity has the reason phrase, too; HTTP/2 knows none.
    StatusLine,
    Multipart(MultipartFlaw),
    /// 0; 1 when a line looks like a boundary, is none, and no boundary follows; 2 when one
    /// does, as behind a certificate in a file. So version 2's old `!@eq 0` and the `@eq 1` of
    /// later recommended rules mean what they meant.
    UnmatchedBoundary,
    /// The key under which a collection was opened; empty before.
    Opened(Persistent),
    /// What SecWebAppId is by default.
    WebAppId,
    /// Portward's own version in ModSecurity's layout, two digits each for major, minor and
    /// patch and 100 for a release: it says nothing about ModSecurity's.
    Build,
    /// Always 0: matching is linear and has no limits to exceed.
    Zero,
    /// Microseconds since the exchange began, as in version 2 (in version 3: seconds), known to
    /// the millisecond.
    Duration,
    /// `14:05:09`
    Time,
    /// Seconds since 1970.
    TimeEpoch,
    TimeYear,
    /// `01` to `12`.
    TimeMonth,
    /// `01` to `31`.
    TimeDay,
    /// 0 to 6 from Sunday on, as in version 2 (in version 3: Sunday is 7).
    TimeWeekday,
    /// `00` to `23`.
    TimeHour,
    /// `00` to `59`.
    TimeMinute,
    TimeSecond,
}

impl Fact {
    /// True when it is a default as long as no request body was seen.
    pub fn is_request_body(self) -> bool {
        matches!(
            self,
            Fact::UrlencodedError | Fact::InboundDataError | Fact::Multipart(_) | Fact::UnmatchedBoundary
        )
    }
}

/// What the fact is now; `None` when there is nothing yet that it could be.
pub(in crate::waf) fn value<'a>(fact: Fact, scratch: &'a Scratch, state: &State) -> Option<Cow<'a, [u8]>> {
    let store = &scratch.store;
    let text = |text: String| Some(Cow::Owned(text.into_bytes()));
    let flag = |is: bool| Some(Cow::Borrowed(if is { &b"1"[..] } else { b"0" }));
    let now = Moment::of(state.unix_ms);
    match fact {
        Fact::AuthType => {
            let mut fields = store.of(Collection::RequestHeaders);
            let (_, field) =
                fields.find(|(_, field)| store.get(field.key).eq_ignore_ascii_case(b"authorization"))?;
            store.get(field.value).split(|byte| *byte == b' ').next().map(Cow::Borrowed)
        }
        Fact::ReqbodyProcessor => {
            let processor = state.processor(store);
            Some(Cow::Borrowed(processor.map_or(&b""[..], |processor| processor.name().as_bytes())))
        }
        Fact::UrlencodedError => flag(state.notes.urlencoded_error),
        Fact::InboundDataError => flag(state.notes.inbound_cut),
        Fact::OutboundDataError => flag(state.notes.outbound_cut),
        Fact::DecodeLimitExceeded => text(
            match store.limits {
                Undecoded { candidates: true, .. } => "2",
                Undecoded { long_values: true, .. } => "1",
                _ => "0",
            }
            .to_owned(),
        ),
        Fact::StatusLine => {
            let status = store.first(Collection::ResponseStatus)?;
            let protocol = store.first(Collection::ResponseProtocol)?;
            Some(Cow::Owned([protocol, b" ", status].concat()))
        }
        Fact::Multipart(flaw) => flag(state.notes.flaws & flaw.bit() != 0),
        Fact::UnmatchedBoundary => text(state.notes.unmatched_boundary.to_string()),
        Fact::Opened(kind) => {
            Some(Cow::Borrowed(scratch.opened[kind as usize].as_ref().map_or(&b""[..], |opened| &opened.key)))
        }
        Fact::WebAppId => Some(Cow::Borrowed(b"default")),
        Fact::Build => Some(Cow::Owned(build())),
        Fact::Zero => flag(false),
        Fact::Duration => text((state.unix_ms.saturating_sub(state.began_unix_ms) * 1000).to_string()),
        Fact::Time => text(format!("{:02}:{:02}:{:02}", now.hour, now.minute, now.second)),
        Fact::TimeEpoch => text((state.unix_ms / 1000).to_string()),
        Fact::TimeYear => text(format!("{:04}", now.year)),
        Fact::TimeMonth => text(format!("{:02}", now.month)),
        Fact::TimeDay => text(format!("{:02}", now.day)),
        Fact::TimeWeekday => text(now.weekday.to_string()),
        Fact::TimeHour => text(format!("{:02}", now.hour)),
        Fact::TimeMinute => text(format!("{:02}", now.minute)),
        Fact::TimeSecond => text(format!("{:02}", now.second)),
    }
}

fn build() -> Vec<u8> {
    let part = |text: &str| text.parse::<u32>().unwrap_or(0);
    let major = part(env!("CARGO_PKG_VERSION_MAJOR"));
    let minor = part(env!("CARGO_PKG_VERSION_MINOR"));
    let patch = part(env!("CARGO_PKG_VERSION_PATCH"));
    format!("{major:02}{minor:02}{patch:02}100").into_bytes()
}

/// A time of the proleptic Gregorian calendar, UTC.
#[derive(Debug, PartialEq, Eq)]
struct Moment {
    year: u64,
    month: u64,
    day: u64,
    /// 0 is Sunday.
    weekday: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Moment {
    fn of(unix_ms: u64) -> Moment {
        let seconds = unix_ms / 1000;
        let days = seconds / 86_400;
        // Counted from the first of March of the year 0, so that a leap day is the last of its
        // year; 400 years have 146,097 days.
        let from_march = days + 719_468;
        let (era, day) = (from_march / 146_097, from_march % 146_097);
        let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // Five months from March on have 153 days, and so have the next five.
        let month = (5 * day + 2) / 153;
        let january = u64::from(month >= 10);
        Moment {
            year: era * 400 + year_of_era + january,
            month: month + 3 - 12 * january,
            day: day - (153 * month + 2) / 5 + 1,
            // 1 January 1970 was a Thursday.
            weekday: (days + 4) % 7,
            hour: seconds / 3_600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_of_the_calendar() {
        for (seconds, expect) in [
            (0, (1970, 1, 1, 4, 0, 0, 0)),
            (951_782_399, (2000, 2, 28, 1, 23, 59, 59)),
            (951_782_400, (2000, 2, 29, 2, 0, 0, 0)),
            (1_709_251_199, (2024, 2, 29, 4, 23, 59, 59)),
            (1_735_689_599, (2024, 12, 31, 2, 23, 59, 59)),
            (4_107_542_400, (2100, 3, 1, 1, 0, 0, 0)),
        ] {
            let m = Moment::of(seconds * 1000 + 999);
            assert_eq!((m.year, m.month, m.day, m.weekday, m.hour, m.minute, m.second), expect, "{seconds}");
        }
    }
}
