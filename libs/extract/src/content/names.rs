//! Names that give frame away: the words in classes and ids, split at punctuation and humps.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

/// Words in a class or id, in lower case, that name frame on their own.
const FRAME: &[&str] = &[
    "ad",
    "ads",
    "adsense",
    "advert",
    "advertisement",
    "advertising",
    "adslot",
    "adunit",
    "banner",
    "breadcrumb",
    "breadcrumbs",
    "byline",
    "carousel",
    "comment",
    "comments",
    "consent",
    "cookie",
    "cookies",
    "copyright",
    "credits",
    "dialog",
    "disqus",
    "dropdown",
    "footer",
    "gdpr",
    "login",
    "mailchimp",
    "masthead",
    "menu",
    "modal",
    "nav",
    "navbar",
    "navigation",
    "newsletter",
    "outbrain",
    "overlay",
    "pager",
    "pagination",
    "paywall",
    "popup",
    "popular",
    "promo",
    "promotion",
    "promotions",
    "recirc",
    "recirculation",
    "recommend",
    "recommendation",
    "recommendations",
    "recommended",
    "related",
    "relatedposts",
    "relatedarticles",
    "respond",
    "rss",
    "share",
    "sharedaddy",
    "sharing",
    "shares",
    "shareaholic",
    "sidebar",
    "signup",
    "skiplink",
    "slideshow",
    "social",
    "sociable",
    "sponsor",
    "sponsored",
    "subscribe",
    "subscription",
    "taboola",
    "tags",
    "taglist",
    "tagcloud",
    "teaser",
    "teasers",
    "toolbar",
    "tooltip",
    "trending",
    "widget",
    "widgets",
    "jp",
    "zergnet",
    "addthis",
    "addtoany",
    "ssba",
    "trc",
    "authorbox",
    "hideme",
    "upsell",
    "noprint",
    "printonly",
    "inlinead",
    "dfp",
];

/// Two words that name frame together.
const FRAME_PAIRS: &[(&str, &str)] = &[
    ("author", "bio"),
    ("author", "box"),
    ("author", "info"),
    ("about", "author"),
    ("post", "meta"),
    ("entry", "meta"),
    ("article", "meta"),
    ("meta", "info"),
    ("post", "navigation"),
    ("post", "tags"),
    ("most", "read"),
    ("most", "viewed"),
    ("read", "more"),
    ("read", "next"),
    ("more", "from"),
    ("more", "stories"),
    ("see", "also"),
    ("also", "like"),
    ("up", "next"),
    ("site", "header"),
    ("page", "header"),
    ("skip", "link"),
    ("skip", "to"),
    ("sign", "up"),
    ("sign", "in"),
    ("screen", "reader"),
    ("sr", "only"),
    ("visually", "hidden"),
    ("back", "top"),
    ("post", "author"),
    ("post", "footer"),
    ("entry", "footer"),
    ("article", "footer"),
    ("tag", "list"),
    ("article", "tags"),
    ("latest", "news"),
    ("top", "stories"),
    ("link", "list"),
    ("call", "action"),
    ("email", "alert"),
    ("article", "date"),
    ("post", "date"),
    ("print", "only"),
    ("pull", "quote"),
    ("image", "credit"),
    ("photo", "credit"),
];

/// Words before a frame word that turn its meaning: `content-with-sidebar`, `has-menu`, `no-ads`.
const TURNS: &[&str] = &["with", "has", "no", "w", "and", "without"];

/// Frame words that are said of whole layouts as well; what they name is spared if it holds much of the text.
const VAGUE: &[&str] = &[
    "widget",
    "widgets",
    "banner",
    "carousel",
    "menu",
    "overlay",
    "paywall",
    "popup",
    "modal",
    "promo",
    "subscription",
    "subscribe",
    "teaser",
    "hidden",
    "ad",
    "ads",
    "sidebar",
    "tags",
    "jp",
    "share",
    "social",
    "dropdown",
    "dialog",
    "toolbar",
    "popular",
    "login",
    "tooltip",
    "slideshow",
    "print",
];

/// [`FRAME`] and [`VAGUE`] to look a word up in: each class of a page is asked about.
static SAID: LazyLock<[HashSet<&str>; 2]> =
    LazyLock::new(|| [FRAME, VAGUE].map(|words| words.iter().copied().collect()));
/// The first words of [`FRAME_PAIRS`] by the second.
static PAIRED: LazyLock<HashMap<&str, Vec<&str>>> = LazyLock::new(|| {
    FRAME_PAIRS.iter().fold(HashMap::new(), |mut pairs, (first, second)| {
        pairs.entry(*second).or_insert_with(Vec::new).push(*first);
        pairs
    })
});

/// Whether a class or id names frame; `much` is whether it names much of the text.
pub(super) fn framed(names: &str, much: bool) -> bool {
    let [frame, vague] = &*SAID;
    let (mut before, mut word) = (String::new(), String::new());
    names.split_ascii_whitespace().any(|name| {
        let mut framed = false;
        before.clear();
        for next in words(name) {
            word.clear();
            word.push_str(next);
            word.make_ascii_lowercase();
            let said = frame.contains(&*word) && !(much && vague.contains(&*word));
            let paired = || PAIRED.get(&*word).is_some_and(|firsts| firsts.contains(&&*before));
            framed |= (said || !much && paired()) && !TURNS.contains(&&*before);
            std::mem::swap(&mut before, &mut word);
        }
        framed
    })
}

/// Words of a name, split at punctuation, digits and humps: `post-navBar2` is `post`, `nav`, `Bar`.
pub(super) fn words(name: &str) -> impl Iterator<Item = &str> {
    let bytes = name.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && !bytes[at].is_ascii_alphabetic() {
            at += 1;
        }
        let start = at;
        while at < bytes.len() && bytes[at].is_ascii_alphabetic() {
            let hump = at > start && bytes[at].is_ascii_uppercase() && bytes[at - 1].is_ascii_lowercase();
            if hump {
                break;
            }
            at += 1;
        }
        (start < at).then(|| &name[start..at])
    })
}
