//! What is done in a page once it has arrived: scripts, waits, clicks, scrolling.
//!
//! Promises: our own code runs in an isolated world, which the page cannot tamper with; only the job's scripts run in the page's.
//! What fails is the page's failure and named; what does not come about ends in time.

use std::time::Duration;

use bytes::Bytes;
use chromiumoxide::Page;
use chromiumoxide::cdp::browser_protocol::input::{
    DispatchKeyEventParams, DispatchKeyEventType, DispatchMouseEventParams, DispatchMouseEventType,
    InsertTextParams, MouseButton,
};
use chromiumoxide::cdp::browser_protocol::page::FrameId;
use chromiumoxide::error::CdpError;
use chromiumoxide::keys::get_key_definition;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::capture;
use super::options::{Action, Options, VirtualScroll, WaitFor};
use super::world::{self, Answer};
use crate::fetch::Failure;

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(100);
const CONSENT: &str = include_str!("js/consent.js");
const OVERLAYS: &str = include_str!("js/overlays.js");
const VIRTUAL_SCROLL: &str = include_str!("js/virtual_scroll.js");

/// Works on one page.
pub(super) struct Steps<'a> {
    pub(super) page: &'a Page,
    pub(super) frame: &'a FrameId,
    pub(super) options: &'a Options,
    pub(super) deadline: Instant,
    /// Most bytes of what is collected.
    pub(super) max_dom: usize,
    /// The step that is on, for the verdict if time runs out.
    pub(super) stage: &'a Mutex<Option<&'static str>>,
}

#[derive(Deserialize)]
struct Scrolled {
    found: bool,
    moved: bool,
}

impl Steps<'_> {
    /// Everything that the job asked for up to its last action. Returns the screenshot, if an action took one.
    pub(super) async fn run(&self) -> Result<Option<Bytes>, Failure> {
        self.scripts("js_code_before_wait", &self.options.scripts_before).await?;
        if let Some(wait) = &self.options.wait_for {
            self.at("wait_for");
            match wait {
                WaitFor::Css(selector) => self.element("wait_for", selector).await?,
                WaitFor::Js(expression) => self.condition(expression).await?,
            }
        }
        self.scripts("js_code", &self.options.scripts).await?;
        let mut screenshot = None;
        for (index, action) in self.options.actions.iter().enumerate() {
            screenshot = self.act(index, action).await?.or(screenshot);
        }
        if let Some(scroll) = &self.options.virtual_scroll {
            self.at("virtual_scroll");
            self.virtual_scroll(scroll).await?;
        }
        if let Some(scan) = self.options.scan {
            self.at("scan_full_page");
            self.scan(scan.steps, scan.pause).await?;
        }
        Ok(screenshot)
    }

    /// What comes last: the pause, and clearing away.
    pub(super) async fn finish(&self) -> Result<(), Failure> {
        self.at("delay_before_return_html");
        sleep(self.options.delay).await;
        let clearing = [
            (self.options.remove_consent, "remove_consent_popups", CONSENT),
            (self.options.remove_overlays, "remove_overlays", OVERLAYS),
        ];
        for (_, name, script) in clearing.into_iter().filter(|(asked, ..)| *asked) {
            self.at(name);
            self.ours::<u32>(name, script).await?;
        }
        Ok(())
    }

    fn at(&self, stage: &'static str) {
        *self.stage.lock() = Some(stage);
    }

    /// When the step that begins now has to be over.
    fn limit(&self) -> Instant {
        let asked = self.options.wait_timeout.map(|timeout| Instant::now() + timeout);
        asked.map_or(self.deadline, |asked| asked.min(self.deadline))
    }

    async fn scripts(&self, name: &'static str, scripts: &[String]) -> Result<(), Failure> {
        self.at(name);
        for (index, script) in scripts.iter().enumerate() {
            let body = format!("(async () => {{ {script}\n}})()");
            match world::main(self.page, &body).await {
                // A script may send its page elsewhere.
                Answer::Value(_) | Answer::Gone => {}
                Answer::Thrown(error) => return Err(Failure::Asked(format!("{name}[{index}]: {error}"))),
                Answer::Late => return Err(Failure::Late(name)),
            }
        }
        Ok(())
    }

    /// Waits until an element is there.
    async fn element(&self, stage: &'static str, selector: &str) -> Result<(), Failure> {
        let look = format!("document.querySelector({}) !== null", json!(selector));
        self.until(stage, || world::isolated(self.page, self.frame, &look)).await
    }

    async fn condition(&self, expression: &str) -> Result<(), Failure> {
        let look = format!(
            "(async () => {{ const f = ({expression}\n); return Boolean(typeof f === 'function' ? await f() : await f); }})()"
        );
        self.until("wait_for", || world::main(self.page, &look)).await
    }

    async fn until<F: Future<Output = Answer>>(
        &self,
        stage: &'static str,
        look: impl Fn() -> F,
    ) -> Result<(), Failure> {
        let limit = self.limit();
        loop {
            match tokio::time::timeout_at(limit, look()).await {
                Ok(Answer::Value(serde_json::Value::Bool(true))) => return Ok(()),
                Ok(Answer::Thrown(error)) => return Err(Failure::Asked(format!("{stage}: {error}"))),
                Ok(Answer::Value(_) | Answer::Gone) if Instant::now() + POLL < limit => sleep(POLL).await,
                Ok(_) | Err(_) => return Err(Failure::Late(stage)),
            }
        }
    }

    async fn act(&self, index: usize, action: &Action) -> Result<Option<Bytes>, Failure> {
        match action {
            Action::Click(selector) => {
                self.at("click");
                self.element("click", selector).await?;
                self.click(index, selector).await?;
            }
            Action::Type { selector, text } => {
                self.at("type");
                self.element("type", selector).await?;
                let focus = format!("document.querySelector({}).focus()", json!(selector));
                self.ours::<serde_json::Value>("type", &focus).await?;
                self.input(index, self.page.execute(InsertTextParams::new(text.clone())).await)?;
            }
            Action::Press(key) => {
                self.at("press");
                self.press(index, key).await?;
            }
            Action::ScrollBy(pixels) => {
                self.at("scroll_by");
                self.ours::<serde_json::Value>("scroll_by", &format!("scrollBy(0, {pixels})")).await?;
            }
            Action::Wait(pause) => {
                self.at("wait");
                sleep(*pause).await;
            }
            Action::WaitFor(selector) => {
                self.at("wait_for_selector");
                self.element("wait_for_selector", selector).await?;
            }
            Action::Screenshot => {
                self.at("screenshot");
                let area = self.options.keep.screenshot;
                if let Some(area) = area {
                    return capture::screenshot(self.page, area).await.map(Some);
                }
            }
        }
        Ok(None)
    }

    async fn click(&self, index: usize, selector: &str) -> Result<(), Failure> {
        let middle = format!(
            "(() => {{ const e = document.querySelector({}); if (!e) return null; e.scrollIntoView({{ block: 'center', behavior: 'instant' }}); \
             const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2, b.width * b.height]; }})()",
            json!(selector)
        );
        let middle: Option<(f64, f64, f64)> = self.ours("click", &middle).await?;
        let Some((x, y, area)) = middle.filter(|(.., area)| *area > 0.0) else {
            return Err(Failure::Asked(format!("actions[{index}]: the element cannot be seen")));
        };
        debug_assert!(area > 0.0);
        for kind in [
            DispatchMouseEventType::MouseMoved,
            DispatchMouseEventType::MousePressed,
            DispatchMouseEventType::MouseReleased,
        ] {
            let mut event = DispatchMouseEventParams::new(kind, x, y);
            event.button = Some(MouseButton::Left);
            event.click_count = Some(1);
            self.input(index, self.page.execute(event).await)?;
        }
        Ok(())
    }

    async fn press(&self, index: usize, key: &str) -> Result<(), Failure> {
        let name = if key == "Space" { " " } else { key };
        let Some(key) = get_key_definition(name) else {
            return Err(Failure::Asked(format!("actions[{index}]: there is no key {key}")));
        };
        let text = key.text.or((key.key.len() == 1).then_some(key.key));
        let down =
            if text.is_some() { DispatchKeyEventType::KeyDown } else { DispatchKeyEventType::RawKeyDown };
        for (kind, text) in [(down, text), (DispatchKeyEventType::KeyUp, None)] {
            let mut event = DispatchKeyEventParams::new(kind);
            event.key = Some(key.key.to_owned());
            event.code = Some(key.code.to_owned());
            event.windows_virtual_key_code = Some(key.key_code);
            event.native_virtual_key_code = Some(key.key_code);
            event.text = text.map(str::to_owned);
            self.input(index, self.page.execute(event).await)?;
        }
        Ok(())
    }

    fn input<T>(&self, index: usize, answer: Result<T, CdpError>) -> Result<(), Failure> {
        answer
            .map(|_| ())
            .map_err(|_| Failure::Asked(format!("actions[{index}]: the browser refuses the input")))
    }

    async fn scan(&self, steps: u32, pause: Duration) -> Result<(), Failure> {
        let step = "(() => { const r = document.scrollingElement; if (!r) return true; scrollBy({ top: innerHeight, behavior: 'instant' }); \
                    return r.scrollTop + innerHeight >= r.scrollHeight - 1; })()";
        for _ in 0..steps {
            let end: bool = self.ours("scan_full_page", step).await?;
            sleep(pause).await;
            // What came into view may have made the page longer.
            let longer = "(() => { const r = document.scrollingElement; return r && r.scrollTop + innerHeight < r.scrollHeight - 1; })()";
            if end && !self.ours::<bool>("scan_full_page", longer).await? {
                break;
            }
        }
        self.ours::<serde_json::Value>("scan_full_page", "scrollTo({ top: 0, behavior: 'instant' })")
            .await
            .map(|_| ())
    }

    async fn virtual_scroll(&self, scroll: &VirtualScroll) -> Result<(), Failure> {
        self.element("virtual_scroll", &scroll.container).await?;
        let call = |finish: bool| {
            format!(
                "({VIRTUAL_SCROLL})({}, {}, {}, {finish})",
                json!(scroll.container),
                json!(scroll.step),
                self.max_dom
            )
        };
        for _ in 0..scroll.steps {
            let Scrolled { found, moved } = self.ours("virtual_scroll", &call(false)).await?;
            if !found || !moved {
                break;
            }
            sleep(scroll.pause).await;
        }
        self.ours::<Scrolled>("virtual_scroll", &call(true)).await.map(|_| ())
    }

    /// Runs code of ours; a document that goes away under it is asked again.
    async fn ours<T: for<'de> Deserialize<'de>>(&self, name: &'static str, code: &str) -> Result<T, Failure> {
        loop {
            match world::isolated(self.page, self.frame, code).await {
                Answer::Value(value) => {
                    return serde_json::from_value(value)
                        .map_err(|_| Failure::Asked(format!("{name}: the page gives no sense")));
                }
                Answer::Thrown(error) => return Err(Failure::Asked(format!("{name}: {error}"))),
                Answer::Late => return Err(Failure::Late(name)),
                Answer::Gone => sleep(POLL).await,
            }
        }
    }
}
