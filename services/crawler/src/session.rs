//! What a page begins with in a session, and what it has changed when it ends. Values are in no debug output.

use std::collections::BTreeMap;

use egress::{Crumb, Jar};

/// The local storage of one origin.
pub(crate) type Items = BTreeMap<String, String>;

/// What a page begins with.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) cookies: Vec<Crumb>,
    /// By origin.
    pub(crate) storage: BTreeMap<String, Items>,
}

/// What a page has changed.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// New, or other than before.
    pub(crate) cookies: Vec<Crumb>,
    pub(crate) removed_cookies: Vec<Crumb>,
    /// By origin.
    pub(crate) storage: BTreeMap<String, StorageChange>,
}

/// What a page has changed in the local storage of one origin.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct StorageChange {
    /// New, or other than before.
    pub(crate) items: Items,
    pub(crate) removed: Vec<String>,
}

impl Changes {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.cookies.is_empty() && self.removed_cookies.is_empty() && self.storage.is_empty()
    }

    /// Notes how the cookies differ from those before.
    pub(crate) fn of_cookies(before: &[Crumb], after: Vec<Crumb>) -> Self {
        let key = |crumb: &Crumb| (crumb.name.clone(), crumb.host.clone(), crumb.below, crumb.path.clone());
        let mut known: BTreeMap<_, _> = before.iter().map(|crumb| (key(crumb), crumb)).collect();
        let changed = |crumb: &Crumb| known.remove(&key(crumb)) != Some(crumb);
        let cookies = after.into_iter().filter(changed).collect();
        let removed_cookies = known.into_values().cloned().collect();
        Self { cookies, removed_cookies, storage: BTreeMap::new() }
    }

    /// Notes how the local storage of an origin differs from that before.
    pub(crate) fn add_storage(&mut self, origin: &str, before: &Items, after: Items) {
        let removed: Vec<String> = before.keys().filter(|name| !after.contains_key(*name)).cloned().collect();
        let mut items = after;
        items.retain(|name, value| before.get(name) != Some(value));
        if !items.is_empty() || !removed.is_empty() {
            self.storage.insert(origin.to_owned(), StorageChange { items, removed });
        }
    }
}

/// The jar of one page over plain HTTP, with what it began with.
pub(crate) struct Lent {
    pub(crate) jar: std::sync::Arc<Jar>,
    before: Vec<Crumb>,
}

impl Lent {
    /// A jar with the cookies of the session in it, and room for `more`.
    pub(crate) fn new(state: &State, more: usize) -> Self {
        let jar = Jar::new(state.cookies.len() + more);
        for crumb in &state.cookies {
            jar.put(crumb);
        }
        Self { before: jar.crumbs(), jar: jar.into() }
    }

    /// What the answers to the page's requests have changed.
    pub(crate) fn changes(&self) -> Changes {
        Changes::of_cookies(&self.before, self.jar.crumbs())
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("cookies", &self.cookies.len()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes").field("cookies", &self.cookies.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crumb(name: &str, value: &str) -> Crumb {
        Crumb {
            name: name.to_owned(),
            value: value.to_owned(),
            host: "example.com".to_owned(),
            below: false,
            path: "/".to_owned(),
            secure: false,
            http_only: true,
            expires: None,
            same_site: Some("Lax".to_owned()),
        }
    }

    #[test]
    fn only_what_differs_is_a_change() {
        let before = [crumb("same", "1"), crumb("other", "1"), crumb("gone", "1")];
        let after = vec![crumb("other", "2"), crumb("new", "1"), crumb("same", "1")];
        let changes = Changes::of_cookies(&before, after);
        assert!(changes.cookies == [crumb("other", "2"), crumb("new", "1")]);
        assert!(changes.removed_cookies == [crumb("gone", "1")]);
        assert!(Changes::of_cookies(&before, before.to_vec()).is_empty());
        assert!(!format!("{changes:?}").contains("other"));
    }

    #[test]
    fn storage_is_compared_item_by_item() {
        let items = |pairs: &[(&str, &str)]| -> Items {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let before = items(&[("same", "1"), ("other", "1"), ("gone", "1")]);
        let mut changes = Changes::default();
        changes.add_storage("https://a.example", &before, before.clone());
        assert!(changes.is_empty());
        changes.add_storage(
            "https://a.example",
            &before,
            items(&[("same", "1"), ("other", "2"), ("new", "1")]),
        );
        let change = &changes.storage["https://a.example"];
        assert!(change.items == items(&[("new", "1"), ("other", "2")]));
        assert_eq!(change.removed, ["gone"]);
    }

    #[test]
    fn a_jar_that_is_lent_gives_back_what_answers_have_changed() {
        let state = State { cookies: vec![crumb("a", "1"), crumb("b", "1")], ..State::default() };
        let lent = Lent::new(&state, 5);
        assert!(lent.changes().is_empty());
        let mut headers = axum::http::HeaderMap::new();
        for line in ["a=2; Path=/; HttpOnly; SameSite=Strict", "b=; Max-Age=0; Path=/"] {
            headers.append(axum::http::header::SET_COOKIE, axum::http::HeaderValue::from_static(line));
        }
        lent.jar.keep(&"http://example.com/".parse().unwrap(), &headers);
        let changes = lent.changes();
        assert!(changes.cookies == [Crumb { same_site: Some("Strict".to_owned()), ..crumb("a", "2") }]);
        assert!(changes.removed_cookies == [crumb("b", "1")]);
    }
}
