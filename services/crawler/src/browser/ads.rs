//! Ads and trackers, by lists that others keep (EasyList and the like, in the syntax of Adblock Plus).
//!
//! Promises: the lists are read once, when the first job asks, on a thread that may block; a rule is only asked about requests that a
//! page makes, never about the page itself. Only rules for requests count: those that hide elements are left out.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adblock::lists::{ParseOptions, RuleTypes};
use adblock::request::Request;
use adblock::{Engine, FilterSet};
use chromiumoxide::cdp::browser_protocol::network::ResourceType;
use futures::future::{BoxFuture, FutureExt, Shared};

use super::Config;

/// Folders whose `*.txt` are lists; `tools/install` fills the first.
const FOLDERS: &[&str] = &["/usr/local/share/crawlmesh/ads", "/usr/share/crawlmesh/ads"];
/// Lists that come with other programs.
const FILES: &[&str] =
    &["/usr/share/chromium/extensions/ublock-origin/assets/thirdparties/easylist/easylist.txt"];
/// Longest rule that is told.
const MAX_RULE: usize = 200;

/// The lists in the usual places, in the order of their names.
#[must_use]
pub fn find_ad_lists() -> Vec<PathBuf> {
    for folder in FOLDERS {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut lists: Vec<PathBuf> =
            entries.map(|entry| entry.path()).filter(|path| is_list(path)).collect();
        if !lists.is_empty() {
            lists.sort();
            return lists;
        }
    }
    FILES.iter().map(PathBuf::from).filter(|path| path.is_file()).collect()
}

fn is_list(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|extension| extension == "txt")
}

/// The lists of a crawler, or why it has none.
pub(super) struct Ads {
    lists: Result<Vec<PathBuf>, String>,
    rules: Shared<BoxFuture<'static, Result<Arc<Rules>, String>>>,
}

impl Ads {
    /// Finds the lists, and reads none of them yet.
    pub(super) fn find(config: &Config) -> Self {
        let lists = lists(&config.ad_lists);
        let (asked, limit) = (lists.clone(), config.max_ad_lists.as_u64());
        let rules = async move {
            let asked = asked?;
            let read = tokio::task::spawn_blocking(move || Rules::read(&asked, limit)).await;
            read.unwrap_or_else(|_| Err("the lists cannot be read".to_owned())).map(Arc::new)
        };
        Self { lists, rules: rules.boxed().shared() }
    }

    /// What `/ready` shows: the lists, or why there are none.
    pub(super) fn note(&self) -> String {
        match &self.lists {
            Ok(lists) => {
                let names: Vec<_> = lists.iter().map(|list| name(list)).collect();
                names.join(", ")
            }
            Err(why) => why.clone(),
        }
    }

    /// The rules, read now if they were not before. Fails in words for the operator.
    pub(super) async fn rules(&self) -> Result<Arc<Rules>, String> {
        self.rules.clone().await
    }
}

fn name(list: &Path) -> String {
    list.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn lists(configured: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    if configured.is_empty() {
        let found = find_ad_lists();
        return if found.is_empty() {
            Err(format!("no list of ads found: put one into {}, or set browser.ad_lists", FOLDERS[0]))
        } else {
            Ok(found)
        };
    }
    match configured.iter().find(|path| !path.is_file()) {
        Some(missing) => Err(format!("browser.ad_lists: {} is not a file", missing.display())),
        None => Ok(configured.to_vec()),
    }
}

/// What the lists say.
pub(super) struct Rules {
    engine: Engine,
    /// The names of the lists, by the number that the engine gave them.
    names: Vec<String>,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("names", &self.names).finish_non_exhaustive()
    }
}

/// A request of a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    /// The URL of the page.
    pub(super) page: &'a str,
    pub(super) kind: &'a ResourceType,
}

impl Rules {
    /// Reads lists of `limit` bytes together.
    fn read(lists: &[PathBuf], limit: u64) -> Result<Self, String> {
        // With the text of each rule, so that a log can name it.
        let mut rules = FilterSet::new(true);
        let options = ParseOptions { rule_types: RuleTypes::NetworkOnly, ..ParseOptions::default() };
        let (mut left, mut names) = (limit, Vec::new());
        for list in lists {
            let refused = |what: &str| format!("browser.ad_lists: {} {what}", list.display());
            let size = list.metadata().map_err(|_| refused("cannot be read"))?.len();
            left = left.checked_sub(size).ok_or_else(|| refused("is beyond browser.max_ad_lists"))?;
            let text = std::fs::read(list).map_err(|_| refused("cannot be read"))?;
            rules.add_filter_list(String::from_utf8_lossy(&text).into_owned(), options);
            names.push(name(list));
        }
        // Rules that were fused could not be told apart.
        Ok(Self { engine: Engine::new_with_filter_set_no_optimize(rules), names })
    }

    /// The rule by which a request is not made, as `rule (list:line)`.
    pub(super) fn against(&self, asked: Asked<'_>) -> Option<String> {
        let Asked { method, url, page, kind } = asked;
        let request = Request::new(url, page, word(kind), method).ok()?;
        let found = self.engine.check_network_request(&request);
        if !found.should_block() {
            return None;
        }
        let rule = found.filter.unwrap_or_default();
        let text: String = rule.raw_line.unwrap_or_default().chars().take(MAX_RULE).collect();
        let place = rule.source_location.map(|place| {
            let list = usize::try_from(place.source_index).ok().and_then(|index| self.names.get(index));
            format!(" ({}:{})", list.map_or("a list", String::as_str), place.line_number + 1)
        });
        Some(format!("{text}{}", place.unwrap_or_default()))
    }
}

/// What lists call a kind of request.
const fn word(kind: &ResourceType) -> &'static str {
    match kind {
        // Only those of frames are asked about.
        ResourceType::Document => "sub_frame",
        ResourceType::Stylesheet => "stylesheet",
        ResourceType::Image => "image",
        ResourceType::Media | ResourceType::TextTrack => "media",
        ResourceType::Font => "font",
        ResourceType::Script => "script",
        ResourceType::Xhr | ResourceType::Fetch | ResourceType::EventSource => "xmlhttprequest",
        ResourceType::WebSocket => "websocket",
        ResourceType::Ping => "ping",
        ResourceType::CspViolationReport => "csp_report",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn rules(text: &str) -> Rules {
        let mut list = tempfile::NamedTempFile::new().unwrap();
        list.write_all(text.as_bytes()).unwrap();
        Rules::read(&[list.path().to_owned()], 1 << 20).unwrap()
    }

    #[test]
    fn a_rule_is_named_and_an_exception_lifts_it() {
        let rules = rules(
            "! Title: ours\n||ads.example^$third-party\n/banner/*$image\n@@||ads.example/needed.js\n##.ad\n",
        );
        let against =
            |url: &str, page: &str, kind| rules.against(Asked { method: "GET", url, page, kind: &kind });
        let page = "https://news.example/";
        let named = against("https://ads.example/a.js", page, ResourceType::Script);
        let rule = named.as_deref().and_then(|named| named.split_once(" ("));
        assert!(
            rule.is_some_and(|(rule, place)| rule == "||ads.example^$third-party" && place.ends_with(":2)")),
            "{named:?}"
        );
        for (url, page, kind) in [
            ("https://ads.example/a.js", "https://www.ads.example/", ResourceType::Script),
            ("https://ads.example/needed.js", page, ResourceType::Script),
            ("https://news.example/banner/1", page, ResourceType::Script),
            ("https://news.example/a.js", page, ResourceType::Script),
            ("data:text/plain,ads.example", page, ResourceType::Image),
            ("not a URL", page, ResourceType::Image),
        ] {
            assert_eq!(against(url, page, kind), None, "{url} on {page}");
        }
        assert!(against("https://news.example/banner/1", page, ResourceType::Image).is_some());
    }

    #[test]
    fn lists_that_are_missing_or_too_large_are_named() {
        let missing = lists(&[PathBuf::from("/no/such/list.txt")]).unwrap_err();
        assert_eq!(missing, "browser.ad_lists: /no/such/list.txt is not a file");
        let mut list = tempfile::NamedTempFile::new().unwrap();
        list.write_all(b"||ads.example^\n").unwrap();
        let refused = Rules::read(&[list.path().to_owned()], 14).err().unwrap();
        assert!(refused.ends_with("is beyond browser.max_ad_lists"), "{refused}");
    }
}
