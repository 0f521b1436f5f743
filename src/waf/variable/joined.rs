//! Parameters that came several times, joined as ASP and ASP.NET hand them on: with commas, names in any case. An attack
//! that is cut into pieces of one name, each of them harmless, is whole again there. Lists (`id[]`) are left alone: where
//! names are written so, nothing is joined.

use super::Collection as C;
use super::store::{Span, Store};
use crate::waf::bytes::ByteSet;

/// No attack of which any piece could be a part does without one of these.
const SIGNS: ByteSet = ByteSet::of(b"'\"`<>()*;|&$\\#%=/");

/// Adds what the values of each name in that collection are together, where one of them is more than words.
pub(super) fn fill(store: &mut Store, collection: C) {
    let args = &store.index[collection as usize];
    if args.len() < 2 {
        return;
    }
    let name = |number: &u32| store.get(store.values[*number as usize].key);
    let mut numbers = args.clone();
    // Stable, so values stay in the order in which they came.
    numbers.sort_by(|a, b| by_name(name(a), name(b)));
    let groups: Vec<Vec<Span>> = numbers
        .chunk_by(|a, b| by_name(name(a), name(b)).is_eq())
        .filter(|group| group.len() > 1 && !name(&group[0]).ends_with(b"]"))
        .map(|group| {
            let value = |number: &u32| &store.values[*number as usize];
            std::iter::once(value(&group[0]).key).chain(group.iter().map(|one| value(one).value)).collect()
        })
        .filter(|group: &Vec<Span>| {
            group[1..].iter().any(|value| ByteSet::present_in(store.get(*value)).intersects(&SIGNS))
        })
        .collect();
    for group in groups {
        let start = store.bytes.len();
        for (at, value) in group[1..].iter().enumerate() {
            if at > 0 {
                store.keep(b",");
            }
            store.bytes.extend_from_within(value.start..value.end);
        }
        let end = store.bytes.len();
        store.add(C::ArgsJoined, group[0], Span { start, end });
    }
}

fn by_name(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    a.iter().map(u8::to_ascii_lowercase).cmp(b.iter().map(u8::to_ascii_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(args: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut store = Store::default();
        for (name, value) in args {
            let (name, value) = (store.keep(name.as_bytes()), store.keep(value.as_bytes()));
            store.add(C::ArgsGet, name, value);
        }
        fill(&mut store, C::ArgsGet);
        let text = |span| String::from_utf8_lossy(store.get(span)).into_owned();
        let all = store.index[C::ArgsJoined as usize].iter().map(|at| &store.values[*at as usize]);
        all.map(|value| (text(value.key), text(value.value))).collect()
    }

    #[test]
    fn values_of_one_name_are_joined_in_the_order_in_which_they_came() {
        let args = [("a", "1 union/*"), ("b", "x"), ("A", "*/select/*"), ("a", "*/1")];
        assert_eq!(joined(&args), [("a".to_owned(), "1 union/*,*/select/*,*/1".to_owned())]);
    }

    #[test]
    fn single_values_words_and_lists_are_not() {
        for args in [
            &[("a", "1'"), ("b", "'2")][..],
            &[("a", "red"), ("a", "blue")],
            &[("a[]", "1'"), ("a[]", "'2")],
            &[("a", "'")],
            &[],
        ] {
            assert!(joined(args).is_empty(), "{args:?}");
        }
    }
}
