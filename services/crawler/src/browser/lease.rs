//! A tab in use.
//!
//! Promises: a lease that ends well gives its tab to the job's next page; one that is dropped, at whatever point, closes it.

use std::sync::Arc;

use tokio::time::Instant;

use super::context::Owner;
use super::instance::Browser;
use super::tab::{Leftover, Tab};

/// A tab in use. Dropped, its tab is closed.
pub(super) struct Lease {
    browser: Arc<Browser>,
    owner: Owner,
    tab: Option<Tab>,
}

impl Lease {
    /// A lease without a tab yet.
    pub(super) fn new(browser: Arc<Browser>, owner: Owner) -> Self {
        Self { browser, owner, tab: None }
    }

    /// Takes on a tab.
    pub(super) fn hold(&mut self, tab: Tab) {
        self.tab = Some(tab);
    }

    /// The tab. There is one until the lease is given back.
    pub(super) fn tab(&mut self) -> Option<&mut Tab> {
        self.tab.as_mut()
    }

    /// Gives the tab back for the job's next page. If it has to be made blank before, nobody is kept waiting for that.
    ///
    /// A page that may run on stays until the next one takes its place, which saves a tenth of the work on a page; where none comes soon,
    /// [`Browser::calm`] puts an end to it.
    pub(super) async fn end(mut self, leftover: Leftover) {
        match leftover {
            Leftover::Unusable => {}
            Leftover::Inert => self.give_back().await,
            Leftover::Alive => {
                if let Some(tab) = &mut self.tab {
                    tab.alive = Some(Instant::now());
                }
                self.give_back().await;
            }
            Leftover::Touched => mesh::spawn("blank tab", async move {
                let blank = match &mut self.tab {
                    Some(tab) => tab.blank().await,
                    None => return,
                };
                if blank {
                    self.give_back().await;
                }
            })
            .detach(),
        }
    }

    async fn give_back(&mut self) {
        if let Some(tab) = self.tab.take() {
            self.browser.contexts.give_back(self.owner, tab).await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (browser, owner) = (self.browser.clone(), self.owner);
        let Some(tab) = self.tab.take() else {
            browser.rest();
            return;
        };
        mesh::spawn("close tab", async move {
            browser.close(tab).await;
            browser.contexts.lost(&browser.cdp, owner).await;
            browser.rest();
        })
        .detach();
    }
}
