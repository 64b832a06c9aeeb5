//! Whether robots.txt lets us fetch a URL, and what that says of the site.

use domain::Verdict;
use egress::{Access, Robots};
use parking_lot::Mutex;

use crate::classify::Judgement;
use crate::fetch::Order;
use crate::outcome::Visit;

/// Asks whether the site lets us. A site that cannot be reached is not asked further: the fetch of the page fails for
/// the same reason, and names it.
pub(crate) async fn ask(robots: &Robots, order: &Order, visit: &Mutex<Visit>) -> Result<(), Judgement> {
    // The file itself is always allowed, so nobody is asked, and nothing is known of a pause.
    if order.url.as_url().path() == "/robots.txt" {
        return Ok(());
    }
    match robots.allowed_through(order.relay.as_ref(), &order.url).await {
        Access::Allowed { crawl_delay } => {
            let told = Some(crawl_delay.unwrap_or_default());
            visit.lock().crawl_delay = told.filter(|_| order.authentic());
            Ok(())
        }
        Access::Unreachable { answered: false, .. } => Ok(()),
        Access::Denied { why } => Err(Judgement::done(Verdict::Robots, why)),
        Access::Unreachable { answered: true, .. } => {
            visit.lock().throttled = order.authentic();
            Err(Judgement::retry(Verdict::Robots, "robots.txt could not be read"))
        }
    }
}
