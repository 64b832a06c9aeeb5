//! What is done with a page in the browser, as the job asked for it. Values only; the job service has held them against the rules.

use std::time::Duration;

/// What is done with a page in the browser. The default asks for its rendered HTML and no more.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Options {
    pub(crate) arrival: Arrival,
    pub(crate) scripts_before: Vec<String>,
    pub(crate) wait_for: Option<WaitFor>,
    /// Of `wait_for` and of each action.
    pub(crate) wait_timeout: Option<Duration>,
    pub(crate) scripts: Vec<String>,
    pub(crate) actions: Vec<Action>,
    pub(crate) virtual_scroll: Option<VirtualScroll>,
    pub(crate) scan: Option<Scan>,
    pub(crate) delay: Duration,
    pub(crate) remove_consent: bool,
    pub(crate) remove_overlays: bool,
    pub(crate) flatten_frames: bool,
    pub(crate) flatten_shadow: bool,
    pub(crate) block: Block,
    pub(crate) keep: Keep,
    pub(crate) identity: Identity,
}

/// When a page has arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Loaded and quiet, or at the cap.
    #[default]
    Settled,
    /// The `load` event.
    Load,
    /// The `DOMContentLoaded` event.
    Parsed,
    /// Loaded and quiet, however long that takes.
    Idle,
}

/// What to wait for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum WaitFor {
    /// An element that matches.
    Css(String),
    /// An expression, or a function, that gives a true value.
    Js(String),
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    Click(String),
    Type { selector: String, text: String },
    Press(String),
    ScrollBy(i32),
    Wait(Duration),
    WaitFor(String),
    Screenshot,
}

/// How to scroll through a list that only holds what is in view.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct VirtualScroll {
    pub(crate) container: String,
    pub(crate) steps: u32,
    /// CSS pixels. `None`: the height of the container.
    pub(crate) step: Option<u32>,
    pub(crate) pause: Duration,
}

/// How to scroll through a page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scan {
    pub(crate) steps: u32,
    pub(crate) pause: Duration,
}

/// Resources that are not loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) images: bool,
    pub(crate) media: bool,
    pub(crate) fonts: bool,
    pub(crate) stylesheets: bool,
    /// By the lists of the crawler.
    pub(crate) ads: bool,
}

impl Block {
    /// Text alone: no images, media, fonts.
    pub(crate) const TEXT: Self =
        Self { images: true, media: true, fonts: true, stylesheets: false, ads: false };
}

/// What is kept of the page beside its HTML.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Keep {
    pub(crate) screenshot: Option<Area>,
    pub(crate) pdf: bool,
    pub(crate) mhtml: bool,
    pub(crate) har: bool,
    pub(crate) console: bool,
}

impl Keep {
    /// Whether something is kept of all that happens, not of what the page is at its end.
    pub(crate) fn listens(self) -> bool {
        self.har || self.console
    }
}

/// What a screenshot shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Area {
    Viewport,
    FullPage,
}

/// What the browser says of itself.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Identity {
    pub(crate) viewport: Option<Viewport>,
    pub(crate) locale: Option<String>,
    pub(crate) timezone: Option<String>,
    pub(crate) place: Option<Place>,
    pub(crate) user_agent: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) cookies: Vec<Cookie>,
    /// Origins with their items.
    pub(crate) storage: Vec<(String, Vec<(String, String)>)>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("viewport", &self.viewport).finish_non_exhaustive()
    }
}

/// A window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Viewport {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) scale: f64,
}

/// A place on Earth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) accuracy: f64,
}

/// A cookie to start with.
#[derive(Clone, PartialEq)]
pub(crate) struct Cookie {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) domain: String,
    pub(crate) path: String,
    pub(crate) secure: bool,
    pub(crate) http_only: bool,
}

impl Options {
    /// Whether anything is done in the page once it has arrived.
    pub(crate) fn steps(&self) -> bool {
        self.acts() || self.wait_for.is_some() || !self.delay.is_zero()
    }

    /// Whether something is done that the page may answer by loading more.
    pub(crate) fn acts(&self) -> bool {
        !self.scripts_before.is_empty()
            || !self.scripts.is_empty()
            || !self.actions.is_empty()
            || self.virtual_scroll.is_some()
            || self.scan.is_some()
            || self.remove_consent
            || self.remove_overlays
    }
}
