//! Pages as their events tell them.

use super::*;

const MS: Duration = Duration::from_millis(1);
const LIMITS: Limits = Limits {
    quiet: Duration::from_millis(500),
    settle_cap: Duration::from_secs(10),
    max_requests: 20,
    max_redirects: 3,
};

struct Page {
    progress: Progress,
    start: Instant,
}

impl Page {
    fn new() -> Self {
        let start = Instant::now();
        Self { progress: Progress::new(LIMITS, Arrival::Settled, false, start), start }
    }

    fn at(&mut self, ms: u32, event: Event) -> &mut Self {
        self.progress.on(event, self.start + MS * ms).expect("because nothing is in excess");
        self
    }

    fn settled(&self) -> Option<u128> {
        match self.progress.settled() {
            Settled::NotYet => None,
            Settled::At(at) => Some((at - self.start).as_millis()),
        }
    }
}

fn document(loader: &str, url: &str, redirected: bool) -> Event {
    Event::Request {
        id: loader.into(),
        loader: loader.into(),
        url: url.into(),
        cause: Cause::Asked,
        redirected,
        counts: true,
    }
}

fn asset(id: &str, counts: bool) -> Event {
    let url = format!("http://a/{id}");
    Event::Request { id: id.into(), loader: "L".into(), url, cause: Cause::Part, redirected: false, counts }
}

fn response(id: &str, status: u16) -> Event {
    Event::Response { id: id.into(), response: Response { status, ..Response::default() } }
}

fn finished(id: &str) -> Event {
    Event::Finished { id: id.into(), bytes: 10 }
}

fn failed(id: &str, error: &str) -> Event {
    Event::Failed { id: id.into(), error: error.into(), document: true }
}

fn lifecycle(loader: &str, name: &str) -> Event {
    Event::Lifecycle { loader: loader.into(), name: name.into() }
}

#[test]
fn a_page_settles_when_it_has_been_quiet() {
    let mut page = Page::new();
    assert_eq!((page.settled(), page.progress.stage()), (None, "connect"));
    page.at(0, document("L", "http://a/", false));
    assert_eq!(page.progress.stage(), "head");
    page.at(10, response("L", 200)).at(11, finished("L"));
    assert_eq!((page.settled(), page.progress.stage()), (None, "body"));
    page.at(12, lifecycle("L", "init"));
    assert_eq!(page.settled(), Some(2011), "it may never say that it is parsed");
    page.at(20, lifecycle("L", "DOMContentLoaded"));
    assert_eq!((page.settled(), page.progress.stage()), (Some(10_020), "render"));
    page.at(30, lifecycle("L", "load"));
    assert_eq!(page.settled(), Some(530));
    page.at(300, asset("late", true));
    assert_eq!((page.settled(), page.progress.loaded()), (Some(10_020), false));
    page.at(700, finished("late"));
    assert_eq!((page.settled(), page.progress.bytes()), (Some(1200), 20));
}

#[test]
fn requests_that_never_end_do_not_count() {
    let mut page = Page::new();
    page.at(0, document("L", "http://a/", false)).at(1, response("L", 200)).at(2, finished("L"));
    page.at(3, asset("websocket", false))
        .at(4, lifecycle("L", "DOMContentLoaded"))
        .at(5, lifecycle("L", "load"));
    assert_eq!(page.settled(), Some(505));
}

#[test]
fn events_may_come_in_any_order() {
    let mut page = Page::new();
    page.at(4, lifecycle("L", "DOMContentLoaded"))
        .at(5, lifecycle("L", "load"))
        .at(6, lifecycle("blank", "load"));
    assert_eq!(page.settled(), None);
    page.at(7, finished("L"))
        .at(8, finished("x"))
        .at(9, document("L", "http://a/", false))
        .at(10, asset("x", true));
    assert_eq!(page.settled(), None, "the response is not known yet");
    page.at(11, response("L", 200));
    assert_eq!(page.settled(), Some(505), "nothing is on its way any more");

    let mut page = Page::new();
    page.at(0, response("L", 404)).at(1, failed("L", "net::ERR_HTTP_RESPONSE_CODE_FAILURE"));
    page.at(2, document("L", "http://a/", false));
    assert_eq!(page.progress.response().map(|r| r.status), Some(404));
    assert_eq!(page.progress.error(), Some("net::ERR_HTTP_RESPONSE_CODE_FAILURE"));
}

#[test]
fn navigations_by_the_page_are_followed() {
    let mut page = Page::new();
    page.at(0, document("L", "http://a/", false)).at(1, document("L", "http://a/2", true));
    page.at(2, response("L", 200)).at(3, finished("L")).at(4, lifecycle("L", "DOMContentLoaded"));
    page.at(5, lifecycle("L", "load")).at(6, document("M", "http://b/", false));
    assert!(!page.progress.loaded(), "another document is on its way");
    page.at(7, response("M", 404)).at(8, finished("M")).at(9, lifecycle("M", "DOMContentLoaded"));
    page.at(10, lifecycle("M", "load"));
    assert_eq!(page.progress.response().map(|r| r.status), Some(404));
    assert_eq!(page.progress.redirects(), ["http://a/", "http://a/2"]);
    assert_eq!((page.progress.asked(), page.settled()), (Some("http://b/"), Some(510)));
}

#[test]
fn a_download_leaves_the_page_as_it_is_unless_it_was_the_page() {
    let mut page = Page::new();
    page.at(0, document("L", "http://a/", false)).at(1, failed("L", "net::ERR_ABORTED"));
    assert_eq!(page.progress.error(), Some("net::ERR_ABORTED"));

    let mut page = Page::new();
    page.at(0, document("L", "http://a/", false)).at(1, response("L", 200)).at(2, finished("L"));
    page.at(3, lifecycle("L", "DOMContentLoaded")).at(4, lifecycle("L", "load"));
    page.at(5, document("D", "http://a/file", false)).at(6, failed("D", "net::ERR_ABORTED"));
    assert_eq!((page.progress.error(), page.progress.loaded()), (None, true));
    assert_eq!(page.progress.response().map(|r| r.status), Some(200));
    page.at(7, document("E", "http://refused/", false))
        .at(8, failed("E", "net::ERR_TUNNEL_CONNECTION_FAILED"));
    assert_eq!(page.progress.error(), Some("net::ERR_TUNNEL_CONNECTION_FAILED"));
    assert_eq!(page.progress.asked(), Some("http://refused/"));
}

#[test]
fn excess_is_refused() {
    let mut page = Page::new();
    for n in 0..4 {
        page.at(n, document(&format!("L{n}"), "http://a/", false));
    }
    assert_eq!(page.progress.on(document("L4", "http://a/", false), page.start), Err(Excess::Redirects));

    let mut page = Page::new();
    for n in 0..20 {
        page.at(n, asset(&format!("{n}"), true));
    }
    assert_eq!(page.progress.on(asset("20", true), page.start), Err(Excess::Requests));
}

#[test]
fn a_crash_is_noticed() {
    let mut page = Page::new();
    assert!(!page.progress.crashed());
    assert!(page.at(0, Event::Crashed).progress.crashed());
}

#[test]
fn the_browsers_own_error_page_does_not_hide_the_error() {
    let mut page = Page::new();
    page.at(0, document("L", "https://a/", false)).at(1, lifecycle("L", "init"));
    page.at(2, lifecycle("L", "DOMContentLoaded")).at(3, lifecycle("L", "load"));
    page.at(4, failed("L", "net::ERR_TUNNEL_CONNECTION_FAILED"));
    assert_eq!(page.progress.error(), Some("net::ERR_TUNNEL_CONNECTION_FAILED"));

    let mut page = Page::new();
    page.at(0, document("L", "https://a/", false)).at(1, response("L", 200));
    page.at(2, lifecycle("L", "DOMContentLoaded")).at(3, failed("L", "net::ERR_CONNECTION_RESET"));
    assert_eq!(page.progress.error(), None, "it is shown, though its body broke off");
}

#[test]
fn a_page_arrives_when_the_job_says() {
    let arrived = |arrival: Arrival| {
        let mut page = Page::new();
        page.progress = Progress::new(LIMITS, arrival, false, page.start);
        page.at(0, document("L", "http://a/", false)).at(5, asset("slow", true)).at(10, response("L", 200));
        let early = page.at(20, lifecycle("L", "DOMContentLoaded")).settled();
        let loaded = page.at(30, lifecycle("L", "load")).at(31, finished("L")).settled();
        (early, loaded, page.at(20_000, finished("slow")).settled())
    };
    let cap = Some(10_020);
    assert_eq!(arrived(Arrival::Settled), (cap, cap, cap));
    assert_eq!(arrived(Arrival::Parsed), (Some(20), Some(20), Some(20)));
    assert_eq!(arrived(Arrival::Load), (None, Some(30), Some(30)));
    assert_eq!(arrived(Arrival::Idle), (None, None, Some(20_500)));
}

#[test]
fn what_is_done_in_a_page_is_waited_for_anew() {
    let mut page = Page::new();
    page.at(0, document("L", "http://a/", false)).at(10, response("L", 200)).at(11, finished("L"));
    page.at(20, lifecycle("L", "DOMContentLoaded")).at(30, lifecycle("L", "load"));
    page.progress.acted(page.start + MS * 30_000);
    assert_eq!(page.settled(), Some(30_500));
    page.at(30_100, asset("more", true));
    assert_eq!(page.settled(), Some(40_000), "the cap begins anew");
    assert_eq!(page.at(30_200, finished("more")).settled(), Some(30_700));
}

#[test]
fn what_the_page_before_still_asks_for_is_not_this_pages() {
    let mut page = Page::new();
    page.progress = Progress::new(LIMITS, Arrival::Settled, true, page.start);
    let gone = Event::Request {
        id: "A".into(),
        loader: "A".into(),
        url: "http://a/elsewhere".into(),
        cause: Cause::Page,
        redirected: false,
        counts: true,
    };
    page.at(0, asset("1", true)).at(1, gone).at(2, failed("A", "net::ERR_ABORTED"));
    assert_eq!((page.progress.error(), page.progress.held_up()), (None, false));
    page.at(3, document("B", "http://a/", false)).at(4, response("B", 200));
    assert!(page.progress.held_up() && !page.progress.shown(), "its renderer is at the page before");
    page.at(5, lifecycle("B", "DOMContentLoaded")).at(6, lifecycle("B", "load")).at(7, finished("B"));
    assert!(page.progress.shown() && !page.progress.held_up());
    assert_eq!((page.settled(), page.progress.redirects()), (Some(507), Vec::new()));
}
